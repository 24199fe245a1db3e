package crdt

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// expiring is the oracle of keys that expire: what a write found expired it has
// observed and removed, all of it, and then did what it does to an absent key.
type expiring struct {
	*oracle
	time int64
}

// operation picks what the oracle of plain keys does, or a change of the
// expiry. The clocks of clients differ.
func (o *expiring) operation(w *world, key KeyID) Op {
	o.time++
	op := o.oracle.operation(w, key)
	at := max(o.time+int64(w.r.IntN(30))-4, 1)
	switch p := w.r.IntN(20); {
	case p < 5:
		op = Op{Code: OpExpire, At: at * int64(min(w.r.IntN(4), 1))}
	case p < 6:
		op = Op{Code: OpSweep}
	case p < 11 && (op.Code == OpAssign || op.Code == OpInsert || op.Code == OpAdd):
		op.At = at
	}
	op.KeepTTL = w.r.IntN(5) == 0
	if w.r.IntN(8) > 0 {
		op.Now = max(o.time+int64(w.r.IntN(7))-3, 1)
	}
	return op
}

// endOf is when what was seen of a key expires, 0 for never: at the longest of
// its times, if they are those of all values that were assigned.
func endOf(seen observed, key KeyID) int64 {
	var longest uint64
	named := map[Dot]bool{}
	for _, e := range seen[CellID{key, Expiry, ""}] {
		x, err := decodeExpiry(e.Payload)
		if err != nil {
			panic(err)
		}
		if x.at == 0 {
			return 0
		}
		longest, named[e.Dot] = max(longest, x.at), true
		for _, d := range x.values {
			named[d] = true
		}
	}
	for _, k := range []Kind{Register, MVRegister} {
		for _, e := range seen[CellID{key, k, ""}] {
			if !named[e.Dot] {
				return 0
			}
		}
	}
	return int64(longest)
}

func expired(op *Op, seen observed, key KeyID) bool {
	end := endOf(seen, key)
	return end > 0 && end <= op.Now
}

// over reports whether there is a time to sweep away, of a key that did not expire.
func over(op *Op, live Cell) bool {
	at, _, ok := ExpiryOf(live)
	return ok && at <= op.Now
}

func (o *expiring) nothing(op *Op, have []Kind, here, seen observed, key KeyID) error {
	past := expired(op, here, key)
	switch {
	case op.Code == OpExpire && (past || len(have) == 0), op.Code == OpSweep && !over(op, here[CellID{key, Expiry, ""}]):
		return nil
	case op.Code == OpExpire || op.Code == OpSweep || past:
		return fmt.Errorf("operation %d did nothing, expired %v", op.Code, past)
	}
	return o.oracle.nothing(op, have, here, seen, key)
}

func (o *expiring) minted(op *Op, d *Delta, have []Kind, here, seen observed, key KeyID) error {
	dot, id := Dot{d.Actor, d.Lo}, CellID{key, Expiry, ""}
	past := expired(op, here, key)
	if op.Code == OpSweep && !past && over(op, here[id]) {
		o.kill(dot, id, here[id])
		return nil
	}
	if past {
		for other, c := range here {
			o.kill(dot, other, c)
		}
		have, here = nil, observed{}
		if op.Context == nil {
			seen = here
		}
	}
	switch {
	case op.Code == OpSweep && past:
		return nil
	case op.Code == OpSweep, op.Code == OpExpire && len(have) == 0:
		return fmt.Errorf("%s: operation %d on what has expired %v", dot, op.Code, past)
	case op.Code != OpExpire:
		own := ownChanges(op, d, past)
		did := op.Code != OpReset || len(own.Changes) > 0
		if !did && past {
			return nil
		}
		if err := o.oracle.minted(op, own, have, here, seen, key); err != nil {
			return err
		}
	}
	return o.follow(op, d, have, here, id)
}

// ownChanges is the event as it would be without an expiry.
func ownChanges(op *Op, d *Delta, past bool) *Delta {
	own := &Delta{Actor: d.Actor, Lo: d.Lo, Hi: d.Hi}
	for _, ch := range d.Changes {
		if past {
			ch.Puts = slices.DeleteFunc(slices.Clone(ch.Puts), func(e Entry) bool { return e.Dot != Dot{d.Actor, d.Lo} })
		}
		if ch.ID.Kind == op.Kind && len(ch.Puts) > 0 {
			own.Changes = append(own.Changes, ch)
		}
	}
	return own
}

