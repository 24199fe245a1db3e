package storage

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/godwitdb/godwit/crdt"
)

const (
	maxListLeaves  = 512 // leaves whose keys are asked for at once
	maxFetchKeys   = 4096
	leafTries      = 4  // lists of a leaf's keys that were out of date when its cells came
	fewLeaves      = 64 // below, keys are always listed
	mostOfThem     = 0.5
	fanoutOfLeaves = 32 // merkle.Fanout
)

// descent is what a join knows of the way down: which leaves are joined and
// what is to be asked for next. A leaf, or all leaves below a node, that are
// equal at both sides count as joined at the moment of comparison; each step
// down compares anew, so that what was merely under way has arrived by then.
type descent struct {
	salt   uint64
	token  uint64 // of the peer's replica
	depth  int
	nodes  []int // of depth, whose children are to be asked for
	list   []int // leaves whose keys are to be asked for, ascending
	fetch  []leafWant
	told   map[int][]keyDigest // of the leaves in fetch, unless these are wanted whole
	tries  map[int]int
	pages  bool // what is left goes by pages
	joined []bool
	left   int // leaves that are not joined

	differing, occupied int // of the leaves that were compared
	keys                int
}

// Descend makes the join go down the trees: only what differs travels. It must
// be called before the first step. What does not fit into steps, because a
// single leaf is too large, goes by pages. It returns ErrNotReady while this
// replica has no tree.
func (j *Join) Descend() error {
	r := j.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.treeReady {
		return fmt.Errorf("compare %s: %w", r.id, ErrNotReady)
	}
	j.down = &descent{
		salt: rand.Uint64(), nodes: []int{0}, joined: make([]bool, r.tree.Len()), left: r.tree.Len(),
		told: map[int][]keyDigest{}, tries: map[int]int{},
	}
	return nil
}

// Differing is how many keys were found to differ so far, those in leaves that
// were taken whole left out.
func (j *Join) Differing() int {
	j.r.mu.Lock()
	defer j.r.mu.Unlock()
	if j.down == nil {
		return 0
	}
	return j.down.keys
}

// Step returns the next question for the peer, which answers it with Answer.
// There is none when the join is Whole.
func (j *Join) Step() (Step, []byte) {
	j.r.mu.Lock()
	d := j.down
	if d == nil || d.pages {
		j.r.mu.Unlock()
		q := stepAsk{step: StepPage, page: j.Ask()}
		return q.step, q.encode()
	}
	defer j.r.mu.Unlock()
	q := stepAsk{token: d.token, salt: d.salt}
	switch {
	case len(d.nodes) > 0:
		q.step, q.depth, q.nodes = StepTree, d.depth, d.nodes
	case len(d.fetch) > 0 && (len(d.list) == 0 || d.wanted() >= maxFetchKeys):
		q.step, q.wants = StepCells, d.fetch[:d.some()]
	default:
		q.step, q.nodes = StepKeys, d.list[:min(len(d.list), maxListLeaves)]
	}
	return q.step, q.encode()
}

// wanted counts the keys in fetch; a whole leaf counts as some.
func (d *descent) wanted() (sum int) {
	for _, w := range d.fetch {
		sum += max(len(w.hashes), 8)
	}
	return sum
}

// some is how many leaves of fetch to ask for at once.
func (d *descent) some() int {
	sum := 0
	for i, w := range d.fetch {
		if sum += max(len(w.hashes), 8); i > 0 && (sum > maxFetchKeys || i == maxStepNodes) {
			return i
		}
	}
	return len(d.fetch)
}

