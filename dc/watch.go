package dc

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

const (
	watchBeat   = 250 * time.Millisecond // between two looks at who is asked
	watchBeats  = 4                      // between two times that a watch says how far it is
	watchEvery  = 1000                   // changes after which it says so as well
	watchPoll   = 2 * time.Second        // how long an owner waits for something to tell
	watchGrace  = time.Second            // that the answer may take beyond that
	watchBehind = 5 * time.Second        // after which what no owner has got is taken as lost
	watchRetry  = 100 * time.Millisecond // before a node that failed is asked again, at first
	watchSlow   = 2 * time.Second        // ... and at the most
	watchChunk  = 1 << 20                // bytes of one message of changes, about
)

// Watch tells of the keys of a bucket that change until ctx ends. What it tells
// of a key is what an owner held a moment ago, so whoever carries all of it out
// arrives at what is there. While emit blocks, nothing is asked for. It ends
// without an error, after a last cursor, when ctx ends for another reason than
// that it was canceled, or when the node closes.
func (n *Node) Watch(ctx context.Context, req *v1.WatchRequest, emit func(*v1.WatchResponse) error) error {
	if n.watches.Add(1) > int64(n.opts.MaxWatches) {
		n.watches.Add(-1)
		return refuse(ResourceExhausted, "OVERLOADED", "this node serves %d watches, which is as many as it may; nothing was done, try another node", n.opts.MaxWatches)
	}
	defer n.watches.Add(-1)
	w, err := n.openWatch(req, emit)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer w.asking.Wait()
	defer cancel(nil)
	stop := context.AfterFunc(n.ctx, func() { cancel(storage.ErrClosed) })
	defer stop()
	return w.run(ctx)
}

// watching is one watch of a client. One goroutine owns it; questions to owners are
// asked by others, one at a time for each node.
type watching struct {
	n      *Node
	req    *v1.WatchRequest
	bucket *bucket
	emit   func(*v1.WatchResponse) error

	l       *layout
	parts   []*watchPart // by partition
	polls   map[string]*poll
	trouble map[string]*trouble // nodes that failed
	answers chan pollAnswer
	asking  sync.WaitGroup

	began  bool // a cursor was told
	moved  bool // ... and is no longer the present one
	told   int  // changes since then
	rounds uint64
	beats  int
}

// watchPart is one partition of a watch.
type watchPart struct {
	id     storage.ReplicaID
	source string      // the owner that is asked
	clock  *crdt.Clock // what was told; nil before the first answer, and while list is set
	seen   crdt.Clock  // what the last source held when it told, which the next one must hold as well
	list   *watchList
	asked  uint64    // round in which it was asked last
	tried  int       // owners in a row whose log does not reach back
	behind time.Time // since when no owner holds what was told
	failed bool      // the last owner that was asked told nothing
}

// watchList is a resync under way.
type watchList struct {
	reason v1.ResyncReason
	begun  bool
	clock  crdt.Clock // of the source when it began
	after  []byte
}

// poll is a question under way.
type poll struct {
	node   string
	parts  []*watchPart
	alive  bool // the node was when it was asked
	cancel context.CancelFunc
}

type pollAnswer struct {
	*poll
	done *peerv1.TailDone
	err  error
}

type trouble struct {
	pause time.Duration
	until time.Time
}

func (n *Node) openWatch(req *v1.WatchRequest, emit func(*v1.WatchResponse) error) (*watching, error) {
	if err := n.open(); err != nil {
		return nil, err
	}
	t, err := n.target(req.GetBucket(), []byte{0}) // any key: it is the bucket that is checked
	if err != nil {
		return nil, err
	}
	if len(req.GetPrefix()) > crdt.MaxKeyBytes {
		return nil, refuse(InvalidArgument, "KEY_TOO_LONG", "prefix has %d bytes, keys have at most %d", len(req.GetPrefix()), crdt.MaxKeyBytes)
	}
	w := &watching{
		n: n, req: req, bucket: t.bucket, emit: emit, l: n.layout(),
		polls: map[string]*poll{}, trouble: map[string]*trouble{}, answers: make(chan pollAnswer),
	}
	var from []*crdt.Clock
	if len(req.GetCursor()) > 0 {
		if from, err = n.openCursor(t.bucket, req.GetPrefix(), req.GetCursor()); err != nil {
			return nil, err
		}
	}
	for i := range n.opts.Topology.Partitions {
		p := &watchPart{id: storage.ReplicaID{Placement: t.id.Placement, Partition: uint32(i)}}
		switch {
		case from != nil && from[i] != nil:
			p.clock = from[i]
		case from != nil:
			p.list = &watchList{reason: v1.ResyncReason_RESYNC_REASON_CURSOR}
		case req.GetInitial():
			p.list = &watchList{reason: v1.ResyncReason_RESYNC_REASON_INITIAL}
		}
		w.assign(p, w.best(p))
		w.parts = append(w.parts, p)
	}
	return w, nil
}

// assign has a partition told of by an owner.
func (w *watching) assign(p *watchPart, source string) {
	if source == p.source {
		return
	}
	p.source = source
	if p.list != nil { // each owner has an order of its own, and a clock
		p.list = &watchList{reason: p.list.reason}
	}
	if open := w.polls[source]; open != nil {
		open.cancel() // it is asked about this one as well
	}
}

