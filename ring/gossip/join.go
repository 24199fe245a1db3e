package gossip

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	firstPause    = time.Second     // between the first attempts to join, doubling up to RejoinEvery
	spreadPause   = time.Second     // at least, between two rounds of passing a document on
	joinAtOnce    = 3               // seeds or peers contacted in one round
	streamTimeout = 5 * time.Second // for a connection attempt, and for an exchange of state
)

// keepJoined joins seeds that are not alive members, for as long as the node
// runs. Without it two halves of a healed partition that have given each other
// up may never meet again: the library gossips to the dead only for a while.
func (g *Gossip) keepJoined(ctx context.Context) {
	pause, from := min(firstPause, g.opts.RejoinEvery), 0
	for {
		round := rotate(g.missingSeeds(), from, joinAtOnce)
		from += len(round)
		g.joinAll(ctx, round)
		if g.opts.RejoinEvery < 0 {
			pause = math.MaxInt64
		}
		if !g.pause(ctx, pause) {
			return
		}
		pause = min(2*pause, g.opts.RejoinEvery)
	}
}

// pause waits, and meanwhile passes on documents that change. It returns false
// when the node is to end.
func (g *Gossip) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-g.spread:
		}
		g.joinAll(ctx, g.somePeers())
		select {
		case <-ctx.Done():
			return false
		case <-time.After(spreadPause):
		}
	}
}

// missingSeeds returns the seeds other than this node that are not members.
func (g *Gossip) missingSeeds() []Seed {
	present := make(map[string]bool)
	for _, p := range g.Members() {
		if p.State.Present() {
			present[p.ID], present[p.Addr] = true, true
		}
	}
	return slices.DeleteFunc(slices.Clone(g.opts.Seeds()), func(s Seed) bool {
		return s.ID == g.opts.Node || s.ID != "" && present[s.ID] || present[s.Addr]
	})
}

// somePeers returns a few members at random.
func (g *Gossip) somePeers() []Seed {
	var out []Seed
	for _, p := range g.Members() {
		if p.State.Present() && p.ID != g.opts.Node {
			out = append(out, Seed{ID: p.ID, Addr: p.Addr})
		}
	}
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:min(len(out), joinAtOnce)]
}

// joinAll exchanges state with each seed and waits for all exchanges to end.
func (g *Gossip) joinAll(ctx context.Context, seeds []Seed) {
	var wait sync.WaitGroup
	for _, s := range seeds {
		wait.Go(func() {
			if err := g.join(ctx, s); err != nil && ctx.Err() == nil {
				g.opts.Logger.Warn("seed not joined: not up, or of another cluster, datacenter or key",
					"node", g.opts.Node, "cluster", g.opts.Cluster, "datacenter", g.opts.DC,
					"seed", s.ID, "address", s.Addr, "error", err)
			}
		})
	}
	wait.Wait()
}

// join exchanges state with one seed, twice if need be: when both sides count
// each other as dead, the first exchange makes them object and the second
// carries the objection over.
func (g *Gossip) join(ctx context.Context, s Seed) error {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return fmt.Errorf("address of seed %q: %w", s.ID, err)
	}
	// The library would ask a name server over TCP for any record of the name.
	ip, err := resolve(ctx, host)
	if err != nil {
		return fmt.Errorf("resolve seed %q: %w", s.ID, err)
	}
	addr := net.JoinHostPort(ip.String(), port)
	exchange := func() error {
		if _, err := g.list.Join([]string{addr}); err != nil {
			return fmt.Errorf("join seed %q at %s: %w", s.ID, addr, err)
		}
		return nil
	}
	if err := exchange(); err != nil || !slices.Contains(g.missingSeeds(), s) {
		return err
	}
	return exchange()
}

// resolve returns the first address of a host name, or the address itself.
func resolve(ctx context.Context, host string) (net.IP, error) {
	if ip := net.ParseIP(host); ip != nil {
		return ip, nil
	}
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up %q: %w", host, err)
	}
	return ips[0], nil
}

// rotate returns up to n elements, beginning at from and going round.
func rotate(seeds []Seed, from, n int) []Seed {
	out := make([]Seed, 0, n)
	for i := range min(n, len(seeds)) {
		out = append(out, seeds[(from+i)%len(seeds)])
	}
	return out
}
