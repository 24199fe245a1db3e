package crdt

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func (s *site) wantPresent(what string, want ...Kind) {
	s.t.Helper()
	got, err := Present(&s.mem, testKey(), s.mem.Kinds(testKey()))
	if err != nil || !slices.Equal(got, want) {
		s.t.Errorf("%s: present as %v, %v, want %v", what, got, err, want)
	}
}

func (s *site) wantFlag(what string, k Kind, want bool) {
	s.t.Helper()
	if got := s.value(k).Flag; got != want {
		s.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func on(k Kind) Op  { return Op{Code: OpSwitch, Kind: k, On: true} }
func off(k Kind) Op { return Op{Code: OpSwitch, Kind: k} }

func (o Op) kind(k Kind) Op {
	o.Kind = k
	return o
}

func field(name string, op Op) Op {
	return Op{Code: OpUpdate, Kind: Map, Fields: []FieldOp{{name, op}}}
}

func discard(names ...FieldName) Op { return Op{Code: OpDiscard, Kind: Map, Names: names} }

func TestFlagRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	if d := a.do(off(Flag)); d != nil {
		t.Error("switching off what is off made an event")
	}
	b.apply(a.do(on(Flag)))
	read := b.context()
	again, switched := a.do(on(Flag)), b.do(off(Flag))
	b.wantFlag("off", Flag, false)
	a.apply(switched)
	b.apply(again)
	a.wantFlag("switching on wins", Flag, true)
	b.wantFlag("whatever arrives first", Flag, true)
	b.do(off(Flag).with(read))
	b.wantFlag("a context spares what it does not have", Flag, true)
	if cell, _ := b.mem.Load(CellID{testKey(), Flag, ""}); len(cell) != 1 {
		t.Errorf("switching on again leaves %d dots, want 1", len(cell))
	}
	for _, code := range []OpCode{OpReset, OpDelete} {
		b.do(on(Flag))
		b.do(Op{Code: code, Kind: Flag})
		b.wantPresent("reset and delete are off")
	}
}

func TestDWFlagRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(on(DWFlag)))
	again, switched := a.do(on(DWFlag)), b.do(off(DWFlag))
	a.apply(switched)
	b.apply(again)
	a.wantFlag("switching off wins", DWFlag, false)
	b.wantFlag("whatever arrives first", DWFlag, false)
	b.wantPresent("off does not exist")
	later := b.do(on(DWFlag))
	b.wantFlag("a later on supersedes the mark it saw", DWFlag, true)
	a.apply(later)
	a.wantFlag("everywhere", DWFlag, true)
	if cell, _ := a.mem.Load(CellID{testKey(), DWFlag, ""}); len(cell) != 1 {
		t.Errorf("%d dots left, want 1", len(cell))
	}

	c := newSite(t, 3)
	c.do(off(DWFlag))
	c.apply(later)
	c.wantFlag("a mark of what was never on counts too", DWFlag, false)
	c.do(Op{Code: OpDelete, Kind: DWFlag})
	if len(c.mem.All()) != 0 {
		t.Errorf("a delete leaves %v", c.mem.All())
	}
}

// Switching off with a context takes what the client saw, and its mark still
// hides the rest.
func TestDWFlagContext(t *testing.T) {
	a := newSite(t, 1)
	a.do(on(DWFlag))
	read := a.context()
	b := newSite(t, 2)
	a.apply(b.do(on(DWFlag)))
	a.do(off(DWFlag).with(read))
	a.wantFlag("off", DWFlag, false)
	cell, _ := a.mem.Load(CellID{testKey(), DWFlag, ""})
	if len(cell) != 2 || cell.Has(Dot{1, 1}) || !cell.Has(Dot{2, 1}) {
		t.Errorf("live %v, want the mark and the dot that the context lacks", cell)
	}
}

func TestGSetRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(insert("x", "y").kind(GSet)))
	later := a.do(insert("z").kind(GSet))
	gone := b.do(Op{Code: OpDelete})
	a.apply(gone)
	b.apply(later)
	a.want("a delete takes what it observed", a.value(GSet).Elements, []string{"z"})
	b.want("and spares the rest", b.value(GSet).Elements, []string{"z"})
	if _, _, err := a.try(Op{Code: OpRemove, Elements: []string{"z"}}); err == nil || err.Error() != "key holds a gset, not a set" {
		t.Errorf("a remove: %v", err)
	}
}

func TestRWSetRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	ins, rem := insert("x").kind(RWSet), remove("x").kind(RWSet)
	b.apply(a.do(ins))
	again, removed := a.do(ins), b.do(rem)
	a.apply(removed)
	b.apply(again)
	a.want("removing wins", a.value(RWSet).Elements, []string{})
	b.want("whatever arrives first", b.value(RWSet).Elements, []string{})
	added := b.do(ins)
	a.apply(added)
	a.want("an add that saw the mark supersedes it", a.value(RWSet).Elements, []string{"x"})

	c := newSite(t, 3)
	if _, res, _ := c.try(rem); res.Changed != 0 {
		t.Errorf("removing what is absent changed %d", res.Changed)
	}
	c.apply(added)
	c.want("removing what is absent leaves a mark", c.value(RWSet).Elements, []string{})
	c.do(insert("y").kind(RWSet))
	if _, res, _ := c.try(remove("x", "y").kind(RWSet)); res.Changed != 1 {
		t.Errorf("removing one that is there and one that is not changed %d", res.Changed)
	}
	for _, code := range []OpCode{OpReset, OpDelete} {
		c.do(rem)
		c.do(insert("y").kind(RWSet))
		if d := c.do(Op{Code: code, Kind: RWSet}); len(d.Changes) != 1 || len(c.mem.All()) != 0 {
			t.Errorf("reset and delete are one small event that takes marks and adds: %v, left %v", d, c.mem.All())
		}
	}
}

// A remove with a context takes what the client saw, and its mark hides the rest
// until an add has seen the mark.
func TestRWSetContext(t *testing.T) {
	a := newSite(t, 1)
	a.do(insert("x").kind(RWSet))
	read := a.context()
	b := newSite(t, 2)
	unseen := b.do(insert("x").kind(RWSet))
	a.do(remove("x").kind(RWSet).with(read))
	a.apply(unseen)
	a.want("hidden", a.value(RWSet).Elements, []string{})
	if cell := a.mem.All()[0].Live; len(cell) != 2 || cell.Has(Dot{1, 1}) {
		t.Errorf("live %v, want the mark and the add that the context lacks", cell)
	}
	a.do(insert("x").kind(RWSet).with(&Context{}))
	if cell := a.mem.All()[0].Live; len(cell) != 1 {
		t.Errorf("live %v: an add supersedes what is here, whatever the context", cell)
	}
}

func TestGCounterRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(add(5).kind(GCounter)))
	deleted := b.do(Op{Code: OpDelete})
	a3 := a.do(add(3).kind(GCounter))
	a.apply(deleted)
	b.apply(a3)
	for _, s := range []*site{a, b} {
		if v := s.value(GCounter); v.Int != 3 {
			t.Errorf("a delete takes what it observed: %d left, want 3", v.Int)
		}
	}
	const want = "a gcounter only grows: add -1 refused, use a counter to count down"
	if _, _, err := a.try(add(-1).kind(GCounter)); !errors.Is(err, ErrShrink) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, _, err := a.try(Op{Code: OpReset, Kind: GCounter}); err == nil || err.Error() != "operation does not apply to kind gcounter" {
		t.Errorf("a reset: %v", err)
	}
	if d := a.do(add(0).kind(GCounter)); d == nil {
		t.Error("adding zero is an operation")
	}
}

