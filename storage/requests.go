package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// writeRequest remembers a request with its event and its result.
func (r *Replica) writeRequest(b *pebble.Batch, q crdt.RequestID, dot crdt.Dot, res crdt.Result) error {
	if q == (crdt.RequestID{}) {
		return nil
	}
	v := binary.BigEndian.AppendUint64(nil, uint64(dot.Actor))
	v = binary.AppendUvarint(v, dot.Seq)
	v = append(v, byte(res.Kind))
	v = binary.AppendUvarint(v, uint64(res.Changed))
	v = binary.AppendVarint(v, res.Total)
	return b.Set(requestKey(r.id, q), v, nil)
}

// writeRequests remembers the requests that came with events of others. What
// they answered is not known here.
func (r *Replica) writeRequests(b *pebble.Batch, deltas []*crdt.Delta) error {
	for _, d := range deltas {
		for _, q := range d.Requests {
			var res crdt.Result
			if len(d.Changes) > 0 {
				res = crdt.Result{Kind: d.Changes[0].ID.Kind, Changed: 1}
			}
			if v, err := r.store.get(requestKey(r.id, q.ID)); err != nil || v != nil {
				if err != nil {
					return err
				}
				continue // known, and perhaps with what it answered
			}
			if err := r.writeRequest(b, q.ID, crdt.Dot{Actor: d.Actor, Seq: q.Seq}, res); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeated answers a request that was carried out before, from its record. The
// event is sent along, so that a retry can bring it to as many copies as asked.
func (r *Replica) repeated(m *Mutation) (*Done, error) {
	q := m.Request
	if r.store.opts.Wall().Sub(bornAt(q)) > r.store.opts.Requests {
		return nil, fmt.Errorf("%w: it was born at %s", ErrRequestOld, bornAt(q).UTC().Format(time.RFC3339))
	}
	v, err := r.store.get(requestKey(r.id, q))
	if err != nil || v == nil {
		return nil, err
	}
	dot, res, err := decodeRequest(v)
	if err != nil {
		return nil, err
	}
	done := &Done{Result: res, Dot: dot, Repeats: true}
	if !r.durable.Contains(dot) {
		if done.Commit, err = r.again(m.Async); err != nil {
			return nil, err
		}
	}
	st, err := r.stretch(dot.Actor, crdt.Range{Lo: dot.Seq, Hi: dot.Seq}, 1)
	if err == nil {
		done.Delta, err = st.coalesce()
	}
	if err == nil {
		done.After, err = r.newTxn().after(done.Delta)
	}
	return done, err
}

func decodeRequest(v []byte) (dot crdt.Dot, res crdt.Result, err error) {
	if len(v) < 12 {
		return dot, res, fmt.Errorf("%w: request %x", errKey, v)
	}
	dot.Actor = crdt.Actor(binary.BigEndian.Uint64(v))
	seq, n := binary.Uvarint(v[8:])
	rest := v[8+max(n, 0):]
	if n <= 0 || len(rest) < 3 {
		return dot, res, fmt.Errorf("%w: request %x", errKey, v)
	}
	dot.Seq, res.Kind = seq, crdt.Kind(rest[0])
	changed, m := binary.Uvarint(rest[1:])
	if m <= 0 {
		return dot, res, fmt.Errorf("%w: request %x", errKey, v)
	}
	res.Changed = int(changed)
	res.Total, _ = binary.Varint(rest[1+m:])
	return dot, res, nil
}

// TrimRequests forgets request ids that are past the window, and a minute more
// for clocks that differ.
func (r *Replica) TrimRequests() error {
	cut := r.store.opts.Wall().Add(-r.store.opts.Requests - time.Minute)
	var q crdt.RequestID
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(cut.UnixMilli(), 0)))
	copy(q[:6], ms[2:])
	if err := r.store.enter(); err != nil {
		return err
	}
	defer r.store.leave()
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
