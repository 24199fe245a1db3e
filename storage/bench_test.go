package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// openBench opens a store with the settings of production, on disk.
func openBench(b *testing.B) *Store {
	b.Helper()
	return open(b, Options{
		Dir: b.TempDir(), FS: vfs.Default, Hash: keyHash, Wall: time.Now,
		Identity: Identity{Cluster: "flyway", DC: "north", Node: "n1", Partitions: testPartitions},
	})
}

// keysEverywhere returns keys with the replicas that hold them.
func keysEverywhere(s *Store, n int) ([]crdt.KeyID, []*Replica) {
	keys, replicas := make([]crdt.KeyID, n), make([]*Replica, n)
	for i := range n {
		keys[i] = crdt.KeyID{Bucket: "bench", Key: fmt.Sprintf("key-%06d", i)}
		replicas[i] = s.Replica(ReplicaID{Placement: 7, Partition: s.partitionOf(keyHash("bench", []byte(keys[i].Key)))})
	}
	return keys, replicas
}

func put128(b *testing.B, async bool) {
	s := openBench(b)
	keys, replicas := keysEverywhere(s, 1000)
	op := &crdt.Op{Code: crdt.OpAssign, Kind: crdt.Register, Value: bytes.Repeat([]byte{'v'}, 128)}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		done, err := replicas[i%1000].Mutate(&Mutation{Key: keys[i%1000], Op: op, Async: async})
		if err != nil {
			b.Fatal(err)
		}
		wait(b, done.Commit)
		i++
	}
}

func BenchmarkPut(b *testing.B)      { put128(b, false) }
func BenchmarkPutAsync(b *testing.B) { put128(b, true) }

func BenchmarkPutParallel(b *testing.B) {
	s := openBench(b)
	keys, replicas := keysEverywhere(s, 10_000)
	op := &crdt.Op{Code: crdt.OpAssign, Kind: crdt.Register, Value: bytes.Repeat([]byte{'v'}, 128)}
	var n atomic.Uint64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1) * 7919 % 10_000
			done, err := replicas[i].Mutate(&Mutation{Key: keys[i], Op: op})
			if err == nil {
				err = done.Commit.Wait()
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkIncrementAsync(b *testing.B) {
	s := openBench(b)
	keys, replicas := keysEverywhere(s, 100)
	op, i := add(1), 0
	b.ReportAllocs()
	for b.Loop() {
		done, err := replicas[i%100].Mutate(&Mutation{Key: keys[i%100], Op: op, Async: true})
		if err != nil {
			b.Fatal(err)
		}
		wait(b, done.Commit)
		i++
	}
}

// BenchmarkSetAdd adds elements between those of sets of three sizes, which rest on
// disk, compacted: the cost must not grow with them.
func BenchmarkSetAdd(b *testing.B) {
	for _, size := range []int{1000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := openBench(b)
			r, k := s.Replica(testID), testKey("s")
			elements := make([]string, 1000)
			for from := 0; from < size; from += 1000 {
				for i := range elements {
					elements[i] = fmt.Sprintf("element-%07d", from+i)
				}
				mutate(b, r, k, insert(elements...))
			}
			if err := s.db.Compact(b.Context(), []byte{0}, []byte{0xff}, false); err != nil {
				b.Fatal(err)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				done, err := r.Mutate(&Mutation{Key: k, Op: insert(fmt.Sprintf("element-%07d-%d", i*7919%size, i)), Async: true})
				if err != nil {
					b.Fatal(err)
				}
				wait(b, done.Commit)
				i++
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	s := openBench(b)
	keys, replicas := keysEverywhere(s, 1000)
	for i, k := range keys {
		if _, err := replicas[i].Mutate(&Mutation{Key: k, Op: assign(string(bytes.Repeat([]byte{'v'}, 128))), Async: true}); err != nil {
			b.Fatal(err)
		}
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := replicas[i%1000].Read(Query{Key: keys[i%1000]}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkReadHot reads a key that was overwritten many times since the last
// flush.
func BenchmarkReadHot(b *testing.B) {
	s := openBench(b)
	r, k := s.Replica(testID), testKey("hot")
	for range 5000 {
		if _, err := r.Mutate(&Mutation{Key: k, Op: assign("v"), Async: true}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(Query{Key: k}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApplyAsync(b *testing.B) {
	s := openBench(b)
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 1000)
	value := string(bytes.Repeat([]byte{'v'}, 128))
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		d := put(keys[i%1000], 5, uint64(i)+1, value)
		if i >= 1000 {
			d.Changes[0].Removes = []crdt.Dot{{Actor: 5, Seq: uint64(i) - 999}}
		}
		c, err := r.Apply([]*crdt.Delta{d}, true)
		if err != nil {
			b.Fatal(err)
		}
		wait(b, c)
		i++
	}
}

// BenchmarkPutAmong puts to random ones of many keys, all there before. It also
// tells how long a new key took, and what the keys took of the log and, once the event log is trimmed and all is
// compacted, of the disk, over the bytes of keys and values.
func BenchmarkPutAmong(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := openBench(b)
			keys, replicas := keysEverywhere(s, n)
			r := rand.NewChaCha8([32]byte{1})
			live := 0
			put := func(i int) {
				v := make([]byte, 128)
				_, _ = r.Read(v) // never fails
				op := &crdt.Op{Code: crdt.OpAssign, Kind: crdt.Register, Value: v}
				done, err := replicas[i].Mutate(&Mutation{Key: keys[i], Op: op, Async: true})
				if err != nil {
					b.Fatal(err)
				}
				wait(b, done.Commit)
			}
			began := time.Now()
			for i := range n {
				put(i)
				live += len(keys[i].Bucket) + len(keys[i].Key) + 128
			}
			filled := time.Since(began)
			logged := float64(s.Metrics().WALWrittenBytes) / float64(live)
			for b.Loop() {
				put(int(r.Uint64() % uint64(n)))
			}
			b.StopTimer()
			b.ReportMetric(float64(filled.Nanoseconds())/float64(n), "fill-ns/key")
			b.ReportMetric(logged, "log-bytes/byte")
			b.ReportMetric(compacted(b, s)/float64(live), "disk-bytes/byte")
		})
	}
}

// compacted is what the database takes once nothing is left to drop.
func compacted(b *testing.B, s *Store) float64 {
	b.Helper()
	for _, r := range s.Replicas() {
		if err := r.Barrier(); err != nil {
			b.Fatal(err)
		}
		clock := r.Durable()
		if _, _, err := r.Trim(&clock); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(s.db.Flush(), s.db.Compact(b.Context(), []byte{0}, []byte{0xff}, true)); err != nil {
		b.Fatal(err)
	}
	return float64(s.db.Metrics().Table.Local.LiveSize)
}

// BenchmarkOpen opens a store with a log of so many events, which tell its clocks.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := openBench(b)
			keys, replicas := keysEverywhere(s, 10_000)
			for i := range n {
				done, err := replicas[i%10_000].Mutate(&Mutation{Key: keys[i%10_000], Op: assign("v"), Async: true})
				if err != nil {
					b.Fatal(err)
				}
				wait(b, done.Commit)
			}
			if err := s.db.Flush(); err != nil {
				b.Fatal(err)
			}
			logged := s.LogBytes()
			shut(b, s)
			for b.Loop() {
				s, err := Open(s.opts)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				shut(b, s)
				b.StartTimer()
			}
			b.ReportMetric(float64(logged)/float64(n), "log-bytes/event")
		})
	}
}
