package storage

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// Query says what to read of a key.
type Query struct {
	Key    crdt.KeyID
	Under  string // only cells of collections whose path begins with this: an element, a field
	After  string // only paths behind this one
	Limit  int    // cells of collections at the most; 0 is all
	Bytes  int    // about as many bytes of them at the most, but one cell at the least; 0 is any number
	Digest bool   // only State is asked for
	Order  *Order // of a zset, members by their scores; Under and After are not for them
	// Part, when not nil, is what alone is asked for, also of State; Under, After,
	// Limit and Order are not for it.
	Part *crdt.Part
}

// full reports whether an answer of so many cells and bytes takes no more.
func (q *Query) full(cells, size int) bool {
	if q.Part != nil {
		return false
	}
	return q.Limit > 0 && cells >= q.Limit || q.Bytes > 0 && cells > 0 && size >= q.Bytes
}

// Answer is what a replica holds of a key.
type Answer struct {
	crdt.Snapshot
	Present []crdt.Kind   // the kinds that the key exists as, whatever was asked for
	Total   uint64        // cells of the key's collections that count, whatever was asked for
	More    bool          // Limit or Bytes cut the answer
	End     string        // path of the last cell of a collection, where More
	State   merkle.Digest // of everything that lives under the key or, of a part, of that and of the kinds of which there is something elsewhere
	Ranked  bool          // Members is the answer to the query's order
	Members []Ranked      // in the order asked for; their cells are in Cells, in that order as well

	rows  int         // records of collections and indexes that were read
	heads headRecords // small cells and headers that were read
}

// Read returns a key's cells with the clock and the residue at one instant. It
// may show what is not durable yet; see Barrier.
func (r *Replica) Read(q Query) (*Answer, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	hash, err := r.hashOf(q.Key)
	if err != nil {
		return nil, err
	}
	prefix := keyPrefix(r.id.Placement, hash, q.Key)
	a := &Answer{}
	r.mu.Lock()
	if !q.Digest {
		a.Snapshot = crdt.Snapshot{Clock: r.state.Clock.Clone(), Residue: r.state.Residue.OfKey(q.Key)}
	}
	if kept := r.kept.get(hash, prefix); kept != nil && (q.Digest && q.Part == nil || !kept.headers()) {
		r.mu.Unlock()
		return a, a.takeKept(kept, &q)
	}
	applied := r.applied
	it, err := r.store.newKeyIter(prefix, after(prefix))
	var index *pebble.Iterator
	if err == nil && q.Order != nil {
		lo := headKey(tableScore, r.id.Placement, hash, crdt.CellID{KeyID: q.Key, Kind: crdt.ZSet})
		index, err = r.store.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: after(lo)})
	}
	r.mu.Unlock()
	if err == nil {
		err = a.read(it, index, &q, prefix)
	}
	for _, i := range []*pebble.Iterator{it, index} {
		if i != nil {
			err = errors.Join(err, i.Error(), i.Close())
		}
	}
	if err == nil && len(a.heads) > 0 {
		r.mu.Lock()
		if r.applied == applied { // else it may be of before
			r.kept.put(hash, a.heads, r.store.headsLimit())
		}
		r.mu.Unlock()
	}
	return a, err
}

// takeKept answers a query from the records of a key. Where it asks for cells,
// none of them are headers.
func (a *Answer) takeKept(kept headRecords, q *Query) error {
	a.State = kept.digest()
	if q.Digest {
		return nil
	}
	return kept.each(func(k, v []byte) error {
		c, err := crdt.DecodeCell(v)
		if err == nil {
			id := crdt.CellID{KeyID: q.Key, Kind: crdt.Kind(k[splitKey(k)])}
			a.Cells = append(a.Cells, crdt.CellState{ID: id, Live: c})
		}
		return err
	})
}

