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
	heldEvery    = 250 * time.Millisecond // between two looks at the backlog while nobody takes anything
	heldFrom     = Lanes * maxAckPending  // messages: more than one datacenter has in flight
	keptEvents   = 4                      // of one replica, that are shipped as they were made
	keptBytes    = 4 << 20                // of them, of all replicas
)

// shipper ships the events of this node's replicas. Local commits leave marks, and
// the first events of a replica that wait; more of them come out of the log when a
// message is made, coalesced. So a shipper that cannot publish owes nothing but its
// marks.
//
// It sends in one lane at a time, and in the next after each beacon and after each
// full message: few messages carry what is written at one moment, and the lanes
// share what there is over time.
type shipper struct {
	x    *Replicator
	wake chan struct{} // there is a mark; capacity 1
	full chan struct{} // there is enough for a message; capacity 1
	lane atomic.Uint32 // the messages so far, modulo Lanes

	mu     sync.Mutex
	marks  map[Replica][]*mark
	dirty  []*mark
	events int // noted since the last flush
	kept   int // bytes of the events that marks keep

	// Of run alone.
	seqs   map[laneOf]uint64 // the messages sent
	looked time.Time         // at the backlog
	held   bool              // nobody takes what there is
}

type laneOf struct {
	placement uint32
	lane      int
}

func newShipper(x *Replicator) *shipper {
	return &shipper{
		x: x, wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		marks: map[Replica][]*mark{}, seqs: map[laneOf]uint64{},
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// notify notes the events of a delta, which must not be changed any more.
func (s *shipper) notify(r Replica, d *crdt.Delta) {
	s.mu.Lock()
	m := s.markLocked(r, d.Actor)
	s.keep(m, d)
	if d.Hi <= m.noted {
		s.mu.Unlock()
		return
	}
	m.noted = d.Hi
	if !m.dirty {
		m.dirty = true
		s.dirty = append(s.dirty, m)
	}
	s.events++
	n := s.events
	s.mu.Unlock()
	if n == 1 {
		poke(s.wake)
	}
	if n == s.x.opts.MaxBatchEvents {
		poke(s.full)
	}
}

// run flushes when MaxBatchEvents or MaxDelay have gathered. Nothing happens
// while nothing is written.
func (s *shipper) run(ctx context.Context) {
	retry := retryMin
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		s.gather(ctx)
		if err := s.flush(ctx); err == nil {
			retry = retryMin
			continue
		} else if ctx.Err() == nil {
			s.x.totals.publishErrors.Add(1)
			s.x.opts.Logger.Warn("events not shipped, next attempt follows", "error", err, "retry", retry)
		}
		if !pause(ctx, retry) {
			return
		}
		retry = min(2*retry, retryMax)
		poke(s.wake)
	}
}

// gather waits for company, and for somebody who takes what there is.
func (s *shipper) gather(ctx context.Context) {
	t := time.NewTimer(s.x.opts.MaxDelay)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.full:
	}
	for s.lookAtBacklog(ctx); s.held && pause(ctx, heldEvery); {
		s.lookAtBacklog(ctx)
	}
}

// lookAtBacklog holds back what is written while no remote datacenter at all takes
// what there is: the log keeps it, and much of it becomes one message later, above
// all of the same key. As soon as one datacenter takes messages again they are sent.
func (s *shipper) lookAtBacklog(ctx context.Context) {
	if !s.held && time.Since(s.looked) < backlogEvery {
		return
	}
	s.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, backlogEvery)
	defer cancel()
	waiting := 0
	for lane := range Lanes {
		n, err := s.x.opts.Link.Backlog(ctx, lane)
		if err != nil {
			s.held = false
			return
		}
		waiting += n
	}
	s.held = waiting >= heldFrom
}

// take returns the marks to ship, placement by placement.
func (s *shipper) take() []*mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	marks := s.dirty
	s.dirty, s.events = nil, 0
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
func (s *shipper) putBack(marks []*mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range marks {
		if !m.dirty && m.shipped < m.noted {
			m.dirty = true
			s.dirty = append(s.dirty, m)
		}
	}
	s.events = max(s.events, len(s.dirty))
}

