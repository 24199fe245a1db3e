package crdt

// Repair and coalesced messages place live dots ahead of the clock. If the
// only replica that held their event is lost, no clock difference tells of
// them ever again. So when an actor is known to be closed, all replicas join
// all cells once, and what is then still in nobody's clock is minted again.

// Orphan returns the first live entry of c that awaits an event which nobody
// has: its actor is closed and the clock, which must be that of a replica that
// has just joined all others, lacks its dot. Runs that were fully reset are left
// alone: they are carried again and again otherwise. Marks of removals are not.
func (r *Replica) Orphan(id CellID, c Cell, closed func(Actor) bool) (Entry, bool) {
	for _, e := range c {
		if closed(e.Dot.Actor) && !r.Clock.Contains(e.Dot) && (id.row().carry == nil || PresentCell(id, Cell{e})) {
			return e, true
		}
	}
	return Entry{}, false
}

// Remint returns the event that gives the first orphan of each cell a dot of
// its own, or nil if there are no orphans. The cells are of one key, in order.
// One replica mints it, and goes on until nil: a cell may hold several. Like
// Mutate it changes nothing; the caller applies the event.
func (r *Replica) Remint(cells []CellState, closed func(Actor) bool, dot Dot) *Delta {
	var changes []Change
	for _, cs := range cells {
		e, ok := r.Orphan(cs.ID, cs.Live, closed)
		if !ok {
			continue
		}
		changes = append(changes, cs.carry(e, dot))
	}
	if len(changes) == 0 {
		return nil
	}
	return &Delta{Actor: dot.Actor, Lo: dot.Seq, Hi: dot.Seq, Changes: changes}
}

// carry gives what an entry holds the new dot.
func (cs CellState) carry(e Entry, dot Dot) Change {
	ch := Change{ID: cs.ID}
	if carry := cs.ID.row().carry; carry != nil {
		if left, carried := carry(e.Payload); left != nil {
			ch.Puts = Cell{{e.Dot, left}}.with(Entry{dot, carried})
			cs.carryAlong(&ch, e)
			return ch
		}
	}
	ch.Removes, ch.Puts = []Dot{e.Dot}, []Entry{{dot, e.Payload}}
	return ch
}

func (cs CellState) carryAlong(ch *Change, e Entry) {
	rests := cs.ID.row().rests
	if rests == nil {
		return
	}
	for _, o := range rests(cs.Live, e) {
		if o.Dot != e.Dot {
			ch.Puts = Cell(ch.Puts).with(o)
		}
	}
}
