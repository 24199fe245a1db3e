package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// Page is a part of a partition: everything between two places, with the clock
// that the replica had before the first page was read. Cells are read at or
// after that clock, never before it, so pages need no snapshot held open. The
// residue of the first page is that of the clock, and holds for all pages.
type Page struct {
	From, To []byte // data keys without table and placement; nil is the partition's end
	Skip     int    // leaves from From on that are equal at both sides: cells begin behind them
	crdt.Snapshot
}

// AppendPage appends the encoding of p to b.
func AppendPage(b []byte, p *Page) []byte {
	for _, place := range [][]byte{p.From, p.To} {
		b = binary.AppendUvarint(b, uint64(len(place)))
		b = append(b, place...)
	}
	b = binary.AppendUvarint(b, uint64(p.Skip))
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
	skip, b, err := cutNumber(b, maxAsked)
	if err != nil {
		return nil, fmt.Errorf("%w: skipped leaves of a page", err)
	}
	p.Skip = int(skip)
	s, err := crdt.DecodeSnapshot(b)
	if err != nil {
		return nil, err
	}
	p.Snapshot = *s
	return &p, nil
}

// cutPlace splits a place off what AppendPage or a cursor begins with.
func cutPlace(b []byte) (place, rest []byte, err error) {
	n, b, err := cutNumber(b, uint64(len(b)))
	if err != nil || n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: place of a page", crdt.ErrEncoding)
	}
	if n == 0 {
		return nil, b, nil
	}
	return b[:n], b[n:], nil
}

// cutNumber splits a number of at most limit off b.
func cutNumber(b []byte, limit uint64) (n uint64, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > limit || size > 1 && b[size-1] == 0 {
		return 0, nil, crdt.ErrEncoding
	}
	return n, b[size:], nil
}

// maxAsked is the greatest number of leaves that one question tells of.
const maxAsked = 1024

// question is what a page is asked for with: where it begins, the clock of the
// transfer, and the asker's leaves from there on, so that what is equal need not
// travel.
type question struct {
	from  []byte
	begun bool       // the transfer has a clock already
	clock crdt.Clock // of its first page
	first int        // leaf that have begins with
	have  []merkle.Digest
}

func (q *question) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(q.from)))
	b = append(b, q.from...)
	b = binary.AppendUvarint(b, uint64(q.first))
	b = binary.AppendUvarint(b, uint64(len(q.have)))
	for _, d := range q.have {
		b = append(b, d[:]...)
	}
	if q.begun {
		b = crdt.AppendClock(b, &q.clock)
	}
	return b
}

func (r *Replica) decodeQuestion(b []byte) (*question, error) {
	q := &question{}
	var err error
	if q.from, b, err = cutPlace(b); err != nil {
		return nil, err
	}
	first, b, err := cutNumber(b, uint64(r.tree.Len()))
	if err != nil {
		return nil, fmt.Errorf("%w: leaf of a question", err)
	}
	n, b, err := cutNumber(b, maxAsked)
	if err != nil || n > uint64(r.tree.Len())-first || uint64(len(b)) < n*uint64(len(merkle.Digest{})) {
		return nil, fmt.Errorf("%w: leaves of a question", crdt.ErrEncoding)
	}
	q.first, q.have = int(first), make([]merkle.Digest, n)
	for i := range q.have {
		b = b[copy(q.have[i][:], b):]
	}
	if q.begun = len(b) > 0; q.begun {
		q.clock, err = crdt.DecodeClock(b)
	}
	return q, err
}

// Ask returns the cursor of the join's next page. It tells the peer of the
// leaves from there on, so that the peer need not send what is equal.
func (j *Join) Ask() []byte {
	r := j.r
	r.mu.Lock()
	defer r.mu.Unlock()
	q := &question{from: j.next, begun: j.begun, clock: j.transfer.Clock}
	if r.treeReady {
		if len(q.from) > 0 {
			q.first = r.leafAt(q.from)
			if !bytes.Equal(q.from, r.leafPlace(q.first)) { // in the middle of a leaf
				q.first++
			}
		}
		waiting := r.leavesWithResidue()
		for leaf := q.first; leaf < min(q.first+maxAsked, r.tree.Len()); leaf++ {
			d := r.tree.Leaf(leaf)
			if waiting[leaf] { // it must travel: tell what no leaf is
				d.XOR(merkle.Digest(bytes.Repeat([]byte{0xff}, len(d))))
			}
			q.have = append(q.have, d)
		}
	}
	j.first, j.asked = q.first, q.have
	return q.encode()
}

