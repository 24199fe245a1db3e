package storage

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// Replica is this node's copy of one partition. Safe for concurrent use. Its
// lock is held to read cells, mint and apply to the memtable, never across an
// fsync.
type Replica struct {
	store *Store
	id    ReplicaID

	mu        sync.Mutex
	state     crdt.Replica
	durable   crdt.Clock // of state.Clock, what fsync has confirmed: the only clock that peers are told
	actor     crdt.Actor // of this opening, minted with its first event
	tree      *merkle.Tree
	treeReady bool
	keys      int64 // live keys and kinds, once treeReady
	changed   time.Time
}

// ID returns the replica's id.
func (r *Replica) ID() ReplicaID { return r.id }

// toggle is a change of a leaf of the tree, and of the number of keys.
type toggle struct {
	hash uint64
	d    merkle.Digest
	keys int
}

// Commit is a change that is applied and on its way to disk.
type Commit struct {
	r      *Replica
	batch  *pebble.Batch
	gained crdt.Clock
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
			c.r.store.async.add(c.r, c.gained)
			return
		}
		if c.err = c.batch.SyncWait(); c.err == nil {
			c.r.settle(&c.gained)
		}
		c.err = errors.Join(c.err, c.batch.Close())
	})
	return c.err
}

// settle counts dots as durable.
func (r *Replica) settle(gained *crdt.Clock) {
	if gained.Empty() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.durable.Union(gained)
}

// commit is the one door: everything that changes the bytes of a partition
// ends here. Cells, headers, clock, log, residue, request ids and the bound of
// stamps go out in one atomic batch, and the tree follows in the same step.
// The caller holds the lock and has applied the rules to state already, so a
// batch that cannot be applied ends the process (see pebbleLogger).
func (r *Replica) commit(t *txn, gained crdt.Clock, log []*crdt.Delta, more func(b *pebble.Batch) error, async bool) (*Commit, error) {
	b := r.store.db.NewBatch()
	toggles, err := r.fill(b, t, &gained, log)
	if err == nil && more != nil {
		err = more(b)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("replica %s: %w", r.id, err), b.Close())
	}
	for _, g := range toggles {
		r.tree.Toggle(r.tree.LeafOf(g.hash, r.store.bits), g.d)
		r.keys += int64(g.keys)
	}
	r.changed = r.store.opts.Wall()
	c := &Commit{r: r, batch: b, gained: gained, async: async}
	if async {
		err = r.store.db.Apply(b, pebble.NoSync)
		return c, errors.Join(err, b.Close())
	}
	return c, r.store.db.ApplyNoSyncWait(b, pebble.Sync)
}

