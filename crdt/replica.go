package crdt

import (
	"fmt"
	"slices"
)

// Cells is where the rules find and leave the cells of one partition. What is
// stored is seen by the next load. An error of a method ends the rule with it;
// the caller then throws away everything the rule has stored.
type Cells interface {
	// Load returns the cell, empty when there is none. The rule does not change it.
	Load(id CellID) (Cell, error)
	// Store replaces the cell; an empty one is deleted.
	Store(id CellID, c Cell) error
	// Below calls fn for every cell of the key and kind whose path begins with
	// id.Path, in order of their paths. fn may store the cell it was given.
	Below(id CellID, fn func(id CellID, c Cell) error) error
}

// Replica is what one replica of a partition knows beside its cells: its clock
// and its residue. The rules of docs/architecture.md are its methods. The zero Replica
// has seen nothing.
type Replica struct {
	Clock   Clock
	Residue Residue
	// Transfer is the join under way, or nil.
	Transfer *Transfer
}

// Transfer is a join that takes time while events go on arriving. For the
// cells joined so far the snapshot's clock counts as seen when a dot is to be
// added; for the others it does not, until all are joined (rule 5).
type Transfer struct {
	Clock  Clock                // of the snapshot that is being joined
	Joined func(id CellID) bool // whether a cell has been joined
}

// saw reports whether the effect of d on the cell is already in the replica.
func (r *Replica) saw(id CellID, d Dot) bool {
	return r.Clock.Contains(d) || r.Transfer != nil && r.Transfer.Clock.Contains(d) && r.Transfer.Joined(id)
}

// Apply is rule 2, for one event or a coalesced run of them. It reports
// whether the replica had not seen all of it. Applying is idempotent, and
// deltas may come in any order and more than once.
func (r *Replica) Apply(cells Cells, d *Delta) (bool, error) {
	if r.Clock.ContainsRange(d.Actor, d.Lo, d.Hi) {
		return false, nil
	}
	for i := range d.Changes {
		if err := r.applyChange(cells, d, &d.Changes[i]); err != nil {
			return false, fmt.Errorf("apply %s:%d-%d: %w", d.Actor, d.Lo, d.Hi, err)
		}
	}
	r.Clock.AddRange(d.Actor, d.Lo, d.Hi)
	if !r.Residue.Empty() {
		var covered Clock
		covered.AddRange(d.Actor, d.Lo, d.Hi)
		r.Residue.dropCovered(&covered)
	}
	return true, nil
}

func (r *Replica) applyChange(cells Cells, d *Delta, ch *Change) error {
	if !ch.Below.Empty() {
		if err := r.removeBelow(cells, ch); err != nil {
			return err
		}
	}
	if len(ch.Removes) == 0 && len(ch.Puts) == 0 {
		return nil
	}
	have, err := cells.Load(ch.ID)
	if err != nil {
		return err
	}
	cell := have.without(ch.Removes, len(ch.Puts))
	for _, dot := range ch.Removes {
		own := dot.Actor == d.Actor && d.Lo <= dot.Seq && dot.Seq <= d.Hi
		if !own && !r.Clock.Contains(dot) {
			r.Residue.addDot(ch.ID, dot)
		}
	}
	for _, e := range ch.Puts {
		cell = r.put(ch.ID, cell, e)
	}
	if cell.Equal(have) {
		return nil
	}
	return cells.Store(ch.ID, cell)
}

// put adds a live dot unless it is known to be dead. Where both hold the dot
// their payloads are joined: that is how the totals of a counter's run grow.
func (r *Replica) put(id CellID, cell Cell, e Entry) Cell {
	if i, live := cell.find(e.Dot); live {
		return joinPayload(id, cell, i, e)
	}
	if !r.awaits(id, e) {
		return cell
	}
	return cell.with(e)
}

// awaits reports whether a live dot that the cell lacks belongs into it.
func (r *Replica) awaits(id CellID, e Entry) bool {
	return !r.saw(id, e.Dot) && !r.Residue.Contains(id, e)
}

// joinPayload changes cell in place: it belongs to the rule under way.
func joinPayload(id CellID, cell Cell, i int, e Entry) Cell {
	if join := id.row().join; join != nil {
		cell[i].Payload = join(cell[i].Payload, e.Payload)
	}
	return cell
}

// removeBelow deletes every dot at or below the path that the clock contains.
func (r *Replica) removeBelow(cells Cells, ch *Change) error {
	err := cells.Below(ch.ID, func(id CellID, c Cell) error {
		left := slices.DeleteFunc(slices.Clone(c), func(e Entry) bool { return ch.Below.Contains(e.Dot) && !id.spares(e) })
		if len(left) == len(c) {
			return nil
		}
		return cells.Store(id, left)
	})
	if err != nil {
		return err
	}
	if ahead := Difference(&ch.Below, &r.Clock); !ahead.Empty() {
		r.Residue.addBelow(ch.ID, &ahead)
	}
	return nil
}

// Peer is what a peer knew, at the moment its cells were read (rule 3).
type Peer struct {
	Clock   Clock
	Residue Residue
}

// saw reports whether a dot that the peer lacks has been live there, or never will be.
func (p *Peer) saw(id CellID, e Entry) bool {
	return p.Clock.Contains(e.Dot) || p.Residue.Contains(id, e)
}

// JoinCell is rule 3 for one cell: theirs is the peer's, empty when it has
// none. The peer's residue must be taken over as well, by JoinResidue.
func (r *Replica) JoinCell(cells Cells, id CellID, theirs Cell, peer *Peer) error {
	have, err := cells.Load(id)
	if err != nil {
		return err
	}
	cell := r.joinCell(id, have, theirs, peer)
	if cell.Equal(have) {
		return nil
	}
	return cells.Store(id, cell)
}

// joinCell is rule 3 without the cells. Where one of the two is the result,
// that one is returned, not a copy: most cells of a join are alike, or new.
func (r *Replica) joinCell(id CellID, have, theirs Cell, peer *Peer) Cell {
	switch {
	case have.Equal(theirs):
		return have
	case len(theirs) == 0 && !slices.ContainsFunc(have, func(e Entry) bool { return peer.saw(id, e) }):
		return have
	case len(have) == 0 && !slices.ContainsFunc(theirs, func(e Entry) bool { return !r.awaits(id, e) }):
		return theirs
	}
	cell := make(Cell, 0, len(have)+len(theirs))
	for _, e := range have {
		if !theirs.Has(e.Dot) && peer.saw(id, e) {
			if !r.Clock.Contains(e.Dot) {
				r.Residue.addDot(id, e.Dot)
			}
			continue
		}
		cell = append(cell, e)
	}
	for _, e := range theirs {
		cell = r.put(id, cell, e)
	}
	return cell
}

// JoinResidue takes over what a peer's residue says of the given cells, which
// have been joined: what the own clock lacks.
func (r *Replica) JoinResidue(residue []Change) { r.Residue.add(residue, &r.Clock) }

// JoinClock is rule 4. It may be called only after every cell of the partition
// has been joined with the peer at this clock.
func (r *Replica) JoinClock(c *Clock) {
	r.Clock.Union(c)
	r.Residue.dropCovered(c)
}
