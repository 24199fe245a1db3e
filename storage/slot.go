package storage

import "github.com/godwitdb/godwit/crdt"

// slot is a cell that was read, and perhaps replaced.
type slot struct {
	key    []byte
	hash   uint64
	was    crdt.Cell
	cell   crdt.Cell
	stored []byte // the record as it stands on disk
	value  []byte // the record as it is written, once it is
	dirty  bool

	written bool // value counts
}

// now is the record as the batch leaves it, nil for none.
func (s *slot) now() []byte {
	if s.written {
		return s.value
	}
	return s.stored
}

// maxKeptTxn is how many cells a txn may have touched to be used again: a map
// stays as large as it ever was.
const maxKeptTxn = 64

// newTxn is a txn that has touched nothing. The caller holds the lock.
func (r *Replica) newTxn() *txn {
	t, ok := r.store.txns.Get().(*txn)
	if !ok {
		t = &txn{slots: map[crdt.CellID]*slot{}}
	}
	t.r = r
	return t
}

// release gives a txn back that nobody uses any more. Its maps and slots are used
// again, what they led to is not. It need not be called.
func (t *txn) release() {
	if len(t.slots) > maxKeptTxn || len(t.heads) > maxKeptTxn || len(t.conflicts.known) > maxKeptTxn {
		return
	}
	store := t.r.store
	clear(t.slots)
	clear(t.heads)
	clear(t.below)
	clear(t.conflicts.known)
	clear(t.conflicts.flipped)
	*t = txn{
		slots: t.slots, heads: t.heads, below: t.below,
		conflicts: conflictChanges{known: t.conflicts.known, flipped: t.conflicts.flipped},
	}
	store.txns.Put(t)
}

// newSlot is an empty slot.
func (t *txn) newSlot() *slot {
	if t.used == len(t.room) {
		return new(slot)
	}
	t.used++
	return &t.room[t.used-1]
}
