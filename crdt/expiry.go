package crdt

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
)

// The expiry of a key is a cell of its own, beside those of its kinds: a live
// dot holds the absolute time after which nobody is to see the key. A change of
// it supersedes what it observes; of concurrent ones the longest counts, and
// never is the longest. It makes no key exist and is no kind that a client may
// name. What has expired is hidden by whoever reads, who tells the time, and is
// removed by the next write of the key or by a sweep, in one event with
// everything else that lives under the key.
//
// An expiry is that of the key: it also ends a value that was written
// concurrently with it. The event that clears or extends it does not write the
// values again, so who sweeps must have heard what others did until then. What
// cannot be removed, a bcounter, does not expire, and loses an expiry that the
// key got otherwise when its time has come.
var expiryRow = kindRow{
	name:    "expiry",
	check:   checkExpiry,
	present: func(Cell) bool { return false },
}

// ExpiryOf returns when what carries this expiry is to be hidden, in
// milliseconds since 1970, and the event that says so; false where it never is.
func ExpiryOf(c Cell) (at int64, by Dot, ok bool) {
	for _, e := range c {
		ms, _ := binary.Uvarint(e.Payload)
		if ms == 0 {
			return 0, Dot{}, false
		}
		if int64(ms) >= at {
			at, by, ok = int64(ms), e.Dot, true
		}
	}
	return at, by, ok
}

// ExpiresAt returns when a key with these cells expires, in milliseconds since
// 1970; false where it never does. A key whose time has come is to be hidden.
func ExpiresAt(cells []CellState) (ms int64, ok bool) {
	i := slices.IndexFunc(cells, func(c CellState) bool { return c.ID.Kind == Expiry })
	if i < 0 {
		return 0, false
	}
	ms, _, ok = ExpiryOf(cells[i].Live)
	return ms, ok
}

func checkExpiry(payload []byte) error {
	r := reader{b: payload}
	if r.uvarint("expiry") > math.MaxInt64 && r.err == nil {
		r.fail("expiry is out of bounds")
	}
	return r.done("expiry")
}

// perform carries the operation out together with what it does to the key's
// expiry. On a key that has expired it does what it does on one that is absent,
// and everything that was left of the key is removed in the same event.
func (m *mutation) perform(stored []Kind) error {
	op := m.op
	have, err := Present(m.cells, m.key, stored)
	if err != nil {
		return err
	}
	var live Cell
	if slices.Contains(stored, Expiry) {
		if live, err = m.cells.Load(m.expiryID()); err != nil {
			return err
		}
	}
	var gone []Change
	if at, _, ok := ExpiryOf(live); ok && at <= op.Now {
		gone, err = m.removeExpired(stored, live)
		switch {
		case errors.Is(err, ErrPermanent): // it goes on without an expiry
		case err != nil:
			return err
		default:
			have = nil
		}
		m.cells, live = remains{m.cells, gone}, nil
	}
	if op.Code == OpExpire {
		return m.expire(have, live, gone)
	}
	if op.Code != OpSweep {
		if err := m.carryOut(have); err != nil {
			return err
		}
		m.followExpiry(op, have, live)
	}
	m.unite(gone)
	return nil
}

// permanent reports whether there is no removing what is of kind k.
func (k Kind) permanent() bool {
	row := k.row()
	return row.spares != nil && row.release == nil
}

func (m *mutation) expiryID() CellID { return CellID{KeyID: m.key, Kind: Expiry} }

// removeExpired returns the removal of all that lives under the key. Of a key
// that holds what cannot be removed it is the expiry alone, with ErrPermanent.
func (m *mutation) removeExpired(stored []Kind, expiry Cell) ([]Change, error) {
	end := Change{ID: m.expiryID(), Removes: expiry.Dots()}
	sub := *m
	sub.op = &Op{Code: OpDelete}
	for _, sub.kind = range stored {
		sub.root = sub.kind
		if remove := sub.kind.row().mutate[OpDelete]; remove != nil {
			if err := remove(&sub); err != nil {
				return []Change{end}, err
			}
		}
	}
	return append(sub.changes, end), nil
}

