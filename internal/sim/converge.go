package sim

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// pageBytes is how much of a partition is read at once, small enough that some
// need several pages.
const pageBytes = 4 << 10

// copyOf is a partition of a placement.
type copyOf struct{ placement, partition uint32 }

// String names it.
func (c copyOf) String() string { return fmt.Sprintf("%08x/%d", c.placement, c.partition) }

// place is one replica.
type place struct {
	node *Node
	copyOf
}

func (p place) wire() *peerv1.Replica {
	return &peerv1.Replica{Placement: p.placement, Partition: p.partition}
}

// question asks a node for something, without the network between; nil if it
// is down or refuses.
func (n *Node) question(req *peerv1.Request) *peerv1.Response {
	l := n.current()
	if l == nil || !l.enter() {
		return nil
	}
	defer l.leave()
	req.TimeoutMs, req.Epoch = 5000, l.dc.Document().Epoch
	resp := l.dc.Serve(context.Background(), "observer", req)
	if resp.GetStatus() != nil {
		return nil
	}
	return resp
}

// digests are what a node tells of its replicas; nil if it is down.
func (n *Node) digests() map[copyOf]*v1.ReplicaDigest {
	resp := n.question(&peerv1.Request{Of: &peerv1.Request_Inspect{Inspect: &peerv1.Inspect{
		Of: &peerv1.Inspect_Verify{Verify: &v1.VerifyRequest{WithClocks: true}},
	}}})
	if resp == nil {
		return nil
	}
	out := map[copyOf]*v1.ReplicaDigest{}
	for _, d := range resp.GetInspect().GetVerify().GetReplicas() {
		out[copyOf{d.GetPlacement(), d.GetPartition()}] = d
	}
	return out
}

// clocks are the durable clocks of a node's replicas, empty ones too: a node that
// lost its disk owns what it did before. Nil if it is down.
func (n *Node) clocks() map[copyOf]crdt.Clock {
	digests := n.digests()
	if digests == nil {
		return nil
	}
	out := map[copyOf]crdt.Clock{}
	for p, d := range digests {
		clock := crdt.Clock{} // of which nothing is told
		if b := d.GetClock(); len(b) > 0 {
			var err error
			if clock, err = crdt.DecodeClock(b); err != nil {
				n.cluster.watch.fail("clock of %s of %s: %v", p, n, err)
			}
		}
		out[p] = clock
	}
	return out
}

// contents is everything that a replica holds, in one encoding.
func (p place) contents() (*crdt.Snapshot, error) {
	all := &crdt.Snapshot{}
	var cursor []byte
	for {
		resp := p.node.question(&peerv1.Request{Of: &peerv1.Request_Snapshot{Snapshot: &peerv1.SnapshotPage{
			Replica: p.wire(), Cursor: cursor, MaxBytes: pageBytes,
		}}})
		if resp == nil {
			return nil, fmt.Errorf("%s tells no page of partition %s", p.node, p.copyOf)
		}
		page, err := storage.DecodePage(resp.GetSnapshot().GetPage())
		if err != nil {
			return nil, fmt.Errorf("page of %s: %w", p.node, err)
		}
		if len(cursor) == 0 {
			all.Clock = page.Clock
		}
		all.Residue = page.Residue
		all.Cells = append(all.Cells, page.Cells...)
		if cursor = resp.GetSnapshot().GetCursor(); len(cursor) == 0 {
			return all, nil
		}
	}
}

// unequal says in what replicas differ, or "" if all of them are equal: clocks,
// trees, and every byte; and nothing is ahead of a clock.
func (c *Cluster) unequal() string {
	first := map[copyOf]*v1.ReplicaDigest{}
	where := map[copyOf][]place{}
	for n := range c.nodes {
		digests := n.digests()
		if digests == nil {
			return fmt.Sprintf("%s does not answer", n)
		}
		for p, d := range digests {
			f := first[p]
			where[p] = append(where[p], place{n, p})
			switch {
			case !d.GetReady():
				return fmt.Sprintf("partition %s of %s is not ready", p, n)
			case f == nil:
				first[p] = d
			case f.GetClockHash() != d.GetClockHash():
				return fmt.Sprintf("partition %s: clocks of %s and %s differ", p, f.GetNode(), d.GetNode())
			case !bytes.Equal(f.GetMerkleRoot(), d.GetMerkleRoot()):
				return fmt.Sprintf("partition %s: trees of %s and %s differ at equal clocks: %s", p, f.GetNode(), d.GetNode(), cellsOf(where[p]))
			}
		}
	}
	for id := range c.partitions {
		if why := c.differ(where[id]); why != "" {
			return fmt.Sprintf("partition %s: %s", id, why)
		}
		if why := c.guests(id, where[id]); why != "" {
			return fmt.Sprintf("partition %s: %s", id, why)
		}
	}
	return ""
}

// partitions ranges over those of all placements.
func (c *Cluster) partitions(yield func(copyOf) bool) {
	for _, p := range c.Topology.Placements {
		for i := range uint32(c.opts.Partitions) {
			if !yield(copyOf{topology.PlacementID(p.Name), i}) {
				return
			}
		}
	}
}

// guests says which node still holds what it does not own, or ever holds what
// its datacenter must not.
func (c *Cluster) guests(id copyOf, owners []place) string {
	for n := range c.nodes {
		if slices.ContainsFunc(owners, func(p place) bool { return p.node == n }) {
			continue
		}
		s, err := place{n, id}.contents()
		switch {
		case err != nil:
			return err.Error()
		case !s.Clock.Empty() || len(s.Cells) > 0:
			return fmt.Sprintf("%s has not handed over what it holds for others", n)
		}
	}
	return ""
}

