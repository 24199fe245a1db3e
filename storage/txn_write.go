package storage

import (
	"cmp"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// recordDigest is the share of one cell in the digests above it. It covers
// live dots only: replicas that hold the same live state agree whatever they
// wait for.
func recordDigest(key, value []byte) merkle.Digest {
	if len(value) == 0 {
		return merkle.Digest{}
	}
	b := binary.AppendUvarint(make([]byte, 0, 512), uint64(len(key))) // small ones stay on the stack
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
		if err == nil {
			err = t.writeMarks(b, id, s)
		}
		if err != nil {
			return nil, err
		}
		if !id.Kind.Collection() {
			toggles = append(toggles, t.toggled(id.KeyID, s.hash, d, presence(id, s.cell)-presence(id, s.was)))
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
		toggles = append(toggles, t.toggled(h.id.KeyID, h.hash, d, cmp.Compare(h.count, 0)-cmp.Compare(h.was.count, 0)))
	}
	return toggles, t.writeKinds(b)
}

// toggled is what a changed record toggles. Keys tells whether its key came to
// exist as the kind, 1, or ceased to, -1.
func (t *txn) toggled(key crdt.KeyID, hash uint64, d merkle.Digest, keys int) toggle {
	if keys != 0 {
		t.flip(key, hash)
	}
	return toggle{hash, d, keys}
}

// presence is 1 for a cell that makes its key, or its element, exist.
func presence(id crdt.CellID, c crdt.Cell) int {
	if crdt.PresentCell(id, c) {
		return 1
	}
	return 0
}

// cellSize is about what the encoding of a cell takes.
func cellSize(c crdt.Cell) int {
	n := binary.MaxVarintLen32
	for i := range c {
		n += 8 + 2*binary.MaxVarintLen32 + len(c[i].Payload)
	}
	return n
}

// writeCell puts one cell into b and returns the digest of old XOR new.
func (t *txn) writeCell(b *pebble.Batch, id crdt.CellID, s *slot) (merkle.Digest, error) {
	var value []byte
	var err error
	if len(s.cell) > 0 {
		value = crdt.AppendCell(make([]byte, 0, cellSize(s.cell)), s.cell)
		err = b.Set(s.key, value, nil)
	} else {
		err = b.Delete(s.key, nil)
	}
	s.value, s.written = value, true
	d := recordDigest(s.key, s.stored)
	d.XOR(recordDigest(s.key, value))
	if err != nil {
		return d, err
	}
	if id.Kind.Collection() {
		h, err := t.head(id, s.hash) // read with the slot
		if err != nil {
			return d, err
		}
		h.digest.XOR(d)
		h.count += int64(presence(id, s.cell) - presence(id, s.was))
		return d, errors.Join(t.writeConflict(b, id, s), t.writeScore(b, id, s))
	}
	return d, errors.Join(t.writeConflict(b, id, s), t.writeExpiry(b, id, s))
}