// ReadPage reads a page of about maxBytes, as asked for with Ask, or the first
// one where cursor is empty. Each answer carries the cursor of the next, nil
// after the last. All of it is durable here.
func (r *Replica) ReadPage(cursor []byte, maxBytes int) (*Page, []byte, error) {
	if err := r.store.enter(); err != nil {
		return nil, nil, err
	}
	defer r.store.leave()
	q := &question{}
	if len(cursor) > 0 {
		var err error
		if q, err = r.decodeQuestion(cursor); err != nil {
			return nil, nil, err
		}
	}
	p := &Page{From: q.from}
	// Residue and clock are of one instant: a dot leaves the one as it enters
	// the other. The residue is whole, with every page: it is small. Leaves are
	// compared after the clock was read.
	r.mu.Lock()
	p.Residue = r.state.Residue.Changes()
	if p.Clock = q.clock; !q.begun {
		p.Clock = r.state.Clock.Clone() // durable before it is told, see below
	}
	lo, hi := r.differing(q, p)
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
	if err := r.still(&p.Clock); err != nil {
		return nil, nil, err
	}
	var next []byte
	if p.To != nil {
		next = (&question{from: p.To, begun: true, clock: p.Clock}).encode()
	}
	return p, next, r.Barrier()
}

// differing returns the keys of the first run of leaves that are not equal at
// both sides. It notes in p how many come before it, and where it ends if that
// is not the partition's end. The caller holds the lock.
func (r *Replica) differing(q *question, p *Page) (lo, hi []byte) {
	from, leaf, end := q.from, q.first, q.first+len(q.have)
	if len(q.have) == 0 || !r.treeReady {
		return r.dataBounds(from)
	}
	waiting := r.leavesWithResidue()
	equal := func(leaf int) bool { return !waiting[leaf] && r.tree.Leaf(leaf) == q.have[leaf-q.first] }
	if len(from) == 0 || bytes.Equal(from, r.leafPlace(leaf)) {
		for leaf < end && equal(leaf) {
			leaf++
		}
		if p.Skip = leaf - q.first; p.Skip > 0 {
			from = r.leafPlace(leaf)
		}
	}
	if leaf == r.tree.Len() && p.Skip > 0 { // nothing differs
		_, hi = r.dataBounds(nil)
		return hi, hi
	}
	for leaf < end && !equal(leaf) {
		leaf++
	}
	lo, hi = r.dataBounds(from)
	if leaf < r.tree.Len() {
		p.To = r.leafPlace(leaf)
		hi, _ = r.dataBounds(p.To)
	}
	return lo, hi
}

// leafOf is the leaf that a key stands in.
func (r *Replica) leafOf(key crdt.KeyID) int {
	return r.tree.LeafOf(r.store.opts.Hash(key.Bucket, []byte(key.Key)), r.store.bits)
}

// leafAt is the leaf that a place stands in.
func (r *Replica) leafAt(place []byte) int {
	var hash [8]byte
	copy(hash[:], place)
	return r.tree.LeafOf(binary.BigEndian.Uint64(hash[:]), r.store.bits)
}

// leafPlace is where a leaf begins; nil behind the last.
func (r *Replica) leafPlace(leaf int) []byte {
	if leaf >= r.tree.Len() {
		return nil
	}
	first, _ := r.tree.LeafRange(int(r.id.Partition), r.store.bits, leaf)
	return binary.BigEndian.AppendUint64(nil, first)
}

// leavesWithResidue are those in which removals wait. Digests cover live dots
// only, so they say nothing of such leaves. The caller holds the lock.
func (r *Replica) leavesWithResidue() map[int]bool {
	out := map[int]bool{}
	if r.state.Residue.Empty() {
		return out
	}
	for _, ch := range r.state.Residue.Changes() {
		out[r.leafOf(ch.ID.KeyID)] = true
	}
	return out
}
