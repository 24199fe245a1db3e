package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
)

// call is one call of a user, whatever it takes to carry it out.
type call struct {
	op      string
	timeout time.Duration
	write   bool
	class   class
	// patient leaves an attempt all the time there is.
	patient bool
	// twice says that a second node carries the write out without asking whether
	// the first did.
	twice bool
	// mayMove tells whether another node may be asked next. It is given whether
	// an earlier attempt may have been applied.
	mayMove func(maybe bool) bool
	// stays tells whether the next node must be one of the same datacenter, given
	// the same: only there it is known what was carried out. nil: it never must.
	stays func(maybe bool) bool
	// far lets nodes of other datacenters be asked, see Options.Elsewhere.
	far bool
	// route lists the nodes to be tried, given whether one of them did not answer
	// just now; nil: those given to Open.
	route func(ctx context.Context, suspect bool) []*node
}

// attempt is one request of a call to one node.
type attempt struct {
	*node
	next  *node // that would be asked after it; nil: none
	op    string
	write bool
	try   int   // 1 is the first
	maybe bool  // an earlier one may have been applied
	late  int32 // earlier ones that ended because their patience did; from its end on, this one with them
	sent  atomic.Bool
	piped bool // it may go by a pipeline

	outrun bool // the answer is another node's, see askEither

	began time.Time
	given time.Duration // for which it was to wait; 0: as long as the call has
	begin time.Duration // from its sending, within which the node begins it or never; 0: as long as it waits
	over  time.Time     // when that is over; zero: when the attempt is
}

// noting is a context in which a unary call notes that it was sent.
func (a *attempt) noting(ctx context.Context) context.Context {
	return context.WithValue(ctx, sentKey{}, &a.sent)
}

// fail makes an Error of what the attempt returned.
func (a *attempt) fail(err error) *Error {
	return attemptError(a.op, a.addr, err, a.write, a.sent.Load())
}

func always(bool) bool { return true }

func untilMaybe(maybe bool) bool { return !maybe }

// do carries out a call: it makes attempts until one succeeds, one fails for
// good, or time or retries run out. Nodes that were not yet tried are asked at
// once, those that were after a pause.
func (c *Client) do(ctx context.Context, s call, f func(context.Context, *attempt) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := c.enter(ctx, s.op); err != nil {
		return err
	}
	defer func() { <-c.slots }()

	pauses := &backoff.ExponentialBackOff{
		InitialInterval: c.opts.RetryBase, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: c.opts.RetryMax,
	}
	nodes, at, maybe := c.nodesFor(ctx, &s, false), 0, false
	began, tries, late := time.Now(), []Try(nil), int32(0)
	for try := 1; ; try++ {
		a := &attempt{node: nodes[at], next: nextOf(nodes, at), op: s.op, write: s.write, try: try, maybe: maybe, late: late, piped: s.route != nil}
		err := c.once(ctx, &s, a, f)
		if err == nil {
			c.answered(&s, a)
			return nil
		}
		e := a.fail(err)
		tries = append(tries, a.told(e, began))
		e.Tries, late = tries, a.late
		if away(e) {
			a.answers(false)
			c.nodesFor(ctx, &s, true) // for calls to come; this one goes on as it began
		}
		maybe = e.keep(maybe)
		if !retryable(e) || try > c.opts.MaxRetries || ctx.Err() != nil {
			return e
		}
		var moved bool
		if nodes, at, moved = s.next(nodes, at, maybe); moved {
			c.opts.Logger.DebugContext(ctx, "asking another node", "op", s.op, "from", a.addr, "to", nodes[at].addr, "code", e.Code.String())
		}
		if (!moved || try >= len(nodes)) && !c.pause(ctx, pauses.NextBackOff()) {
			return e
		}
	}
}

// answered notes that an attempt succeeded.
func (c *Client) answered(s *call, a *attempt) {
	if !a.outrun {
		a.answers(true)
		a.node.late[s.class].end()
	}
	if s.route == nil && a.dc == 0 {
		c.preferred.Store(a.index)
	}
}

// next tells which of which nodes is asked after one, and whether it is another.
func (s *call) next(nodes []*node, at int, maybe bool) (left []*node, then int, moved bool) {
	if s.stays != nil && s.stays(maybe) {
		nodes, at = within(nodes, at)
	}
	if len(nodes) == 1 || !s.mayMove(maybe) {
		return nodes, at, false
	}
	return nodes, (at + 1) % len(nodes), true
}

