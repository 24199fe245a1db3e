package crdt

// An hll is one cell. Its live dots hold sketches: observing merges those that
// are here with what is new into one, under its own dot; sketches made at the
// same time stay side by side, and a reader merges them. Deleting it removes
// the sketches that were observed, not the elements: one made at the same time
// still holds those that it had merged.
var hllRow = kindRow{
	name: "hll",
	check: func(payload []byte) error {
		return eachRegister(payload, func(int, uint8) {})
	},
	mutate: map[OpCode]func(m *mutation) error{
		OpObserve: (*mutation).observeElements,
		OpReset:   (*mutation).unassign,
		OpDelete:  (*mutation).unassign,
	},
	read: func(v *Value, cells []CellState) {
		for _, cs := range cells {
			s, _ := mergeSketches(cs.Live) // cannot fail: payloads are checked when decoded
			v.Estimate = s.estimate()
		}
	},
}

// mergeSketches merges what a cell holds.
func mergeSketches(c Cell) (*sketch, error) {
	s := &sketch{}
	for _, e := range c {
		if err := eachRegister(e.Payload, s.merge); err != nil {
			return s, err
		}
	}
	return s, nil
}

// observeElements changes nothing where nothing is new. An observation is one
// whatever context the client sends.
func (m *mutation) observeElements() error {
	live, err := m.load("")
	if err != nil {
		return err
	}
	s, err := mergeSketches(live)
	if err != nil {
		return err
	}
	changed := false
	for _, e := range m.op.Elements {
		changed = s.observe(e) || changed
	}
	if !changed {
		return nil
	}
	m.changes = append(m.changes, Change{ID: m.id(""), Removes: live.Dots(), Puts: []Entry{{m.dot, s.encode()}}})
	m.result.Changed++
	return nil
}
