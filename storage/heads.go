package storage

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// heads keeps what stands directly under the keys of a replica that were used of
// late, its small cells and the headers of its collections, as their records: to
// find them in the database costs more than to change them. The replica's lock
// guards it, and the one door brings it in step with every batch, so it holds
// what the database holds.
//
// Where there is no room for more, of a few keys the one is forgotten that was not
// used for longest. So it needs neither a list nor a lock of its own, which a cache
// for all replicas would, and forgets nothing while all keys have room. The zero
// heads is empty.
//
// Source: the approximated LRU of Redis, https://redis.io/docs/latest/develop/reference/eviction/.
type heads struct {
	kept  map[uint64]head // by the hash of the key
	bytes int             // about what they take
	now   uint32          // how many were kept so far
}

// head is what is kept of one key.
type head struct {
	records headRecords
	used    uint32 // now, when it was used last
}

// headRecords are those of one key in their order, with keys: a byte that says
// whether there are headers among them, and then length, key, length, value of
// each. They never change.
type headRecords []byte

const (
	headOverhead = 64      // bytes that keeping a key takes beside its records
	maxHeads     = 4 << 10 // bytes of the records of one key that is kept
	headSample   = 8       // keys of which one is forgotten
)

// get returns the records under a prefix; nil if they are not known.
func (h *heads) get(hash uint64, prefix []byte) headRecords {
	k, ok := h.kept[hash]
	if !ok || !k.records.under(prefix) { // it may be another key of that hash
		return nil
	}
	if k.used != h.now {
		k.used = h.now
		h.kept[hash] = k
	}
	return k.records
}

// put keeps the records of a key; none make it unknown. Limit is about how many
// bytes of all keys are kept.
func (h *heads) put(hash uint64, r headRecords, limit int64) {
	h.drop(hash)
	if len(r) <= 1 || len(r) > maxHeads {
		return
	}
	for h.bytes > 0 && int64(h.bytes+len(r)+headOverhead) > limit {
		h.forget()
	}
	if h.kept == nil {
		h.kept = map[uint64]head{}
	}
	h.now++
	h.kept[hash] = head{r, h.now}
	h.bytes += len(r) + headOverhead
}

// forget makes a key unknown that was not used of late; there is one at least.
func (h *heads) forget() {
	var victim uint64
	seen, idle := 0, uint32(0)
	for hash, k := range h.kept { // which begins anywhere
		if age := h.now - k.used; seen == 0 || age > idle {
			victim, idle = hash, age
		}
		if seen++; seen == headSample {
			break
		}
	}
	h.drop(victim)
}

// drop makes a key unknown.
func (h *heads) drop(hash uint64) {
	if k, ok := h.kept[hash]; ok {
		h.bytes -= len(k.records) + headOverhead
		delete(h.kept, hash)
	}
}

// add appends a record, whose key is behind those that are there.
func (r headRecords) add(key, value []byte, header bool) headRecords {
	if len(r) == 0 {
		r = append(r, 0)
	}
	if header {
		r[0] = 1
	}
	r = append(binary.AppendUvarint(r, uint64(len(key))), key...)
	return append(binary.AppendUvarint(r, uint64(len(value))), value...)
}

// headers reports whether some of the records are headers.
func (r headRecords) headers() bool { return r[0] != 0 }

// under reports whether the headRecords are those of a key.
func (r headRecords) under(prefix []byte) bool {
	key, _, _ := cutRecord(r[1:])
	return len(key) > len(prefix) && bytes.HasPrefix(key, prefix) && splitKey(key) == len(prefix)
}

// each calls fn for every record, until it fails. It may keep its arguments.
func (r headRecords) each(fn func(key, value []byte) error) error {
	for rest := []byte(r[1:]); len(rest) > 0; {
		var key, value []byte
		key, value, rest = cutRecord(rest)
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

// cutRecord takes the first record off b, which add has made.
func cutRecord(b []byte) (key, value, rest []byte) {
	n, size := binary.Uvarint(b)
	b = b[size:]
	key, b = b[:n:n], b[n:]
	n, size = binary.Uvarint(b)
	b = b[size:]
	return key, b[:n:n], b[n:]
}

// digest is that of everything that lives under the key.
func (r headRecords) digest() (d merkle.Digest) {
	_ = r.each(func(key, value []byte) error { // which never fails
		d.XOR(recordDigest(key, value))
		return nil
	})
	return d
}

// headsLimit is how many bytes each replica may keep.
func (s *Store) headsLimit() int64 { return s.opts.HeadBytes / max(s.count.Load(), 1) }

// recall takes the small cells and headers of a key from those that are kept,
// and returns nil if they are not.
func (t *txn) recall(key crdt.KeyID, prefix []byte) (headRecords, error) {
	r := t.r.kept.get(t.hash, prefix)
	if r == nil {
		t.missed = true
		return nil, nil
	}
	err := r.each(func(k, v []byte) error {
		id := crdt.CellID{KeyID: key, Kind: crdt.Kind(k[len(prefix)])}
		var err error
		switch {
		case id.Kind.Collection() && t.heads[id] == nil:
			_, err = t.addHead(id, t.hash, k, v)
		case !id.Kind.Collection() && t.slots[id] == nil:
			_, err = t.addSlot(id, t.hash, k, v)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	t.scanned = true
	t.learned(key)
	return r, nil
}

// keep brings what is kept in step with the batch: a single key is kept as the
// batch leaves it, where all of it is known; others are forgotten.
func (t *txn) keep() {
	if len(t.slots) == 0 && len(t.heads) == 0 {
		return
	}
	limit := t.r.store.headsLimit()
	type record struct {
		key, value []byte
		header     bool
	}
	var room [4]record
	found, size, whole := room[:0], 1, t.conflicts.known[t.key]
	for id, s := range t.slots {
		if id.KeyID != t.key {
			whole = false
		}
		if !whole {
			t.r.kept.drop(s.hash)
		} else if v := s.now(); v != nil && !id.Kind.Collection() {
			found = append(found, record{s.key, v, false})
		}
	}
	for id, h := range t.heads {
		if id.KeyID != t.key {
			whole = false
		}
		if !whole {
			t.r.kept.drop(h.hash)
		} else if v := (headState{h.count, h.digest}).encode(); !h.digest.IsZero() {
			found = append(found, record{h.key, v, true})
		}
	}
	t.r.kept.drop(t.hash)
	if !whole {
		return
	}
	slices.SortFunc(found, func(a, b record) int { return bytes.Compare(a.key, b.key) })
	for _, f := range found {
		size += len(f.key) + len(f.value) + 2*binary.MaxVarintLen16
	}
	r := make(headRecords, 0, size)
	for _, f := range found {
		r = r.add(f.key, f.value, f.header)
	}
	t.r.kept.put(t.hash, r, limit)
}
