package crdt

// A flag is one cell and is on while a live dot is in it: switching it on wins
// over switching it off at the same time, which never saw the dot.
// Source: Shapiro et al., INRIA RR-7506, 2011, after its observed-remove set.
var flagRow = kindRow{
	name:  "flag",
	check: checkNoPayload,
	mutate: map[OpCode]func(m *mutation) error{
		OpSwitch: (*mutation).switchFlag,
		OpReset:  (*mutation).unassign,
		OpDelete: (*mutation).unassign,
	},
	read: func(v *Value, cells []CellState) { v.Flag = len(cells) > 0 },
}

// A dwflag is on while an enabling dot is live and no mark is: switching it off
// at the same time wins. One that is off does not exist, though it may hold a
// mark; deleting it takes the marks that are observed as well.
var dwflagRow = kindRow{
	name:    "dwflag",
	check:   checkMark,
	present: unmarked,
	mutate: map[OpCode]func(m *mutation) error{
		OpSwitch: (*mutation).switchMarked,
		OpReset:  (*mutation).unassign,
		OpDelete: (*mutation).unassign,
	},
	read: func(v *Value, cells []CellState) {
		for _, cs := range cells {
			v.Flag = unmarked(cs.Live)
		}
	},
}

// switchFlag supersedes, when it switches on, what this replica holds, whatever
// context the client sends; when it switches off, what was observed.
func (m *mutation) switchFlag() error {
	if !m.op.On {
		return m.unassign()
	}
	live, err := m.load("")
	if err != nil {
		return err
	}
	m.changes = append(m.changes, Change{ID: m.id(""), Removes: live.Dots(), Puts: []Entry{{Dot: m.dot}}})
	if len(live) == 0 {
		m.result.Changed++
	}
	return nil
}

// switchMarked leaves a mark when it switches off, also where nothing was on:
// it wins over whoever switches on without having seen it.
func (m *mutation) switchMarked() error {
	live, err := m.load("")
	if err != nil {
		return err
	}
	m.putMarked(m.id(""), live, m.op.On)
	return nil
}

// putMarked puts an add or a mark into a cell in which removing wins. An add
// supersedes what this replica holds, a mark what was observed.
func (m *mutation) putMarked(id CellID, live Cell, add bool) {
	ch := Change{ID: id}
	if add {
		ch.Removes, ch.Puts = live.Dots(), []Entry{addEntry(m.dot)}
	} else {
		m.observed(&ch, live)
		ch.Puts = []Entry{markEntry(m.dot)}
	}
	m.changes = append(m.changes, ch)
	if unmarked(live) != add {
		m.result.Changed++
	}
}
