package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/zeebo/xxh3"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// keyHash places keys as the ring does: over the bucket with its length, and
// the key.
func keyHash(bucket string, key []byte) uint64 {
	b := binary.AppendUvarint(make([]byte, 0, 256), uint64(len(bucket)))
	b = append(b, bucket...)
	return xxh3.Hash(append(b, key...))
}

const testPartitions = 4

// testID is the replica that most tests use.
var testID = ReplicaID{Placement: 7, Partition: 2}

// testWall is the wall's clock as a test sets it.
type testWall struct{ nanos atomic.Int64 }

func newWall() *testWall {
	w := &testWall{}
	w.nanos.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return w
}

func (w *testWall) now() time.Time          { return time.Unix(0, w.nanos.Load()) }
func (w *testWall) advance(d time.Duration) { w.nanos.Add(int64(d)) }

// opens counts the stores a test process has opened, so that no two draw the
// same actors.
var opens atomic.Uint64

func testOptions(fs vfs.FS, w *testWall) Options {
	return Options{
		Dir: "machine/data", FS: fs, Wall: w.now, Hash: keyHash,
		Identity: Identity{Cluster: "flyway", DC: "north", Node: "n1", Partitions: testPartitions},
		Rand:     rand.New(rand.NewPCG(opens.Add(1), 1)),
		MemTable: 1 << 20, CacheBytes: 1 << 20, Ballast: -1,
	}
}

// open opens a store that the test's end closes, if the test has not.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// openMem opens an empty store in memory.
func openMem(t testing.TB) (*Store, *testWall) {
	t.Helper()
	w := newWall()
	return open(t, testOptions(vfs.NewMem(), w)), w
}

// keysOf returns keys of a bucket that fall into a partition: prefix and a number.
func keysOf(partition uint32, bucket, prefix string, n int) []crdt.KeyID {
	var out []crdt.KeyID
	for i := 0; len(out) < n; i++ {
		k := crdt.KeyID{Bucket: bucket, Key: fmt.Sprintf("%s%d", prefix, i)}
		if uint32(keyHash(bucket, []byte(k.Key))>>62) == partition {
			out = append(out, k)
		}
	}
	return out
}

func testKey(prefix string) crdt.KeyID { return keysOf(testID.Partition, "b", prefix, 1)[0] }

func assign(value string) *crdt.Op {
	return &crdt.Op{Code: crdt.OpAssign, Kind: crdt.Register, Value: []byte(value)}
}

func insert(elements ...string) *crdt.Op {
	return &crdt.Op{Code: crdt.OpInsert, Kind: crdt.Set, Elements: elements}
}

func remove(elements ...string) *crdt.Op {
	return &crdt.Op{Code: crdt.OpRemove, Kind: crdt.Set, Elements: elements}
}

func add(n int64) *crdt.Op { return &crdt.Op{Code: crdt.OpAdd, Kind: crdt.Counter, N: n} }

func del() *crdt.Op { return &crdt.Op{Code: crdt.OpDelete} }

// mutate carries out an operation and waits for the disk.
func mutate(t testing.TB, r *Replica, key crdt.KeyID, op *crdt.Op) *Done {
	t.Helper()
	done, err := r.Mutate(&Mutation{Key: key, Op: op, Looked: true})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, done.Commit)
	return done
}

func wait(t testing.TB, c *Commit) {
	t.Helper()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
}

// must passes on what a call returned that may not fail here.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// apply applies deltas as they come off a wire and waits for the disk.
func apply(t testing.TB, r *Replica, deltas ...*crdt.Delta) {
	t.Helper()
	for i, d := range deltas {
		deltas[i] = must(crdt.DecodeDelta(crdt.AppendDelta(nil, d)))(t)
	}
	wait(t, must(r.Apply(deltas, false))(t))
}

// valueOf reads a key of one kind.
func valueOf(t testing.TB, r *Replica, key crdt.KeyID) crdt.Value {
	t.Helper()
	kinds, cells := must(r.Read(Query{Key: key}))(t).Kinds()
	if len(kinds) == 0 {
		return crdt.Value{}
	}
	return crdt.ReadValue(kinds[0], cells[kinds[0]])
}

