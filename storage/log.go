package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

func (r *Replica) writeLog(b *pebble.Batch, d *crdt.Delta) error {
	k := logKey(r.id, d.Actor, d.Hi)
	v := binary.AppendUvarint(make([]byte, 0, 160), uint64(max(r.store.opts.Wall().Unix(), 0)))
	v = crdt.AppendDelta(v, d.LogEntry())
	size := int64(len(k) + len(v))
	if d.Lo < d.Hi { // a run may take the place of its last event
		// If that is unreadable the sum of bytes is too large until the next opening,
		// no more: the event is applied already, so it must be written.
		if old, err := r.store.get(k); err == nil && old != nil {
			size -= int64(len(k) + len(old))
		}
	}
	r.store.logBytes.Add(size)
	return b.Set(k, v, nil)
}

func decodeLog(v []byte) (*crdt.Delta, time.Time, error) {
	sec, n := binary.Uvarint(v)
	if n <= 0 {
		return nil, time.Time{}, fmt.Errorf("%w: log entry", errKey)
	}
	d, err := crdt.DecodeDelta(append([]byte(nil), v[n:]...))
	return d, time.Unix(int64(sec), 0), err
}

// Missing is what a peer's clock lacks.
type Missing struct {
	Deltas  []*crdt.Delta
	Clock   crdt.Clock // the durable clock here, at the time of the answer
	More    bool       // there is more than maxBytes of it
	Trimmed bool       // the log no longer reaches back: only a join can help
}

// Missing returns the durable events that have lacks, from the log, coalesced:
// a run of one actor's events is one delta. The answer is cut when the log
// entries and the cells they touched pass maxBytes, but holds one entry at
// least. Everything in it is durable here.
func (r *Replica) Missing(have *crdt.Clock, maxBytes int) (*Missing, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	m := &Missing{Clock: r.Durable()}
	lacks := crdt.Difference(&m.Clock, have)
	left := maxBytes
	for actor, ranges := range lacks.All() {
		for _, span := range ranges {
			if m.More {
				break
			}
			st, err := r.stretch(actor, span, left)
			if err != nil {
				return nil, err
			}
			d, err := st.coalesce()
			if err != nil {
				return nil, err
			}
			if d != nil {
				m.Deltas = append(m.Deltas, d)
			}
			m.Trimmed = m.Trimmed || st.trimmed(span)
			left -= st.size
			m.More = st.full || left <= 0
		}
	}
	if err := r.still(&m.Clock); err != nil {
		return nil, err
	}
	if len(m.Deltas) > 0 {
		return m, r.Barrier() // the cells may be newer than the clock
	}
	return m, nil
}

// Collect returns what actor minted here after a sequence number, durable and
// coalesced, or nil.
func (r *Replica) Collect(actor crdt.Actor, after uint64, maxBytes int) (*crdt.Delta, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	clock := r.Durable()
	last := clock.Last(actor)
	if last <= after {
		return nil, nil
	}
	span := crdt.Range{Lo: after + 1, Hi: last}
	st, err := r.stretch(actor, span, maxBytes)
	if err != nil || st.trimmed(span) {
		return nil, err // trimmed: the others find it by clocks
	}
	d, err := st.coalesce()
	if err == nil {
		err = r.still(&clock)
	}
	if err != nil {
		return nil, err
	}
	return d, r.Barrier()
}

// stretch is log entries of one actor that cover a range from its start, and
// the cells that they touched, as they are now.
type stretch struct {
	r       *Replica
	entries []*crdt.Delta
	cells   map[crdt.CellID]crdt.Cell
	next    uint64 // the first sequence number that the entries do not cover
	size    int    // bytes of entries and cells
	full    bool   // cut for its size
}

