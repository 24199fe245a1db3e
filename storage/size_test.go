package storage

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// uncompressed returns what the data of all keys takes in the tables of a
// database with the store's settings but without compression, compacted.
func uncompressed(t *testing.T, s *Store) uint64 {
	t.Helper()
	o := s.pebbleOptions()
	o.FS, o.Cache = vfs.NewMem(), nil
	for i := range o.Levels {
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	db, err := pebble.Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	lo, hi := []byte{tableData}, after([]byte{tableData})
	for half := range 2 { // tables that overlap, so that the compaction writes them anew
		i := 0
		err := s.each(lo, hi, func(k, v []byte) error {
			if i++; i%2 != half {
				return nil
			}
			return db.Set(k, v, pebble.NoSync)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Compact(context.Background(), lo, hi, false); err != nil {
		t.Fatal(err)
	}
	total := db.Metrics().Total()
	return uint64(total.TablesSize)
}

// An element takes its own length and 24 bytes more, at the most: its dot, the
// path's end, kind and frames, and its share of blocks and index. The user's key
// stands in a block once. Sequence numbers take three bytes, as they do from the
// 16,384th event of a replica to the two millionth.
func TestElementBytes(t *testing.T) {
	const n, batch = 20_000, 5_000
	s, _ := openMem(t)
	key := crdt.KeyID{Bucket: "bucket-of-16-byt", Key: keysOf(testID.Partition, "bucket-of-16-byt", "key", 1)[0].Key}
	r := s.Replica(testID)
	for range 1 << 14 {
		if _, err := r.Mutate(&Mutation{Key: key, Op: insert("e"), Async: true}); err != nil {
			t.Fatal(err)
		}
	}
	elements := make([]string, batch)
	for from := 0; from < n; from += batch {
		for i := range elements {
			elements[i] = fmt.Sprintf("%016x", from+i)
		}
		done, err := r.Mutate(&Mutation{Key: key, Op: insert(elements...), Async: true})
		if err != nil {
			t.Fatal(err)
		}
		wait(t, done.Commit)
	}
	got := float64(uncompressed(t, s)) / n
	t.Logf("%.2f bytes an element of 16", got)
	if got > 16+24 {
		t.Errorf("an element of 16 bytes takes %.2f bytes on disk, want at most %d", got, 16+24)
	}
}
