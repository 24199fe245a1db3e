package crdt

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
)

// TestOracle plays the histories of TestModel with every kind, with maps of
// them, and several fields in one event. What replicas end with is compared
// with what each operation had observed, dot by dot and value by value.
func TestOracle(t *testing.T) {
	n := uint64(10_000)
	switch {
	case *modelSeeds > 0:
		n = *modelSeeds
	case os.Getenv("GODWIT_MUTANT") != "":
		n = 2_000
	case testing.Short():
		n = 1_000
	}
	counted := map[string]int{}
	for seed := *modelFirst; seed < *modelFirst+n; seed++ {
		w := newWorldOf(seed, historyKinds(), newChronicle())
		if err := w.run(counted); err != nil {
			t.Fatalf("history %d (again with -run TestOracle -seed %d -seeds 1): %v\n%s", seed, seed, err, strings.Join(w.trace, "\n"))
		}
	}
	comparisons := 0
	for _, what := range slices.Sorted(maps.Keys(counted)) {
		t.Logf("%s: %d", what, counted[what])
		if what != "histories" && what != "either" && what != "with closed actors" {
			comparisons += counted[what]
		}
	}
	t.Logf("comparisons: %d", comparisons)
	if want := int(n) * 20; n >= 1_000 && comparisons < want { // a harness that does nothing passes as well
		t.Errorf("%d comparisons, want at least %d", comparisons, want)
	}
}

var moreHistories = flag.String("histories", "", "histories of TestOracleOfKind, as `KIND=N`, such as counter=500000")

// TestOracleOfKind plays histories of keys of one kind each, with every kind in
// turn or, with -histories, very many of one.
func TestOracleOfKind(t *testing.T) {
	kinds, n := slices.Compact(slices.Sorted(slices.Values(historyKinds()))), uint64(100)
	if os.Getenv("GODWIT_MUTANT") != "" {
		n = 20
	}
	if *moreHistories != "" {
		name, count, _ := strings.Cut(*moreHistories, "=")
		kind, err := ParseKind(name)
		if err == nil {
			n, err = strconv.ParseUint(count, 10, 32)
		}
		if err != nil || !slices.Contains(kinds, kind) {
			t.Fatalf("-histories %s: want KIND=N, with one of the kinds %v (%v)", *moreHistories, kinds, err)
		}
		kinds = []Kind{kind}
	}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			counted := map[string]int{}
			for seed := *modelFirst; seed < *modelFirst+n; seed++ {
				w := newWorldOf(seed, []Kind{kind}, newChronicle())
				if err := w.run(counted); err != nil {
					t.Fatalf("history %d (again with -run TestOracleOfKind -seed %d -histories %s=1): %v\n%s", seed, seed, kind, err, strings.Join(w.trace, "\n"))
				}
			}
			for _, what := range slices.Sorted(maps.Keys(counted)) {
				t.Logf("%s: %d", what, counted[what])
			}
		})
	}
}

func fieldKinds() []Kind {
	return []Kind{Register, MVRegister, Counter, GCounter, Set, GSet, RWSet, Flag, DWFlag, HLL, Map}
}

func historyKinds() []Kind { return append(fieldKinds(), RWSet, DWFlag, Map, Map, Map, Map, Map) }

// chronicle is the oracle of all kinds. Beside what the plain oracle keeps, it
// knows which elements a sketch was made of.
type chronicle struct {
	*oracle
	sketches map[placed][]string
}

func newChronicle() *chronicle {
	return &chronicle{oracle: newOracle(), sketches: map[placed][]string{}}
}

func (*chronicle) operation(w *world, key KeyID) Op {
	kind := w.mainKind[key]
	if w.r.IntN(10) == 0 {
		kind = pick(w.r, w.kinds)
	}
	if w.r.IntN(12) == 0 {
		return Op{Code: OpDelete, Kind: pick(w.r, []Kind{NoKind, kind})}
	}
	op := randomOp(w.r, kind, 1)
	op.Kind = kind
	return op
}