func (a *Answer) read(it, index *pebble.Iterator, q *Query, prefix []byte) error {
	cells, size := 0, 0
	for ok := it.SeekPrefixGE(prefix); ok; {
		rec, err := parseRecord(it.Key())
		if err != nil {
			return err
		}
		switch {
		case !rec.id.Kind.Collection():
			a.heads = a.heads.add(it.Key(), it.Value(), false)
			if err := a.take(rec, it.Key(), it.Value()); err != nil {
				return err
			}
			a.State.XOR(recordDigest(it.Key(), it.Value()))
			ok = it.SeekPrefixGE(nextKind(it.Key(), prefix)) // Next would pass all old versions of a hot key
		case rec.part == partHead:
			next, err := a.head(rec, it, index, q, prefix)
			if err != nil {
				return err
			}
			ok = it.SeekPrefixGE(next)
		case q.Part != nil && !q.Part.Has(rec.id):
			ok = it.SeekPrefixGE(q.onward(rec.id.Path, it.Key(), prefix))
		case !strings.HasPrefix(rec.id.Path, q.Under) || q.full(cells, size):
			a.More = a.More || cells > 0 && strings.HasPrefix(rec.id.Path, q.Under)
			ok = it.SeekPrefixGE(nextKind(it.Key(), prefix))
		default:
			if err := a.element(rec, it, q); err != nil {
				return err
			}
			cells++
			size += len(it.Key()) + len(it.Value())
			ok = it.Next()
		}
	}
	return nil
}

// head takes the header of a collection, with the members that an order asks
// for, and returns where to go on.
func (a *Answer) head(rec record, it, index *pebble.Iterator, q *Query, prefix []byte) (next []byte, err error) {
	h, err := decodeHeader(it.Value())
	if err != nil {
		return nil, err
	}
	if a.Total += uint64(h.count); h.count > 0 {
		a.Present = append(a.Present, rec.id.Kind)
	}
	a.heads = a.heads.add(it.Key(), it.Value(), true)
	if q.Part != nil {
		if h.count > 0 {
			a.State.XOR(recordDigest(it.Key(), []byte{1}))
		}
		return q.onward("", it.Key(), prefix), nil
	}
	a.State.XOR(recordDigest(it.Key(), it.Value()))
	if q.Order == nil || rec.id.Kind != crdt.ZSet {
		return firstCell(it.Key(), q), nil
	}
	next = nextKind(it.Key(), prefix)
	return next, a.ranked(it, index, q, h.count)
}

// element takes a cell of a collection.
func (a *Answer) element(rec record, it *pebble.Iterator, q *Query) error {
	if q.Part != nil {
		a.State.XOR(recordDigest(it.Key(), it.Value()))
	}
	a.rows++
	a.End = rec.id.Path
	return a.take(rec, it.Key(), it.Value())
}

func (a *Answer) take(rec record, _, value []byte) error {
	c, err := crdt.DecodeCell(bytes.Clone(value))
	if err == nil {
		a.Cells = append(a.Cells, crdt.CellState{ID: rec.id, Live: c})
	}
	return err
}

// firstCell is where the cells of a query begin, behind the header at key.
func firstCell(key []byte, q *Query) []byte {
	k := append(bytes.Clone(key[:len(key)-1]), partCell)
	if q.After > q.Under {
		return append(append(k, q.After...), 0)
	}
	return append(k, q.Under...)
}

// onward is where the part of a collection goes on behind a path that is not in it;
// key is that of one of its records.
func (q *Query) onward(path string, key, prefix []byte) []byte {
	i, _ := slices.BinarySearch(q.Part.Under, path)
	if i == len(q.Part.Under) {
		return nextKind(key, prefix)
	}
	return append(append(bytes.Clone(key[:len(prefix)+1]), partCell), q.Part.Under[i]...)
}

// nextKind is the first possible key of the kind behind that of key.
func nextKind(key, prefix []byte) []byte {
	return append(bytes.Clone(prefix), key[len(prefix)]+1)
}

// Item is a key as Scan lists it.
type Item struct {
	Position []byte // where it stands in the order of the scan
	Key      crdt.KeyID
	Kind     crdt.Kind
	Digest   merkle.Digest // its share of the tree's leaf
}

