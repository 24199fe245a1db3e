package dc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
)

// maxTogether bounds the increments that are carried out at once.
const maxTogether = 256

// together has increments of one counter that come while an earlier one is on
// its way to disk wait for that, and then carries all of them out at once, as one
// run of events: one commit here, one message to each of the co-owners. An
// increment that finds nobody under way waits for nobody. The zero value is
// ready. Safe for concurrent use.
type together struct {
	mu     sync.Mutex
	queues map[crowd][]*member // of those under way, who waits
}

// crowd is what increments have in common that are carried out together.
type crowd struct {
	id      storage.ReplicaID
	key     crdt.KeyID
	copies  int // that are asked for
	strict  bool
	recalls uint64 // at the same number of recalls, an id is refused to all of them or to none
}

// member is one increment.
type member struct {
	op      *crdt.Op
	request crdt.RequestID

	turn chan struct{} // closed when this one is to carry out all that wait
	over chan struct{} // closed when resp and err count
	resp *v1.UpdateResponse
	err  error
}

func (m *member) end(resp *v1.UpdateResponse, err error) {
	m.resp, m.err = resp, err
	close(m.over)
}

// sharesCommits reports whether an operation is a plain increment.
func sharesCommits(op *crdt.Op) bool {
	counter := op.Kind == crdt.NoKind || op.Kind == crdt.Counter || op.Kind == crdt.GCounter
	return op.Code == crdt.OpAdd && counter && op.Context == nil && !op.KeepTTL && op.At == 0
}

// coordinateShared is coordinate, for increments together with others where there
// are some.
func (n *Node) coordinateShared(ctx context.Context, t *target, op *crdt.Op, request crdt.RequestID, w func(owners int) int) (*v1.UpdateResponse, error) {
	if sharesCommits(op) {
		resp, err := n.together.carryOut(ctx, n, t, &member{op: op, request: request}, w)
		if !errors.Is(err, storage.ErrAlone) {
			return resp, err
		}
	}
	return n.coordinate(ctx, t, op, request, w)
}

// carryOut carries out an increment, alone or with others. storage.ErrAlone tells
// that it was not, and is to be carried out by itself.
func (c *together) carryOut(ctx context.Context, n *Node, t *target, m *member, w func(owners int) int) (*v1.UpdateResponse, error) {
	of := crowd{t.id, t.key, w(len(t.owners)), t.strict, t.recalls}
	m.turn, m.over = make(chan struct{}), make(chan struct{})
	if c.enter(of, m) {
		select {
		case <-m.over:
			return m.resp, m.err
		case <-m.turn:
		case <-ctx.Done():
			if c.leave(of, m) {
				return nil, ctx.Err()
			}
			select {
			case <-m.turn: // the others must not wait for ever
			default:
				return nil, refuse(Unavailable, "WRITE_INDETERMINATE", "the increment was under way together with others when its time was up; it may still become visible")
			}
		}
	}
	group := c.take(of, m)
	release := sync.OnceFunc(func() { c.pass(of) })
	defer release()
	n.coordinateAll(ctx, t, group, w, release)
	return m.resp, m.err
}

// enter has an increment wait if others are under way.
func (c *together) enter(of crowd, m *member) (waits bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queues == nil {
		c.queues = map[crowd][]*member{}
	}
	queue, busy := c.queues[of]
	if busy {
		queue = append(queue, m)
	}
	c.queues[of] = queue
	return busy
}

// leave takes an increment out of those that wait, unless it is under way.
func (c *together) leave(of crowd, m *member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.queues[of] {
		if other == m {
			c.queues[of] = append(c.queues[of][:i:i], c.queues[of][i+1:]...)
			return true
		}
	}
	return false
}

// take returns the one whose turn it is with all that wait, as many as there may be.
func (c *together) take(of crowd, m *member) []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := c.queues[of]
	more := min(len(queue), maxTogether-1)
	c.queues[of] = queue[more:]
	return append([]*member{m}, queue[:more]...)
}