// best is the owner that is asked first about a partition, if there is one.
func (w *watching) best(p *watchPart) string {
	owners := w.n.byHealth(w.l.readers(p.id))
	if len(owners) == 0 {
		return ""
	}
	return owners[0]
}

// giveUp turns to the next owner of a partition that is alive, or just to the next.
func (w *watching) giveUp(p *watchPart) {
	p.failed = true
	owners := w.l.readers(p.id)
	at := slices.Index(owners, p.source)
	for i := range owners {
		if next := owners[(at+1+i)%len(owners)]; w.n.alive(next) {
			w.assign(p, next)
			return
		}
	}
	if len(owners) > 0 {
		w.assign(p, owners[(at+1)%len(owners)])
	}
}

func (w *watching) run(ctx context.Context) error {
	tick := time.NewTicker(watchBeat)
	defer tick.Stop()
	for {
		w.ask(ctx)
		var err error
		select {
		case a := <-w.answers:
			err = w.took(a)
		case <-tick.C:
			err = w.beat()
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), context.Canceled) {
				return ctx.Err()
			}
			return w.progress()
		}
		if err != nil {
			return err
		}
	}
}

// ask puts a question to every node that is to be asked and is not being asked.
func (w *watching) ask(ctx context.Context) {
	due := map[string][]*watchPart{}
	now := time.Now()
	for _, p := range w.parts {
		if t := w.trouble[p.source]; w.polls[p.source] == nil && p.source != "" && (t == nil || !now.Before(t.until)) {
			due[p.source] = append(due[p.source], p)
		}
	}
	for node, parts := range due {
		w.rounds++
		slices.SortStableFunc(parts, func(a, b *watchPart) int { return cmp.Compare(a.asked, b.asked) })
		asking, cancel := context.WithTimeout(ctx, watchPoll+watchGrace)
		o := &poll{node: node, parts: parts, alive: w.n.alive(node), cancel: cancel}
		w.polls[node] = o
		req := w.question(parts)
		w.asking.Go(func() {
			defer cancel()
			a := pollAnswer{poll: o}
			a.done, a.err = w.n.tail(asking, node, req)
			select {
			case w.answers <- a:
			case <-ctx.Done():
			}
		})
	}
}

func (w *watching) question(parts []*watchPart) *peerv1.Tail {
	req := &peerv1.Tail{
		Bucket: w.bucket.Name, Prefix: w.req.GetPrefix(), Values: w.req.GetValues(),
		WaitMs: uint64(watchPoll.Milliseconds()), MaxBytes: tailBytes, Parts: make([]*peerv1.TailPart, len(parts)),
	}
	for i, p := range parts {
		q := &peerv1.TailPart{Replica: wireID(p.id)}
		if !p.seen.Empty() {
			q.Seen = crdt.AppendClock(nil, &p.seen)
		}
		switch {
		case p.list != nil:
			q.List, q.After = true, p.list.after
		case p.clock != nil:
			q.Clock = crdt.AppendClock(nil, p.clock)
		}
		req.Parts[i] = q
	}
	return req
}

// tail asks a node, which may be this one.
func (n *Node) tail(ctx context.Context, node string, req *peerv1.Tail) (*peerv1.TailDone, error) {
	if node == n.id {
		return n.serveTail(ctx, req)
	}
	resp, err := n.call(ctx, node, &peerv1.Request{Of: &peerv1.Request_Tail{Tail: req}})
	return resp.GetTail(), err
}

// took carries out an answer.
func (w *watching) took(a pollAnswer) error {
	delete(w.polls, a.node)
	if a.err != nil {
		if !errors.Is(a.err, context.Canceled) {
			w.failed(a)
		}
		return nil
	}
	delete(w.trouble, a.node)
	byID := map[storage.ReplicaID]*watchPart{}
	for _, p := range a.parts {
		if p.source == a.node {
			byID[p.id] = p
		}
	}
	for _, d := range a.done.GetParts() {
		p := byID[replicaID(d.GetReplica())]
		if p == nil {
			continue // another owner was turned to meanwhile
		}
		delete(byID, p.id)
		p.asked = w.rounds
		if err := w.part(p, d); err != nil {
			return err
		}
	}
	if !a.done.GetMore() { // there is nothing new of the others
		for _, p := range byID {
			p.failed, p.behind = false, time.Time{}
		}
	}
	return nil
}

// failed turns away from a node that did not answer. One that refused because
// of the ring has taught this node the present one.
func (w *watching) failed(a pollAnswer) {
	if w.n.layout() != w.l || isStale(a.err) {
		w.relay()
		return
	}
	t := w.trouble[a.node]
	if t == nil {
		t = &trouble{pause: watchRetry / 2}
		w.trouble[a.node] = t
	}
	t.pause = min(2*t.pause, watchSlow)
	t.until = time.Now().Add(t.pause)
	w.n.opts.Logger.Debug("watch", "source", a.node, "error", a.err)
	for _, p := range a.parts {
		if p.source == a.node {
			w.giveUp(p)
		}
	}
}

// relay takes owners of the present layout.
func (w *watching) relay() {
	w.l = w.n.layout()
	for _, p := range w.parts {
		if !slices.Contains(w.l.readers(p.id), p.source) {
			w.assign(p, w.best(p))
		}
	}
}
