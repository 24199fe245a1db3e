package crdt

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Memory keeps cells in memory: for tests, for scenarios and for the join of a
// few answers. The zero Memory is empty and ready to use.
type Memory struct{ cells map[CellID]Cell }

// Load is a method of Cells.
func (m *Memory) Load(id CellID) (Cell, error) { return m.cells[id], nil }

// Store is a method of Cells.
func (m *Memory) Store(id CellID, c Cell) error {
	if len(c) == 0 {
		delete(m.cells, id)
		return nil
	}
	if m.cells == nil {
		m.cells = map[CellID]Cell{}
	}
	m.cells[id] = c
	return nil
}

// Below is a method of Cells.
func (m *Memory) Below(id CellID, fn func(id CellID, c Cell) error) error {
	for _, cs := range m.All() {
		if cs.ID.KeyID == id.KeyID && cs.ID.Kind == id.Kind && strings.HasPrefix(cs.ID.Path, id.Path) {
			if err := fn(cs.ID, cs.Live); err != nil {
				return err
			}
		}
	}
	return nil
}

// All lists the cells in order.
func (m *Memory) All() []CellState {
	out := make([]CellState, 0, len(m.cells))
	for _, id := range slices.SortedFunc(maps.Keys(m.cells), CellID.Compare) {
		out = append(out, CellState{id, m.cells[id]})
	}
	return out
}

// Kinds lists the kinds of which a key has cells and, where they are
// collections, elements: what Mutate wants to know of a key.
func (m *Memory) Kinds(key KeyID) []Kind {
	seen := map[Kind]bool{}
	for id, c := range m.cells {
		if id.KeyID == key && (!id.Kind.Collection() || PresentCell(id, c)) {
			seen[id.Kind] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), cmp.Compare)
}

// Merge joins what several replicas hold of the same keys, each complete for
// them, and returns what a replica would hold that had seen all of it.
func Merge(snaps ...*Snapshot) *Snapshot {
	var r Replica
	var m Memory
	for _, s := range snaps {
		peer := s.Peer()
		theirs := make(map[CellID]Cell, len(s.Cells))
		for _, c := range s.Cells {
			theirs[c.ID] = c.Live
		}
		ids := slices.Concat(slices.Collect(maps.Keys(theirs)), slices.Collect(maps.Keys(m.cells)))
		for _, id := range ids { // a cell joined twice is joined once
			_ = r.JoinCell(&m, id, theirs[id], peer) // Memory has no errors
		}
		r.JoinResidue(s.Residue)
		r.JoinClock(&s.Clock)
	}
	return &Snapshot{Clock: r.Clock, Residue: r.Residue.Changes(), Cells: m.All()}
}
