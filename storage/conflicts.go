package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// What waits for somebody's decision is indexed: registers, also within maps,
// that hold concurrent values which differ, and keys that exist as several
// kinds. The index is derived from the cells, replica by replica: whatever
// changes a cell changes it in the same batch, and it takes no part in digests,
// logs, joins or transfers.

// Conflict is one of them.
type Conflict struct {
	// ID is the register's or, with NoKind, the key of several kinds.
	ID       crdt.CellID
	Live     crdt.Cell   // of the register
	Kinds    []crdt.Kind // that the key exists as, where they are several; in order
	Position []byte      // where it stands in the order of the listing
}

// Value is what the register holds.
func (c *Conflict) Value() crdt.Value {
	kind, _ := c.ID.Leaf()
	return crdt.ReadValue(kind, []crdt.CellState{{ID: c.ID, Live: c.Live}})
}

// Size is about what keeping c takes, in bytes.
func (c *Conflict) Size() int {
	return len(c.ID.Bucket) + len(c.ID.Key) + len(c.ID.Path) + len(c.Kinds) + len(c.Position) + cellSize(c.Live)
}

// contested reports whether a cell is a register whose values wait for a write
// that has seen them all.
func contested(id crdt.CellID, c crdt.Cell) bool {
	if len(c) < 2 {
		return false
	}
	if kind, _ := id.Leaf(); kind != crdt.Register && kind != crdt.MVRegister {
		return false
	}
	v := (&Conflict{ID: id, Live: c}).Value()
	return v.Conflict()
}

// conflictKey is where the index keeps the register id or, with NoKind, a key
// of several kinds.
func conflictKey(placement uint32, hash uint64, id crdt.CellID) []byte {
	k := headKey(tableConflict, placement, hash, id)
	if id.Path != "" {
		k = append(append(k, partCell), id.Path...)
	}
	return k
}

// conflictChanges is what a batch does to the index.
type conflictChanges struct {
	known   map[crdt.KeyID]bool   // all small cells and headers of the key have been read
	flipped map[crdt.KeyID]uint64 // keys, with their hashes, that came to exist as a kind, or ceased to
	all     int                   // conflicts more than before
	kinds   int                   // of them, keys of several kinds
	arose   []arisen
}

// arisen is a conflict that a batch made.
type arisen struct {
	Conflict
	fresh bool // nothing of it was here before: a join may have brought it, long after it arose
}

// knowKinds reads the other kinds of a key where the index may need them: when
// the key comes to exist as the kind of id, or exists as several already. It
// reads with the slot, because writing the batch must not meet an error.
func (t *txn) knowKinds(id crdt.CellID, s *slot) error {
	if t.conflicts.known[id.KeyID] || id.Kind == crdt.Expiry {
		return nil
	}
	var absent bool
	if id.Kind.Collection() {
		head := id
		head.Path = ""
		absent = t.heads[head].was.count == 0
	} else {
		absent = presence(id, s.was) == 0
	}
	if !absent {
		if t.r.manyKinds == 0 {
			return nil
		}
		many, err := t.r.store.get(conflictKey(t.r.id.Placement, s.hash, crdt.CellID{KeyID: id.KeyID}))
		if many == nil {
			return err
		}
	}
	_, err := t.storedKinds(id.KeyID)
	return err
}

// learned notes that all small cells and headers of a key are known.
func (t *txn) learned(key crdt.KeyID) {
	if t.conflicts.known == nil {
		t.conflicts.known = map[crdt.KeyID]bool{}
	}
	t.conflicts.known[key] = true
}

// flip notes that a key came to exist as a kind, or ceased to.
func (t *txn) flip(key crdt.KeyID, hash uint64) {
	if t.conflicts.flipped == nil {
		t.conflicts.flipped = map[crdt.KeyID]uint64{}
	}
	t.conflicts.flipped[key] = hash
}

// writeConflict keeps the index in step with one cell.
func (t *txn) writeConflict(b *pebble.Batch, id crdt.CellID, s *slot) error {
	was, now := contested(id, s.was), contested(id, s.cell)
	if now && slices.ContainsFunc(s.cell, func(e crdt.Entry) bool { return !s.was.Has(e.Dot) }) {
		t.conflicts.arose = append(t.conflicts.arose, arisen{Conflict{ID: id, Live: s.cell}, len(s.was) == 0})
	}
	if was == now {
		return nil
	}
	return t.setConflict(b, conflictKey(t.r.id.Placement, s.hash, id), now)
}

