package crdt

import (
	"errors"
	"slices"
	"testing"
)

func expire(at int64) Op { return Op{Code: OpExpire, At: at} }

func (o Op) at(ms int64) Op {
	o.At = ms
	return o
}

func (o Op) now(ms int64) Op {
	o.Now = ms
	return o
}

func (o Op) keepTTL() Op {
	o.KeepTTL = true
	return o
}

func (s *site) expires(what string, want int64) {
	s.t.Helper()
	if got, ok := ExpiresAt(cellsOf(&s.mem, testKey())); got != want || ok != (want != 0) {
		s.t.Errorf("%s: expires at %d, %v, want %d", what, got, ok, want)
	}
}

func (s *site) cell(k Kind) Cell {
	c, _ := s.mem.Load(CellID{testKey(), k, ""})
	return c
}

func TestExpiryOfOneReplica(t *testing.T) {
	tests := []struct {
		name string
		ops  []Op
		want int64
	}{
		{"a write with a time", []Op{assign(Register, "v").at(70)}, 70},
		{"any write takes one", []Op{insert("x").at(70), add(1).kind(Counter)}, 70},
		{"the last one counts", []Op{assign(Register, "v").at(70), expire(50)}, 50},
		{"also when it is longer", []Op{assign(Register, "v").at(70), expire(90)}, 90},
		{"never", []Op{assign(Register, "v").at(70), expire(0)}, 0},
		{"never is not the end", []Op{assign(Register, "v"), expire(0), expire(60)}, 60},
		{"an assignment clears it", []Op{assign(Register, "v").at(70), assign(Register, "w")}, 0},
		{"also a blind one", []Op{assign(MVRegister, "v").at(70), assign(MVRegister, "w")}, 0},
		{"and never as well", []Op{assign(Register, "v"), expire(0), assign(Register, "w")}, 0},
		{"unless it is told to keep it", []Op{assign(Register, "v").at(70), assign(Register, "w").keepTTL()}, 70},
		{"keeping goes before setting", []Op{assign(Register, "v").at(70), assign(Register, "w").keepTTL().at(90)}, 70},
		{"but there must be one to keep", []Op{assign(Register, "v"), assign(Register, "w").keepTTL().at(90)}, 90},
		{"adding an element does not", []Op{insert("x").at(70), insert("y")}, 70},
		{"adding one with a time does", []Op{insert("x").at(70), insert("y").at(80)}, 80},
		{"removing an element does not", []Op{insert("x", "y").at(70), remove("x")}, 70},
		{"not even one that the delete names", []Op{insert("x").at(70), Op{Code: OpDelete}.at(80)}, 0},
		{"what is deleted has none", []Op{insert("x").at(70), {Code: OpDelete}}, 0},
		{"a new key has none of the old one", []Op{insert("x").at(70), remove("x"), add(1)}, 0},
		{"what is absent cannot expire", []Op{expire(70)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, 1)
			for _, op := range tt.ops {
				if _, _, err := s.try(op); err != nil && op.Code == OpAdd {
					s.do(insert("z")) // a set is no counter
				} else if err != nil {
					t.Fatal(err)
				}
			}
			s.expires(tt.name, tt.want)
		})
	}
}

func TestConcurrentExpiry(t *testing.T) {
	tests := []struct {
		name string
		a, b Op
		want int64
	}{
		{"the longest counts", expire(50), expire(90), 90},
		{"never is the longest", expire(50), expire(0), 0},
		{"a write with a time is no exception", assign(Register, "w").at(80), expire(60), 80},
		{"a plain assignment is for ever", assign(Register, "w"), expire(60), 0},
		{"one that keeps the expiry has its own", assign(Register, "w").keepTTL(), expire(60), 70},
		{"nor does a delete", Op{Code: OpDelete}, expire(60), 60},
		{"the same twice", expire(60), expire(60), 60},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, swap := range []bool{false, true} {
				a, b := newSite(t, 1), newSite(t, 2)
				b.apply(a.do(assign(Register, "v").at(70)))
				one, two := tt.a, tt.b
				if swap {
					one, two = two, one
				}
				atA, atB := a.do(one), b.do(two)
				a.apply(atB)
				b.apply(atA)
				a.expires("here", tt.want)
				b.expires("there", tt.want)
				if len(a.values(Register)) > 0 {
					b.apply(a.do(expire(30)))
					a.expires("a later change has seen both", 30)
					b.expires("everywhere", 30)
				}
			}
		})
	}
}

