package crdt

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// The oracle judges a history by what each operation had observed, and knows
// nothing of clocks, joins or residue: what was added lives unless an
// operation that observed it took it away. An event that is in nobody's clock
// at the end was lost with its only holder: what it did may show or not.

// placed names what an event put into one cell.
type placed struct {
	cell CellID
	dot  Dot
}

// increment is one operation of a counter, whatever run it went to.
type increment struct {
	cell  CellID
	event Dot
	n     int64
	kills []Dot // resets and deletes that observed it
}

type oracle struct {
	puts  map[placed][]byte
	kills map[placed][]Dot
	runs  map[placed][]int // the increments of a run, one for each of its operations
	incs  []increment
}

func newOracle() *oracle {
	return &oracle{puts: map[placed][]byte{}, kills: map[placed][]Dot{}, runs: map[placed][]int{}}
}

// observed is what a client saw of a key: live dots, and for counters how many
// operations of each run.
type observed map[CellID]Cell

func observe(cells []CellState) observed {
	o := observed{}
	for _, c := range cells {
		o[c.ID] = c.Live
	}
	return o
}

// kill says that the event took away what was seen of the cell.
func (o *oracle) kill(event Dot, id CellID, seen Cell) {
	for _, e := range seen {
		if !ofRuns(id) {
			p := placed{id, e.Dot}
			o.kills[p] = append(o.kills[p], event)
			continue
		}
		u, err := decodeRun(e.Payload)
		if err != nil {
			panic(err)
		}
		for _, i := range o.runs[placed{id, e.Dot}][u.reset.ops:u.now.ops] {
			if !slices.Contains(o.incs[i].kills, event) {
				o.incs[i].kills = append(o.incs[i].kills, event)
			}
		}
	}
}

// ofRuns reports whether the cell's live dots are runs of a counter.
func ofRuns(id CellID) bool {
	k, _ := id.Leaf()
	return k == Counter || k == GCounter
}

// label is what comparisons of a cell are counted as.
func label(id CellID) string {
	if k, _ := id.Leaf(); k != id.Kind {
		return "map of " + k.String()
	}
	return id.Kind.String()
}

func (o *oracle) put(event Dot, id CellID, payload []byte) { o.puts[placed{id, event}] = payload }

// count says that the event added n to the run, as so many operations.
func (o *oracle) count(event Dot, id CellID, run Dot, n int64, ops uint64) {
	o.incs = append(o.incs, increment{cell: id, event: event, n: n})
	for range ops {
		o.runs[placed{id, run}] = append(o.runs[placed{id, run}], len(o.incs)-1)
	}
}

// minted tells the oracle of an event: the operation, what its client saw, and
// the event's payloads, of which only registers' stamps are taken on trust.
func (o *oracle) minted(op *Op, d *Delta, have []Kind, here, seen observed, key KeyID) error {
	dot := Dot{d.Actor, d.Lo}
	cell := func(k Kind, path string) CellID { return CellID{key, k, path} }
	switch op.Code { //nolint:exhaustive // the others are not played here
	case OpAssign:
		id := cell(op.Kind, "")
		if op.Kind == Register || op.Context != nil {
			o.kill(dot, id, seen[id])
		}
		p := d.Changes[0].Puts[0].Payload
		if !bytes.HasSuffix(p, op.Value) {
			return fmt.Errorf("%s puts %q, not %q", dot, p, op.Value)
		}
		for _, e := range here[id] {
			if stampOf(e.Payload) >= stampOf(p) {
				return fmt.Errorf("%s is not stamped after %s, which it saw", dot, e.Dot)
			}
		}
		o.put(dot, id, p)
	case OpInsert:
		for _, e := range op.Elements {
			id := cell(Set, PathOf(e))
			o.kill(dot, id, here[id])
			o.put(dot, id, nil)
		}
	case OpRemove:
		for _, e := range op.Elements {
			o.kill(dot, cell(Set, PathOf(e)), seen[cell(Set, PathOf(e))])
		}
	case OpAdd:
		o.count(dot, cell(Counter, ""), ownRunOf(d), op.N, 1)
	case OpReset:
		o.kill(dot, cell(Counter, ""), here[cell(Counter, "")])
		o.count(dot, cell(Counter, ""), dot, 0, 1)
	case OpDelete:
		for id, c := range seen {
			named := op.Kind == NoKind || op.Kind == id.Kind
			if named && (op.Context != nil && id.Kind != Counter || slices.Contains(have, id.Kind)) {
				o.kill(dot, id, c)
			}
		}
	}
	return nil
}

// ownRunOf is the run that an increment went to.
func ownRunOf(d *Delta) Dot { return d.Changes[0].Puts[0].Dot }

