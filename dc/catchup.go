package dc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// catchUp keeps this node's replicas level with their co-owners, and knows how
// far everybody is. Co-owners tell each other their durable clocks, only what
// changed and once a round; what a peer had a round ago and this replica still
// lacks is asked for, since anything younger is on its way.
type catchUp struct {
	n *Node

	mu    sync.Mutex
	known map[storage.ReplicaID]*standing
	told  map[string]map[storage.ReplicaID]uint64 // what each peer was last told, as a hash; nil while it does not answer
}

// standing is what is known of one replica's partition elsewhere.
type standing struct {
	peers  map[string]*heard    // co-owners in this datacenter
	dcs    map[string]*remoteDC // other datacenters
	stable crdt.Clock           // what every replica everywhere is known to have; only grows
}

// heard is a co-owner's durable clock, now and a round ago.
type heard struct{ now, before crdt.Clock }

// remoteDC is what another datacenter reported: the clock of the replica that
// answered, and what all its replicas have.
type remoteDC struct{ clock, least crdt.Clock }

func newCatchUp(n *Node) *catchUp {
	return &catchUp{n: n, known: map[storage.ReplicaID]*standing{}, told: map[string]map[storage.ReplicaID]uint64{}}
}

func (c *catchUp) at(id storage.ReplicaID) *standing {
	s := c.known[id]
	if s == nil {
		s = &standing{peers: map[string]*heard{}, dcs: map[string]*remoteDC{}}
		c.known[id] = s
	}
	return s
}

// run exchanges clocks with every other node, again and again.
func (c *catchUp) run() {
	d, _ := c.n.opts.Topology.DC(c.n.dc)
	var peers sync.WaitGroup
	for _, node := range d.Nodes {
		if node.ID != c.n.id {
			peers.Go(func() { c.follow(node.ID) })
		}
	}
	peers.Wait()
}

// follow is the exchange with one peer.
func (c *catchUp) follow(peer string) {
	shared := c.shared(peer)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-c.n.ctx.Done():
			return
		}
		err := c.round(peer, shared)
		if err != nil && c.n.ctx.Err() == nil {
			c.n.opts.Logger.Debug("clock exchange", "peer", peer, "error", err)
		}
		if c.reaches(peer) {
			pause.Reset(c.n.opts.Exchange)
		} else {
			pause.Reset(c.n.opts.Exchange / 10) // to notice its return at once
		}
	}
}

// reaches reports whether a peer answered the last exchange.
func (c *catchUp) reaches(peer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told[peer] != nil
}

// shared lists the replicas that this node and a peer both own.
func (c *catchUp) shared(peer string) []storage.ReplicaID {
	var out []storage.ReplicaID
	for _, p := range c.n.placements {
		for i := range c.n.opts.Topology.Partitions {
			id := storage.ReplicaID{Placement: p.id, Partition: uint32(i)}
			owners := c.n.owners(c.n.dc, id)
			if slices.Contains(owners, c.n.id) && slices.Contains(owners, peer) {
				out = append(out, id)
			}
		}
	}
	return out
}

// roundTimeout is how long a peer may take to answer before it counts as away.
const roundTimeout = 2 * time.Second

// round tells a peer what changed, hears what differs, and pulls what is missing.
func (c *catchUp) round(peer string, shared []storage.ReplicaID) error {
	ctx, cancel := context.WithTimeout(c.n.ctx, roundTimeout)
	defer cancel()
	c.mu.Lock()
	told, again := c.told[peer]
	c.mu.Unlock()
	req := &peerv1.Clocks{All: !again}
	sent := map[storage.ReplicaID]crdt.Clock{}
	hashes := map[storage.ReplicaID]uint64{}
	for _, id := range shared {
		clock := c.n.store.Replica(id).Durable()
		if clock.Empty() {
			continue
		}
		stable := c.stable(id, &clock)
		hash := storage.ClockHash(&clock) ^ storage.ClockHash(&stable)<<1
		if told[id] == hash {
			continue
		}
		sent[id], hashes[id] = clock, hash
		req.Replicas = append(req.Replicas, &peerv1.ReplicaClock{
			Replica: wireID(id), Clock: crdt.AppendClock(nil, &clock), Stable: crdt.AppendClock(nil, &stable),
		})
	}
	// Even when nothing changed: the exchange is the heartbeat as well.
	resp, err := c.n.call(ctx, peer, &peerv1.Request{Of: &peerv1.Request_Clocks{Clocks: req}})
	if err != nil {
		c.mu.Lock()
		delete(c.told, peer) // it may come back with less than it had
		c.mu.Unlock()
		return err
	}
	if err := c.took(peer, sent, hashes, resp.GetClocks()); err != nil {
		return err
	}
	return c.pullAll(peer, shared, !again)
}

