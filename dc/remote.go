package dc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
)

// Remote is this node as package replication sees it: the local end of the
// streams between datacenters.
type Remote struct{ n *Node }

var _ replication.Local = Remote{}

// Remote returns the node as replication.Local.
func (n *Node) Remote() Remote { return Remote{n} }

// Collect implements replication.Local.
func (r Remote) Collect(id replication.Replica, actor crdt.Actor, after uint64, maxBytes int) (delta []byte, upTo uint64, events int, err error) {
	d, err := r.n.store.Replica(replicaOf(id)).Collect(actor, after, maxBytes)
	if err != nil || d == nil {
		return nil, 0, 0, err
	}
	return abroad(d), d.Hi, int(d.Hi - d.Lo + 1), nil
}

// abroad encodes a delta for another datacenter. Request ids stay at home:
// they make retries exact at the replicas of one datacenter only.
func abroad(d *crdt.Delta) []byte {
	d.Requests = nil
	return crdt.AppendDelta(nil, d)
}

// Led implements replication.Local: the first owner that is alive speaks.
func (r Remote) Led() []replication.Replica {
	var out []replication.Replica
	l := r.n.layout()
	for id := range r.n.everyPartition(l) {
		owners := l.readers(id)
		if first := slices.IndexFunc(owners, r.n.alive); first >= 0 && owners[first] == r.n.id {
			out = append(out, replication.Replica(id))
		}
	}
	return out
}

// Candidates implements replication.Local.
func (r Remote) Candidates(dcName string, id replication.Replica) []string {
	return r.n.owners(dcName, replicaOf(id))
}

// Standing implements replication.Local. The least is what is settled here, see
// settling: all of that is in the clock that is told with it.
func (r Remote) Standing(id replication.Replica) (clock, least crdt.Clock, err error) {
	sid := replicaOf(id)
	clock = r.n.store.Replica(sid).Durable()
	r.n.peers.mu.Lock()
	defer r.n.peers.mu.Unlock()
	least = r.n.peers.settledHere(sid, &clock).Clone()
	return clock, least, nil
}

// Heard implements replication.Local.
func (r Remote) Heard(dcName string, id replication.Replica, clock, least crdt.Clock) {
	r.n.peers.mu.Lock()
	defer r.n.peers.mu.Unlock()
	r.n.peers.at(replicaOf(id)).dcs[dcName] = &remoteDC{clock, least}
}

// HeardOf implements replication.Local.
func (r Remote) HeardOf(dcName string, id replication.Replica, clock, least crdt.Clock) {
	r.n.peers.mu.Lock()
	dcs := r.n.peers.at(replicaOf(id)).dcs
	told := &remoteDC{clock.Clone(), least.Clone()}
	if known := dcs[dcName]; known != nil {
		told.clock.Union(&known.clock)
		told.least.Union(&known.least)
	}
	dcs[dcName] = told
	r.n.peers.mu.Unlock()
	// It may be older than what the datacenter would tell itself. That does: what was
	// stable before it counted another one in is also what those had that told of it.
	r.n.levels.compared(dcName, []replication.Replica{id})
}

// Told implements replication.Local.
func (r Remote) Told(dcName string, id replication.Replica) (clock, least crdt.Clock, ok bool) {
	r.n.peers.mu.Lock()
	defer r.n.peers.mu.Unlock()
	told := r.n.peers.at(replicaOf(id)).dcs[dcName]
	if told == nil {
		return crdt.Clock{}, crdt.Clock{}, false
	}
	return told.clock.Clone(), told.least.Clone(), true
}

// Origin implements replication.Local.
func (r Remote) Origin(actor crdt.Actor) string {
	dcName, _ := r.n.who(actor)
	return dcName
}

// Missing implements replication.Local.
func (r Remote) Missing(id replication.Replica, have *crdt.Clock, maxBytes int) (deltas [][]byte, more, trimmed bool, err error) {
	m, err := r.n.store.Replica(replicaOf(id)).Missing(have, maxBytes)
	if err != nil {
		return nil, false, false, err
	}
	for _, d := range m.Deltas {
		deltas = append(deltas, abroad(d))
	}
	return deltas, m.More, m.Trimmed, nil
}

// Apply implements replication.Local: through the owners of this datacenter,
// with a write quorum of them.
func (r Remote) Apply(ctx context.Context, id replication.Replica, encoded [][]byte) error {
	n, sid := r.n, replicaOf(id)
	l := n.layout()
	sets := l.sets(sid)
	if len(sets) == 0 {
		return fmt.Errorf("%w: %w: placement %08x is not kept in datacenter %s", replication.ErrPermanent, replication.ErrResidency, id.Placement, n.dc)
	}
	deltas, err := decodeDeltas(encoded)
	if err != nil {
		return errors.Join(replication.ErrPermanent, err)
	}
	if !slices.ContainsFunc(sets, func(set []string) bool { return n.peers.copiesOf(set, sid, deltas) < leastQuorum(len(set)) }) {
		return nil // it came before, in a batch or as an answer to a question
	}
	s := n.newSpread(sid, deltas, encoded)
	s.send(ctx, l)
	if l.holds(n.id, sid) {
		c, err := n.store.Replica(sid).Apply(deltas, false)
		if err != nil {
			return permanent(err)
		}
		if err := c.Wait(); err != nil {
			return err
		}
		s.copied(n.id)
		n.rights.took(sid, deltas...)
	}
	if !s.wait(ctx, leastQuorum) {
		got, _ := s.copies()
		return fmt.Errorf("%d of %d replicas took the events, %d are needed", got, len(sets[0]), leastQuorum(len(sets[0])))
	}
	return nil
}

// permanent marks what trying again cannot mend.
func permanent(err error) error {
	if errors.Is(err, storage.ErrPartition) || errors.Is(err, crdt.ErrEncoding) {
		return errors.Join(replication.ErrPermanent, err)
	}
	return err
}

func replicaOf(id replication.Replica) storage.ReplicaID { return storage.ReplicaID(id) }

// remoteClock is what another datacenter last reported to have.
func (c *catchUp) remoteClock(dcName string, id replication.Replica) crdt.Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.at(replicaOf(id)).dcs[dcName]; r != nil {
		return r.clock
	}
	return crdt.Clock{}
}
