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
// A plain assignment says that its value never expires, without a word of it:
// an expiry names the assigned values that it was for, and a key that holds
// another one, assigned at the same time, does not expire. Elements, fields and
// increments share the expiry of their key, whenever they came.
//
// The event that clears or extends an expiry does not write the values again,
// so who sweeps must have heard what others did until then. What cannot be
// removed, a bcounter, does not expire, and loses an expiry that the key got
// otherwise when its time has come.
var expiryRow = kindRow{
	name:    "expiry",
	check:   checkExpiry,
	present: func(Cell) bool { return false },
}

// expiry is the payload: a time in milliseconds since 1970, 0 for never, and
// the assigned values that it is for, beside that of its own event.
type expiry struct {
	at     uint64
	values []Dot // in order
}

func (x expiry) encode() []byte {
	b := binary.AppendUvarint(nil, x.at)
	if len(x.values) > 0 {
		b = appendDots(b, x.values)
	}
	return b
}

func decodeExpiry(payload []byte) (expiry, error) {
	r := reader{b: payload}
	x := expiry{at: r.uvarint("expiry")}
	if x.at > math.MaxInt64 && r.err == nil {
		r.fail("expiry is out of bounds")
	}
	if r.left() > 0 {
		if x.values = r.dots("values"); len(x.values) == 0 && r.err == nil {
			r.fail("empty list of values")
		}
	}
	return x, r.done("expiry")
}

func checkExpiry(payload []byte) error {
	_, err := decodeExpiry(payload)
	return err
}

// ExpiryOf returns the longest time of an expiry, in milliseconds since 1970,
// and the event that set it; false where it is never. It does not tell whether
// the key holds what this is not the expiry of, see ExpiresAt.
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

// assigned are the kinds of which a plain write says that its value never expires.
func (k Kind) assigned() bool { return k == Register || k == MVRegister }

// ExpiresAt returns when a key with these cells expires, in milliseconds since
// 1970; false where it never does. A key whose time has come is to be hidden.
// Of cells the assigned values and the expiry count, all others may be left out.
func ExpiresAt(cells []CellState) (ms int64, ok bool) {
	i := slices.IndexFunc(cells, func(c CellState) bool { return c.ID.Kind == Expiry })
	if i < 0 {
		return 0, false
	}
	live := cells[i].Live
	if ms, _, ok = ExpiryOf(live); !ok {
		return 0, false
	}
	var named []Dot
	for _, e := range live {
		if x, err := decodeExpiry(e.Payload); err == nil { // checked when decoded
			named = append(append(named, x.values...), e.Dot)
		}
	}
	for _, c := range cells {
		if !c.ID.Kind.assigned() {
			continue
		}
		for _, e := range c.Live {
			if !slices.Contains(named, e.Dot) {
				return 0, false
			}
		}
	}
	return ms, true
}

// LoadExpiry reads the cells that ExpiresAt is told from. stored lists the
// kinds of which the key has cells.
func LoadExpiry(cells Loader, key KeyID, stored []Kind) ([]CellState, error) {
	if !slices.Contains(stored, Expiry) {
		return nil, nil
	}
	var out []CellState
	for _, k := range stored {
		if k != Expiry && !k.assigned() {
			continue
		}
		id := CellID{KeyID: key, Kind: k}
		c, err := cells.Load(id)
		if err != nil {
			return nil, err
		}
		out = append(out, CellState{id, c})
	}
	return out, nil
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
	cells, err := LoadExpiry(m.cells, m.key, stored)
	if err != nil {
		return err
	}
	was := ending{}
	if i := slices.IndexFunc(cells, func(c CellState) bool { return c.ID.Kind == Expiry }); i >= 0 {
		was.live = cells[i].Live
		was.at, was.ends = ExpiresAt(cells)
	}
	var gone []Change
	if was.ends && was.at <= op.Now {
		gone, err = m.removeExpired(stored, was.live)
		switch {
		case errors.Is(err, ErrPermanent): // it goes on without an expiry
		case err != nil:
			return err
		default:
			have = nil
		}
		m.cells, was = remains{m.cells, gone}, ending{}
	}
	switch op.Code { //nolint:exhaustive // all others are of the kinds
	case OpExpire:
		return m.expire(have, was.live, gone)
	case OpSweep:
		m.sweep(was)
	default:
		if err := m.carryOut(have); err != nil {
			return err
		}
		if err := m.followExpiry(op, have, was); err != nil {
			return err
		}
	}
	m.unite(gone)
	return nil
}

