package storage

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// Options configures Open. Zero fields take the default named beside them.
type Options struct {
	Dir        string                                 // required
	Identity   Identity                               // required: whose data this is
	Hash       func(bucket string, key []byte) uint64 // required: where keys stand in the hash space; never changes
	FS         vfs.FS                                 // the machine's file system
	Wall       func() time.Time                       // time.Now; stamps come from it
	Rand       *rand.Rand                             // seeded by the machine; used under a lock
	CacheBytes int64                                  // block cache; 64 MiB
	MemTable   uint64                                 // bytes of a memtable; 16 MiB
	AsyncSync  time.Duration                          // fsync interval of buckets with async durability; 100 ms
	LogBytes   int64                                  // event log of all replicas, kept at the most; 1 GiB
	LogAge     time.Duration                          // age of the oldest event in the log; 7 days
	Requests   time.Duration                          // how long request ids are remembered; 15 minutes
	DiskLow    uint64                                 // free bytes below which clients' writes are refused; 256 MiB
	Ballast    int64                                  // bytes set aside to free when the disk is full; 16 MiB, negative for none
	Logger     *slog.Logger                           // discards
	Exit       func(code int)                         // os.Exit; called when the disk fails under a write
}

// Identity says whose data a directory holds. A directory is never opened
// under another identity.
type Identity struct {
	Format     int    `json:"format"`
	Cluster    string `json:"cluster"`
	DC         string `json:"dc"`
	Node       string `json:"node"`
	Partitions int    `json:"partitions"` // a power of two
}

// Errors of this package, beside those of crdt.
var (
	// ErrIdentity reports a directory that belongs to another node or version.
	ErrIdentity = errors.New("data directory belongs to someone else")
	// ErrDiskLow reports a write refused because the disk is nearly full.
	ErrDiskLow = errors.New("disk is nearly full")
	// ErrClosed reports a store that has been closed.
	ErrClosed = errors.New("store is closed")
	// ErrPartition reports cells that do not belong to the partition they came for.
	ErrPartition = errors.New("cell is not of this partition")
)

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" || o.Hash == nil {
		return o, errors.New("storage: Dir and Hash are required")
	}
	if p := o.Identity.Partitions; p < 1 || bits.OnesCount(uint(p)) != 1 {
		return o, fmt.Errorf("storage: partitions: %d is not a power of two", p)
	}
	o.Identity.Format = formatVersion
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Exit == nil {
		o.Exit = os.Exit
	}
	o.CacheBytes = cmp.Or(o.CacheBytes, 64<<20)
	o.MemTable = cmp.Or(o.MemTable, 16<<20)
	o.AsyncSync = cmp.Or(o.AsyncSync, 100*time.Millisecond)
	o.LogBytes = cmp.Or(o.LogBytes, 1<<30)
	o.LogAge = cmp.Or(o.LogAge, 7*24*time.Hour)
	o.Requests = cmp.Or(o.Requests, 15*time.Minute)
	o.DiskLow = cmp.Or(o.DiskLow, 256<<20)
	o.Ballast = cmp.Or(o.Ballast, 16<<20)
	return o, nil
}

// Store is the replicas of one node. Safe for concurrent use.
type Store struct {
	opts   Options
	db     *pebble.DB
	cache  *pebble.Cache
	bits   int // of a key hash that name its partition
	stamps stamps
	disk   disk
	async  asyncSync

	mu       sync.Mutex
	replicas map[ReplicaID]*Replica
	loading  bool // replicas made now have data on disk, and no tree yet
	rand     *rand.Rand

	logBytes atomic.Int64
	closed   atomic.Bool
	stop     chan struct{}
	work     sync.WaitGroup
}

// Open opens the directory, or creates it. It refuses one that belongs to
// another node, cluster or format. Close releases it.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, bits: bits.Len(uint(o.Identity.Partitions)) - 1, rand: o.Rand,
		replicas: map[ReplicaID]*Replica{}, stop: make(chan struct{}),
	}
	if err := s.claim(); err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	s.cache = pebble.NewCache(o.CacheBytes)
	if s.db, err = pebble.Open(path.Join(o.Dir, "db"), s.pebbleOptions()); err != nil {
		s.cache.Unref()
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	s.loading = true
	err = s.load()
	s.loading = false
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", o.Dir, err), s.db.Close())
	}
	s.disk.start(s)
	s.work.Go(s.async.run(s))
	s.work.Go(s.buildTrees)
	return s, nil
}

// Close makes everything durable and releases the directory.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.stop)
	s.work.Wait()
	err := errors.Join(s.db.LogData(nil, pebble.Sync), s.db.Close())
	s.cache.Unref()
	return err
}

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS: s.opts.FS, Cache: s.cache, Comparer: comparer,
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       s.opts.MemTable,
		// Two cores: one compaction, two when it falls behind.
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		L0CompactionThreshold:      4,
		Logger:                     &pebbleLogger{s.opts.Logger, s.opts.Exit},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	bottom := len(o.Levels) - 1
	o.Levels[bottom].Compression = func() *sstable.CompressionProfile { return sstable.ZstdCompression }
	return o
}

