package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/history"
)

// maxTries bounds the attempts of one operation.
const maxTries = 4

// client is one client: it asks one thing after another.
type client struct {
	run  *run
	home *DC
	name string
	rnd  *rand.Rand
	seq  int
	puts []written // of its own, acknowledged
	adds []written
}

// written is a value of the client's own that was acknowledged.
type written struct {
	key, value string
	context    []byte
	sturdy     bool // by a quorum, at the first try
}

// reply is what an attempt led to.
type reply struct {
	update *v1.UpdateResponse
	get    *v1.GetResponse
	err    error
}

// Errors that a client sees where no node answers.
var (
	errDied    = errors.New("the node died over it")
	errTimeout = errors.New("the node does not answer")
)

// ask brings a request to a node and waits for the answer, or until the time is
// up: the node may then still carry it out.
func (c *client) ask(n *Node, timeout time.Duration, f func(ctx context.Context, node *dc.Node) reply) reply {
	got := make(chan reply, 1)
	there, back := c.delay(), c.delay()
	c.run.asked.Add(1)
	time.AfterFunc(there, func() {
		defer c.run.asked.Done()
		n.thawed()
		l := n.current()
		if l == nil || !l.enter() {
			got <- reply{err: dc.ErrNotSent}
			return
		}
		r := l.carryOut(timeout, f)
		l.leave()
		n.thawed()
		if l.gone() {
			r = reply{err: errDied}
		}
		time.AfterFunc(back, func() { got <- r })
	})
	timer := time.NewTimer(timeout + 20*time.Millisecond)
	defer timer.Stop()
	select {
	case r := <-got:
		return r
	case <-timer.C:
		return reply{err: errTimeout}
	}
}

func (l *life) carryOut(timeout time.Duration, f func(ctx context.Context, node *dc.Node) reply) (r reply) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	r.err = errDied // unless it returns
	defer l.notePanic()
	return f(ctx, l.dc)
}

// notePanic makes a panic of the node a failure of the run, which names its seed.
func (l *life) notePanic() {
	if p := recover(); p != nil {
		l.node.cluster.watch.fail("%s panicked: %v\n%s", l.node, p, debug.Stack())
	}
}

func (c *client) delay() time.Duration {
	return delayLeast + time.Duration(c.rnd.Int64N(int64(time.Millisecond)))
}

// outcome is what a client can conclude from the error of a write.
func outcome(err error) history.Outcome {
	if err == nil {
		return history.OK
	}
	if errors.Is(err, errDied) || errors.Is(err, errTimeout) {
		return history.Unknown
	}
	e := dc.AsError(err)
	switch e.Code {
	case dc.InvalidArgument, dc.NotFound, dc.FailedPrecondition, dc.PermissionDenied, dc.OutOfRange, dc.ResourceExhausted, dc.AlreadyExists:
		if e.Reason != "REQUEST_TOO_OLD" {
			return history.Failed
		}
	case dc.Unavailable:
		if e.Reason == "NOT_SENT" || e.Reason == "NO_OWNER" || e.Reason == "CLOCK_SKEW" {
			return history.Failed
		}
	case dc.DeadlineExceeded, dc.Internal:
	}
	return history.Unknown
}