// reminted tells the oracle of a closed actor's orphans under a new dot.
func (o *oracle) reminted(d *Delta, here observed) {
	dot := Dot{d.Actor, d.Lo}
	for _, ch := range d.Changes {
		i, _ := Cell(ch.Puts).find(dot)
		if !ofRuns(ch.ID) {
			c := here[ch.ID]
			at, _ := c.find(ch.Removes[0])
			o.kill(dot, ch.ID, c[at:at+1])
			o.put(dot, ch.ID, c[at].Payload)
			continue
		}
		old := ch.Puts[1-i].Dot
		at, _ := here[ch.ID].find(old)
		one := here[ch.ID][at : at+1]
		u, err := decodeRun(one[0].Payload)
		if err != nil {
			panic(err)
		}
		sum, _ := total(one)
		o.kill(dot, ch.ID, one)
		o.count(dot, ch.ID, dot, sum, u.now.ops-u.reset.ops)
	}
}

// fate is what the oracle says of one thing that was put or counted.
type fate int

const (
	alive fate = iota
	dead
	either
)

func fateOf(clock *Clock, event Dot, kills []Dot) fate {
	f := alive
	if !clock.Contains(event) || len(kills) > 0 {
		f = either
	}
	if slices.ContainsFunc(kills, clock.Contains) {
		f = dead
	}
	return f
}

// judge compares the cells that all replicas ended with, and counts what was compared.
func (o *oracle) judge(mem *Memory, clock *Clock, counted map[string]int) error {
	if err := o.judgePuts(mem, clock, counted); err != nil {
		return err
	}
	if err := o.judgeReads(mem); err != nil {
		return err
	}
	return o.judgeCounters(mem, clock, counted)
}

func (o *oracle) judgePuts(mem *Memory, clock *Clock, counted map[string]int) error {
	for p, payload := range o.puts {
		cell, _ := mem.Load(p.cell)
		f := fateOf(clock, p.dot, o.kills[p])
		counted[label(p.cell)]++
		if f == either {
			counted["either"]++
		}
		i, live := cell.find(p.dot)
		switch {
		case live && f == dead:
			return fmt.Errorf("%v: %s was observed and removed by %v, and lives", p.cell, p.dot, o.kills[p])
		case !live && f == alive:
			return fmt.Errorf("%v: %s was never removed, and is gone", p.cell, p.dot)
		case live && !bytes.Equal(cell[i].Payload, payload):
			return fmt.Errorf("%v: %s holds %q, not %q", p.cell, p.dot, cell[i].Payload, payload)
		}
	}
	for _, cs := range mem.All() {
		for _, e := range cs.Live {
			if _, ok := o.puts[placed{cs.ID, e.Dot}]; !ok && !ofRuns(cs.ID) {
				return fmt.Errorf("%v: %s comes from nowhere", cs.ID, e.Dot)
			}
		}
	}
	return nil
}

// judgeReads compares what a reader sees with the live dots: the winner of a
// register by stamp, then actor, and the elements of a set.
func (o *oracle) judgeReads(mem *Memory) error {
	elements := map[KeyID][]string{}
	for _, cs := range mem.All() {
		if cs.ID.Kind == Set {
			e, _, _ := CutPath(cs.ID.Path)
			elements[cs.ID.KeyID] = append(elements[cs.ID.KeyID], e)
		}
		if cs.ID.Kind == Register || cs.ID.Kind == MVRegister {
			best := cs.Live[0]
			for _, e := range cs.Live {
				if stampOf(e.Payload) >= stampOf(best.Payload) { // dots ascend, so actors do
					best = e
				}
			}
			v := ReadValue(cs.ID.Kind, []CellState{cs})
			if len(v.Siblings) != len(cs.Live) || v.Siblings[0].Dot != best.Dot {
				return fmt.Errorf("%v: %v wins of %d, want %s of %d", cs.ID, v.Siblings[0], len(v.Siblings), best.Dot, len(cs.Live))
			}
		}
	}
	for key, want := range elements {
		v := ReadValue(Set, cellsOf(mem, key, Set))
		if slices.Sort(want); !slices.Equal(v.Elements, want) {
			return fmt.Errorf("%v: elements %v, want %v", key, v.Elements, want)
		}
	}
	return nil
}

func (o *oracle) judgeCounters(mem *Memory, clock *Clock, counted map[string]int) error {
	base := map[CellID]int64{}
	maybe := map[CellID][]int64{}
	for _, i := range o.incs {
		base[i.cell] += 0
		switch fateOf(clock, i.event, i.kills) {
		case alive:
			base[i.cell] += i.n
		case either:
			maybe[i.cell] = append(maybe[i.cell], i.n)
		case dead:
		}
	}
	for id, want := range base {
		counted[id.Kind.String()]++
		possible := map[int64]bool{want: true}
		for _, n := range maybe[id] {
			for _, v := range slices.Collect(maps.Keys(possible)) {
				possible[v+n] = true
			}
		}
		if len(maybe[id]) > 0 {
			counted["either"]++
		}
		got := ReadValue(Counter, cellsOf(mem, id.KeyID, Counter)).Int
		if !possible[got] {
			return fmt.Errorf("%v: counted %d, want %d, or also some of %v", id, got, want, maybe[id])
		}
	}
	return nil
}

func cellsOf(mem *Memory, key KeyID, kinds ...Kind) []CellState {
	return slices.DeleteFunc(mem.All(), func(c CellState) bool {
		return c.ID.KeyID != key || len(kinds) > 0 && !slices.Contains(kinds, c.ID.Kind)
	})
}
