package storage

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// stamps issues hybrid logical time. What was issued survives a restart: a
// bound above it is stored, and moved while half of it is still unused, so
// that no stamp depends on a bound that is only on its way to disk.
type stamps struct {
	mu       sync.Mutex
	issued   crdt.Stamp
	reserved crdt.Stamp
	stored   crdt.Stamp
}

// reserve is how far ahead of the last stamp the stored bound is put, in
// microseconds: a record a second, not one a write.
const reserve = crdt.Stamp(2 * time.Second / time.Microsecond)

// next issues a stamp after seen.
func (s *stamps) next(wall time.Time, seen crdt.Stamp) crdt.Stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.issued = crdt.NextStamp(crdt.Stamp(max(wall.UnixMicro(), 0)), s.issued, seen)
	if s.issued+reserve/2 > s.reserved {
		s.reserved = s.issued + reserve
	}
	return s.issued
}

// store puts the bound into b where it has moved.
func (s *stamps) store(b *pebble.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored == s.reserved {
		return nil
	}
	s.stored = s.reserved
	return b.Set(stampKey, binary.BigEndian.AppendUint64(nil, uint64(s.reserved)), nil)
}

var stampKey = []byte{tableMeta, 's'}

// load takes up where the store was left.
func (s *stamps) load(v []byte) {
	if len(v) == 8 {
		s.issued = crdt.Stamp(binary.BigEndian.Uint64(v))
		s.reserved, s.stored = s.issued, s.issued
	}
}
