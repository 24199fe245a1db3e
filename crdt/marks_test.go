package crdt

import (
	"slices"
	"testing"
)

func clockOf(dots ...Dot) (c Clock) {
	for _, d := range dots {
		c.Add(d)
	}
	return c
}

func TestDropMarks(t *testing.T) {
	id := CellID{KeyID: testKey(), Kind: RWSet, Path: PathOf("x")}
	add, old, young := Dot{1, 1}, Dot{2, 1}, Dot{3, 1}
	cell := Cell{addEntry(add), markEntry(old), markEntry(young)}
	drop := func(c Cell, settled ...Dot) []Dot {
		s := clockOf(settled...)
		if d := DropMarks([]CellState{{id, c}}, &s, Dot{9, 4}); d != nil {
			return d.Changes[0].Removes
		}
		return nil
	}
	for _, tt := range []struct {
		what string
		got  []Dot
		want []Dot
	}{
		{"nothing is settled", drop(cell), nil},
		{"a mark beside an add that is not settled", drop(cell, old), nil},
		{"a mark that is not settled stays", drop(cell, add, old), []Dot{add, old}},
		{"all are settled", drop(cell, add, old, young), []Dot{add, old, young}},
		{"adds alone stay", drop(Cell{addEntry(add)}, add), nil},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: dropped %v, want %v", tt.what, tt.got, tt.want)
		}
	}
}

func TestSettling(t *testing.T) {
	a1, a2, b1, b2 := Dot{1, 1}, Dot{1, 2}, Dot{2, 1}, Dot{2, 2}
	var s Settling
	told := Told{}
	tell := func(clocks ...Clock) {
		for i, c := range clocks {
			if one := (Told{c, c}); i == 0 {
				told = Told{c.Clone(), c.Clone()}
			} else {
				told.Add(&one)
			}
		}
	}
	want := func(what string, own Clock, dots ...Dot) {
		t.Helper()
		want := clockOf(dots...)
		if got := s.Advance(&own, func() (Told, bool) { return told, !told.Any.Empty() }); !got.Equal(&want) {
			t.Errorf("%s: %v is settled, want %v", what, got, want)
		}
	}
	want("nobody told anything", clockOf(a1))
	tell(clockOf(a1), clockOf(a1, b1))
	want("one had more than the own clock", clockOf(a1))
	tell(clockOf(a1, a2, b1), clockOf(a1, a2, b1, b2))
	want("the older clocks are waited for", clockOf(a1))
	want("they are covered, the newer are not", clockOf(a1, a2, b1), a1)
	want("the newer are covered as well", clockOf(a1, a2, b1, b2), a1, a2, b1)
	tell(clockOf(a1, a2, b1, b2), clockOf(a1, a2, b1, b2, Dot{3, 1}))
	want("what a replica lost since is waited for", clockOf(a1, a2, b1, b2), a1, a2, b1)
	tell(clockOf(a1, a2, b1, b2), clockOf(a1, a2, b1, b2))
	s.Forget()
	want("and then forgotten", clockOf(a1, a2, b1, b2), a1, a2, b1, b2)
}
