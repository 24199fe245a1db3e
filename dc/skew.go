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

// maxWallTrip is the longest time between two looks at this node's wall whose
// middle counts as the moment at which a peer looked at its own.
const maxWallTrip = 200 * time.Millisecond

// heard notes what a peer's wall showed between two moments of this node's. When
// it is unknown at which moment in between, the peer is off by no more than is
// certain.
func (w *walls) heard(peer string, before, theirs, after time.Time) {
	trip := after.Sub(before)
	if trip < 0 {
		return // this wall was set meanwhile
	}
	off := theirs.Sub(before.Add(trip / 2))
	if trip > maxWallTrip {
		off = max(off-trip/2, 0) + min(off+trip/2, 0)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off == nil {
		w.off = map[string]time.Duration{}
	}
	w.off[peer] = off
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

// count is how many peers were heard.
func (w *walls) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.off)
}

// skewed reports by how much this node's wall is wrong, if that is more than the
// topology allows. Such a node coordinates no write, and removes nothing that
// seems to have expired.
func (n *Node) skewed() (off time.Duration, bad bool) {
	off, _, bad = n.compareWalls()
	return off, bad
}

// compareWalls is skewed; unsure says that the node has peers that could tell
// whether its wall is right, and has not heard from them since it started.
func (n *Node) compareWalls() (off time.Duration, unsure, bad bool) {
	limit := n.topology().Clock.MaxSkew
	if limit <= 0 {
		return 0, false, false
	}
	off, told := n.walls.skew(slices.DeleteFunc(n.Live(), func(node string) bool { return node == n.id }))
	if told {
		return off, false, off.Abs() > limit
	}
	// A peer counts as alive once it has been heard: here those matter that may be.
	mayTell := slices.DeleteFunc(slices.Clone(n.layout().nodes), func(node string) bool { return node == n.id || n.suspected(node) })
	return off, len(mayTell) >= 2 && n.walls.count() < 2, false
}

// refuseSkewed refuses to coordinate while this node's wall is wrong, or may be:
// a stamp from the future wins over everything for as long as it lies there.
func (n *Node) refuseSkewed() error {
	off, unsure, bad := n.compareWalls()
	switch {
	case unsure:
		n.count.SkewRefusals.Add(1)
		return n.uncompared()
	case !bad:
		return nil
	}
	n.count.SkewRefusals.Add(1)
	return refuse(Unavailable, clockSkew, "the clock of node %s is %s off that of its peers, %s are allowed: it takes no writes; set it right", n.id, off.Round(time.Millisecond), n.topology().Clock.MaxSkew).
		with("node", n.id).with("skew", off.Round(time.Millisecond).String())
}

func (n *Node) uncompared() error {
	return refuse(Unavailable, clockSkew, "node %s has just started, and takes no writes before its clock is compared with those of its peers", n.id).with("node", n.id)
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
			n.opts.Logger.Error("clock skew", "off", off, "allowed", n.topology().Clock.MaxSkew, "refusing_writes", bad)
		}
		was = bad
	}
}