func (t *txn) setConflict(b *pebble.Batch, key []byte, now bool) error {
	if now {
		t.conflicts.all++
		return b.Set(key, nil, nil)
	}
	t.conflicts.all--
	return b.Delete(key, nil)
}

// writeKinds keeps the index in step with the kinds that keys exist as. A key
// whose kinds are not known existed as one, and ceased to.
func (t *txn) writeKinds(b *pebble.Batch) error {
	for key, hash := range t.conflicts.flipped {
		if !t.conflicts.known[key] {
			continue
		}
		was, now := t.kindsOf(key)
		if len(now) > 1 && len(now) > len(was) {
			t.conflicts.arose = append(t.conflicts.arose, arisen{Conflict{ID: crdt.CellID{KeyID: key}, Kinds: now}, len(was) == 0})
		}
		if (len(was) > 1) == (len(now) > 1) {
			continue
		}
		before := t.conflicts.all
		if err := t.setConflict(b, conflictKey(t.r.id.Placement, hash, crdt.CellID{KeyID: key}), len(now) > 1); err != nil {
			return err
		}
		t.conflicts.kinds += t.conflicts.all - before
	}
	return nil
}

// kindsOf lists the kinds that a known key existed as, and those it exists as now.
func (t *txn) kindsOf(key crdt.KeyID) (was, now []crdt.Kind) {
	for _, k := range t.r.store.kinds {
		id := crdt.CellID{KeyID: key, Kind: k}
		var had, has bool
		if k.Collection() {
			if h := t.heads[id]; h != nil {
				had, has = h.was.count > 0, h.count > 0
			}
		} else if s := t.slots[id]; s != nil {
			had, has = presence(id, s.was) > 0, presence(id, s.cell) > 0
		}
		if had {
			was = append(was, k)
		}
		if has {
			now = append(now, k)
		}
	}
	return was, now
}

// countConflicts takes over what a committed batch did to the index. The caller
// holds the lock. An event makes conflicts, whatever it finds here; a join
// brings those of others as well, old ones too.
func (r *Replica) countConflicts(t *txn, joined bool) {
	r.contested += t.conflicts.all
	r.manyKinds += t.conflicts.kinds
	for _, a := range t.conflicts.arose {
		if !joined || !a.fresh {
			r.store.arisen.add(a.Conflict)
			if n := r.store.opts.Arisen; n != nil {
				n.Add(1)
			}
		}
	}
}

// Contested is the number of conflicts that the replica holds, those of keys
// that have expired included.
func (r *Replica) Contested() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.contested
}

// ConflictQuery says which conflicts to list.
type ConflictQuery struct {
	Bucket string // empty: all
	Behind []byte // only those behind this position
	Limit  int    // at the most; 0 is all
	Bytes  int    // about as many bytes of values at the most, but one conflict at the least; 0 is any number
}

