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
	// patient leaves an attempt all the time there is: a batch may well need it.
	patient bool
	// mayMove tells whether another node may be asked next. It is given whether
	// an earlier attempt may have been applied.
	mayMove func(maybe bool) bool
	// route lists the nodes to be tried, given whether one of them did not answer
	// just now; nil: those given to Open.
	route func(ctx context.Context, suspect bool) []*node
}

// attempt is one request of a call to one node.
type attempt struct {
	*node
	op    string
	write bool
	try   int  // 1 is the first
	maybe bool // an earlier one may have been applied
	sent  atomic.Bool
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
	for try := 1; ; try++ {
		a := &attempt{node: nodes[at], op: s.op, write: s.write, try: try, maybe: maybe}
		err := c.once(ctx, &s, a, maybe, f)
		if err == nil {
			a.answers(true)
			if s.route == nil {
				c.preferred.Store(a.index)
			}
			return nil
		}
		e := a.fail(err)
		if away(e) {
			a.answers(false)
			c.nodesFor(ctx, &s, true) // for calls to come; this one goes on as it began
		}
		maybe = e.keep(maybe)
		if !retryable(e) || try > c.opts.MaxRetries || ctx.Err() != nil {
			return e
		}
		moved := len(nodes) > 1 && s.mayMove(maybe)
		if moved {
			at = (at + 1) % len(nodes)
			c.opts.Logger.DebugContext(ctx, "asking another node", "op", s.op, "from", a.addr, "to", nodes[at].addr, "code", e.Code.String())
		}
		if (!moved || try >= len(nodes)) && !c.pause(ctx, pauses.NextBackOff()) {
			return e
		}
	}
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
	if s.route == nil {
		return c.order()
	}
	return s.route(ctx, suspect)
}

// away tells of an error whether it is the silence of a node, not its answer.
func away(e *Error) bool {
	return e.Reason == "" && (e.Code == codes.Unavailable || e.Code == codes.DeadlineExceeded)
}

// once makes one attempt. While a call about one key may still go elsewhere, the
// attempt gets half of the time left: a node that hangs must not take all of it.
func (c *Client) once(ctx context.Context, s *call, a *attempt, maybe bool, f func(context.Context, *attempt) error) error {
	if deadline, ok := ctx.Deadline(); ok && !s.patient && len(c.nodes) > 1 && s.mayMove(maybe || s.write) && a.try <= c.opts.MaxRetries {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	return f(context.WithValue(ctx, sentKey{}, &a.sent), a)
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
