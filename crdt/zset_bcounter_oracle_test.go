package crdt

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestModelOfScoresAndRights plays histories of zsets and bcounters as
// TestModel does. Scores are integers, so sums are exact.
func TestModelOfScoresAndRights(t *testing.T) {
	n := *modelSeeds
	switch {
	case n > 0:
	case os.Getenv("GODWIT_MUTANT") != "":
		n = 3_000
	case testing.Short():
		n = 1_000
	default:
		n = 10_000
	}
	counted := map[string]int{}
	for seed := *modelFirst; seed < *modelFirst+n; seed++ {
		kinds := []Kind{ZSet, BCounter}
		if seed%3 == 0 { // rights travel far, and events alone, only where there is little else
			kinds = kinds[1:]
		}
		w := newWorldOf(seed, kinds, newTally(counted))
		if seed%3 == 0 {
			w.how = "events"
		}
		if err := w.run(counted); err != nil {
			t.Fatalf("history %d (again with -run TestModelOfScores -seed %d -seeds 1): %v\n%s", seed, seed, err, strings.Join(w.trace, "\n"))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counted)) {
		t.Logf("%s: %d", what, counted[what])
	}
}

// tally judges zsets by what each operation had observed, and bcounters by the
// deeds of each actor, which only that actor's rights could have allowed.
type tally struct {
	scores  oracle           // its records, not its judgement
	runs    map[placed][]int // the increments of a run: one event may begin several
	deeds   map[holder][]deed
	counted map[string]int
	wrong   error // found where none could be returned
}

func newTally(counted map[string]int) *tally {
	return &tally{scores: *newOracle(), runs: map[placed][]int{}, deeds: map[holder][]deed{}, counted: counted}
}

func (o *tally) operation(w *world, key KeyID) Op {
	for _, k := range modelKeys() {
		if o.wrong == nil {
			o.wrong = o.look(w, k)
		}
	}
	kind := w.mainKind[key]
	if w.r.IntN(10) == 0 {
		kind = pick(w.r, w.kinds)
	}
	op := Op{Kind: kind}
	switch p := w.r.IntN(20); {
	case p < 2:
		op.Code, op.Kind = OpDelete, pick(w.r, []Kind{NoKind, kind})
	case kind == BCounter && p < 9:
		_, to := w.node()
		op.Code, op.To, op.N = OpTransfer, to.actor, int64(1+w.r.IntN(6))
	case kind == BCounter && p == 9:
		op.Code, op.N = OpAsk, int64(1+w.r.IntN(6))
	case kind == BCounter:
		op.Code, op.N = OpAdd, int64(w.r.IntN(15)-7)
		if w.r.IntN(3) == 0 {
			op.Bound = int64(pick(w.r, []int{2, 2, 2, 3}))
		}
	case p < 6:
		op.Code, op.Elements = OpRemove, some(w, []string{"x", "y", "z\x00"})
	default:
		op.Code = pick(w.r, []OpCode{OpScore, OpBump, OpBump})
		for _, m := range some(w, []string{"x", "y", "z\x00"}) {
			op.Members = append(op.Members, Member{m, float64(w.r.IntN(9) - 4)})
		}
	}
	return op
}

func some(w *world, from []string) []string {
	i := w.r.IntN(len(from))
	return from[i : i+1+w.r.IntN(len(from)-i)]
}

func (o *tally) nothing(op *Op, _ []Kind, here, seen observed, key KeyID) error {
	if op.Code == OpAsk { // of nothing, or for no more than what is on its way
		c := here[CellID{key, BCounter, ""}]
		if len(c) > 0 && !slices.ContainsFunc(Shares(c), func(s Share) bool { return s.Asks >= uint64(op.N) }) {
			return fmt.Errorf("nobody asks for %d in %v", op.N, c)
		}
		return o.wrong
	}
	if op.Code != OpRemove && op.Code != OpDelete {
		return fmt.Errorf("operation %d did nothing", op.Code)
	}
	for id, c := range seen {
		named := op.Code == OpDelete && (op.Kind == NoKind || op.Kind == ZSet) ||
			slices.ContainsFunc(op.Elements, func(e string) bool { return PathOf(e) == id.Path })
		if !named || id.Kind != ZSet {
			continue
		}
		if bases, _ := split(c); op.Context != nil && len(bases) > 0 || op.Context == nil && PresentCell(id, here[id]) {
			return fmt.Errorf("operation %d on %v did nothing", op.Code, id)
		}
	}
	return o.wrong
}

// split separates the bases of a member from its runs.
func split(c Cell) (bases, runs Cell) {
	for _, e := range c {
		if mustScored(e.Payload).tag == baseTag {
			bases = append(bases, e)
		} else {
			runs = append(runs, e)
		}
	}
	return bases, runs
}

// kill says that the event took away what was seen of a member.
func (o *tally) kill(event Dot, id CellID, seen Cell) {
	bases, runs := split(seen)
	o.scores.kill(event, id, bases)
	for _, e := range runs {
		u := mustScored(e.Payload)
		for _, i := range o.runs[placed{id, e.Dot}][u.reset.ops:u.now.ops] {
			o.scores.incs[i].kills = append(o.scores.incs[i].kills, event)
		}
	}
}

// count says that the event added n to the run, as so many operations.
func (o *tally) count(event Dot, id CellID, run Dot, n int64, ops uint64) {
	o.scores.incs = append(o.scores.incs, increment{cell: id, event: event, n: n})
	for range ops {
		o.runs[placed{id, run}] = append(o.runs[placed{id, run}], len(o.scores.incs)-1)
	}
}

// killSeen is for an operation that supersedes what is observed.
func (o *tally) killSeen(event Dot, id CellID, op *Op, here, seen observed) {
	if op.Context == nil {
		o.kill(event, id, here[id])
		return
	}
	bases, _ := split(seen[id])
	o.kill(event, id, bases)
}