// ending is the expiry as an operation found it.
type ending struct {
	live Cell
	at   int64
	ends bool // at the time at; false where the key never expires
}

// sweep takes away an expiry that is over, of a key that did not expire.
func (m *mutation) sweep(was ending) {
	if at, _, ok := ExpiryOf(was.live); ok && at <= m.op.Now {
		m.change(Change{ID: m.expiryID(), Removes: was.live.Dots()})
	}
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
	if err := m.changeExpiry(live, &m.op.At); err != nil {
		return err
	}
	m.unite(gone)
	return nil
}

// followExpiry is what a write does to the expiry beside what it is for. An
// assignment clears it, as does what deletes the key, or creates it anew; with
// a time of its own the write sets it. To keep it is for an assignment to say
// that it is that of its value as well. op is the operation as it was asked for.
func (m *mutation) followExpiry(op *Op, have []Kind, was ending) error {
	deletes := op.Code == OpDelete
	if len(m.changes) == 0 && !deletes {
		return nil
	}
	if op.KeepTTL && !deletes && len(have) > 0 && len(was.live) > 0 {
		if op.Code == OpAssign && was.ends {
			return m.changeExpiry(was.live, &was.at)
		}
		return nil
	}
	clears := op.Code == OpAssign || deletes && (op.Kind == NoKind || len(have) < 2) || len(have) == 0 && len(was.live) > 0
	switch {
	case op.At != 0 && !deletes && !m.kind.permanent():
		return m.changeExpiry(was.live, &op.At)
	case clears:
		return m.changeExpiry(was.live, nil)
	}
	return nil
}

// changeExpiry supersedes the expiry that is observed: all that is live here
// or, of a client that says what it saw, that and no more. With a time it puts
// a new one, for all assigned values that are live here.
func (m *mutation) changeExpiry(live Cell, at *int64) error {
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
	if at != nil {
		values, err := m.assignedValues()
		if err != nil {
			return err
		}
		ch.Puts = []Entry{{m.dot, expiry{uint64(*at), values}.encode()}}
	}
	if len(ch.Removes) > 0 || len(ch.Puts) > 0 || !ch.Below.Empty() {
		m.change(ch)
	}
	return nil
}

// assignedValues lists the values that were assigned and that the event leaves.
func (m *mutation) assignedValues() ([]Dot, error) {
	after := remains{m.cells, m.changes}
	var out []Dot
	for _, k := range []Kind{Register, MVRegister} {
		c, err := after.Load(CellID{KeyID: m.key, Kind: k})
		if err != nil {
			return nil, err
		}
		out = append(out, c.Dots()...)
	}
	slices.SortFunc(out, Dot.Compare)
	return slices.DeleteFunc(slices.Compact(out), func(d Dot) bool { return d == m.dot }), nil
}

// unite puts the removal of what had expired into the event, under what the
// operation did on top of it.
func (m *mutation) unite(gone []Change) {
	all := m.changes
	if len(gone) > 0 {
		all = slices.Concat(gone, all)
	}
	slices.SortStableFunc(all, func(a, b Change) int { return a.ID.compare(&b.ID) })
	m.changes = all[:0]
	for _, ch := range all {
		last := len(m.changes) - 1
		if last < 0 || m.changes[last].ID != ch.ID {
			m.changes = append(m.changes, ch)
			continue
		}
		under := &m.changes[last]
		under.Puts = slices.DeleteFunc(under.Puts, func(e Entry) bool {
			return Cell(ch.Puts).Has(e.Dot) || slices.Contains(ch.Removes, e.Dot)
		})
		under.unite(&ch)
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
