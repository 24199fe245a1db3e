package replication

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/zeebo/xxh3"
)

const (
	viewEvery    = time.Second
	offerTimeout = 5 * time.Second
)

// view is who takes part, as last looked at. It is never changed.
type view struct {
	live   []string
	peers  []Peer
	shared map[string][]uint32 // by remote datacenter: the placements that it and this one hold, in order
	abroad map[uint32]bool     // placements that some remote datacenter shares
}

func (x *Replicator) newView() *view {
	v := &view{shared: map[string][]uint32{}, abroad: map[uint32]bool{}}
	v.live = slices.Sorted(slices.Values(x.opts.LiveNodes()))
	if len(v.live) == 0 {
		v.live = []string{x.opts.Self.Node}
	}
	own := x.opts.Placements(x.opts.Self.DC)
	for _, p := range x.opts.Peers() {
		if p.DC == x.opts.Self.DC {
			continue
		}
		v.peers = append(v.peers, p)
		if _, known := v.shared[p.DC]; known {
			continue
		}
		theirs := x.opts.Placements(p.DC)
		both := slices.DeleteFunc(slices.Clone(own), func(n uint32) bool { return !slices.Contains(theirs, n) })
		slices.Sort(both)
		v.shared[p.DC] = slices.Compact(both)
		for _, n := range both {
			v.abroad[n] = true
		}
	}
	return v
}

// shares reports whether a remote datacenter and this one hold the placement.
func (v *view) shares(dc string, placement uint32) bool {
	_, ok := slices.BinarySearch(v.shared[dc], placement)
	return ok
}

// puller is the node of this datacenter that pulls a lane of a peer: all nodes
// that see the same nodes alive name the same one, and a node that comes or
// goes moves only its own lanes.
// Source: Thaler and Ravishankar, rendezvous hashing.
func (v *view) puller(p Peer, lane int) string {
	return slices.MaxFunc(v.live, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a, p, lane), rank(b, p, lane)), cmp.Compare(a, b))
	})
}

func rank(node string, p Peer, lane int) uint64 {
	return xxh3.HashString(node + "\x00" + p.DC + "\x00" + p.Node + "\x00" + strconv.Itoa(lane))
}

// keepUp follows membership: it offers lanes to remote datacenters, pulls the
// lanes that are this node's to pull, and compares clocks with each datacenter.
func (x *Replicator) keepUp(ctx context.Context) {
	k := keeper{x: x, offered: map[string][]uint32{}, pulls: map[pullID]*pulling{}, asks: map[string]context.CancelFunc{}}
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	for {
		v := x.newView()
		x.view.Store(v)
		k.offer(ctx, v)
		k.pull(ctx, v)
		k.reviveStalled(ctx)
		k.ask(ctx, v)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-x.look:
		}
	}
}

type pullID struct {
	peer Peer
	lane int
}

// keeper is what keepUp has started.
type keeper struct {
	x       *Replicator
	offered map[string][]uint32
	pulls   map[pullID]*pulling
	asks    map[string]context.CancelFunc
}

func (k *keeper) offer(ctx context.Context, v *view) {
	for dc := range k.offered {
		if _, ok := v.shared[dc]; !ok && k.offerTo(ctx, dc, nil) {
			delete(k.offered, dc)
		}
	}
	for dc, placements := range v.shared {
		if have, ok := k.offered[dc]; (!ok || !slices.Equal(have, placements)) && k.offerTo(ctx, dc, placements) {
			k.offered[dc] = placements
		}
	}
}

// offerTo reports success; a failure is tried again at the next look.
func (k *keeper) offerTo(ctx context.Context, dc string, placements []uint32) bool {
	ctx, cancel := context.WithTimeout(ctx, offerTimeout)
	defer cancel()
	err := k.x.opts.Link.Offer(ctx, dc, placements)
	if err != nil && ctx.Err() == nil {
		k.x.opts.Logger.Warn("lanes not offered, next attempt follows", "datacenter", dc, "error", err)
	}
	return err == nil
}

func (k *keeper) pull(ctx context.Context, v *view) {
	want := map[pullID]bool{}
	for _, p := range v.peers {
		for lane := range Lanes {
			if v.puller(p, lane) == k.x.opts.Self.Node {
				want[pullID{p, lane}] = true
			}
		}
	}
	for id, p := range k.pulls {
		if !want[id] {
			p.stop()
			delete(k.pulls, id)
		}
	}
	for id := range want {
		if k.pulls[id] == nil {
			p := &pulling{pulse: newPulse(), anew: make(chan struct{}, 1)}
			pulling, cancel := context.WithCancel(ctx)
			k.pulls[id], p.stop = p, cancel
			k.x.spawn(func() { p.run(pulling, k.x, id) })
		}
	}
}

// pulling is one lane that is being pulled.
type pulling struct {
	stop  context.CancelFunc
	pulse *pulse
	anew  chan struct{} // the pull is to begin anew; capacity 1
}

func (p *pulling) again() { poke(p.anew) }

// run pulls until ctx ends, and begins anew when told to.
func (p *pulling) run(ctx context.Context, x *Replicator, id pullID) {
	for ctx.Err() == nil {
		once, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		x.spawn(func() {
			select {
			case <-p.anew:
				cancel()
			case <-ended:
			}
		})
		in := &intake{x: x, id: id, last: map[uint32]arrival{}, pulse: p.pulse}
		in.run(once)
		again := once.Err() != nil
		close(ended)
		cancel()
		if !again {
			return
		}
	}
}

func (k *keeper) ask(ctx context.Context, v *view) {
	want := map[string]bool{}
	for dc := range v.shared {
		want[dc] = true
	}
	stopOthers(k.asks, want)
	for dc := range want {
		if k.asks[dc] == nil {
			asking, cancel := context.WithCancel(ctx)
			k.asks[dc] = cancel
			a := newAsker(asking, k.x, dc)
			k.x.spawn(func() { a.run(asking) })
			k.x.spawn(func() { a.verifyAll(asking) })
			if k.x.opts.Notices != nil {
				h := &herald{x: k.x, dc: dc}
				k.x.spawn(func() { h.run(asking) })
			}
		}
	}
}

func stopOthers[K comparable](running map[K]context.CancelFunc, want map[K]bool) {
	maps.DeleteFunc(running, func(id K, cancel context.CancelFunc) bool {
		if !want[id] {
			cancel()
		}
		return !want[id]
	})
}
