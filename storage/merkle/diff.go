package merkle

import (
	"errors"
	"fmt"
)

// ErrShape reports that the other side's tree has another shape than ours.
var ErrShape = errors.New("merkle: trees of different shapes")

// Remote asks the other side for the children of some inner nodes of one
// depth, in the order asked; Tree.Pull is the answer. One call is meant to be
// one round trip, so that a walk between continents takes Depth of them.
type Remote func(depth int, nodes []int) ([][]Digest, error)

// Diff returns the leaves in which the local tree and the remote one differ, in
// ascending order. It returns at most limit leaves (0: no limit); more tells
// that there are others, to be found after these have been repaired.
//
// It asks for at most min(limit, nodes of the level) nodes a call, and for
// nothing below a node that is equal. A remote that changes during the walk can
// make Diff name leaves that are equal by now, or miss leaves that changed
// after they were looked at; the local tree must not change meanwhile (Clone it).
func Diff(local *Tree, remote Remote, limit int) (leaves []int, more bool, err error) {
	if limit <= 0 {
		limit = local.Len()
	}
	differing := []int{0}
	for depth := range local.Depth() {
		theirs, err := remote(depth, differing)
		if err != nil {
			return nil, false, fmt.Errorf("pull %d nodes at depth %d: %w", len(differing), depth, err)
		}
		differing, err = differingChildren(local, depth, differing, theirs)
		if err != nil {
			return nil, false, err
		}
		// Each differing node has a differing leaf below it, so the first limit
		// nodes contain the first limit leaves.
		if len(differing) > limit {
			differing, more = differing[:limit], true
		}
		if len(differing) == 0 {
			return nil, more, nil
		}
	}
	return differing, more, nil
}

// differingChildren returns the indexes, at depth+1, of the children of nodes
// in which the two sides differ.
func differingChildren(local *Tree, depth int, nodes []int, theirs [][]Digest) ([]int, error) {
	if len(theirs) != len(nodes) {
		return nil, fmt.Errorf("asked for %d nodes at depth %d, got %d: %w", len(nodes), depth, len(theirs), ErrShape)
	}
	var out []int
	for i, node := range nodes {
		ours, err := local.Children(depth, node)
		if err != nil {
			return nil, err
		}
		if len(ours) != len(theirs[i]) {
			return nil, fmt.Errorf("node %d at depth %d has %d children here and %d there: %w",
				node, depth, len(ours), len(theirs[i]), ErrShape)
		}
		for c := range ours {
			if ours[c] != theirs[i][c] {
				out = append(out, node*Fanout+c)
			}
		}
	}
	return out, nil
}
