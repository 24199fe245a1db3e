package storage

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// metaPrefix begins the keys of what the layers above keep under a name.
const metaPrefix = "m/"

func metaKey(name string) []byte { return append([]byte{tableMeta}, metaPrefix+name...) }

// SetMeta keeps a value under a name, in place of the one before. It is durable
// when SetMeta returns.
func (s *Store) SetMeta(name string, value []byte) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.db.Set(metaKey(name), value, pebble.Sync); err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// Meta returns what is kept under a name; nil where there is nothing.
func (s *Store) Meta(name string) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.get(metaKey(name))
}