// nextOf is the node after one; nil if there is no other.
func nextOf(nodes []*node, at int) *node {
	if len(nodes) == 1 {
		return nil
	}
	return nodes[(at+1)%len(nodes)]
}

// keep makes the outcome unknown if an attempt before this one may have been
// carried out, and reports whether any may.
func (e *Error) keep(maybe bool) bool {
	if maybe {
		e.Outcome = Unknown
	}
	return e.Outcome == Unknown
}

func (c *Client) nodesFor(ctx context.Context, s *call, suspect bool) []*node {
	switch {
	case s.route == nil && s.far:
		return c.everywhere()
	case s.route == nil:
		return c.order()
	}
	return s.route(ctx, suspect)
}

// away tells of an error whether it is the silence of a node, not its answer.
func away(e *Error) bool {
	return e.Reason == "" && (e.Code == codes.Unavailable || e.Code == codes.DeadlineExceeded)
}

// once makes one attempt. While a call may still go elsewhere, a node gets only
// so much time: one that hangs must not take all of it.
func (c *Client) once(ctx context.Context, s *call, a *attempt, f func(context.Context, *attempt) error) error {
	deadline, ok := ctx.Deadline()
	patience := time.Duration(0)
	if ok && !s.patient && a.next != nil && a.try <= c.opts.MaxRetries && s.mayMove(a.maybe || s.write) {
		patience = a.patience(s.class, time.Until(deadline), a.late)
	}
	own := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		own, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
		if s.twice {
			a.begin = a.beginWithin(s.class, patience, a.late)
		}
	} else if ok && s.twice && s.class == batchClass && a.next != nil { // how long a batch takes is not known yet
		a.begin = a.beginWithin(s.class, time.Until(deadline)/patienceShare, a.late)
	}
	if s.route == nil || s.class == batchClass { // a pipeline tells of itself what was sent
		own = a.noting(own)
	}
	asked := a.node
	asked.open.Add(1)
	a.began, a.given = time.Now(), patience
	err := f(own, a)
	asked.open.Add(-1)
	took := time.Since(a.began)
	switch {
	case err == nil && s.class != otherClass:
		if !a.outrun {
			asked.took[s.class].note(took)
		}
	case err == nil:
	case patience > 0 && ctx.Err() == nil && took >= patience-patience/4, a.tooSoon(err): // the node may be the first to say that time is up
		asked.late[s.class].note(max(patience, a.begin))
		a.late++
		c.stats.late.Add(1)
	}
	if err != nil && s.twice && (patience > 0 || !a.over.IsZero()) && a.fail(err).Outcome == Unknown {
		a.waitOver(own) // until then the node may carry it out
	}
	return err
}

// tooSoon tells of an error whether the node was given too little time to begin.
func (a *attempt) tooSoon(err error) bool {
	switch a.fail(err).Reason {
	case reasonNotBegun:
		return true
	case reasonTooLate: // unless the node counts otherwise
		return a.begin > 0 && time.Now().After(a.over)
	}
	return false
}

// waitOver waits until the node of an attempt no longer begins it, see
// PipelineRequest.begin_ms.
func (a *attempt) waitOver(own context.Context) {
	if a.over.IsZero() {
		<-own.Done()
		return
	}
	timer := time.NewTimer(time.Until(a.over))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-own.Done():
	}
}

// enter takes a slot, or reports why the call was not even begun.
func (c *Client) enter(ctx context.Context, op string) error {
	select {
	case <-c.closed:
		return refuse(op, codes.Canceled, "CLIENT_CLOSED", "the client is closed")
	default:
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-c.closed:
		return refuse(op, codes.Canceled, "CLIENT_CLOSED", "the client is closed")
	case <-ctx.Done():
		e := attemptError(op, "", ctx.Err(), false, false)
		e.Message = "not begun: " + e.Message
		return e
	}
}

// pause waits, and reports whether there is any point in another attempt.
func (c *Client) pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closed:
		return false
	case <-ctx.Done():
		return false
	}
}

// retryable tells whether asking again can change an answer.
func retryable(e *Error) bool {
	if e.Code == codes.ResourceExhausted {
		return e.Reason == reasonOverloaded
	}
	return e.Code == codes.Unavailable || e.Code == codes.DeadlineExceeded || e.Code == codes.Canceled || e.Code == codes.Aborted
}
