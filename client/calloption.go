package client

import (
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// CallOption changes one call. Options that have no meaning for a call, such as
// a write quorum for a read, are ignored by it.
type CallOption func(*callOptions)

type callOptions struct {
	bucket      string
	kind        Kind
	consistency Consistency
	r, w        uint32
	acksDC      uint32
	strict      bool
	repeat      bool
	context     []byte // nil: none given
	requestID   *ulid.ULID
	timeout     time.Duration
	result      *Result
	bound       int64
	ttl         time.Duration
	keepTTL     bool
	session     *Session
	c           *Client
}

// WithBucket names the bucket of the call.
func WithBucket(name string) CallOption { return func(o *callOptions) { o.bucket = name } }

// WithKind names the kind that a write is to create or find.
func WithKind(k Kind) CallOption { return func(o *callOptions) { o.kind = k } }

// WithConsistency says how many replicas must answer.
func WithConsistency(level Consistency) CallOption {
	return func(o *callOptions) { o.consistency = level }
}

// WithR asks exactly n replicas in a read; it overrides the consistency.
func WithR(n int) CallOption { return func(o *callOptions) { o.r = uint32(max(0, n)) } }

// WithW asks for exactly n durable copies in a write; it overrides the consistency.
func WithW(n int) CallOption { return func(o *callOptions) { o.w = uint32(max(0, n)) } }

// WithStrict counts owners of the key's partition only, and no nodes that stand
// in for owners that are away; in a read, no owner that lost its disk and may not have
// back yet what it had acknowledged.
func WithStrict() CallOption { return func(o *callOptions) { o.strict = true } }

// WithContext says what the caller of a write observed: the Context of an
// earlier answer, or nothing if it is empty.
func WithContext(observed []byte) CallOption {
	return func(o *callOptions) { o.context = append([]byte{}, observed...) }
}

// WithRequestID names a write, so that it can be repeated by a later call. The
// id carries its birth time and is refused when it is too old.
func WithRequestID(id ulid.ULID) CallOption { return func(o *callOptions) { o.requestID = &id } }

// WithRepeat says that an earlier call with the same WithRequestID may have been
// carried out, at whatever node: it is carried out again only if all owners of
// the key say that they do not know it. While one of them is away the answer is
// WRITE_INDETERMINATE, unless another one knows the request.
func WithRepeat() CallOption { return func(o *callOptions) { o.repeat = true } }

// WithTimeout bounds the call with all its retries, at most 30 s.
func WithTimeout(d time.Duration) CallOption { return func(o *callOptions) { o.timeout = d } }

// WithResult asks a write for the whole of its answer. r is left alone if the
// write does not succeed.
func WithResult(r *Result) CallOption { return func(o *callOptions) { o.result = r } }

// WithBound is the least value of a bcounter; it counts when the write creates it.
func WithBound(least int64) CallOption { return func(o *callOptions) { o.bound = least } }

// WithTTL lets the key expire that long after the write, a whole number of
// milliseconds, at least one.
func WithTTL(d time.Duration) CallOption { return func(o *callOptions) { o.ttl = d } }

// WithKeepTTL leaves the expiry of the key as it is where a Put would clear it.
func WithKeepTTL() CallOption { return func(o *callOptions) { o.keepTTL = true } }

// options gathers what holds for one call.
func (c *Client) options(op string, opts []CallOption) (*callOptions, error) {
	o := &callOptions{c: c, bucket: c.opts.Bucket, consistency: c.opts.Consistency, timeout: c.opts.Timeout}
	for _, set := range opts {
		set(o)
	}
	if o.timeout <= 0 || o.timeout > maxTimeout {
		return nil, refuse(op, codes.InvalidArgument, "BAD_TIMEOUT", "timeout %v is not between 0 and %v", o.timeout, maxTimeout)
	}
	if o.ttl < 0 || o.ttl > 0 && o.ttl < time.Millisecond {
		return nil, refuse(op, codes.InvalidArgument, "BAD_TTL", "time to live %v is less than a millisecond", o.ttl)
	}
	return o, nil
}

// carry is what a request for a key carries of the session; nil without one.
func (o *callOptions) carry(bucket string, key []byte) *pb.Session {
	o.session.visit(o.c)
	return o.session.carry(bucket, key)
}

// take notes what the answer to a request past the near cache showed the session,
// and drops what the cache has of the key, which may be older.
func (o *callOptions) take(bucket string, key []byte, sent, got *pb.Session) {
	if o.session == nil {
		return
	}
	o.session.visit(o.c)
	o.session.take(bucket, sent, got)
	o.c.near.wrote(bucket, string(key))
}

func (o *callOptions) read() *pb.ReadOptions {
	return &pb.ReadOptions{Consistency: pb.Consistency(o.consistency), R: o.r, Strict: o.strict}
}

// identify gives an update the options of a write, above all a request id.
func (c *Client) identify(op string, u *pb.UpdateRequest, o *callOptions) error {
	if o.requestID != nil {
		u.Options = o.write(*o.requestID)
		return nil
	}
	id, err := c.NewRequestID()
	if err != nil {
		e := refuse(op, codes.Internal, "NO_REQUEST_ID", "%s", err)
		e.cause = err
		return e
	}
	u.Options = o.write(id)
	return nil
}

func (o *callOptions) write(id ulid.ULID) *pb.WriteOptions {
	return &pb.WriteOptions{
		Consistency: pb.Consistency(o.consistency), W: o.w, Strict: o.strict, Context: o.context, RequestId: id.Bytes(), Repeat: o.repeat, AcksDc: o.acksDC,
	}
}

// NewRequestID makes an id for WithRequestID.
func (c *Client) NewRequestID() (ulid.ULID, error) {
	id, err := ulid.New(ulid.Timestamp(c.opts.Now()), c.opts.Entropy)
	if err != nil {
		return id, fmt.Errorf("make a request id: %w", err)
	}
	return id, nil
}

// readCall makes a call that changes nothing.
func (o *callOptions) readCall(op string) call {
	return call{op: op, timeout: o.timeout, mayMove: always}
}