// stretch reads the log entries that cover span, up to maxBytes of them and
// their cells. The entries are those of one instant, and every cell is read
// after it.
func (r *Replica) stretch(actor crdt.Actor, span crdt.Range, maxBytes int) (*stretch, error) {
	st := &stretch{r: r, cells: map[crdt.CellID]crdt.Cell{}}
	next, err := r.covering(actor, span, func(d *crdt.Delta, bytes int) error {
		size, err := st.sizeOf(d)
		if err != nil {
			return err
		}
		if size += bytes; st.size > 0 && st.size+size > maxBytes {
			st.full = true
			return errEnough
		}
		st.entries, st.size = append(st.entries, d), st.size+size
		return nil
	})
	st.next = next
	return st, err
}

// maxPassed bounds how much of the log is read in search of an entry that
// closes a gap, in bytes.
const maxPassed = 1 << 20

// covering calls fn for the log entries of one actor that cover span, one after
// another without a gap, with their bytes, and returns the first sequence
// number of span that they do not cover.
func (r *Replica) covering(actor crdt.Actor, span crdt.Range, fn func(d *crdt.Delta, bytes int) error) (next uint64, err error) {
	next = span.Lo
	passed := 0
	err = r.store.each(logKey(r.id, actor, span.Lo), after(logActorPrefix(r.id, actor)), func(_, v []byte) error {
		d, _, err := decodeLog(v)
		switch {
		case err != nil:
			return err
		case next > span.Hi || passed > maxPassed:
			return errEnough
		case d.Lo > next: // a gap, unless a run that ends later contains this entry
			passed += len(v)
			return nil
		}
		if err := fn(d, len(v)); err != nil {
			return err
		}
		next = d.Hi + 1
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return next, fmt.Errorf("log of %s: %w", r.id, err)
	}
	return next, nil
}

// sizeOf loads the cells that d touched and returns the bytes of those that no
// entry before it touched.
func (st *stretch) sizeOf(d *crdt.Delta) (int, error) {
	size := 0
	for i := range d.Changes {
		id := d.Changes[i].ID
		if _, ok := st.cells[id]; ok {
			continue
		}
		s := st.r.store
		v, err := s.get(cellKey(st.r.id.Placement, s.opts.Hash(id.Bucket, []byte(id.Key)), id))
		if err != nil {
			return 0, err
		}
		var c crdt.Cell
		if v != nil {
			if c, err = crdt.DecodeCell(v); err != nil {
				return 0, err
			}
		}
		st.cells[id] = c
		size += len(v)
	}
	return size, nil
}

// trimmed reports that the log has lost what follows the stretch.
func (st *stretch) trimmed(span crdt.Range) bool { return st.next <= span.Hi && !st.full }

// Load is the method of crdt.Loader.
func (st *stretch) Load(id crdt.CellID) (crdt.Cell, error) { return st.cells[id], nil }

// coalesce makes one delta of the stretch, nil when it is empty.
func (st *stretch) coalesce() (*crdt.Delta, error) {
	if len(st.entries) == 0 {
		return nil, nil
	}
	return crdt.Coalesce(st, st.entries)
}

func logActorPrefix(id ReplicaID, a crdt.Actor) []byte {
	return binary.BigEndian.AppendUint64(replicaPrefix(tableLog, id), uint64(a))
}

// Trim deletes log entries that stable covers, since no replica needs them any
// more, once they are older than LogKeep or the log takes more than half of its
// budget. Over the budget of bytes or age it deletes the oldest besides: what
// they held is owed to a join from then on, and counted as forced. It reads what
// it deletes and one entry more per actor, and leaves records of the clock in its place.
func (r *Replica) Trim(stable *crdt.Clock) (settled, forced int, err error) {
	if err := r.store.enter(); err != nil {
		return 0, 0, err
	}
	defer r.store.leave()
	r.mu.Lock()
	clock, dropped := r.durable.Clone(), r.dropped
	r.mu.Unlock()
	now, bytes := r.store.opts.Wall(), r.store.logBytes.Load()
	t := trimmer{
		stable: stable,
		over:   bytes - r.store.opts.LogBytes,
		tight:  bytes - r.store.opts.LogBytes/2,
		oldest: now.Add(-r.store.opts.LogAge),
		keep:   now.Add(-r.store.opts.LogKeep),
		batch:  r.store.db.NewBatch(),
	}
	for actor := range clock.All() {
		prefix := logActorPrefix(r.id, actor)
		if err = r.store.each(prefix, after(prefix), t.entry); err != nil && !errors.Is(err, errEnough) {
			return 0, 0, errors.Join(fmt.Errorf("trim the log of %s: %w", r.id, err), t.batch.Close())
		}
	}
	if t.batch.Empty() {
		return 0, 0, t.batch.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped != dropped { // and the log with it
		return 0, 0, t.batch.Close()
	}
	if err = r.writeClock(t.batch, &t.gone); err != nil { // it was told by what is deleted
		return 0, 0, errors.Join(err, t.batch.Close())
	}
	r.store.logBytes.Add(-t.freed)
	return t.settled, t.forced, errors.Join(t.batch.Commit(pebble.NoSync), t.batch.Close())
}

var errEnough = errors.New("enough")

// LogTight reports whether the log takes so much of its budget that nothing is
// kept for LogKeep.
func (s *Store) LogTight() bool { return s.logBytes.Load() > s.opts.LogBytes/2 }

type trimmer struct {
	stable          *crdt.Clock
	over, tight     int64 // bytes that what is unsettled, and what is settled, takes too much
	freed           int64
	oldest, keep    time.Time
	batch           *pebble.Batch
	gone            crdt.Clock // what is deleted had told of
	settled, forced int
}

func (t *trimmer) entry(k, v []byte) error {
	d, at, err := decodeLog(v)
	if err != nil {
		return err
	}
	switch settled := t.stable.ContainsRange(d.Actor, d.Lo, d.Hi); {
	case settled && (!at.After(t.keep) || t.freed < t.tight):
		t.settled++
	case settled:
		return errEnough
	case at.Before(t.oldest) || t.freed < t.over:
		t.forced++
	default:
		return errEnough
	}
	t.freed += int64(len(k) + len(v))
	t.gone.AddRange(d.Actor, d.Lo, d.Hi)
	return t.batch.Delete(append([]byte(nil), k...), nil)
}

// LogState sums up a replica's event log.
type LogState struct {
	Events uint64
	Oldest time.Time // zero when there is none
}

// Log tells how much the log holds of what is not settled. It looks at one entry
// of every actor, so what was trimmed from the middle counts as there.
func (r *Replica) Log(settled *crdt.Clock) LogState {
	var s LogState
	if r.store.enter() != nil {
		return s
	}
	defer r.store.leave()
	clock := r.Durable()
	open := crdt.Difference(&clock, settled)
	for actor, ranges := range open.All() {
		_ = r.store.each(logKey(r.id, actor, ranges[0].Lo), after(logActorPrefix(r.id, actor)), func(_, v []byte) error { // it stops at the first
			d, at, err := decodeLog(v)
			if err != nil {
				return err
			}
			for _, span := range ranges {
				if first := max(span.Lo, d.Lo); first <= span.Hi {
					s.Events += span.Hi - first + 1
				}
			}
			if s.Oldest.IsZero() || at.Before(s.Oldest) {
				s.Oldest = at
			}
			return errEnough
		})
	}
	return s
}

// Owed is what a peer's clock lacks, by the log.
type Owed struct {
	Events  uint64
	Bytes   int64 // of the log entries that tell of them
	Trimmed bool  // the log no longer reaches back
}

// Owed tells what would have to be sent to a peer with this clock.
func (r *Replica) Owed(have *crdt.Clock) (Owed, error) {
	if err := r.store.enter(); err != nil {
		return Owed{}, err
	}
	defer r.store.leave()
	clock := r.Durable()
	lacks := crdt.Difference(&clock, have)
	o := Owed{Events: lacks.Count()}
	for actor, ranges := range lacks.All() {
		for _, span := range ranges {
			next, err := r.covering(actor, span, func(_ *crdt.Delta, bytes int) error {
				o.Bytes += int64(bytes)
				return nil
			})
			if err != nil {
				return o, err
			}
			o.Trimmed = o.Trimmed || next <= span.Hi
		}
	}
	return o, nil
}
