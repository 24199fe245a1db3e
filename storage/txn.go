package storage

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// txn is the cells of one replica as one batch will leave them. It is what the
// rules of crdt work on; commit turns it into records. It belongs to the
// holder of the replica's lock.
type txn struct {
	r     *Replica
	slots map[crdt.CellID]*slot
	heads map[crdt.CellID]*header // of collections, by id without path
	below map[crdt.CellID]bool    // everything at or below the path has its slot

	key     crdt.KeyID // the last one that was hashed
	hash    uint64
	hashed  bool
	scanned bool // all small cells and headers of key that exist are known
	missed  bool // they are not kept

	sharing bool             // several keys are about to be read,
	shared  *pebble.Iterator // ... by this one, once it is open

	conflicts conflictChanges

	used int     // of room
	room [2]slot // for the first slots
}

// preload reads everything that the rule for d touches, so that the rule, and
// the commit after it, meet no error half way. An event that is known, because it
// came by another way, touches nothing.
func (t *txn) preload(d *crdt.Delta) (err error) {
	if t.r.state.Clock.ContainsRange(d.Actor, d.Lo, d.Hi) {
		return nil
	}
	t.sharing = len(d.Changes) > 1
	defer func() { err = errors.Join(err, t.unshare()) }()
	for i := range d.Changes {
		ch := &d.Changes[i]
		if _, err := t.slot(ch.ID); err != nil {
			return err
		}
		if ch.Below.Empty() {
			continue
		}
		if err := t.Below(ch.ID, func(crdt.CellID, crdt.Cell) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) slot(id crdt.CellID) (*slot, error) {
	if s := t.slots[id]; s != nil {
		return s, nil
	}
	hash, err := t.hashOf(id.KeyID)
	if err != nil {
		return nil, err
	}
	key := cellKey(t.r.id.Placement, hash, id)
	if !t.scanned && !t.missed {
		if _, err := t.recall(id.KeyID, key[:splitKey(key)]); err != nil {
			return nil, err
		}
		if s := t.slots[id]; s != nil {
			return s, nil
		}
	}
	if !t.scanned && !id.Kind.Collection() { // it is there as other kinds as well, or not at all: knowKinds would ask next
		if _, err := t.storedKinds(id.KeyID); err != nil {
			return nil, err
		}
		if s := t.slots[id]; s != nil {
			return s, nil
		}
	}
	var v []byte
	if id.Kind.Collection() {
		if v, err = t.r.store.get(key); err != nil {
			return nil, err
		}
	}
	s, err := t.addSlot(id, hash, key, v)
	if err != nil {
		return nil, err
	}
	return s, t.knowKinds(id, s)
}

// storedKinds lists the kinds of which a key has records, and keeps the small
// cells and headers that it passes.
func (t *txn) storedKinds(key crdt.KeyID) ([]crdt.Kind, error) {
	hash, err := t.hashOf(key)
	if err != nil {
		return nil, err
	}
	prefix := keyPrefix(t.r.id.Placement, hash, key)
	if kept, err := t.recall(key, prefix); err != nil || kept != nil {
		return t.kindsIn(key, kept, len(prefix)), err
	}
	it, err := t.keyIter(prefix)
	if err != nil {
		return nil, err
	}
	kinds, err := t.passKinds(it, key, prefix)
	err = errors.Join(err, it.Error())
	if !t.sharing {
		err = errors.Join(err, it.Close())
	}
	if t.scanned = err == nil; t.scanned {
		t.learned(key)
	}
	return kinds, err
}

// keyIter passes the records of one key, sought by prefix. While t is sharing it is
// the same one for all keys: to open the tables costs more than to seek in them, and
// nobody but the holder of the lock changes the partition.
func (t *txn) keyIter(prefix []byte) (*pebble.Iterator, error) {
	if !t.sharing {
		return t.r.store.newKeyIter(prefix, after(prefix))
	}
	if t.shared == nil {
		var err error
		if t.shared, err = t.r.store.newKeyIter(nil, nil); err != nil {
			return nil, err
		}
	}
	return t.shared, nil
}

// unshare ends sharing.
func (t *txn) unshare() error {
	it := t.shared
	t.sharing, t.shared = false, nil
	if it == nil {
		return nil
	}
	return it.Close()
}

// newKeyIter passes the records of keys between bounds, sought by prefix. The filters
// of the lowest level tell of a key that is not there; Pebble would read a block in
// spite of them.
func (s *Store) newKeyIter(lo, hi []byte) (*pebble.Iterator, error) {
	return s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi, UseL6Filters: true})
}

// kindsIn lists the kinds that records tell of, which this transaction knows.
func (t *txn) kindsIn(key crdt.KeyID, r headRecords, prefix int) (kinds []crdt.Kind) {
	if r == nil {
		return nil
	}
	_ = r.each(func(k, _ []byte) error { // which never fails
		id := crdt.CellID{KeyID: key, Kind: crdt.Kind(k[prefix])}
		if !id.Kind.Collection() || t.heads[id].count > 0 { // else it holds only what does not count, such as marks
			kinds = append(kinds, id.Kind)
		}
		return nil
	})
	return kinds
}

