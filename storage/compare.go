package storage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// ErrNotReady reports that a replica cannot be compared now, for instance
// because its tree is being built after the start.
var ErrNotReady = errors.New("replica is not ready to be compared")

// Step is one question of a join that goes down the trees, and its answer. The
// numbers are on the wire for ever.
type Step byte

// Steps of a join.
const (
	StepTree  Step = 1 // the children of some nodes
	StepKeys  Step = 2 // the keys of some leaves, by hash, and their digests
	StepCells Step = 3 // the cells of some keys, or of whole leaves
	StepPage  Step = 4 // everything from a place on, see ReadPage
)

const (
	shortBytes   = 8    // of a digest on the way, and of a key's hash
	maxStepNodes = 4096 // of one question
	maxStepKeys  = 64 << 10
)

// short is what a digest is told as: half of the bytes, and with a salt that is
// another one in every join, so that what looks equal by chance does not the
// next time.
func short(d merkle.Digest, salt uint64) uint64 { return xxh3.HashSeed(d[:], salt) }

// leafWant is a leaf whose cells are asked for.
type leafWant struct {
	leaf   int
	hashes []uint64 // of the keys, ascending; none: the whole leaf
}

// keyDigest is a key as StepKeys tells of it. Keys of equal hash count as one.
type keyDigest struct{ hash, digest uint64 }

// stepAsk is a question. Exactly the fields of its step are used.
type stepAsk struct {
	step  Step
	token uint64 // of the answers before; 0 begins
	salt  uint64 // StepTree, StepKeys
	depth int    // StepTree
	nodes []int  // StepTree: of that depth; StepKeys: leaves. Ascending
	wants []leafWant
	page  []byte // StepPage: a question of pages
}

func (q *stepAsk) encode() []byte {
	b := []byte{byte(q.step)}
	b = binary.BigEndian.AppendUint64(b, q.token)
	switch q.step {
	case StepTree, StepKeys:
		b = binary.BigEndian.AppendUint64(b, q.salt)
		b = binary.AppendUvarint(b, uint64(q.depth))
		b = binary.AppendUvarint(b, uint64(len(q.nodes)))
		last := -1
		for _, n := range q.nodes {
			b = binary.AppendUvarint(b, uint64(n-last-1))
			last = n
		}
	case StepCells:
		b = binary.AppendUvarint(b, uint64(len(q.wants)))
		last := -1
		for _, w := range q.wants {
			b = binary.AppendUvarint(b, uint64(w.leaf-last-1))
			b = binary.AppendUvarint(b, uint64(len(w.hashes)))
			for _, h := range w.hashes {
				b = binary.BigEndian.AppendUint64(b, h)
			}
			last = w.leaf
		}
	case StepPage:
		b = append(b, q.page...)
	}
	return b
}

func cutFixed(b []byte) (v uint64, rest []byte, err error) {
	if len(b) < 8 {
		return 0, nil, crdt.ErrEncoding
	}
	return binary.BigEndian.Uint64(b), b[8:], nil
}

// decodeAsk decodes what encode made, for a tree of so many leaves.
func decodeAsk(b []byte, leaves int) (q *stepAsk, err error) {
	bad := func(what string) (*stepAsk, error) {
		return nil, fmt.Errorf("%w: %s of a question", crdt.ErrEncoding, what)
	}
	if len(b) == 0 {
		return bad("step")
	}
	q = &stepAsk{step: Step(b[0])}
	if q.token, b, err = cutFixed(b[1:]); err != nil {
		return bad("token")
	}
	switch q.step {
	case StepTree, StepKeys:
		err = q.decodeNodes(b, leaves)
	case StepCells:
		err = q.decodeWants(b, leaves)
	case StepPage:
		q.page = b
	default:
		return bad("unknown step")
	}
	if err != nil {
		return bad("list")
	}
	return q, nil
}

func (q *stepAsk) decodeNodes(b []byte, leaves int) error {
	var err error
	if q.salt, b, err = cutFixed(b); err != nil {
		return err
	}
	depth, b, err := cutNumber(b, 8)
	if err != nil {
		return err
	}
	q.depth = int(depth)
	n, b, err := cutNumber(b, maxStepNodes)
	last := -1
	for range n {
		var gap uint64
		if gap, b, err = cutNumber(b, uint64(leaves)); err != nil {
			return err
		}
		if last += int(gap) + 1; last >= leaves {
			return crdt.ErrEncoding
		}
		q.nodes = append(q.nodes, last)
	}
	if len(b) > 0 {
		return crdt.ErrEncoding
	}
	return err
}