// took notes the answer to a round.
func (c *catchUp) took(peer string, sent map[storage.ReplicaID]crdt.Clock, hashes map[storage.ReplicaID]uint64, done *peerv1.ClocksDone) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[peer] == nil {
		c.told[peer] = map[storage.ReplicaID]uint64{}
	}
	for id, hash := range hashes {
		c.told[peer][id] = hash
		c.hear(peer, id, sent[id])
	}
	for _, rc := range done.GetReplicas() {
		if err := c.note(peer, rc); err != nil {
			return err
		}
	}
	return nil
}

// note takes over a clock that a peer told. The caller holds the lock.
func (c *catchUp) note(peer string, rc *peerv1.ReplicaClock) error {
	clock, err := crdt.DecodeClock(rc.GetClock())
	if err != nil {
		return fmt.Errorf("clock of %s: %w", peer, err)
	}
	stable, err := crdt.DecodeClock(rc.GetStable())
	if len(rc.GetStable()) > 0 && err != nil {
		return fmt.Errorf("stable clock of %s: %w", peer, err)
	}
	id := replicaID(rc.GetReplica())
	c.hear(peer, id, clock)
	c.at(id).stable.Union(&stable)
	return nil
}

func (c *catchUp) hear(peer string, id storage.ReplicaID, clock crdt.Clock) {
	s := c.at(id)
	if h := s.peers[peer]; h != nil {
		h.now = clock.Clone()
	} else {
		s.peers[peer] = &heard{now: clock.Clone()}
	}
}

// has notes that a peer has taken events durably.
func (c *catchUp) has(peer string, id storage.ReplicaID, deltas ...*crdt.Delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.at(id).peers[peer]
	if h == nil {
		return // it has yet to tell where it stands
	}
	for _, d := range deltas {
		h.now.AddRange(d.Actor, d.Lo, d.Hi)
	}
}

