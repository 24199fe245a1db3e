package dc

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
)

// A ring changes in three epochs. In the first, writes go to the old owners and
// to the new, reads to the old; every new owner catches up with the old ones by
// their clocks. When all have, the move turns: writes still go to both, reads to
// the new. When no old owner serves reads of the first any more, it settles, and
// the old owners hand over what they hold and drop it.

// moves brings a change of the ring to its end.
type moves struct {
	n *Node

	bytes *rate.Limiter // what this node takes from others
	pace  *pace         // what others take from it

	mu       sync.Mutex
	l        *layout                                     // that the rest is about
	began    time.Time                                   // when this node adopted it
	from     uint64                                      // bytes pulled by then
	marks    map[storage.ReplicaID]map[string]crdt.Clock // what each old owner told first under the present epoch
	complete map[storage.ReplicaID]bool                  // replicas that have caught up
	coming   []storage.ReplicaID                         // replicas that this node is to own
}

func newMoves(n *Node) *moves {
	return &moves{n: n, pace: newPace(), bytes: rate.NewLimiter(rate.Limit(n.opts.MoveRate), max(n.opts.MoveRate/4, maxMissing))}
}

// took waits until as many bytes more may be taken from other nodes.
func (m *moves) took(ctx context.Context, bytes int) error {
	return m.bytes.WaitN(ctx, min(bytes, m.bytes.Burst()))
}

// run looks, again and again, whether a move can go on.
func (m *moves) run() {
	tick := time.NewTicker(m.n.opts.Exchange)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.n.ctx.Done():
			return
		}
		l := m.n.layout()
		if l.next == nil {
			continue
		}
		m.catchUp(l)
		if m.speaks(l) && m.done(l) {
			ctx, cancel := context.WithTimeout(m.n.ctx, m.n.opts.Timeout)
			next := ring.Turn(l.doc.Epoch)
			if l.doc.Turned {
				next = ring.Settle(l.doc.Epoch)
			}
			if _, err := m.n.propose(ctx, next); err != nil && m.n.ctx.Err() == nil {
				m.n.opts.Logger.Debug("bring a move forward", "epoch", l.doc.Epoch, "error", err)
			}
			cancel()
		}
	}
}

// speaks reports whether it is for this node to propose the next step: the
// first of all that are alive. It does no harm if two think so.
func (m *moves) speaks(l *layout) bool {
	i := slices.IndexFunc(l.nodes, m.n.alive)
	return i >= 0 && l.nodes[i] == m.n.id
}

// catchUp notes which replicas that this node is to own have caught up.
func (m *moves) catchUp(l *layout) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.l != l {
		m.l, m.began, m.from = l, m.n.now(), m.n.count.PulledBytes.Load()
		m.marks, m.complete, m.coming = map[storage.ReplicaID]map[string]crdt.Clock{}, map[storage.ReplicaID]bool{}, nil
		for _, id := range m.n.replicasOf(l, m.n.id) {
			if l.coming(m.n.id, id) {
				m.coming = append(m.coming, id)
			}
		}
	}
	for _, id := range m.coming {
		if !m.complete[id] && m.caughtUp(l, id) {
			m.complete[id] = true
			m.n.recovery.moved(id)
		}
	}
}

// caughtUp reports whether a new owner has all that was acknowledged before the
// present epoch. An old owner that tells its clock under the epoch takes no
// write of an earlier one any more. When so many of them have told that no
// quorum is left without one, and all that are alive have, what they told is
// all there is; and what is written since is written here as well.
func (m *moves) caughtUp(l *layout, id storage.ReplicaID) bool {
	if m.marks[id] == nil {
		m.marks[id] = map[string]crdt.Clock{}
	}
	return m.n.coversQuorums(l, l.sets(id)[0], id, m.marks[id])
}

// toldUnder is a peer's clock, if it was told under an epoch.
func (c *catchUp) toldUnder(epoch uint64, peer string, id storage.ReplicaID) (crdt.Clock, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.met[peer] != epoch || c.told[peer] == nil {
		return crdt.Clock{}, false
	}
	if h := c.at(id).peers[peer]; h != nil {
		return h.now.Clone(), true
	}
	return crdt.Clock{}, false
}

// done asks all nodes whether this step of the move is done. Before the turn it
// is when every node of the target answers that its replicas have caught up;
// after it, when so many old owners of every partition act under the present
// epoch that no quorum is left to read from under the one before.
func (m *moves) done(l *layout) bool {
	under := map[string]*v1.Moving{}
	q := &peerv1.Inspect{Of: &peerv1.Inspect_Status{Status: &v1.StatusRequest{}}}
	m.n.everywhere(m.n.ctx, inspectTimeout, q, func(node string, a *peerv1.InspectDone) {
		if p := a.GetStatus().GetMoving(); p.GetEpoch() == l.doc.Epoch {
			under[node] = p
		}
	})
	if !l.doc.Turned {
		return !slices.ContainsFunc(l.doc.Target, func(e ring.Entry) bool {
			p := under[e.ID]
			return p == nil || p.GetPartitionsDone() < p.GetPartitions()
		})
	}
	for id := range m.n.everyPartition(l) {
		old := l.sets(id)[0]
		away := 0
		for _, owner := range old {
			if under[owner] == nil {
				away++
			}
		}
		if away >= leastQuorum(len(old)) {
			return false
		}
	}
	return true
}

// everyPartition ranges over all partitions of this datacenter.
func (n *Node) everyPartition(l *layout) func(yield func(storage.ReplicaID) bool) {
	return func(yield func(storage.ReplicaID) bool) {
		for placement := range l.now {
			for i := range n.opts.Topology.Partitions {
				if !yield(storage.ReplicaID{Placement: placement, Partition: uint32(i)}) {
					return
				}
			}
		}
	}
}

// progress tells how far this node is with the move under way; nil where
// nothing moves.
func (m *moves) progress() *v1.Moving {
	l := m.n.layout()
	if l.next == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &v1.Moving{Epoch: l.doc.Epoch, Turned: l.doc.Turned}
	if m.l != l { // it has yet to look
		p.Partitions = 1
		return p
	}
	p.Partitions, p.PartitionsDone = uint32(len(m.coming)), uint32(len(m.complete))
	p.Bytes = m.n.count.PulledBytes.Load() - m.from
	p.ElapsedMs = uint64(max(m.n.now().Sub(m.began), 0).Milliseconds())
	return p
}
