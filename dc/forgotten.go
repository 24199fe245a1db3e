package dc

import (
	"maps"

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

// forgot reports whether a peer once had what it has not had since it was started,
// of replicas that it is still to hold.
func (c *catchUp) forgot(peer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.once[peer]
	if m == nil || !m.told {
		return false
	}
	l := c.n.layout()
	maps.DeleteFunc(m.had, func(id storage.ReplicaID, _ crdt.Clock) bool { return !l.holds(peer, id) })
	return len(m.had) > 0
}
