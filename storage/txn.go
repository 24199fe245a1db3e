package storage

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// txn is the cells of one replica as one batch will leave them. It is what the
// rules of crdt work on; commit turns it into records. It belongs to the
// holder of the replica's lock.
type txn struct {
	r     *Replica
	slots map[crdt.CellID]*slot
	heads map[crdt.CellID]*header // of collections, by id without path
}

// slot is a cell that was read, and perhaps replaced.
type slot struct {
	key    []byte
	hash   uint64
	was    crdt.Cell
	cell   crdt.Cell
	stored []byte // the record as it stands on disk
	dirty  bool
}

// header sums up a collection.
type header struct {
	key    []byte
	hash   uint64
	id     crdt.CellID
	count  int64 // cells that make their element exist
	digest merkle.Digest
	was    headState
}

type headState struct {
	count  int64
	digest merkle.Digest
}

func (r *Replica) newTxn() *txn {
	return &txn{r: r, slots: map[crdt.CellID]*slot{}, heads: map[crdt.CellID]*header{}}
}

func (t *txn) slot(id crdt.CellID) (*slot, error) {
	if s := t.slots[id]; s != nil {
		return s, nil
	}
	hash := t.r.store.opts.Hash(id.Bucket, []byte(id.Key))
	if t.r.store.partitionOf(hash) != t.r.id.Partition {
		return nil, fmt.Errorf("%w: it belongs to partition %d, not %d", ErrPartition, t.r.store.partitionOf(hash), t.r.id.Partition)
	}
	s := &slot{key: cellKey(t.r.id.Placement, hash, id), hash: hash}
	v, err := t.r.store.get(s.key)
	if err != nil {
		return nil, err
	}
	if v != nil {
		s.stored = v
		if s.was, err = crdt.DecodeCell(v); err != nil {
			return nil, fmt.Errorf("cell of kind %s: %w", id.Kind, err)
		}
	}
	s.cell = s.was
	t.slots[id] = s
	return s, nil
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

// Below is a method of crdt.Cells. The paths are gathered before the first
// call, since fn stores.
func (t *txn) Below(id crdt.CellID, fn func(crdt.CellID, crdt.Cell) error) error {
	paths := map[string]struct{}{}
	for other, s := range t.slots {
		if other.KeyID == id.KeyID && other.Kind == id.Kind && strings.HasPrefix(other.Path, id.Path) && s.dirty {
			paths[other.Path] = struct{}{}
		}
	}
	hash := t.r.store.opts.Hash(id.Bucket, []byte(id.Key))
	prefix := cellKey(t.r.id.Placement, hash, id)
	err := t.r.store.each(prefix, after(prefix), func(k, _ []byte) error {
		rec, err := parseRecord(k)
		if err == nil {
			paths[rec.id.Path] = struct{}{}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		at := crdt.CellID{KeyID: id.KeyID, Kind: id.Kind, Path: path}
		c, err := t.Load(at)
		if err == nil && len(c) > 0 {
			err = fn(at, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// head returns the header of the collection that id belongs to.
func (t *txn) head(id crdt.CellID, hash uint64) (*header, error) {
	id.Path = ""
	if h := t.heads[id]; h != nil {
		return h, nil
	}
	h := &header{key: appendHead(nil, tableData, t.r.id.Placement, hash, id), hash: hash, id: id}
	v, err := t.r.store.get(h.key)
	if err != nil {
		return nil, err
	}
	if v != nil {
		if h.was, err = decodeHeader(v); err != nil {
			return nil, err
		}
		h.count, h.digest = h.was.count, h.was.digest
	}
	t.heads[id] = h
	return h, nil
}

func decodeHeader(v []byte) (headState, error) {
	n, size := binary.Uvarint(v)
	if size <= 0 || len(v) != size+len(merkle.Digest{}) {
		return headState{}, fmt.Errorf("%w: header %x", errKey, v)
	}
	return headState{int64(n), merkle.Digest(v[size:])}, nil
}

// recordDigest is the share of one cell in the digests above it. It covers
// live dots only: replicas that hold the same live state agree whatever they
// wait for.
func recordDigest(key, value []byte) merkle.Digest {
	if len(value) == 0 {
		return merkle.Digest{}
	}
	b := make([]byte, 0, len(key)+len(value)+binary.MaxVarintLen64)
	b = binary.AppendUvarint(b, uint64(len(key)))
	return merkle.Sum(append(append(b, key...), value...))
}

// write puts the changed cells and headers into b and returns what that
// toggles in the tree.
func (t *txn) write(b *pebble.Batch) ([]toggle, error) {
	var toggles []toggle
	for id, s := range t.slots {
		if !s.dirty || s.cell.Equal(s.was) {
			continue
		}
		d, err := t.writeCell(b, id, s)
		if err != nil {
			return nil, err
		}
		if !id.Kind.Collection() {
			toggles = append(toggles, toggle{s.hash, d, cmp.Compare(len(s.cell), 0) - cmp.Compare(len(s.was), 0)})
		}
	}
	for _, h := range t.heads {
		if h.count == h.was.count && h.digest == h.was.digest {
			continue
		}
		if err := h.write(b); err != nil {
			return nil, err
		}
		d := recordDigest(h.key, h.was.encode())
		d.XOR(recordDigest(h.key, headState{h.count, h.digest}.encode()))
		toggles = append(toggles, toggle{h.hash, d, cmp.Compare(h.count, 0) - cmp.Compare(h.was.count, 0)})
	}
	return toggles, nil
}

// writeCell puts one cell into b and returns the digest of old XOR new.
func (t *txn) writeCell(b *pebble.Batch, id crdt.CellID, s *slot) (merkle.Digest, error) {
	var value []byte
	var err error
	if len(s.cell) > 0 {
		value = crdt.AppendCell(nil, s.cell)
		err = b.Set(s.key, value, nil)
	} else {
		err = b.Delete(s.key, nil)
	}
	d := recordDigest(s.key, s.stored)
	d.XOR(recordDigest(s.key, value))
	if err != nil {
		return d, err
	}
	if id.Kind.Collection() {
		h, err := t.head(id, s.hash)
		if err != nil {
			return d, err
		}
		h.digest.XOR(d)
		h.count += int64(cmp.Compare(len(s.cell), 0) - cmp.Compare(len(s.was), 0))
		return d, nil
	}
	return d, t.writeConflict(b, id, s)
}

// writeConflict keeps the index of registers that hold several values.
func (t *txn) writeConflict(b *pebble.Batch, id crdt.CellID, s *slot) error {
	if id.Kind != crdt.Register || (len(s.cell) > 1) == (len(s.was) > 1) {
		return nil
	}
	key := appendHead(nil, tableConflict, t.r.id.Placement, s.hash, id)
	if len(s.cell) > 1 {
		return b.Set(key, nil, nil)
	}
	return b.Delete(key, nil)
}

func (h headState) encode() []byte {
	if h == (headState{}) {
		return nil
	}
	return append(binary.AppendUvarint(nil, uint64(h.count)), h.digest[:]...)
}

func (h *header) write(b *pebble.Batch) error {
	if h.count == 0 {
		return b.Delete(h.key, nil)
	}
	return b.Set(h.key, headState{h.count, h.digest}.encode(), nil)
}
