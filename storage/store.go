package storage

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
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
	CacheBytes int64                                  // block cache; 256 MiB
	HeadBytes  int64                                  // of small values and headers kept beside the block cache; an eighth of CacheBytes, 32 MiB at least
	MemTable   uint64                                 // bytes of a memtable; 16 MiB
	AsyncSync  time.Duration                          // fsync interval of buckets with async durability; 100 ms
	LogBytes   int64                                  // event log of all replicas, kept at the most; 1 GiB
	LogAge     time.Duration                          // age of the oldest event in the log; 7 days
	LogKeep    time.Duration                          // how long what every replica has stays in the log for those who watch; not at all
	Requests   time.Duration                          // how long request ids are remembered; 15 minutes
	DiskLow    uint64                                 // free bytes below which clients' writes are refused; 256 MiB
	Ballast    int64                                  // bytes set aside to free when the disk is full; 16 MiB, negative for none
	Logger     *slog.Logger                           // discards
	Arisen     *atomic.Uint64                         // counts conflicts as they arise; nil for none
	Exit       func(code int)                         // os.Exit; called when the disk fails under a write
}

// Errors of this package, beside those of crdt.
var (
	// ErrIdentity reports a directory that belongs to another node or version.
	ErrIdentity = errors.New("data directory belongs to someone else")
	// ErrDiskLow reports a write refused because the disk is nearly full.
	ErrDiskLow = errors.New("disk is nearly full")
	// ErrClosed reports a store that has been closed.
	ErrClosed = errors.New("store is closed")
	// ErrExpired reports a write to a key that has expired here, and may have
	// been extended at a co-owner.
	ErrExpired = errors.New("key has expired")
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
	o.CacheBytes = cmp.Or(o.CacheBytes, 256<<20)
	o.HeadBytes = cmp.Or(o.HeadBytes, max(o.CacheBytes/8, 32<<20))
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
	opts      Options
	db        *pebble.DB
	lock      *pebble.Lock
	cache     *pebble.Cache
	format    int // that the directory had
	bits      int // of a key hash that name its partition
	stamps    stamps
	txns      sync.Pool // *txn
	disk      disk
	async     asyncSync
	arisen    arisenList
	kinds     []crdt.Kind // all that a key may exist as
	feeds     feeds
	unchanged unchanged
	age       func() time.Duration // since the opening, by a clock that nobody sets; a test's own

	mu       sync.Mutex
	replicas map[ReplicaID]*Replica
	count    atomic.Int64 // of replicas
	loading  bool         // replicas made now have data on disk, and no tree yet
	rand     *rand.Rand
	opening  uint64 // another one every time, see Replica.token

	logBytes atomic.Int64
	closed   atomic.Bool

	recovering atomic.Bool   // see Recovering
	gate       sync.RWMutex  // held for reading by every call under way, see enter
	turns      chan struct{} // of changes that are worked out at the same time, see Replica.turn
	stop       chan struct{}
	work       sync.WaitGroup
	failure    *pebbleLogger
}

// Open opens the directory, or creates it. It refuses one that belongs to
// another node, cluster or format. Close releases it.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, bits: bits.Len(uint(o.Identity.Partitions)) - 1, rand: o.Rand, opening: rand.Uint64(),
		replicas: map[ReplicaID]*Replica{}, stop: make(chan struct{}), kinds: crdt.SupportedKinds(),
		failure: &pebbleLogger{log: o.Logger, exit: o.Exit},
		turns:   make(chan struct{}, turnsEach*min(runtime.NumCPU(), runtime.GOMAXPROCS(0))),
	}
	opened := time.Now()
	s.age = func() time.Duration { return time.Since(opened) }
	if err := s.claim(); err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	if err := s.openDatabase(); err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	s.disk.start(s)
	s.work.Go(s.async.run(s))
	s.work.Go(s.buildTrees)
	return s, nil
}