// differ compares replicas byte by byte. Where data were lost an event may be
// gone of which traces are left: a value that a read repair brought, or a removal
// of it. They stay for ever, and must be equal everywhere.
func (c *Cluster) differ(places []place) string {
	var first []byte
	for i, p := range places {
		s, err := p.contents()
		if err != nil {
			return err.Error()
		}
		for _, cell := range s.Cells {
			for _, e := range cell.Live {
				if !s.Clock.Contains(e.Dot) && !c.opts.Orphans {
					return fmt.Sprintf("%s holds %s of %s ahead of its clock", p.node, e.Dot, cell.ID.Key)
				}
			}
		}
		if len(s.Residue) > 0 && !c.opts.Orphans {
			return fmt.Sprintf("%s waits for what is to be removed from %d cells", p.node, len(s.Residue))
		}
		b := crdt.AppendSnapshot(nil, s)
		if i == 0 {
			first = b
		} else if !bytes.Equal(first, b) {
			return fmt.Sprintf("%s and %s differ in their bytes, at equal clocks and trees: %s", places[0].node, p.node, cellsOf(places))
		}
	}
	return ""
}

// cellsOf tells of the cells that replicas do not have in common: which dots live
// in them, and where.
func cellsOf(places []place) string {
	held := map[crdt.CellID][]string{}
	for i, p := range places {
		s, err := p.contents()
		if err != nil {
			return err.Error()
		}
		for _, cell := range s.Cells {
			if held[cell.ID] == nil {
				held[cell.ID] = make([]string, len(places))
			}
			held[cell.ID][i] = fmt.Sprint(cell.Live.Dots())
		}
	}
	var b strings.Builder
	for id, dots := range held {
		if len(slices.Compact(slices.Clone(dots))) == 1 {
			continue
		}
		fmt.Fprintf(&b, "%s/%s %s %q:", id.Bucket, id.Key, id.Kind, id.Path)
		for i, p := range places {
			fmt.Fprintf(&b, " %s %s", p.node.id, dots[i])
		}
		b.WriteString("; ")
	}
	return b.String()
}

// unlike notes partitions whose trees differ though all of their replicas have one
// clock: an event that only some have may be behind what repairs brought to others,
// but once all have all of them nothing may. It heals, so only who looks in time sees it.
func (c *Cluster) unlike() {
	seen := map[copyOf]*sight{}
	for range 2 { // nothing may have come while they were asked one after another
		if !c.see(seen) {
			return
		}
	}
	for p, s := range seen {
		if len(s.clocks) == 1 && len(s.roots) > 1 {
			c.watch.fail("partition %s: trees differ though all replicas have one clock", p)
		}
	}
}

// sight is which clocks and trees the replicas of a partition have.
type sight struct {
	clocks map[uint64]bool // 0 stands for one of a replica that is not ready
	roots  map[string]bool
}

// see adds what all nodes tell, and reports whether all of them do.
func (c *Cluster) see(seen map[copyOf]*sight) bool {
	for n := range c.nodes {
		digests := n.digests()
		if digests == nil {
			return false
		}
		for p, d := range digests {
			s := seen[p]
			if s == nil {
				s = &sight{map[uint64]bool{}, map[string]bool{}}
				seen[p] = s
			}
			s.clocks[d.GetClockHash()], s.roots[string(d.GetMerkleRoot())] = true, true
			if !d.GetReady() {
				s.clocks[0] = true
			}
		}
	}
	return true
}

// settlePause is the pause between two looks at whether all are equal.
const settlePause = 250 * time.Millisecond

// converge waits until all replicas are equal; it says what still differs when
// the time is up, and how long it took.
func (c *Cluster) converge(limit time.Duration) (took time.Duration, why string) {
	began := time.Now()
	for {
		why = c.unequal()
		if !c.opts.Orphans {
			c.unlike()
		}
		took = time.Since(began)
		if why == "" || took > limit {
			return took, why
		}
		pause(settlePause)
	}
}

// pause waits in virtual time.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// recovery tells when a node that lost its data has what the others had.
type recovery struct {
	node *Node
	want map[copyOf]crdt.Clock // what others had at the last look at which all of them were up
}

// done looks again.
func (r *recovery) done() bool {
	own := r.node.clocks()
	if own == nil {
		r.want = nil
		return false
	}
	level := r.want != nil
	for p, want := range r.want {
		have, owned := own[p]
		level = level && (!owned || have.Covers(&want))
	}
	if level {
		return true
	}
	r.want = map[copyOf]crdt.Clock{}
	for _, other := range r.node.dc.Nodes {
		if other == r.node {
			continue
		}
		clocks := other.clocks()
		if clocks == nil {
			r.want = nil
			return false
		}
		for p, clock := range clocks {
			w := r.want[p]
			w.Union(&clock)
			r.want[p] = w
		}
	}
	return false
}

// owners lists the nodes of a datacenter that own a key.
func (d *DC) owners(bucket, key string) []*Node {
	for _, n := range d.Nodes {
		l := n.current()
		if l == nil || !l.enter() {
			continue
		}
		ring, err := l.dc.Ring(&v1.RingRequest{Bucket: bucket, Key: []byte(key)})
		l.leave()
		if err != nil || len(ring.GetOwners()) == 0 {
			continue
		}
		var out []*Node
		for _, o := range d.Nodes {
			if slices.Contains(ring.GetOwners()[0].GetNodes(), o.id) {
				out = append(out, o)
			}
		}
		return out
	}
	return nil
}
