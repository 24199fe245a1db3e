package crdt

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
)

// payloads are what travels and is stored, of the sizes that they have there.
func payloads() []struct {
	name   string
	encode func(b []byte) []byte
	decode func(b []byte) error
} {
	value := append([]byte{0x80, 0xe4, 0xf7, 0xf2, 0xd2, 0xc8, 0xb3, 0x03}, make([]byte, 128)...)
	put := func(key string, seq uint64) Change {
		return Change{
			ID:      CellID{KeyID{"bucket", key}, Register, ""},
			Removes: []Dot{{0xd1, seq - 50}}, Puts: []Entry{{Dot{0xd1, seq}, value}},
		}
	}
	event := &Delta{Actor: 0xd1, Lo: 70_000, Hi: 70_000, Changes: []Change{put("key-000001", 70_000)}}
	puts := &Delta{Actor: 0xd1, Lo: 70_000, Hi: 70_049}
	adds := &Delta{Actor: 0xd1, Lo: 70_000, Hi: 70_999}
	residue := make([]Change, 0, 1000)
	page := &Snapshot{}
	var clock Clock
	counter := counterOf(9)
	for i := range uint64(50) {
		puts.Changes = append(puts.Changes, put(fmt.Sprintf("key-%06d", i), 70_000+i))
		page.Clock.AddRange(Actor(0xd1+i), 1, 70_000)
	}
	for i := range uint64(1000) {
		id := elementID(1, int(i))
		adds.Changes = append(adds.Changes, Change{ID: id, Puts: []Entry{{Dot: Dot{0xd1, 70_000 + i}}}})
		residue = append(residue, Change{ID: id, Removes: []Dot{{0xd1, 70_000 + i}}})
		page.Cells = append(page.Cells, CellState{put(fmt.Sprintf("key-%06d", i), 0).ID, Cell{{Dot{0xd1, i + 1}, value}}})
		clock.AddRange(Actor(0xd1+i), 1, 70_000+i)
		clock.AddRange(Actor(0xd1+i), 80_000, 80_000+i%3)
	}
	delta := func(d *Delta) func([]byte) []byte { return func(b []byte) []byte { return AppendDelta(b, d) } }
	decodeDelta := func(b []byte) error { _, err := DecodeDelta(b); return err }
	return []struct {
		name   string
		encode func(b []byte) []byte
		decode func(b []byte) error
	}{
		{"event-128B", delta(event), decodeDelta},
		{"delta-50-puts", delta(puts), decodeDelta},
		{"delta-1000-adds", delta(adds), decodeDelta},
		{
			"clock-1000-actors", func(b []byte) []byte { return AppendClock(b, &clock) },
			func(b []byte) error { _, err := DecodeClock(b); return err },
		},
		{
			"residue-1000-dots", func(b []byte) []byte { return AppendChanges(b, residue) },
			func(b []byte) error { _, err := DecodeChanges(b); return err },
		},
		{
			"page-1000-registers", func(b []byte) []byte { return AppendSnapshot(b, page) },
			func(b []byte) error { _, err := DecodeSnapshot(b); return err },
		},
		{
			"cell-counter-9-actors", func(b []byte) []byte { return AppendCell(b, counter) },
			func(b []byte) error { _, err := DecodeCell(b); return err },
		},
	}
}

// counterOf is a counter to which so many actors have added a million.
func counterOf(actors int) Cell {
	c := make(Cell, actors)
	for i := range c {
		c[i] = Entry{Dot{Actor(i+1) << 56, 10_000_000}, run{now: totals{1_000_000, 0, 1_000_000}}.encode()}
	}
	return c
}

// collectAsNodes lets garbage be collected as a node lets it: `serve` leaves 64 MiB
// lying before it is looked for, and a process that keeps nothing would look for it every 4 MiB.
func collectAsNodes(b *testing.B) {
	b.Helper()
	kept := make([]byte, 16<<20)
	before := debug.SetGCPercent(400) // of what is kept
	b.Cleanup(func() {
		debug.SetGCPercent(before)
		runtime.KeepAlive(kept)
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, p := range payloads() {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := p.encode(nil)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				buf = p.encode(buf[:0])
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	collectAsNodes(b)
	for _, p := range payloads() {
		b.Run(p.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := p.encode(nil)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if err := p.decode(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
