package client

import (
	"context"
	"errors"
	"math"
	"slices"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Get reads one key: of a set, a map or a zset, its first 1000 elements, cells
// of fields or members. IsNotFound tells that the key is absent, the reason
// KIND_CONFLICT that it was created under several kinds at once; see Keep.
func (c *Client) Get(ctx context.Context, key string, opts ...CallOption) (*Value, error) {
	if v, ok := c.near.get(ctx, key, opts); ok {
		return v, nil
	}
	return c.get(ctx, "Get", &pb.GetRequest{Key: []byte(key), Limit: pageLimit}, opts)
}

func (c *Client) get(ctx context.Context, op string, req *pb.GetRequest, opts []CallOption) (*Value, error) {
	o, err := c.options(op, opts)
	if err != nil {
		return nil, err
	}
	req.Bucket, req.Options = o.bucket, o.read()
	req.Options.Session = o.carry(o.bucket, req.GetKey())
	var resp *pb.GetResponse
	s := o.readCall(op)
	s.route, s.class, s.far = c.route(o.bucket, req.GetKey(), false), readClass, true
	err = c.do(ctx, s, func(ctx context.Context, a *attempt) error {
		resp, err = a.get(ctx, req, s.route != nil)
		return err
	})
	if err != nil {
		o.take(o.bucket, req.GetKey(), req.GetOptions().GetSession(), seenIn(err))
		return nil, err
	}
	o.take(o.bucket, req.GetKey(), req.GetOptions().GetSession(), resp.GetSession())
	return valueOf(resp), nil
}

// Type is the kind of a key. IsNotFound tells that the key is absent.
func (c *Client) Type(ctx context.Context, key string, opts ...CallOption) (Kind, error) {
	v, err := c.get(ctx, "Type", &pb.GetRequest{Key: []byte(key), Limit: 1}, opts)
	if err != nil {
		return NoKind, err
	}
	return v.Kind, nil
}

// Put assigns a register, or an mvregister with WithKind(MVRegister). It clears
// the key's expiry, but for WithTTL and WithKeepTTL.
func (c *Client) Put(ctx context.Context, key string, value []byte, opts ...CallOption) (*Result, error) {
	return c.Update(ctx, PutOp(key, value), opts...)
}

// Delete removes what the coordinating replica, or the context, holds of a key.
func (c *Client) Delete(ctx context.Context, key string, opts ...CallOption) (*Result, error) {
	return c.Update(ctx, DeleteOp(key), opts...)
}

// Incr adds n to a counter and returns the value as the coordinating replica
// knows it afterwards. A gcounter only grows, and a bcounter goes down only as
// far as the coordinating replica has rights; see WithKind, WithBound and Rights.
func (c *Client) Incr(ctx context.Context, key string, n int64, opts ...CallOption) (int64, error) {
	r, err := c.Update(ctx, IncrOp(key, n), opts...)
	if err != nil {
		return 0, err
	}
	return r.Integer, nil
}

// Decr subtracts n from a counter; see Incr.
func (c *Client) Decr(ctx context.Context, key string, n int64, opts ...CallOption) (int64, error) {
	if n == math.MinInt64 {
		return 0, refuse("Decr", codes.OutOfRange, "COUNTER_OVERFLOW", "%d cannot be subtracted: its opposite is out of range", n)
	}
	return c.Incr(ctx, key, -n, opts...)
}

// Reset removes the increments that the coordinating replica holds and returns
// the value afterwards.
func (c *Client) Reset(ctx context.Context, key string, opts ...CallOption) (int64, error) {
	r, err := c.Update(ctx, ResetOp(key), opts...)
	if err != nil {
		return 0, err
	}
	return r.Integer, nil
}

// Update applies one operation to one key. When it fails, OutcomeOf tells what
// is known of the write. Where that is OK, see WithAcksDC, there is a Result too.
func (c *Client) Update(ctx context.Context, op Op, opts ...CallOption) (*Result, error) {
	if op.fill == nil {
		return nil, noOperation("Update")
	}
	o, err := c.options(op.name, opts)
	if err != nil {
		return nil, err
	}
	req, err := c.request(&op, o)
	if err != nil {
		return nil, err
	}
	s := call{op: op.name, timeout: o.timeout, write: true, mayMove: untilMaybe, class: writeClass}
	if looksFirst(req) {
		s.class = lookClass
	}
	if o.acksDC > 0 { // it takes as long as the way to other datacenters, and back
		s.class, s.patient = otherClass, true
	}
	s.route = c.route(req.GetBucket(), req.GetKey(), true)
	movable := op.mayRepeat(req)
	s.twice = movable
	if movable || s.route != nil { // any owner finds out whether a repeat was carried out
		s.mayMove = always
	}
	if s.far = true; !movable {
		s.stays = func(maybe bool) bool { return maybe }
	}
	var resp *pb.UpdateResponse
	tries, addr := 0, ""
	err = c.do(ctx, s, func(ctx context.Context, a *attempt) error {
		tries, addr = a.try, a.addr
		if a.maybe && !movable { // carried out once, or not again
			req.Options.Repeat = true
			c.stats.repeats.Add(1)
		}
		resp, err = a.update(ctx, req, s.route != nil)
		return err
	})
	c.near.written(req.GetBucket(), op.Key, resp.GetSession())
	if err != nil {
		return nil, err
	}
	o.take(req.GetBucket(), req.GetKey(), req.GetOptions().GetSession(), resp.GetSession())
	r := resultOf(resp, tries)
	if o.result != nil {
		*o.result = *r
		o.result.Context = slices.Clone(r.Context)
	}
	if short := acksShort(op.name, addr, resp.GetAnswer()); short != nil {
		return r, short
	}
	return r, nil
}

// noOperation refuses the zero Op.
func noOperation(op string) *Error {
	return refuse(op, codes.InvalidArgument, "NO_OPERATION", "the zero Op names no operation: use a constructor such as IncrOp")
}

// Keep ends a conflict of kinds, which reads report as FAILED_PRECONDITION with
// the reason KIND_CONFLICT: of what the coordinating replica holds of the key,
// everything of another kind is removed.
func (c *Client) Keep(ctx context.Context, key string, kind Kind, opts ...CallOption) (*Result, error) {
	return c.Update(ctx, KeepOp(key, kind), opts...)
}

// request makes the message of an operation, with a request id.
func (c *Client) request(op *Op, o *callOptions) (*pb.UpdateRequest, error) {
	if op.err != nil {
		return nil, op.err
	}
	kind, bucket := op.Kind, op.Bucket
	if kind == NoKind {
		kind = o.kind
	}
	if bucket == "" {
		bucket = o.bucket
	}
	u := &pb.UpdateRequest{
		Bucket: bucket, Key: []byte(op.Key), Kind: pb.Kind(kind),
		Bound: o.bound, TtlMs: uint64(o.ttl.Milliseconds()), KeepTtl: o.keepTTL,
	}
	op.fill(u)
	if err := c.identify(op.name, u, o); err != nil {
		return nil, err
	}
	c.near.writing(op.Key, o, bucket)
	u.Options.Session = o.carry(bucket, u.GetKey())
	return u, nil
}

// get sends a request, by a pipeline where there is one.
func (a *attempt) get(ctx context.Context, req *pb.GetRequest, pipelined bool) (*pb.GetResponse, error) {
	if pipelined && !a.unary.Load() {
		got, err := a.pipe.ask(ctx, a, &pb.PipelineRequest{Of: &pb.PipelineRequest_Get{Get: req}}, a.next)
		if !errors.Is(err, errNoPipeline) {
			return got.GetGet(), err
		}
	}
	return a.kv.Get(ctx, req)
}

// update sends a request, by a pipeline where there is one, else by the method of
// the contract that is meant for it.
func (a *attempt) update(ctx context.Context, u *pb.UpdateRequest, pipelined bool) (*pb.UpdateResponse, error) {
	if pipelined && !a.unary.Load() {
		req := &pb.PipelineRequest{Of: &pb.PipelineRequest_Update{Update: u}}
		got, err := a.pipe.ask(ctx, a, req, nil)
		if errors.Is(err, errNoPipeline) && !a.unary.Load() {
			got, err = a.wide.ask(ctx, a, req, nil)
		}
		if !errors.Is(err, errNoPipeline) {
			return got.GetUpdate(), err
		}
		ctx = a.noting(ctx)
	}
	switch op := u.GetOp().(type) {
	case *pb.UpdateRequest_Assign:
		if u.GetTtlMs() != 0 || u.GetKeepTtl() {
			break // Put has no words for an expiry
		}
		return a.kv.Put(ctx, &pb.PutRequest{Bucket: u.GetBucket(), Key: u.GetKey(), Value: op.Assign.GetValue(), Kind: u.GetKind(), Options: u.GetOptions()})
	case *pb.UpdateRequest_Remove:
		return a.kv.Delete(ctx, &pb.DeleteRequest{Bucket: u.GetBucket(), Key: u.GetKey(), Options: u.GetOptions()})
	}
	return a.kv.Update(ctx, u)
}
