package crdt

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// site is a replica for tests that spell out what happens.
type site struct {
	t      *testing.T
	actor  Actor
	minted uint64
	rep    Replica
	mem    Memory
}

func newSite(t *testing.T, a Actor) *site { return &site{t: t, actor: a} }

func testKey() KeyID { return KeyID{"bucket", "key"} }

// try runs an operation; its stamp is 10 more than what it saw.
func (s *site) try(op Op) (*Delta, Result, error) {
	s.t.Helper()
	d, res, err := s.rep.Mutate(&s.mem, testKey(), s.mem.Kinds(testKey()), &op, Dot{s.actor, s.minted + 1},
		func(seen Stamp) Stamp { return seen + 10 })
	if err == nil && d != nil {
		s.minted++
		s.apply(d)
	}
	return d, res, err
}

func (s *site) do(op Op) *Delta {
	s.t.Helper()
	d, _, err := s.try(op)
	if err != nil {
		s.t.Fatalf("operation %d: %v", op.Code, err)
	}
	return d
}

// apply is delivery: what arrives has been encoded and decoded.
func (s *site) apply(d *Delta) {
	s.t.Helper()
	got, err := DecodeDelta(AppendDelta(nil, d))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.rep.Apply(&s.mem, got); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) value(k Kind) Value { return ReadValue(k, cellsOf(&s.mem, testKey(), k)) }

func (s *site) values(k Kind) []string {
	out := []string{}
	for _, x := range s.value(k).Siblings {
		out = append(out, string(x.Value))
	}
	return out
}

func (s *site) context() *Context {
	c := ObservedContext(cellsOf(&s.mem, testKey()), &s.rep.Clock)
	return &c
}

func assign(k Kind, v string) Op   { return Op{Code: OpAssign, Kind: k, Value: []byte(v)} }
func add(n int64) Op               { return Op{Code: OpAdd, Kind: Counter, N: n} }
func insert(elements ...string) Op { return Op{Code: OpInsert, Kind: Set, Elements: elements} }
func remove(elements ...string) Op { return Op{Code: OpRemove, Kind: Set, Elements: elements} }

func (o Op) with(c *Context) Op {
	o.Context = c
	return o
}

func (s *site) want(what string, got, want []string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestRegisterRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a1 := a.do(assign(Register, "a1"))
	b1 := b.do(assign(Register, "b1"))
	a.apply(b1)
	b.apply(a1)
	a.want("equal stamps go to the larger actor, the loser stays readable", a.values(Register), []string{"b1", "a1"})
	if v := a.value(Register); !v.Conflict() {
		t.Error("two values and no conflict")
	}
	b.want("the order of arrival does not matter", b.values(Register), []string{"b1", "a1"})
	a2 := a.do(assign(Register, "a2"))
	a.want("a write supersedes all that its coordinator holds", a.values(Register), []string{"a2"})
	b.apply(a2)
	b.want("everywhere", b.values(Register), []string{"a2"})
	b.do(assign(Register, "b2").with(&Context{}))
	b.want("a context narrows what is superseded", b.values(Register), []string{"b2", "a2"})
	b.do(Op{Code: OpDelete})
	b.want("a delete takes all", b.values(Register), []string{})
	if d := b.do(Op{Code: OpDelete}); d != nil {
		t.Error("deleting nothing made an event")
	}
}

func TestWritingTheSameTwiceConflictsWithNothing(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(assign(Register, "same")))
	a.apply(b.do(assign(Register, "same").with(&Context{})))
	if v := a.value(Register); len(v.Siblings) != 2 || v.Conflict() {
		t.Errorf("siblings %v, conflict %v", v.Siblings, v.Conflict())
	}
}

func TestMVRegisterRules(t *testing.T) {
	a := newSite(t, 1)
	a.do(assign(MVRegister, "x"))
	read := a.context()
	a.do(assign(MVRegister, "y"))
	a.want("a blind put is a sibling", a.values(MVRegister), []string{"y", "x"})
	a.do(assign(MVRegister, "z").with(read))
	a.want("a put supersedes what its client read", a.values(MVRegister), []string{"z", "y"})
	a.do(assign(MVRegister, "w").with(a.context()))
	a.want("and all of it, when all was read", a.values(MVRegister), []string{"w"})
}

func TestCounterRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(add(5)))
	reset := b.do(Op{Code: OpReset, Kind: Counter})
	a3 := a.do(add(3))
	a.apply(reset)
	b.apply(a3)
	for _, s := range []*site{a, b} {
		if v := s.value(Counter); v.Int != 3 {
			t.Errorf("a reset takes what it observed: %d left, want 3", v.Int)
		}
	}
	deleted := b.do(Op{Code: OpDelete})
	if have, err := Present(&b.mem, testKey(), b.mem.Kinds(testKey())); err != nil || len(have) != 0 {
		t.Errorf("a deleted counter is present as %v, %v", have, err)
	}
	a.apply(deleted)
	d := a.do(add(7))
	if len(d.Changes[0].Removes) != 1 || d.Changes[0].Puts[0].Dot != (Dot{1, 3}) {
		t.Errorf("a run that was fully reset is dropped by its actor, which begins another: %+v", d.Changes)
	}
	if cell, _ := a.mem.Load(CellID{testKey(), Counter, ""}); len(cell) != 1 {
		t.Errorf("runs left: %v", cell)
	}
	a.do(Op{Code: OpReset, Kind: Counter})
	have, err := Present(&a.mem, testKey(), a.mem.Kinds(testKey()))
	if err != nil || !slices.Equal(have, []Kind{Counter}) || a.value(Counter).Int != 0 {
		t.Errorf("a counter that was reset stays, at zero: %v, %v, %d", have, err, a.value(Counter).Int)
	}
	if d := newSite(t, 3).do(Op{Code: OpReset, Kind: Counter}); d != nil {
		t.Error("resetting nothing made an event")
	}
}

func TestCounterLimits(t *testing.T) {
	tests := []struct {
		name string
		adds []int64
		want int64
		err  error
	}{
		{"up to the end", []int64{math.MaxInt64 - 1, 1}, math.MaxInt64, nil},
		{"past the end", []int64{math.MaxInt64, 1}, math.MaxInt64, ErrOverflow},
		{"down to the end", []int64{math.MinInt64}, math.MinInt64, nil},
		{"past the lower end", []int64{math.MinInt64, -1}, math.MinInt64, ErrOverflow},
		{"zero is an operation", []int64{0}, 0, nil},
		{"a total that is used up", []int64{math.MaxInt64, -math.MaxInt64, math.MaxInt64, -math.MaxInt64, 5}, 0, ErrOverflow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, 1)
			var err error
			for _, n := range tt.adds {
				if _, _, err = s.try(add(n)); err != nil {
					break
				}
			}
			if !errors.Is(err, tt.err) || s.value(Counter).Int != tt.want {
				t.Errorf("%d, %v, want %d, %v", s.value(Counter).Int, err, tt.want, tt.err)
			}
		})
	}
}

func TestCounterSaturates(t *testing.T) {
	for _, n := range []int64{math.MaxInt64, math.MinInt64} {
		a, b := newSite(t, 1), newSite(t, 2)
		b.do(add(n))
		a.apply(b.do(add(0)))
		c := newSite(t, 3)
		a.apply(c.do(add(n)))
		if v := a.value(Counter); v.Int != n || !v.Saturated {
			t.Errorf("twice %d is %d, saturated %v", n, v.Int, v.Saturated)
		}
		if _, _, err := a.try(add(0)); !errors.Is(err, ErrOverflow) {
			t.Errorf("adding to it: %v, want %v", err, ErrOverflow)
		}
	}
}

func TestSetRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(insert("x", "y", "x")))
	a.want("elements come once, in order", a.value(Set).Elements, []string{"x", "y"})
	removed := b.do(remove("x", "z"))
	added := a.do(insert("x"))
	a.apply(removed)
	b.apply(added)
	a.want("an add wins over a concurrent remove", a.value(Set).Elements, []string{"x", "y"})
	b.want("whatever arrives first", b.value(Set).Elements, []string{"x", "y"})
	read := a.context()
	a.do(insert("y"))
	a.do(remove("y").with(read))
	a.want("a remove spares what its context does not have", a.value(Set).Elements, []string{"x", "y"})
	d := a.do(Op{Code: OpDelete})
	if len(d.Changes) != 1 || len(a.mem.All()) != 0 {
		t.Errorf("deleting a set is one small event: %+v", d.Changes)
	}
	if d := a.do(remove("x")); d != nil {
		t.Error("removing what is not there made an event")
	}
}

func TestRemovalsWaitForTheirDots(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	born := a.do(insert("x"))
	b.do(remove("x").with(a.context()))
	if len(b.rep.Residue.Changes()) != 1 {
		t.Fatalf("residue %v, want the removal of x", b.rep.Residue.Changes())
	}
	b.apply(born)
	if !b.rep.Residue.Empty() || len(b.value(Set).Elements) != 0 {
		t.Errorf("residue %v, elements %q", b.rep.Residue.Changes(), b.value(Set).Elements)
	}
}