func (s *Store) openDatabase() error {
	dir := path.Join(s.opts.Dir, "db")
	if err := makeDir(s.opts.FS, dir); err != nil {
		return err
	}
	lock, err := pebble.LockDirectory(dir, s.opts.FS)
	if err != nil {
		return fmt.Errorf("lock it (is it open in another process?): %w", err)
	}
	s.cache = pebble.NewCache(s.opts.CacheBytes)
	o := s.pebbleOptions()
	o.Lock = lock
	if s.db, err = pebble.Open(dir, o); err != nil {
		s.cache.Unref()
		return errors.Join(err, lock.Close())
	}
	s.lock = lock
	s.loading = true
	err = errors.Join(s.load(), s.loadAsked(), s.indexScores(), s.indexConflicts())
	if err == nil {
		err = s.upgrade()
	}
	s.loading = false
	if err != nil {
		return errors.Join(err, s.shut())
	}
	return nil
}

func (s *Store) shut() error {
	err := errors.Join(s.db.Close(), s.lock.Close())
	s.cache.Unref()
	return err
}

// enter begins a call that uses the database; the caller ends it with leave.
// It fails once Close has begun, so a call may enter more than once.
func (s *Store) enter() error {
	if s.closed.Load() || !s.gate.TryRLock() {
		return ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.gate.RUnlock() }

// Close makes everything durable and releases the directory. It waits for the
// calls under way; later ones return ErrClosed.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.gate.Lock() // for good
	close(s.stop)
	s.work.Wait()
	return errors.Join(s.db.LogData(nil, pebble.Sync), s.shut())
}

// blockSize is what a read from disk decompresses, in bytes. The user's key stands
// in a block once: of larger blocks, an element of a collection has less to bear.
const blockSize = 8 << 10

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS: s.opts.FS, Cache: s.cache, Comparer: comparer,
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       s.opts.MemTable,
		// Two cores: one compaction, two when it falls behind.
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		L0CompactionThreshold:      4,
		Logger:                     s.failure,
	}
	o.Experimental.SpanPolicyFunc = func([]byte) (pebble.SpanPolicy, []byte, error) {
		// What follows the user's key in ours is no version: all cells are read alike.
		return pebble.SpanPolicy{DisableValueSeparationBySuffix: true}, nil, nil
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = blockSize
	}
	bottom := len(o.Levels) - 1
	// Not Zstandard: that was a third of a node's CPU while it compacted, for 3% of the disk.
	o.Levels[bottom].Compression = func() *sstable.CompressionProfile { return sstable.FastCompression }
	return o
}

// load reads the clock and the residue of every replica, and the last stamp.
func (s *Store) load() error {
	bound, err := s.get(stampKey)
	if err != nil {
		return err
	}
	s.stamps.load(bound)
	if err := s.loadClocks(); err != nil {
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
	return s.loadUnclocked()
}

// loadUnclocked finds the replicas that have cells but no clock yet, as a join
// that was broken off leaves them.
func (s *Store) loadUnclocked() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableData}, UpperBound: after([]byte{tableData})})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		rec, err := parseRecord(it.Key())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		r := s.replicaLocked(ReplicaID{binary.BigEndian.Uint32(it.Key()[1:]), s.partitionOf(rec.hash)})
		_, next := hashBounds(tableData, r.id.Placement, r.firstHash(), r.lastHash())
		ok = next != nil && it.SeekGE(next)
	}
	return errors.Join(it.Error(), it.Close())
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
		r = &Replica{store: s, id: id, tree: merkle.New(merkle.LeavesFor(s.opts.Identity.Partitions)), treeReady: !s.loading, mixed: s.loading}
		s.replicas[id] = r
		s.count.Add(1)
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

// DiskBytes is what the database takes on disk; 0 once the store is closed.
func (s *Store) DiskBytes() uint64 {
	if s.enter() != nil {
		return 0
	}
	defer s.leave()
	return s.db.Metrics().DiskSpaceUsage()
}

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
