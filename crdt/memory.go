package crdt

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Memory keeps cells in memory: for tests and for scenarios.
// The zero Memory is empty and ready to use.
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
