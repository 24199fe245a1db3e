package storage

import (
	"errors"
	"fmt"
	"slices"
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

	mu         sync.Mutex
	state      crdt.Replica
	durable    crdt.Clock // of state.Clock, what fsync has confirmed: the only clock that peers are told
	applied    uint64     // commits so far
	synced     uint64     // of applied, how many are known to be durable
	unsynced   []gain     // of the commits after synced, in order
	dropped    uint64     // of applied, up to which one the replica was dropped
	actor      crdt.Actor // of this opening, minted with its first event
	tree       *merkle.Tree
	treeReady  bool
	keys       int64     // live keys and kinds, once treeReady
	aheadSince time.Time // see AheadSince
	mixed      bool      // it may hold more than events have put into it, see Ahead
	changed    time.Time
	contested  int // records of the index of conflicts
	manyKinds  int // of them, keys of several kinds
	kept       heads
	asked      asked
}

// ID returns the replica's id.
func (r *Replica) ID() ReplicaID { return r.id }

// toggle is a change of a leaf of the tree, and of the number of keys.
type toggle struct {
	hash uint64
	d    merkle.Digest
	keys int
}

// commit is the one door: everything that changes the bytes of a partition
// ends here. Cells, headers, log (without one, the clock), residue and request
// ids go out in one atomic batch, and the tree follows in the same step. What is
// gained is what the entries of log tell of, or, where there are none, any dots. The caller holds the
// lock and has applied the rules to state already, so everything that can be
// unreadable has been read before, and a batch that cannot be applied ends the
// process (see pebbleLogger).
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
	r.countConflicts(t, len(log) == 0)
	t.keep()
	r.applied++
	if !gained.Empty() {
		r.unsynced = append(r.unsynced, gain{r.applied, gained})
	}
	c := &Commit{r: r, batch: b, gained: gained, nth: r.applied, async: async}
	if !b.Empty() {
		r.changed = r.store.opts.Wall()
	} else if err := b.LogData(nil, nil); err != nil { // an empty batch would wait for nothing
		return nil, errors.Join(err, b.Close())
	}
	if async {
		err = r.store.db.Apply(b, pebble.NoSync)
		return c, errors.Join(err, b.Close())
	}
	return c, r.store.db.ApplyNoSyncWait(b, pebble.Sync)
}

// again is a Commit for what was applied before and may not be durable yet.
// The caller holds the lock.
func (r *Replica) again(async bool) (*Commit, error) {
	c, err := r.commit(r.newTxn(), crdt.Clock{}, nil, nil, async)
	if err == nil {
		c.gained = r.state.Clock.Clone()
	}
	return c, err
}

