package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// Expiring is a key with a time at which it is to be hidden, and then removed.
type Expiring struct {
	Key crdt.KeyID
	At  time.Time
	By  crdt.Actor // whose event says so
}

// Expired lists up to limit keys whose time had come before a moment, those
// that expired first to begin with. They are hidden from reads already, unless
// they hold a value that never expires: then it is the time that is to be removed.
func (r *Replica) Expired(before time.Time, limit int) ([]Expiring, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	var out []Expiring
	lo := replicaPrefix(tableExpiry, r.id)
	hi := binary.BigEndian.AppendUint64(replicaPrefix(tableExpiry, r.id), uint64(max(before.UnixMilli(), 0)))
	err := r.store.each(lo, hi, func(k, v []byte) error {
		if len(out) == limit {
			return errEnough
		}
		e, err := parseExpiry(k, v)
		out = append(out, e)
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("list what has expired of %s: %w", r.id, err)
	}
	return out, nil
}

// Expired reports whether the key's time has come: it is to be hidden.
func (a *Answer) Expired(now time.Time) bool {
	at, ok := crdt.ExpiresAt(a.Cells)
	return ok && at <= now.UnixMilli()
}

// refuseExpired asks for a look at the co-owners before a key is given up.
func (t *txn) refuseExpired(m *Mutation, stored []crdt.Kind, now int64) error {
	if m.Looked {
		return nil
	}
	cells, err := crdt.LoadExpiry(t, m.Key, stored)
	if at, ok := crdt.ExpiresAt(cells); ok && at <= now {
		return ErrExpired
	}
	return err
}

func expiryKey(id ReplicaID, at int64, key crdt.KeyID) []byte {
	b := make([]byte, 0, 9+8+1+len(key.Bucket)+len(key.Key))
	b = append(b, replicaPrefix(tableExpiry, id)...)
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = append(b, byte(len(key.Bucket)))
	b = append(b, key.Bucket...)
	return append(b, key.Key...)
}

func parseExpiry(k, v []byte) (Expiring, error) {
	_, rest, err := parseReplica(k)
	if err != nil || len(rest) < 9 || len(rest) < 9+int(rest[8]) || len(v) != 8 {
		return Expiring{}, fmt.Errorf("%w: expiry %x", errKey, k)
	}
	bucket := 9 + int(rest[8])
	return Expiring{
		Key: crdt.KeyID{Bucket: string(rest[9:bucket]), Key: string(rest[bucket:])},
		At:  time.UnixMilli(int64(binary.BigEndian.Uint64(rest))),
		By:  crdt.Actor(binary.BigEndian.Uint64(v)),
	}, nil
}

// writeExpiry keeps the index of what expires, by time.
func (t *txn) writeExpiry(b *pebble.Batch, id crdt.CellID, s *slot) error {
	if id.Kind != crdt.Expiry {
		return nil
	}
	was, wasBy, had := crdt.ExpiryOf(s.was)
	at, by, has := crdt.ExpiryOf(s.cell)
	if had && (!has || at != was) {
		if err := b.Delete(expiryKey(t.r.id, was, id.KeyID), nil); err != nil {
			return err
		}
	}
	if !has || had && at == was && by.Actor == wasBy.Actor {
		return nil
	}
	return b.Set(expiryKey(t.r.id, at, id.KeyID), binary.BigEndian.AppendUint64(nil, uint64(by.Actor)), nil)
}
