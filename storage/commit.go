package storage

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// Commit is a change that is applied and on its way to disk.
type Commit struct {
	r      *Replica
	batch  *pebble.Batch
	gained crdt.Clock
	nth    uint64 // of the replica's commits
	async  bool
	once   sync.Once
	err    error
}

// Wait returns when the change is durable (at once for async durability) and
// then counts its dots as such. Every Commit must be waited for; Wait may be
// called more than once. A nil Commit changed nothing that is not yet durable.
func (c *Commit) Wait() error {
	if c == nil {
		return nil
	}
	c.once.Do(func() {
		if c.async {
			c.r.store.async.add(c)
			return
		}
		if c.err = c.batch.SyncWait(); c.err != nil {
			c.r.store.failure.Fatalf("sync the log: %v", c.err) // what was applied cannot be taken back
			return
		}
		c.r.settle(&c.gained, c.nth)
		c.err = c.batch.Close()
	})
	return c.err
}

// gain is what a commit added to the clock.
type gain struct {
	nth  uint64
	dots crdt.Clock
}

// settle counts dots as durable, and all commits up to the nth: the log is
// sequential, so syncing one makes everything before it durable. So the durable
// clock is always one that the replica had at some moment: who is told that it
// holds an event may take it that all events minted here before are in it.
func (r *Replica) settle(gained *crdt.Clock, nth uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if nth <= r.dropped { // what it gained is gone again
		return
	}
	if !gained.Empty() || len(r.unsynced) > 0 {
		defer r.store.feeds.tell(r.id)
	}
	r.durable.Union(gained)
	for len(r.unsynced) > 0 && r.unsynced[0].nth <= nth {
		if r.unsynced[0].nth > r.dropped {
			r.durable.Union(&r.unsynced[0].dots)
		}
		r.unsynced = r.unsynced[1:]
	}
	r.synced = max(r.synced, nth)
}
