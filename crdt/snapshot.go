package crdt

import "encoding/binary"

// Snapshot is cells of one replica with what the replica knew, all at one
// instant: a key, a page of a collection, or a part of a partition.
type Snapshot struct {
	Clock   Clock
	Residue []Change    // of the keys in Cells, or of the whole partition
	Cells   []CellState // not empty; in the order in which they are stored
}

const snapshotVersion = 1

// AppendSnapshot appends the encoding of s to b.
func AppendSnapshot(b []byte, s *Snapshot) []byte {
	b = append(b, snapshotVersion)
	b = AppendClock(b, &s.Clock)
	b = appendChanges(b, s.Residue)
	b = binary.AppendUvarint(b, uint64(len(s.Cells)))
	var last *CellID
	for i := range s.Cells { // as changes that put what lives
		c := &s.Cells[i]
		b = appendChange(b, &Change{ID: c.ID, Puts: c.Live}, last)
		last = &c.ID
	}
	return b
}

// DecodeSnapshot decodes what AppendSnapshot made, and nothing else. Payloads
// alias b.
func DecodeSnapshot(b []byte) (*Snapshot, error) {
	r := reader{b: b}
	if r.byte("version") != snapshotVersion && r.err == nil {
		r.fail("unknown version of a snapshot")
	}
	s := &Snapshot{Clock: r.clock(), Residue: r.changes()}
	cells := r.changes()
	for _, c := range s.Residue {
		if len(c.Puts) > 0 {
			r.fail("residue with live dots")
		}
	}
	if len(cells) > 0 {
		s.Cells = make([]CellState, 0, len(cells))
	}
	for i := range cells {
		c := &cells[i]
		if len(c.Puts) == 0 || len(c.Removes) > 0 || !c.Below.Empty() {
			r.fail("cell of a snapshot with something else than live dots")
			break
		}
		s.Cells = append(s.Cells, CellState{c.ID, c.Puts})
	}
	if err := r.done("snapshot"); err != nil {
		return nil, err
	}
	return s, nil
}

// Peer is the snapshot as rule 3 wants it.
func (s *Snapshot) Peer() *Peer {
	p := &Peer{Clock: s.Clock}
	p.Residue.Restore(s.Residue)
	return p
}

// Kinds lists the kinds in the snapshot, in order, and the cells of each. It
// is for snapshots of one key.
func (s *Snapshot) Kinds() (kinds []Kind, cells map[Kind][]CellState) {
	cells = map[Kind][]CellState{}
	for _, c := range s.Cells {
		if len(cells[c.ID.Kind]) == 0 {
			kinds = append(kinds, c.ID.Kind)
		}
		cells[c.ID.Kind] = append(cells[c.ID.Kind], c)
	}
	return kinds, cells
}
