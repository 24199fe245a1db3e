package crdt

import "slices"

// Merge joins what several replicas hold of the same keys, each complete for
// them, and returns what a replica would hold that had seen all of it, its
// cells in order.
func Merge(snaps ...*Snapshot) *Snapshot {
	var r Replica
	var cells []CellState
	for i, s := range snaps {
		if theirs := inOrder(s.Cells); i == 0 { // nothing is known that could contradict
			cells = theirs
		} else {
			cells = r.joinCells(cells, theirs, s.Peer())
		}
		r.JoinResidue(s.Residue)
		r.JoinClock(&s.Clock)
	}
	if len(snaps) == 1 { // the caller may change what it is given
		cells = slices.Clone(cells)
	}
	return &Snapshot{Clock: r.Clock, Residue: r.Residue.Changes(), Cells: cells}
}

// inOrder returns the cells in order and each once: of several the last one.
func inOrder(cells []CellState) []CellState {
	sorted := true
	for i := 1; i < len(cells) && sorted; i++ {
		sorted = cells[i-1].ID.compare(&cells[i].ID) < 0
	}
	if sorted { // as a replica reads them
		return cells
	}
	out := slices.Clone(cells)
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b CellState) int { return a.ID.compare(&b.ID) })
	return slices.CompactFunc(out, func(a, b CellState) bool { return a.ID == b.ID })
}

// joinCells is rule 3 for all cells of some keys, of which both sides are
// complete and in order. It goes through both once.
func (r *Replica) joinCells(have, theirs []CellState, peer *Peer) []CellState {
	out := make([]CellState, 0, len(have)+len(theirs))
	for len(have) > 0 || len(theirs) > 0 {
		order := len(theirs) - len(have) // where one side is at its end
		if len(have) > 0 && len(theirs) > 0 {
			order = have[0].ID.compare(&theirs[0].ID)
		}
		var at CellState
		var other Cell
		if order <= 0 {
			at, have = have[0], have[1:]
		}
		if order >= 0 {
			at.ID, other, theirs = theirs[0].ID, theirs[0].Live, theirs[1:]
		}
		if at.Live = r.joinCell(at.ID, at.Live, other, peer); len(at.Live) > 0 {
			out = append(out, at)
		}
	}
	return out
}
