package storage

import (
	"fmt"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// disk watches the free space. Below the watermark clients' writes are
// refused, while deletes, repairs and events of others still have room: the
// ballast is freed for them.
type disk struct {
	low  atomic.Bool
	name string // of the ballast
}

// diskEvery is the pause between two looks at the free space.
const diskEvery = time.Second

func (d *disk) start(s *Store) {
	d.name = path.Join(s.opts.Dir, "ballast")
	d.look(s)
	s.work.Go(func() {
		tick := time.NewTicker(diskEvery)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
				d.look(s)
			}
		}
	})
}

func (d *disk) look(s *Store) {
	usage, err := s.opts.FS.GetDiskUsage(s.opts.Dir)
	if err != nil {
		return // a file system in memory has none
	}
	low := usage.AvailBytes < s.opts.DiskLow
	if was := d.low.Swap(low); was != low {
		s.opts.Logger.Warn("disk watermark", "read_only", low, "free_bytes", usage.AvailBytes, "watermark_bytes", s.opts.DiskLow)
	}
	_, err = s.opts.FS.Stat(d.name)
	switch have := err == nil; {
	case low && have:
		err = s.opts.FS.Remove(d.name)
	case !low && !have && s.opts.Ballast > 0 && usage.AvailBytes > s.opts.DiskLow+2*uint64(s.opts.Ballast):
		err = writeBallast(s.opts.FS, d.name, s.opts.Ballast)
	default:
		return
	}
	if err != nil {
		s.opts.Logger.Warn("ballast", "error", err)
	}
}

func writeBallast(fs vfs.FS, name string, size int64) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err := f.Preallocate(0, size); err != nil {
		_ = f.Close() // the error that matters is the first
		return err
	}
	return f.Close()
}

// ReadOnly reports whether clients' writes are refused for lack of space.
func (s *Store) ReadOnly() bool { return s.disk.low.Load() }

// asyncSync makes the writes of buckets with async durability durable, all of
// them with one fsync an interval.
type asyncSync struct {
	mu      sync.Mutex
	waiting map[*Replica]*unsynced
}

// unsynced is what a replica has applied and not made durable.
type unsynced struct {
	gained crdt.Clock
	nth    uint64 // of the last commit
}

func (a *asyncSync) add(c *Commit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[*Replica]*unsynced{}
	}
	u := a.waiting[c.r]
	if u == nil {
		u = &unsynced{}
		a.waiting[c.r] = u
	}
	u.gained.Union(&c.gained)
	u.nth = max(u.nth, c.nth)
}

func (a *asyncSync) run(s *Store) func() {
	return func() {
		tick := time.NewTicker(s.opts.AsyncSync)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
				a.flush(s)
			}
		}
	}
}

func (a *asyncSync) flush(s *Store) {
	a.mu.Lock()
	waiting := a.waiting
	a.waiting = nil
	a.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		s.opts.Logger.Error("async sync", "error", err)
		return
	}
	for r, u := range waiting {
		r.settle(&u.gained, u.nth)
	}
}

// pebbleLogger hands Pebble's messages on. Pebble calls Fatalf when a write to
// its log fails, as on a full disk: what was not acknowledged is lost then, and
// going on could acknowledge what is not on disk, so the process ends.
type pebbleLogger struct {
	log  *slog.Logger
	exit func(code int)
	once sync.Once
}

func (l *pebbleLogger) Infof(string, ...any) {} // compactions and flushes: metrics count them

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("storage engine", "message", fmt.Sprintf(format, args...))
}

func (l *pebbleLogger) Fatalf(format string, args ...any) {
	l.log.Error("storage engine cannot write; ending the process, nothing acknowledged is lost", "message", fmt.Sprintf(format, args...))
	l.once.Do(func() { l.exit(1) })
	select {} // exit does not return; a test's may
}

// NewMemory returns a file system in memory, for data that need not outlive
// the process.
func NewMemory() vfs.FS { return vfs.NewMem() }
