package dc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

const (
	scrubRate  = 16 << 20 // bytes a second
	scrubLooks = 5        // exchanges of clocks between two looks at what is due
	remintMost = 256      // events of one scrub that mint again
)

// scrubber re-reads every replica of this node now and then, and those soon
// that repair has put ahead of their clock.
type scrubber struct {
	n    *Node
	last map[storage.ReplicaID]time.Time
	rate *rate.Limiter
	rand *rand.Rand
}

func newScrubber(n *Node) *scrubber {
	return &scrubber{
		n: n, last: map[storage.ReplicaID]time.Time{}, rate: rate.NewLimiter(scrubRate, scrubRate),
		rand: rand.New(rand.NewPCG(n.opts.Rand.Uint64(), n.opts.Rand.Uint64())),
	}
}

// run looks, again and again, for a replica that is due.
func (s *scrubber) run() {
	n := s.n
	tick := time.NewTicker(scrubLooks * n.opts.Exchange)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
		for _, r := range s.due() {
			if err := s.one(r); err != nil && n.ctx.Err() == nil {
				n.opts.Logger.Error("scrub", "replica", r.ID().String(), "error", err)
			}
		}
	}
}

// due lists what to scrub now. The first time, a replica is due at a random
// moment of the interval, so that they do not all come at once.
func (s *scrubber) due() []*storage.Replica {
	var out []*storage.Replica
	now := s.n.now()
	for _, r := range s.n.store.Replicas() {
		last, known := s.last[r.ID()]
		if !known {
			last = now.Add(-time.Duration(s.rand.Int64N(int64(s.n.opts.ScrubEvery))))
			s.last[r.ID()] = last
		}
		ahead := r.AheadSince()
		urgent := !ahead.IsZero() && now.Sub(ahead) >= s.n.opts.OrphanAfter && now.Sub(last) >= s.n.opts.OrphanAfter
		if urgent || now.Sub(last) >= s.n.opts.ScrubEvery {
			out = append(out, r)
		}
	}
	return out
}

// one scrubs a replica and does what its state calls for.
func (s *scrubber) one(r *storage.Replica) error {
	n := s.n
	s.last[r.ID()] = n.now()
	generation := r.Generation()
	found, err := r.Scrub(func(bytes int) error { return s.rate.WaitN(n.ctx, min(bytes, scrubRate)) })
	if err != nil {
		return err
	}
	n.count.ScrubbedReplicas.Add(1)
	n.count.ScrubbedBytes.Add(uint64(found.Bytes))
	switch {
	case found.Wrong != nil:
		n.count.ScrubsWrong.Add(1)
		rebuilt, err := n.rebuild(r, generation)
		if err != nil {
			return fmt.Errorf("%w; to rebuild it: %w", found.Wrong, err)
		}
		return fmt.Errorf("%w (dropped, to be rebuilt from its co-owners: %t)", found.Wrong, rebuilt)
	case len(found.Ahead) > 0 && !r.AheadSince().IsZero():
		return n.remint(r, found.Ahead)
	}
	return nil
}

// rebuild drops a replica that is damaged, if every other owner is there and
// has all its events: it is then taken from them anew, under a new actor.
func (n *Node) rebuild(r *storage.Replica, generation uint64) (bool, error) {
	own := r.Durable()
	l := n.layout()
	others := 0
	for _, owner := range l.holders(r.ID()) {
		if owner == n.id {
			continue
		}
		others++
		if !n.alive(owner) || !n.peers.covers(owner, r.ID(), &own) {
			return false, nil
		}
	}
	if others == 0 {
		return false, nil
	}
	n.fence.Lock()
	defer n.fence.Unlock()
	return r.Drop(generation)
}

// covers reports whether a peer has told that it has all of a clock.
func (c *catchUp) covers(peer string, id storage.ReplicaID, clock *crdt.Clock) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.at(id).peers[peer]
	return h != nil && h.now.Covers(clock)
}

// remint deals with what stands ahead of the clock for long. Its events may be
// lost with the only replica that had them. If this node speaks for the
// partition it joins all co-owners, and what is then still in nobody's clock,
// though the node that minted it took part, is minted again.
func (n *Node) remint(r *storage.Replica, keys []crdt.KeyID) error {
	id := r.ID()
	l := n.layout()
	readers := l.readers(id)
	if first := slices.IndexFunc(readers, n.alive); first < 0 || readers[first] != n.id {
		return nil
	}
	joined := []string{n.id}
	for _, owner := range l.holders(id) {
		if owner == n.id {
			continue
		}
		if !n.alive(owner) {
			return nil // later
		}
		ctx, cancel := context.WithTimeout(n.ctx, n.opts.Timeout)
		err := n.peers.takeWhole(ctx, owner, id)
		cancel()
		if err != nil {
			return fmt.Errorf("join %s: %w", owner, err)
		}
		joined = append(joined, owner)
	}
	present, _ := r.Actor()
	closed := func(a crdt.Actor) bool {
		dcName, node := n.who(a)
		return a != present && dcName == n.dc && (slices.Contains(joined, node) || !slices.Contains(l.nodes, node))
	}
	for range remintMost {
		done, err := r.Remint(keys, closed)
		if err != nil || done == nil {
			return err
		}
		n.count.Reminted.Add(1)
		if err := n.publish(id, done); err != nil {
			return err
		}
	}
	return nil
}
