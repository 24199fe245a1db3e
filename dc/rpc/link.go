package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/frame"
)

// link is this node's way to ask one other node: a queue, the calls that wait
// for answers, and at most one session at a time. A session begins with a Send
// and lasts until it breaks.
type link struct {
	p  *Peers
	to string

	detector Detector

	wake chan struct{} // tells the session's writer that there is something to send

	mu        sync.Mutex
	state     linkState
	zero      time.Time // from which the session counts
	out       frame.Outbox
	lastID    uint64
	pending   map[uint64]call
	held      []held // what is to be begun by some time, until the session begins
	heldBytes int
	sweep     *time.Timer // ends those of pending whose time is up; nil before the first call
	sweepAt   time.Time   // when it fires; zero when it does not

	failures int // to connect, one after the other
	retry    *backoff.ExponentialBackOff
	retryAt  time.Time
	lastErr  error
}

type linkState uint8

const (
	idle       linkState = iota // the next send connects, unless it is too early
	connecting                  // sends wait in the queue, but not behind an attempt that follows a failed one
	connected
)

// call is a request that waits for its answer.
type call struct {
	done    func(*peerv1.Response, error)
	by      time.Time // it is to be begun; zero: whenever
	timeout time.Duration
	until   time.Time
}

func newLink(p *Peers, to string) *link {
	l := &link{
		p: p, to: to, detector: p.opts.Detector(), wake: make(chan struct{}, 1), pending: map[uint64]call{},
		out:   frame.NewOutbox(&p.codec, p.opts.limits()),
		retry: backoff.NewExponentialBackOff(),
	}
	l.retry.InitialInterval, l.retry.MaxInterval, l.retry.Multiplier = p.opts.RetryMin, p.opts.RetryMax, 2
	l.retry.Reset()
	return l
}

// send queues a request. An error says that it was not and that done will not
// be called.
func (l *link) send(req *peerv1.Request, by time.Time, done func(*peerv1.Response, error)) error {
	l.mu.Lock()
	err := l.ready()
	l.mu.Unlock()
	if err != nil {
		return err
	}
	now := time.Now()
	if !by.IsZero() {
		if req.BeginMs, err = dc.BeginWithin(by, now); err != nil {
			return err
		}
	}
	body, err := l.p.codec.Encode(req)
	defer l.p.codec.Done(body)
	switch {
	case err != nil:
		return fmt.Errorf("ask %s: encode: %w (%w)", l.to, err, dc.ErrNotSent)
	case len(*body)+frame.Overhead > l.p.opts.MaxMessage:
		return fmt.Errorf("ask %s: message of %d bytes, at most %d are sent: %w", l.to, len(*body), l.p.opts.MaxMessage, dc.ErrNotSent)
	}
	timeout := l.p.opts.Timeout
	if ms := req.GetTimeoutMs(); ms > 0 && ms < uint64(timeout.Milliseconds()) {
		timeout = time.Duration(ms) * time.Millisecond
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil { // it may have broken meanwhile
		return err
	}
	if waits := l.out.Bytes() + l.heldBytes; !l.out.Fits(len(*body)) || waits > 0 && waits+len(*body) > l.p.opts.QueueBytes {
		return fmt.Errorf("ask %s: %d bytes wait to be sent, at most %d may: %w", l.to, waits, l.p.opts.QueueBytes, dc.ErrNotSent)
	}
	l.lastID++
	l.await(l.lastID, call{done: done, by: by, timeout: timeout, until: now.Add(timeout)})
	switch {
	case l.state == connected && !now.Before(l.zero): // all tell it, so that the two clocks are compared often
		l.out.Put(frame.Message{ID: l.lastID, Field: frame.Request, Body: *body, Sent: l.since(now)})
	case by.IsZero():
		l.out.Put(frame.Message{ID: l.lastID, Field: frame.Request, Body: *body})
	default:
		l.held = append(l.held, held{l.lastID, req, by})
		l.heldBytes += len(*body)
		if l.state == connected { // since a moment
			l.letGo()
		}
	}
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
	return nil
}

// ready says why nothing can be queued, and begins to connect where that is
// due. The caller holds the lock.
func (l *link) ready() error {
	if l.state == connected {
		return nil
	}
	if l.state == idle {
		if wait := time.Until(l.retryAt); wait > 0 {
			return fmt.Errorf("ask %s: not connected (%w), next attempt in %v: %w", l.to, l.lastErr, wait.Round(time.Millisecond), dc.ErrNotSent)
		}
		l.state = connecting
		if !l.p.start(l.session) {
			l.state = idle
			return fmt.Errorf("ask %s: peers are closed: %w", l.to, dc.ErrNotSent)
		}
	}
	if l.failures > 0 { // callers do not wait for a node that was away a moment ago
		return fmt.Errorf("ask %s: not connected (%w), trying again: %w", l.to, l.lastErr, dc.ErrNotSent)
	}
	return nil
}

// heardFrom forgets failures: the node is up, it has just connected to us.
func (l *link) heardFrom() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures, l.retryAt = 0, time.Time{}
	l.retry.Reset()
}

// phi is the suspicion that the node no longer answers.
func (l *link) phi(now time.Time) float64 {
	l.mu.Lock()
	state, broken := l.state, l.lastErr != nil
	l.mu.Unlock()
	switch {
	case state == connected:
		return l.detector.Phi(now)
	case broken:
		return math.Inf(1)
	}
	return 0 // the first connection has yet to be made
}

// await has a call wait for its answer. One timer does for all calls: most are
// answered long before, and to set one for each costs as much as to send it. The
// caller holds the lock.
func (l *link) await(id uint64, c call) {
	l.pending[id] = c
	if !l.sweepAt.IsZero() && !c.until.Before(l.sweepAt) {
		return
	}
	l.sweepAt = c.until
	if l.sweep == nil {
		l.sweep = time.AfterFunc(c.timeout, l.endLate)
	} else {
		l.sweep.Reset(c.timeout)
	}
}

