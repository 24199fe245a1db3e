package storage

import (
	"bytes"
	"testing"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

func FuzzDecodePage(f *testing.F) {
	var clock crdt.Clock
	clock.AddRange(5, 1, 9)
	id := crdt.CellID{KeyID: crdt.KeyID{Bucket: "b", Key: "k"}, Kind: crdt.Register}
	p := &Page{From: []byte("from"), To: []byte("to"), Snapshot: crdt.Snapshot{
		Clock:   clock,
		Residue: []crdt.Change{{ID: id, Removes: []crdt.Dot{{Actor: 6, Seq: 1}}}},
		Cells:   []crdt.CellState{{ID: id, Live: crdt.Cell{{Dot: crdt.Dot{Actor: 5, Seq: 2}, Payload: []byte{1, 'v'}}}}},
	}}
	f.Add(AppendPage(nil, p))
	f.Add(AppendPage(nil, &Page{}))
	f.Add([]byte{0x80, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePage(b)
		if err == nil && !bytes.Equal(AppendPage(nil, p), b) { // one value, one encoding
			t.Fatalf("decoded %x, encoded %x", b, AppendPage(nil, p))
		}
	})
}

func FuzzCursor(f *testing.F) {
	s, _ := openMem(f)
	r := s.Replica(testID)
	var clock crdt.Clock
	clock.AddRange(5, 1, 9)
	f.Add((&question{from: []byte("behind"), begun: true, clock: clock, first: 3, have: make([]merkle.Digest, 2)}).encode())
	f.Add((&question{}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := r.decodeQuestion(b)
		if err == nil && !bytes.Equal(q.encode(), b) {
			t.Fatalf("decoded %x, encoded %x", b, q.encode())
		}
	})
}

// FuzzKeys holds what Pebble relies on: a split inside the key, the same for
// everything with the same beginning, and no panic whatever is on disk.
func FuzzKeys(f *testing.F) {
	id := crdt.CellID{KeyID: crdt.KeyID{Bucket: "b", Key: "k"}, Kind: crdt.Set, Path: crdt.PathOf("e")}
	f.Add(cellKey(7, keyHash("b", []byte("k")), id))
	f.Add(headKey(tableResidue, 7, 1, id))
	f.Add([]byte{tableData})
	f.Add(clockKey(testID, 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := splitKey(b)
		if n < 0 || n > len(b) {
			t.Fatalf("split of %x at %d", b, n)
		}
		if m := splitKey(b[:n]); m != n {
			t.Fatalf("split of %x at %d, of that at %d", b, n, m)
		}
		rec, err := parseRecord(b)
		if err == nil && rec.part <= partCell && rec.id.Kind.Collection() == (rec.part == partCell) && (rec.part == partCell || rec.id.Path == "") {
			if k := cellKey(7, rec.hash, rec.id); !bytes.Equal(k[5:], b[5:]) && len(b) > n+1 {
				t.Fatalf("parsed %x, made %x", b, k)
			}
		}
		_, _ = parseSide(b)
		_, _, _ = parseReplica(b)
		if hi := after(b); hi != nil && bytes.Compare(hi, b) <= 0 {
			t.Fatalf("after %x comes %x", b, hi)
		}
	})
}

// FuzzRecords feeds what may stand on disk to the decoders of values.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add(headState{count: 3}.encode())
	f.Add(append(make([]byte, 8), 1, 3, 1, 2))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = decodeHeader(b)
		_, _, _, _ = decodeRequest(b)
		_, _, _ = decodeLog(b)
	})
}
