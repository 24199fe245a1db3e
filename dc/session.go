package dc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// A session gives read-your-writes, monotonic reads, monotonic writes and
// writes-follow-reads for each key (Terry, Demers, Petersen, Spreitzer, Theimer,
// Welch, "Session guarantees for weakly consistent replicated data", PDIS 1994).
// An answer tells which events it shows, and a replica that coordinates a later
// request of the session must hold those durably before it begins.

const (
	sessionPull  = 250 * time.Millisecond // pause between two times that co-owners are asked
	sessionLook  = 2 * time.Millisecond   // first pause between two looks at the own clock
	sessionMost  = 50 * time.Millisecond  // and the longest
	missingShown = 4                      // actors that a refusal names
)

// visit is one request of a session at the owner that coordinates it. A nil
// visit is a request of no session.
type visit struct {
	n      *Node
	t      *target
	before token
}

// enter opens the session of a request and waits until this replica holds
// durably what the session has seen. Before it returns an error, nothing was done.
func (n *Node) enter(ctx context.Context, t *target, s *v1.Session) (*visit, error) {
	if s == nil {
		return nil, nil
	}
	if len(s.GetTokens()) > maxTokens {
		return nil, refuse(InvalidArgument, "BAD_SESSION", "%d tokens of a session in one request, at most %d are allowed", len(s.GetTokens()), maxTokens)
	}
	v := &visit{n: n, t: t}
	for _, b := range s.GetTokens() {
		tok, err := n.openToken(t.id, b)
		if err != nil {
			return nil, err
		}
		v.before.clock.Union(&tok.clock)
		v.before.truncated = v.before.truncated || tok.truncated
	}
	replica := n.store.Replica(t.id)
	if err := mintedBy(replica, &v.before.clock); err != nil {
		return nil, err
	}
	return v, n.catchUpTo(ctx, t, &v.before.clock)
}

// mintedBy refuses dots of the replica's own actor that it has not minted yet:
// they would stand for events that are still to come.
func mintedBy(r *storage.Replica, c *crdt.Clock) error {
	actor, ok := r.Actor()
	if !ok {
		return nil
	}
	if own := r.Clock(); c.Last(actor) > own.Last(actor) {
		return refuse(InvalidArgument, "BAD_SESSION", "token of the session names events that have not happened; begin a new session")
	}
	return nil
}

// catchUpTo returns once this replica holds events durably. It asks co-owners
// for them at once, rather than wait until they come.
func (n *Node) catchUpTo(ctx context.Context, t *target, want *crdt.Clock) error {
	replica := n.store.Replica(t.id)
	if holds(replica, want) {
		return nil
	}
	n.count.SessionWaits.Add(1)
	if c := replica.Clock(); c.Covers(want) {
		return replica.Barrier()
	}
	timeout := n.opts.SessionWait
	if at, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(at)*9/10) // the refusal is to arrive in time
	}
	over := time.NewTimer(timeout)
	defer over.Stop()
	pull := time.NewTimer(0)
	defer pull.Stop()
	pause := sessionLook
	for {
		select {
		case <-pull.C:
			n.pullFor(t, want)
			pull.Reset(sessionPull)
		case <-time.After(pause):
			pause = min(2*pause, sessionMost)
		case <-over.C:
			n.count.SessionsBehind.Add(1)
			return n.behind(replica, want)
		case <-ctx.Done():
			return fmt.Errorf("wait for what the session has seen: %w", ctx.Err())
		}
		if c := replica.Clock(); c.Covers(want) {
			return replica.Barrier()
		}
	}
}

func holds(r *storage.Replica, want *crdt.Clock) bool {
	c := r.Durable()
	return c.Covers(want)
}

// pullFor takes what this replica lacks from the logs of nodes that may have it:
// the other owners, and those that may stand in for one. Requests that wait for
// the same partition at the same time share it.
func (n *Node) pullFor(t *target, want *crdt.Clock) {
	_, _, _ = n.sessionPulls.Do(t.id.String(), func() (any, error) { // it has no result: the clock tells
		ctx, cancel := context.WithTimeout(n.ctx, sessionPull)
		defer cancel()
		replica := n.store.Replica(t.id)
		nodes := n.byHealth(t.owners)
		for _, node := range n.layout().nodes {
			if !slices.Contains(nodes, node) {
				nodes = append(nodes, node)
			}
		}
		for _, node := range nodes {
			if node == n.id || !n.alive(node) {
				continue
			}
			n.count.SessionPulls.Add(1)
			if err := n.takeMissing(ctx, t, node); err != nil {
				n.opts.Logger.Debug("pull for a session", "peer", node, "replica", t.id.String(), "error", err)
			}
			if c := replica.Clock(); c.Covers(want) {
				break
			}
		}
		return nil, nil
	})
}

