package storage

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// checkKept holds what a replica keeps of its keys against the database, and
// returns how many keys that is.
func checkKept(t testing.TB, r *Replica) (keys int) {
	t.Helper()
	for hash, k := range r.kept.kept {
		keys++
		key, _, _ := cutRecord(k.records[1:])
		prefix := key[:splitKey(key)]
		var want headRecords
		err := r.store.each(prefix, after(prefix), func(k, v []byte) error {
			rec, err := parseRecord(k)
			if err != nil || rec.part == partCell {
				return err
			}
			if rec.hash != hash {
				t.Fatalf("the records of key %q are kept under hash %d, want %d", rec.id.Key, hash, rec.hash)
			}
			want = want.add(k, v, rec.id.Kind.Collection())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.records, want) {
			t.Fatalf("kept of %q: %x, the database holds %x", prefix, k.records, want)
		}
	}
	return keys
}

func TestHeadsThatAreNotUsedAreForgotten(t *testing.T) {
	prefix := func(i uint64) []byte {
		return appendKey(nil, tableData, 1, i, crdt.KeyID{Bucket: "b", Key: fmt.Sprintf("k%02d", i)})
	}
	of := func(i uint64) headRecords {
		return headRecords(nil).add(append(prefix(i), byte(crdt.Register)), bytes.Repeat([]byte{byte(i)}, 100), false)
	}
	each := len(of(1)) + headOverhead
	limit := int64(8 * each) // eight keys, no more than of which one is forgotten
	var h heads
	var known []uint64
	for i := range uint64(16) {
		h.put(i, of(i), limit)
		if h.get(0, prefix(0)) == nil { // used again and again
			t.Fatalf("key 0 is not known after key %d", i)
		}
		if n := len(h.kept); n != min(int(i)+1, 8) || h.bytes != n*each {
			t.Fatalf("after key %d %d keys take %d bytes, want %d each and %d at most", i, n, h.bytes, each, limit)
		}
		if i == 8 && h.get(1, prefix(1)) != nil {
			t.Error("key 1 is known, which was not used for longest")
		}
	}
	for i := range uint64(16) {
		if _, ok := h.kept[i]; ok {
			known = append(known, i)
		}
	}
	if want := "[0 9 10 11 12 13 14 15]"; fmt.Sprint(known) != want {
		t.Errorf("keys %v are known, want %s", known, want)
	}
	h.put(6, of(6), limit)
	h.put(7, of(7), limit)
	if h.get(7, prefix(6)) != nil {
		t.Error("the records of another key of the same hash were taken")
	}
	h.put(7, headRecords(nil).add(append(prefix(7), byte(crdt.Register)), make([]byte, maxHeads), false), limit)
	if h.get(7, prefix(7)) != nil {
		t.Error("records that are too large are kept, or what they replace still is")
	}
	h.put(6, nil, limit)
	if h.get(6, prefix(6)) != nil {
		t.Error("a key without records is known")
	}
}

// TestKeptKeysSpareReads shows that reads and writes of a key that is known do
// not ask the database: what was planted there meanwhile is not noticed.
func TestKeptKeysSpareReads(t *testing.T) {
	tests := []struct {
		name string
		warm func(t *testing.T, r *Replica, key crdt.KeyID)
	}{
		{"after an operation", func(*testing.T, *Replica, crdt.KeyID) {}},
		{"after a read", func(t *testing.T, r *Replica, key crdt.KeyID) {
			r.kept = heads{}
			_ = text(t, r, key)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := openMem(t)
			r, key := s.Replica(testID), testKey("k")
			mutate(t, r, key, assign("v"))
			tt.warm(t, r, key)
			at := cellKey(testID.Placement, keyHash(key.Bucket, []byte(key.Key)), crdt.CellID{KeyID: key, Kind: crdt.Register})
			if err := s.db.Set(at, []byte{0xff}, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			if got := text(t, r, key); got != "v" {
				t.Errorf("read %q, want v", got)
			}
			mutate(t, r, key, assign("w"))
			if got := text(t, r, key); got != "w" {
				t.Errorf("read %q after a put, want w", got)
			}
			checkKept(t, r)
		})
	}
}

func TestDroppedReplicaKeepsNothing(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("k")
	awaitTree(t, r)
	mutate(t, r, key, assign("v"))
	if n := checkKept(t, r); n != 1 {
		t.Fatalf("%d keys are kept, want 1", n)
	}
	if gone, err := r.Drop(r.Generation()); err != nil || !gone {
		t.Fatalf("Drop: %v, %v", gone, err)
	}
	if n := checkKept(t, r); n != 0 {
		t.Errorf("%d keys are kept of a replica that was dropped", n)
	}
}

// TestDigestsOfReads holds the answer to who asks only for a digest against the
// whole one, of keys that are known and of keys that are not.
func TestDigestsOfReads(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("k")
	mutate(t, r, key, insert("a", "b"))
	apply(t, r, put(key, 5, 1, "v")) // another kind, from elsewhere
	for _, known := range []bool{true, false} {
		if !known {
			r.kept = heads{}
		}
		got := must(r.Read(Query{Key: key, Limit: 1, Digest: true}))(t)
		r.kept = heads{}
		want := must(r.Read(Query{Key: key}))(t)
		if got.State != want.State || got.State.IsZero() {
			t.Errorf("known %v: digest %x, want %x", known, got.State, want.State)
		}
	}
}
