package crdt

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// A counter is one cell. A live dot of it is a run: a stretch of increments by
// one actor, named by the event that began it. The presence of a run follows
// rules 2 and 3 like any dot; its totals only grow and are joined by max, each
// raised by its actor alone. A reset raises the reset totals to what it saw,
// so an increment that it did not see survives, and one that it saw never
// comes back. Only the run's own actor drops a run that was fully reset, and
// begins a new one with its next increment.
var counterRow = kindRow{
	name:    "counter",
	join:    joinRuns,
	carry:   carryRun,
	spares:  func([]byte) bool { return true },
	release: releaseRuns,
	check:   checkRun,
	present: func(c Cell) bool { return anyRun(c, run.counts) },
	mutate: map[OpCode]func(m *mutation) error{
		OpAdd:    (*mutation).add,
		OpReset:  func(m *mutation) error { return m.reset(true) },
		OpDelete: func(m *mutation) error { return m.reset(false) },
	},
	read: readCounter,
}

// run is the totals of one run and, of each, how much was reset.
type run struct{ now, reset totals }

// totals counts what was added, what was taken away, and in how many operations.
type totals struct{ up, down, ops uint64 }

// counts reports whether the run holds an operation that was not reset.
func (u run) counts() bool { return u.now.ops > u.reset.ops }

func (t totals) max(o totals) totals {
	return totals{max(t.up, o.up), max(t.down, o.down), max(t.ops, o.ops)}
}

func (t totals) append(b []byte) []byte {
	b = binary.AppendUvarint(b, t.up)
	b = binary.AppendUvarint(b, t.down)
	return binary.AppendUvarint(b, t.ops)
}

// encode leaves the reset totals out where there are none.
func (u run) encode() []byte {
	b := u.now.append(nil)
	if u.reset != (totals{}) {
		b = u.reset.append(b)
	}
	return b
}

func decodeRun(payload []byte) (run, error) {
	r := reader{b: payload}
	three := func() totals { return totals{r.uvarint("total"), r.uvarint("total"), r.uvarint("total")} }
	u := run{now: three()}
	if r.left() > 0 {
		u.reset = three()
		if u.reset == (totals{}) && r.err == nil {
			r.fail("empty reset totals")
		}
	}
	if u.now.max(u.reset) != u.now && r.err == nil {
		r.fail("more was reset than there was")
	}
	return u, r.done("run of a counter")
}

func checkRun(payload []byte) error {
	_, err := decodeRun(payload)
	return err
}

// joinRuns merges two views of one run. Payloads were checked when decoded.
func joinRuns(mine, theirs []byte) []byte {
	a, errA := decodeRun(mine)
	b, errB := decodeRun(theirs)
	if errA != nil || errB != nil {
		panic(fmt.Sprintf("crdt: unchecked run: %v, %v", errA, errB))
	}
	return run{a.now.max(b.now), a.reset.max(b.reset)}.encode()
}

// carryRun moves what a run counts. The old run stays, reset: should more of it
// turn up, in an old message or an old copy, only what is new will count.
func carryRun(payload []byte) (left, carried []byte) {
	u, err := decodeRun(payload)
	if err != nil {
		panic(fmt.Sprintf("crdt: unchecked run: %v", err))
	}
	moved := run{now: totals{u.now.up - u.reset.up, u.now.down - u.reset.down, u.now.ops - u.reset.ops}}
	u.reset = u.now
	return u.encode(), moved.encode()
}

func anyRun(c Cell, is func(run) bool) bool {
	for _, e := range c {
		if u, err := decodeRun(e.Payload); err == nil && is(u) {
			return true
		}
	}
	return false
}

