package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

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

// head returns the header of the collection that id belongs to.
func (t *txn) head(id crdt.CellID, hash uint64) (*header, error) {
	id.Path = ""
	if h := t.heads[id]; h != nil {
		return h, nil
	}
	key := headKey(tableData, t.r.id.Placement, hash, id)
	if t.scanned && t.key == id.KeyID {
		return t.addHead(id, hash, key, nil)
	}
	v, err := t.r.store.get(key)
	if err != nil {
		return nil, err
	}
	return t.addHead(id, hash, key, v)
}

// addHead makes the header of a record that was read. It keeps key.
func (t *txn) addHead(id crdt.CellID, hash uint64, key, v []byte) (h *header, err error) {
	h = &header{key: key, hash: hash, id: id}
	if v != nil {
		if h.was, err = decodeHeader(v); err != nil {
			return nil, err
		}
		h.count, h.digest = h.was.count, h.was.digest
	}
	if t.heads == nil {
		t.heads = map[crdt.CellID]*header{}
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

func (h headState) encode() []byte {
	if h == (headState{}) {
		return nil
	}
	return append(binary.AppendUvarint(nil, uint64(h.count)), h.digest[:]...)
}

func (h *header) write(b *pebble.Batch) error {
	if h.digest.IsZero() { // no cell is left, not even one that does not count
		return b.Delete(h.key, nil)
	}
	return b.Set(h.key, headState{h.count, h.digest}.encode(), nil)
}