// Take takes the answer to the last Step.
func (j *Join) Take(answer []byte) (*Commit, error) {
	r := j.r
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	r.mu.Lock()
	d := j.down
	if d == nil || d.pages {
		r.mu.Unlock()
		p, err := DecodePage(answer)
		if err != nil {
			return nil, err
		}
		return j.Page(p)
	}
	defer r.mu.Unlock()
	if err := j.under(); err != nil {
		return nil, err
	}
	s, rest, err := j.opened(answer)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", r.id, err)
	}
	theirs := map[crdt.CellID]crdt.Cell{}
	var leaves []int // that theirs is all of
	waiting := r.leavesWithResidue()
	for _, ch := range s.Residue {
		waiting[r.leafOf(ch.ID.KeyID)] = true
	}
	switch {
	case len(d.nodes) > 0:
		err = j.takeNodes(rest, waiting)
	case len(d.fetch) > 0 && (len(d.list) == 0 || d.wanted() >= maxFetchKeys):
		leaves, err = j.takeCells(rest, s, theirs)
	default:
		err = j.takeKeys(rest, s.Residue)
	}
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", r.id, err)
	}
	c, err := r.joinCells(theirs, &crdt.Peer{Clock: j.transfer.Clock, Residue: j.residue}, s.Residue, false)
	if err != nil {
		return nil, err
	}
	for _, leaf := range leaves { // now, and not before: a dot that the peer has would be taken for dead
		d.done(leaf)
	}
	if j.all = d.left == 0; !j.all && len(d.nodes)+len(d.list)+len(d.fetch) == 0 {
		d.pages = true
	}
	return c, nil
}

// opened takes what begins every answer. The first one's clock is the transfer's.
func (j *Join) opened(answer []byte) (*crdt.Snapshot, []byte, error) {
	d := j.down
	token, b, err := cutFixed(answer)
	if err != nil || token == 0 || d.token != 0 && token != d.token {
		return nil, nil, fmt.Errorf("%w: token of an answer", crdt.ErrEncoding)
	}
	encoded, b, err := cutPlace(b)
	if err != nil {
		return nil, nil, err
	}
	s, err := crdt.DecodeSnapshot(bytes.Clone(encoded))
	if err != nil {
		return nil, nil, err
	}
	if d.token = token; !j.begun { // nothing counts as joined before this
		j.begun, j.transfer.Clock = true, s.Clock.Clone()
	}
	j.residue.Restore(s.Residue)
	return s, b, nil
}

func (d *descent) done(leaf int) {
	if !d.joined[leaf] {
		d.joined[leaf] = true
		d.left--
	}
}

// takeNodes compares the children of the nodes that were asked for.
func (j *Join) takeNodes(b []byte, waiting map[int]bool) error {
	d, tree := j.down, j.r.tree
	below := d.depth + 1
	width := 1 // leaves below a child
	for range tree.Depth() - below {
		width *= fanoutOfLeaves
	}
	var next []int
	for _, node := range d.nodes {
		ours, err := tree.Children(d.depth, node)
		if err != nil {
			return err
		}
		for c, own := range ours {
			var digest uint64
			if digest, b, err = cutFixed(b); err != nil {
				return err
			}
			child, equal := node*fanoutOfLeaves+c, digest == short(own, d.salt)
			if below == tree.Depth() {
				d.count(!equal, !own.IsZero() || !equal)
			}
			if !equal || anyWaiting(waiting, child*width, width) {
				next = append(next, child)
			} else {
				d.doneAll(child*width, width)
			}
		}
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: more nodes than asked for", crdt.ErrEncoding)
	}
	if d.depth, d.nodes = below, next; below == tree.Depth() {
		d.nodes, d.list = nil, next
		d.plan(j.r.keys)
	}
	return nil
}

func (d *descent) doneAll(first, width int) {
	for leaf := first; leaf < first+width; leaf++ {
		d.done(leaf)
	}
}

func anyWaiting(waiting map[int]bool, first, width int) bool {
	for leaf := range waiting {
		if leaf >= first && leaf < first+width {
			return true
		}
	}
	return false
}

func (d *descent) count(differs, occupied bool) {
	if differs {
		d.differing++
	}
	if occupied {
		d.occupied++
	}
}

// plan decides whether to list keys: where most keys differ it is cheaper to
// take the leaves whole. If a share p of the keys differs, 1-(1-p)^n of the
// leaves with n keys do.
func (d *descent) plan(keys int64) {
	perLeaf := max(float64(keys)/float64(len(d.joined)), 1)
	if len(d.list) < fewLeaves || float64(d.differing) < float64(d.occupied)*(1-math.Pow(1-mostOfThem, perLeaf)) {
		return
	}
	for _, leaf := range d.list {
		d.fetch = append(d.fetch, leafWant{leaf: leaf})
	}
	d.list = nil
}
