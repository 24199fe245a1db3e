package crdt

import (
	"fmt"
	"testing"
)

func benchStamp(seen Stamp) Stamp { return seen + 1 }

// benchOp mints and applies one event a round.
func benchOp(b *testing.B, m *Memory, r *Replica, op *Op, present []Kind) {
	b.Helper()
	b.ReportAllocs()
	seq := r.Clock.Last(1)
	for b.Loop() {
		seq++
		d, _, err := r.Mutate(m, testKey(), present, op, Dot{1, seq}, benchStamp)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Apply(m, d); err != nil {
			b.Fatal(err)
		}
	}
	if r.Clock.Last(1) != seq {
		b.Fatalf("%d events of %d were applied", r.Clock.Last(1), seq)
	}
}

func BenchmarkRegisterWrite(b *testing.B) {
	op := Op{Code: OpAssign, Kind: Register, Value: make([]byte, 100)}
	benchOp(b, &Memory{}, &Replica{}, &op, []Kind{Register})
}

func BenchmarkCounterAdd(b *testing.B) {
	op := Op{Code: OpAdd, Kind: Counter, N: 1}
	benchOp(b, &Memory{}, &Replica{}, &op, []Kind{Counter})
}

// fill puts n elements into a set, by one actor, an event each.
func fill(m *Memory, r *Replica, a Actor, n int) {
	for i := range n {
		id := CellID{testKey(), Set, PathOf(fmt.Sprintf("element-%d-%09d", a, i))}
		_ = m.Store(id, Cell{{Dot: Dot{a, uint64(i + 1)}}})
	}
	r.Clock.AddRange(a, 1, uint64(n))
}

// BenchmarkSetAdd shows that the cost of an add does not grow with the set.
func BenchmarkSetAdd(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("of-%d", n), func(b *testing.B) {
			var m Memory
			var r Replica
			fill(&m, &r, 1, n)
			op := insert("element-1-000000007")
			benchOp(b, &m, &r, &op, []Kind{Set})
		})
	}
}

func BenchmarkApplyRemoteEvent(b *testing.B) {
	b.ReportAllocs()
	var m Memory
	var r Replica
	payload := make([]byte, 100)
	d := &Delta{Actor: 9, Changes: []Change{{ID: CellID{testKey(), Register, ""}, Removes: make([]Dot, 1), Puts: make([]Entry, 1)}}}
	seq := uint64(1)
	for b.Loop() {
		seq++
		d.Lo, d.Hi = seq, seq
		d.Changes[0].Removes[0] = Dot{9, seq - 1}
		d.Changes[0].Puts[0] = Entry{Dot{9, seq}, payload}
		if fresh, err := r.Apply(&m, d); err != nil || !fresh {
			b.Fatal(fresh, err)
		}
	}
}

// BenchmarkJoinSets joins two sets of 10,000 elements that share none.
func BenchmarkJoinSets(b *testing.B) {
	b.ReportAllocs()
	var one, two Memory
	var r1, r2 Replica
	fill(&one, &r1, 1, 10_000)
	fill(&two, &r2, 2, 10_000)
	a := &Snapshot{Clock: r1.Clock, Cells: one.All()}
	c := &Snapshot{Clock: r2.Clock, Cells: two.All()}
	for b.Loop() {
		if m := Merge(a, c); len(m.Cells) != 20_000 {
			b.Fatal(len(m.Cells))
		}
	}
}

func benchDelta() *Delta {
	d := &Delta{Actor: 9, Lo: 100, Hi: 149}
	for i := range 50 {
		id := CellID{KeyID{"bucket", fmt.Sprintf("key-%03d", i)}, Register, ""}
		seq := uint64(100 + i)
		d.Changes = append(d.Changes, Change{
			ID: id, Removes: []Dot{{9, seq - 50}}, Puts: []Entry{{Dot{9, seq}, append([]byte{1}, make([]byte, 100)...)}},
		})
	}
	return d
}

func BenchmarkEncodeDelta(b *testing.B) {
	b.ReportAllocs()
	d := benchDelta()
	var buf []byte
	for b.Loop() {
		buf = AppendDelta(buf[:0], d)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeDelta(b *testing.B) {
	b.ReportAllocs()
	buf := AppendDelta(nil, benchDelta())
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := DecodeDelta(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClockDifference(b *testing.B) {
	b.ReportAllocs()
	var mine, theirs Clock
	for a := range Actor(100) {
		mine.AddRange(a+1, 1, 1_000_000)
		theirs.AddRange(a+1, 1, 1_000_000)
	}
	theirs.AddRange(50, 1_000_001, 1_000_007)
	for b.Loop() {
		if d := Difference(&theirs, &mine); d.Count() != 7 {
			b.Fatal(d)
		}
	}
}
