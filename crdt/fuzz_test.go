package crdt

import (
	"bytes"
	"testing"
)

// fuzzDecoder demands that what is taken is encoded again as it was, and that
// no input takes more memory than a multiple of its size.
func fuzzDecoder(f *testing.F, what string) {
	f.Helper()
	for _, b := range samples(f)[what] {
		f.Add(b)
	}
	decode := decoders()[what]
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := decode(b)
		if err == nil && !bytes.Equal(again, b) {
			t.Fatalf("%x came back as %x", b, again)
		}
		if len(b) > 1<<10 {
			if got := allocated(func() { _, _ = decode(b) }); got > 4*maxGrowth*uint64(len(b))+1<<20 {
				t.Fatalf("%d bytes for %d", got, len(b))
			}
		}
	})
}

func FuzzDecodeClock(f *testing.F)    { fuzzDecoder(f, "clock") }
func FuzzDecodeRanges(f *testing.F)   { fuzzDecoder(f, "ranges") }
func FuzzDecodeCell(f *testing.F)     { fuzzDecoder(f, "cell") }
func FuzzDecodeDelta(f *testing.F)    { fuzzDecoder(f, "delta") }
func FuzzDecodeSnapshot(f *testing.F) { fuzzDecoder(f, "snapshot") }
func FuzzDecodeChanges(f *testing.F)  { fuzzDecoder(f, "changes") }
func FuzzDecodeContext(f *testing.F)  { fuzzDecoder(f, "context") }

func FuzzCutPath(f *testing.F) {
	f.Add(PathOf("x"))
	f.Add(PathOf("a\x00b"))
	f.Fuzz(func(t *testing.T, path string) {
		component, rest, ok := CutPath(path)
		if ok && PathOf(component)+rest != path {
			t.Fatalf("%q came apart as %q and %q", path, component, rest)
		}
	})
}

// FuzzJoin does everything with what a stranger sent: it may be nonsense, but
// must neither panic nor make what cannot be sent on.
func FuzzJoin(f *testing.F) {
	s := samples(f)
	for i, b := range s["snapshot"] {
		f.Add(b, s["snapshot"][(i+1)%len(s["snapshot"])], s["delta"][i], s["context"][i%len(s["context"])])
	}
	f.Fuzz(func(t *testing.T, a, b, event, context []byte) {
		one, errOne := DecodeSnapshot(a)
		two, errTwo := DecodeSnapshot(b)
		if errOne != nil || errTwo != nil {
			return
		}
		merged := Merge(one, two)
		var r Replica
		var m Memory
		r.Clock = merged.Clock
		r.Residue.Restore(merged.Residue)
		for _, c := range merged.Cells {
			_ = m.Store(c.ID, c.Live)
		}
		if d, err := DecodeDelta(event); err == nil {
			if _, err := r.Apply(&m, d); err != nil {
				t.Fatal(err)
			}
			relay, err := Coalesce(&m, []*Delta{d.LogEntry()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := DecodeDelta(AppendDelta(nil, relay)); err != nil {
				t.Fatalf("the relayed event cannot be decoded: %v", err)
			}
		}
		ctx, _ := DecodeContext(context)
		for _, c := range m.All() {
			ReadValue(c.ID.Kind, []CellState{c})
			r.Remint([]CellState{c}, func(Actor) bool { return true }, Dot{1, maxSeq})
			for code := OpAssign; code <= OpObserve; code++ {
				op := Op{Code: code, Kind: c.ID.Kind, Elements: []string{"x"}, On: true, N: 1, Context: ctx}
				op.Fields = []FieldOp{{"f", Op{Code: OpReset, Kind: Counter}}, {"f", Op{Code: OpInsert, Kind: RWSet, Elements: []string{"x"}}}}
				op.Names = []FieldName{{Name: "f"}, {"f", Counter}}
				_, _, _ = r.Mutate(&m, c.ID.KeyID, m.Kinds(c.ID.KeyID), &op, Dot{1, maxSeq}, func(seen Stamp) Stamp { return seen + 1 })
			}
		}
		out := AppendSnapshot(nil, &Snapshot{Clock: r.Clock, Residue: r.Residue.Changes(), Cells: m.All()})
		if len(out) < 1<<20 {
			if _, err := DecodeSnapshot(out); err != nil {
				t.Fatalf("the joined state cannot be decoded: %v", err)
			}
		}
	})
}
