package sim

import (
	"math/rand/v2"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system of one life of a node. What was not synced can be
// lost, and syncing the write-ahead log takes time. Safe for concurrent use.
type disk struct {
	vfs.FS // the memory that a crash is cloned from
	mem    *vfs.MemFS
	lies   bool // syncs are not carried out: a planted bug

	syncs   atomic.Int64 // of the log
	slowest atomic.Int64 // nanoseconds that a sync of the log takes at the most; 0 for none
	dying   atomic.Bool  // the power goes during the next sync of the log
	die     func()       // makes it so
	mu      sync.Mutex
	rnd     *rand.Rand
	fast    chan struct{} // closed: no sync takes time any more
	once    sync.Once
}

func newDisk(mem *vfs.MemFS, seed uint64, lies bool, die func()) *disk {
	d := &disk{FS: mem, mem: mem, lies: lies, die: die, rnd: rand.New(rand.NewPCG(seed, 11)), fast: make(chan struct{})}
	return d
}

// syncTime is how long a sync of the log takes at the most, on a disk that is
// not slow, in a cluster where syncs take time.
const syncTime = 3 * time.Millisecond

// lull is how often a sync during which the power goes lets others run first:
// whoever does not wait for it has the time to say so.
const lull = 20

// hurry ends the syncs that take time. It is called before the store is
// closed: Close waits under locks, which stop virtual time.
func (d *disk) hurry() { d.once.Do(func() { close(d.fast) }) }

// wait takes as long as a sync does.
func (d *disk) wait() {
	most := d.slowest.Load()
	if most == 0 || closesLog() {
		return
	}
	d.mu.Lock()
	long := time.Duration(d.rnd.Int64N(most) + 1)
	d.mu.Unlock()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.fast:
	}
}

// closesLog reports whether a sync is that of a log which gives way to the next:
// Pebble then holds locks that others wait for, which would stop virtual time.
func closesLog() bool {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, ".(*LogWriter).closeInternal") {
			return true
		}
		if !more {
			return false
		}
	}
}

// crash is what is left on the disk when the power goes, or, with all of it,
// when only the process does.
func (d *disk) crash(rnd *rand.Rand, unsyncedPercent int) *vfs.MemFS {
	return d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rnd})
}

// Create is a method of vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	return d.file(name, f), err
}

// ReuseForWrite is a method of vfs.FS.
func (d *disk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, category)
	return d.file(newname, f), err
}

// Unwrap is a method of vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// file wraps the log: the one file whose syncs clients wait for.
func (d *disk) file(name string, f vfs.File) vfs.File {
	if f == nil || path.Ext(name) != ".log" {
		return f
	}
	return &logFile{File: f, disk: d}
}

// logFile is a write-ahead log.
type logFile struct {
	vfs.File
	disk *disk
	size int // bytes written, known to the one goroutine that writes and syncs
}

// shortLog is up to which size the syncs of a log take time. Pebble fills a memtable of
// 256 KiB at first, with up to three times the bytes that the log has, then closes
// the log under locks that others wait for, and waits for its sync: with one that
// takes time, virtual time would stand still for ever.
const shortLog = 48 << 10

// Write is a method of vfs.File.
func (f *logFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	f.size += n
	return n, err
}

// Sync is a method of vfs.File.
func (f *logFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData is a method of vfs.File.
func (f *logFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *logFile) sync(carryOut func() error) error {
	if f.disk.dying.CompareAndSwap(true, false) {
		for range lull {
			runtime.Gosched()
		}
		f.disk.die()
	}
	f.disk.syncs.Add(1)
	if f.size <= shortLog {
		f.disk.wait()
	}
	if f.disk.lies {
		return nil
	}
	return carryOut()
}
