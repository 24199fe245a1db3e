package dc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// A node that lost its disk comes back with an empty one. What it acknowledged
// before, together with one other owner, that owner alone has now: a read of the
// two others would not see it. So a replica of a directory that is new counts for
// no read until it has all that so many of its co-owners told since the directory was
// opened that no write quorum is left without one of them, and all of them that
// are alive. See docs/decisions/0014.

// recovery knows which replicas of this node do not count for reads. Safe for
// concurrent use.
type recovery struct {
	n     *Node
	begun time.Time

	under atomic.Bool // some may not; false for good once they do

	mu    sync.Mutex
	l     *layout                                     // that held is of
	held  []storage.ReplicaID                         // what this node owns
	marks map[storage.ReplicaID]map[string]crdt.Clock // what each co-owner told first
	whole map[storage.ReplicaID]bool                  // those that count
}

func newRecovery(n *Node) *recovery {
	r := &recovery{n: n, begun: n.now(), marks: map[storage.ReplicaID]map[string]crdt.Clock{}, whole: map[storage.ReplicaID]bool{}}
	r.under.Store(n.store.Recovering())
	return r
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

// run looks, again and again, which replicas have recovered, until all have.
func (r *recovery) run() {
	tick := time.NewTicker(max(r.n.opts.Exchange/10, time.Millisecond))
	defer tick.Stop()
	for r.under.Load() {
		if r.look() {
			if err := r.n.store.Recovered(); err != nil {
				r.n.opts.Logger.Warn("note that all is recovered", "error", err)
			} else {
				r.under.Store(false)
				r.n.opts.Logger.Info("all replicas of the new directory count for reads", "after", r.n.now().Sub(r.begun))
				return
			}
		}
		select {
		case <-tick.C:
		case <-r.n.ctx.Done():
			return
		}
	}
}

// look finds which replicas have recovered, and reports whether all have. A
// node that owns nothing yet has not: it may not know the ring under which it does.
func (r *recovery) look() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.n.layout(); l != r.l {
		r.l, r.held = l, r.n.replicasOf(l, r.n.id)
	}
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