func (q *stepAsk) decodeWants(b []byte, leaves int) error {
	n, b, err := cutNumber(b, maxStepNodes)
	last := -1
	for range n {
		var gap, hashes uint64
		if gap, b, err = cutNumber(b, uint64(leaves)); err != nil {
			return err
		}
		if hashes, b, err = cutNumber(b, maxStepKeys); err != nil || uint64(len(b)) < hashes*shortBytes {
			return crdt.ErrEncoding
		}
		w := leafWant{leaf: last + int(gap) + 1}
		if last = w.leaf; last >= leaves {
			return crdt.ErrEncoding
		}
		for i := range hashes {
			var h uint64
			h, b, _ = cutFixed(b) // there are enough
			if i > 0 && h <= w.hashes[i-1] {
				return crdt.ErrEncoding
			}
			w.hashes = append(w.hashes, h)
		}
		q.wants = append(q.wants, w)
	}
	if len(b) > 0 {
		return crdt.ErrEncoding
	}
	return err
}

// token names the replica as it is since it was opened, or dropped: answers
// under one token are of a replica that forgets nothing. The caller holds the lock.
func (r *Replica) token() uint64 {
	return max(xxh3.HashSeed(binary.BigEndian.AppendUint64(nil, r.dropped), r.store.opening), 1)
}

// Answer answers one step of another replica's join with about maxBytes of what
// it asks for; what does not fit is to be asked for again. All of it is durable
// here. It returns ErrDropped if the replica has been dropped since the join
// began, and ErrNotReady while there is no tree.
func (r *Replica) Answer(ask []byte, maxBytes int) ([]byte, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	q, err := decodeAsk(ask, r.tree.Len())
	if err != nil {
		return nil, err
	}
	if q.step == StepPage {
		return r.answerPage(q, maxBytes)
	}
	r.mu.Lock()
	token, ready := r.token(), r.treeReady
	// Residue and clock are of one instant, and before everything else.
	s := crdt.Snapshot{Residue: r.state.Residue.Changes()}
	if q.token == 0 {
		s.Clock = r.state.Clock.Clone()
	}
	r.mu.Unlock()
	switch {
	case !ready:
		return nil, fmt.Errorf("compare %s: %w", r.id, ErrNotReady)
	case q.token != 0 && q.token != token:
		return nil, fmt.Errorf("compare %s: %w", r.id, ErrDropped)
	}
	var told []byte
	switch q.step { //nolint:exhaustive // the last one was answered
	case StepTree:
		told, err = r.tellNodes(q)
	case StepKeys:
		told, err = r.tellKeys(q, maxBytes)
	case StepCells:
		told, err = r.tellCells(q, maxBytes, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", r.id, err)
	}
	r.mu.Lock()
	now := r.token()
	r.mu.Unlock()
	if now != token {
		return nil, fmt.Errorf("compare %s: %w", r.id, ErrDropped)
	}
	b := binary.BigEndian.AppendUint64(nil, token)
	snapshot := crdt.AppendSnapshot(nil, &s)
	b = append(binary.AppendUvarint(b, uint64(len(snapshot))), snapshot...)
	return append(b, told...), r.Barrier()
}

func (r *Replica) answerPage(q *stepAsk, maxBytes int) ([]byte, error) {
	p, _, err := r.ReadPage(q.page, maxBytes)
	if err != nil {
		return nil, err
	}
	return AppendPage(nil, p), nil
}

// tellNodes lists the children of each node.
func (r *Replica) tellNodes(q *stepAsk) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	levels, err := r.tree.Pull(q.depth, q.nodes)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, children := range levels {
		for _, d := range children {
			b = binary.BigEndian.AppendUint64(b, short(d, q.salt))
		}
	}
	return b, nil
}

