package merkle

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// ErrNoSuchNode reports a depth or an index that the tree does not have: the
// two sides disagree about the shape, or a message is damaged.
var ErrNoSuchNode = errors.New("merkle: no such node")

// Tree is a hash tree over a fixed number of leaves. Depth 0 is the root; every
// level below has up to Fanout children a node, counted from the left, and the
// last one, Depth, holds the leaves.
//
// Toggle touches only a leaf and marks its ancestors; whoever next asks for an
// inner node pays for all marked ones.
//
// Invariant: an inner node that is not marked dirty is the digest of its
// children. A Tree is made by New and is not safe for concurrent use: every
// method, also one that only reads, may recompute nodes.
type Tree struct {
	leafBits int
	width    []int // nodes of each level, root first

	// All below is nil until the first Toggle: most trees of a fresh node are
	// empty, and there may be thousands.
	chunks []*[Fanout]Digest // leaves, by parent; nil is 32 empty leaves
	inner  [][]Digest        // nodes of each level but the last
	dirty  [][]uint64        // bitmaps over inner
	stale  bool              // some bit of dirty is set
}

// New returns an empty tree. The number of leaves is raised to the next power
// of two and kept within MinLeaves and MaxLeaves.
func New(leaves int) *Tree {
	leaves = ceilPow2(min(max(leaves, MinLeaves), MaxLeaves))
	t := &Tree{leafBits: bits.Len(uint(leaves)) - 1}
	for w := leaves; ; w = (w + Fanout - 1) / Fanout {
		t.width = append(t.width, w)
		if w == 1 {
			break
		}
	}
	slices.Reverse(t.width)
	return t
}

// Len returns the number of leaves, a power of two.
func (t *Tree) Len() int { return 1 << t.leafBits }

// Depth returns the depth of the leaves, which is the number of steps from the
// root to a leaf.
func (t *Tree) Depth() int { return len(t.width) - 1 }

// LeafOf returns the leaf of a key hash: the bits right below the partition's,
// so that leaves follow the order of the hashes. The sum of partitionBits and
// the bits of a leaf must not exceed 64.
func (t *Tree) LeafOf(hash uint64, partitionBits int) int {
	return int(hash << partitionBits >> (64 - t.leafBits))
}

// LeafRange returns the first and the last key hash of a leaf of a partition,
// both included. It is the reverse of LeafOf.
func (t *Tree) LeafRange(partition, partitionBits, leaf int) (first, last uint64) {
	shift := 64 - partitionBits - t.leafBits
	first = (uint64(partition)<<t.leafBits | uint64(leaf)) << shift
	return first, first | (1<<shift - 1)
}

// Toggle adds d to a leaf or, if it is there, takes it out. It takes constant
// time and allocates only when the first of 32 neighbouring leaves is touched.
// The leaf must be one of the tree's.
func (t *Tree) Toggle(leaf int, d Digest) {
	if t.chunks == nil {
		t.grow()
	}
	parent := leaf >> fanoutBits
	chunk := t.chunks[parent]
	if chunk == nil {
		chunk = new([Fanout]Digest)
		t.chunks[parent] = chunk
	}
	chunk[leaf&(Fanout-1)].XOR(d)
	mark(t.dirty[len(t.dirty)-1], parent)
	t.stale = true
}

// Leaf returns the digest of a leaf, which must be one of the tree's.
func (t *Tree) Leaf(leaf int) Digest {
	if t.chunks == nil || t.chunks[leaf>>fanoutBits] == nil {
		return Digest{}
	}
	return t.chunks[leaf>>fanoutBits][leaf&(Fanout-1)]
}

// Leaves returns a copy of all leaves.
func (t *Tree) Leaves() []Digest {
	out := make([]Digest, t.Len())
	for i, c := range t.chunks {
		if c != nil {
			copy(out[i*Fanout:], c[:])
		}
	}
	return out
}

// Root returns the digest of the whole tree, zero if it is empty.
func (t *Tree) Root() Digest {
	if t.chunks == nil {
		return Digest{}
	}
	t.refresh()
	return t.inner[0][0]
}

// Children returns the digests of the children of an inner node, in order; the
// slice is the caller's. It returns ErrNoSuchNode for a leaf, and for anything
// outside the tree.
func (t *Tree) Children(depth, index int) ([]Digest, error) {
	if depth < 0 || depth >= t.Depth() || index < 0 || index >= t.width[depth] {
		return nil, fmt.Errorf("children of node %d at depth %d: %w", index, depth, ErrNoSuchNode)
	}
	first := index * Fanout
	out := make([]Digest, min(Fanout, t.width[depth+1]-first))
	if t.chunks == nil {
		return out, nil
	}
	if depth == t.Depth()-1 {
		if c := t.chunks[index]; c != nil {
			copy(out, c[:])
		}
		return out, nil
	}
	t.refresh()
	copy(out, t.inner[depth+1][first:])
	return out, nil
}

// Pull answers a Remote of another side: the children of each node, in the
// order asked. It returns ErrNoSuchNode if one does not exist, or if more nodes
// are asked for than the level has.
func (t *Tree) Pull(depth int, nodes []int) ([][]Digest, error) {
	if depth < 0 || depth >= t.Depth() || len(nodes) > t.width[depth] {
		return nil, fmt.Errorf("pull %d nodes at depth %d: %w", len(nodes), depth, ErrNoSuchNode)
	}
	out := make([][]Digest, len(nodes))
	for i, n := range nodes {
		c, err := t.Children(depth, n)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

// Clone returns an independent copy.
func (t *Tree) Clone() *Tree {
	c := *t // width never changes and is shared
	c.chunks = slices.Clone(t.chunks)
	for i, chunk := range c.chunks {
		if chunk != nil {
			copied := *chunk
			c.chunks[i] = &copied
		}
	}
	c.inner = slices.Clone(t.inner)
	c.dirty = slices.Clone(t.dirty)
	for i := range c.inner {
		c.inner[i] = slices.Clone(t.inner[i])
		c.dirty[i] = slices.Clone(t.dirty[i])
	}
	return &c
}

// Reset empties the tree and gives its memory back.
func (t *Tree) Reset() {
	t.chunks, t.inner, t.dirty, t.stale = nil, nil, nil, false
}

func (t *Tree) grow() {
	levels := t.Depth()
	t.chunks = make([]*[Fanout]Digest, t.width[levels-1])
	t.inner = make([][]Digest, levels)
	t.dirty = make([][]uint64, levels)
	for i := range levels {
		t.inner[i] = make([]Digest, t.width[i])
		t.dirty[i] = make([]uint64, (t.width[i]+63)/64)
	}
}

// refresh recomputes the inner nodes above the leaves that were toggled.
func (t *Tree) refresh() {
	if !t.stale {
		return
	}
	for depth := t.Depth() - 1; depth >= 0; depth-- {
		for word, set := range t.dirty[depth] {
			for ; set != 0; set &= set - 1 {
				t.recompute(depth, word*64+bits.TrailingZeros64(set))
			}
			t.dirty[depth][word] = 0
		}
	}
	t.stale = false
}

// recompute sets one inner node from its children and marks its parent.
func (t *Tree) recompute(depth, node int) {
	if depth == t.Depth()-1 {
		t.inner[depth][node] = sum(t.chunks[node][:])
	} else {
		below := t.inner[depth+1]
		t.inner[depth][node] = sum(below[node*Fanout : min((node+1)*Fanout, len(below))])
	}
	if depth > 0 {
		mark(t.dirty[depth-1], node>>fanoutBits)
	}
}

func mark(bitmap []uint64, i int) { bitmap[i/64] |= 1 << (i % 64) }
