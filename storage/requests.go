package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// ErrRequestOld reports a request id born before the window within which ids
// are remembered: whether it was carried out can no longer be told.
var ErrRequestOld = errors.New("request id is too old")

// bornAt is the time in a request id: a ULID begins with milliseconds.
func bornAt(q crdt.RequestID) time.Time {
	var ms [8]byte
	copy(ms[2:], q[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}

// writeRequest remembers a request with its event and its result, and whether
// that is what it was answered with.
func (r *Replica) writeRequest(b *pebble.Batch, q crdt.RequestID, dot crdt.Dot, res crdt.Result, told bool) error {
	if q == (crdt.RequestID{}) {
		return nil
	}
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 48), uint64(dot.Actor))
	v = binary.AppendUvarint(v, dot.Seq)
	v = append(v, byte(res.Kind))
	v = binary.AppendUvarint(v, uint64(res.Changed))
	v = binary.AppendVarint(v, res.Total)
	if told {
		v = binary.BigEndian.AppendUint64(v, math.Float64bits(res.Score))
	}
	r.asked.add(q, r.store.opts.Wall(), r.store.age(), r.store.opts.Requests)
	return b.Set(requestKey(r.id, q), v, nil)
}

// recorded looks for the records of the requests that come with events: which of
// them there are. The caller holds the lock.
func (r *Replica) recorded(deltas []*crdt.Delta) (map[crdt.RequestID]bool, error) {
	var known map[crdt.RequestID]bool // nil nearly always
	for _, d := range deltas {
		for _, q := range d.Requests {
			v, err := r.request(q.ID)
			if err != nil {
				return nil, err
			}
			if v == nil {
				continue
			}
			if known == nil {
				known = map[crdt.RequestID]bool{}
			}
			known[q.ID] = true
		}
	}
	return known, nil
}

// writeRequests remembers the requests that came with events of others, but those
// that are known: their records may tell what they were answered with. What the
// others were answered with is known where it came along.
func (r *Replica) writeRequests(b *pebble.Batch, deltas []*crdt.Delta, known map[crdt.RequestID]bool, answers map[crdt.RequestID]crdt.Result) error {
	for _, d := range deltas {
		for _, q := range d.Requests {
			if known[q.ID] {
				continue
			}
			res, told := answers[q.ID]
			if !told && len(d.Changes) > 0 {
				res = crdt.Result{Kind: soleKind(d), Changed: 1}
			}
			if err := r.writeRequest(b, q.ID, crdt.Dot{Actor: d.Actor, Seq: q.Seq}, res, told); err != nil {
				return err
			}
		}
	}
	return nil
}

// Knows reports whether a request was carried out, as far as this replica knows.
// It may tell of an event that is not durable yet; see Barrier.
func (r *Replica) Knows(q crdt.RequestID) (bool, error) {
	if err := r.store.enter(); err != nil {
		return false, err
	}
	defer r.store.leave()
	if _, known := r.store.unchanged.get(askedOf{r.id, q}); known {
		return true, nil
	}
	v, err := r.store.get(requestKey(r.id, q))
	return v != nil, err
}

// request returns the record of a request that is not too old, nil for none. The
// caller holds the lock.
func (r *Replica) request(q crdt.RequestID) ([]byte, error) {
	if r.asked.lacks(q, r.store.opts.Wall()) {
		return nil, nil
	}
	return r.store.get(requestKey(r.id, q))
}

// tooOld reports that nobody remembers any more whether a request was carried out.
func (r *Replica) tooOld(q crdt.RequestID) bool {
	return q != (crdt.RequestID{}) && r.store.opts.Wall().Sub(bornAt(q)) > r.store.opts.Requests
}

// repeated answers a request that was carried out before, from its record. The
// event is sent along, so that a retry can bring it to as many copies as asked.
func (r *Replica) repeated(m *Mutation) (*Done, error) {
	q := m.Request
	if r.tooOld(q) {
		return nil, fmt.Errorf("%w: it was born at %s", ErrRequestOld, bornAt(q).UTC().Format(time.RFC3339))
	}
	v, err := r.request(q)
	if err != nil || v == nil {
		return nil, err
	}
	dot, res, told, err := decodeRequest(v)
	if err != nil {
		return nil, err
	}
	done := &Done{Result: res, Dot: dot, Repeats: true, Untold: !told}
	if !r.durable.Contains(dot) {
		if done.Commit, err = r.again(m.Async); err != nil {
			return nil, err
		}
	}
	st, err := r.stretch(dot.Actor, crdt.Range{Lo: dot.Seq, Hi: dot.Seq}, 1)
	if err == nil {
		done.Delta, err = st.coalesce()
	}
	if !told {
		done.Kind = m.kindIn(done.Delta, dot, res.Kind)
	}
	if err == nil && (!told || toldBeside(m.Op)) {
		done.After, err = r.newTxn().after(done.Delta, m.Key, done.Kind)
	}
	return done, err
}

