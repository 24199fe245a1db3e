package crdt

import "slices"

// A set keeps one cell per element, so that the cost of a change does not grow
// with the set. An element is in the set while its cell has a live dot: adding
// wins over a concurrent remove, which never saw the add's dot.
// Source: Brown, Lakhani, Place, "Big(ger) Sets" (PaPoC 2016).
var setRow = kindRow{
	name:       "set",
	collection: true,
	check:      checkNoPayload,
	mutate: map[OpCode]func(m *mutation) error{
		OpInsert: (*mutation).insert,
		OpRemove: (*mutation).remove,
		OpDelete: (*mutation).removeAll,
	},
	read: readSet,
}

// MaxElementBytes is the size of the largest element of a set.
const MaxElementBytes = 64 << 10

// elements returns the operation's elements once each.
func (m *mutation) elements() []string {
	if len(m.op.Elements) == 1 {
		return m.op.Elements
	}
	es := slices.Clone(m.op.Elements)
	slices.Sort(es)
	return slices.Compact(es)
}

// insert supersedes what this replica holds of each element, whatever context
// the client sends: an add is an add.
func (m *mutation) insert() error {
	elements := m.elements()
	m.changes = slices.Grow(m.changes, len(elements))
	for _, e := range elements {
		path := PathOf(e)
		live, err := m.load(path)
		if err != nil {
			return err
		}
		m.changes = append(m.changes, Change{ID: m.id(path), Removes: live.Dots(), Puts: []Entry{{Dot: m.dot}}})
		if len(live) == 0 {
			m.result.Changed++
		}
	}
	return nil
}

func (m *mutation) remove() error {
	for _, e := range m.elements() {
		path := PathOf(e)
		live, err := m.load(path)
		if err != nil {
			return err
		}
		ch := Change{ID: m.id(path)}
		m.observed(&ch, live)
		if len(ch.Removes) == 0 && ch.Below.Empty() {
			continue
		}
		m.changes = append(m.changes, ch)
		if len(live) > 0 {
			m.result.Changed++
		}
	}
	return nil
}

func checkNoPayload(payload []byte) error {
	if len(payload) > 0 {
		r := reader{}
		r.fail("payload where there is none")
		return r.err
	}
	return nil
}

func readSet(v *Value, cells []CellState) {
	for _, cs := range cells {
		if e, _, ok := CutPath(cs.ID.Path); ok {
			v.Elements = append(v.Elements, e)
		}
	}
}
