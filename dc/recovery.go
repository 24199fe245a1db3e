package dc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// A node that lost its disk comes back with an empty one, or with an old copy of it.
// What it acknowledged since, together with one other owner, that owner alone has
// now: a read of the two others would not see it. So its replicas count for no read
// until they have all that so many of their co-owners told since the directory was
// opened that no write quorum is left without one of them, and all of them that
// are alive. Of a directory that is new the node knows; that one is old others tell,
// and until those that can be reached were asked, no replica counts. See
// docs/decisions/0014.

// recovery knows which replicas of this node do not count for reads. Safe for
// concurrent use.
type recovery struct {
	n     *Node
	began time.Time
	anew  chan struct{} // holds a token when others told that something is forgotten

	under atomic.Bool // some replicas may not count

	mu     sync.Mutex
	warned bool                                        // somebody told that something is forgotten
	l      *layout                                     // that held is of
	held   []storage.ReplicaID                         // what this node owns
	marks  map[storage.ReplicaID]map[string]crdt.Clock // what each co-owner told first
	whole  map[storage.ReplicaID]bool                  // those that count
}

func newRecovery(n *Node) *recovery {
	r := &recovery{
		n: n, began: time.Now(), anew: make(chan struct{}, 1),
		marks: map[storage.ReplicaID]map[string]crdt.Clock{}, whole: map[storage.ReplicaID]bool{},
	}
	r.under.Store(true)
	return r
}

// forgot notes that a peer remembers of this node what it does not tell any more.
func (r *recovery) forgot(peer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.warned {
		return
	}
	r.warned = true
	if !r.n.store.Recovering() {
		r.n.opts.Logger.Warn("this node had more than it has: its directory is an older copy; until it has all back its replicas do not count for reads", "peer", peer)
		clear(r.whole)
	}
	r.under.Store(true)
	select {
	case r.anew <- struct{}{}:
	default:
	}
}

// lacks reports whether a replica may lack what it once acknowledged.
func (r *recovery) lacks(id storage.ReplicaID) bool {
	if !r.under.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.whole[id]
}

// left counts the replicas that others would read and that do not count.
func (r *recovery) left() int {
	if !r.under.Load() {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	left := 0
	for _, id := range r.held {
		if !r.whole[id] && slices.Contains(r.l.readers(id), r.n.id) {
			left++
		}
	}
	return left
}

// moved notes that a replica has all that it needs as a new owner, see moves.caughtUp.
func (r *recovery) moved(id storage.ReplicaID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole[id] = true
}

// run looks, again and again, which replicas have recovered.
func (r *recovery) run() {
	tick := time.NewTicker(max(r.n.opts.Exchange/10, time.Millisecond))
	defer tick.Stop()
	for {
		if r.under.Load() && r.step() {
			tick.Stop()
		}
		select {
		case <-tick.C:
		case <-r.anew:
			tick.Reset(max(r.n.opts.Exchange/10, time.Millisecond))
		case <-r.n.ctx.Done():
			return
		}
	}
}

// step reports whether all replicas count.
func (r *recovery) step() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	store, log := r.n.store, r.n.opts.Logger
	if l := r.n.layout(); l != r.l {
		r.l, r.held = l, r.n.replicasOf(l, r.n.id)
	}
	switch {
	case !store.Recovering() && !r.warned:
		if !r.asked() {
			return false
		}
		r.under.Store(false)
		return true
	case !store.Recovering():
		if err := store.Recover(); err != nil {
			log.Warn("note that this node is recovering", "error", err)
			return false
		}
	}
	if !r.look() {
		return false
	}
	if err := store.Recovered(); err != nil {
		log.Warn("note that all is recovered", "error", err)
		return false
	}
	log.Info("all replicas count for reads", "after", time.Since(r.began))
	r.under.Store(false)
	return true
}

// pulls reports whether this node may fetch what it lacks. Before the others were
// asked it may not: what it once had and lost it would have again before one of them
// comes to tell of it, and with that nothing would tell of what nobody remembers.
func (r *recovery) pulls() bool {
	if !r.under.Load() || r.n.store.Recovering() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.warned || r.l != nil && r.asked()
}

// asked reports whether every other node that can be reached has been asked whether
// something is forgotten. The caller holds the lock.
func (r *recovery) asked() bool {
	if time.Since(r.began) > askFor(r.n.opts.Exchange) {
		return true
	}
	return !slices.ContainsFunc(r.l.nodes, func(node string) bool { return node != r.n.id && !r.n.peers.answered(node) })
}

// askFor is how long others are waited for: a node that is alive answers within two
// rounds.
func askFor(exchange time.Duration) time.Duration { return 2 * exchange }

// look finds which replicas have recovered, and reports whether all have. A
// node that owns nothing yet has not: it may not know the ring under which it does.
// The caller holds the lock.
func (r *recovery) look() bool {
	all := len(r.held) > 0
	for _, id := range r.held {
		if r.whole[id] {
			continue
		}
		if r.marks[id] == nil {
			r.marks[id] = map[string]crdt.Clock{}
		}
		r.whole[id] = r.n.coversQuorums(r.l, r.l.readers(id), id, r.marks[id])
		if !r.whole[id] {
			all = false
		} else {
			delete(r.marks, id)
		}
	}
	return all
}

// coversQuorums reports whether this node's replica has all that a set of owners
// had acknowledged at some moment since the node was opened, and under the present
// epoch: all that are alive told their clocks since, and so many that no write
// quorum is left without one, and the replica has what they told. Marks hold what
// each told first, so that what is written meanwhile does not count.
func (n *Node) coversQuorums(l *layout, owners []string, id storage.ReplicaID, marks map[string]crdt.Clock) bool {
	own := n.store.Replica(id).Durable()
	told, others := 0, 0
	for _, owner := range owners {
		if owner == n.id {
			continue
		}
		others++
		mark, ok := marks[owner]
		if !ok {
			if mark, ok = n.peers.toldUnder(l.doc.Epoch, owner, id); ok {
				marks[owner] = mark
			}
		}
		switch {
		case !ok && n.alive(owner):
			return false
		case ok && !own.Covers(&mark):
			return false
		case ok:
			told++
		}
	}
	return told >= min(len(owners)-leastQuorum(len(owners))+1, others)
}
