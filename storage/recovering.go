package storage

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recoveringFile stands in a directory from before it has an identity until
// Recovered. What a node held under this identity before, it has not.
const recoveringFile = "recovering"

// Recovering reports whether the directory was made anew, or Recover was called, and
// it has not been called Recovered since. The node may have had another one, and have acknowledged what was
// in that: until it has that from others, its replicas prove nothing by what they lack.
func (s *Store) Recovering() bool { return s.recovering.Load() }

// Recovered notes durably that the replicas have all that they had in a directory
// before this one, or were meant to have.
func (s *Store) Recovered() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	fs, dir := s.opts.FS, s.opts.Dir
	if err := fs.Remove(path.Join(dir, recoveringFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("note that %s is recovered: %w", dir, err)
	}
	if err := syncDir(fs, dir); err != nil {
		return fmt.Errorf("note that %s is recovered: %w", dir, err)
	}
	s.recovering.Store(false)
	return nil
}

// Recover notes durably that the directory is an older copy of the node's: its
// replicas lack what it acknowledged since.
func (s *Store) Recover() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.begun(); err != nil {
		return fmt.Errorf("note that %s is recovering: %w", s.opts.Dir, err)
	}
	return nil
}

// begun makes the mark of a new directory durable.
func (s *Store) begun() error {
	fs, dir := s.opts.FS, s.opts.Dir
	f, err := fs.Create(path.Join(dir, recoveringFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	s.recovering.Store(true)
	return errors.Join(f.Sync(), f.Close(), syncDir(fs, dir))
}

// resumed finds whether the directory had the mark when it was closed.
func (s *Store) resumed() error {
	_, err := s.opts.FS.Stat(path.Join(s.opts.Dir, recoveringFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	s.recovering.Store(err == nil)
	return err
}
