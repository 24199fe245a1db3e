package dc

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// walls is how far the wall clocks of the other nodes of this datacenter are
// from this node's, by the exchange of clocks. Safe for concurrent use.
type walls struct {
	mu  sync.Mutex
	off map[string]time.Duration // of each peer, ahead of this node
}

// maxWallTrip is the longest time between two looks at this node's wall that a
// peer's is compared with: it is unknown when in between the peer looked.
const maxWallTrip = 200 * time.Millisecond

// heard notes what a peer's wall showed between two moments of this node's.
func (w *walls) heard(peer string, before, theirs, after time.Time) {
	if trip := after.Sub(before); trip < 0 || trip > maxWallTrip {
		return // an answer that took long, or this wall was set meanwhile
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off == nil {
		w.off = map[string]time.Duration{}
	}
	w.off[peer] = theirs.Sub(before.Add(after.Sub(before) / 2))
}

// skew is how far this node's wall is from the median of its peers, and false
// while fewer than two of the given nodes have been heard: of two clocks nobody
// can say which is wrong. Of an even number the middle one that is nearer counts.
func (w *walls) skew(peers []string) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var offs []time.Duration
	for _, peer := range peers {
		if off, ok := w.off[peer]; ok {
			offs = append(offs, off)
		}
	}
	if len(offs) < 2 {
		return 0, false
	}
	slices.Sort(offs)
	low, high := offs[(len(offs)-1)/2], offs[len(offs)/2]
	return -slices.MinFunc([]time.Duration{low, high}, func(a, b time.Duration) int { return cmp.Compare(a.Abs(), b.Abs()) }), true
}

// skewed reports by how much this node's wall is wrong, if that is more than the
// topology allows. Such a node coordinates no write, and removes nothing that
// seems to have expired.
func (n *Node) skewed() (time.Duration, bool) {
	off, ok := n.walls.skew(slices.DeleteFunc(n.Live(), func(node string) bool { return node == n.id }))
	limit := n.opts.Topology.Clock.MaxSkew
	return off, ok && limit > 0 && off.Abs() > limit
}

// refuseSkewed refuses to coordinate while this node's wall is wrong.
func (n *Node) refuseSkewed() error {
	off, bad := n.skewed()
	if !bad {
		return nil
	}
	n.count.SkewRefusals.Add(1)
	return refuse(Unavailable, clockSkew, "the clock of node %s is %s off that of its peers, %s are allowed: it takes no writes; set it right", n.id, off.Round(time.Millisecond), n.opts.Topology.Clock.MaxSkew).
		with("node", n.id).with("skew", off.Round(time.Millisecond).String())
}

// watchSkew says loudly when the wall goes wrong, and when it is right again.
func (n *Node) watchSkew() {
	tick := time.NewTicker(scrubLooks * n.opts.Exchange)
	defer tick.Stop()
	was := false
	for {
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
		off, bad := n.skewed()
		if bad != was {
			n.opts.Logger.Error("clock skew", "off", off, "allowed", n.opts.Topology.Clock.MaxSkew, "refusing_writes", bad)
		}
		was = bad
	}
}
