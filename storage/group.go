package storage

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// ErrAlone reports an operation of a group that is to be carried out by Mutate:
// it repeats another, it changes nothing, or it is not an increment of a counter.
var ErrAlone = errors.New("operation cannot be carried out together with others")

// Grouped is what became of one operation of a group: what Mutate would have
// returned, but Delta and Commit, which are the group's.
type Grouped struct {
	Done *Done
	Err  error // ErrAlone, or why this operation was refused: nothing of it was done
}

// MutateTogether carries out increments of one counter, one after the other, as
// one run of events: in one batch, one entry of the log and one delta, which is
// what the events would coalesce to. Each has a dot of its own, its request id and
// its result. Delta and Commit are nil if none was carried out. An error means
// that none was.
func (r *Replica) MutateTogether(ms []*Mutation) ([]Grouped, *crdt.Delta, *Commit, error) {
	if err := r.store.enter(); err != nil {
		return nil, nil, nil, err
	}
	defer r.store.leave()
	r.turn()
	defer r.done()
	out := make([]Grouped, len(ms))
	t := r.newTxn()
	defer t.release()
	var run *crdt.Delta
	var gained crdt.Clock
	for i, m := range ms {
		d, done, err := r.oneOf(t, m, run)
		if out[i] = (Grouped{done, err}); err != nil {
			continue
		}
		gained.Add(done.Dot)
		run = extended(run, d)
	}
	if run == nil {
		return out, nil, nil, nil
	}
	record := func(b *pebble.Batch) error {
		var err error
		for i, m := range ms {
			if done := out[i].Done; done != nil {
				err = errors.Join(err, r.writeRequest(b, m.Request, done.Dot, done.Result, true))
			}
		}
		return err
	}
	c, err := r.commit(t, gained, []*crdt.Delta{run}, record, ms[0].Async)
	return out, run, c, err
}

// oneOf mints and applies the next event of a run, of which there is none yet
// while run is nil. On an error nothing has changed.
func (r *Replica) oneOf(t *txn, m *Mutation, run *crdt.Delta) (*crdt.Delta, *Done, error) {
	if m.Request != (crdt.RequestID{}) {
		if run != nil && hasRequest(run, m.Request) {
			return nil, nil, ErrAlone
		}
		if v, err := r.request(m.Request); err != nil || v != nil {
			return nil, nil, errors.Join(err, ErrAlone)
		}
	}
	if r.tooOld(m.Request) {
		return nil, nil, ErrAlone // Mutate says it
	}
	if r.store.disk.low.Load() {
		return nil, nil, ErrDiskLow
	}
	d, result, err := r.mint(t, m)
	if err != nil {
		return nil, nil, err
	}
	if d == nil || !isIncrement(d) || run != nil && d.Changes[0].ID != run.Changes[0].ID {
		return nil, nil, ErrAlone
	}
	if err := t.preload(d); err != nil {
		return nil, nil, err
	}
	if _, err := r.state.Apply(t, d); err != nil {
		return nil, nil, err
	}
	return d, &Done{Result: result, Dot: crdt.Dot{Actor: d.Actor, Seq: d.Lo}}, nil
}

// isIncrement reports whether an event raises one run of one counter.
func isIncrement(d *crdt.Delta) bool {
	if len(d.Changes) != 1 || len(d.Changes[0].Puts) != 1 || !d.Changes[0].Below.Empty() {
		return false
	}
	kind := d.Changes[0].ID.Kind
	return kind == crdt.Counter || kind == crdt.GCounter
}

// extended is a run with one more event, which raised the same run of the counter:
// of that, the last totals count.
func extended(run, d *crdt.Delta) *crdt.Delta {
	if run == nil {
		return d
	}
	run.Hi = d.Hi
	run.Requests = append(run.Requests, d.Requests...)
	ch := &run.Changes[0]
	ch.Puts = d.Changes[0].Puts
	for _, gone := range d.Changes[0].Removes {
		if !crdt.Cell(ch.Puts).Has(gone) {
			ch.Removes = append(ch.Removes, gone)
		}
	}
	return run
}

func hasRequest(d *crdt.Delta, q crdt.RequestID) bool {
	for _, have := range d.Requests {
		if have.ID == q {
			return true
		}
	}
	return false
}
