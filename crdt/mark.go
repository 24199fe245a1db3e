package crdt

import "slices"

// Where removing wins, a removal leaves a mark: a live dot like that of an add,
// told apart by its payload. What was added shows only while no mark is live
// beside it. An add takes away the marks that it saw, so it is a removal that
// did not see the add, or was not seen by it, that wins.
//
// A mark is of use while an add that did not see it may still come. Once none
// can, see Settling, an ordinary event drops it with every add beside it.

// The payload of an entry of a kind in which removing wins is one of these bytes.
const (
	addTag  byte = 0
	markTag byte = 1
)

func addEntry(d Dot) Entry  { return Entry{d, []byte{addTag}} }
func markEntry(d Dot) Entry { return Entry{d, []byte{markTag}} }

func (e Entry) marks() bool { return len(e.Payload) == 1 && e.Payload[0] == markTag }

func checkMark(payload []byte) error {
	r := reader{b: payload}
	if r.byte("mark") > markTag && r.err == nil {
		r.fail("neither an add nor a mark")
	}
	return r.done("mark")
}

// unmarked reports whether a cell holds an add and no mark.
func unmarked(c Cell) bool {
	for _, e := range c {
		if e.marks() {
			return false
		}
	}
	return len(c) > 0
}

// ofMarks reports whether the cell is of a kind in which removing wins.
func (id CellID) ofMarks() bool {
	k, _ := id.Leaf()
	return k == RWSet || k == DWFlag
}

// Marks returns the dots of the marks of removals that a cell holds, in order.
func Marks(id CellID, c Cell) []Dot {
	if !id.ofMarks() {
		return nil
	}
	var out []Dot
	for _, e := range c {
		if e.marks() {
			out = append(out, e.Dot)
		}
	}
	return out
}

// DropMarks returns the event that drops the settled marks of some cells, or
// nil where there is none. The cells are in order. With a mark go all adds
// beside it, which have lost to it, and so they must be settled as well: an add
// may have been made where the mark had been taken away before, by an event
// that has not come here. Who has the add and took the mark away has told of
// both, so a settled add would not stand beside the mark. settled must be what
// a Settling of this replica said. Like Mutate it changes nothing; the caller
// applies the event, and keeps it to himself until it is durable: what the
// replica has seen of other events may be lost with a crash, and the event rests on it.
func DropMarks(cells []CellState, settled *Clock, dot Dot) *Delta {
	var changes []Change
	for _, cs := range cells {
		marks := slices.DeleteFunc(Marks(cs.ID, cs.Live), func(d Dot) bool { return !settled.Contains(d) })
		if len(marks) == 0 || slices.ContainsFunc(cs.Live, func(e Entry) bool { return !e.marks() && !settled.Contains(e.Dot) }) {
			continue
		}
		gone := slices.DeleteFunc(slices.Clone(cs.Live), func(e Entry) bool { return e.marks() && !slices.Contains(marks, e.Dot) })
		changes = append(changes, Change{ID: cs.ID, Removes: gone.Dots()})
	}
	if len(changes) == 0 {
		return nil
	}
	return &Delta{Actor: dot.Actor, Lo: dot.Seq, Hi: dot.Seq, Changes: changes}
}
