package crdt

import (
	"fmt"
	"testing"
	"time"
)

// What is written here is promised: the bytes that values take, and that what
// one operation costs does not grow with what the key holds, nor faster than
// with what it names.

// Nine actors are those of three datacenters with three replicas each.
func TestCounterBytes(t *testing.T) {
	tests := []struct {
		name string
		each run
		seq  uint64 // of the events that began the runs
		want int
	}{
		{"a few increments", run{now: totals{up: 100, ops: 100}}, 1_000, 127},
		{"a million increments", run{now: totals{up: 1_000_000, ops: 1_000_000}}, 10_000_000, 181},
		{"a million up and down", run{now: totals{up: 1_000_000, down: 1_000_000, ops: 1_000_000}}, 10_000_000, 199},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c Cell
			for a := range Actor(9) {
				c = append(c, Entry{Dot{(a + 1) << 56, tt.seq}, tt.each.encode()})
			}
			if got := len(AppendCell(nil, c)); got != tt.want || got > 200 {
				t.Errorf("%d bytes, want %d, at most 200", got, tt.want)
			}
		})
	}
}

// addTo is the event of one add to a set of n elements, encoded.
func addTo(t *testing.T, n int) []byte {
	t.Helper()
	var m Memory
	var r Replica
	fill(&m, &r, 1, n)
	op := insert("0123456789abcdef")
	d, _, err := r.Mutate(&m, testKey(), []Kind{Set}, &op, Dot{0xd1 << 56, 1 << 20}, benchStamp)
	if err != nil {
		t.Fatal(err)
	}
	return AppendDelta(nil, d)
}

// An add to any set is the same event: header, cell and one dot.
func TestAddBytes(t *testing.T) {
	for _, n := range []int{10, 100_000, 1_000_000} {
		if n > 100_000 && testing.Short() {
			continue
		}
		if got := len(addTo(t, n)); got != 60 {
			t.Errorf("an add of 16 bytes to a set of %d takes %d bytes, want 60", n, got)
		}
	}
}

// Each more element of a run takes its length, its path's end and frame, and one dot.
func TestCoalescedAddBytes(t *testing.T) {
	run := func(n int) int {
		d := &Delta{Actor: 0xd1 << 56, Lo: 1 << 20, Hi: 1<<20 + uint64(n) - 1}
		for i := range uint64(n) {
			id := CellID{testKey(), Set, PathOf(fmt.Sprintf("%016d", i))}
			d.Changes = append(d.Changes, Change{ID: id, Puts: []Entry{{Dot: Dot{0xd1 << 56, 1<<20 + i}}}})
		}
		return len(AppendDelta(nil, d))
	}
	const dot = 8 + 3 // actor, and a sequence number of that size
	if got := run(1000) - run(900); got != 100*(16+2+dot+4) {
		t.Errorf("100 more elements of 16 bytes take %d bytes, want %d", got, 100*(16+2+dot+4))
	}
}

// One operation of many elements was once compared with itself, each change
// with each: 10,000 elements took a second, under the partition's lock.
func TestOperationOfManyElements(t *testing.T) {
	var elements []string
	var members []Member
	var fields []FieldOp
	for i := range 40_000 {
		name := fmt.Sprintf("%08d", i*7919%40_000)
		elements = append(elements, name)
		members = append(members, Member{name, 1})
		fields = append(fields, FieldOp{name, Op{Code: OpAssign, Kind: Register, Value: []byte("v")}})
	}
	for _, op := range []Op{
		insert(elements...),
		{Code: OpInsert, Kind: RWSet, Elements: elements},
		{Code: OpRemove, Kind: RWSet, Elements: elements},
		{Code: OpScore, Kind: ZSet, Members: members},
		{Code: OpUpdate, Kind: Map, Fields: fields},
	} {
		begin := time.Now()
		var m Memory
		var r Replica
		d, _, err := r.Mutate(&m, testKey(), nil, &op, Dot{1, 1}, benchStamp)
		if err != nil || len(d.Changes) != 40_000 {
			t.Fatalf("operation %d on a %s: %d changes, %v", op.Code, op.Kind, len(d.Changes), err)
		}
		if took := time.Since(begin); took > 5*time.Second { // a fiftieth of a second, usually
			t.Errorf("operation %d on a %s took %v", op.Code, op.Kind, took)
		}
	}
}
