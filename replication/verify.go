package replication

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	verifyLooks  = 12          // at a replica that does not stand still, in one round
	windowPoll   = time.Minute // between two looks at whether the window is open
	dayOfWindows = 24 * time.Hour
)

// Window is a part of every day, in time since midnight UTC. It may go over
// midnight. The zero Window is always open.
type Window struct{ From, To time.Duration }

// Open reports whether the window is open at a time.
func (w Window) Open(at time.Time) bool {
	if w.From == w.To {
		return true
	}
	now := at.UTC().Sub(at.UTC().Truncate(dayOfWindows))
	if w.From < w.To {
		return w.From <= now && now < w.To
	}
	return now >= w.From || now < w.To
}

// Verified is how the replicas that this node speaks for stood to those of one
// remote datacenter when they were last compared as a whole.
type Verified struct {
	DC         string
	At         time.Time // the end of the last round; zero before the first
	Partitions int       // that were compared in it
	Equal      int       // clocks and trees alike, at one moment
	Busy       int       // that never stood still; their trees were compared all the same
	Unasked    int       // about which nobody answered
	Rounds     uint64    // since the start
	Unequal    uint64    // found since the start: the trees differed though the clocks did not
	Tally      Tally     // of all comparisons since the start, whatever the occasion
}

// Verified tells of every remote datacenter, in order.
func (x *Replicator) Verified() []Verified {
	x.exchange.mu.Lock()
	defer x.exchange.mu.Unlock()
	var out []Verified
	for dc := range x.view.Load().shared {
		if a := x.exchange.askers[dc]; a != nil {
			v := a.verified.load()
			v.DC, v.Tally = dc, a.sweeps.counted.load()
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b Verified) int { return slices.Compare([]string{a.DC}, []string{b.DC}) })
	return out
}

// verified is a Verified that changes.
type verified struct {
	mu  sync.Mutex
	now Verified
}

func (v *verified) load() Verified {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *verified) store(round Verified) {
	v.mu.Lock()
	defer v.mu.Unlock()
	round.Rounds, round.Unequal = v.now.Rounds+1, v.now.Unequal+round.Unequal
	v.now = round
}