func TestContextsAndExpiry(t *testing.T) {
	s := newSite(t, 1)
	s.do(assign(Register, "v").at(70))
	read := s.context()
	s.do(expire(90))
	s.do(assign(Register, "w").with(read))
	s.expires("what the client had not seen is not for what it wrote", 0)
	if at, _, ok := ExpiryOf(s.cell(Expiry)); at != 90 || !ok {
		t.Errorf("what the client had not seen is gone: %d, %v", at, ok)
	}
	s.do(assign(Register, "x").with(s.context()))
	s.expires("what it has seen goes", 0)

	c, d := newSite(t, 3), newSite(t, 4)
	c.apply(d.do(assign(Register, "v").at(70)))
	later := c.do(expire(80))
	d.do(assign(Register, "w").at(90))
	d.apply(later)
	c.do(assign(Register, "x").with(d.context())) // encoded in order, whichever it has seen
	c.expires("one that was seen, and one that is on its way", 0)

	a, b := newSite(t, 1), newSite(t, 2)
	born := a.do(assign(Register, "y").at(80))
	b.do(Op{Code: OpDelete, Context: a.context()})
	b.apply(born)
	b.expires("a delete of what only the client saw takes the expiry along", 0)
	if len(b.mem.All()) > 0 || !b.rep.Residue.Empty() {
		t.Errorf("left over: %v, %v", b.mem.All(), b.rep.Residue.Changes())
	}
}

// Who did not hear of an expiry, and assigns a value, does not lose it to that.
func TestPlainAssignmentOutlivesAnExpiryItDidNotSee(t *testing.T) {
	for _, kind := range []Kind{Register, MVRegister} {
		a, b := newSite(t, 1), newSite(t, 2)
		timed := a.do(assign(kind, "v").at(70))
		plain := b.do(assign(kind, "w"))
		a.apply(plain)
		b.apply(timed)
		for _, s := range []*site{a, b} {
			s.expires("with a value that never expires", 0)
			if d := s.do(Op{Code: OpSweep, Now: 69}); d != nil {
				t.Errorf("swept too soon: %+v", d)
			}
		}
		b.apply(a.do(Op{Code: OpSweep, Now: 70}))
		if c := b.cell(Expiry); len(c) > 0 {
			t.Errorf("the time of the other is left: %v", c)
		}
		b.want("both values are left", b.values(kind), []string{"w", "v"})
		b.do(expire(80))
		b.expires("an expiry is for all that is there", 80)
		b.do(assign(kind, "x").now(80))
		b.want("and ends all", b.values(kind), []string{"x"})
	}
}

// An event may have set the expiry and added elements. Who has heard of the
// expiry alone does not know them, so a context does not name the event.
func TestContextLeavesOutHalfSeenExpiry(t *testing.T) {
	a, b, c := newSite(t, 1), newSite(t, 2), newSite(t, 3)
	both := a.do(insert("x").at(70))
	c.apply(both)
	extended := c.do(insert("y"))
	b.apply(extended)
	b.apply(&Delta{Actor: 3, Lo: 2, Hi: 2, Changes: []Change{{ID: CellID{testKey(), Expiry, ""}, Puts: both.Changes[1].Puts}}})
	b.expires("the expiry came ahead", 70)
	b.do(Op{Code: OpDelete, Context: b.context()})
	b.apply(both)
	b.want("x was never seen", b.value(Set).Elements, []string{"x"})
}