func (r *Replica) fill(b *pebble.Batch, t *txn, gained *crdt.Clock, log []*crdt.Delta) ([]toggle, error) {
	toggles, err := t.write(b)
	if err != nil {
		return nil, err
	}
	if len(log) == 0 { // else its entries tell of all that was gained
		if err := r.writeClock(b, gained); err != nil {
			return nil, err
		}
	}
	for _, d := range log {
		if err := r.writeLog(b, d); err != nil {
			return nil, err
		}
	}
	for id, changes := range r.state.Residue.TakeChanged() {
		key := headKey(tableResidue, r.id.Placement, r.store.opts.Hash(id.Bucket, []byte(id.Key)), id)
		if len(changes) == 0 {
			err = b.Delete(key, nil)
		} else {
			err = b.Set(key, crdt.AppendChanges(nil, changes), nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return toggles, nil
}

// Mutation is a client's operation on its way to the door.
type Mutation struct {
	Key     crdt.KeyID
	Op      *crdt.Op       // Now is filled in, when 0
	Request crdt.RequestID // zero for none
	Async   bool           // the bucket's durability
	Looked  bool           // a key that has expired here has expired at the co-owners as well
	Before  time.Time      // after which no event is made any more; zero: whenever
}

// ErrLate reports a Mutation that came after its Before. It changed nothing.
var ErrLate = errors.New("the time for it is over")

// Done is what an operation did.
type Done struct {
	crdt.Result
	Delta   *crdt.Delta // the event, to be sent to the co-owners; nil when nothing changed
	Dot     crdt.Dot    // of the event; Delta may be a run that contains it
	Commit  *Commit     // to be waited for
	Repeats bool        // the request was carried out before; Result is what it was then
	Untold  bool        // of Result only Kind counts: the event came from others without an answer

	// After is the counters and members of zsets that the event changed, as this
	// replica holds them with it, where Result does not tell them: of maps, of
	// several members and, as they are now, of requests that repeat without an answer.
	After []crdt.CellState
}

// Mutate is rule 1: it reads the cells, mints the next dot and applies the
// event, all under the lock. A request id that was seen before is not carried
// out again: the answer is that of the first time. Of a key that has expired,
// what is left is removed in the same event, so the first try is ErrExpired,
// and Looked is for the second.
func (r *Replica) Mutate(m *Mutation) (*Done, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	r.turn()
	defer r.done()
	if m.Request != (crdt.RequestID{}) {
		if done, err := r.repeated(m); done != nil || err != nil {
			return done, err
		}
		if res, known := r.store.unchanged.get(askedOf{r.id, m.Request}); known {
			return r.idle(m, res)
		}
	}
	if r.store.disk.low.Load() && !freesSpace(m.Op.Code) {
		return nil, ErrDiskLow
	}
	t := r.newTxn()
	defer t.release()
	d, result, err := r.mint(t, m)
	if err != nil {
		return nil, err
	}
	// The stamp is taken: however long this process stands still from here on, what
	// others write after that moment comes later.
	if !m.Before.IsZero() && !time.Now().Before(m.Before) {
		return nil, ErrLate
	}
	if d == nil {
		return r.idle(m, result)
	}
	if err := t.preload(d); err != nil {
		return nil, err
	}
	if _, err := r.state.Apply(t, d); err != nil {
		return nil, err
	}
	dot := crdt.Dot{Actor: d.Actor, Seq: d.Lo}
	var gained crdt.Clock
	gained.Add(dot)
	record := func(b *pebble.Batch) error { return r.writeRequest(b, m.Request, dot, result, true) }
	done := &Done{Result: result, Delta: d, Dot: dot}
	if toldBeside(m.Op) {
		if done.After, err = t.after(d, m.Key, result.Kind); err != nil {
			return nil, err
		}
	}
	done.Commit, err = r.commit(t, gained, []*crdt.Delta{d}, record, m.Async)
	return done, err
}

// mint makes the event of an operation, nil where there is nothing to change.
// It changes nothing. The caller holds the lock.
func (r *Replica) mint(t *txn, m *Mutation) (*crdt.Delta, crdt.Result, error) {
	stored, err := t.storedKinds(m.Key)
	if err != nil {
		return nil, crdt.Result{}, err
	}
	dot := r.nextDot()
	var unkept error
	stamp := func(seen crdt.Stamp) crdt.Stamp {
		at, err := r.store.stamps.next(r.store.db, r.store.opts.Wall(), seen)
		unkept = errors.Join(unkept, err)
		return at
	}
	op := *m.Op
	if op.Now == 0 {
		op.Now = r.store.opts.Wall().UnixMilli()
	}
	if err := t.refuseExpired(m, stored, op.Now); err != nil {
		return nil, crdt.Result{}, err
	}
	d, result, err := r.state.Mutate(t, m.Key, stored, &op, dot, stamp)
	if err := errors.Join(err, unkept); err != nil {
		return nil, result, err
	}
	if d != nil && m.Request != (crdt.RequestID{}) {
		d.Requests = []crdt.Request{{Seq: dot.Seq, ID: m.Request}}
	}
	return d, result, nil
}

// nextDot is the name of the next event that is minted here. The caller holds
// the lock.
func (r *Replica) nextDot() crdt.Dot {
	if r.actor == 0 {
		r.actor = r.store.newActor(&r.state.Clock)
	}
	return crdt.Dot{Actor: r.actor, Seq: r.state.Clock.Last(r.actor) + 1}
}

func freesSpace(code crdt.OpCode) bool {
	return code == crdt.OpDelete || code == crdt.OpRemove || code == crdt.OpSweep
}

// Apply is rule 2 for events of co-owners and other datacenters, in one batch.
// It returns a nil Commit when all of them were known and durable.
// On an error nothing has changed.
func (r *Replica) Apply(deltas []*crdt.Delta, async bool) (*Commit, error) {
	return r.ApplyAnswered(deltas, nil, async)
}

// ApplyAnswered is Apply for events of which it is known what the requests that
// they carried out were answered with.
func (r *Replica) ApplyAnswered(deltas []*crdt.Delta, answers map[crdt.RequestID]crdt.Result, async bool) (*Commit, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	r.turn()
	defer r.done()
	t := r.newTxn()
	defer t.release()
	for _, d := range deltas {
		r.mixed = r.mixed || mixes(d)
		if err := t.preload(d); err != nil {
			return nil, err
		}
	}
	known, err := r.recorded(deltas) // read before the rules are applied, like the cells
	if err != nil {
		return nil, err
	}
	var gained crdt.Clock
	var log []*crdt.Delta
	for _, d := range deltas {
		gained.AddRange(d.Actor, d.Lo, d.Hi)
		if news, err := r.state.Apply(t, d); err != nil {
			return nil, err
		} else if news {
			log = append(superseded(log, d), d)
		}
	}
	if len(log) == 0 {
		if r.durable.Covers(&gained) {
			return nil, nil
		}
		return r.again(async)
	}
	record := func(b *pebble.Batch) error { return r.writeRequests(b, log, known, answers) }
	return r.commit(t, gained, log, record, async)
}

// superseded takes out of log what d, a run of events, contains.
func superseded(log []*crdt.Delta, d *crdt.Delta) []*crdt.Delta {
	if d.Lo == d.Hi {
		return log
	}
	return slices.DeleteFunc(log, func(e *crdt.Delta) bool { return e.Actor == d.Actor && d.Lo <= e.Lo && e.Hi <= d.Hi })
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
	if err := r.store.enter(); err != nil {
		return err
	}
	defer r.store.leave()
	r.mu.Lock()
	if r.synced == r.applied {
		r.mu.Unlock()
		return nil
	}
	clock, nth := r.state.Clock.Clone(), r.applied
	r.mu.Unlock()
	if err := r.store.db.LogData(nil, pebble.Sync); err != nil {
		return err
	}
	r.settle(&clock, nth)
	return nil
}
