package storage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What was not synced is not on the disk, and a store lives on such a disk.
func TestVolatile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := Volatile().Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	onDisk := func(want string) {
		t.Helper()
		if b, err := os.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("on disk is %q, %v; want %q", b, err, want)
		}
	}
	write := func(s string) {
		t.Helper()
		if _, err := f.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("abc")
	onDisk("")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	write("def")
	onDisk("abc")
	if info, err := f.Stat(); err != nil || info.Size() != 6 {
		t.Errorf("its size is %v, %v; want 6", info, err)
	}
	write("ghi")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	onDisk("abcdefghi")

	o := testOptions(Volatile(), newWall())
	o.Dir = t.TempDir()
	for _, want := range []int64{1, 2} {
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		done, err := s.Replica(testID).Mutate(&Mutation{Key: testKey("k"), Op: add(1)})
		if err != nil || done.Commit.Wait() != nil || done.Total != want {
			t.Errorf("total %d, %v; want %d", done.Total, err, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
