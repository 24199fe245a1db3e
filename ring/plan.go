package ring

import (
	"fmt"
	"math"
)

// Plan is what a change of the document means for one placement.
type Plan struct {
	Moves   []Move     // every replica that is copied or dropped, by partition
	Nodes   []NodePlan // those of either document, in the order of their IDs
	Copies  int        // replicas that have to be copied to a new owner
	Minimum int        // the fewest copies by which the new shares could be reached
	Bytes   int64      // to be copied

	// Warnings names wishes that the new ring cannot grant.
	Warnings []string
}

// NodePlan is what a change means for one node.
type NodePlan struct {
	ID            string
	Rack          string
	Weight        float64 // after the change; 0 for a node that owns nothing then
	Before, After int     // replicas it owns
	Ideal         float64 // replicas that its weight alone would give it after the change
	In, Out       int64   // bytes copied to it, and bytes that leave it
}

// MakePlan tells what has to be done for after to follow before, in the
// placement of o. During a move it counts from the owners of now. bytesOf gives
// the size of one replica of a partition; nil counts none.
func MakePlan(before, after *Document, o Options, bytesOf func(partition int) int64) (*Plan, error) {
	from, _, err := before.Rings(o)
	if err != nil {
		return nil, err
	}
	to, next, err := after.Rings(o)
	if err != nil {
		return nil, err
	}
	if next != nil {
		to = next
	}
	if bytesOf == nil {
		bytesOf = func(int) int64 { return 0 }
	}
	p := &Plan{Moves: Moves(from, to)}
	p.addNodes(before, after, from, to)
	at := make(map[string]*NodePlan, len(p.Nodes))
	for i := range p.Nodes {
		at[p.Nodes[i].ID] = &p.Nodes[i]
	}
	for _, m := range p.Moves {
		bytes := bytesOf(m.Partition)
		if n := at[m.From]; n != nil {
			n.Out += bytes
		}
		if n := at[m.To]; n != nil {
			n.In += bytes
			p.Copies++
			p.Bytes += bytes
		}
	}
	p.Minimum = min(p.Copies, leastCopies(from, to)) // the load bound may leave a node a little less than its share
	p.warn(to)
	return p, nil
}

func (p *Plan) addNodes(before, after *Document, from, to *Ring) {
	had, has := sharesByID(from), sharesByID(to)
	all := &Document{Members: before.All(), Target: after.All()}
	for _, e := range all.All() {
		n := NodePlan{ID: e.ID, Rack: e.Rack, Before: had[e.ID].Replicas}
		if s, ok := has[e.ID]; ok {
			n.Weight, n.After, n.Ideal = s.Member.Weight, s.Replicas, s.Ideal
		}
		p.Nodes = append(p.Nodes, n)
	}
}

func sharesByID(r *Ring) map[string]Share {
	out := make(map[string]Share)
	for _, s := range r.Shares() {
		out[s.Member.ID] = s
	}
	return out
}

// leastCopies is how much the shares of nodes grow in all.
func leastCopies(from, to *Ring) int {
	had, least := sharesByID(from), 0.0
	for _, s := range to.Shares() {
		least += max(0, s.Want-had[s.Member.ID].Want)
	}
	return int(math.Ceil(least - 0.01)) // shares are rounded down a little
}

// boundMeans is the number of replicas from which on a node's load can be held
// within the load bound.
const boundMeans = 20

func (p *Plan) warn(r *Ring) {
	want := r.opts.Replicas
	if n := len(r.members); n < want {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d nodes own data: of the %d copies of a key only %d can be kept", n, want, n))
		want = n
	}
	racks := make(map[string]bool)
	for _, m := range r.members {
		racks[m.Rack] = true
	}
	if len(racks) < want {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d racks for %d copies: copies of one key share a rack, and are lost together with it", len(racks), want))
	}
	for _, s := range r.Shares() {
		switch {
		case s.Ideal > 1.01*s.Want+1:
			p.Warnings = append(p.Warnings, fmt.Sprintf(
				"node %s cannot hold as much as its weight %v asks for: %.0f replicas of %d partitions, it gets %d; give it less weight, or others more",
				s.Member.ID, s.Member.Weight, s.Ideal, r.opts.Partitions, s.Replicas))
		case s.Want >= boundMeans && float64(s.Replicas) > (r.opts.LoadBound+extraSlack)*s.Want+1:
			p.Warnings = append(p.Warnings, fmt.Sprintf("node %s gets %d replicas, %.2f times its share", s.Member.ID, s.Replicas, float64(s.Replicas)/s.Want))
		}
	}
}
