package replication

import (
	"cmp"
	"slices"

	"github.com/godwitdb/godwit/crdt"
)

// mark is how far the events of one actor were minted and shipped.
type mark struct {
	replica        Replica
	actor          crdt.Actor
	noted, shipped uint64
	dirty          bool
	events         []*crdt.Delta // the first ones that are not shipped, in no order
	bytes          int           // of events, about
	many           bool          // there are more than those
}

// keep keeps a delta that is to be shipped soon, as long as there are few. The
// caller holds the lock.
func (s *shipper) keep(m *mark, d *crdt.Delta) {
	if m.many || d.Hi <= m.shipped {
		return
	}
	size := sizeOf(d)
	if len(m.events) == keptEvents || s.kept+size > keptBytes {
		s.forget(m)
		m.many = true
		return
	}
	m.events = append(m.events, d)
	m.bytes += size
	s.kept += size
}

// forget gives up the events that a mark keeps. The caller holds the lock.
func (s *shipper) forget(m *mark) {
	s.kept -= m.bytes
	m.events, m.bytes = nil, 0
}

// sizeOf is about how many bytes a delta takes.
func sizeOf(d *crdt.Delta) int {
	n := 64
	for i := range d.Changes {
		ch := &d.Changes[i]
		n += 64 + len(ch.ID.Bucket) + len(ch.ID.Key) + len(ch.ID.Path) + 16*len(ch.Removes)
		for j := range ch.Puts {
			n += 16 + len(ch.Puts[j].Payload)
		}
	}
	return n
}

// markLocked finds the mark of an actor. A replica has one actor at a time; an
// older one is forgotten when all of it was shipped.
func (s *shipper) markLocked(r Replica, actor crdt.Actor) *mark {
	ms := s.marks[r]
	for _, m := range ms {
		if m.actor == actor {
			return m
		}
	}
	m := &mark{replica: r, actor: actor}
	s.marks[r] = append(slices.DeleteFunc(ms, func(old *mark) bool { return !old.dirty }), m)
	return m
}

// waiting is what a mark has to ship: the events that it has kept, in order, from the
// first one on, and between which sequence numbers all are.
func (s *shipper) waiting(m *mark) (events []*crdt.Delta, noted, shipped uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events = slices.DeleteFunc(m.events, func(d *crdt.Delta) bool { return d.Hi <= m.shipped })
	s.forget(m)
	m.many = false
	slices.SortFunc(events, func(a, b *crdt.Delta) int { return cmp.Compare(a.Lo, b.Lo) })
	next := m.shipped + 1
	for _, d := range events {
		if d.Lo != next { // the one before was told of by this one, and comes later
			return nil, m.noted, m.shipped
		}
		next = d.Hi + 1
	}
	return events, m.noted, m.shipped
}

func (s *shipper) shipped(m *mark, upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.shipped = max(m.shipped, upTo)
	m.noted = max(m.noted, m.shipped)
	if m.shipped == m.noted { // what came late, with the message out that held it
		s.forget(m)
	}
}