func (r *Replica) fill(b *pebble.Batch, t *txn, gained *crdt.Clock, log []*crdt.Delta) ([]toggle, error) {
	toggles, err := t.write(b)
	if err != nil {
		return nil, err
	}
	for a := range gained.All() {
		if err := b.Set(clockKey(r.id, a), crdt.AppendRanges(nil, r.state.Clock.Ranges(a)), nil); err != nil {
			return nil, err
		}
	}
	for _, d := range log {
		if err := r.writeLog(b, d); err != nil {
			return nil, err
		}
	}
	for id, changes := range r.state.Residue.TakeChanged() {
		key := appendHead(nil, tableResidue, r.id.Placement, r.store.opts.Hash(id.Bucket, []byte(id.Key)), id)
		if len(changes) == 0 {
			err = b.Delete(key, nil)
		} else {
			err = b.Set(key, crdt.AppendChanges(nil, changes), nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return toggles, r.store.stamps.store(b)
}

// Mutation is a client's operation on its way to the door.
type Mutation struct {
	Key     crdt.KeyID
	Op      *crdt.Op
	Request crdt.RequestID // zero for none
	Async   bool           // the bucket's durability
}

// Done is what an operation did.
type Done struct {
	crdt.Result
	Delta   *crdt.Delta // the event, to be sent to the co-owners; nil when nothing changed
	Commit  *Commit     // to be waited for
	Repeats bool        // the request was carried out before; Result is what it was then
}

// Mutate is rule 1: it reads the cells, mints the next dot and applies the
// event, all under the lock. A request id that was seen before is not carried
// out again: the answer is that of the first time.
func (r *Replica) Mutate(m *Mutation) (*Done, error) {
	if r.store.disk.low.Load() && !freesSpace(m.Op.Code) {
		return nil, ErrDiskLow
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store.closed.Load() {
		return nil, ErrClosed
	}
	if m.Request != (crdt.RequestID{}) {
		if done, err := r.repeated(m.Request); done != nil || err != nil {
			return done, err
		}
	}
	stored, err := r.storedKinds(m.Key)
	if err != nil {
		return nil, err
	}
	if r.actor == 0 {
		r.actor = r.store.newActor(&r.state.Clock)
	}
	t := r.newTxn()
	dot := crdt.Dot{Actor: r.actor, Seq: r.state.Clock.Last(r.actor) + 1}
	stamp := func(seen crdt.Stamp) crdt.Stamp { return r.store.stamps.next(r.store.opts.Wall(), seen) }
	d, result, err := r.state.Mutate(t, m.Key, stored, m.Op, dot, stamp)
	if err != nil || d == nil {
		return &Done{Result: result}, err
	}
	if m.Request != (crdt.RequestID{}) {
		d.Requests = []crdt.Request{{Seq: dot.Seq, ID: m.Request}}
	}
	if _, err := r.state.Apply(t, d); err != nil {
		return nil, err
	}
	var gained crdt.Clock
	gained.Add(dot)
	record := func(b *pebble.Batch) error { return r.writeRequest(b, m.Request, dot, result) }
	c, err := r.commit(t, gained, []*crdt.Delta{d}, record, m.Async)
	return &Done{Result: result, Delta: d, Commit: c}, err
}

func freesSpace(code crdt.OpCode) bool {
	return code == crdt.OpDelete || code == crdt.OpRemove
}

// Apply is rule 2 for events of co-owners and other datacenters, in one batch.
// It returns a nil Commit when all of them were known and durable.
func (r *Replica) Apply(deltas []*crdt.Delta, async bool) (*Commit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store.closed.Load() {
		return nil, ErrClosed
	}
	t := r.newTxn()
	var gained crdt.Clock
	var log []*crdt.Delta
	for _, d := range deltas {
		gained.AddRange(d.Actor, d.Lo, d.Hi)
		if news, err := r.applyOne(t, d); err != nil {
			return nil, err
		} else if news {
			log = append(log, d)
		}
	}
	if len(log) == 0 && r.durable.Covers(&gained) {
		return nil, nil
	}
	record := func(b *pebble.Batch) error { return r.writeRequests(b, log) }
	return r.commit(t, gained, log, record, async)
}

// applyOne refuses a delta whole before it changes anything: every cell is
// read first, so that the rule meets no error half way.
func (r *Replica) applyOne(t *txn, d *crdt.Delta) (bool, error) {
	for i := range d.Changes {
		if _, err := t.slot(d.Changes[i].ID); err != nil {
			return false, err
		}
	}
	return r.state.Apply(t, d)
}

// Clock returns a copy of the clock in memory.
func (r *Replica) Clock() crdt.Clock {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Clock.Clone()
}

// Durable returns a copy of the clock that fsync has confirmed, the only one
// that may be told to anybody.
func (r *Replica) Durable() crdt.Clock {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.durable.Clone()
}

// Actor is the actor of this opening; false before its first event.
func (r *Replica) Actor() (crdt.Actor, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.actor, r.actor != 0
}

// Barrier returns when all that was applied before the call is durable. What
// is read after the replica changed and before a barrier may still be lost, so
// it must not be told to another replica.
func (r *Replica) Barrier() error {
	r.mu.Lock()
	clock := r.state.Clock.Clone()
	settled := r.durable.Covers(&clock)
	r.mu.Unlock()
	if settled {
		return nil
	}
	// The log is sequential: syncing now makes everything before it durable.
	if err := r.store.db.LogData(nil, pebble.Sync); err != nil {
		return err
	}
	r.settle(&clock)
	return nil
}
