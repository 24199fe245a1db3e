package crdt

// Where removing wins, a removal leaves a mark: a live dot like that of an add,
// told apart by its payload. What was added shows only while no mark is live
// beside it. An add takes away the marks that it saw, so it is a removal that
// did not see the add, or was not seen by it, that wins.

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
