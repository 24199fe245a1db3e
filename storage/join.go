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
// after that clock, never before it, so pages need no snapshot held open.
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
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, fmt.Errorf("%w: page", crdt.ErrEncoding)
		}
		*place = b[size : size+int(n)]
		b = b[size+int(n):]
	}
	s, err := crdt.DecodeSnapshot(b)
	if err != nil {
		return nil, err
	}
	p.Snapshot = *s
	return &p, nil
}

// ReadPage reads a page of about maxBytes. The first page has no cursor; each
// answer carries the cursor of the next, nil after the last. All of it is
// durable here.
func (r *Replica) ReadPage(cursor []byte, maxBytes int) (*Page, []byte, error) {
	p := &Page{}
	if len(cursor) == 0 {
		p.Clock = r.Durable()
	} else if err := p.resume(cursor); err != nil {
		return nil, nil, err
	}
	lo, hi := hashBounds(tableData, r.id.Placement, r.firstHash(), r.lastHash())
	if p.From != nil {
		lo = append(bytes.Clone(lo[:5]), p.From...)
	}
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
	r.mu.Lock()
	p.Residue = r.state.Residue.Changes() // whole, with every page: it is small, and a fact whenever it is read
	r.mu.Unlock()
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
	n, size := binary.Uvarint(cursor)
	if size <= 0 || n > uint64(len(cursor)-size) {
		return fmt.Errorf("%w: cursor", crdt.ErrEncoding)
	}
	p.From = cursor[size : size+int(n)]
	var err error
	p.Clock, err = crdt.DecodeClock(cursor[size+int(n):])
	return err
}

// ErrJoining reports a second join of a replica that is being joined.
var ErrJoining = errors.New("replica is being joined already")

// Join is a join of a whole partition, a page at a time, while the replica
// goes on serving (rule 5). It ends with Finish, or with Abandon, after which
// nothing of it counts but the cells that were joined.
type Join struct {
	r    *Replica
	next []byte // everything before it is joined
	all  bool
}

// BeginJoin begins to join a snapshot with this clock.
func (r *Replica) BeginJoin(clock crdt.Clock) (*Join, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Transfer != nil {
		return nil, ErrJoining
	}
	j := &Join{r: r}
	r.state.Transfer = &crdt.Transfer{Clock: clock.Clone(), Joined: j.joined}
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
	r.mu.Lock()
	defer r.mu.Unlock()
	if !bytes.Equal(p.From, j.next) {
		return nil, fmt.Errorf("join %s: a page is missing", r.id)
	}
	lo, hi := hashBounds(tableData, r.id.Placement, r.firstHash(), r.lastHash())
	if len(p.From) > 0 {
		lo = append(bytes.Clone(lo[:5]), p.From...)
	}
	if len(p.To) > 0 {
		hi = append(bytes.Clone(lo[:5]), p.To...)
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
	c, err := r.joinCells(theirs, &p.Snapshot)
	if err == nil {
		j.next, j.all = bytes.Clone(p.To), len(p.To) == 0
	}
	return c, err
}

// Finish is rule 4, after the last page.
func (j *Join) Finish() (*Commit, error) {
	r := j.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if !j.all {
		return nil, fmt.Errorf("join %s: pages are missing", r.id)
	}
	clock := r.state.Transfer.Clock
	r.state.Transfer = nil
	r.state.JoinClock(&clock)
	return r.commit(r.newTxn(), clock, nil, nil, false)
}

// Abandon ends a join that cannot be finished. It may be called after Finish.
func (j *Join) Abandon() {
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	if t := j.r.state.Transfer; t != nil && !j.all {
		j.r.state.Transfer = nil
	}
}

// joinCells is rule 3 for cells of which theirs is complete. The caller holds the lock.
func (r *Replica) joinCells(theirs map[crdt.CellID]crdt.Cell, s *crdt.Snapshot) (*Commit, error) {
	t := r.newTxn()
	for id := range theirs {
		if _, err := t.slot(id); err != nil {
			return nil, err
		}
	}
	peer := s.Peer()
	for id, c := range theirs {
		if err := r.state.JoinCell(t, id, c, peer); err != nil {
			return nil, err
		}
	}
	r.state.JoinResidue(s.Residue)
	return r.commit(t, crdt.Clock{}, nil, nil, false)
}

// Repair joins whole keys, as read from another replica: everything it holds
// of them, with its clock and residue (rule 3). The clock is not taken over.
func (r *Replica) Repair(keys []crdt.KeyID, s *crdt.Snapshot) (*Commit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store.closed.Load() {
		return nil, ErrClosed
	}
	theirs := map[crdt.CellID]crdt.Cell{}
	for _, c := range s.Cells {
		theirs[c.ID] = c.Live
	}
	for _, key := range keys {
		hash := r.store.opts.Hash(key.Bucket, []byte(key.Key))
		prefix := appendKey(nil, tableData, r.id.Placement, hash, key)
		err := r.store.each(prefix, after(prefix), func(k, _ []byte) error {
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
	return r.joinCells(theirs, s)
}
