package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

func (r *Replica) writeLog(b *pebble.Batch, d *crdt.Delta) error {
	k := logKey(r.id, d.Actor, d.Hi)
	v := binary.AppendUvarint(nil, uint64(max(r.store.opts.Wall().Unix(), 0)))
	v = crdt.AppendDelta(v, d.LogEntry())
	r.store.logBytes.Add(int64(len(k) + len(v)))
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
// a run of one actor's events is one delta, cut when its log entries pass
// maxBytes. Everything in the answer is durable here.
func (r *Replica) Missing(have *crdt.Clock, maxBytes int) (*Missing, error) {
	m := &Missing{Clock: r.Durable()}
	lacks := crdt.Difference(&m.Clock, have)
	left := maxBytes
	for actor, ranges := range lacks.All() {
		for _, span := range ranges {
			if m.More {
				break
			}
			entries, size, whole, err := r.entries(actor, span, left)
			if err != nil {
				return nil, err
			}
			m.Trimmed = m.Trimmed || !whole
			left -= size
			m.More = left <= 0
			for _, run := range runs(entries) {
				d, err := crdt.Coalesce(liveCells{r}, run)
				if err != nil {
					return nil, err
				}
				m.Deltas = append(m.Deltas, d)
			}
		}
	}
	if len(m.Deltas) > 0 {
		return m, r.Barrier() // the cells may be newer than the clock
	}
	return m, nil
}

// Collect returns what actor minted here after a sequence number, durable and
// coalesced, or nil.
func (r *Replica) Collect(actor crdt.Actor, after uint64, maxBytes int) (*crdt.Delta, error) {
	r.mu.Lock()
	last := r.durable.Last(actor)
	r.mu.Unlock()
	if last <= after {
		return nil, nil
	}
	entries, _, whole, err := r.entries(actor, crdt.Range{Lo: after + 1, Hi: last}, maxBytes)
	if err != nil || !whole || len(entries) == 0 {
		return nil, err // trimmed: the others find it by clocks
	}
	d, err := crdt.Coalesce(liveCells{r}, runs(entries)[0])
	if err != nil {
		return nil, err
	}
	return d, r.Barrier()
}

// entries reads the log entries that cover span, up to maxBytes. Whole tells
// that none before the end of the answer was trimmed.
func (r *Replica) entries(actor crdt.Actor, span crdt.Range, maxBytes int) (out []*crdt.Delta, size int, whole bool, err error) {
	next := span.Lo
	err = r.store.each(logKey(r.id, actor, span.Lo), after(clockKeyAs(tableLog, r.id, actor)), func(_, v []byte) error {
		d, _, err := decodeLog(v)
		switch {
		case err != nil:
			return err
		case d.Lo > next || next > span.Hi: // a gap, or past the end
			return errEnough
		case size > 0 && size+len(v) > maxBytes:
			size = maxBytes
			return errEnough
		}
		out, size, next = append(out, d), size+len(v), d.Hi+1
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, 0, false, fmt.Errorf("log of %s: %w", r.id, err)
	}
	return out, size, next > span.Hi || size >= maxBytes, nil
}

func clockKeyAs(table byte, id ReplicaID, a crdt.Actor) []byte {
	return binary.BigEndian.AppendUint64(replicaPrefix(table, id), uint64(a))
}

// runs splits entries where they leave a gap.
func runs(entries []*crdt.Delta) [][]*crdt.Delta {
	var out [][]*crdt.Delta
	for i, e := range entries {
		if i == 0 || e.Lo > entries[i-1].Hi+1 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], e)
	}
	return out
}

// liveCells reads cells as they are now, each at its own moment.
type liveCells struct{ r *Replica }

// Load is the one method of crdt.Cells that Coalesce calls.
func (c liveCells) Load(id crdt.CellID) (crdt.Cell, error) {
	s := c.r.store
	v, err := s.get(cellKey(c.r.id.Placement, s.opts.Hash(id.Bucket, []byte(id.Key)), id))
	if err != nil || v == nil {
		return nil, err
	}
	return crdt.DecodeCell(v)
}

// Trim deletes log entries that stable covers, since no replica needs them any
// more. Over the store's budget of bytes or age it deletes the oldest besides:
// what they held is owed to a join from then on, and counted as forced. It
// reads what it deletes and one entry more per actor.
func (r *Replica) Trim(stable *crdt.Clock) (settled, forced int, err error) {
	clock := r.Durable()
	t := trimmer{
		stable: stable,
		over:   r.store.logBytes.Load() - r.store.opts.LogBytes,
		oldest: r.store.opts.Wall().Add(-r.store.opts.LogAge),
		batch:  r.store.db.NewBatch(),
	}
	for actor := range clock.All() {
		prefix := clockKeyAs(tableLog, r.id, actor)
		if err = r.store.each(prefix, after(prefix), t.entry); err != nil && !errors.Is(err, errEnough) {
			return 0, 0, errors.Join(fmt.Errorf("trim the log of %s: %w", r.id, err), t.batch.Close())
		}
	}
	if t.batch.Empty() {
		return 0, 0, t.batch.Close()
	}
	r.store.logBytes.Add(-t.freed)
	return t.settled, t.forced, errors.Join(t.batch.Commit(pebble.NoSync), t.batch.Close())
}

var errEnough = errors.New("enough")

type trimmer struct {
	stable          *crdt.Clock
	over, freed     int64
	oldest          time.Time
	batch           *pebble.Batch
	settled, forced int
}

func (t *trimmer) entry(k, v []byte) error {
	d, at, err := decodeLog(v)
	if err != nil {
		return err
	}
	switch {
	case t.stable.ContainsRange(d.Actor, d.Lo, d.Hi):
		t.settled++
	case at.Before(t.oldest) || t.freed < t.over:
		t.forced++
	default:
		return errEnough
	}
	t.freed += int64(len(k) + len(v))
	return t.batch.Delete(append([]byte(nil), k...), nil)
}

// LogState sums up a replica's event log.
type LogState struct {
	Events uint64
	Oldest time.Time // zero when there is none
}

// Log tells how much the log holds. It looks at the first and last entry of
// every actor, so what was trimmed from the middle counts as there.
func (r *Replica) Log() LogState {
	var s LogState
	clock := r.Durable()
	for actor := range clock.All() {
		prefix := clockKeyAs(tableLog, r.id, actor)
		_ = r.store.each(prefix, after(prefix), func(_, v []byte) error { // it stops at the first
			if d, at, err := decodeLog(v); err == nil {
				s.Events += clock.Last(actor) - d.Lo + 1
				if s.Oldest.IsZero() || at.Before(s.Oldest) {
					s.Oldest = at
				}
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
	clock := r.Durable()
	lacks := crdt.Difference(&clock, have)
	o := Owed{Events: lacks.Count()}
	for actor, ranges := range lacks.All() {
		for _, span := range ranges {
			_, size, whole, err := r.entries(actor, span, math.MaxInt)
			if err != nil {
				return o, err
			}
			o.Bytes += int64(size)
			o.Trimmed = o.Trimmed || !whole
		}
	}
	return o, nil
}
