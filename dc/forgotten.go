package dc

import (
	"maps"
	"slices"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// A node whose directory is an older copy of its own does not know that. The others
// do: what it told them, and what it acknowledged to them, is more than it tells now.

// memory is what is remembered of a peer's openings before the present one.
type memory struct {
	had  map[storage.ReplicaID]crdt.Clock // and has not told since
	told bool                             // it has told of everything in the present opening
}

// keep remembers what a peer had, before it is forgotten because the peer was
// started again. The caller holds the lock.
func (c *catchUp) keep(peer string) {
	m := c.once[peer]
	if m == nil {
		m = &memory{had: map[storage.ReplicaID]crdt.Clock{}}
		c.once[peer] = m
	}
	m.told = false
	for id, s := range c.known {
		if h := s.peers[peer]; h != nil && !h.now.Empty() {
			clock := m.had[id]
			clock.Union(&h.now)
			m.had[id] = clock
		}
	}
}

// compare drops what a peer has again. The caller holds the lock.
func (c *catchUp) compare(peer string, id storage.ReplicaID, now *crdt.Clock) {
	if m := c.once[peer]; m != nil {
		if had, ok := m.had[id]; ok && now.Covers(&had) {
			delete(m.had, id)
		}
	}
}

// toldAll notes that a peer has told of everything since it was started.
func (c *catchUp) toldAll(peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.once[peer]; m != nil {
		m.told = true
	}
}

// answered reports whether a peer told of everything since this node was opened, and
// with that whether this node forgot something.
func (c *catchUp) answered(peer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, met := c.met[peer]
	return met
}

// forgot is what a peer once had of replicas that it is still to hold, and has not
// told since it was started. A peer that has only just been started may have
// acknowledged it since, while what it told before was on its way.
func (c *catchUp) forgot(peer string) (once []*peerv1.ReplicaClock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.once[peer]
	if m == nil || !m.told {
		return nil
	}
	l := c.n.layout()
	maps.DeleteFunc(m.had, func(id storage.ReplicaID, _ crdt.Clock) bool { return !l.holds(peer, id) })
	for id, had := range m.had {
		once = append(once, &peerv1.ReplicaClock{Replica: wireID(id), Clock: crdt.AppendClock(nil, &had)})
	}
	return once
}

// remembers takes what a peer remembers of this node's openings before the present one.
func (r *recovery) remembers(peer string, once []*peerv1.ReplicaClock) {
	if slices.ContainsFunc(once, r.lost) {
		r.forgot(peer)
	}
}

// lost reports that this node does not have what it once had of a replica that it
// still holds.
func (r *recovery) lost(once *peerv1.ReplicaClock) bool {
	id := replicaID(once.GetReplica())
	if !r.n.layout().holds(r.n.id, id) {
		return false
	}
	had, err := crdt.DecodeClock(once.GetClock())
	if err != nil {
		return true
	}
	own := r.n.store.Replica(id).Durable()
	return !own.Covers(&had)
}