// A delete with a context is for what its client saw, also where the
// coordinator has yet to see that the key exists, or has another kind of it.
func TestDeleteOfWhatOnlyTheClientSaw(t *testing.T) {
	tests := []struct {
		name string
		op   Op
		kind Kind
	}{
		{"a register, its kind not named", assign(Register, "v"), NoKind},
		{"a set, its kind not named", insert("x"), NoKind},
		{"a set, its kind named", insert("x"), Set},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newSite(t, 1), newSite(t, 2)
			born := a.do(tt.op)
			if tt.kind == NoKind {
				b.do(assign(MVRegister, "another kind"))
			}
			b.do(Op{Code: OpDelete, Kind: tt.kind, Context: a.context()})
			b.apply(born)
			if got := cellsOf(&b.mem, testKey(), tt.op.Kind); len(got) != 0 {
				t.Errorf("the delete was forgotten: %v", got)
			}
		})
	}
}

// An event over several elements may be seen in parts, through the coalesced
// message of a third replica. A delete of what is seen must spare the rest.
func TestDeleteSparesTheUnseenPartOfAnEvent(t *testing.T) {
	for _, how := range []string{"without context", "with context", "with a clock as context"} {
		t.Run(how, func(t *testing.T) {
			a, c, b := newSite(t, 1), newSite(t, 3), newSite(t, 2)
			both := a.do(insert("x", "y"))
			onlyY := c.do(insert("y"))
			c.apply(both)
			message, err := Coalesce(&c.mem, []*Delta{onlyY.LogEntry()})
			if err != nil {
				t.Fatal(err)
			}
			b.apply(message)
			b.want("b sees y, twice live", b.value(Set).Elements, []string{"y"})
			op := Op{Code: OpDelete}
			switch how {
			case "with context":
				op.Context = b.context()
			case "with a clock as context":
				ctx := clockContext(cellsOf(&b.mem, testKey()), &b.rep.Clock)
				op.Context = &ctx
			}
			b.do(op)
			b.apply(both)
			if !slices.Contains(b.value(Set).Elements, "x") {
				t.Errorf("elements %q: x was never observed, and is gone", b.value(Set).Elements)
			}
		})
	}
}

// Two kinds made at once are both kept; a delete that names one leaves the other.
func TestDeleteOfOneKindOfTwo(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.do(insert("x"))
	a.apply(b.do(assign(Register, "v")))
	a.do(Op{Code: OpDelete, Kind: Set})
	a.want("the register is left", a.values(Register), []string{"v"})
	a.want("the set is gone", a.value(Set).Elements, []string{})
}

func TestKindErrors(t *testing.T) {
	tests := []struct {
		name string
		have []Op
		op   Op
		want string
	}{
		{"a set is no register", []Op{insert("x")}, assign(Register, "v"), "key holds a set, not a register"},
		{"a delete that names another kind", []Op{insert("x")}, Op{Code: OpDelete, Kind: Counter}, "key holds a set, not a counter"},
		{"an operation of another kind", nil, Op{Code: OpAdd, Kind: Set}, "operation does not apply to kind set"},
		{"a set without removes", nil, Op{Code: OpRemove, Kind: GSet}, "operation does not apply to kind gset"},
		{"an operation without a meaning", nil, Op{Code: 99}, "operation does not apply to kind none"},
		{"a kind beyond all", nil, Op{Code: OpAdd, Kind: 250}, "operation does not apply to kind none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, 1)
			for _, op := range tt.have {
				s.do(op)
			}
			_, _, err := s.try(tt.op)
			if _, ok := errors.AsType[*KindError](err); !ok {
				t.Fatalf("error %v, want a KindError", err)
			}
			if tt.want != "operation does not apply to kind none" && err.Error() != tt.want {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

func TestImpliedKinds(t *testing.T) {
	tests := []struct {
		name string
		op   Op
		want Kind
	}{
		{"an assignment makes a register", Op{Code: OpAssign}, Register},
		{"or what the bucket prefers", Op{Code: OpAssign, Default: MVRegister}, MVRegister},
		{"where it takes the operation", Op{Code: OpAdd, Default: MVRegister, N: 1}, Counter},
		{"an insert makes a set", Op{Code: OpInsert, Elements: []string{"x"}}, Set},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, res, err := newSite(t, 1).try(tt.op); err != nil || res.Kind != tt.want {
				t.Errorf("kind %s, %v, want %s", res.Kind, err, tt.want)
			}
		})
	}
}

func TestCountersTakeNoContext(t *testing.T) {
	s := newSite(t, 1)
	s.do(add(1))
	for _, op := range []Op{add(1), {Code: OpReset, Kind: Counter}, {Code: OpDelete}} {
		if _, _, err := s.try(op.with(&Context{})); !errors.Is(err, ErrNoContext) {
			t.Errorf("operation %d: %v, want %v", op.Code, err, ErrNoContext)
		}
	}
}