func observing(elements ...string) Op { return Op{Code: OpObserve, Kind: HLL, Elements: elements} }

func (s *site) wantEstimate(what string, want uint64) {
	s.t.Helper()
	if got := s.value(HLL).Estimate; got != want {
		s.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

func TestHLLRules(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(observing("x", "y", "x")))
	if d := b.do(observing("y")); d != nil {
		t.Error("observing nothing new made an event")
	}
	two, three := a.do(observing("z")), b.do(observing("u", "v"))
	b.wantEstimate("at b", 4)
	deleted := a.do(Op{Code: OpDelete})
	b.apply(two)
	b.wantEstimate("sketches side by side are merged by the reader", 5)
	if cell := b.mem.All()[0].Live; len(cell) != 2 {
		t.Errorf("%d sketches, want 2", len(cell))
	}
	b.apply(deleted)
	b.wantEstimate("a delete takes the sketches it observed, not what others merged", 4)
	a.apply(three)
	a.do(observing("w"))
	a.wantEstimate("one more", 5)
	if cell := a.mem.All()[0].Live; len(cell) != 1 {
		t.Errorf("%d sketches, want one that supersedes what was seen", len(cell))
	}
	if d := newSite(t, 3).do(observing()); d != nil {
		t.Error("observing nothing made an event")
	}
}

// A field may be named twice, alone and with all of its name.
func TestDiscardOfAFieldNamedTwice(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(field("c", Op{Code: OpAdd, Kind: Counter, N: 3})))
	a.apply(b.do(discard(FieldName{"c", NoKind}, FieldName{"c", Counter}, FieldName{"c", Counter})))
	for _, s := range []*site{a, b} {
		if fs := s.value(Map).Fields; len(fs) != 0 {
			t.Errorf("fields %v, want none", fs)
		}
	}
}

// A context says which dots its client saw, not how far totals had come.
func TestDiscardOfTotalsTakesNoContext(t *testing.T) {
	s := newSite(t, 1)
	s.do(field("c", Op{Code: OpAdd, Kind: GCounter, N: 3}))
	read := s.context()
	for _, op := range []Op{discard(FieldName{Name: "c"}), {Code: OpDelete, Kind: Map}} {
		if _, _, err := s.try(op.with(read)); !errors.Is(err, ErrNoContext) {
			t.Errorf("operation %d: %v, want %v", op.Code, err, ErrNoContext)
		}
	}
	s.do(field("f", on(Flag)))
	s.do(discard(FieldName{Name: "f"}).with(s.context()))
	if fs := s.value(Map).Fields; len(fs) != 1 || fs[0].Value.Int != 3 {
		t.Errorf("fields %v, want the counter alone", fs)
	}
}

// Whether a collection exists is asked of its elements.
func TestPresenceOfCollections(t *testing.T) {
	s := newSite(t, 1)
	s.do(remove("x").kind(RWSet))
	s.wantPresent("only a mark")
	s.do(insert("y").kind(RWSet))
	s.wantPresent("a mark and an element", RWSet)
	s.do(Op{Code: OpDelete, Kind: RWSet})
	s.wantPresent("deleted")

	other := newSite(t, 2)
	other.apply(s.do(field("c", Op{Code: OpAdd, Kind: Counter, N: 3})))
	other.wantPresent("a field", Map)
	other.do(discard(FieldName{Name: "c"}))
	other.wantPresent("a field whose every increment was taken back")
	other.do(field("f", off(DWFlag)))
	other.wantPresent("a field that was only ever switched off")
	if fs := other.value(Map).Fields; len(fs) != 0 {
		t.Errorf("fields %v", fs)
	}
}