// tellKeys lists the keys of as many leaves as fit, and says whether the next
// one is too large for any answer.
func (r *Replica) tellKeys(q *stepAsk, maxBytes int) ([]byte, error) {
	var lists []byte
	answered, large := 0, false
	for _, leaf := range q.nodes {
		keys, err := r.digestsOf(leaf, q.salt)
		if err != nil {
			return nil, err
		}
		if len(lists)+2*shortBytes*len(keys) > maxBytes || len(keys) > maxStepKeys {
			large = answered == 0
			break
		}
		lists = binary.AppendUvarint(lists, uint64(len(keys)))
		for _, k := range keys {
			lists = binary.BigEndian.AppendUint64(lists, k.hash)
			lists = binary.BigEndian.AppendUint64(lists, k.digest)
		}
		answered++
	}
	return append(appendAnswered(nil, answered, large), lists...), nil
}

func appendAnswered(b []byte, answered int, large bool) []byte {
	b = binary.AppendUvarint(b, uint64(answered))
	if large {
		return append(b, 1)
	}
	return append(b, 0)
}

// digestsOf lists the keys of a leaf, in order of their hashes.
func (r *Replica) digestsOf(leaf int, salt uint64) ([]keyDigest, error) {
	first, last := r.tree.LeafRange(int(r.id.Partition), r.store.bits, leaf)
	lo, hi := hashBounds(tableData, r.id.Placement, first, last)
	var out []keyDigest
	var sum merkle.Digest
	end := func() {
		if n := len(out); n > 0 {
			out[n-1].digest = short(sum, salt)
		}
	}
	err := r.heads(lo, hi, func(rec record, key, value []byte) error {
		if n := len(out); n == 0 || out[n-1].hash != rec.hash {
			end()
			out, sum = append(out, keyDigest{hash: rec.hash}), merkle.Digest{}
		}
		sum.XOR(recordDigest(key, value))
		return nil
	})
	end()
	return out, err
}

// tellCells puts the cells of as many leaves as fit into s, and says how many
// those are and whether the next one is too large for any answer.
func (r *Replica) tellCells(q *stepAsk, maxBytes int, s *crdt.Snapshot) ([]byte, error) {
	size, answered, large := 0, 0, false
	for _, w := range q.wants {
		begun := len(s.Cells)
		err := r.eachWanted(w, func(rec record, k, v []byte) error {
			if size += len(k) + len(v); size > maxBytes {
				return errEnough
			}
			c, err := crdt.DecodeCell(append([]byte(nil), v...))
			s.Cells = append(s.Cells, crdt.CellState{ID: rec.id, Live: c})
			return err
		})
		if errors.Is(err, errEnough) {
			s.Cells, large = s.Cells[:begun], answered == 0
			break
		}
		if err != nil {
			return nil, err
		}
		answered++
	}
	return appendAnswered(nil, answered, large), nil
}

// eachWanted calls fn for every cell of the keys that are wanted of a leaf.
func (r *Replica) eachWanted(w leafWant, fn func(rec record, k, v []byte) error) error {
	cells := func(first, last uint64) error {
		lo, hi := hashBounds(tableData, r.id.Placement, first, last)
		return r.store.each(lo, hi, func(k, v []byte) error {
			rec, err := parseRecord(k)
			if err != nil || rec.id.Kind.Collection() && rec.part == partHead {
				return err
			}
			return fn(rec, k, v)
		})
	}
	first, last := r.tree.LeafRange(int(r.id.Partition), r.store.bits, w.leaf)
	if len(w.hashes) == 0 {
		return cells(first, last)
	}
	for _, h := range w.hashes {
		if h < first || h > last {
			return fmt.Errorf("%w: key that is not of the leaf", crdt.ErrEncoding)
		}
		if err := cells(h, h); err != nil {
			return err
		}
	}
	return nil
}

// Root returns salted hashes of the durable clock and of the tree's root. It
// returns ErrNotReady while these say nothing: there is no tree, something is
// not durable yet, or removals wait.
func (r *Replica) Root(salt uint64) (clock, root uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.treeReady || !r.state.Residue.Empty() || !r.durable.Equal(&r.state.Clock) {
		return 0, 0, fmt.Errorf("root of %s: %w", r.id, ErrNotReady)
	}
	return xxh3.HashSeed(crdt.AppendClock(nil, &r.durable), salt), short(r.tree.Root(), salt), nil
}
