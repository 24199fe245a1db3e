package storage

import (
	"bytes"
	"slices"
	"sync"

	"github.com/godwitdb/godwit/crdt"
)

const (
	arisenMost  = 1024    // conflicts that are remembered
	arisenBytes = 4 << 20 // of them; one is kept whatever its size
)

// arisenList remembers the last conflicts that arose in a store, each under its
// number in order, from 1. Safe for concurrent use; the zero value is ready.
type arisenList struct {
	mu   sync.Mutex
	last uint64 // number of the newest
	list []Conflict
	size int
}

// add remembers c, and forgets the oldest where there are too many.
func (a *arisenList) add(c Conflict) {
	own := make(crdt.Cell, len(c.Live)) // what came with a message must not be kept whole
	for i, e := range c.Live {
		own[i] = crdt.Entry{Dot: e.Dot, Payload: bytes.Clone(e.Payload)}
	}
	c.Live = own
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	a.list = append(a.list, c)
	a.size += c.Size()
	drop := 0
	for drop < len(a.list)-1 && (len(a.list)-drop > arisenMost || a.size > arisenBytes) {
		a.size -= a.list[drop].Size()
		drop++
	}
	a.list = slices.Delete(a.list, 0, drop)
}

// Arisen lists conflicts that arose in the store, on any replica, behind a
// number, up to about limit bytes of them but one at the least; last is the
// number of the last one that the list tells of. They may have been settled
// since; the oldest are forgotten. A conflict that gained a value arose again.
// What a join brought whole is not told: it arose elsewhere, perhaps long ago.
// Numbers begin anew with every opening. The caller must not change them.
func (s *Store) Arisen(behind uint64, limit int) (list []Conflict, last uint64) {
	a := &s.arisen
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.last - uint64(len(a.list)) // number before that of the oldest
	last = max(behind, first)
	for size := 0; last < a.last && (len(list) == 0 || size < limit); last++ {
		c := a.list[last-first]
		size += c.Size()
		list = append(list, c)
	}
	return list, last
}

// ArisenCount is the number of conflicts that have arisen in the store since it
// was opened.
func (s *Store) ArisenCount() uint64 {
	s.arisen.mu.Lock()
	defer s.arisen.mu.Unlock()
	return s.arisen.last
}