// Scan lists up to limit live keys of a bucket (of all, when empty) that begin
// with prefix, in order of their hashes, behind a position of an earlier item.
// A key of several kinds is listed once for each, one that has expired never.
func (r *Replica) Scan(bucket, prefix string, behind []byte, limit int) (items []Item, more bool, err error) {
	if err := r.store.enter(); err != nil {
		return nil, false, err
	}
	defer r.store.leave()
	if len(behind) > 0 {
		behind = append(bytes.Clone(behind), 0xff)
	}
	lo, hi := r.dataBounds(behind)
	l := listing{limit: limit, now: r.store.opts.Wall().UnixMilli()}
	err = r.heads(lo, hi, func(rec record, key, value []byte) error {
		if err := l.reach(rec.id.KeyID); err != nil {
			return err
		}
		if bucket != "" && rec.id.Bucket != bucket || !strings.HasPrefix(rec.id.Key, prefix) {
			return nil
		}
		live, err := l.cell(rec, value)
		if err != nil || !live {
			return err
		}
		l.ofKey = append(l.ofKey, Item{
			Position: bytes.Clone(key[5 : splitKey(key)+1]),
			Key:      rec.id.KeyID, Kind: rec.id.Kind, Digest: recordDigest(key, value),
		})
		return nil
	})
	if err == nil {
		err = l.flush()
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return l.items, l.more, err
}

// listing gathers the items of a scan. Those of a key wait until its expiry,
// which stands behind its kinds, has been passed.
type listing struct {
	items, ofKey []Item
	key          crdt.KeyID       // of the last record
	values       []crdt.CellState // that were assigned to it, without payloads
	limit        int
	more         bool
	now          int64 // milliseconds since 1970
}

// reach is called with every record's key; it takes the items of the one before.
func (l *listing) reach(key crdt.KeyID) error {
	if l.key == key {
		return nil
	}
	l.key, l.values = key, l.values[:0]
	return l.flush()
}

// cell takes a record of the key and reports whether it makes the key exist. An
// expiry drops the items before it, if the time has come.
func (l *listing) cell(rec record, value []byte) (live bool, err error) {
	if rec.id.Kind.Collection() {
		return exists(rec, value)
	}
	c, err := crdt.DecodeCell(value)
	if err != nil {
		return false, err
	}
	switch rec.id.Kind { //nolint:exhaustive // only these have to do with expiry
	case crdt.Register, crdt.MVRegister:
		dots := make(crdt.Cell, len(c))
		for i, e := range c {
			dots[i].Dot = e.Dot
		}
		l.values = append(l.values, crdt.CellState{ID: rec.id, Live: dots})
	case crdt.Expiry:
		if at, ok := crdt.ExpiresAt(append(l.values, crdt.CellState{ID: rec.id, Live: c})); ok && at <= l.now {
			l.ofKey = l.ofKey[:0]
		}
	}
	return crdt.PresentCell(rec.id, c), nil
}

func (l *listing) flush() error {
	if l.more = len(l.items)+len(l.ofKey) > l.limit; l.more {
		l.items = append(l.items, l.ofKey[:l.limit-len(l.items)]...)
		return errEnough
	}
	l.items, l.ofKey = append(l.items, l.ofKey...), l.ofKey[:0]
	return nil
}

// exists reports whether the record makes its key exist.
func exists(rec record, value []byte) (bool, error) {
	if rec.id.Kind.Collection() {
		h, err := decodeHeader(value)
		return h.count > 0, err
	}
	c, err := crdt.DecodeCell(value)
	return err == nil && crdt.PresentCell(rec.id, c), err
}

// heads calls fn for every small cell and every header from lo up to hi,
// skipping the cells of collections. fn must not keep its arguments.
func (r *Replica) heads(lo, hi []byte, fn func(rec record, key, value []byte) error) error {
	it, err := r.store.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return err
	}
	return errors.Join(walkHeads(it, fn), it.Error(), it.Close())
}

func walkHeads(it *pebble.Iterator, fn func(rec record, key, value []byte) error) error {
	for ok := it.First(); ok; {
		rec, err := parseRecord(it.Key())
		if err != nil {
			return err
		}
		if rec.part == partCell {
			ok = it.SeekGE(nextKind(it.Key(), it.Key()[:splitKey(it.Key())]))
			continue
		}
		if err := fn(rec, it.Key(), it.Value()); err != nil {
			return err
		}
		ok = it.Next()
	}
	return nil
}

func (r *Replica) firstHash() uint64 {
	if r.store.bits == 0 {
		return 0
	}
	return uint64(r.id.Partition) << (64 - r.store.bits)
}

func (r *Replica) lastHash() uint64 {
	if r.store.bits == 0 {
		return ^uint64(0)
	}
	return r.firstHash() | ^uint64(0)>>r.store.bits
}
