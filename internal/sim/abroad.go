package sim

import (
	"context"
	"slices"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/replication/linktest"
	"github.com/godwitdb/godwit/topology"
)

// What the links between datacenters are like when nothing is wrong with them.
const (
	wanLatency = 40 * time.Millisecond
	wanRetain  = 2000 // messages of a lane, about what fits into a run

	verifyEvery = 3 * time.Second // between two comparisons of trees
)

func newWAN(seed uint64) *linktest.Network {
	return linktest.New(linktest.Options{Latency: wanLatency, Retain: wanRetain, Seed: seed})
}

// healWAN ends all that is wrong between datacenters.
func (c *Cluster) healWAN() {
	c.wan.Change(func(o *linktest.Options) {
		o.Latency, o.Jitter, o.Loss, o.Duplicate, o.Reorder = wanLatency, 0, 0, 0, 0
	})
	for i, a := range c.DCs {
		for _, b := range c.DCs[i+1:] {
			c.wan.Heal(a.Name, b.Name)
		}
	}
	for n := range c.nodes {
		c.wan.Stick(n.peer(), false)
	}
}

// peer is the node's name between datacenters.
func (n *Node) peer() replication.Peer { return replication.Peer{DC: n.dc.Name, Node: n.id} }

// connect begins replication with the other datacenters, if there are any.
func (l *life) connect() (err error) {
	c := l.node.cluster
	if len(c.DCs) < 2 {
		return nil
	}
	l.wan = c.wan.Link(l.node.peer())
	l.repl, err = replication.Start(replication.Options{
		Self: l.node.peer(), Link: port{l.wan, l.node}, Local: customs{l.dc.Remote(), l},
		Peers: func() []replication.Peer { return c.peersOf(l.node.dc) }, LiveNodes: l.dc.Live, Placements: c.placements,
		ExchangeEvery: c.opts.Exchange, VerifyEvery: verifyEvery, Notices: l.dc.Remote(), Now: l.node.wall, Logger: c.opts.Logger.With("node", l.id),
	})
	if err == nil {
		l.dc.SetReplicator(l.repl)
	}
	return err
}

// disconnect ends what connect began.
func (l *life) disconnect() {
	if l.repl != nil {
		l.repl.Close()
	}
	if l.wan != nil {
		l.wan.Close()
	}
}

// peersOf are the nodes of all other datacenters.
func (c *Cluster) peersOf(d *DC) []replication.Peer {
	var out []replication.Peer
	for n := range c.nodes {
		if _, there := c.acts().DC(n.dc.Name); there && n.dc != d {
			out = append(out, n.peer())
		}
	}
	return out
}

// placements are those that a datacenter holds.
func (c *Cluster) placements(dcName string) []uint32 {
	var out []uint32
	for _, p := range c.acts().Placements {
		if p.Replicas[dcName] > 0 {
			out = append(out, topology.PlacementID(p.Name))
		}
	}
	return out
}

// customs looks at everything that comes to a datacenter from another one, and
// at what another one is told.
type customs struct {
	replication.Local
	life *life
}

// Apply is a method of replication.Local.
func (c customs) Apply(ctx context.Context, r replication.Replica, deltas [][]byte) error {
	c.enters(r)
	c.life.node.cluster.watch.deltas(deltas)
	return c.Local.Apply(ctx, r, deltas)
}

// Compare is a method of replication.Local.
func (c customs) Compare(r replication.Replica) (replication.Comparison, error) {
	c.enters(r)
	c.life.node.cluster.watch.compared()
	return c.Local.Compare(r)
}

// Missing is a method of replication.Local.
func (c customs) Missing(r replication.Replica, have *crdt.Clock, maxBytes int) (deltas [][]byte, more, trimmed bool, err error) {
	deltas, more, trimmed, err = c.Local.Missing(r, have, maxBytes)
	if err != nil || !trimmed || more || c.life.gone() {
		return deltas, more, trimmed, err
	}
	clock, _, err := c.Standing(r)
	if err == nil {
		c.life.node.cluster.trimmed(copyOf{r.Placement, r.Partition}, crdt.AppendClock(nil, have), crdt.AppendClock(nil, &clock), deltas)
	}
	return deltas, more, trimmed, err
}

// smallPage is how much a replica that is read whole tells at once: so little
// that what comes over a link can break off in between.
const smallPage = 600

// Answer is a method of replication.Local.
func (c customs) Answer(r replication.Replica, ask []byte, maxBytes int) ([]byte, error) {
	return c.Local.Answer(r, ask, min(maxBytes, smallPage))
}

// port looks at what a node is handed of the outboxes of other datacenters.
type port struct {
	*linktest.Link
	node *Node
}

// Pull is a method of replication.Link.
func (p port) Pull(ctx context.Context, from replication.Peer, lane int, handle func(ctx context.Context, m replication.Message)) error {
	c := p.node.cluster
	return p.Link.Pull(ctx, from, lane, func(ctx context.Context, m replication.Message) {
		if m.Placement != replication.Everyone && !slices.Contains(c.placements(p.node.dc.Name), m.Placement) {
			c.watch.fail("a message of placement %08x left %s for %s, which must not hold it", m.Placement, from, p.node)
		}
		handle(ctx, m)
	})
}

// enters notes data of a placement that the datacenter does not hold.
func (c customs) enters(r replication.Replica) {
	n := c.life.node
	if !slices.Contains(n.cluster.placements(n.dc.Name), r.Placement) {
		n.cluster.watch.fail("data of partition %s came to %s, which must not hold it", copyOf{r.Placement, r.Partition}, n.dc.Name)
	}
}

// joins counts those of whole partitions from co-owners, by all nodes.
func (c *Cluster) joins() uint64 {
	n := c.watch.joins.Load()
	for node := range c.nodes {
		if l := node.current(); l != nil {
			n += l.dc.Counters().Joins.Load()
		}
	}
	return n
}

// trimmed looks at an answer that a log no longer reaches back. The first event
// that it does not tell of is gone from a log: every replica must have it. Of
// those after it nothing is known. That the asker lacks it says nothing, for the
// question may have been under way for long. What came by a join is in no log of
// the one that joined, so after the first of them such answers tell nothing.
func (c *Cluster) trimmed(id copyOf, asked, answered []byte, deltas [][]byte) {
	if c.joins() > 0 {
		return
	}
	have, err := crdt.DecodeClock(asked)
	theirs, bad := crdt.DecodeClock(answered)
	if err != nil || bad != nil {
		c.watch.fail("clock of a question: %v, of its answer: %v", err, bad)
		return
	}
	for _, b := range deltas {
		if d, err := crdt.DecodeDelta(b); err == nil {
			have.AddRange(d.Actor, d.Lo, d.Hi)
		}
	}
	lacks := crdt.Difference(&theirs, &have)
	for n := range c.nodes {
		clock, owns := n.clocks()[id]
		if !owns {
			continue // or it is down
		}
		for actor, ranges := range lacks.All() {
			if !clock.Contains(crdt.Dot{Actor: actor, Seq: ranges[0].Lo}) {
				c.watch.tooEarly()
				return
			}
		}
	}
}
