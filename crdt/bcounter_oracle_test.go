package crdt

import (
	"errors"
	"fmt"
	"maps"
)

// holder is an actor and a bcounter of which it may hold rights.
type holder struct {
	key   KeyID
	actor Actor
}

// deed is an event of an actor and all that the actor had done by then.
type deed struct {
	event           Dot
	up, down, share int64
	out             map[Actor]int64
}

// deed records what an actor did to a bcounter, for which it had the rights.
func (o *tally) deed(op *Op, dot Dot, here observed, key KeyID) error {
	id := CellID{key, BCounter, ""}
	at := holder{key, dot.Actor}
	last := deed{}
	if n := len(o.deeds[at]); n > 0 {
		last = o.deeds[at][n-1]
	}
	next := deed{dot, last.up, last.down, last.share, maps.Clone(last.out)}
	have := rightsOf(here[id], dot.Actor)
	spent := op.N
	if len(here[id]) == 0 {
		next.share = op.Bound
	}
	if next.out == nil {
		next.out = map[Actor]int64{}
	}
	switch {
	case op.Code == OpAsk: // all that it was given, and what it would have
		spent, next.out[dot.Actor] = 0, int64(booksOf(here[id]).given(dot.Actor))+op.N
	case op.Code == OpTransfer:
		next.out[op.To] += op.N
	case op.N < 0:
		next.down -= op.N
		spent = -op.N
	default:
		next.up += op.N
		spent = next.share - last.share - op.N
	}
	if have < spent {
		return fmt.Errorf("%s spends %d rights of %d", dot, spent, have)
	}
	o.deeds[at] = append(o.deeds[at], next)
	return nil
}

func rightsOf(c Cell, a Actor) int64 {
	v := ReadValue(BCounter, []CellState{{Live: c}})
	for _, r := range v.Rights {
		if r.Actor == a {
			return r.Amount
		}
	}
	return 0
}

// refused judges a refusal by what the actor could see.
func (o *tally) refused(op *Op, actor Actor, here observed, err error) error {
	var cell Cell
	for id, c := range here {
		if id.Kind == BCounter {
			cell = c
		}
	}
	var few *RightsError
	right := false
	switch {
	case errors.As(err, &few):
		v := ReadValue(BCounter, []CellState{{Live: cell}})
		others := -few.Have
		for _, r := range v.Rights {
			others += r.Amount
		}
		right = few.Have == rightsOf(cell, actor) && few.Have < max(op.N, -op.N) && few.Elsewhere == others && (op.N < 0 || op.Code == OpTransfer)
	case errors.Is(err, ErrSelfTransfer):
		right = op.To == actor
	case errors.Is(err, ErrPermanent):
		right = op.Code == OpDelete && len(cell) > 0
	case errors.Is(err, ErrBound):
		bound := ReadValue(BCounter, []CellState{{Live: cell}}).Bound
		right = op.Bound != 0 && (len(cell) == 0 && op.N < op.Bound || len(cell) > 0 && op.Bound != bound)
	}
	if !right {
		return fmt.Errorf("operation %d of %d at %s, which sees %v, was refused: %w", op.Code, op.N, actor, here, err)
	}
	o.counted["refused"]++
	return o.wrong
}

// look is at every replica, and at what a reader makes of the answers of two,
// in the middle of everything: no counter below its bound, no actor overdrawn.
func (o *tally) look(w *world, key KeyID) error {
	id := CellID{key, BCounter, ""}
	for _, n := range w.nodes {
		if err := solvent(n.mem.cells[id]); err != nil {
			return fmt.Errorf("%s: %w", n.actor, err)
		}
	}
	_, a := w.node()
	_, b := w.node()
	var answers []*Snapshot
	for _, n := range []*modelNode{a, b} {
		s, err := DecodeSnapshot(n.encodeKey(key))
		if err != nil {
			return err
		}
		answers = append(answers, s)
	}
	for _, c := range Merge(answers...).Cells {
		if c.ID == id {
			if err := solvent(c.Live); err != nil {
				return fmt.Errorf("%s and %s together: %w", a.actor, b.actor, err)
			}
		}
	}
	return nil
}

// solvent checks a view of a bcounter. Rights are neither made nor lost: they
// are what the value has above what was paid for bounds.
func solvent(c Cell) error {
	v := ReadValue(BCounter, []CellState{{Live: c}})
	if v.Int < v.Bound {
		return fmt.Errorf("value %d, bound %d in %v", v.Int, v.Bound, c)
	}
	sum := int64(0)
	for _, r := range v.Rights {
		if r.Amount < 0 {
			return fmt.Errorf("%s has %d rights in %v", r.Actor, r.Amount, c)
		}
		sum += r.Amount
	}
	for _, l := range booksOf(c) {
		sum += int64(l.share)
	}
	if sum != v.Int {
		return fmt.Errorf("value %d, rights and shares %d in %v", v.Int, sum, c)
	}
	return nil
}

// judgeRights compares every account with what its owner had done: all of it,
// but for what was lost with the only replica that knew.
func (o *tally) judgeRights(cell Cell, key KeyID, clock *Clock, counted map[string]int) error {
	all := booksOf(cell)
	value, rights, lost := int64(0), map[Actor]int64{}, false
	for at, deeds := range o.deeds {
		if at.key != key {
			continue
		}
		known, i := -1, -1
		for j, d := range deeds {
			if clock.Contains(d.event) {
				known = j
			}
			if d.equal(all[at.actor]) {
				i = j
			}
		}
		_, there := all[at.actor]
		if there && i < max(known, 0) || !there && known >= 0 {
			return fmt.Errorf("%s: account %v, want what it had done in %d of %v", at.actor, all[at.actor], known+1, deeds)
		}
		if lost = lost || known < len(deeds)-1; !there {
			continue
		}
		d := deeds[i]
		value += d.up - d.down
		rights[at.actor] += d.up - d.down - d.share
		for to, n := range d.out {
			rights[at.actor] -= n
			rights[to] += n
		}
	}
	v := ReadValue(BCounter, []CellState{{Live: cell}})
	if v.Int != value {
		return fmt.Errorf("value %d, want %d", v.Int, value)
	}
	for _, r := range v.Rights {
		if rights[r.Actor] != r.Amount {
			return fmt.Errorf("%s has %d rights, want %d", r.Actor, r.Amount, rights[r.Actor])
		}
	}
	if counted["bcounters"]++; !lost {
		counted["bcounters without loss"]++
	}
	if v.Bound > 0 {
		counted["bcounters with a bound"]++
	}
	return solvent(cell)
}

func (d deed) equal(l ledger) bool {
	out := make(map[Actor]int64, len(l.out))
	for _, g := range l.out {
		out[g.to] = int64(g.total)
	}
	return d.up == int64(l.up) && d.down == int64(l.down) && d.share == int64(l.share) && maps.Equal(d.out, out)
}
