package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/godwitdb/godwit/crdt"
)

// Page is a part of a partition: everything between two places, with the clock
// that the replica had before the first page was read. Cells are read at or
// after that clock, never before it, so pages need no snapshot held open. The
// residue of the first page is that of the clock, and holds for all pages.
type Page struct {
	From, To []byte // data keys without table and placement; nil is the partition's end
	crdt.Snapshot
}

// AppendPage appends the encoding of p to b.
func AppendPage(b []byte, p *Page) []byte {
	for _, place := range [][]byte{p.From, p.To} {
		b = binary.AppendUvarint(b, uint64(len(place)))
		b = append(b, place...)
	}
	return crdt.AppendSnapshot(b, &p.Snapshot)
}

// DecodePage decodes what AppendPage made.
func DecodePage(b []byte) (*Page, error) {
	var p Page
	for _, place := range []*[]byte{&p.From, &p.To} {
		var err error
		if *place, b, err = cutPlace(b); err != nil {
			return nil, err
		}
	}
	s, err := crdt.DecodeSnapshot(b)
	if err != nil {
		return nil, err
	}
	p.Snapshot = *s
	return &p, nil
}

// cutPlace splits a place off what AppendPage or cursor made.
func cutPlace(b []byte) (place, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) || size > 1 && b[size-1] == 0 {
		return nil, nil, fmt.Errorf("%w: place of a page", crdt.ErrEncoding)
	}
	if n == 0 {
		return nil, b[size:], nil
	}
	return b[size : size+int(n)], b[size+int(n):], nil
}

