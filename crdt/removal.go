package crdt

import "slices"

// removeAll is the delete of a collection: one small event, whatever its size.
func (m *mutation) removeAll() error {
	before := len(m.changes)
	if err := m.removeBelow(m.id("")); err != nil {
		return err
	}
	if len(m.changes) > before {
		m.result.Changed++
	}
	return nil
}

// removeBelow removes what is observed at and below a path: of the client, if
// it says so, else of this replica.
func (m *mutation) removeBelow(at CellID) error {
	ch := Change{ID: at}
	if c := m.op.Context; c != nil {
		ch.Below = c.Clock.Clone()
		for _, d := range c.Dots {
			ch.Below.Add(d)
		}
		if err := m.refuseSpared(at); err != nil {
			return err
		}
	} else if err := m.observeBelow(&ch); err != nil {
		return err
	}
	if !ch.Below.Empty() {
		m.change(ch)
	}
	return nil
}

// observeBelow covers what is live: all that the clock contains and, cell by
// cell, the dots that stand ahead of it. Those may be of events that also
// touched elements which this replica has not seen, and must not lose. Entries
// that a removal spares are released one by one.
func (m *mutation) observeBelow(ch *Change) error {
	known := &m.replica.Clock
	return m.cells.Below(ch.ID, func(id CellID, c Cell) error {
		spared := slices.DeleteFunc(slices.Clone(c), func(e Entry) bool { return !id.spares(e) })
		plain := slices.DeleteFunc(slices.Clone(c), id.spares)
		ahead := slices.DeleteFunc(plain.Dots(), known.Contains)
		if len(ahead) < len(plain) && ch.Below.Empty() {
			ch.Below = known.Clone()
		}
		own := Change{ID: id, Removes: ahead}
		if len(spared) > 0 {
			if id.row().release == nil {
				return ErrPermanent
			}
			var ends []Dot
			ends, own.Puts = id.row().release(spared, m.dot.Actor)
			own.Removes = append(own.Removes, ends...)
			slices.SortFunc(own.Removes, Dot.Compare)
		}
		if len(own.Removes) > 0 || len(own.Puts) > 0 {
			m.change(own)
		}
		return nil
	})
}

// refuseSpared refuses a context where there are totals: it says which dots the
// client saw, not how far each total had come. A run of which nothing is left
// to take back is no obstacle.
func (m *mutation) refuseSpared(at CellID) error {
	return m.cells.Below(at, func(id CellID, c Cell) error {
		if slices.ContainsFunc(c, func(e Entry) bool { return id.spares(e) && PresentCell(id, Cell{e}) }) {
			if id.row().release == nil {
				return ErrPermanent
			}
			return ErrNoContext
		}
		return nil
	})
}

// change adds a change to the event. One cell has one change: a removal of what
// lies below a cell's own path is joined with what is done to the cell.
func (m *mutation) change(ch Change) {
	i := slices.IndexFunc(m.changes, func(c Change) bool { return c.ID == ch.ID })
	if i < 0 {
		m.changes = append(m.changes, ch)
		return
	}
	m.changes[i].unite(&ch)
}

// unite puts another change of the same cell into c.
func (c *Change) unite(o *Change) {
	c.Removes = slices.Compact(slices.SortedFunc(slices.Values(slices.Concat(c.Removes, o.Removes)), Dot.Compare))
	c.Below.Union(&o.Below)
	for _, e := range o.Puts {
		if !Cell(c.Puts).Has(e.Dot) { // else it is the same release: a field may be named twice
			c.Puts = Cell(c.Puts).with(e)
		}
	}
}