// A key that has expired is absent: what is written begins anew, and all that
// was left of it goes in the same event.
func TestWriteToWhatHasExpired(t *testing.T) {
	tests := []struct {
		name    string
		before  []Op
		op      Op
		kind    Kind
		check   func(v Value) bool
		expires int64
		removed bool // all of it, nothing put
	}{
		{"a register", []Op{assign(Register, "v").at(70)}, assign(Register, "w"), Register, func(v Value) bool { return string(v.Siblings[0].Value) == "w" && len(v.Siblings) == 1 }, 0, false},
		{"a blind write has no sibling", []Op{assign(MVRegister, "v").at(70)}, assign(MVRegister, "w"), MVRegister, func(v Value) bool { return len(v.Siblings) == 1 }, 0, false},
		{"with a time of its own", []Op{assign(Register, "v").at(70)}, assign(Register, "w").at(200), Register, func(v Value) bool { return len(v.Siblings) == 1 }, 200, false},
		{"there is nothing to keep", []Op{assign(Register, "v").at(70)}, assign(Register, "w").keepTTL(), Register, func(v Value) bool { return len(v.Siblings) == 1 }, 0, false},
		{"a set", []Op{insert("x", "y").at(70)}, insert("z"), Set, func(v Value) bool { return slices.Equal(v.Elements, []string{"z"}) }, 0, false},
		{"an element that was there", []Op{insert("x", "y").at(70)}, insert("x"), Set, func(v Value) bool { return slices.Equal(v.Elements, []string{"x"}) }, 0, false},
		{"a counter", []Op{add(5).at(70)}, add(3), Counter, func(v Value) bool { return v.Int == 3 }, 0, false},
		{"another kind", []Op{insert("x").at(70)}, add(3), Counter, func(v Value) bool { return v.Int == 3 }, 0, false},
		{"a map", []Op{{Code: OpUpdate, Kind: Map, At: 70, Fields: []FieldOp{{"c", add(5)}, {"s", insert("x")}}}}, Op{Code: OpUpdate, Kind: Map, Fields: []FieldOp{{"c", add(2)}}}, Map, func(v Value) bool { return len(v.Fields) == 1 && v.Fields[0].Value.Int == 2 }, 0, false},
		{"a delete", []Op{insert("x").at(70)}, Op{Code: OpDelete}, Set, func(v Value) bool { return len(v.Elements) == 0 }, 0, true},
		{"a sweep", []Op{insert("x").at(70)}, Op{Code: OpSweep}, Set, func(v Value) bool { return len(v.Elements) == 0 }, 0, true},
		{"what takes nothing away", []Op{insert("x").at(70)}, remove("x"), Set, func(v Value) bool { return len(v.Elements) == 0 }, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, elsewhere := range []bool{false, true} {
				a, b := newSite(t, 1), newSite(t, 2)
				for _, op := range tt.before {
					b.apply(a.do(op))
				}
				writer, other := a, b
				if elsewhere {
					writer, other = b, a
				}
				other.apply(writer.do(tt.op.now(70)))
				for _, s := range []*site{a, b} {
					if v := s.value(tt.kind); !tt.check(v) {
						t.Errorf("it is %+v", v)
					}
					s.expires(tt.name, tt.expires)
					want := []Kind{tt.kind}
					if tt.removed {
						want = nil
					}
					if got := slices.DeleteFunc(s.mem.Kinds(testKey()), func(k Kind) bool { return k == Expiry || k == Counter && k != tt.kind }); !slices.Equal(got, want) {
						t.Errorf("kinds %v, want %v", got, want)
					}
				}
			}
		})
	}
}

func TestWhatHasNotExpiredStays(t *testing.T) {
	s := newSite(t, 1)
	s.do(insert("x").at(70))
	if d := s.do(Op{Code: OpSweep, Now: 69}); d != nil {
		t.Errorf("swept too soon: %+v", d)
	}
	s.do(insert("y").now(69))
	s.want("in time", s.value(Set).Elements, []string{"x", "y"})
	if d, res, err := s.try(expire(200).now(70)); d != nil || err != nil || res != (Result{}) {
		t.Errorf("what has expired was extended: %+v, %+v, %v", d, res, err)
	}
	s.do(insert("z"))
	s.want("who does not tell the time sees all", s.value(Set).Elements, []string{"x", "y", "z"})
	s.do(expire(0))
	if d := s.do(Op{Code: OpSweep, Now: 1 << 50}); d != nil {
		t.Errorf("swept what never expires: %+v", d)
	}
}

// An increment that another replica makes while the counter expires here is no
// part of what was removed.
func TestIncrementBesideASweep(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(add(5).at(70)))
	swept := b.do(Op{Code: OpSweep, Now: 70})
	more := a.do(add(2))
	a.apply(swept)
	b.apply(more)
	for _, s := range []*site{a, b} {
		if v := s.value(Counter); v.Int != 2 {
			t.Errorf("counted %d, want 2", v.Int)
		}
		s.expires("the expiry is gone", 0)
	}
}

