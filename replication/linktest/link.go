package linktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwitdb/godwit/replication"
)

// requestWait is how long a request into a cut network is waited for.
const requestWait = time.Second

var errStuck = errors.New("outbox is stuck")

// Link is one node's end of the network.
type Link struct {
	net    *Network
	self   replication.Peer
	done   chan struct{}
	wg     sync.WaitGroup
	closed bool // under net.mu

	// Under net.mu.
	handler func(ctx context.Context, from replication.Peer, data []byte) ([]byte, error)
	up      []func(replication.Peer)
}

var _ replication.Link = (*Link)(nil)

// Link connects a node, or connects it again after its last link was closed:
// it then finds its outbox as it was.
func (n *Network) Link(p replication.Peer) *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &Link{net: n, self: p, done: make(chan struct{})}
	if n.outs[p] != nil { // it was here before
		for q, other := range n.live {
			if q.DC != p.DC && n.openLocked(p.DC, q.DC) {
				other.tellUp(p, n.delayLocked(p.DC, q.DC))
			}
		}
	}
	n.outboxLocked(p)
	n.live[p] = l
	n.changeLocked()
	return l
}

// Offer is a method of replication.Link.
func (l *Link) Offer(_ context.Context, dc string, placements []uint32) error {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.outboxLocked(l.self)
	if len(placements) == 0 {
		delete(o.offers, dc)
		for lane := range replication.Lanes {
			delete(o.queues, queueID{dc, lane})
		}
		return nil
	}
	if o.offers[dc] == nil {
		o.offers[dc] = map[uint32]bool{}
	}
	clear(o.offers[dc])
	for _, p := range placements {
		o.offers[dc][p] = true
	}
	n.changeLocked()
	return nil
}

// Publish is a method of replication.Link.
func (l *Link) Publish(_ context.Context, placement uint32, lane int, data []byte) error {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return replication.ErrClosed
	}
	if n.stuck[l.self] {
		return errStuck
	}
	o := n.outboxLocked(l.self)
	it := &item{lane: lane, placement: placement, data: slices.Clone(data), deliveries: map[string]int{}}
	o.kept = append(o.kept, it)
	for id, q := range o.queues {
		if id.lane == lane && o.offered(id.dc, placement) {
			q.ready = append(q.ready, it)
			if over := len(q.ready) - n.opts.Retain; over > 0 {
				q.ready = slices.Delete(q.ready, 0, over)
			}
		}
	}
	if over := len(o.kept) - n.opts.Retain; over > 0 {
		o.kept = slices.Delete(o.kept, 0, over)
	}
	n.changeLocked()
	return nil
}

// Backlog is a method of replication.Link.
func (l *Link) Backlog(_ context.Context, lane int) (int, error) {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	o, least := n.outboxLocked(l.self), -1
	for dc := range o.offers {
		q := n.queueLocked(o, dc, lane)
		if have := len(q.ready) + len(q.flight) + len(q.later); least < 0 || have < least {
			least = have
		}
	}
	return max(least, 0), nil
}

// transit is a message on its way.
type transit struct {
	it  *item
	at  time.Time
	dup bool // comes although the first may have been taken
}

// Pull is a method of replication.Link.
func (l *Link) Pull(ctx context.Context, from replication.Peer, lane int, handle func(ctx context.Context, m replication.Message)) error {
	if !l.enter() {
		return replication.ErrClosed
	}
	defer l.wg.Done()
	var wire []transit
	for {
		m, got, wait, changed := l.next(from, lane, &wire)
		if got {
			handle(ctx, m)
			continue
		}
		if err := l.sleep(ctx, wait, changed); err != nil {
			return err
		}
	}
}

// next moves messages onto the wire and returns the one that has arrived, or
// how long to wait for one.
func (l *Link) next(from replication.Peer, lane int, wire *[]transit) (m replication.Message, got bool, wait time.Duration, changed chan struct{}) {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	o := n.outboxLocked(from)
	q := n.queueLocked(o, l.self.DC, lane)
	if q == nil || q.stalled {
		return m, false, 0, n.changed
	}
	due := q.dueLocked(now)
	if n.arrivesLocked(l, from) {
		n.fillLocked(q, l.self.DC, from.DC, now, wire)
		due = q.dueLocked(now)
	}
	for len(*wire) > 0 && !(*wire)[0].at.After(now) {
		it, dup := (*wire)[0].it, (*wire)[0].dup
		*wire = (*wire)[1:]
		if _, flying := q.flight[it]; (flying || dup) && n.arrivesLocked(l, from) && !n.lostLocked() {
			it.deliveries[l.self.DC]++
			return l.message(from, it, q), true, 0, nil
		} // else it is lost, and comes again
	}
	if len(*wire) > 0 && (due.IsZero() || (*wire)[0].at.Before(due)) {
		due = (*wire)[0].at
	}
	if !due.IsZero() {
		wait = max(due.Sub(now), time.Nanosecond)
	}
	return m, false, wait, n.changed
}