// randomOp is an operation on a key or, in depth 2 and more, on a field.
func randomOp(r *rand.Rand, kind Kind, depth int) Op {
	some := func(of ...string) []string {
		out := []string{pick(r, of)}
		for r.IntN(2) == 0 {
			out = append(out, pick(r, of))
		}
		return out
	}
	if depth > 1 && r.IntN(12) == 0 {
		return Op{Code: OpDelete}
	}
	if kind.row().mutate[OpReset] != nil && r.IntN(7) == 0 {
		return Op{Code: OpReset}
	}
	switch kind { //nolint:exhaustive // maps are the rest
	case Register, MVRegister:
		return Op{Code: OpAssign, Value: fmt.Appendf(nil, "v%d", r.IntN(1000))}
	case Counter:
		return Op{Code: OpAdd, N: int64(r.IntN(12) - 3)}
	case GCounter:
		return Op{Code: OpAdd, N: int64(r.IntN(9))}
	case Set, RWSet:
		return Op{Code: pick(r, []OpCode{OpInsert, OpInsert, OpRemove}), Elements: some("x", "y", "z\x00")}
	case GSet:
		return Op{Code: OpInsert, Elements: some("x", "y", "z\x00")}
	case Flag, DWFlag:
		return Op{Code: OpSwitch, On: r.IntN(3) > 0}
	case HLL:
		return Op{Code: OpObserve, Elements: some("a", "b", "c", "d", "e", "f", "g", "h")}
	default:
		return randomMapOp(r, depth)
	}
}

func randomMapOp(r *rand.Rand, depth int) Op {
	names := []string{"f", "g\x00"}
	if r.IntN(4) == 0 {
		op := Op{Code: OpDiscard}
		for range 1 + r.IntN(2) {
			op.Names = append(op.Names, FieldName{pick(r, names), pick(r, append(fieldKinds(), NoKind, NoKind, NoKind, NoKind))})
		}
		return op
	}
	op := Op{Code: OpUpdate}
	for range 1 + r.IntN(4) {
		f := FieldOp{Name: pick(r, names)}
		kind := pick(r, fieldKinds())
		if depth == 3 && kind == Map {
			kind = RWSet
		}
		if slices.ContainsFunc(op.Fields, func(o FieldOp) bool { return o.Name == f.Name && o.Op.Kind == kind }) {
			continue
		}
		f.Op = randomOp(r, kind, depth+1)
		f.Op.Kind = kind
		op.Fields = append(op.Fields, f)
	}
	return op
}

// telling is what one operation is to do, found without the rules.
type telling struct {
	of         *chronicle
	key        KeyID
	actor      Actor
	here, seen observed
	context    bool
	kills      map[CellID]Cell
	puts       map[CellID]func(payload []byte) bool
	adds       map[CellID]int64
	sketches   map[CellID][]string
}

func (c *chronicle) tell(op *Op, actor Actor, have []Kind, here, seen observed, key KeyID) *telling {
	t := &telling{
		of: c, key: key, actor: actor, here: here, seen: seen, context: op.Context != nil,
		kills: map[CellID]Cell{}, puts: map[CellID]func([]byte) bool{}, adds: map[CellID]int64{}, sketches: map[CellID][]string{},
	}
	if op.Code != OpDelete {
		t.walk(op, op.Kind, CellID{key, op.Kind, ""})
		return t
	}
	kinds := []Kind{op.Kind}
	if op.Kind == NoKind {
		kinds = have
		for _, k := range fieldKinds() {
			if t.context && !slices.Contains(have, k) && k != Counter && k != GCounter {
				kinds = append(kinds, k)
			}
		}
	}
	for _, k := range kinds {
		t.walk(op, k, CellID{key, k, ""})
	}
	return t
}

// walk follows the operation into fields. at names the field's own cell, or
// what comes before the names of its cells.
func (t *telling) walk(op *Op, kind Kind, at CellID) {
	below := func(component string) CellID { return CellID{at.KeyID, at.Kind, at.Path + PathOf(component)} }
	tag := func(id CellID, of byte) {
		t.puts[id] = func(p []byte) bool {
			return len(p) == 0 && kind != RWSet && kind != DWFlag || len(p) == 1 && p[0] == of && (kind == RWSet || kind == DWFlag)
		}
	}
	switch op.Code { //nolint:exhaustive // the others are not played
	case OpAssign:
		if kind == Register || t.context {
			t.kills[at] = t.seen[at]
		}
		t.puts[at] = func(p []byte) bool {
			return bytes.HasSuffix(p, op.Value) && !slices.ContainsFunc(t.here[at], func(e Entry) bool { return stampOf(e.Payload) >= stampOf(p) })
		}
	case OpInsert, OpRemove:
		for _, e := range op.Elements {
			id := below(e)
			if op.Code == OpInsert {
				t.kills[id] = t.here[id]
				tag(id, 0)
			} else if t.kills[id] = t.seen[id]; kind == RWSet {
				tag(id, 1)
			}
		}
	case OpSwitch:
		if op.On {
			t.kills[at] = t.here[at]
			tag(at, 0)
		} else if t.kills[at] = t.seen[at]; kind == DWFlag {
			tag(at, 1)
		}
	case OpAdd:
		t.adds[at] = op.N
	case OpObserve:
		t.observe(op, at)
	case OpReset:
		if kind == Counter && t.resets(at) {
			t.adds[at] = 0
		}
		t.remove(kind, at)
	case OpDelete:
		t.remove(kind, at)
	case OpUpdate:
		for i := range op.Fields {
			f := &op.Fields[i]
			t.walk(&f.Op, f.Op.Kind, CellID{at.KeyID, at.Kind, at.Path + PathOf(f.Name) + string([]byte{byte(f.Op.Kind)})})
		}
	case OpDiscard:
		for _, f := range op.Names {
			id := below(f.Name)
			if f.Kind != NoKind {
				id.Path += string([]byte{byte(f.Kind)})
			}
			t.removeBelow(id)
		}
	default:
		panic(fmt.Sprintf("operation %d", op.Code))
	}
}

