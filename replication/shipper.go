package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/crdt"
)

const (
	retryMin     = 50 * time.Millisecond
	retryMax     = 2 * time.Second
	backlogEvery = time.Second
)

// lane ships the events of every Lanes-th partition. Local commits only leave
// marks; the events themselves come out of the log when a message is made, so
// that a lane that cannot publish owes nothing but its marks, and catches up in
// coalesced runs.
type lane struct {
	x    *Replicator
	n    int
	wake chan struct{} // there is a mark; capacity 1
	full chan struct{} // there is enough for a message; capacity 1

	mu     sync.Mutex
	marks  map[Replica][]*mark
	dirty  []*mark
	events int // noted since the last flush

	// Of run alone.
	seqs    map[uint32]uint64 // by placement: the messages sent
	looked  time.Time         // at the backlog
	stretch time.Duration     // events wait this long instead of MaxDelay
}

// mark is how far the events of one actor were minted and shipped.
type mark struct {
	replica        Replica
	actor          crdt.Actor
	noted, shipped uint64
	dirty          bool
}

func newLane(x *Replicator, n int) *lane {
	return &lane{
		x: x, n: n, wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		marks: map[Replica][]*mark{}, seqs: map[uint32]uint64{},
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *lane) notify(r Replica, actor crdt.Actor, seq uint64) {
	l.mu.Lock()
	m := l.markLocked(r, actor)
	if seq <= m.noted {
		l.mu.Unlock()
		return
	}
	m.noted = seq
	if !m.dirty {
		m.dirty = true
		l.dirty = append(l.dirty, m)
	}
	l.events++
	n := l.events
	l.mu.Unlock()
	if n == 1 {
		poke(l.wake)
	}
	if n == l.x.opts.MaxBatchEvents {
		poke(l.full)
	}
}

// markLocked finds the mark of an actor. A replica has one actor at a time; an
// older one is forgotten when all of it was shipped.
func (l *lane) markLocked(r Replica, actor crdt.Actor) *mark {
	ms := l.marks[r]
	for _, m := range ms {
		if m.actor == actor {
			return m
		}
	}
	m := &mark{replica: r, actor: actor}
	l.marks[r] = append(slices.DeleteFunc(ms, func(old *mark) bool { return !old.dirty }), m)
	return m
}

// run flushes the lane when MaxBatchEvents or MaxDelay have gathered. Nothing
// happens while nothing is written.
func (l *lane) run(ctx context.Context) {
	retry := retryMin
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		l.gather(ctx)
		if err := l.flush(ctx); err == nil {
			retry = retryMin
			continue
		} else if ctx.Err() == nil {
			l.x.totals.publishErrors.Add(1)
			l.x.opts.Logger.Warn("lane not shipped, next attempt follows", "lane", l.n, "error", err, "retry", retry)
		}
		if !pause(ctx, retry) {
			return
		}
		retry = min(2*retry, retryMax)
		poke(l.wake)
	}
}

// gather waits for company.
func (l *lane) gather(ctx context.Context) {
	l.lookAtBacklog(ctx)
	full := l.full
	if l.stretch > 0 {
		full = nil
	}
	t := time.NewTimer(max(l.x.opts.MaxDelay, l.stretch))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-full:
	}
}

// lookAtBacklog lengthens the wait while no remote datacenter at all takes
// what the lane has to offer: more events, above all of the same key, become
// one message, and a hot key does not fill the outbox during a cut. As soon as
// one datacenter takes messages again the wait is short for all.
func (l *lane) lookAtBacklog(ctx context.Context) {
	if time.Since(l.looked) < backlogEvery {
		return
	}
	l.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, backlogEvery)
	defer cancel()
	n, err := l.x.opts.Link.Backlog(ctx, l.n)
	switch {
	case err != nil || n < 256:
		l.stretch = 0
	case n < 1024:
		l.stretch = 20 * time.Millisecond
	case n < 4096:
		l.stretch = 100 * time.Millisecond
	default:
		l.stretch = 500 * time.Millisecond
	}
}

// take returns the marks to ship, placement by placement.
func (l *lane) take() []*mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	marks := l.dirty
	l.dirty, l.events = nil, 0
	for _, m := range marks {
		m.dirty = false
	}
	slices.SortFunc(marks, func(a, b *mark) int {
		return cmp.Or(cmp.Compare(a.replica.Placement, b.replica.Placement),
			cmp.Compare(a.replica.Partition, b.replica.Partition), cmp.Compare(a.actor, b.actor))
	})
	return marks
}