// soleKind is the kind as which a run changed a key; none where it changed several,
// for which of them is a request's is told by the request alone.
func soleKind(run *crdt.Delta) crdt.Kind {
	for i := range run.Changes {
		if run.Changes[i].ID.KeyID != run.Changes[0].ID.KeyID || run.Changes[i].ID.Kind != run.Changes[0].ID.Kind {
			return crdt.NoKind
		}
	}
	return run.Changes[0].ID.Kind
}

// kindIn is the kind as which a request changed its key, whose event may have come
// in a run with others; recorded is what its record tells.
func (m *Mutation) kindIn(run *crdt.Delta, dot crdt.Dot, recorded crdt.Kind) crdt.Kind {
	switch {
	case m.Op.Kind != crdt.NoKind:
		return m.Op.Kind
	case recorded != crdt.NoKind || run == nil:
		return recorded
	}
	for i := range run.Changes {
		ch := &run.Changes[i]
		if ch.ID.KeyID != m.Key || ch.ID.Kind == crdt.Expiry {
			continue
		}
		if slices.ContainsFunc(ch.Puts, func(e crdt.Entry) bool { return e.Dot == dot }) {
			return ch.ID.Kind
		}
		if recorded == crdt.NoKind || len(ch.Puts) > 0 { // a bcounter's event goes on with an older dot
			recorded = ch.ID.Kind
		}
	}
	return recorded
}

// toldBeside reports whether a Result does not hold all that an operation is
// answered with.
func toldBeside(op *crdt.Op) bool { return op.Code == crdt.OpUpdate || len(op.Members) > 1 }

func decodeRequest(v []byte) (dot crdt.Dot, res crdt.Result, told bool, err error) {
	if len(v) < 12 {
		return dot, res, false, fmt.Errorf("%w: request %x", errKey, v)
	}
	dot.Actor = crdt.Actor(binary.BigEndian.Uint64(v))
	seq, n := binary.Uvarint(v[8:])
	rest := v[8+max(n, 0):]
	if n <= 0 || len(rest) < 3 {
		return dot, res, false, fmt.Errorf("%w: request %x", errKey, v)
	}
	dot.Seq, res.Kind = seq, crdt.Kind(rest[0])
	changed, m := binary.Uvarint(rest[1:])
	if m <= 0 {
		return dot, res, false, fmt.Errorf("%w: request %x", errKey, v)
	}
	res.Changed = int(changed)
	total, k := binary.Varint(rest[1+m:])
	if k <= 0 {
		return dot, res, false, fmt.Errorf("%w: request %x", errKey, v)
	}
	res.Total = total
	if tail := rest[1+m+k:]; len(tail) == 8 {
		res.Score, told = math.Float64frombits(binary.BigEndian.Uint64(tail)), true
	}
	return dot, res, told, nil
}

// TrimRequests forgets request ids that are past the window, and a minute more
// for clocks that differ. What was recorded less than a window ago is kept
// whatever the wall shows; so nothing is forgotten in the first one after an
// opening, which cannot tell.
func (r *Replica) TrimRequests() error {
	if err := r.store.enter(); err != nil {
		return err
	}
	defer r.store.leave()
	window, age := r.store.opts.Requests, r.store.age()
	if age < window {
		return nil
	}
	cut := r.store.opts.Wall().Add(-window - time.Minute).UnixMilli()
	r.mu.Lock()
	defer r.mu.Unlock()
	var q crdt.RequestID
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(min(cut, r.asked.births.first(age, window)), 0)))
	copy(q[:6], ms[2:])
	first := replicaPrefix(tableRequest, r.id)
	some := false
	err := r.store.each(first, requestKey(r.id, q), func([]byte, []byte) error {
		some = true
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) || !some {
		return err
	}
	return r.store.db.DeleteRange(first, requestKey(r.id, q), pebble.NoSync)
}
