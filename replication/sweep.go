package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	maxSweeping = 512 // replicas compared with one node at once
	takersAtOne = 8   // of their answers, at once
)

// Comparison compares this node's replica of a partition with another
// datacenter's, from the root of the tree down, and takes over what differs
// (rules 3 to 5). Its methods are not called concurrently.
type Comparison interface {
	// Step returns the next question and of which kind it is. Asked twice
	// without an answer in between, it returns the same.
	Step() (kind StepKind, ask []byte)
	// Take takes the answer to the last step and returns when what came of it is
	// durable.
	Take(answer []byte) error
	// Whole reports whether nothing is left to be asked.
	Whole() bool
	// Finish takes the other side's clock over, after the last step.
	Finish() error
	// Abandon ends a comparison that cannot be finished; what it joined stays.
	// It may be called after Finish.
	Abandon()
	// Differing is how many keys were found to differ.
	Differing() int
}

// StepKind says what a step of a comparison is about, so that bytes can be
// accounted for.
type StepKind byte

// Kinds of steps.
const (
	StepTree   StepKind = iota // nodes of the tree
	StepDigest                 // keys and their digests
	StepCells                  // what differs
)

// Tally is what comparisons cost, in bytes of questions and answers before
// compression, and what they found.
type Tally struct {
	Partitions  uint64 // that were compared
	Keys        uint64 // that differed, where keys were compared
	TreeBytes   uint64 // of roots and nodes of trees
	DigestBytes uint64 // of keys and digests
	CellBytes   uint64 // of what was taken over
}

func (t *Tally) add(o Tally) {
	t.Partitions += o.Partitions
	t.Keys += o.Keys
	t.TreeBytes += o.TreeBytes
	t.DigestBytes += o.DigestBytes
	t.CellBytes += o.CellBytes
}

func (t *Tally) count(kind StepKind, bytes int) {
	switch kind {
	case StepTree:
		t.TreeBytes += uint64(bytes)
	case StepDigest:
		t.DigestBytes += uint64(bytes)
	case StepCells:
		t.CellBytes += uint64(bytes)
	}
}

// tally is a Tally that counts since the start. Safe for concurrent use.
type tally struct{ partitions, keys, tree, digest, cells atomic.Uint64 }

func (t *tally) add(o Tally) {
	t.partitions.Add(o.Partitions)
	t.keys.Add(o.Keys)
	t.tree.Add(o.TreeBytes)
	t.digest.Add(o.DigestBytes)
	t.cells.Add(o.CellBytes)
}

func (t *tally) load() Tally {
	return Tally{t.partitions.Load(), t.keys.Load(), t.tree.Load(), t.digest.Load(), t.cells.Load()}
}

// sweeps are the comparisons with one datacenter. All that are under way with
// one of its nodes go down in step, many to a message, so that their number
// does not multiply the round trips.
type sweeps struct {
	life    context.Context //nolint:containedctx // of the asker: a sweep outlives who asked for it
	mu      sync.Mutex
	queued  map[string][]*sweeping // by node
	running map[string]bool
	counted tally
}

// sweeping is one comparison under way.
type sweeping struct {
	a       *asker
	node    string // that it is with
	replica Replica
	needed  func() bool // asked when its turn has come: nothing is compared if not; nil: it is
	turn    bool        // it has come, see turns; of turns alone until then
	c       Comparison  // nil before that
	kind    StepKind    // of the step that is being asked
	cost    Tally
	done    chan error // capacity 1
}

// compare compares a replica with a node's and takes over what differs, if that
// is still needed when its turn has come.
func (a *asker) compare(ctx context.Context, r Replica, node string, needed func() bool) (Tally, error) {
	s := &sweeping{a: a, node: node, replica: r, needed: needed, done: make(chan error, 1)}
	a.queue(node, s)
	return s.wait(ctx)
}

// begun begins to compare replicas with a node's, all in step.
func (a *asker) begun(rs []Replica, node string) []*sweeping {
	out := make([]*sweeping, len(rs))
	for i, r := range rs {
		out[i] = &sweeping{a: a, node: node, replica: r, done: make(chan error, 1)}
	}
	a.queue(node, out...)
	return out
}

// queue hands comparisons to the sweep of a node, and starts it where none goes on.
func (a *asker) queue(node string, all ...*sweeping) {
	w := &a.sweeps
	w.mu.Lock()
	w.queued[node] = append(w.queued[node], all...)
	start := !w.running[node]
	w.running[node] = true
	w.mu.Unlock()
	if start && !a.x.spawn(func() { a.sweep(w.life, Peer{a.dc, node}) }) {
		for rest := w.take(node, nil); len(rest) > 0; rest = w.take(node, nil) {
			for _, s := range rest {
				a.end(s, ErrClosed)
			}
		}
	}
}

