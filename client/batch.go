package client

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// GetResult is the answer about one key of a BatchGet.
type GetResult struct {
	Value *Value // nil if Err is not
	Err   error  // an *Error
}

// UpdateResult is the answer about one operation of a BatchUpdate.
type UpdateResult struct {
	Result *Result // nil if Err is not, unless the write is done for all that: see WithAcksDC
	Err    error   // an *Error; OutcomeOf tells what is known of this write
}

// BatchGet reads keys, up to 256 with a request, and answers in their order. Each has
// its own error, such as IsNotFound.
func (c *Client) BatchGet(ctx context.Context, keys []string, opts ...CallOption) ([]GetResult, error) {
	o, err := c.options("BatchGet", opts)
	if err != nil {
		return nil, err
	}
	results := make([]GetResult, len(keys))
	items := make([]batchItem, len(keys))
	for i, key := range keys {
		req := &pb.GetRequest{Bucket: o.bucket, Key: []byte(key), Limit: pageLimit, Options: o.read()}
		req.Options.Session = o.carry(o.bucket, req.GetKey())
		items[i] = batchItem{index: i, msg: req}
	}
	send := func(ctx context.Context, a *attempt, items []*batchItem) ([]itemAnswer, error) {
		req := &pb.BatchGetRequest{}
		for _, it := range items {
			req.Gets = append(req.Gets, it.msg.(*pb.GetRequest)) //nolint:errcheck // made a few lines above
		}
		resp, err := a.kv.BatchGet(ctx, req)
		answers := make([]itemAnswer, len(resp.GetResults()))
		for i, r := range resp.GetResults() {
			answers[i] = itemAnswer{code: codes.Code(r.GetCode()), message: r.GetMessage(), reason: r.GetReason(), metadata: r.GetMetadata(), get: r.GetResponse(), session: r.GetSession()}
		}
		return answers, err
	}
	c.batch(ctx, call{op: "BatchGet", timeout: o.timeout}, items, send)
	for _, it := range items {
		sent, _ := it.msg.(*pb.GetRequest)
		if it.err != nil {
			o.take(o.bucket, sent.GetKey(), sent.GetOptions().GetSession(), it.err.session)
			results[it.index].Err = it.err
			continue
		}
		o.take(o.bucket, sent.GetKey(), sent.GetOptions().GetSession(), it.answer.get.GetSession())
		results[it.index].Value = valueOf(it.answer.get)
	}
	return results, nil
}

// BatchUpdate applies operations, up to 256 with a request, and answers in their
// order. It is atomic per operation and not as a whole; operations on one key
// may be applied in any order. Each has its own error and outcome and its own
// request id, so WithRequestID and WithResult are for one operation only.
func (c *Client) BatchUpdate(ctx context.Context, ops []Op, opts ...CallOption) ([]UpdateResult, error) {
	o, err := c.options("BatchUpdate", opts)
	if err != nil {
		return nil, err
	}
	if (o.requestID != nil || o.result != nil) && len(ops) > 1 {
		return nil, refuse("BatchUpdate", codes.InvalidArgument, "ONE_OPERATION",
			"WithRequestID and WithResult are for one operation, the batch has %d", len(ops))
	}
	items := make([]batchItem, len(ops))
	for i := range ops {
		op := &ops[i]
		if op.fill == nil {
			return nil, refuse("BatchUpdate", codes.InvalidArgument, "NO_OPERATION", "operation %d is the zero Op", i)
		}
		u, err := c.request(op, o)
		if err != nil {
			return nil, err
		}
		items[i] = batchItem{index: i, msg: u, movable: op.mayRepeat(u)}
	}
	c.batch(ctx, call{op: "BatchUpdate", timeout: o.timeout, write: true}, items, sendUpdates)
	results := make([]UpdateResult, len(ops))
	for _, it := range items {
		sent, _ := it.msg.(*pb.UpdateRequest)
		c.near.written(sent.GetBucket(), string(sent.GetKey()), it.answer.update.GetSession())
		if it.err != nil {
			results[it.index].Err = it.err
			continue
		}
		o.take(sent.GetBucket(), sent.GetKey(), sent.GetOptions().GetSession(), it.answer.update.GetSession())
		r := resultOf(it.answer.update, it.tries)
		results[it.index].Result = r
		if short := acksShort("BatchUpdate", "", it.answer.update.GetAnswer()); short != nil {
			results[it.index].Err = short
		}
		if o.result != nil {
			*o.result = *r
		}
	}
	return results, nil
}

func sendUpdates(ctx context.Context, a *attempt, items []*batchItem) ([]itemAnswer, error) {
	req := &pb.BatchUpdateRequest{}
	for _, it := range items {
		u := it.msg.(*pb.UpdateRequest) //nolint:errcheck // made by BatchUpdate
		u.Options.Repeat = u.Options.Repeat || it.maybe && !it.movable
		req.Updates = append(req.Updates, u)
	}
	resp, err := a.updates(ctx, req)
	answers := make([]itemAnswer, len(resp.GetResults()))
	for i, r := range resp.GetResults() {
		answers[i] = itemAnswer{code: codes.Code(r.GetCode()), message: r.GetMessage(), reason: r.GetReason(), metadata: r.GetMetadata(), update: r.GetResponse(), session: r.GetSession()}
	}
	return answers, err
}

// updates sends a batch, by the wide pipeline where there is one.
func (a *attempt) updates(ctx context.Context, req *pb.BatchUpdateRequest) (*pb.BatchUpdateResponse, error) {
	if a.piped && !a.unary.Load() {
		got, err := a.wide.ask(ctx, a, &pb.PipelineRequest{Of: &pb.PipelineRequest_BatchUpdate{BatchUpdate: req}}, nil)
		if !errors.Is(err, errNoPipeline) {
			return got.GetBatchUpdate(), err
		}
	}
	return a.kv.BatchUpdate(ctx, req)
}