// ReadPage reads a page of about maxBytes. The first page has no cursor; each
// answer carries the cursor of the next, nil after the last. All of it is
// durable here.
func (r *Replica) ReadPage(cursor []byte, maxBytes int) (*Page, []byte, error) {
	if err := r.store.enter(); err != nil {
		return nil, nil, err
	}
	defer r.store.leave()
	p := &Page{}
	if len(cursor) > 0 {
		if err := p.resume(cursor); err != nil {
			return nil, nil, err
		}
	}
	lo, hi := r.dataBounds(p.From)
	// Residue and clock are of one instant: a dot leaves the one as it enters
	// the other. The residue is whole, with every page: it is small.
	r.mu.Lock()
	p.Residue = r.state.Residue.Changes()
	if len(cursor) == 0 {
		p.Clock = r.state.Clock.Clone() // durable before it is told, see below
	}
	r.mu.Unlock()
	size := 0
	err := r.store.each(lo, hi, func(k, v []byte) error {
		rec, err := parseRecord(k)
		if err != nil {
			return err
		}
		if rec.id.Kind.Collection() && rec.part == partHead {
			return nil
		}
		if size > 0 && size+len(k)+len(v) > maxBytes {
			p.To = bytes.Clone(k[5:])
			return errEnough
		}
		c, err := crdt.DecodeCell(bytes.Clone(v))
		p.Cells = append(p.Cells, crdt.CellState{ID: rec.id, Live: c})
		size += len(k) + len(v)
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, nil, fmt.Errorf("read a page of %s: %w", r.id, err)
	}
	return p, p.cursor(), r.Barrier()
}

// cursor holds the clock of the first page and where the next one begins.
func (p *Page) cursor() []byte {
	if p.To == nil {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(len(p.To)))
	return crdt.AppendClock(append(b, p.To...), &p.Clock)
}

func (p *Page) resume(cursor []byte) error {
	from, rest, err := cutPlace(cursor)
	if err != nil || from == nil {
		return errors.Join(fmt.Errorf("%w: cursor of a page", crdt.ErrEncoding), err)
	}
	p.From = from
	p.Clock, err = crdt.DecodeClock(rest)
	return err
}

// dataBounds returns the keys of the replica's data from a place on.
func (r *Replica) dataBounds(from []byte) (lo, hi []byte) {
	lo, hi = hashBounds(tableData, r.id.Placement, r.firstHash(), r.lastHash())
	if place := append(bytes.Clone(lo[:5]), from...); bytes.Compare(place, lo) > 0 {
		lo = place
	}
	if hi != nil && bytes.Compare(lo, hi) > 0 {
		lo = hi
	}
	return lo, hi
}

// Errors of joins.
var (
	// ErrJoining reports a second join of a replica that is being joined.
	ErrJoining = errors.New("replica is being joined already")
	// ErrJoinEnded reports a page for a join that was finished or abandoned.
	ErrJoinEnded = errors.New("join has ended")
)

// Join is a join of a whole partition, a page at a time, while the replica
// goes on serving (rule 5). It ends with Finish, or with Abandon, after which
// nothing of it counts but the cells that were joined.
type Join struct {
	r        *Replica
	transfer *crdt.Transfer
	residue  crdt.Residue // of the pages so far
	next     []byte       // everything before it is joined
	all      bool
}

// BeginJoin begins to join a snapshot with this clock.
func (r *Replica) BeginJoin(clock crdt.Clock) (*Join, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Transfer != nil {
		return nil, ErrJoining
	}
	j := &Join{r: r}
	j.transfer = &crdt.Transfer{Clock: clock.Clone(), Joined: j.joined}
	r.state.Transfer = j.transfer
	return j, nil
}

// joined is called under the lock.
func (j *Join) joined(id crdt.CellID) bool {
	if j.all || len(j.next) == 0 {
		return j.all
	}
	hash := j.r.store.opts.Hash(id.Bucket, []byte(id.Key))
	return bytes.Compare(cellKey(j.r.id.Placement, hash, id)[5:], j.next) < 0
}

// Page joins the next page (rule 3 for each of its cells, and for the cells
// here that the peer does not have).
func (j *Join) Page(p *Page) (*Commit, error) {
	r := j.r
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := j.under(); err != nil {
		return nil, err
	}
	if j.all || !bytes.Equal(p.From, j.next) {
		return nil, fmt.Errorf("join %s: a page is missing", r.id)
	}
	lo, hi := r.dataBounds(p.From)
	if len(p.To) > 0 {
		hi, _ = r.dataBounds(p.To)
	}
	theirs := make(map[crdt.CellID]crdt.Cell, len(p.Cells))
	for _, c := range p.Cells {
		theirs[c.ID] = c.Live
	}
	err := r.store.each(lo, hi, func(k, _ []byte) error {
		rec, err := parseRecord(k)
		if err == nil && (rec.part == partCell || !rec.id.Kind.Collection()) && theirs[rec.id] == nil {
			theirs[rec.id] = nil // a cell that only this replica has
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	j.residue.Restore(p.Residue)
	c, err := r.joinCells(theirs, &crdt.Peer{Clock: j.transfer.Clock, Residue: j.residue}, p.Residue)
	if err == nil {
		j.next, j.all = bytes.Clone(p.To), len(p.To) == 0
	}
	return c, err
}

// Finish is rule 4, after the last page.
func (j *Join) Finish() (*Commit, error) {
	r := j.r
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := j.under(); err != nil {
		return nil, err
	}
	if !j.all {
		return nil, fmt.Errorf("join %s: pages are missing", r.id)
	}
	clock := j.transfer.Clock
	r.state.Transfer = nil
	r.state.JoinClock(&clock)
	return r.commit(r.newTxn(), clock, nil, nil, false)
}

// Abandon ends a join that cannot be finished. It may be called after Finish.
func (j *Join) Abandon() {
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	if j.under() == nil {
		j.r.state.Transfer = nil
	}
}

// under reports that the join is under way. The caller holds the lock.
func (j *Join) under() error {
	if j.r.state.Transfer != j.transfer {
		return fmt.Errorf("join %s: %w", j.r.id, ErrJoinEnded)
	}
	return nil
}

// joinCells is rule 3 for cells of which theirs is complete, and takes over
// residue. The caller holds the lock.
func (r *Replica) joinCells(theirs map[crdt.CellID]crdt.Cell, peer *crdt.Peer, residue []crdt.Change) (*Commit, error) {
	t := r.newTxn()
	for id := range theirs {
		if _, err := t.slot(id); err != nil {
			return nil, err
		}
	}
	for id, c := range theirs {
		if err := r.state.JoinCell(t, id, c, peer); err != nil {
			return nil, err
		}
	}
	r.state.JoinResidue(residue)
	return r.commit(t, crdt.Clock{}, nil, nil, false)
}

// Repair joins whole keys, as read from another replica: everything it holds
// of them, with its clock and residue (rule 3). The clock is not taken over.
func (r *Replica) Repair(keys []crdt.KeyID, s *crdt.Snapshot) (*Commit, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	theirs := map[crdt.CellID]crdt.Cell{}
	for _, c := range s.Cells {
		theirs[c.ID] = c.Live
	}
	for _, key := range keys {
		hash, err := r.hashOf(key)
		if err != nil {
			return nil, err
		}
		prefix := appendKey(nil, tableData, r.id.Placement, hash, key)
		err = r.store.each(prefix, after(prefix), func(k, _ []byte) error {
			rec, err := parseRecord(k)
			if err == nil && (rec.part == partCell || !rec.id.Kind.Collection()) && theirs[rec.id] == nil {
				theirs[rec.id] = nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return r.joinCells(theirs, s.Peer(), s.Residue)
}