// flush ships all that is marked. After an error the rest is marked again.
func (s *shipper) flush(ctx context.Context) error {
	marks := s.take()
	view := s.x.view.Load()
	var errs []error
	for len(marks) > 0 {
		n := slices.IndexFunc(marks, func(m *mark) bool { return m.replica.Placement != marks[0].replica.Placement })
		if n < 0 {
			n = len(marks)
		}
		if err := s.shipPlacement(ctx, view.abroad[marks[0].replica.Placement], marks[:n]); err != nil {
			errs = append(errs, err)
			s.putBack(marks[:n])
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
func (s *shipper) shipPlacement(ctx context.Context, abroad bool, marks []*mark) error {
	var p parcel
	var unread []error
	for _, m := range marks {
		events, noted, at := s.waiting(m)
		if !abroad {
			s.shipped(m, noted)
			continue
		}
		for _, d := range events {
			if err := s.addTo(ctx, &p, m, appendAbroad(d), d.Hi, int(d.Hi-d.Lo+1)); err != nil {
				return err
			}
			at = d.Hi
		}
		err := s.shipLogged(ctx, &p, m, at, noted)
		if errors.Is(err, errUnread) {
			unread = append(unread, fmt.Errorf("partition %d: %w", m.replica.Partition, err))
		} else if err != nil {
			return err
		}
	}
	return errors.Join(append(unread, s.send(ctx, &p))...)
}

// errUnread reports events that cannot be read from the log.
var errUnread = errors.New("collect events")

// shipLogged ships what a mark has noted after at, out of the log.
func (s *shipper) shipLogged(ctx context.Context, p *parcel, m *mark, at, noted uint64) error {
	for at < noted {
		if s.x.opts.MaxBatchBytes-p.bytes < s.x.opts.MaxBatchBytes/8 {
			if err := s.sendFull(ctx, p); err != nil {
				return err
			}
		}
		delta, upTo, events, err := s.x.opts.Local.Collect(m.replica, m.actor, at, s.x.opts.MaxBatchBytes-p.bytes)
		if err != nil {
			return fmt.Errorf("%w: %w", errUnread, err)
		}
		if len(delta) == 0 || upTo <= at { // dropped with its replica: nothing to ship
			s.shipped(m, noted)
			return nil
		}
		if err := s.addTo(ctx, p, m, delta, upTo, events); err != nil {
			return err
		}
		at = upTo
	}
	return nil
}

// appendAbroad encodes a delta for another datacenter. Request ids stay at home:
// they make retries exact at the replicas of one datacenter only.
func appendAbroad(d *crdt.Delta) []byte {
	out := *d
	out.Requests = nil
	return crdt.AppendDelta(nil, &out)
}

// addTo adds a section to a parcel, which is sent before if that has no room for it.
func (s *shipper) addTo(ctx context.Context, p *parcel, m *mark, delta []byte, upTo uint64, events int) error {
	if len(p.sections) == maxSections || len(p.sections) > 0 && p.bytes+len(delta) > s.x.opts.MaxBatchBytes {
		if err := s.sendFull(ctx, p); err != nil {
			return err
		}
	}
	p.add(m, delta, upTo, events)
	return nil
}

func (p *parcel) add(m *mark, delta []byte, upTo uint64, events int) {
	p.sections = append(p.sections, section{m.replica.Partition, delta})
	p.bytes += len(delta) + 16
	p.events += events
	p.marks, p.upTo = append(p.marks, m), append(p.upTo, upTo)
}

// sendFull is send, and what follows goes by the next lane.
func (s *shipper) sendFull(ctx context.Context, p *parcel) error {
	err := s.send(ctx, p)
	s.lane.Add(1)
	return err
}

// send publishes what a parcel holds and empties it.
func (s *shipper) send(ctx context.Context, p *parcel) error {
	if len(p.sections) == 0 {
		return nil
	}
	placement, lane := p.marks[0].replica.Placement, int(s.lane.Load()%Lanes)
	way := laneOf{placement, lane}
	m := batch{
		From: s.x.opts.Self, Incarnation: s.x.opts.Incarnation, Lane: uint8(lane), Placement: placement,
		Seq: s.seqs[way] + 1, Sent: s.x.opts.Now(), Sections: p.sections,
	}
	data := s.x.packer.pack(m.append(make([]byte, 0, p.bytes+256)))
	if len(data) > MaxMessageBytes-1024 {
		s.x.park(Parked{From: s.x.opts.Self, Lane: lane, Placement: placement, Seq: m.Seq, Whole: true, Reason: "too large to ship"}, data)
	} else if err := s.x.opts.Link.Publish(ctx, placement, lane, data); err != nil {
		return err
	}
	s.seqs[way]++
	s.x.totals.shippedMessages.Add(1)
	s.x.totals.shippedBytes.Add(uint64(len(data)))
	s.x.totals.shippedEvents.Add(uint64(p.events))
	for i, mk := range p.marks {
		s.shipped(mk, p.upTo[i])
	}
	*p = parcel{}
	return nil
}

// totals counts what this node did toward all datacenters.
type totals struct {
	shippedMessages, shippedBytes, shippedEvents atomic.Uint64
	publishErrors                                atomic.Uint64
}
