package storage

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// scrubStep is how many bytes are read between two calls of pace.
const scrubStep = 64 << 10

// maxAheadKeys bounds how many keys a scrub tells of that are ahead of the clock.
const maxAheadKeys = 256

// Scrubbed is what re-reading a whole replica found.
type Scrubbed struct {
	Records, Bytes int64
	// Wrong is what is not as it should be, nil if all is well: an unreadable
	// record or block, a header or a leaf that does not sum up its cells.
	Wrong error
	// Ahead lists keys, 256 at the most, with cells that hold dots of events
	// which the clock does not tell of.
	Ahead []crdt.KeyID
}

// Scrub reads every record of the replica, as it is at one instant, against the
// checksums of the blocks, and sums it up again: headers of collections, leaves
// of the tree. It calls pace after every 64 KiB or so; an error of pace ends it.
func (r *Replica) Scrub(pace func(bytes int) error) (Scrubbed, error) {
	var out Scrubbed
	if err := r.store.enter(); err != nil {
		return out, err
	}
	defer r.store.leave()
	lo, hi := r.dataBounds(nil)
	r.mu.Lock()
	leaves, ready := r.tree.Leaves(), r.treeReady
	clock := r.state.Clock.Clone()
	began := r.store.opts.Wall()
	it, err := r.store.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	r.mu.Unlock()
	if err != nil {
		return out, err
	}
	s := &scrub{r: r, out: &out, clock: &clock, leaves: leaves, ahead: map[crdt.KeyID]bool{}}
	var stopped error
	for ok := it.First(); ok && out.Wrong == nil; ok = it.Next() {
		out.Wrong = s.record(it.Key(), it.Value())
		if s.unpaced >= scrubStep {
			if stopped = pace(s.unpaced); stopped != nil {
				break
			}
			s.unpaced = 0
		}
	}
	out.Wrong = errors.Join(out.Wrong, it.Error())
	if err := errors.Join(stopped, it.Close()); err != nil && out.Wrong == nil {
		return out, err
	}
	if out.Wrong == nil {
		out.Wrong = s.end(ready)
	}
	out.Ahead = slices.SortedFunc(maps.Keys(s.ahead), func(a, b crdt.KeyID) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
	})
	if len(out.Ahead) == 0 && out.Wrong == nil {
		r.mu.Lock()
		if !r.aheadSince.After(began) {
			r.aheadSince = time.Time{}
		}
		r.mu.Unlock()
	}
	return out, nil
}

// scrub is a scrub under way.
type scrub struct {
	r       *Replica
	out     *Scrubbed
	clock   *crdt.Clock
	leaves  []merkle.Digest // what is left of them when everything is taken out: nothing
	ahead   map[crdt.KeyID]bool
	unpaced int

	head    crdt.CellID // of the collection whose cells come
	headKey []byte
	stored  headState
	counted headState
}

func (s *scrub) record(k, v []byte) error {
	s.out.Records++
	s.out.Bytes += int64(len(k) + len(v))
	s.unpaced += len(k) + len(v)
	rec, err := parseRecord(k)
	if err != nil {
		return err
	}
	leaf := s.r.tree.LeafOf(rec.hash, s.r.store.bits)
	if rec.id.Kind.Collection() && rec.part == partHead {
		if err := s.endCollection(); err != nil {
			return err
		}
		s.head, s.headKey, s.counted = rec.id, slices.Clone(k), headState{}
		s.leaves[leaf].XOR(recordDigest(k, v))
		s.stored, err = decodeHeader(v)
		return err
	}
	c, err := crdt.DecodeCell(slices.Clone(v))
	if err != nil {
		return fmt.Errorf("cell of key %q: %w", rec.id.Key, err)
	}
	if rec.id.Kind.Collection() {
		of := rec.id
		of.Path = ""
		if of != s.head {
			return fmt.Errorf("%w: key %q has cells of a %s without a header", errKey, rec.id.Key, rec.id.Kind)
		}
		s.counted.count += int64(presence(rec.id, c))
		s.counted.digest.XOR(recordDigest(k, v))
	} else {
		s.leaves[leaf].XOR(recordDigest(k, v))
	}
	if len(s.ahead) < maxAheadKeys && slices.ContainsFunc(c, func(e crdt.Entry) bool { return !s.clock.Contains(e.Dot) }) {
		s.ahead[rec.id.KeyID] = true
	}
	return nil
}

// endCollection holds the cells of a collection against its header.
func (s *scrub) endCollection() error {
	if s.headKey != nil && s.stored != s.counted {
		return fmt.Errorf("%w: header of key %q tells of %d elements (%s), there are %d (%s)", errKey,
			s.head.Key, s.stored.count, s.stored.digest, s.counted.count, s.counted.digest)
	}
	return nil
}

// end holds all records against the tree.
func (s *scrub) end(treeReady bool) error {
	if err := s.endCollection(); err != nil || !treeReady {
		return err
	}
	for leaf, d := range s.leaves {
		if !d.IsZero() {
			return fmt.Errorf("%w: leaf %d of the tree is not that of its keys", errKey, leaf)
		}
	}
	return nil
}

// AheadSince is since when the replica may hold dots of events that its clock
// does not tell of; zero when a scrub has found none since.
func (r *Replica) AheadSince() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aheadSince
}

// noteAhead notes cells that repair has put ahead of the clock. The caller
// holds the lock.
func (r *Replica) noteAhead(t *txn) {
	if !r.aheadSince.IsZero() {
		return
	}
	for _, s := range t.slots {
		if s.dirty && slices.ContainsFunc(s.cell, func(e crdt.Entry) bool { return !r.state.Clock.Contains(e.Dot) }) {
			r.aheadSince = r.store.opts.Wall()
			return
		}
	}
}

// Remint gives what keys hold of closed actors, and no clock tells of, a dot of
// its own, in one event (see crdt.Replica.Remint). It is for a replica that has
// just joined all others. It is nil when there is nothing to mint again, and
// else to be called again.
func (r *Replica) Remint(keys []crdt.KeyID, closed func(crdt.Actor) bool) (*Done, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	for _, key := range keys {
		if done, err := r.remintKey(key, closed); done != nil || err != nil {
			return done, err
		}
	}
	return nil, nil
}

func (r *Replica) remintKey(key crdt.KeyID, closed func(crdt.Actor) bool) (*Done, error) {
	a, err := r.Read(Query{Key: key})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.newTxn()
	for i := range a.Cells { // as they are under the lock
		if a.Cells[i].Live, err = t.Load(a.Cells[i].ID); err != nil {
			return nil, err
		}
	}
	d := r.state.Remint(a.Cells, closed, r.nextDot())
	if d == nil {
		return nil, nil
	}
	if err := t.preload(d); err != nil {
		return nil, err
	}
	if _, err := r.state.Apply(t, d); err != nil {
		return nil, err
	}
	var gained crdt.Clock
	gained.Add(crdt.Dot{Actor: d.Actor, Seq: d.Lo})
	c, err := r.commit(t, gained, []*crdt.Delta{d}, nil, false)
	return &Done{Delta: d, Commit: c}, err
}