// wait returns when the comparison has ended, which it does with its sweep.
func (s *sweeping) wait(ctx context.Context) (Tally, error) {
	select {
	case err := <-s.done:
		return s.cost, err
	case <-ctx.Done():
		return Tally{}, ctx.Err()
	}
}

// take moves what waits into active, and ends the sweep when nothing is left.
func (w *sweeps) take(node string, active []*sweeping) []*sweeping {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := w.queued[node]
	n := min(maxSweeping-len(active), len(waiting))
	active = append(active, waiting[:n]...)
	if w.queued[node] = waiting[n:]; len(w.queued[node]) == 0 {
		delete(w.queued, node)
	}
	if len(active) == 0 {
		delete(w.running, node)
	}
	return active
}

// sweep asks a node for one step after another of all that is to be compared
// with it, until there is nothing more.
func (a *asker) sweep(ctx context.Context, node Peer) {
	var active []*sweeping
	for {
		if active = a.sweeps.take(node.Node, active); len(active) == 0 {
			return
		}
		active = a.begin(active)
		asked, err := a.stepAll(ctx, node, active)
		if err != nil {
			for _, s := range active {
				if s.c != nil { // it did not end with the answer before
					a.end(s, err)
				}
			}
			active = nil
			continue
		}
		// Those that were asked go behind the others.
		left := make([]*sweeping, 0, len(active))
		for _, s := range append(active[asked:], active[:asked]...) {
			if s.c != nil {
				left = append(left, s)
			}
		}
		active = left
	}
}

// begin begins what is new, and drops what cannot be, need not be, or has to wait
// for its turn.
func (a *asker) begin(active []*sweeping) []*sweeping {
	out := active[:0]
	for _, s := range active {
		if s.c == nil {
			if !a.x.exchange.turns.take(s) {
				continue // it is queued again when its turn has come
			}
			if s.needed != nil && !s.needed() {
				a.end(s, nil)
				continue
			}
			c, err := a.x.opts.Local.Compare(s.replica)
			if err != nil {
				a.end(s, err)
				continue
			}
			s.c = c
		}
		out = append(out, s)
	}
	return out
}

// end tells whoever waits for a comparison, and lets the next of its replica begin.
func (a *asker) end(s *sweeping, err error) {
	if s.c != nil {
		s.cost.Keys = uint64(s.c.Differing())
		s.c.Abandon()
		s.c = nil
		if err == nil {
			s.cost.Partitions = 1
		}
	}
	a.sweeps.counted.add(s.cost)
	if next := a.x.exchange.turns.pass(s); next != nil {
		next.a.queue(next.node, next)
	}
	s.done <- err
}

var errNoAnswer = errors.New("node answered no step")

// stepAll asks for one step of as many comparisons as fit into a question, and
// takes the answers. It returns how many, from the first on, were asked for. An
// error is one of all of them.
func (a *asker) stepAll(ctx context.Context, node Peer, active []*sweeping) (asked int, err error) {
	if len(active) == 0 {
		return 0, nil
	}
	q := query{kind: askSteps}
	size := 0
	for _, s := range active[:min(len(active), maxParts)] {
		kind, ask := s.c.Step()
		if size += len(ask); len(q.parts) > 0 && size > questionSize {
			break
		}
		s.kind = kind
		s.cost.count(kind, len(ask))
		q.parts = append(q.parts, stepPart{s.replica, ask})
	}
	raw, err := a.request(ctx, node, &q, missingTimeout)
	if err != nil {
		return 0, err
	}
	replies, err := decodeReplies(raw)
	if err == nil && (len(replies) == 0 || len(replies) > len(q.parts)) {
		err = errNoAnswer
	}
	if err != nil {
		return 0, err
	}
	var g errgroup.Group
	g.SetLimit(takersAtOne)
	for i, reply := range replies {
		g.Go(func() error {
			a.takeReply(node, active[i], reply)
			return nil
		})
	}
	_ = g.Wait() // always nil
	return len(replies), a.x.throttle(ctx, a.dc, len(raw))
}

// takeReply takes one answer, and ends the comparison if that was the last.
func (a *asker) takeReply(node Peer, s *sweeping, reply stepReply) {
	if reply.failed {
		a.end(s, &RemoteError{node, string(reply.answer)})
		return
	}
	s.cost.count(s.kind, len(reply.answer))
	err := s.c.Take(reply.answer)
	if err == nil && !s.c.Whole() {
		return
	}
	if err == nil {
		err = s.c.Finish()
	}
	if err != nil {
		err = fmt.Errorf("compare partition %d with node %s: %w", s.replica.Partition, node, err)
	}
	a.end(s, err)
}
