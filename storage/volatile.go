package storage

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Volatile is the machine's file system with a cache of its own that dies with
// the process: what a file was given and was not synced stays in memory. So to
// kill the process is to cut the power of its machine, but that names of files
// are durable at once. It is for tests of real processes.
func Volatile() vfs.FS { return volatile{vfs.Default} }

type volatile struct{ vfs.FS }

// Create is a method of vfs.FS.
func (v volatile) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return heldBack(v.FS.Create(name, category))
}

// ReuseForWrite is a method of vfs.FS.
func (v volatile) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return heldBack(v.FS.ReuseForWrite(oldname, newname, category))
}

// Unwrap is a method of vfs.FS.
func (v volatile) Unwrap() vfs.FS { return v.FS }

func heldBack(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &volatileFile{File: f}, nil
}

// heldMost bounds what a file holds back; a machine writes back at some time, too.
const heldMost = 8 << 20

// volatileFile holds back what it is given until somebody asks for it.
type volatileFile struct {
	vfs.File
	mu   sync.Mutex
	held []byte
}

// Write is a method of vfs.File.
func (f *volatileFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, b...)
	if len(f.held) < heldMost {
		return len(b), nil
	}
	return len(b), f.release()
}

// release writes what is held back. The caller holds the lock.
func (f *volatileFile) release() error {
	if len(f.held) == 0 {
		return nil
	}
	_, err := f.File.Write(f.held)
	f.held = f.held[:0]
	return err
}

// after carries out what needs the whole file.
func (f *volatileFile) after(then func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.release(), then())
}

// Sync is a method of vfs.File.
func (f *volatileFile) Sync() error { return f.after(f.File.Sync) }

// SyncData is a method of vfs.File.
func (f *volatileFile) SyncData() error { return f.after(f.File.SyncData) }

// SyncTo is a method of vfs.File. It promises nothing, and so does nothing.
func (f *volatileFile) SyncTo(int64) (bool, error) { return false, nil }

// Close is a method of vfs.File.
func (f *volatileFile) Close() error { return f.after(f.File.Close) }

// Read is a method of vfs.File.
func (f *volatileFile) Read(b []byte) (n int, err error) {
	err = f.after(func() error {
		n, err = f.File.Read(b)
		return err
	})
	return n, err
}

// ReadAt is a method of vfs.File.
func (f *volatileFile) ReadAt(b []byte, at int64) (n int, err error) {
	err = f.after(func() error {
		n, err = f.File.ReadAt(b, at)
		return err
	})
	return n, err
}

// WriteAt is a method of vfs.File.
func (f *volatileFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.after(func() error {
		n, err = f.File.WriteAt(b, at)
		return err
	})
	return n, err
}

// Stat is a method of vfs.File.
func (f *volatileFile) Stat() (info vfs.FileInfo, err error) {
	err = f.after(func() error {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

// Fd is a method of vfs.File: whoever writes past this file would write past
// what it holds back.
func (f *volatileFile) Fd() uintptr { return vfs.InvalidFd }