// verifyAll compares everything with the datacenter every VerifyEvery, while the
// window is open.
func (a *asker) verifyAll(ctx context.Context) {
	x := a.x
	if !pause(ctx, x.phase(x.opts.VerifyEvery, "verify "+a.dc)) {
		return
	}
	for {
		wait := min(windowPoll, x.opts.VerifyEvery)
		if x.opts.VerifyWindow.Open(x.opts.Now()) {
			wait = x.opts.VerifyEvery
			a.verifyRound(ctx)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// look is what one look at the roots of some replicas told.
type look struct {
	own map[Replica]rootOf
	how map[Replica]byte // 0: equal; those about which nobody answered are missing
}

// lookAt asks for the standing of replicas. Later attempts ask other nodes.
func (a *asker) lookAt(ctx context.Context, rs []Replica, salt uint64, attempt int) look {
	out := look{own: map[Replica]rootOf{}, how: map[Replica]byte{}}
	byNode := map[string][]rootOf{}
	for _, r := range rs {
		nodes := a.x.opts.Local.Candidates(a.dc, r)
		own, err := a.x.rootOf(r, salt)
		switch {
		case len(nodes) == 0:
		case err != nil:
			out.how[r] = notReady
		default:
			out.own[r] = own
			node := nodes[attempt%len(nodes)]
			byNode[node] = append(byNode[node], own)
		}
	}
	for node, roots := range byNode {
		for part := range slices.Chunk(roots, maxAsked) {
			q := query{kind: askRoots, salt: salt, roots: part}
			raw, err := a.request(ctx, Peer{a.dc, node}, &q, clocksTimeout)
			if err != nil {
				a.x.opts.Logger.Debug("roots not compared", "datacenter", a.dc, "node", node, "error", err)
				continue
			}
			a.sweeps.counted.tree.Add(uint64(len(q.encode()) + len(raw)))
			standings, err := decodeStandings(raw, len(part))
			if err != nil {
				a.x.opts.Logger.Warn("roots not compared", "datacenter", a.dc, "node", node, "error", err)
				continue
			}
			for i, how := range standings {
				out.how[part[i].replica] = how
			}
		}
	}
	return out
}

// verifyRound looks at all replicas that this node speaks for until each was
// found equal, or was looked at often enough. A replica whose tree differs at
// equal clocks, twice and unchanged in between, is compared whole, as is one that
// never stood still: what is merely under way must not look like a difference.
func (a *asker) verifyRound(ctx context.Context) {
	v := verifying{pending: a.ledNow(), asked: map[Replica]bool{}}
	v.round.Partitions = len(v.pending)
	salt := rand.Uint64()
	for attempt := 0; len(v.pending) > 0 && attempt < verifyLooks; attempt++ {
		if attempt > 0 && !pause(ctx, a.x.opts.InFlight) {
			return
		}
		suspects := v.sift(a.lookAt(ctx, v.pending, salt, attempt))
		for _, r := range suspects {
			v.round.Unequal++
			a.x.opts.Logger.Warn("trees differ though clocks do not, replica is compared", "datacenter", a.dc,
				"placement", r.Placement, "partition", r.Partition)
		}
		a.compareAll(ctx, suspects)
	}
	a.compareAll(ctx, v.busy())
	if ctx.Err() == nil {
		v.round.At = a.x.opts.Now()
		a.verified.store(v.round)
	}
}

// verifying is a round of verification under way.
type verifying struct {
	round   Verified
	pending []Replica
	asked   map[Replica]bool // somebody told of it
	before  look
}

// sift takes what a look settles out of pending, and returns what has not
// changed since the look before and differs all the same.
func (v *verifying) sift(now look) (suspects []Replica) {
	v.pending = slices.DeleteFunc(v.pending, func(r Replica) bool {
		how, told := now.how[r]
		v.asked[r] = v.asked[r] || told
		switch {
		case told && how == 0:
			v.round.Equal++
			return true
		case how == rootsDiffer && v.before.how[r] == rootsDiffer && v.before.own[r] == now.own[r]:
			suspects = append(suspects, r)
			return true
		}
		return false
	})
	v.before = now
	return suspects
}

// busy lists what never stood still and whose tree was another one at the end.
func (v *verifying) busy() (out []Replica) {
	for _, r := range v.pending {
		if !v.asked[r] {
			v.round.Unasked++
			continue
		}
		v.round.Busy++
		if v.before.how[r]&rootsDiffer != 0 {
			out = append(out, r)
		}
	}
	return out
}

// ledNow lists the replicas to compare, in order.
func (a *asker) ledNow() []Replica {
	view := a.x.view.Load()
	led := slices.DeleteFunc(slices.Clone(a.x.opts.Local.Led()), func(r Replica) bool { return !view.shares(a.dc, r.Placement) })
	slices.SortFunc(led, Replica.compare)
	return slices.Compact(led)
}

// compareAll compares replicas, all at once: they go down together.
func (a *asker) compareAll(ctx context.Context, rs []Replica) {
	var all []*sweeping
	for node, rs := range a.byFirst(rs) {
		all = append(all, a.begun(rs, node)...)
	}
	for _, s := range all {
		if _, err := s.wait(ctx); err != nil && ctx.Err() == nil {
			a.x.opts.Logger.Warn("replica not compared", "datacenter", a.dc, "placement", s.replica.Placement,
				"partition", s.replica.Partition, "error", err)
		}
	}
}

// byFirst groups replicas by the first node of the other datacenter to ask.
func (a *asker) byFirst(rs []Replica) map[string][]Replica {
	out := map[string][]Replica{}
	for _, r := range rs {
		if nodes := a.x.opts.Local.Candidates(a.dc, r); len(nodes) > 0 {
			out[nodes[0]] = append(out[nodes[0]], r)
		}
	}
	return out
}