// batchItem is one key of a batch on its way.
type batchItem struct {
	index   int
	msg     keyed
	movable bool // a write that may be carried out at two nodes
	maybe   bool // an earlier attempt may have been applied
	tries   int
	answer  itemAnswer
	err     *Error // nil once answered
}

// keyed is a request about one key.
type keyed interface {
	proto.Message
	GetBucket() string
	GetKey() []byte
}

// itemAnswer is what the server says of one item.
type itemAnswer struct {
	code     codes.Code
	message  string
	reason   string
	metadata map[string]string
	get      *pb.GetResponse
	update   *pb.UpdateResponse
	session  *pb.Session
}

type sendItems func(context.Context, *attempt, []*batchItem) ([]itemAnswer, error)

// batch carries out items, those of one owner together and those of several
// owners at the same time, in requests that are neither too many nor too large.
// Afterwards every item has either its answer or its error.
func (c *Client) batch(ctx context.Context, s call, items []batchItem, send sendItems) {
	s.class = batchClass
	if c.opts.Transport != Pipelined {
		s.patient = true
		c.part(ctx, s, all(items), send)
		return
	}
	var nodes []*node
	parts := map[*node][]*batchItem{}
	short, cancel := context.WithTimeout(ctx, ringWait) // for all of them
	defer cancel()
	for i := range items {
		it := &items[i]
		to := c.route(it.msg.GetBucket(), it.msg.GetKey(), true)(short, false)[0]
		if parts[to] == nil {
			nodes = append(nodes, to)
		}
		parts[to] = append(parts[to], it)
	}
	var work errgroup.Group
	work.SetLimit(batchParallel)
	for _, to := range nodes {
		own, part := s, parts[to]
		own.route = c.beginningWith(to, part[0])
		work.Go(func() error {
			c.part(ctx, own, part, send)
			return nil // each item has its own error
		})
	}
	_ = work.Wait() // it cannot fail
}

// beginningWith is the route of an item that begins with a node.
func (c *Client) beginningWith(to *node, it *batchItem) func(context.Context, bool) []*node {
	route := c.route(it.msg.GetBucket(), it.msg.GetKey(), true)
	return func(ctx context.Context, suspect bool) []*node {
		nodes := route(ctx, suspect)
		if i := slices.Index(nodes, to); i > 0 {
			copy(nodes[1:i+1], nodes[:i])
			nodes[0] = to
		}
		return nodes
	}
}

func all(items []batchItem) []*batchItem {
	out := make([]*batchItem, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

// part carries out items one request after the other.
func (c *Client) part(ctx context.Context, s call, items []*batchItem, send sendItems) {
	var chunk []*batchItem
	size := 0
	for _, it := range items {
		n := proto.Size(it.msg)
		if len(chunk) == batchLimit || len(chunk) > 0 && size+n > batchBytes {
			c.chunk(ctx, s, chunk, send)
			chunk, size = nil, 0
		}
		chunk, size = append(chunk, it), size+n
	}
	if len(chunk) > 0 {
		c.chunk(ctx, s, chunk, send)
	}
}

// chunk carries out one request and repeats it with what is still open. A write
// that must not be carried out twice, and may have been, stays at its node, or
// goes to another owner marked as a repeat.
func (c *Client) chunk(ctx context.Context, s call, items []*batchItem, send sendItems) {
	open := items
	s.far = true
	s.stays = func(maybe bool) bool {
		return slices.ContainsFunc(open, func(it *batchItem) bool { return (maybe || it.maybe) && s.write && !it.movable })
	}
	s.mayMove = func(maybe bool) bool { return s.route != nil || !s.stays(maybe) }
	s.twice = s.write && s.route != nil && slices.ContainsFunc(items, func(it *batchItem) bool { return it.movable })
	err := c.do(ctx, s, func(ctx context.Context, a *attempt) error {
		answers, err := send(ctx, a, open)
		if err == nil && len(answers) != len(open) {
			err = refuse(s.op, codes.Internal, "BAD_ANSWER", "%d operations were sent, %d answered", len(open), len(answers))
		}
		if err != nil {
			e := a.fail(err)
			for _, it := range open {
				it.note(e)
			}
			return err
		}
		if open = a.settle(open, answers); len(open) > 0 {
			return open[0].err
		}
		return nil
	})
	if err == nil {
		return
	}
	for _, it := range open {
		if it.err == nil { // not even one attempt was made
			it.err = refuse(s.op, CodeOf(err), ReasonOf(err), "%s", err)
		}
	}
}

// settle notes the server's answers and returns the items worth asking again.
func (a *attempt) settle(items []*batchItem, answers []itemAnswer) (again []*batchItem) {
	for i, it := range items {
		it.tries = a.try
		it.take(a.op, a, answers[i])
		if it.err != nil && retryable(it.err) {
			again = append(again, it)
		}
	}
	return again
}

// take notes the server's answer about one item.
func (it *batchItem) take(op string, a *attempt, answer itemAnswer) {
	if answer.code == codes.OK {
		it.answer, it.err = answer, nil
		return
	}
	e := &Error{Op: op, Addr: a.addr, Code: answer.code, Message: answer.message, Reason: answer.reason, Metadata: answer.metadata, Outcome: Failed, session: answer.session}
	if a.write {
		e.Outcome = writeOutcome(e.Code, e.Reason)
	}
	it.note(e)
}

// note keeps an error for an item, with what is known of the item's own outcome.
func (it *batchItem) note(e *Error) {
	own := *e
	it.maybe = it.maybe || own.Outcome == Unknown
	if it.maybe {
		own.Outcome = Unknown
	}
	it.err = &own
}