func (n *Network) fillLocked(q *queue, to, from string, now time.Time, wire *[]transit) {
	for len(q.ready) > 0 && len(q.flight) < n.opts.Window {
		it := q.ready[0]
		q.ready = q.ready[1:]
		q.flight[it] = now.Add(n.opts.AckWait)
		t := transit{it: it, at: now.Add(n.delayLocked(from, to))}
		*wire = append(*wire, t)
		if n.rnd.Float64() < n.opts.Duplicate {
			t.dup = true
			*wire = append(*wire, t)
		}
		if last := len(*wire) - 1; last > 0 && n.rnd.Float64() < n.opts.Reorder {
			(*wire)[last].it, (*wire)[last-1].it = (*wire)[last-1].it, (*wire)[last].it
		}
	}
}

func (l *Link) message(from replication.Peer, it *item, q *queue) replication.Message {
	settle := func(taken bool, retry time.Duration) {
		n := l.net
		n.mu.Lock()
		defer n.mu.Unlock()
		if _, flying := q.flight[it]; !flying || n.live[l.self] != l || n.live[from] == nil || !n.passesLocked(l.self, from) || n.lostLocked() {
			return // too late, or the answer was lost
		}
		delete(q.flight, it)
		if !taken {
			q.later[it] = time.Now().Add(retry)
		}
		n.changeLocked()
	}
	return replication.Message{
		From: from, Lane: it.lane, Placement: it.placement, Data: it.data,
		Deliveries: it.deliveries[l.self.DC], Settle: settle,
	}
}

// arrivesLocked reports whether what a node's outbox holds reaches a link.
func (n *Network) arrivesLocked(l *Link, from replication.Peer) bool {
	return n.live[l.self] == l && n.live[from] != nil && n.passesLocked(from, l.self)
}

// Request is a method of replication.Link.
func (l *Link) Request(ctx context.Context, to replication.Peer, data []byte) ([]byte, error) {
	if !l.enter() {
		return nil, replication.ErrClosed
	}
	defer l.wg.Done()
	n := l.net
	n.mu.Lock()
	far := n.live[to]
	n.mu.Unlock()
	if err := l.cross(ctx, l.self, to, far); err != nil {
		return nil, err
	}
	if !far.enter() {
		return nil, fmt.Errorf("ask node %s: %w", to, replication.ErrUnreachable)
	}
	defer far.wg.Done()
	l.net.mu.Lock()
	handler := far.handler
	l.net.mu.Unlock()
	if handler == nil {
		return nil, fmt.Errorf("ask node %s: %w", to, replication.ErrUnreachable)
	}
	answer, err := handler(ctx, l.self, slices.Clone(data))
	if lost := l.cross(ctx, to, l.self, far); lost != nil {
		return nil, lost
	}
	if err != nil {
		return nil, &replication.RemoteError{Peer: to, Message: err.Error()}
	}
	return slices.Clone(answer), nil
}

// cross spends the delay from one node to another, between this one and far, and
// reports if what is sent does not arrive: the way is cut, or far is no more.
func (l *Link) cross(ctx context.Context, from, to replication.Peer, far *Link) error {
	n := l.net
	n.mu.Lock()
	delay, ok := n.delayLocked(from.DC, to.DC), far != nil && n.live[far.self] == far && n.passesLocked(from, to) && !n.lostLocked()
	n.mu.Unlock()
	peer := from
	if from == l.self {
		peer = to
	}
	if !ok {
		delay = requestWait
	}
	if err := l.sleep(ctx, max(delay, time.Nanosecond), nil); err != nil {
		return fmt.Errorf("ask node %s: %w: %w", peer, replication.ErrUnreachable, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !ok || n.live[far.self] != far || !n.passesLocked(from, to) {
		return fmt.Errorf("ask node %s: %w", peer, replication.ErrUnreachable)
	}
	return nil
}

// Respond is a method of replication.Link.
func (l *Link) Respond(handler func(ctx context.Context, from replication.Peer, data []byte) ([]byte, error)) error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.handler = handler
	return nil
}

// OnUp is a method of replication.Link.
func (l *Link) OnUp(fn func(p replication.Peer)) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.up = append(l.up, fn)
}

// tellUp needs net.mu to be held.
func (l *Link) tellUp(p replication.Peer, after time.Duration) {
	for _, fn := range l.up {
		l.wg.Go(func() {
			if l.sleep(context.Background(), after, nil) == nil {
				fn(p)
			}
		})
	}
}

// Kill ends the link as the end of its process does: at once, and nothing that is
// under way has an effect any more. Close is still to be called.
func (l *Link) Kill() {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	if n.live[l.self] == l {
		delete(n.live, l.self)
	}
	n.changeLocked()
}

// Close is a method of replication.Link.
func (l *Link) Close() {
	l.Kill()
	l.wg.Wait()
}

// enter counts a call under way; the caller ends it with wg.Done.
func (l *Link) enter() bool {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.closed {
		return false
	}
	l.wg.Add(1)
	return true
}

// sleep waits for d, zero meaning for ever, or until changed is closed.
func (l *Link) sleep(ctx context.Context, d time.Duration, changed chan struct{}) error {
	var timer <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return replication.ErrClosed
	case <-changed:
	case <-timer:
	}
	return nil
}
