package crdt

import (
	"fmt"
	"slices"
	"testing"
)

func (s *site) snapshot() *Snapshot {
	s.t.Helper()
	snap, err := DecodeSnapshot(AppendSnapshot(nil, &Snapshot{
		Clock: s.rep.Clock, Residue: s.rep.Residue.OfKey(testKey()), Cells: cellsOf(&s.mem, testKey()),
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	return snap
}

// What one answer says is dead stays dead in the merge, whichever comes first,
// also where the removal is known only as residue.
func TestMergeCarriesResidue(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.do(insert("x"))
	b.do(insert("y"))
	b.do(remove("x").with(a.context()))
	for _, answers := range [][]*Snapshot{{a.snapshot(), b.snapshot()}, {b.snapshot(), a.snapshot()}, {a.snapshot(), b.snapshot(), a.snapshot()}} {
		m := Merge(answers...)
		if got := ReadValue(Set, m.Cells).Elements; !slices.Equal(got, []string{"y"}) {
			t.Errorf("merged %q, want only y", got)
		}
		if len(m.Residue) != 0 {
			t.Errorf("residue %v, and the clock has its dots", m.Residue)
		}
	}
	c := newSite(t, 3)
	c.do(remove("x").with(a.context()))
	if m := Merge(b.snapshot(), c.snapshot()); len(m.Residue) != 1 {
		t.Errorf("residue %v, want the removal of x, which neither has seen", m.Residue)
	}
}

func TestRemintKinds(t *testing.T) {
	tests := []struct {
		name string
		op   Op
	}{
		{"a value moves with its stamp", assign(Register, "v")},
		{"an element moves", insert("x")},
	}
	closed := func(a Actor) bool { return a == 1 }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lost := newSite(t, 1)
			lost.do(tt.op)
			b := newSite(t, 2)
			snap := lost.snapshot()
			for _, c := range snap.Cells { // repair places the dot, not its event
				if err := b.rep.JoinCell(&b.mem, c.ID, c.Live, snap.Peer()); err != nil {
					t.Fatal(err)
				}
			}
			before := b.mem.All()
			if b.rep.Remint(before, func(Actor) bool { return false }, Dot{2, 1}) != nil {
				t.Error("what may still arrive was minted again")
			}
			d := b.rep.Remint(before, closed, Dot{2, 1})
			if d == nil {
				t.Fatal("no orphan found")
			}
			b.apply(d)
			after := b.mem.All()
			if len(after) != 1 || len(after[0].Live) != 1 || after[0].Live[0].Dot != (Dot{2, 1}) ||
				string(after[0].Live[0].Payload) != string(before[0].Live[0].Payload) {
				t.Errorf("after %v, before %v", after, before)
			}
			if b.rep.Remint(after, closed, Dot{2, 2}) != nil {
				t.Error("minted twice")
			}
		})
	}
}

// The run of a lost actor goes on under a new dot; what turns up of it later
// counts once.
func TestRemintKeepsLateIncrements(t *testing.T) {
	lost, b := newSite(t, 1), newSite(t, 2)
	lost.do(add(5))
	snap := lost.snapshot()
	late := lost.do(add(3))
	id := CellID{testKey(), Counter, ""}
	if err := b.rep.JoinCell(&b.mem, id, snap.Cells[0].Live, snap.Peer()); err != nil {
		t.Fatal(err)
	}
	closed := func(a Actor) bool { return a == 1 }
	b.apply(b.rep.Remint(b.mem.All(), closed, Dot{2, 1}))
	if v := b.value(Counter); v.Int != 5 {
		t.Errorf("%d after the new dot, want 5", v.Int)
	}
	if b.rep.Remint(b.mem.All(), closed, Dot{2, 2}) != nil {
		t.Error("a run that was moved was moved again")
	}
	b.apply(late)
	if v := b.value(Counter); v.Int != 8 {
		t.Errorf("%d after the late increment, want 8", v.Int)
	}
}

// TestResidueSurvivesARestart keeps what TakeChanged hands out and restores it.
func TestResidueSurvivesARestart(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.do(insert("x", "y"))
	ctx := a.context()
	b.do(remove("x").with(ctx))
	b.do(Op{Code: OpDelete, Kind: Set, Context: ctx})
	var again Residue
	for _, changes := range b.rep.Residue.TakeChanged() {
		again.Restore(changes)
	}
	if got, want := fmt.Sprint(again.Changes()), fmt.Sprint(b.rep.Residue.Changes()); got != want || len(again.Changes()) == 0 {
		t.Errorf("restored %s, want %s", got, want)
	}
	if again.TakeChanged() != nil {
		t.Error("restoring counts as a change")
	}
	all := a.snapshot()
	b.rep.JoinClock(&all.Clock)
	for id, changes := range b.rep.Residue.TakeChanged() {
		if len(changes) != 0 {
			t.Errorf("%v: %v, want nothing left", id, changes)
		}
	}
	if !b.rep.Residue.Empty() {
		t.Error("residue is left")
	}
}

func TestResidueTellsThatItsDotsHaveCome(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	born := a.do(insert("x"))
	b.do(remove("x").with(a.context()))
	if got := b.rep.Residue.TakeChanged(); len(got) != 1 {
		t.Fatalf("changed %v, want one key", got)
	}
	b.apply(born)
	got := b.rep.Residue.TakeChanged()
	if left, ok := got[CellID{KeyID: testKey(), Kind: Set}]; !ok || len(left) != 0 {
		t.Errorf("changed %v, want the key with nothing left", got)
	}
}
