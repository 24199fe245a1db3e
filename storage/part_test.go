package storage

import (
	"fmt"
	"slices"
	"testing"

	"github.com/godwitdb/godwit/crdt"
)

func TestReadOfAPart(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("s")
	mutate(t, r, key, insert("a", "b", "bb", "c", "d"))
	read := func(elements ...string) *Answer {
		var paths []string
		for _, e := range elements {
			paths = append(paths, crdt.PathOf(e))
		}
		return must(r.Read(Query{Key: key, Part: crdt.NewPart(paths)}))(t)
	}
	tests := []struct {
		of, want []string
	}{
		{nil, nil},
		{[]string{"b"}, []string{"b"}},
		{[]string{"d", "a", "c"}, []string{"a", "c", "d"}},
		{[]string{"0", "b", "bbb", "zz"}, []string{"b"}},
	}
	for _, tt := range tests {
		a := read(tt.of...)
		if got := elementsOf(a); !slices.Equal(got, tt.want) {
			t.Errorf("part of %q has %q, want %q", tt.of, got, tt.want)
		}
		if !slices.Equal(a.Present, []crdt.Kind{crdt.Set}) {
			t.Errorf("part of %q: kinds %v, want a set", tt.of, a.Present)
		}
		paths := make([]string, len(tt.of))
		for i, e := range tt.of {
			paths[i] = crdt.PathOf(e)
		}
		if d := must(r.Read(Query{Key: key, Part: crdt.NewPart(paths), Digest: true}))(t); d.State != a.State {
			t.Errorf("part of %q: another digest where that alone is asked for", tt.of)
		}
	}
	before, others := read("b").State, read("c").State
	mutate(t, r, key, insert("c", "e"))
	if read("b").State != before {
		t.Error("the digest of a part changed with an element that is not in it")
	}
	if read("c").State == others {
		t.Error("the digest of a part did not change with its element")
	}
	mutate(t, r, key, remove("a", "b", "bb", "c", "d", "e"))
	if read("x").State == before || len(read("b").Cells) > 0 {
		t.Error("an empty set has elements")
	}
}

// TestRepairOfCells: what is not named stays as it is, and what is named is joined,
// also where nothing of it is left.
func TestRepairOfCells(t *testing.T) {
	s, _ := openMem(t)
	ours, theirs, key := s.Replica(testID), openPeer(t, "n2"), testKey("s")
	first := mutate(t, theirs, key, insert("gone", "stays", "others")).Delta
	apply(t, ours, first)
	gone := mutate(t, theirs, key, remove("gone", "others")).Delta
	come := mutate(t, theirs, key, insert("new", "newer")).Delta
	part := crdt.NewPart([]string{crdt.PathOf("gone"), crdt.PathOf("new")})
	a := must(theirs.Read(Query{Key: key, Part: part}))(t)
	mine := must(ours.Read(Query{Key: key, Part: part}))(t)
	cells := slices.Clone(a.Cells)
	for _, c := range mine.Cells {
		cells = append(cells, crdt.CellState{ID: c.ID})
	}
	wait(t, must(ours.RepairCells(cells, &a.Snapshot))(t))
	if got := elementsOf(must(ours.Read(Query{Key: key}))(t)); fmt.Sprint(got) != "[new others stays]" {
		t.Errorf("after the repair: %q", got)
	}
	if c := ours.Clock(); c.ContainsRange(come.Actor, come.Lo, come.Hi) || c.ContainsRange(gone.Actor, gone.Lo, gone.Hi) {
		t.Error("the clock was taken over")
	}
	apply(t, ours, come, gone)
	if got := elementsOf(must(ours.Read(Query{Key: key}))(t)); fmt.Sprint(got) != "[new newer stays]" {
		t.Errorf("after the events: %q", got)
	}
	if o, th := ours.State(), theirs.State(); o.Root != th.Root || !o.Clock.Equal(&th.Clock) {
		t.Error("replicas with the same events differ")
	}
}