// expire is the operation that sets the expiry of a key, or takes it away. It
// is no write: where the key is absent, not even what had expired is removed.
func (m *mutation) expire(have []Kind, live Cell, gone []Change) error {
	switch k := m.op.Kind; {
	case len(have) == 0:
		return nil
	case k != NoKind && !slices.Contains(have, k):
		return &KindError{Have: have[0], Want: k}
	case slices.ContainsFunc(have, Kind.permanent):
		return ErrPermanent
	}
	m.result.Kind, m.result.Changed = have[0], 1
	m.changeExpiry(live, true)
	m.unite(gone)
	return nil
}

// followExpiry is what a write does to the expiry beside what it is for. An
// assignment clears it, as does what deletes the key, or creates it anew; with
// a time of its own the write sets it. op is the operation as it was asked for.
func (m *mutation) followExpiry(op *Op, have []Kind, live Cell) {
	deletes := op.Code == OpDelete
	if len(m.changes) == 0 && !deletes || op.KeepTTL && !deletes && len(have) > 0 && len(live) > 0 {
		return
	}
	sets := op.At != 0 && !deletes && !m.kind.permanent()
	clears := op.Code == OpAssign || deletes && (op.Kind == NoKind || len(have) < 2) || len(have) == 0 && len(live) > 0
	if sets || clears {
		m.changeExpiry(live, sets)
	}
}

// changeExpiry supersedes the expiry that is observed: all that is live here
// or, of a client that says what it saw, that and no more.
func (m *mutation) changeExpiry(live Cell, sets bool) {
	ch := Change{ID: m.expiryID(), Removes: live.Dots()}
	if c := m.op.Context; c != nil {
		ch.Removes = slices.DeleteFunc(ch.Removes, func(d Dot) bool { return !c.Clock.Contains(d) && !slices.Contains(c.Dots, d) })
		for _, d := range c.Dots {
			if !m.replica.Clock.Contains(d) && !slices.Contains(ch.Removes, d) {
				ch.Removes = append(ch.Removes, d)
			}
		}
		slices.SortFunc(ch.Removes, Dot.Compare)
		ch.Below = Difference(&c.Clock, &m.replica.Clock)
	}
	if sets {
		ch.Puts = []Entry{{m.dot, binary.AppendUvarint(nil, uint64(m.op.At))}}
	}
	if len(ch.Removes) > 0 || len(ch.Puts) > 0 || !ch.Below.Empty() {
		m.change(ch)
	}
}

// unite puts the removal of what had expired into the event, under what the
// operation did on top of it.
func (m *mutation) unite(gone []Change) {
	own := m.changes
	m.changes = gone
	for _, ch := range own {
		if i := slices.IndexFunc(m.changes, func(c Change) bool { return c.ID == ch.ID }); i >= 0 {
			m.changes[i].Puts = slices.DeleteFunc(m.changes[i].Puts, func(e Entry) bool {
				return Cell(ch.Puts).Has(e.Dot) || slices.Contains(ch.Removes, e.Dot)
			})
		}
		m.change(ch)
	}
}

// remains is the cells as a removal of the whole key will leave them.
type remains struct {
	Cells
	gone []Change
}

// Load is a method of Cells.
func (r remains) Load(id CellID) (Cell, error) {
	c, err := r.Cells.Load(id)
	return r.after(id, c), err
}

// Below is a method of Cells.
func (r remains) Below(id CellID, fn func(id CellID, c Cell) error) error {
	return r.Cells.Below(id, func(id CellID, c Cell) error {
		if left := r.after(id, c); len(left) > 0 {
			return fn(id, left)
		}
		return nil
	})
}

func (r remains) after(id CellID, c Cell) Cell {
	left := slices.Clone(c)
	for i := range r.gone {
		ch := &r.gone[i]
		if ch.ID.KeyID != id.KeyID || ch.ID.Kind != id.Kind || !strings.HasPrefix(id.Path, ch.ID.Path) {
			continue
		}
		own := ch.ID.Path == id.Path
		left = slices.DeleteFunc(left, func(e Entry) bool {
			return ch.Below.Contains(e.Dot) && !id.spares(e) || own && slices.Contains(ch.Removes, e.Dot)
		})
		for _, e := range ch.Puts {
			if at, released := left.find(e.Dot); own && released {
				left[at].Payload = e.Payload
			} else if own {
				left = left.with(e)
			}
		}
	}
	return left
}
