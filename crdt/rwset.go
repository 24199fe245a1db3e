package crdt

// An rwset keeps a cell per element, as a set does, but removing an element
// wins over adding it at the same time. Deleting the whole removes the adds and
// the marks that are observed and leaves no marks: adds at the same time survive.
// Source: Bieniusa et al., "An Optimized Conflict-free Replicated Set", INRIA
// RR-8083, 2012, for the semantics; the marks are dots as everything else is.
var rwsetRow = kindRow{
	name:       "rwset",
	collection: true,
	check:      checkMark,
	present:    unmarked,
	mutate: map[OpCode]func(m *mutation) error{
		OpInsert: func(m *mutation) error { return m.markElements(true) },
		OpRemove: func(m *mutation) error { return m.markElements(false) },
		OpReset:  (*mutation).removeAll,
		OpDelete: (*mutation).removeAll,
	},
	read: func(v *Value, cells []CellState) {
		for _, cs := range cells {
			if e, _, ok := CutPath(cs.ID.Path); ok && unmarked(cs.Live) {
				v.Elements = append(v.Elements, e)
			}
		}
	},
}

// markElements adds or removes elements. A remove leaves its mark also where
// the element is absent: an add that did not see it may be on its way.
func (m *mutation) markElements(add bool) error {
	for _, e := range m.elements() {
		path := PathOf(e)
		live, err := m.load(path)
		if err != nil {
			return err
		}
		m.putMarked(m.id(path), live, add)
	}
	return nil
}
