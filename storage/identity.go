package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Identity says whose data a directory holds. A directory is never opened
// under another identity.
type Identity struct {
	Format     int    `json:"format"`
	Cluster    string `json:"cluster"`
	DC         string `json:"dc"`
	Node       string `json:"node"`
	Partitions int    `json:"partitions"` // a power of two
}

// claim creates the directory with its identity, or checks the one it has. It
// may be of an older format; see upgrade.
func (s *Store) claim() error {
	fs, want := s.opts.FS, s.opts.Identity
	if err := makeDir(fs, s.opts.Dir); err != nil {
		return err
	}
	name := path.Join(s.opts.Dir, identityFile)
	f, err := fs.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		s.format = formatVersion
		if err := s.begun(); err != nil {
			return err
		}
		return writeIdentity(fs, s.opts.Dir, want)
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
	s.format, have.Format = have.Format, want.Format
	switch {
	case s.format < oldestFormat || s.format > formatVersion:
		return fmt.Errorf("%w: it has format %d, this version reads %d to %d", ErrIdentity, s.format, oldestFormat, formatVersion)
	case have != want:
		return fmt.Errorf("%w: it holds cluster %q, datacenter %q, node %q with %d partitions; this is cluster %q, datacenter %q, node %q with %d",
			ErrIdentity, have.Cluster, have.DC, have.Node, have.Partitions, want.Cluster, want.DC, want.Node, want.Partitions)
	}
	return s.resumed()
}

// upgrade raises the format of a directory that this version could read, before
// it writes anything that an older one would misread.
func (s *Store) upgrade() error {
	if s.format == formatVersion {
		return nil
	}
	if err := writeIdentity(s.opts.FS, s.opts.Dir, s.opts.Identity); err != nil {
		return fmt.Errorf("raise the format from %d to %d: %w", s.format, formatVersion, err)
	}
	s.opts.Logger.Info("data directory is of a new format: versions before this one no longer open it",
		"directory", s.opts.Dir, "from", s.format, "to", formatVersion)
	return nil
}

const identityFile = "identity.json"

// writeIdentity writes the file whole or not at all.
func writeIdentity(fs vfs.FS, dir string, id Identity) error {
	name := path.Join(dir, identityFile)
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
	return syncDir(fs, dir)
}

// makeDir makes a directory and those above it, and makes each name durable:
// a directory that a crash takes away takes everything in it along.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