func (t *telling) remove(kind Kind, at CellID) {
	switch {
	case kind.Collection():
		t.removeBelow(at)
	case ofRuns(at):
		t.kills[at] = t.here[at]
	default:
		t.kills[at] = t.seen[at]
	}
}

func (t *telling) removeBelow(at CellID) {
	for id, c := range t.seen {
		if id.Kind == at.Kind && strings.HasPrefix(id.Path, at.Path) && (!t.context || !ofRuns(id)) {
			t.kills[id] = c
		}
	}
}

// resets reports whether there is a run to end or to reset.
func (t *telling) resets(at CellID) bool {
	return slices.ContainsFunc(t.here[at], func(e Entry) bool { return e.Dot.Actor == t.actor || PresentCell(at, Cell{e}) })
}

func (t *telling) observe(op *Op, at CellID) {
	var all []string
	for _, e := range t.here[at] {
		all = append(all, t.of.sketches[placed{at, e.Dot}]...)
	}
	before := registersOf(all)
	all = append(all, op.Elements...)
	after := registersOf(all)
	if maps.Equal(before, after) {
		return
	}
	t.kills[at], t.sketches[at] = t.here[at], all
	t.puts[at] = func(p []byte) bool {
		got := map[int]int{}
		err := eachRegister(p, func(i int, rank uint8) { got[i] = int(rank) })
		return err == nil && maps.Equal(got, after)
	}
}

// registersOf is a HyperLogLog as papers tell it.
func registersOf(elements []string) map[int]int {
	out := map[int]int{}
	for _, e := range elements {
		h := xxh3.HashString(e)
		i, rest := int(h/(1<<50)), h%(1<<50)
		out[i] = max(out[i], 50-bits.Len64(rest)+1)
	}
	return out
}

func (c *chronicle) nothing(op *Op, have []Kind, here, seen observed, key KeyID) error {
	t := c.tell(op, 0, have, here, seen, key)
	for id, cell := range t.kills {
		if !ofRuns(id) && len(cell) > 0 || ofRuns(id) && PresentCell(id, cell) {
			return fmt.Errorf("operation %d did nothing, and was to remove %v", op.Code, id)
		}
	}
	if len(t.puts)+len(t.adds) > 0 {
		return fmt.Errorf("operation %d did nothing, and was to put %d and to count %d", op.Code, len(t.puts), len(t.adds))
	}
	return nil
}

func (c *chronicle) minted(op *Op, d *Delta, have []Kind, here, seen observed, key KeyID) error {
	t := c.tell(op, d.Actor, have, here, seen, key)
	dot := Dot{d.Actor, d.Lo}
	for id, cell := range t.kills {
		c.kill(dot, id, cell)
	}
	for i := range d.Changes {
		ch := &d.Changes[i]
		n, counts := t.adds[ch.ID]
		for _, e := range ch.Puts {
			switch want := t.puts[ch.ID]; {
			case ofRuns(ch.ID) && counts && e.Dot.Actor == d.Actor:
				c.count(dot, ch.ID, e.Dot, n, 1)
				delete(t.adds, ch.ID)
			case ofRuns(ch.ID): // a reset of others' runs
			case want == nil || e.Dot != dot || !want(e.Payload):
				return fmt.Errorf("%s puts %v %q into %v", dot, e.Dot, e.Payload, ch.ID)
			default:
				c.put(dot, ch.ID, e.Payload)
				c.sketches[placed{ch.ID, dot}] = t.sketches[ch.ID]
				delete(t.puts, ch.ID)
			}
		}
	}
	if len(t.puts)+len(t.adds) > 0 {
		return fmt.Errorf("%s lacks %d puts and %d increments", dot, len(t.puts), len(t.adds))
	}
	return nil
}

func (c *chronicle) reminted(d *Delta, here observed) {
	c.oracle.reminted(d, here)
	for _, ch := range d.Changes {
		if len(ch.Removes) > 0 {
			c.sketches[placed{ch.ID, Dot{d.Actor, d.Lo}}] = c.sketches[placed{ch.ID, ch.Removes[0]}]
		}
	}
}
