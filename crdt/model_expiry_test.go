package crdt

import (
	"encoding/binary"
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

// expired reads the expiry of what was seen.
func expired(op *Op, cell Cell) bool {
	var longest uint64
	for _, e := range cell {
		ms, _ := binary.Uvarint(e.Payload)
		if ms == 0 {
			return false
		}
		longest = max(longest, ms)
	}
	return len(cell) > 0 && longest <= uint64(op.Now)
}

func (o *expiring) nothing(op *Op, have []Kind, here, seen observed, key KeyID) error {
	past := expired(op, here[CellID{key, Expiry, ""}])
	switch {
	case op.Code == OpExpire && (past || len(have) == 0), op.Code == OpSweep && !past:
		return nil
	case op.Code == OpExpire || past:
		return fmt.Errorf("operation %d did nothing, expired %v", op.Code, past)
	}
	return o.oracle.nothing(op, have, here, seen, key)
}

func (o *expiring) minted(op *Op, d *Delta, have []Kind, here, seen observed, key KeyID) error {
	dot, id := Dot{d.Actor, d.Lo}, CellID{key, Expiry, ""}
	past := expired(op, here[id])
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
	return o.follow(op, d, have, here[id], id)
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
func (o *expiring) follow(op *Op, d *Delta, have []Kind, live Cell, id CellID) error {
	dot := Dot{d.Actor, d.Lo}
	keeps := op.KeepTTL && op.Code != OpDelete && op.Code != OpExpire && len(have) > 0 && len(live) > 0
	sets := !keeps && (op.At != 0 || op.Code == OpExpire)
	clears := !keeps && (sets || op.Code == OpAssign || op.Code == OpDelete && (op.Kind == NoKind || len(have) < 2) ||
		len(have) == 0 && len(live) > 0)
	i := slices.IndexFunc(d.Changes, func(ch Change) bool { return ch.ID == id })
	if put := i >= 0 && len(d.Changes[i].Puts) > 0; put != sets {
		return fmt.Errorf("%s: expiry is set %v, want %v", dot, put, sets)
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
		o.put(dot, id, binary.AppendUvarint(nil, uint64(op.At)))
	}
	return nil
}

func (o *expiring) judge(mem *Memory, clock *Clock, counted map[string]int) error {
	if err := o.oracle.judge(mem, clock, counted); err != nil {
		return err
	}
	for _, key := range modelKeys() {
		var want uint64
		cell, _ := mem.Load(CellID{key, Expiry, ""})
		for _, e := range cell {
			ms, _ := binary.Uvarint(e.Payload)
			if want = max(want, ms); ms == 0 {
				want = 0
				break
			}
		}
		if got, ok := ExpiresAt(cellsOf(mem, key)); uint64(got) != want || ok != (want > 0) {
			return fmt.Errorf("%s expires at %d, %v, want %d of %v", key.Key, got, ok, want, cell)
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