// behind says what a session has seen and this replica lacks.
func (n *Node) behind(r *storage.Replica, want *crdt.Clock) error {
	own := r.Durable()
	missing := crdt.Difference(want, &own)
	var what, dcs, nodes []string
	for a, ranges := range missing.All() {
		dcName, node := n.who(a)
		if dcName == "" {
			dcName, node = "unknown", fmt.Sprintf("actor %016x", uint64(a))
		}
		if !slices.Contains(dcs, dcName) {
			dcs = append(dcs, dcName)
		}
		var parts []string
		for _, g := range ranges {
			parts = append(parts, fmt.Sprintf("%d-%d", g.Lo, g.Hi))
		}
		nodes = append(nodes, dcName+"/"+node)
		what = append(what, fmt.Sprintf("%s/%s:%s", dcName, node, strings.Join(parts, ",")))
	}
	if len(what) > missingShown {
		what = append(what[:missingShown], fmt.Sprintf("and %d more", len(what)-missingShown))
	}
	return refuse(FailedPrecondition, "CAUSALITY_BEHIND",
		"node %s has not yet got what the session has seen: events %s of partition %s are missing; nothing was done, try again, or go on without the session",
		n.id, strings.Join(what, " "), r.ID()).
		with("missing", strings.Join(what, " ")).with("datacenters", strings.Join(dcs, ",")).with("nodes", strings.Join(nodes, ","))
}

// leave makes the part of the session that the next request is to carry, of an
// answer that shows cells as of a clock. What the answer shows is made durable,
// for only then can another replica be asked to have it too.
func (v *visit) leave(clock *crdt.Clock, cells []crdt.CellState) (*v1.Session, error) {
	replica := v.n.store.Replica(v.t.id)
	own := replica.Durable()
	if !own.Covers(clock) {
		if err := replica.Barrier(); err != nil {
			return nil, err
		}
	}
	seen := token{clock: clock.Clone(), truncated: v.before.truncated}
	seen.clock.Union(&v.before.clock)
	for _, c := range cells {
		for _, e := range c.Live {
			seen.clock.Add(e.Dot)
		}
	}
	own = replica.Durable()
	v.n.ahead.add(v.t.id, &own, &seen.clock)
	stable := v.n.peers.stable(v.t.id, &own)
	seen.clock = crdt.Difference(&seen.clock, &stable)
	out := &v1.Session{Placement: v.t.id.Placement, Partition: v.t.id.Partition, Partitions: uint32(v.n.opts.Topology.Partitions)}
	if !seen.clock.Empty() {
		out.Tokens = [][]byte{v.n.sealToken(v.t.id, &seen)}
		out.Truncated = seen.truncated
	}
	return out, nil
}

// wrote is leave for a write, which shows what the replica holds afterwards.
func (v *visit) wrote() (*v1.Session, error) {
	clock := v.n.store.Replica(v.t.id).Clock()
	return v.leave(&clock, nil)
}

// UniteSessions makes the parts of a session that the items of one batch gave
// for the same partition one: each of them gets the same token, so that a client
// is not left with one for each item. Nil parts are left out.
func (n *Node) UniteSessions(parts []*v1.Session) error {
	united := map[storage.ReplicaID]*token{}
	each := func(f func(id storage.ReplicaID, p *v1.Session) error) error {
		for _, p := range parts {
			if len(p.GetTokens()) == 0 {
				continue
			}
			if err := f(storage.ReplicaID{Placement: p.GetPlacement(), Partition: p.GetPartition()}, p); err != nil {
				return err
			}
		}
		return nil
	}
	err := each(func(id storage.ReplicaID, p *v1.Session) error {
		all := united[id]
		if all == nil {
			all = &token{}
			united[id] = all
		}
		for _, b := range p.GetTokens() {
			t, err := n.openToken(id, b)
			if err != nil {
				return err
			}
			all.clock.Union(&t.clock)
			all.truncated = all.truncated || t.truncated
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(func(id storage.ReplicaID, p *v1.Session) error {
		p.Tokens = [][]byte{n.sealToken(id, united[id])}
		p.Truncated = united[id].truncated
		return nil
	})
}

// ahead is what replicas show and their clocks do not tell of: cells that read
// repair or a join brought came with a clock that is not taken over, or not yet.
// A removal among them leaves no dot to be seen, so a session must be told of the
// whole clock. It is kept in memory until the replica's own clock covers it.
type ahead struct {
	mu     sync.Mutex
	clocks map[storage.ReplicaID]crdt.Clock
}

// note adds the clock that cells came with.
func (a *ahead) note(id storage.ReplicaID, clock *crdt.Clock) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.clocks == nil {
		a.clocks = map[storage.ReplicaID]crdt.Clock{}
	}
	c := a.clocks[id]
	c.Union(clock)
	a.clocks[id] = c
}

// add unites what is ahead of own with to, and forgets what no longer is.
func (a *ahead) add(id storage.ReplicaID, own, to *crdt.Clock) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.clocks[id]
	if !ok {
		return
	}
	if c = crdt.Difference(&c, own); c.Empty() {
		delete(a.clocks, id)
		return
	}
	a.clocks[id] = c
	to.Union(&c)
}