func TestTotalOfACounterThatBeginsAnew(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(add(5).at(70)))
	for _, s := range []*site{a, b} {
		if _, res, err := s.try(add(3).now(70)); err != nil || res.Total != 3 {
			t.Errorf("at %s the total is %d, %v, want 3", s.actor, res.Total, err)
		}
	}
}

func TestSweepsAtOnceDoNoHarm(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(insert("x").at(70)))
	one, two := a.do(Op{Code: OpSweep, Now: 70}), b.do(Op{Code: OpSweep, Now: 70})
	fresh := a.do(insert("y"))
	a.apply(two)
	b.apply(one)
	b.apply(fresh)
	for _, s := range []*site{a, b} {
		s.want("what came after", s.value(Set).Elements, []string{"y"})
		if !s.rep.Residue.Empty() {
			t.Errorf("left over: %v", s.rep.Residue.Changes())
		}
	}
}

// What cannot be removed does not expire.
func TestBCountersDoNotExpire(t *testing.T) {
	s := newSite(t, 1)
	s.do(add(5).kind(BCounter).at(70))
	s.expires("a time that came with a write", 0)
	if d, _, err := s.try(expire(70)); !errors.Is(err, ErrPermanent) {
		t.Errorf("a bcounter was let expire: %+v, %v", d, err)
	}
	field := Op{Code: OpUpdate, Kind: Map, Fields: []FieldOp{{"b", add(5).kind(BCounter)}}}
	m := newSite(t, 1)
	m.do(field.at(70))
	m.expires("who holds one is not looked through", 70)
	m.do(Op{Code: OpSweep, Now: 70})
	m.expires("but then it stays, and its expiry goes", 0)
	if v := m.value(Map); len(v.Fields) != 1 || v.Fields[0].Value.Int != 5 {
		t.Errorf("it is %+v", v)
	}
	m.do(expire(80))
	m.do(field.now(80))
	if v := m.value(Map); len(v.Fields) != 1 || v.Fields[0].Value.Int != 10 {
		t.Errorf("after a write past its time it is %+v", v)
	}
	m.expires("after a write past its time", 0)
}

// Clients name kinds; this is none of theirs.
func TestExpiryIsNoKindOfClients(t *testing.T) {
	if k, err := ParseKind("expiry"); err == nil {
		t.Errorf("expiry is parsed as %v", k)
	}
	if slices.Contains(SupportedKinds(), Expiry) || Expiry.Supported() {
		t.Error("expiry is offered")
	}
	if Expiry != 14 {
		t.Errorf("its number is stored for ever: %d", Expiry)
	}
	s := newSite(t, 1)
	s.do(assign(Register, "v"))
	for _, op := range []Op{{Code: OpExpire, Kind: Set, At: 5}, {Code: OpAssign, Kind: Expiry}, {Code: OpDelete, Kind: Expiry}} {
		if d, _, err := s.try(op); err == nil {
			t.Errorf("operation %d on %s made %+v", op.Code, op.Kind, d)
		}
	}
}

func TestExpiryPayloads(t *testing.T) {
	tests := []struct {
		payload string
		ok      bool
	}{
		{"\x00", true},
		{"\x46", true},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", true},
		{"", false},
		{"\x80\x00", false},
		{"\x46\x00", false},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", false},
		{"\x46\x01\x00\x00\x00\x00\x00\x00\x00\x02\x01", true},
		{"\x46\x01\x00\x00\x00\x00\x00\x00\x00\x02", false},
	}
	for _, tt := range tests {
		d := &Delta{Actor: 1, Lo: 1, Hi: 1, Changes: []Change{{ID: CellID{testKey(), Expiry, ""}, Puts: Cell{{Dot{1, 1}, []byte(tt.payload)}}}}}
		if _, err := DecodeDelta(AppendDelta(nil, d)); (err == nil) != tt.ok {
			t.Errorf("payload %x: %v", tt.payload, err)
		}
	}
	inMap := &Delta{Actor: 1, Lo: 1, Hi: 1, Changes: []Change{{
		ID: CellID{testKey(), Map, PathOf("f") + string([]byte{byte(Expiry)})}, Puts: Cell{{Dot{1, 1}, []byte{70}}},
	}}}
	if _, err := DecodeDelta(AppendDelta(nil, inMap)); err == nil {
		t.Error("a field of a map that is an expiry")
	}
}