// copiesOf is the number of owners in this datacenter that are known to hold
// all these events durably.
func (c *catchUp) copiesOf(id storage.ReplicaID, deltas []*crdt.Delta) int {
	holds := func(clock *crdt.Clock) bool {
		return !slices.ContainsFunc(deltas, func(d *crdt.Delta) bool { return !clock.ContainsRange(d.Actor, d.Lo, d.Hi) })
	}
	got := 0
	if slices.Contains(c.n.owners(c.n.dc, id), c.n.id) {
		if own := c.n.store.Replica(id).Durable(); holds(&own) {
			got++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.at(id).peers {
		if holds(&h.now) {
			got++
		}
	}
	return got
}

// serveClocks is the other side of a round.
func (c *catchUp) serveClocks(from string, req *peerv1.Clocks) (*peerv1.ClocksDone, error) {
	done := &peerv1.ClocksDone{}
	named := map[storage.ReplicaID]bool{}
	for _, rc := range req.GetReplicas() {
		if err := c.n.mine(rc.GetReplica()); err != nil {
			return nil, err
		}
		id := replicaID(rc.GetReplica())
		named[id] = true
		c.mu.Lock()
		err := c.note(from, rc)
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if clock := c.n.store.Replica(id).Durable(); !slices.Equal(crdt.AppendClock(nil, &clock), rc.GetClock()) {
			done.Replicas = append(done.Replicas, c.tell(id, &clock))
		}
	}
	if !req.GetAll() {
		return done, nil
	}
	for _, id := range c.shared(from) {
		if clock := c.n.store.Replica(id).Durable(); !named[id] && !clock.Empty() {
			done.Replicas = append(done.Replicas, c.tell(id, &clock))
		}
	}
	return done, nil
}

func (c *catchUp) tell(id storage.ReplicaID, clock *crdt.Clock) *peerv1.ReplicaClock {
	stable := c.stable(id, clock)
	return &peerv1.ReplicaClock{Replica: wireID(id), Clock: crdt.AppendClock(nil, clock), Stable: crdt.AppendClock(nil, &stable)}
}

// pullAll asks a peer for what it had a round ago and this node still lacks.
func (c *catchUp) pullAll(peer string, shared []storage.ReplicaID, first bool) error {
	ctx, cancel := context.WithTimeout(c.n.ctx, c.n.opts.Timeout)
	defer cancel()
	for _, id := range shared {
		if !c.heardOf(peer, id) {
			continue
		}
		clock := c.n.store.Replica(id).Durable()
		c.mu.Lock()
		h := c.at(id).peers[peer]
		behind := !clock.Covers(&h.before) || first && !clock.Covers(&h.now)
		h.before = h.now.Clone()
		c.mu.Unlock()
		if !behind {
			continue
		}
		if err := c.pull(ctx, peer, id); err != nil {
			return fmt.Errorf("catch up with %s on %s: %w", peer, id, err)
		}
	}
	return nil
}

// heardOf reports whether a peer ever told where its replica stands.
func (c *catchUp) heardOf(peer string, id storage.ReplicaID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.known[id]
	return s != nil && s.peers[peer] != nil
}

// pull brings a replica level with a peer's: from its log, or by a join of the
// whole partition where the log no longer reaches back.
func (c *catchUp) pull(ctx context.Context, peer string, id storage.ReplicaID) error {
	replica := c.n.store.Replica(id)
	for {
		clock := replica.Durable()
		resp, err := c.n.call(ctx, peer, &peerv1.Request{Of: &peerv1.Request_Missing{Missing: &peerv1.Missing{
			Replica: wireID(id), Clock: crdt.AppendClock(nil, &clock), MaxBytes: maxMissing / 2,
		}}})
		if err != nil {
			return err
		}
		m := resp.GetMissing()
		deltas, err := decodeDeltas(m.GetDeltas())
		if err != nil {
			return err
		}
		commit, err := replica.Apply(deltas, false)
		if err == nil {
			err = commit.Wait()
		}
		switch {
		case err != nil:
			return err
		case m.GetTrimmed():
			return c.n.join(ctx, id, func(ctx context.Context, cursor []byte) ([]byte, []byte, error) {
				return c.fetch(ctx, peer, id, cursor)
			})
		case !m.GetMore():
			return nil
		}
	}
}

func (c *catchUp) fetch(ctx context.Context, peer string, id storage.ReplicaID, cursor []byte) (page, next []byte, err error) {
	resp, err := c.n.call(ctx, peer, &peerv1.Request{Of: &peerv1.Request_Snapshot{Snapshot: &peerv1.SnapshotPage{
		Replica: wireID(id), Cursor: cursor, MaxBytes: maxMissing / 2,
	}}})
	return resp.GetSnapshot().GetPage(), resp.GetSnapshot().GetCursor(), err
}

// join pulls a whole partition with fetch and joins it, a page at a time, while
// the replica goes on serving.
func (n *Node) join(ctx context.Context, id storage.ReplicaID, fetch func(ctx context.Context, cursor []byte) (page, next []byte, err error)) error {
	var j *storage.Join
	var cursor []byte
	for {
		encoded, next, err := fetch(ctx, cursor)
		if err != nil {
			return err
		}
		page, err := storage.DecodePage(encoded)
		if err != nil {
			return err
		}
		if j == nil {
			if j, err = n.store.Replica(id).BeginJoin(page.Clock); err != nil {
				return err
			}
			defer j.Abandon()
		}
		c, err := j.Page(page)
		if err == nil {
			err = c.Wait()
		}
		if err != nil {
			return err
		}
		if cursor = next; len(cursor) == 0 {
			break
		}
	}
	c, err := j.Finish()
	if err != nil {
		return err
	}
	return c.Wait()
}
