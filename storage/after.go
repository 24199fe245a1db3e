package storage

import (
	"slices"

	"github.com/godwitdb/godwit/crdt"
)

// after is the cells of kinds with a number that an event changed at a key of a
// kind, as the batch leaves them: counters and the members of zsets, also within
// maps, whichever of its fields. A run of events may have changed other keys too. The caller holds the lock.
func (t *txn) after(d *crdt.Delta, key crdt.KeyID, kind crdt.Kind) ([]crdt.CellState, error) {
	if d == nil {
		return nil, nil
	}
	var out []crdt.CellState
	for i := range d.Changes {
		id := d.Changes[i].ID
		if id.KeyID != key || id.Kind != kind {
			continue
		}
		switch leaf, _ := id.Leaf(); leaf { //nolint:exhaustive // the others hold no number
		case crdt.Counter, crdt.GCounter, crdt.BCounter, crdt.ZSet:
			s, err := t.slot(id)
			if err != nil {
				return nil, err
			}
			if len(s.cell) > 0 && crdt.PresentCell(id, s.cell) {
				out = append(out, crdt.CellState{ID: id, Live: s.cell})
			}
		}
	}
	slices.SortFunc(out, func(a, b crdt.CellState) int { return a.ID.Compare(b.ID) })
	return out, nil
}
