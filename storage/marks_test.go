package storage

import (
	"testing"

	"github.com/godwitdb/godwit/crdt"
)

func markOp(code crdt.OpCode, elements ...string) *crdt.Op {
	return &crdt.Op{Code: code, Kind: crdt.RWSet, Elements: elements}
}

func everybody(crdt.Actor) bool { return true }

func TestMarksAreDroppedWhenSettled(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("s")
	mutate(t, r, key, markOp(crdt.OpRemove, "w"))
	early := r.Durable()
	mutate(t, r, key, markOp(crdt.OpInsert, "x", "y"))
	mutate(t, r, key, markOp(crdt.OpRemove, "x", "z"))
	if done, _, err := r.DropMarks(&crdt.Clock{}, everybody, nil, 10); done != nil || err != nil {
		t.Fatalf("nothing is settled: %v, %v", done, err)
	}
	if done, _, err := r.DropMarks(&early, func(crdt.Actor) bool { return false }, nil, 10); done != nil || err != nil {
		t.Fatalf("marks of nobody: %v, %v", done, err)
	}
	done, next, err := r.DropMarks(&early, everybody, nil, 10)
	if err != nil || done == nil || next != nil || len(done.Delta.Changes) != 1 || done.Delta.Changes[0].ID.Path != crdt.PathOf("w") {
		t.Fatalf("of the first event: %+v, %x, %v, want w", done, next, err)
	}
	wait(t, done.Commit)
	all := r.Durable()
	done, next, err = r.DropMarks(&all, everybody, nil, 1)
	if err != nil || done == nil || next == nil || len(done.Delta.Changes) != 1 {
		t.Fatalf("one at a time: %+v, %x, %v", done, next, err)
	}
	wait(t, done.Commit)
	done, next, err = r.DropMarks(&all, everybody, next, 1)
	if err != nil || done == nil || next != nil {
		t.Fatalf("the last: %+v, %x, %v", done, next, err)
	}
	wait(t, done.Commit)
	if some, err := r.HasMarks(); some || err != nil {
		t.Errorf("marks are left: %v, %v", some, err)
	}
	if got := scanAll(t, r).cells; len(got) != 1 || got[0].ID.Path != crdt.PathOf("y") {
		t.Errorf("cells %v, want that of y", got)
	}
	mutate(t, r, key, markOp(crdt.OpRemove, "y"))
	mutate(t, r, key, &crdt.Op{Code: crdt.OpDelete, Kind: crdt.RWSet})
	if some, err := r.HasMarks(); some || err != nil {
		t.Errorf("a delete took the mark, and the index has it: %v, %v", some, err)
	}
}

// Whoever is told that a replica has an event takes it that what was minted
// there before is in the same clock.
func TestDurableClockIsThatOfOneMoment(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("k")
	first := must(r.Mutate(&Mutation{Key: key, Op: add(1)}))(t)
	other := crdt.Dot{Actor: 5, Seq: 1}
	event := &crdt.Delta{Actor: other.Actor, Lo: other.Seq, Hi: other.Seq, Changes: []crdt.Change{{
		ID: crdt.CellID{KeyID: key, Kind: crdt.Flag}, Puts: []crdt.Entry{{Dot: other}},
	}}}
	wait(t, must(r.Apply([]*crdt.Delta{event}, false))(t))
	if clock := r.Durable(); !clock.Contains(other) || !clock.Contains(crdt.Dot{Actor: first.Delta.Actor, Seq: first.Delta.Lo}) {
		t.Errorf("durable clock %v lacks what came before %s", clock, other)
	}
	wait(t, first.Commit)
}