func (t *txn) passKinds(it *pebble.Iterator, key crdt.KeyID, prefix []byte) (kinds []crdt.Kind, err error) {
	for ok := it.SeekPrefixGE(prefix); ok && err == nil; {
		k := it.Key()
		id := crdt.CellID{KeyID: key, Kind: crdt.Kind(k[len(prefix)])}
		live := true
		switch {
		case !id.Kind.Collection() && t.slots[id] != nil: // read before, and changed perhaps
		case !id.Kind.Collection():
			_, err = t.addSlot(id, t.hash, bytes.Clone(k), bytes.Clone(it.Value()))
		case k[len(prefix)+1] == partHead:
			h := t.heads[id]
			if h == nil {
				h, err = t.addHead(id, t.hash, bytes.Clone(k), it.Value())
			}
			live = err == nil && h.count > 0 // else it holds only what does not count, such as marks
		}
		if live {
			kinds = append(kinds, id.Kind)
		}
		ok = it.SeekPrefixGE(nextKind(k, prefix)) // Next would pass all old versions of a hot key
	}
	return kinds, err
}

// hashOf is that of the replica, kept for the next cell of the same key.
func (t *txn) hashOf(key crdt.KeyID) (uint64, error) {
	if t.hashed && t.key == key {
		return t.hash, nil
	}
	hash, err := t.r.hashOf(key)
	t.key, t.hash, t.hashed, t.scanned = key, hash, err == nil, false
	t.missed = false
	return hash, err
}

// addSlot makes the slot of a record that was read, and the header that a
// change of it would change. It keeps key and stored.
func (t *txn) addSlot(id crdt.CellID, hash uint64, key, stored []byte) (*slot, error) {
	s := t.newSlot()
	*s = slot{key: key, hash: hash, stored: stored}
	if stored != nil {
		var err error
		if s.was, err = crdt.DecodeCell(stored); err != nil {
			return nil, fmt.Errorf("cell of kind %s: %w", id.Kind, err)
		}
	}
	if id.Kind.Collection() {
		if _, err := t.head(id, hash); err != nil {
			return nil, err
		}
	}
	s.cell = s.was
	t.slots[id] = s
	return s, nil
}

// hashOf returns the hash of a key that belongs to the replica's partition.
func (r *Replica) hashOf(key crdt.KeyID) (uint64, error) {
	hash := r.store.opts.Hash(key.Bucket, []byte(key.Key))
	if p := r.store.partitionOf(hash); p != r.id.Partition {
		return 0, fmt.Errorf("%w: it belongs to partition %d, not %d", ErrPartition, p, r.id.Partition)
	}
	return hash, nil
}

// get returns a copy of a record, nil when there is none.
func (s *Store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(v)), v...)
	return out, closer.Close()
}

// Load is a method of crdt.Cells.
func (t *txn) Load(id crdt.CellID) (crdt.Cell, error) {
	s, err := t.slot(id)
	if err != nil {
		return nil, err
	}
	return s.cell, nil
}

// Store is a method of crdt.Cells.
func (t *txn) Store(id crdt.CellID, c crdt.Cell) error {
	s, err := t.slot(id)
	if err != nil {
		return err
	}
	s.cell, s.dirty = c, true
	return nil
}

// Below is a method of crdt.Cells. It reads no further than fn wants, so that
// asking whether there is anything costs one cell of a large collection.
func (t *txn) Below(id crdt.CellID, fn func(crdt.CellID, crdt.Cell) error) error {
	if t.below[id] {
		return t.giveUpTo(t.slotsBelow(id, false), nil, fn)
	}
	hash, err := t.hashOf(id.KeyID)
	if err != nil {
		return err
	}
	fresh := t.slotsBelow(id, true)
	prefix := cellKey(t.r.id.Placement, hash, id)
	err = t.r.store.each(prefix, after(prefix), func(k, v []byte) error {
		rec, err := parseRecord(k)
		if err != nil {
			return err
		}
		if t.slots[rec.id] == nil {
			if _, err := t.addSlot(rec.id, hash, bytes.Clone(k), bytes.Clone(v)); err != nil {
				return err
			}
		}
		n, _ := slices.BinarySearchFunc(fresh, rec.id, crdt.CellID.Compare)
		before := fresh[:n]
		fresh = fresh[n:]
		return t.giveUpTo(before, &rec.id, fn)
	})
	if err == nil {
		err = t.giveUpTo(fresh, nil, fn)
	}
	if err == nil {
		if t.below == nil {
			t.below = map[crdt.CellID]bool{}
		}
		t.below[id] = true
	}
	return err
}

// giveUpTo calls fn for those of the cells, and of the last one after them,
// that are not empty.
func (t *txn) giveUpTo(cells []crdt.CellID, last *crdt.CellID, fn func(crdt.CellID, crdt.Cell) error) error {
	if last != nil {
		cells = append(slices.Clip(cells), *last)
	}
	for _, at := range cells {
		s := t.slots[at]
		if len(s.cell) == 0 {
			continue
		}
		if err := fn(at, s.cell); err != nil {
			return err
		}
	}
	return nil
}

// slotsBelow lists the cells with a slot whose path begins with id.Path, in
// order, or those of them that have no record on disk.
func (t *txn) slotsBelow(id crdt.CellID, unrecorded bool) []crdt.CellID {
	var out []crdt.CellID
	for other, s := range t.slots {
		if other.KeyID == id.KeyID && other.Kind == id.Kind && strings.HasPrefix(other.Path, id.Path) && (s.stored == nil || !unrecorded) {
			out = append(out, other)
		}
	}
	slices.SortFunc(out, crdt.CellID.Compare)
	return out
}