// pass gives the turn to the first that waits.
func (c *together) pass(of crowd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := c.queues[of]
	if len(queue) == 0 {
		delete(c.queues, of)
		return
	}
	c.queues[of] = queue[1:]
	close(queue[0].turn)
}

// coordinateAll carries increments out as coordinate does one, and ends all of
// them. It calls release as soon as the next may begin.
func (n *Node) coordinateAll(ctx context.Context, t *target, group []*member, w func(owners int) int, release func()) {
	// What one caller's patience is must not be the end of the others' increments.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.opts.Timeout)
	defer cancel()
	async := t.bucket.Durability == "async"
	done, run, commit, err := n.mutateAll(t, group, async)
	if err != nil {
		for _, m := range group {
			m.end(nil, err)
		}
		return
	}
	var carried []int
	var results []*peerv1.RequestResult
	for i, m := range group {
		if done[i].Err != nil {
			m.end(nil, alone(done[i].Err))
			continue
		}
		carried = append(carried, i)
		results = append(results, resultsOf(m.request, &done[i].Done.Result)...)
	}
	if run == nil {
		return
	}
	copies, standIns, enough, err := n.spreadRun(ctx, t, run, commit, results, async, w, release)
	if len(carried) > 1 {
		n.count.IncrementsJoined.Add(uint64(len(carried)))
	}
	for _, i := range carried {
		m := group[i]
		switch {
		case err != nil:
			m.end(nil, err)
		case !enough:
			m.end(nil, tooFewCopies(t, copies, w))
		default:
			resp := n.answerOf(t, m.op, done[i].Done)
			n.nameEvent(t, resp, done[i].Done.Dot)
			resp.Answer.Copies, resp.Answer.StandIns = uint32(copies), uint32(standIns)
			m.end(resp, nil)
		}
	}
}

// alone has an increment carried out by itself where that may end otherwise: of
// a key that has expired, the other owners are asked first.
func alone(err error) error {
	if errors.Is(err, storage.ErrExpired) {
		return storage.ErrAlone
	}
	return err
}

// mutateAll makes the run of events. Who was recalled meanwhile is not part of it.
func (n *Node) mutateAll(t *target, group []*member, async bool) ([]storage.Grouped, *crdt.Delta, *storage.Commit, error) {
	out := make([]storage.Grouped, len(group))
	var ms []*storage.Mutation
	var of []int // places of ms in group
	for i, m := range group {
		end, ok := n.requests.begin(m.request, t.recalls)
		if !ok {
			out[i].Err = triedElsewhere()
			continue
		}
		defer end()
		ms = append(ms, &storage.Mutation{Key: t.key, Op: m.op, Request: m.request, Async: async})
		of = append(of, i)
	}
	if len(ms) == 0 {
		return out, nil, nil, nil
	}
	done, run, commit, err := n.store.Replica(t.id).MutateTogether(ms)
	for i := range done {
		out[of[i]] = done[i]
	}
	return out, run, commit, err
}

// spreadRun is coordinate from the moment the events are made: they go to the
// co-owners while this node's copy is on its way to disk.
func (n *Node) spreadRun(
	ctx context.Context, t *target, run *crdt.Delta, commit *storage.Commit, results []*peerv1.RequestResult, async bool,
	w func(owners int) int, release func(),
) (copies, standIns int, enough bool, err error) {
	s := n.newSpread(t.id, []*crdt.Delta{run}, [][]byte{crdt.AppendDelta(nil, run)})
	s.async, s.strict, s.results = async, t.strict, results
	s.send(ctx, n.layout())
	if err := commit.Wait(); err != nil {
		return 0, 0, false, fmt.Errorf("commit: %w", err)
	}
	release()
	s.copied(n.id)
	if r := n.replicator(); r != nil {
		r.Notify(replication.Replica(t.id), run)
	}
	enough = s.wait(ctx, w)
	copies, standIns = s.copies()
	return copies, standIns, enough, nil
}