// claim creates the directory with its identity, or checks the one it has.
func (s *Store) claim() error {
	fs, want := s.opts.FS, s.opts.Identity
	if err := fs.MkdirAll(s.opts.Dir, 0o750); err != nil {
		return err
	}
	name := path.Join(s.opts.Dir, "identity.json")
	f, err := fs.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return writeIdentity(fs, s.opts.Dir, name, want)
	}
	if err != nil {
		return err
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	var have Identity
	if err := json.Unmarshal(b, &have); err != nil {
		return fmt.Errorf("%w: %s is unreadable: %w", ErrIdentity, name, err)
	}
	switch {
	case have.Format != want.Format:
		return fmt.Errorf("%w: it has format %d, this version reads %d", ErrIdentity, have.Format, want.Format)
	case have != want:
		return fmt.Errorf("%w: it holds cluster %q, datacenter %q, node %q with %d partitions; this is cluster %q, datacenter %q, node %q with %d",
			ErrIdentity, have.Cluster, have.DC, have.Node, have.Partitions, want.Cluster, want.DC, want.Node, want.Partitions)
	}
	return nil
}

// writeIdentity writes the file whole or not at all.
func writeIdentity(fs vfs.FS, dir, name string, id Identity) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	f, err := fs.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads the clocks and the residue of every replica, and the last stamp.
func (s *Store) load() error {
	if v, closer, err := s.db.Get(stampKey); err == nil {
		s.stamps.load(v)
		if err := closer.Close(); err != nil {
			return err
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	err := s.each([]byte{tableClock}, after([]byte{tableClock}), func(k, v []byte) error {
		id, rest, err := parseReplica(k)
		if err != nil || len(rest) != 8 {
			return errors.Join(errKey, err)
		}
		rs, err := crdt.DecodeRanges(v)
		if err != nil {
			return fmt.Errorf("clock of %s: %w", id, err)
		}
		r := s.replicaLocked(id)
		for _, x := range rs {
			r.state.Clock.AddRange(crdt.Actor(binary.BigEndian.Uint64(rest)), x.Lo, x.Hi)
		}
		r.durable = r.state.Clock.Clone()
		return nil
	})
	if err != nil {
		return err
	}
	err = s.each([]byte{tableResidue}, after([]byte{tableResidue}), func(k, v []byte) error {
		rec, err := parseSide(k)
		if err != nil {
			return err
		}
		changes, err := crdt.DecodeChanges(v)
		if err != nil {
			return fmt.Errorf("residue: %w", err)
		}
		id := ReplicaID{binary.BigEndian.Uint32(k[1:]), s.partitionOf(rec.hash)}
		s.replicaLocked(id).state.Residue.Restore(changes)
		return nil
	})
	if err != nil {
		return err
	}
	return s.each([]byte{tableLog}, after([]byte{tableLog}), func(k, v []byte) error {
		s.logBytes.Add(int64(len(k) + len(v)))
		return nil
	})
}

// each calls fn for every record from lo up to hi; fn must not keep its arguments.
func (s *Store) each(lo, hi []byte, fn func(k, v []byte) error) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = fn(it.Key(), it.Value())
	}
	return errors.Join(err, it.Error(), it.Close())
}

func (s *Store) partitionOf(hash uint64) uint32 {
	if s.bits == 0 {
		return 0
	}
	return uint32(hash >> (64 - s.bits))
}

// Replica returns the replica of that id; a new one is empty.
func (s *Store) Replica(id ReplicaID) *Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replicaLocked(id)
}

func (s *Store) replicaLocked(id ReplicaID) *Replica {
	r := s.replicas[id]
	if r == nil {
		r = &Replica{store: s, id: id, tree: merkle.New(merkle.LeavesFor(s.opts.Identity.Partitions)), treeReady: !s.loading}
		s.replicas[id] = r
	}
	return r
}

// Replicas lists the replicas that have seen an event, in no order.
func (s *Store) Replicas() []*Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Replica, 0, len(s.replicas))
	for _, r := range s.replicas {
		out = append(out, r)
	}
	return out
}

// DiskBytes is what the database takes on disk.
func (s *Store) DiskBytes() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// LogBytes is what the event log of all replicas holds, before compression.
func (s *Store) LogBytes() int64 { return s.logBytes.Load() }

// newActor mints an actor that the clock does not know. Its upper half names
// the node, so that people can tell whose events they look at.
func (s *Store) newActor(c *crdt.Clock) crdt.Actor {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		a := NodeActor(s.opts.Identity.DC, s.opts.Identity.Node)<<32 | crdt.Actor(s.rand.Uint32())
		if a != 0 && c.Last(a) == 0 {
			return a
		}
	}
}

// NodeActor is the upper half of every actor that a node mints.
func NodeActor(dc, node string) crdt.Actor {
	d := merkle.Sum([]byte(dc + "/" + node))
	return crdt.Actor(binary.BigEndian.Uint32(d[:4]))
}