// text is a register's value, or "" when there is none.
func text(t testing.TB, r *Replica, key crdt.KeyID) string {
	t.Helper()
	if v := valueOf(t, r, key); len(v.Siblings) > 0 {
		return string(v.Siblings[0].Value)
	}
	return ""
}

// scanned is everything a replica has on disk, read record by record without
// the code under test: cells in order, and what the headers and the tree
// should be.
type scanned struct {
	cells  []crdt.CellState
	keys   int64 // that exist
	leaves []merkle.Digest
}

// scanAll reads a replica's data and holds its headers against its cells.
func scanAll(t testing.TB, r *Replica) scanned {
	t.Helper()
	type sum struct {
		count  int64
		digest merkle.Digest
	}
	var out scanned
	headers, want := map[crdt.CellID]sum{}, map[crdt.CellID]sum{}
	tree := merkle.New(merkle.LeavesFor(r.store.opts.Identity.Partitions))
	lo, hi := hashBounds(tableData, r.id.Placement, r.firstHash(), r.lastHash())
	err := r.store.each(lo, hi, func(k, v []byte) error {
		rec, err := parseRecord(k)
		if err != nil {
			return err
		}
		d := merkle.Sum(slices.Concat(binary.AppendUvarint(nil, uint64(len(k))), k, v))
		if !rec.id.Kind.Collection() || rec.part == partHead {
			tree.Toggle(tree.LeafOf(rec.hash, 2), d)
		}
		head := rec.id
		head.Path = ""
		if rec.id.Kind.Collection() && rec.part == partHead {
			n, size := binary.Uvarint(v)
			if n > 0 {
				out.keys++
			}
			headers[head] = sum{int64(n), merkle.Digest(v[size:])}
			return nil
		}
		c, err := crdt.DecodeCell(slices.Clone(v))
		counts := crdt.PresentCell(rec.id, c)
		switch {
		case rec.id.Kind.Collection():
			s := want[head]
			if counts {
				s.count++
			}
			s.digest.XOR(d)
			want[head] = s
		case counts:
			out.keys++
		}
		if len(c) == 0 {
			err = errors.Join(err, fmt.Errorf("empty cell %v on disk", rec.id))
		}
		out.cells = append(out.cells, crdt.CellState{ID: rec.id, Live: c})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(headers) != len(want) {
		t.Fatalf("%d headers for %d collections", len(headers), len(want))
	}
	for id, h := range headers {
		if h != want[id] {
			t.Fatalf("header of %v says %d cells %s; it has %d, %s", id, h.count, h.digest, want[id].count, want[id].digest)
		}
	}
	slices.SortFunc(out.cells, func(a, b crdt.CellState) int { return a.ID.Compare(b.ID) })
	out.leaves = tree.Leaves()
	return out
}

// checkTree holds the tree and the number of keys against what is on disk.
func checkTree(t testing.TB, r *Replica) {
	t.Helper()
	awaitTree(t, r)
	disk := scanAll(t, r)
	leaves, _ := r.Leaves()
	if !slices.Equal(leaves, disk.leaves) {
		t.Fatalf("tree of %s is not that of its data", r.id)
	}
	if s := r.State(); s.Keys != disk.keys {
		t.Fatalf("%s counts %d keys, it has %d", r.id, s.Keys, disk.keys)
	}
}

// awaitTree waits until the tree has been built after a start.
func awaitTree(t testing.TB, r *Replica) {
	t.Helper()
	eventually(t, "the tree is built", func() bool { return r.State().Ready })
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come true that %s", what)
		}
	}
}

// sameCells reports whether two lists of cells are equal.
func sameCells(a, b []crdt.CellState) bool {
	return slices.EqualFunc(a, b, func(a, b crdt.CellState) bool { return a.ID == b.ID && a.Live.Equal(b.Live) })
}

// durable returns the replica's durable clock, to take its address.
func durable(r *Replica) *crdt.Clock {
	c := r.Durable()
	return &c
}

// records counts the records of a table.
func records(t testing.TB, s *Store, table byte) (n int) {
	t.Helper()
	if err := s.each([]byte{table}, after([]byte{table}), func([]byte, []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}