// follow tells what became of the expiry.
func (o *expiring) follow(op *Op, d *Delta, have []Kind, here observed, id CellID) error {
	dot, live, at := Dot{d.Actor, d.Lo}, here[id], op.At
	keeps := op.KeepTTL && op.Code != OpDelete && op.Code != OpExpire && len(have) > 0 && len(live) > 0
	sets := !keeps && (op.At != 0 || op.Code == OpExpire)
	if end := endOf(here, id.KeyID); keeps && op.Code == OpAssign && end > 0 {
		keeps, sets, at = false, true, end
	}
	clears := !keeps && (sets || op.Code == OpAssign || op.Code == OpDelete && (op.Kind == NoKind || len(have) < 2) ||
		len(have) == 0 && len(live) > 0)
	want := expiry{at: uint64(at)}
	for _, k := range []Kind{Register, MVRegister} {
		for _, e := range here[CellID{id.KeyID, k, ""}] {
			if !slices.ContainsFunc(d.Changes, func(ch Change) bool {
				return ch.ID.Kind == k && (slices.Contains(ch.Removes, e.Dot) || ch.Below.Contains(e.Dot))
			}) {
				want.values = append(want.values, e.Dot)
			}
		}
	}
	slices.SortFunc(want.values, Dot.Compare)
	i := slices.IndexFunc(d.Changes, func(ch Change) bool { return ch.ID == id })
	put := i >= 0 && len(d.Changes[i].Puts) > 0
	if put != sets || sets && !bytes.Equal(d.Changes[i].Puts[0].Payload, want.encode()) {
		return fmt.Errorf("%s: expiry is set %v, want %v to %v", dot, put, sets, want)
	}
	seen := live
	if c := op.Context; c != nil { // who saw the value of a write has seen the write, and its expiry
		seen = nil
		for p := range o.puts {
			if p.cell == id && (slices.Contains(c.Dots, p.dot) || c.Clock.Contains(p.dot)) {
				seen = append(seen, Entry{Dot: p.dot})
			}
		}
	}
	if clears {
		o.kill(dot, id, seen)
	}
	if sets {
		o.put(dot, id, want.encode())
	}
	return nil
}

func (o *expiring) judge(mem *Memory, clock *Clock, counted map[string]int) error {
	if err := o.oracle.judge(mem, clock, counted); err != nil {
		return err
	}
	for _, key := range modelKeys() {
		cell, _ := mem.Load(CellID{key, Expiry, ""})
		want := endOf(observe(cellsOf(mem, key)), key)
		if got, ok := ExpiresAt(cellsOf(mem, key)); got != want || ok != (want > 0) {
			return fmt.Errorf("%s expires at %d, %v, want %d of %v", key.Key, got, ok, want, cell)
		}
		if at, _, ok := ExpiryOf(cell); ok && want == 0 && at > 0 {
			counted["outlived"]++
		}
		if len(cell) > 1 {
			counted["concurrent expiries"]++
		}
	}
	return nil
}

// TestModelOfExpiry plays histories of TestModel with keys that expire, are
// extended, swept and written again, and clients whose clocks differ.
func TestModelOfExpiry(t *testing.T) {
	n := *modelSeeds
	switch {
	case n > 0:
	case testing.Short() || os.Getenv("GODWIT_MUTANT") != "":
		n = 1_500
	default:
		n = 6_000
	}
	counted := map[string]int{}
	for seed := *modelFirst; seed < *modelFirst+n; seed++ {
		w := newWorldOf(seed, []Kind{Register, MVRegister, Counter, Set}, &expiring{oracle: newOracle()})
		if err := w.run(counted); err != nil {
			t.Fatalf("history %d (again with -run %s -seed %d -seeds 1): %v\n%s", seed, t.Name(), seed, err, strings.Join(w.trace, "\n"))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counted)) {
		t.Logf("%s: %d", what, counted[what])
	}
}
