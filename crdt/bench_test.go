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
		_ = m.Store(elementID(a, i), Cell{{Dot: Dot{a, uint64(i + 1)}}})
	}
	r.Clock.AddRange(a, 1, uint64(n))
}

func elementID(a Actor, i int) CellID {
	return CellID{testKey(), Set, PathOf(fmt.Sprintf("element-%d-%09d", a, i))}
}

// BenchmarkSetAdd shows that the cost of an add does not grow with the set: to
// add what is not in it, and to add again what is, here and there in it.
func BenchmarkSetAdd(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		var m Memory
		var r Replica
		fill(&m, &r, 1, n)
		again, fresh := make([]string, 1000), make([]string, 1000)
		for i := range again {
			again[i] = fmt.Sprintf("element-1-%09d", i*7919%n)
			fresh[i] = fmt.Sprintf("element-2-%09d", i)
		}
		b.Run(fmt.Sprintf("again-of-%d", n), func(b *testing.B) { benchAdd(b, &m, &r, again, nil) })
		b.Run(fmt.Sprintf("new-of-%d", n), func(b *testing.B) {
			benchAdd(b, &m, &r, fresh, func(id CellID) { _ = m.Store(id, nil) })
		})
	}
}

// benchAdd adds one element a round, and calls after, if any, with its cell.
func benchAdd(b *testing.B, m *Memory, r *Replica, elements []string, after func(CellID)) {
	b.Helper()
	b.ReportAllocs()
	present := []Kind{Set}
	op := insert("")
	seq := r.Clock.Last(1)
	for i := 0; b.Loop(); i++ {
		seq++
		op.Elements[0] = elements[i%len(elements)]
		d, _, err := r.Mutate(m, testKey(), present, &op, Dot{1, seq}, benchStamp)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Apply(m, d); err != nil {
			b.Fatal(err)
		}
		if after != nil {
			after(d.Changes[0].ID)
		}
	}
	if r.Clock.Last(1) != seq {
		b.Fatalf("%d events of %d were applied", r.Clock.Last(1), seq)
	}
}

// BenchmarkSetAddMany adds 10,000 elements in one operation.
func BenchmarkSetAddMany(b *testing.B) {
	b.ReportAllocs()
	elements := make([]string, 10_000)
	for i := range elements {
		elements[i] = fmt.Sprintf("element-%09d", i*7919%len(elements))
	}
	op := insert(elements...)
	for b.Loop() {
		var m Memory
		var r Replica
		d, _, err := r.Mutate(&m, testKey(), nil, &op, Dot{1, 1}, benchStamp)
		if err != nil || len(d.Changes) != len(elements) {
			b.Fatal(len(d.Changes), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(elements)), "ns/element")
}

const benchKeys = 1000

// benchApply applies an event of another replica to one of many keys a round.
// Each key has a cell. next makes the event of a round the one for a key.
func benchApply(b *testing.B, kind Kind, first []byte, next func(ch *Change, round uint64)) {
	b.Helper()
	b.ReportAllocs()
	var m Memory
	var r Replica
	keys := make([]CellID, benchKeys)
	for i := range keys {
		keys[i] = CellID{KeyID{"bucket", fmt.Sprintf("key-%06d", i)}, kind, ""}
		_ = m.Store(keys[i], Cell{{Dot{9, uint64(i + 1)}, first}})
	}
	for a := range Actor(9) { // those of three datacenters
		r.Clock.AddRange(a+1, 1, benchKeys)
	}
	d := &Delta{Actor: 9, Changes: []Change{{Removes: make([]Dot, 0, 1), Puts: make([]Entry, 1)}}}
	seq := uint64(benchKeys)
	for b.Loop() {
		seq++
		at := (seq - 1) % benchKeys
		d.Lo, d.Hi = seq, seq
		d.Changes[0].ID = keys[at]
		next(&d.Changes[0], seq)
		if fresh, err := r.Apply(&m, d); err != nil || !fresh {
			b.Fatal(fresh, err)
		}
	}
}

// BenchmarkApply is rule 2 for one event onto a cell in memory.
func BenchmarkApply(b *testing.B) {
	b.Run("register", func(b *testing.B) {
		payload := append([]byte{1}, make([]byte, 128)...)
		benchApply(b, Register, payload, func(ch *Change, seq uint64) {
			ch.Removes = append(ch.Removes[:0], Dot{9, seq - benchKeys})
			ch.Puts[0] = Entry{Dot{9, seq}, payload}
		})
	})
	b.Run("counter", func(b *testing.B) {
		var total []byte
		benchApply(b, Counter, run{now: totals{1, 0, 1}}.encode(), func(ch *Change, seq uint64) {
			at, round := (seq-1)%benchKeys, (seq-1)/benchKeys
			if at == 0 { // every key's total grows by one
				total = run{now: totals{round + 1, 0, round + 1}}.encode()
			}
			ch.Puts[0] = Entry{Dot{9, at + 1}, total}
		})
	})
}

// BenchmarkJoinSets joins two sets of 10,000 elements, which share none or all.
func BenchmarkJoinSets(b *testing.B) {
	var one, two Memory
	var r1, r2 Replica
	fill(&one, &r1, 1, 10_000)
	fill(&two, &r2, 2, 10_000)
	a := &Snapshot{Clock: r1.Clock, Cells: one.All()}
	c := &Snapshot{Clock: r2.Clock, Cells: two.All()}
	for _, bb := range []struct {
		name string
		with *Snapshot
		want int
	}{{"apart", c, 20_000}, {"equal", a, 10_000}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if m := Merge(a, bb.with); len(m.Cells) != bb.want {
					b.Fatal(len(m.Cells))
				}
			}
			b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "elements/s")
		})
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