// putBack marks again what a failure left unshipped.
func (l *lane) putBack(marks []*mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range marks {
		if !m.dirty && m.shipped < m.noted {
			m.dirty = true
			l.dirty = append(l.dirty, m)
		}
	}
	l.events = max(l.events, len(l.dirty))
}

// flush ships all that is marked. After an error the rest is marked again.
func (l *lane) flush(ctx context.Context) error {
	marks := l.take()
	view := l.x.view.Load()
	var errs []error
	for len(marks) > 0 {
		n := slices.IndexFunc(marks, func(m *mark) bool { return m.replica.Placement != marks[0].replica.Placement })
		if n < 0 {
			n = len(marks)
		}
		if err := l.shipPlacement(ctx, view.abroad[marks[0].replica.Placement], marks[:n]); err != nil {
			errs = append(errs, err)
			l.putBack(marks[:n])
		}
		marks = marks[n:]
	}
	return errors.Join(errs...)
}

// parcel is a message in the making, and how far it takes its marks.
type parcel struct {
	sections []section
	bytes    int
	events   int
	marks    []*mark
	upTo     []uint64
}

// shipPlacement ships the marked events of one placement. A replica whose
// events cannot be read does not hold up the others.
func (l *lane) shipPlacement(ctx context.Context, abroad bool, marks []*mark) error {
	var p parcel
	var unread []error
	for _, m := range marks {
		l.mu.Lock()
		noted, at := m.noted, m.shipped
		l.mu.Unlock()
		if !abroad {
			l.shipped(m, noted)
			continue
		}
		for at < noted {
			if l.x.opts.MaxBatchBytes-p.bytes < l.x.opts.MaxBatchBytes/8 || len(p.sections) == maxSections {
				if err := l.send(ctx, &p); err != nil {
					return err
				}
			}
			delta, upTo, events, err := l.x.opts.Local.Collect(m.replica, m.actor, at, l.x.opts.MaxBatchBytes-p.bytes)
			if err != nil {
				unread = append(unread, fmt.Errorf("collect events of partition %d: %w", m.replica.Partition, err))
				break
			}
			if len(delta) == 0 || upTo <= at { // dropped with its replica: nothing to ship
				l.shipped(m, noted)
				break
			}
			p.add(m, delta, upTo, events)
			at = upTo
		}
	}
	return errors.Join(append(unread, l.send(ctx, &p))...)
}

func (p *parcel) add(m *mark, delta []byte, upTo uint64, events int) {
	p.sections = append(p.sections, section{m.replica.Partition, delta})
	p.bytes += len(delta) + 16
	p.events += events
	p.marks, p.upTo = append(p.marks, m), append(p.upTo, upTo)
}

// send publishes what a parcel holds and empties it.
func (l *lane) send(ctx context.Context, p *parcel) error {
	if len(p.sections) == 0 {
		return nil
	}
	placement := p.marks[0].replica.Placement
	m := batch{
		From: l.x.opts.Self, Incarnation: l.x.opts.Incarnation, Lane: uint8(l.n), Placement: placement,
		Seq: l.seqs[placement] + 1, Sent: l.x.opts.Now(), Sections: p.sections,
	}
	data := l.x.packer.pack(m.append(make([]byte, 0, p.bytes+256)))
	if len(data) > MaxMessageBytes-1024 {
		l.x.park(Parked{From: l.x.opts.Self, Lane: l.n, Placement: placement, Seq: m.Seq, Whole: true, Reason: "too large to ship"}, data)
	} else if err := l.x.opts.Link.Publish(ctx, placement, l.n, data); err != nil {
		return err
	}
	l.seqs[placement]++
	l.x.totals.shippedMessages.Add(1)
	l.x.totals.shippedBytes.Add(uint64(len(data)))
	l.x.totals.shippedEvents.Add(uint64(p.events))
	for i, mk := range p.marks {
		l.shipped(mk, p.upTo[i])
	}
	*p = parcel{}
	return nil
}

func (l *lane) shipped(m *mark, upTo uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.shipped = max(m.shipped, upTo)
	m.noted = max(m.noted, m.shipped)
}

// totals counts what this node did toward all datacenters.
type totals struct {
	shippedMessages, shippedBytes, shippedEvents atomic.Uint64
	publishErrors                                atomic.Uint64
}
