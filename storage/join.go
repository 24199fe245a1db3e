package storage

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

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
	begun    bool         // there was a page, and the transfer has its clock
	next     []byte       // everything before it is joined
	all      bool
	asked    []merkle.Digest // leaves as Ask told them, from the one at which next stands or stood before
	first    int             // of them
	down     *descent        // after Descend
}

// BeginJoin begins to join what another replica holds. Its pages are asked for
// with Ask.
func (r *Replica) BeginJoin() (*Join, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Transfer != nil {
		return nil, ErrJoining
	}
	r.mixed = true
	j := &Join{r: r}
	j.transfer = &crdt.Transfer{Joined: j.joined}
	r.state.Transfer = j.transfer
	return j, nil
}

// Whole reports whether every page has been joined.
func (j *Join) Whole() bool {
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	return j.all
}

// Clock is the clock that Finish takes over, empty before the first page or step
// was taken. The caller must not change it.
func (j *Join) Clock() *crdt.Clock {
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	return &j.transfer.Clock
}

// joined is called under the lock.
func (j *Join) joined(id crdt.CellID) bool {
	if j.all || len(j.next) == 0 && j.down == nil {
		return j.all
	}
	hash := j.r.store.opts.Hash(id.Bucket, []byte(id.Key))
	if j.down != nil && j.down.joined[j.r.tree.LeafOf(hash, j.r.store.bits)] {
		return true
	}
	return len(j.next) > 0 && bytes.Compare(cellKey(j.r.id.Placement, hash, id)[5:], j.next) < 0
}

// Page joins the next page (rule 3 for each of its cells, and for the cells
// here that the peer does not have). Leaves that the peer found equal count as
// joined now, as far as they are here what Ask told and neither side holds
// residue in them; where one is not, the rest of the page is left to the next.
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
	if !j.begun { // nothing counts as joined before this page is
		j.begun, j.transfer.Clock = true, p.Clock.Clone()
	}
	j.residue.Restore(p.Residue)
	from := p.From
	if p.Skip > 0 {
		skipped, err := j.skip(p)
		if err != nil {
			return nil, err
		}
		if skipped < p.Skip || j.all {
			r.state.JoinResidue(p.Residue)
			return r.commit(r.newTxn(), crdt.Clock{}, nil, nil, false)
		}
		from = j.next
	}
	lo, hi := r.dataBounds(from)
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
	c, err := r.joinCells(theirs, &crdt.Peer{Clock: j.transfer.Clock, Residue: j.residue}, p.Residue, false)
	if err == nil {
		j.next, j.all = bytes.Clone(p.To), len(p.To) == 0
	}
	return c, err
}

// skip counts leaves as joined that are equal at both sides, and returns how
// many. The caller holds the lock.
func (j *Join) skip(p *Page) (int, error) {
	r := j.r
	if p.Skip > len(j.asked) || !bytes.Equal(j.next, r.leafPlace(j.first)) && (j.first != 0 || len(j.next) != 0) {
		return 0, fmt.Errorf("join %s: %w: page skips %d leaves, %d were told", r.id, crdt.ErrEncoding, p.Skip, len(j.asked))
	}
	waiting := r.leavesWithResidue()
	for _, ch := range p.Residue {
		waiting[r.leafOf(ch.ID.KeyID)] = true
	}
	n := 0
	for n < p.Skip && r.treeReady && !waiting[j.first+n] && r.tree.Leaf(j.first+n) == j.asked[n] {
		n++
	}
	if n > 0 {
		j.next, j.all = r.leafPlace(j.first+n), j.first+n == r.tree.Len()
	}
	return n, nil
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
func (r *Replica) joinCells(theirs map[crdt.CellID]crdt.Cell, peer *crdt.Peer, residue []crdt.Change, async bool) (*Commit, error) {
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
	r.noteAhead(t)
	return r.commit(t, crdt.Clock{}, nil, nil, async)
}

// Repair joins whole keys, as read from another replica: everything it holds
// of them, with its clock and residue (rule 3). The clock is not taken over.
func (r *Replica) Repair(keys []crdt.KeyID, s *crdt.Snapshot) (*Commit, error) {
	return r.repair(keys, s, false)
}

// RepairFirst is Repair for who changes the keys next, or calls Barrier: what comes
// later in the log makes it durable. Its Commit is waited for at once.
func (r *Replica) RepairFirst(keys []crdt.KeyID, s *crdt.Snapshot) (*Commit, error) {
	return r.repair(keys, s, true)
}

// RepairCells joins cells of one key, as read from other replicas in s, and no other
// ones (rule 3 for each; one that they do not have has an empty Live). As with
// RepairFirst the caller changes the key next. Where s waits for removals from other
// cells, or from all below a path, that is not taken over: neither is the clock, so
// those removals are still to come as events of their own.
func (r *Replica) RepairCells(cells []crdt.CellState, s *crdt.Snapshot) (*Commit, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	theirs := make(map[crdt.CellID]crdt.Cell, len(cells))
	for _, c := range cells {
		if _, err := r.hashOf(c.ID.KeyID); err != nil {
			return nil, err
		}
		theirs[c.ID] = c.Live
	}
	var residue []crdt.Change
	for _, ch := range s.Residue {
		if _, joined := theirs[ch.ID]; joined {
			residue = append(residue, crdt.Change{ID: ch.ID, Removes: ch.Removes})
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mixed = true
	return r.joinCells(theirs, s.Peer(), residue, true)
}

func (r *Replica) repair(keys []crdt.KeyID, s *crdt.Snapshot, async bool) (*Commit, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mixed = true
	theirs := map[crdt.CellID]crdt.Cell{}
	for _, c := range s.Cells {
		theirs[c.ID] = c.Live
	}
	for _, key := range keys {
		hash, err := r.hashOf(key)
		if err != nil {
			return nil, err
		}
		prefix := keyPrefix(r.id.Placement, hash, key)
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
	return r.joinCells(theirs, s.Peer(), s.Residue, async)
}