// endLate ends the calls whose time is up.
func (l *link) endLate() {
	var late []call
	l.mu.Lock()
	now := time.Now()
	l.sweepAt = time.Time{}
	for id, c := range l.pending {
		switch {
		case !c.until.After(now):
			delete(l.pending, id)
			late = append(late, c)
		case l.sweepAt.IsZero() || c.until.Before(l.sweepAt):
			l.sweepAt = c.until
		}
	}
	if !l.sweepAt.IsZero() {
		l.sweep.Reset(l.sweepAt.Sub(now))
	}
	l.mu.Unlock()
	for _, c := range late {
		c.done(nil, fmt.Errorf("ask %s: no answer within %v: %w", l.to, c.timeout, context.DeadlineExceeded))
	}
}

// remove takes a call out of those that wait; false if it has ended.
func (l *link) remove(id uint64) (call, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, waits := l.pending[id]
	delete(l.pending, id)
	return c, waits
}

// session connects, sends and receives until the connection breaks, and then
// ends every call that waits.
func (l *link) session() {
	ctx, cancel := context.WithCancelCause(l.p.ctx)
	s, err := l.p.connect(ctx, cancel, l.to, l.p.opts.Addr(l.to))
	if refused := l.p.refusals.heard(l.to, err, time.Now()); refused > l.p.opts.TwinAfter {
		l.p.opts.Twin(fmt.Errorf("refused by %s for %v: %w", l.to, refused.Round(time.Second), err))
	}
	if err == nil {
		l.up()
		err = l.exchange(ctx, cancel, s)
		s.close()
	}
	cancel(err)
	if l.p.ctx.Err() != nil {
		err = errClosed
	}
	l.down(err)
}

var errClosed = errors.New("peers are closed")

func (l *link) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures > 0 {
		l.p.opts.Logger.Info("peer connected", "peer", l.to, "failed_attempts", l.failures)
	}
	l.state, l.failures, l.zero = connected, 0, time.Now()
	l.retry.Reset()
	l.letGo()
	l.detector.Heard(time.Now()) // its hello
}

// down ends the calls of a session: what was not taken from the queue was
// certainly not sent; of the rest nobody knows.
func (l *link) down(err error) {
	l.mu.Lock()
	if l.state == connecting {
		if l.failures++; l.failures == 1 && l.p.ctx.Err() == nil {
			l.p.opts.Logger.Warn("peer cannot be reached", "peer", l.to, "error", err)
		}
		l.retryAt = time.Now().Add(l.retry.NextBackOff())
	} else if l.p.ctx.Err() == nil {
		l.p.opts.Logger.Warn("connection to peer broke", "peer", l.to, "error", err)
	}
	l.state, l.lastErr = idle, err
	l.detector.Forget()
	calls, taken := l.pending, l.out.Taken()
	l.pending, l.held, l.heldBytes = map[uint64]call{}, nil, 0
	l.out.Clear()
	if l.sweep != nil {
		l.sweep.Stop()
		l.sweepAt = time.Time{}
	}
	l.mu.Unlock()

	notSent := fmt.Errorf("ask %s: %w: %w", l.to, err, dc.ErrNotSent)
	lost := refuse(dc.Unavailable, reasonPeerLost, "connection to %s broke before it answered: %s", l.to, err)
	for id, c := range calls {
		if id > taken {
			c.done(nil, notSent)
		} else {
			c.done(nil, lost)
		}
	}
}

// exchange writes what is queued and has a reader give out the answers. It
// returns why the connection broke, after both have ended.
func (l *link) exchange(ctx context.Context, cancel context.CancelCauseFunc, s *session) error {
	var reader sync.WaitGroup
	reader.Go(func() { cancel(l.read(s)) })
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
		}
		if err := l.flush(ctx, s); errors.Is(err, io.EOF) {
			<-ctx.Done() // the reader is told why
		} else if err != nil {
			cancel(err)
		}
		if ctx.Err() != nil {
			s.close()
			reader.Wait()
			return context.Cause(ctx)
		}
	}
}

func (l *link) flush(ctx context.Context, s *session) error {
	for ctx.Err() == nil {
		runtime.Gosched() // let those who are about to send join the frame
		l.mu.Lock()
		f := l.out.Take()
		l.mu.Unlock()
		if f == nil {
			return nil
		}
		if err := s.stream.SendMsg(f); err != nil {
			return err
		}
	}
	return nil
}

// read gives out answers until the stream ends.
func (l *link) read(s *session) error {
	for {
		var f frame.In
		if err := s.stream.RecvMsg(&f); err != nil {
			return s.why(err)
		}
		s.alive()
		l.detector.Heard(time.Now())
		if err := frame.Cut(f.Data, l.answer); err != nil {
			return err
		}
	}
}

func (l *link) answer(m frame.Message) error {
	if m.Field != frame.Response {
		return nil
	}
	c, waits := l.remove(m.ID)
	if !waits {
		return nil // it timed out
	}
	resp := new(peerv1.Response)
	if err := proto.Unmarshal(m.Body, resp); err != nil {
		c.done(nil, refuse(dc.Unavailable, reasonPeerLost, "answer of %s cannot be read: %s", l.to, err))
		return fmt.Errorf("answer: %w", err)
	}
	c.done(resp, nil)
	if resp.GetStatus().GetReason() == reasonTooLate && time.Now().Before(c.by) { // one end stood still with its clock
		return refuse(dc.Unavailable, reasonPeerLost, "%s counts time otherwise: it found a request late that was not", l.to)
	}
	return nil
}
