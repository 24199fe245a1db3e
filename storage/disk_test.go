package storage

import (
	"errors"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/godwitdb/godwit/crdt"
)

// fullDisk reports the free space that a test sets.
type fullDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (f *fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free.Load(), TotalBytes: 1 << 40}, nil
}

func TestLowDiskRefusesClientsOnly(t *testing.T) {
	fs := &fullDisk{FS: vfs.NewMem()}
	fs.free.Store(1 << 30)
	w := newWall()
	o := testOptions(fs, w)
	o.DiskLow, o.Ballast = 1<<20, 4<<20
	s := open(t, o)
	r := s.Replica(testID)
	reg, set := testKey("r"), testKey("s")
	first := &Mutation{Key: testKey("c"), Op: add(1), Request: request(w.now(), 1)}
	wait(t, must(r.Mutate(first))(t).Commit)
	mutate(t, r, reg, assign("v"))
	mutate(t, r, set, insert("a", "b"))
	ballast := func() bool {
		_, err := fs.Stat("machine/data/ballast")
		return err == nil
	}
	if !ballast() || s.ReadOnly() {
		t.Fatalf("with space: ballast %t, read only %t", ballast(), s.ReadOnly())
	}

	fs.free.Store(1<<20 - 1)
	s.disk.look(s)
	if ballast() || !s.ReadOnly() {
		t.Fatalf("without space: ballast %t, read only %t", ballast(), s.ReadOnly())
	}
	for name, op := range map[string]*crdt.Op{"put": assign("w"), "insert": insert("c"), "add": add(1)} {
		if _, err := r.Mutate(&Mutation{Key: testKey(name), Op: op}); !errors.Is(err, ErrDiskLow) {
			t.Errorf("%s: %v, want ErrDiskLow", name, err)
		}
	}
	mutate(t, r, reg, del())
	mutate(t, r, set, remove("a"))
	apply(t, r, put(testKey("event"), 5, 1, "of another"))
	if text(t, r, reg) != "" || len(valueOf(t, r, set).Elements) != 1 || text(t, r, testKey("event")) != "of another" {
		t.Error("delete, remove or apply did not work")
	}
	if done, err := r.Mutate(first); err != nil || !done.Repeats {
		t.Errorf("a retry of what was carried out: %+v, %v; refusing it says it was not", done, err)
	}

	fs.free.Store(8 << 20) // above the watermark, too little for the ballast
	s.disk.look(s)
	if ballast() || s.ReadOnly() {
		t.Errorf("with some space: ballast %t, read only %t", ballast(), s.ReadOnly())
	}
	fs.free.Store(1 << 30)
	s.disk.look(s)
	if !ballast() {
		t.Error("the ballast was not put back")
	}
	mutate(t, r, reg, assign("again"))
}

func TestDiskIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fullDisk{FS: vfs.NewMem()}
		fs.free.Store(1 << 30)
		s, err := Open(testOptions(fs, newWall()))
		if err != nil {
			t.Fatal(err)
		}
		fs.free.Store(1)
		time.Sleep(diskEvery + time.Millisecond)
		if !s.ReadOnly() {
			t.Error("low space went unseen for a second")
		}
		shut(t, s)
	})
}

func TestBallastTakesSpaceOnARealDisk(t *testing.T) {
	o := testOptions(vfs.Default, newWall())
	o.Dir, o.Ballast, o.DiskLow = t.TempDir(), 1<<20, 1
	open(t, o)
	info, err := os.Stat(path.Join(o.Dir, "ballast"))
	if err != nil {
		t.Skipf("no ballast: %v (is the disk of the tests full?)", err)
	}
	if taken := allocated(info); taken < 1<<20 {
		t.Errorf("the ballast takes %d bytes of the disk, want 1 MiB", taken)
	}
}

func TestFailingDiskEndsTheProcessOnce(t *testing.T) {
	failing := &errorfs.Toggle{Injector: errorfs.ErrInjected}
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return failing.MaybeError(op)
		}
		return nil
	})
	o := testOptions(errorfs.Wrap(vfs.NewMem(), inject), newWall())
	var codes []int
	var mu sync.Mutex
	exited := make(chan struct{})
	o.Exit = func(code int) {
		mu.Lock()
		defer mu.Unlock()
		if codes = append(codes, code); len(codes) == 1 {
			close(exited)
		}
	}
	s, err := Open(o) // never closed: the process would be gone
	if err != nil {
		t.Fatal(err)
	}
	r := s.Replica(testID)
	mutate(t, r, testKey("k"), assign("before"))
	failing.On()
	acknowledged := make(chan error, 2)
	for range 2 {
		go func() {
			done, err := r.Mutate(&Mutation{Key: testKey("k"), Op: assign("after")})
			if err == nil {
				err = done.Commit.Wait()
			}
			acknowledged <- err
		}()
	}
	select {
	case <-exited:
	case <-time.After(10 * time.Second):
		t.Fatal("Exit was not called", <-acknowledged, <-acknowledged)
	}
	select {
	case err := <-acknowledged:
		if err == nil {
			t.Error("a write was acknowledged that is not on disk")
		}
	case <-time.After(50 * time.Millisecond): // never, as it should be
	}
	mu.Lock()
	defer mu.Unlock()
	if len(codes) != 1 || codes[0] != 1 {
		t.Errorf("Exit was called with %v, want 1 once", codes)
	}
}
