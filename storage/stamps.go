package storage

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// stamps issues hybrid logical time. What was issued survives a restart: a
// bound above it is stored. The bound is in the database's log before any
// stamp below it is given out, so an event that is durable has a durable bound.
type stamps struct {
	mu     sync.Mutex
	issued crdt.Stamp
	bound  crdt.Stamp
}

// reserve is how far ahead of the last stamp the stored bound is put, in
// microseconds: a record every two seconds, not one a write.
const reserve = crdt.Stamp(2 * time.Second / time.Microsecond)

// next issues a stamp after seen.
func (s *stamps) next(db *pebble.DB, wall time.Time, seen crdt.Stamp) (crdt.Stamp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	issued := crdt.NextStamp(crdt.Stamp(max(wall.UnixMicro(), 0)), s.issued, seen)
	if issued > s.bound {
		bound := issued + reserve
		if err := db.Set(stampKey, binary.BigEndian.AppendUint64(nil, uint64(bound)), pebble.NoSync); err != nil {
			return 0, fmt.Errorf("keep the bound of stamps: %w", err)
		}
		s.bound = bound
	}
	s.issued = issued
	return issued, nil
}

var stampKey = []byte{tableMeta, 's'}

// load takes up where the store was left.
func (s *stamps) load(v []byte) {
	if len(v) == 8 {
		s.issued = crdt.Stamp(binary.BigEndian.Uint64(v))
		s.bound = s.issued
	}
}
