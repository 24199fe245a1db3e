package storage

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A directory is recovering from before it can be used until it is called recovered,
// however often it is opened meanwhile, and wherever the power goes.
func TestNewDirectoryIsRecovering(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := testOptions(fs, newWall())
	o.FS = fs
	s := open(t, o)
	if !s.Recovering() {
		t.Error("a new directory should be recovering")
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	shut(t, s)

	o.FS = crashed
	s = open(t, o)
	if !s.Recovering() {
		t.Error("it should be recovering after a power failure")
	}
	if err := s.Recovered(); err != nil {
		t.Fatal(err)
	}
	if s.Recovering() {
		t.Error("it was called recovered")
	}
	crashed = crashed.CrashClone(vfs.CrashCloneCfg{})
	shut(t, s)

	o.FS = crashed
	s = open(t, o)
	if s.Recovering() {
		t.Error("it was called recovered before the power failure")
	}
	if err := s.Recovered(); err != nil {
		t.Errorf("once more: %v", err)
	}
	shut(t, s)
	if err := s.Recovered(); err == nil {
		t.Error("a closed store should not be called recovered")
	}
}