// add is an increment by n, which may be negative.
func (m *mutation) add() error {
	if m.op.Context != nil {
		return ErrNoContext
	}
	live, err := m.load("")
	if err != nil {
		return err
	}
	before, over := total(live)
	sum := before + m.op.N
	if over || (sum > before) != (m.op.N > 0) && m.op.N != 0 {
		return fmt.Errorf("%w: %d and %d", ErrOverflow, before, m.op.N)
	}
	ch := Change{ID: m.id("")}
	at, u := m.ownRun(live, &ch)
	if u.now, err = u.now.plus(m.op.N); err != nil {
		return err
	}
	ch.Puts = []Entry{{at, u.encode()}}
	m.changes = append(m.changes, ch)
	m.result.Changed++
	m.result.Total = sum
	return nil
}

// plus counts one more operation.
func (t totals) plus(n int64) (totals, error) {
	side := &t.up
	amount := uint64(n)
	if n < 0 {
		side, amount = &t.down, -uint64(n)
	}
	if *side > math.MaxUint64-amount {
		return t, fmt.Errorf("%w: a total is used up; delete the key to begin again", ErrOverflow)
	}
	*side += amount
	t.ops++
	return t, nil
}

// ownRun finds the run that this actor goes on with, or begins one. An own run
// that was fully reset is dropped in the same event.
func (m *mutation) ownRun(live Cell, ch *Change) (Dot, run) {
	at, found := m.dot, run{}
	for _, e := range live {
		if e.Dot.Actor != m.dot.Actor {
			continue
		}
		if u, err := decodeRun(e.Payload); err == nil && u.counts() {
			at, found = e.Dot, u
		} else {
			ch.Removes = append(ch.Removes, e.Dot)
		}
	}
	return at, found
}

// reset takes back what is observed. A counter that was reset stays, at zero:
// the reset itself is an operation of a new run. One that was deleted is gone.
func (m *mutation) reset(stay bool) error {
	if m.op.Context != nil {
		return ErrNoContext
	}
	live, err := m.load("")
	if err != nil {
		return err
	}
	ch := Change{ID: m.id("")}
	ch.Removes, ch.Puts = releaseRuns(live, m.dot.Actor)
	if len(ch.Removes) == 0 && len(ch.Puts) == 0 {
		return nil
	}
	if stay {
		ch.Puts = Cell(ch.Puts).with(Entry{m.dot, run{now: totals{ops: 1}}.encode()})
	}
	m.changes = append(m.changes, ch)
	m.result.Changed++
	return nil
}

// releaseRuns takes back what the runs hold now. A run of the actor itself ends:
// nobody else adds to it, so the actor has seen the whole of it.
func releaseRuns(c Cell, actor Actor) (ends []Dot, puts []Entry) {
	for _, e := range c {
		u, err := decodeRun(e.Payload)
		switch {
		case err != nil: // cannot be: payloads are checked when decoded
		case e.Dot.Actor == actor:
			ends = append(ends, e.Dot)
		case u.counts():
			u.reset = u.now
			puts = append(puts, Entry{e.Dot, u.encode()})
		}
	}
	return ends, puts
}

// total sums the runs. Over is true when the sum lies outside int64, as
// concurrent increments can make it; it is then the nearest int64.
func total(c Cell) (sum int64, over bool) {
	var up, down [2]uint64 // high and low words: no number of runs can wrap them
	add := func(to *[2]uint64, n uint64) {
		var carry uint64
		to[1], carry = bits.Add64(to[1], n, 0)
		to[0] += carry
	}
	for _, e := range c {
		u, err := decodeRun(e.Payload)
		if err != nil {
			continue
		}
		add(&up, u.now.up-u.reset.up)
		add(&down, u.now.down-u.reset.down)
	}
	low, borrow := bits.Sub64(up[1], down[1], 0)
	high, _ := bits.Sub64(up[0], down[0], borrow)
	switch {
	case high == 0 && low <= math.MaxInt64, high == math.MaxUint64 && low > math.MaxInt64:
		return int64(low), false
	case int64(high) < 0:
		return math.MinInt64, true
	}
	return math.MaxInt64, true
}

func readCounter(v *Value, cells []CellState) {
	for _, cs := range cells {
		v.Int, v.Saturated = total(cs.Live)
	}
}