// write carries out one update and returns its outcome, with the attempts it
// took. Only what may be applied twice goes to another node once an attempt may
// have been applied.
func (c *client) write(req *v1.UpdateRequest, twice bool) (resp *v1.UpdateResponse, node *Node, out history.Outcome, tries int, err error) {
	req.Options.RequestId = c.requestID()
	timeout := time.Duration(200+c.rnd.IntN(2500)) * time.Millisecond
	nodes := c.home.Nodes
	if owners := c.home.owners(req.GetBucket(), string(req.GetKey())); !twice && len(owners) > 0 {
		nodes = owners // a request id is known to replicas only
	}
	maybe := false
	node = nodes[c.rnd.IntN(len(nodes))]
	life := node.current()
	for tries = 1; ; tries++ {
		r := c.try(node, timeout, req, twice)
		out, err = outcome(r.err), r.err
		if out == history.OK {
			return r.update, node, out, tries, nil
		}
		maybe = maybe || out == history.Unknown
		if maybe {
			out = history.Unknown
		}
		again := out == history.Unknown || dc.AsError(err).Code == dc.Unavailable
		if !again || tries == maxTries || c.run.over() || c.rnd.IntN(4) == 0 {
			return nil, node, out, tries, err
		}
		pause(time.Duration(10+c.rnd.IntN(200)) * time.Millisecond)
		switch {
		case !maybe || twice:
			node = nodes[c.rnd.IntN(len(nodes))]
			life = node.current()
		case life == nil || node.current() != life: // it may have forgotten what it was asked
			return nil, node, out, tries, err
		}
	}
}

// try is one attempt of a write. What may be applied twice is not begun after its
// time, and until then it stays unknown, as with the Go client (decisions/0009):
// else it could come after what is written next.
func (c *client) try(n *Node, timeout time.Duration, req *v1.UpdateRequest, twice bool) reply {
	sent, by := proto.CloneOf(req), time.Now().Add(timeout)
	r := c.ask(n, timeout, func(ctx context.Context, node *dc.Node) reply {
		if twice {
			ctx = dc.BeginBy(ctx, by)
		}
		resp, err := node.Update(ctx, sent)
		return reply{update: resp, err: err}
	})
	if twice && outcome(r.err) == history.Unknown {
		pause(time.Until(by))
	}
	return r
}

// requestID is a ULID: its birth, then what nobody else has.
func (c *client) requestID() []byte {
	id := binaryID(time.Now())
	binary.BigEndian.PutUint64(id[6:], c.rnd.Uint64())
	return id
}

// binaryID is a ULID of zeros behind its birth.
func binaryID(born time.Time) []byte {
	id := make([]byte, 16)
	binary.BigEndian.PutUint64(id, uint64(born.UnixMilli())<<16)
	return id
}

// read asks any node for a key.
func (c *client) read(req *v1.GetRequest) (*v1.GetResponse, *Node, error) {
	nodes := c.home.Nodes
	node := nodes[c.rnd.IntN(len(nodes))]
	sent := proto.CloneOf(req)
	r := c.ask(node, time.Duration(200+c.rnd.IntN(2000))*time.Millisecond, func(ctx context.Context, n *dc.Node) reply {
		resp, err := n.Get(ctx, sent)
		return reply{get: resp, err: err}
	})
	return r.get, node, r.err
}

// strength is what an operation promises when it is acknowledged.
type strength int

const (
	weak   strength = iota // one copy
	sturdy                 // as many copies as a quorum has
	strong                 // a quorum of owners, none of them a stand-in
)

// writeLevel draws how many copies a write is to reach.
func (c *client) writeLevel() (o *v1.WriteOptions, s strength) {
	o, s = &v1.WriteOptions{}, sturdy
	switch c.rnd.IntN(8) {
	case 0:
		return &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ONE}, weak
	case 1:
		o.Consistency = v1.Consistency_CONSISTENCY_ALL
	case 2:
		o.W = uint32(c.home.replicas(&c.run.cluster.opts)/2 + 1)
	}
	if c.rnd.IntN(2) == 0 {
		o.Strict, s = true, strong
	}
	return o, s
}

func (c *client) readLevel() (o *v1.ReadOptions, s strength) {
	switch c.rnd.IntN(6) {
	case 0:
		return &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ONE}, weak
	case 1:
		return &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ALL, Strict: true}, strong
	}
	return &v1.ReadOptions{Strict: true}, strong
}

// pick draws one of some values.
func pick[T any](rnd *rand.Rand, of []T) T { return of[rnd.IntN(len(of))] }

// takeAt takes out one of some values.
func takeAt[T any](of *[]T, i int) T {
	v := (*of)[i]
	*of = slices.Delete(*of, i, i+1)
	return v
}
