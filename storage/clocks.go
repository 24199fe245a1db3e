package storage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// A replica's clock is on disk in two parts, whose union it is between any two
// batches: the records of tableClock, and the events that the entries of its log
// cover. So an event, which leaves an entry, costs no record of the clock. The
// record of an actor is written, as the clock is then, by what gains dots without
// an entry (Join.Finish), and in the batch that deletes entries (Trim). Both hold
// the replica's lock, so a record is never ahead of the events it tells of. A
// replica that is dropped loses both parts at once.
//
// Nobody but an opening reads the records: snapshots and pages tell the clock in
// memory. An opening reads the whole log, which is bounded by Options.LogBytes.

// writeClock puts the records of the actors in of into b, as the clock is now.
// The caller applies b before it gives the lock back.
func (r *Replica) writeClock(b *pebble.Batch, of *crdt.Clock) error {
	for a := range of.All() {
		if err := b.Set(clockKey(r.id, a), crdt.AppendRanges(nil, r.state.Clock.Ranges(a)), nil); err != nil {
			return err
		}
	}
	return nil
}

// loadClocks makes the clocks of all replicas, and sums up the log.
func (s *Store) loadClocks() error {
	err := s.each([]byte{tableClock}, after([]byte{tableClock}), func(k, v []byte) error {
		id, rest, err := parseReplica(k)
		if err != nil || len(rest) != 8 {
			return errors.Join(errKey, err)
		}
		rs, err := crdt.DecodeRanges(v)
		if err != nil {
			return fmt.Errorf("clock of %s: %w", id, err)
		}
		r := s.replicaLocked(id)
		for _, x := range rs {
			r.state.Clock.AddRange(crdt.Actor(binary.BigEndian.Uint64(rest)), x.Lo, x.Hi)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var r *Replica // of the entry before
	err = s.each([]byte{tableLog}, after([]byte{tableLog}), func(k, v []byte) error {
		s.logBytes.Add(int64(len(k) + len(v)))
		id, actor, events, err := logEvents(k, v)
		if err != nil {
			return fmt.Errorf("log of %s: %w", id, err)
		}
		if r == nil || r.id != id {
			r = s.replicaLocked(id)
		}
		r.state.Clock.AddRange(actor, events.Lo, events.Hi)
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range s.replicas {
		r.durable = r.state.Clock.Clone()
	}
	return nil
}

// logEvents tells which events an entry of the log covers.
func logEvents(k, v []byte) (id ReplicaID, actor crdt.Actor, events crdt.Range, err error) {
	id, rest, err := parseReplica(k)
	if err != nil {
		return id, 0, events, err
	}
	_, n := binary.Uvarint(v) // the time
	if n <= 0 || len(rest) != 16 {
		return id, 0, events, fmt.Errorf("%w: log entry %x", errKey, k)
	}
	actor, events, err = crdt.DeltaEvents(v[n:])
	if err == nil && (actor != crdt.Actor(binary.BigEndian.Uint64(rest)) || events.Hi != binary.BigEndian.Uint64(rest[8:])) {
		err = fmt.Errorf("%w: log entry %x tells of %s:%d", errKey, k, actor, events.Hi)
	}
	return id, actor, events, err
}
