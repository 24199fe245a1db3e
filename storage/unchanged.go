package storage

import (
	"sync"

	"github.com/godwitdb/godwit/crdt"
)

// unchanged remembers what requests were answered with that found nothing to
// change: no event tells of them, and so no record. An earlier try of such a
// request, which has been on its way for longer, must find nothing to change
// either, whatever has been written since.
//
// It is in memory alone. Whoever tries again asks the same node, as long as that
// lives, or says that it is a repeat, and then all owners are asked whether they
// know the request; with a node die the tries that it had taken. It remembers the
// last unchangedMost of them at the least, and twice as many at the most, of some
// 100 B each. Safe for concurrent use.
type unchanged struct {
	mu         sync.Mutex
	young, old map[askedOf]crdt.Result
}

const unchangedMost = 1 << 14

// askedOf is a request to one replica.
type askedOf struct {
	replica ReplicaID
	request crdt.RequestID
}

func (u *unchanged) note(q askedOf, res crdt.Result) {
	if q.request == (crdt.RequestID{}) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.young == nil || len(u.young) == unchangedMost {
		u.old, u.young = u.young, map[askedOf]crdt.Result{}
	}
	u.young[q] = res
}

func (u *unchanged) get(q askedOf) (res crdt.Result, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if res, known = u.young[q]; !known {
		res, known = u.old[q]
	}
	return res, known
}

// idle answers a mutation for which there is nothing to change, or was not at
// another try. The caller holds the lock.
func (r *Replica) idle(m *Mutation, result crdt.Result) (*Done, error) {
	r.store.unchanged.note(askedOf{r.id, m.Request}, result)
	if r.synced == r.applied {
		return &Done{Result: result}, nil
	}
	c, err := r.again(m.Async) // the reason is not durable yet
	return &Done{Result: result, Commit: c}, err
}
