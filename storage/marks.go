package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// The marks that removals leave where removing wins are indexed by their dots,
// so that the settled ones are found without reading what holds them.

func markKey(id ReplicaID, d crdt.Dot, cell []byte) []byte {
	b := make([]byte, 0, 9+16+len(cell))
	b = append(b, replicaPrefix(tableMark, id)...)
	b = binary.BigEndian.AppendUint64(b, uint64(d.Actor))
	b = binary.BigEndian.AppendUint64(b, d.Seq)
	return append(b, cell[5:]...) // without table and placement
}

func parseMark(k []byte) (d crdt.Dot, cell crdt.CellID, err error) {
	id, rest, err := parseReplica(k)
	if err != nil || len(rest) < 16 {
		return d, cell, fmt.Errorf("%w: mark %x", errKey, k)
	}
	d = crdt.Dot{Actor: crdt.Actor(binary.BigEndian.Uint64(rest)), Seq: binary.BigEndian.Uint64(rest[8:])}
	rec, err := parseRecord(append(binary.BigEndian.AppendUint32([]byte{tableData}, id.Placement), rest[16:]...))
	return d, rec.id, err
}

// writeMarks keeps the index of marks.
func (t *txn) writeMarks(b *pebble.Batch, id crdt.CellID, s *slot) error {
	was, now := crdt.Marks(id, s.was), crdt.Marks(id, s.cell)
	for _, d := range was {
		if !slices.Contains(now, d) {
			if err := b.Delete(markKey(t.r.id, d, s.key), nil); err != nil {
				return err
			}
		}
	}
	for _, d := range now {
		if !slices.Contains(was, d) {
			if err := b.Set(markKey(t.r.id, d, s.key), nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// HasMarks reports whether the replica holds any mark of a removal.
func (r *Replica) HasMarks() (bool, error) {
	if err := r.store.enter(); err != nil {
		return false, err
	}
	defer r.store.leave()
	prefix := replicaPrefix(tableMark, r.id)
	err := r.store.each(prefix, after(prefix), func(_, _ []byte) error { return errEnough })
	if errors.Is(err, errEnough) {
		return true, nil
	}
	return false, err
}

// DropMarks drops settled marks of up to limit cells, with every add beside
// them, in one event: see crdt.DropMarks for what settled has to be. It
// looks behind a position that the call before returned, and returns where the
// next is to go on, nil at the end. By picks the actors whose marks are meant.
// The event must be given to nobody before the commit is durable; nil Done
// means that there was nothing to drop.
func (r *Replica) DropMarks(settled *crdt.Clock, by func(crdt.Actor) bool, from []byte, limit int) (done *Done, next []byte, err error) {
	if err := r.store.enter(); err != nil {
		return nil, nil, err
	}
	defer r.store.leave()
	ids, next, err := r.settledMarks(settled, by, from, limit)
	if err != nil || len(ids) == 0 {
		return nil, next, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.newTxn()
	cells := make([]crdt.CellState, 0, len(ids))
	for _, id := range ids {
		c, err := t.Load(id)
		if err != nil {
			return nil, nil, err
		}
		cells = append(cells, crdt.CellState{ID: id, Live: c})
	}
	dot := r.nextDot()
	d := crdt.DropMarks(cells, settled, dot)
	if d == nil {
		return nil, next, nil
	}
	if _, err := r.state.Apply(t, d); err != nil {
		return nil, nil, err
	}
	var gained crdt.Clock
	gained.Add(dot)
	c, err := r.commit(t, gained, []*crdt.Delta{d}, nil, false)
	return &Done{Delta: d, Commit: c}, next, err
}

// settledMarks lists cells with settled marks, in order and once each.
func (r *Replica) settledMarks(settled *crdt.Clock, by func(crdt.Actor) bool, from []byte, limit int) (ids []crdt.CellID, next []byte, err error) {
	prefix := replicaPrefix(tableMark, r.id)
	lo := prefix
	if len(from) > 0 {
		lo = append(bytes.Clone(prefix), from...)
	}
	it, err := r.store.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: after(prefix)})
	if err != nil {
		return nil, nil, err
	}
	for ok := it.First(); ok && err == nil; {
		var d crdt.Dot
		var id crdt.CellID
		if d, id, err = parseMark(it.Key()); err != nil {
			break
		}
		seq, some := nextSettled(settled, d)
		switch {
		case !by(d.Actor) || !some:
			ok = it.SeekGE(after(it.Key()[:len(prefix)+8]))
		case seq > d.Seq:
			ok = it.SeekGE(binary.BigEndian.AppendUint64(bytes.Clone(it.Key()[:len(prefix)+8]), seq))
		case len(ids) == limit:
			next, ok = bytes.Clone(it.Key()[len(prefix):]), false
		default:
			ids = append(ids, id)
			ok = it.Next()
		}
	}
	slices.SortFunc(ids, crdt.CellID.Compare)
	return slices.Compact(ids), next, errors.Join(err, it.Error(), it.Close())
}

// nextSettled is the first settled sequence number of an actor from d on.
func nextSettled(settled *crdt.Clock, d crdt.Dot) (uint64, bool) {
	for _, r := range settled.Ranges(d.Actor) {
		if r.Hi >= d.Seq {
			return max(r.Lo, d.Seq), true
		}
	}
	return 0, false
}
