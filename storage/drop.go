package storage

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// hashTables hold a replica's records in the order of key hashes, and
// replicaTables under its placement and partition.
var (
	hashTables    = []byte{tableData, tableResidue, tableScore, tableConflict}
	replicaTables = []byte{tableClock, tableExpiry, tableLog, tableMark, tableRequest}
)

// Generation counts the commits of the replica since the store was opened. It
// is for Drop.
func (r *Replica) Generation() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

// Drop forgets the replica: its cells, clock, log and request ids, in one
// durable batch. It does so only if nothing was committed since generation was
// read, and reports whether it did. Whoever drops has seen the owners cover all
// of it at that generation. A replica that is written to again after this
// begins empty, under a new actor: what it once knew it knows no longer.
func (r *Replica) Drop(generation uint64) (bool, error) {
	if err := r.store.enter(); err != nil {
		return false, err
	}
	defer r.store.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.applied != generation || r.state.Transfer != nil || !r.treeReady {
		return false, nil
	}
	logged, err := r.logSize()
	if err != nil {
		return false, err
	}
	b := r.store.db.NewBatch()
	for _, table := range hashTables {
		lo, hi := hashBounds(table, r.id.Placement, r.firstHash(), r.lastHash())
		err = errors.Join(err, b.DeleteRange(lo, hi, nil))
	}
	for _, table := range replicaTables {
		prefix := replicaPrefix(table, r.id)
		err = errors.Join(err, b.DeleteRange(prefix, after(prefix), nil))
	}
	if err = errors.Join(err, b.Commit(pebble.Sync)); err != nil {
		return false, errors.Join(fmt.Errorf("drop replica %s: %w", r.id, err), b.Close())
	}
	r.store.logBytes.Add(-logged)
	r.state, r.durable, r.actor = crdt.Replica{}, crdt.Clock{}, 0
	r.applied++
	r.synced, r.dropped = r.applied, r.applied
	r.tree.Reset()
	r.keys, r.changed, r.aheadSince, r.contested, r.manyKinds = 0, time.Time{}, time.Time{}, 0, 0
	r.mixed, r.kept = false, heads{}
	return true, b.Close()
}

// ErrDropped reports that what was being read has been dropped meanwhile.
var ErrDropped = errors.New("replica was dropped while it was read")

// still reports ErrDropped if the replica does not have a clock that it had: its
// cells may be gone as well, and cells that lack what their clock contains would
// be taken for deletes.
func (r *Replica) still(had *crdt.Clock) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.state.Clock.Covers(had) {
		return fmt.Errorf("read %s: %w", r.id, ErrDropped)
	}
	return nil
}

// logSize is the size of the replica's log. The caller holds the lock.
func (r *Replica) logSize() (sum int64, err error) {
	prefix := replicaPrefix(tableLog, r.id)
	err = r.store.each(prefix, after(prefix), func(k, v []byte) error {
		sum += int64(len(k) + len(v))
		return nil
	})
	return sum, err
}

// aheadPage is how much is read at once in search of what is ahead.
const aheadPage = 1 << 20

// mixes reports whether a delta carries more than its events: made from a log, it
// holds what lives in its cells, whoever minted that.
func mixes(d *crdt.Delta) bool {
	return slices.ContainsFunc(d.Changes, func(c crdt.Change) bool {
		return slices.ContainsFunc(c.Puts, func(e crdt.Entry) bool {
			return e.Dot.Actor != d.Actor || e.Dot.Seq < d.Lo || e.Dot.Seq > d.Hi
		})
	})
}

// Ahead reports whether the replica holds what whoever covers its clock may not:
// a live dot of an event that has not come, or a removal. Read repair leaves
// such, and so do joins. A replica that has taken nothing but events since the store was opened, or it was dropped, holds nothing of the kind: the
// removals that wait in its residue came with events in its clock. Of others it
// reads the whole partition.
func (r *Replica) Ahead() (bool, error) {
	r.mu.Lock()
	mixed := r.mixed
	r.mu.Unlock()
	if !mixed {
		return false, nil
	}
	var cursor []byte
	for {
		page, next, err := r.ReadPage(cursor, aheadPage)
		if err != nil {
			return false, err
		}
		if len(page.Residue) > 0 {
			return true, nil
		}
		for i := range page.Cells {
			for _, e := range page.Cells[i].Live {
				if !page.Clock.Contains(e.Dot) {
					return true, nil
				}
			}
		}
		if cursor = next; len(cursor) == 0 {
			return false, nil
		}
	}
}

// Empty reports whether the replica knows nothing at all.
func (r *Replica) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Clock.Empty() && r.state.Residue.Empty() && r.keys == 0 && r.treeReady
}