func (o *tally) minted(op *Op, d *Delta, _ []Kind, here, seen observed, key KeyID) error {
	dot := Dot{d.Actor, d.Lo}
	puts := func(id CellID) Cell {
		i := slices.IndexFunc(d.Changes, func(ch Change) bool { return ch.ID == id })
		return d.Changes[i].Puts
	}
	switch op.Code {
	case OpScore:
		for _, m := range op.Members {
			id := CellID{key, ZSet, PathOf(m.Member)}
			o.killSeen(dot, id, op, here, seen)
			at, _ := puts(id).find(dot)
			s := mustScored(puts(id)[at].Payload)
			if s.score != m.Score {
				return fmt.Errorf("%s sets %v, not %v", dot, s.score, m.Score)
			}
			bases, _ := split(here[id])
			if slices.ContainsFunc(bases, func(e Entry) bool { return mustScored(e.Payload).stamp >= s.stamp }) {
				return fmt.Errorf("%s is not stamped after all that it saw", dot)
			}
			o.scores.put(dot, id, puts(id)[at].Payload)
		}
	case OpBump:
		for _, m := range op.Members {
			id := CellID{key, ZSet, PathOf(m.Member)}
			o.count(dot, id, puts(id)[0].Dot, int64(m.Score), 1)
		}
	case OpRemove:
		for _, e := range op.Elements {
			o.killSeen(dot, CellID{key, ZSet, PathOf(e)}, op, here, seen)
		}
	case OpDelete:
		for id := range seen {
			if id.Kind == ZSet && op.Kind != BCounter {
				o.killSeen(dot, id, op, here, seen)
			}
		}
	case OpAdd, OpTransfer, OpAsk:
		return errors.Join(o.wrong, o.deed(op, dot, here, key))
	case OpAssign, OpReset, OpInsert, OpUpdate, OpDiscard, OpSwitch, OpObserve, OpKeep, OpExpire, OpSweep:
		return fmt.Errorf("operation %d is of another kind", op.Code)
	}
	return o.wrong
}

func (o *tally) reminted(d *Delta, here observed) {
	dot := Dot{d.Actor, d.Lo}
	for _, ch := range d.Changes {
		if ch.ID.Kind != ZSet { // an account stays its owner's, whatever its dot
			continue
		}
		i, _ := Cell(ch.Puts).find(dot)
		old := here[ch.ID]
		if len(ch.Removes) > 0 {
			at, _ := old.find(ch.Removes[0])
			o.kill(dot, ch.ID, old[at:at+1])
			o.scores.put(dot, ch.ID, old[at].Payload)
			continue
		}
		at, _ := old.find(ch.Puts[1-i].Dot)
		u := mustScored(old[at].Payload)
		o.kill(dot, ch.ID, old[at:at+1])
		o.count(dot, ch.ID, dot, int64(u.now.sum-u.reset.sum), u.now.ops-u.reset.ops)
	}
}

func (o *tally) judge(mem *Memory, clock *Clock, counted map[string]int) error {
	for p, payload := range o.scores.puts {
		cell, _ := mem.Load(p.cell)
		f := fateOf(clock, p.dot, o.scores.kills[p])
		i, live := cell.find(p.dot)
		switch {
		case live && f == dead:
			return fmt.Errorf("%v: %s was superseded by %v, and lives", p.cell, p.dot, o.scores.kills[p])
		case !live && f == alive:
			return fmt.Errorf("%v: %s was never superseded, and is gone", p.cell, p.dot)
		case live && string(cell[i].Payload) != string(payload):
			return fmt.Errorf("%v: %s holds %x, not %x", p.cell, p.dot, cell[i].Payload, payload)
		}
		counted["bases"]++
	}
	if err := o.judgeScores(mem, clock, counted); err != nil {
		return err
	}
	for _, key := range modelKeys() {
		if err := o.judgeRights(mem.cells[CellID{key, BCounter, ""}], key, clock, counted); err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
	}
	return o.wrong
}

// judgeScores compares scores with the base that was set last and the
// increments that nothing took back.
func (o *tally) judgeScores(mem *Memory, clock *Clock, counted map[string]int) error {
	sure, maybe, lives := map[CellID]int64{}, map[CellID][]int64{}, map[CellID]bool{}
	for _, i := range o.scores.incs {
		switch sure[i.cell] += 0; fateOf(clock, i.event, i.kills) {
		case alive:
			sure[i.cell] += i.n
			lives[i.cell] = true
		case either:
			maybe[i.cell] = append(maybe[i.cell], i.n)
		case dead:
		}
	}
	for p := range o.scores.puts {
		sure[p.cell] += 0
	}
	for id, sum := range sure {
		cell, _ := mem.Load(id)
		var base float64
		var last Stamp
		bases, _ := split(cell)
		for _, e := range bases { // dots ascend
			if s := mustScored(e.Payload); s.stamp >= last {
				last, base = s.stamp, s.score
			}
		}
		possible := map[float64]bool{base + float64(sum): true}
		for _, n := range maybe[id] {
			for _, v := range slices.Collect(maps.Keys(possible)) {
				possible[v+float64(n)] = true
			}
		}
		score, ok := ScoreOf(cell)
		if ok && !possible[score] {
			return fmt.Errorf("%v: score %v, want %v and %d, or also some of %v", id, score, base, sum, maybe[id])
		}
		if must := len(bases) > 0 || lives[id]; must && !ok || !must && len(maybe[id]) == 0 && ok {
			return fmt.Errorf("%v: present %v, with %d bases, increments %v", id, ok, len(bases), lives[id])
		}
		counted["scores"]++
	}
	return nil
}
