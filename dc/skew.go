package dc

import (
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// walls is what the wall clocks of the other nodes of this datacenter show, by the
// exchange of clocks. A wall is told by how far it is ahead of this node's steady
// clock, which nobody sets: so a peer's counts after it has fallen silent as well,
// and this node's own wall is found wrong, or right again, in the moment it is set.
// Safe for concurrent use.
type walls struct {
	mu sync.Mutex
	of map[string]sighting

	median atomic.Pointer[median] // of of; nil while fewer than two peers were heard
}

// sighting is one look at a peer's wall.
type sighting struct {
	ahead time.Duration // of this node's steady clock
	own   time.Duration // how far this node's own wall was
	at    time.Duration // by the steady clock
}

// median is the middle of the peers' walls, or the middle two: how far they are
// ahead of this node's steady clock. It holds while this node's own wall is not set.
type median struct{ low, high, own time.Duration }

// moment is what this node's clocks show at once.
type moment struct {
	wall   time.Time
	steady time.Duration
}

// ahead is how far the wall is ahead of the steady clock.
func (m moment) ahead() time.Duration { return time.Duration(m.wall.UnixNano()) - m.steady }

// moment looks at both clocks: a time.Time has a reading of each. Walls that have
// none of the steady clock, as in tests, are taken for steady themselves.
func (n *Node) moment() moment {
	wall := n.now()
	return moment{wall, wall.Sub(n.opened)}
}

const (
	// maxWallTrip is the longest time between two looks at this node's wall whose
	// middle counts as the moment at which a peer looked at its own.
	maxWallTrip = 200 * time.Millisecond
	// wallSet is by how much the wall and the steady clock may differ over what
	// passed between two looks; where they do by more, the wall was set, or the
	// machine was suspended.
	wallSet = 10 * time.Millisecond
	// recentWalls is for how many exchanges a peer's wall counts before those of
	// peers that were not heard for longer, and after this node's own was set.
	recentWalls = 3
)

// heard notes what a peer's wall showed between two moments of this node's; recent
// is as in middle. When it is unknown at which moment in between, the peer is off by
// no more than is certain.
func (w *walls) heard(peer string, before moment, theirs time.Time, after moment, recent time.Duration) {
	trip := after.steady - before.steady
	if trip < 0 || (after.ahead()-before.ahead()).Abs() > wallSet {
		return
	}
	off := theirs.Sub(before.wall.Add(trip / 2))
	if trip > maxWallTrip {
		off = max(off-trip/2, 0) + min(off+trip/2, 0)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[string]sighting{}
	}
	w.of[peer] = sighting{after.ahead() + off, after.ahead(), after.steady}
	w.median.Store(middle(w.of, after, recent))
}

// keep forgets those who are no members.
func (w *walls) keep(members []string, now moment, recent time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.of, func(node string, _ sighting) bool { return !slices.Contains(members, node) })
	w.median.Store(middle(w.of, now, recent))
}

// middle is the median of the walls that were looked at within a recent time; where
// that are fewer than two, of all: of two clocks nobody can say which is wrong, and
// it takes three. But what was seen longer ago, and before this node's own wall was
// set, says nothing of that: it may have been set right, or the machine suspended,
// for which time the steady clock stood still.
func middle(of map[string]sighting, now moment, recent time.Duration) *median {
	var lately, all []time.Duration
	for _, s := range of {
		switch {
		case s.at >= now.steady-recent:
			lately = append(lately, s.ahead)
		case (s.own - now.ahead()).Abs() > wallSet:
			continue
		}
		all = append(all, s.ahead)
	}
	if len(lately) < 2 {
		lately = all
	}
	if len(lately) < 2 {
		return nil
	}
	slices.Sort(lately)
	return &median{lately[(len(lately)-1)/2], lately[len(lately)/2], now.ahead()}
}

// skew is how far this node's wall is ahead of the median of its peers, and false
// while fewer than two have been heard. Of two in the middle the nearer one counts.
func (w *walls) skew(now moment, recent time.Duration) (time.Duration, bool) {
	m := w.median.Load()
	if m == nil {
		return 0, false
	}
	if (m.own - now.ahead()).Abs() > wallSet { // the wall was set since
		w.mu.Lock()
		m = middle(w.of, now, recent)
		w.mu.Unlock()
		if m == nil {
			return 0, false
		}
	}
	low, high := now.ahead()-m.low, now.ahead()-m.high
	if low.Abs() < high.Abs() {
		return low, true
	}
	return high, true
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
	now, recent := n.moment(), n.recentWalls()
	if off, told := n.walls.skew(now, recent); told {
		return off, false, off.Abs() > limit
	}
	mayTell := 0
	for _, node := range n.layout().nodes {
		// One that is silent may be alive: this process may have stood still. One
		// that cannot be connected to tells nothing, except that a node that has
		// just been started has perhaps not tried for long enough.
		if node != n.id && (time.Since(n.opened) < askFor(n.opts.Exchange) || !math.IsInf(n.opts.Health.Phi(node), 1)) {
			mayTell++
		}
	}
	return 0, mayTell >= 2, false
}

// recentWalls is for how long what peers' walls showed counts in any case.
func (n *Node) recentWalls() time.Duration { return recentWalls * n.opts.Exchange }

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