// Conflicts lists the conflicts of the replica in order of their positions,
// which is the same for all replicas of a placement; more tells that the limit
// was reached. What has expired is left out.
func (r *Replica) Conflicts(q ConflictQuery) (out []Conflict, more bool, err error) {
	if err := r.store.enter(); err != nil {
		return nil, false, err
	}
	defer r.store.leave()
	lo, hi := hashBounds(tableConflict, r.id.Placement, r.firstHash(), r.lastHash())
	if behind := slices.Concat([]byte{tableConflict}, q.Behind, []byte{0}); len(q.Behind) > 0 && bytes.Compare(behind, lo) > 0 {
		lo = behind
	}
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return nil, false, nil
	}
	size := 0
	err = r.store.each(lo, hi, func(k, _ []byte) error {
		rec, err := parseSide(k)
		if err != nil || q.Bucket != "" && rec.id.Bucket != q.Bucket {
			return err
		}
		if q.Limit > 0 && len(out) >= q.Limit || q.Bytes > 0 && size >= q.Bytes {
			more = true
			return errEnough
		}
		c, err := r.conflict(rec.id)
		if err != nil || c == nil {
			return err
		}
		c.Position = bytes.Clone(k[1:])
		size += c.Size()
		out = append(out, *c)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, more, err
}

// conflict reads what the index names; nil where it has been settled meanwhile,
// or has expired.
func (r *Replica) conflict(id crdt.CellID) (*Conflict, error) {
	a, err := r.Read(Query{Key: id.KeyID, Under: id.Path, Limit: 1})
	if err != nil || a.Expired(r.store.opts.Wall()) {
		return nil, err
	}
	c := &Conflict{ID: id}
	if id.Kind == crdt.NoKind {
		if c.Kinds = a.Kinded(); len(c.Kinds) < 2 {
			return nil, nil
		}
		return c, nil
	}
	for _, cs := range a.Cells {
		if cs.ID == id && contested(id, cs.Live) {
			c.Live = cs.Live
			return c, nil
		}
	}
	return nil, nil
}

// Kinded lists the kinds that the key exists as, in order.
func (a *Answer) Kinded() []crdt.Kind {
	have := slices.Clone(a.Present)
	for _, c := range a.Cells {
		if !c.ID.Kind.Collection() && crdt.PresentCell(c.ID, c.Live) {
			have = append(have, c.ID.Kind)
		}
	}
	slices.Sort(have)
	return have
}

// conflictsKey tells the version of the index of conflicts that the database has.
var conflictsKey = append([]byte{tableMeta}, "conflicts"...)

const (
	conflictsVersion = 1
	conflictsBatch   = 1 << 20 // bytes of one batch of the index as it is built
)

// indexConflicts makes the index for a database of a version that kept none, or
// less, and counts it. It may be broken off: nothing of it counts before it is whole.
func (s *Store) indexConflicts() error {
	have, err := s.get(conflictsKey)
	if err == nil && !bytes.Equal(have, []byte{conflictsVersion}) {
		err = s.buildConflicts()
	}
	if err != nil {
		return fmt.Errorf("index conflicts: %w", err)
	}
	return s.each([]byte{tableConflict}, after([]byte{tableConflict}), func(k, _ []byte) error {
		rec, err := parseSide(k)
		if err != nil {
			return err
		}
		r := s.replicaLocked(ReplicaID{binary.BigEndian.Uint32(k[1:]), s.partitionOf(rec.hash)})
		r.contested++
		if rec.id.Kind == crdt.NoKind {
			r.manyKinds++
		}
		return nil
	})
}

func (s *Store) buildConflicts() error {
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // what counts was committed
	if err := b.DeleteRange([]byte{tableConflict}, after([]byte{tableConflict}), nil); err != nil {
		return err
	}
	var w conflictWalk
	err := s.each([]byte{tableData}, after([]byte{tableData}), func(k, v []byte) error {
		if err := w.record(b, k, v); err != nil || b.Len() <= conflictsBatch {
			return err
		}
		err := b.Commit(pebble.NoSync)
		b.Reset()
		return err
	})
	if err == nil {
		err = b.Set(conflictsKey, []byte{conflictsVersion}, nil)
	}
	if err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// conflictWalk finds the conflicts of records that come in their order.
type conflictWalk struct {
	key   crdt.KeyID
	kinds int // that it exists as, as far as records came
}

// record puts the conflicts that a record makes into b.
func (w *conflictWalk) record(b *pebble.Batch, k, v []byte) error {
	rec, err := parseRecord(k)
	if err != nil {
		return err
	}
	placement := binary.BigEndian.Uint32(k[1:])
	if rec.id.KeyID != w.key {
		w.key, w.kinds = rec.id.KeyID, 0
	}
	if rec.part == partCell || !rec.id.Kind.Collection() {
		c, err := crdt.DecodeCell(v)
		if err != nil {
			return err
		}
		if contested(rec.id, c) {
			if err := b.Set(conflictKey(placement, rec.hash, rec.id), nil, nil); err != nil {
				return err
			}
		}
	}
	if rec.part == partCell {
		return nil
	}
	live, err := exists(rec, v)
	if err != nil || !live {
		return err
	}
	if w.kinds++; w.kinds == 2 {
		return b.Set(conflictKey(placement, rec.hash, crdt.CellID{KeyID: w.key}), nil, nil)
	}
	return nil
}