// The payloads that operations make are the only ones that decoders take.
func TestPayloadsOfKinds(t *testing.T) {
	tests := []struct {
		kind    Kind
		payload string
		want    string
	}{
		{Flag, "", ""},
		{Flag, "\x00", "payload where there is none"},
		{GSet, "\x00", "payload where there is none"},
		{DWFlag, "\x00", ""},
		{DWFlag, "\x01", ""},
		{DWFlag, "\x02", "neither an add nor a mark"},
		{DWFlag, "", "mark is cut short"},
		{RWSet, "\x01\x00", "mark is followed by something else"},
		{RWSet, "\x01", ""},
		{GCounter, "\x05\x00\x02", ""},
		{GCounter, "\x05\x01\x02", "run of a gcounter that counts down"},
		{GCounter, "\x05\x00", "total is cut short or too large"},
		{HLL, "", "sketch is cut short"},
		{HLL, "\x02", "unknown form of a sketch"},
		{HLL, "\x00", "sketch that has observed nothing"},
		{HLL, "\x00\x41", ""},
		{HLL, "\x00\x40", "register is out of bounds"},
		{HLL, "\x00\x34", "register is out of bounds"},
		{HLL, "\x00\xc1\x00", "register is a padded varint"},
		{HLL, "\x00\xc1\xff\x3f", ""},
		{HLL, "\x00\xc1\xff\x3f\x01", "register is out of bounds"},
		{HLL, "\x00" + strings.Repeat("\x01", denseBytes-1), ""},
		{HLL, "\x00" + strings.Repeat("\x01", denseBytes), "sparse sketch that is shorter dense"},
		{HLL, "\x01" + strings.Repeat("\x04\x10\x41", registers/4), ""},
		{HLL, "\x01" + strings.Repeat("\x04\x10\x41", registers/4-1), "dense sketch of a wrong length"},
		{HLL, "\x01" + strings.Repeat("\x04\x10\x00", registers/4), "dense sketch that is shorter sparse"},
		{HLL, "\x01" + strings.Repeat("\xd0\x10\x41", registers/4), "register is out of bounds"},
	}
	for _, tt := range tests {
		err := tt.kind.row().check([]byte(tt.payload))
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrEncoding) || !strings.HasSuffix(err.Error(), ": "+tt.want)) {
			t.Errorf("%s %.10x: %v, want %q", tt.kind, tt.payload, err, tt.want)
		}
	}
}

// Marks are of nobody's clock like anything else that is ahead of it: lost with
// their event they would hide an add here and not there.
func TestRemintOfMarks(t *testing.T) {
	for _, op := range []Op{off(DWFlag), remove("x").kind(RWSet), field("f", off(DWFlag))} {
		lost, b := newSite(t, 1), newSite(t, 2)
		lost.do(op)
		snap := lost.snapshot()
		for _, c := range snap.Cells {
			if err := b.rep.JoinCell(&b.mem, c.ID, c.Live, snap.Peer()); err != nil {
				t.Fatal(err)
			}
		}
		d := b.rep.Remint(b.mem.All(), func(a Actor) bool { return a == 1 }, Dot{2, 1})
		if d == nil || len(d.Changes) != 1 || len(d.Changes[0].Removes) != 1 {
			t.Errorf("%s: the mark is left without a clock that has it: %v", op.Kind, d)
		}
	}
}

// A reset of another actor's run travels in the run. Where the run has ended
// since, whoever is sent the reset later must be told of the end: its event may
// be lost with its only holders.
func TestResetOutlivesTheEndOfARun(t *testing.T) {
	a, b, old := newSite(t, 1), newSite(t, 2), newSite(t, 3)
	born := a.do(add(1))
	b.apply(born)
	old.apply(born)
	reset := b.do(Op{Code: OpDelete})
	b.apply(a.do(Op{Code: OpDelete})) // a ends its run, and is lost
	message, err := Coalesce(&b.mem, []*Delta{reset.LogEntry()})
	if err != nil {
		t.Fatal(err)
	}
	old.apply(message)
	if v := old.value(Counter); v.Int != 0 {
		t.Errorf("%d after a delete that observed the increment, want 0", v.Int)
	}
}
