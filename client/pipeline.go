package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/frame"
)

// Limits of the pipelines to one node. What is larger than a frame goes by the wide
// one, so that it keeps nobody waiting, and what is too large even for that, which is
// less than a node takes at once, by a unary call.
const (
	pipeQueue    = 16 << 20
	pipeFrame    = 128 << 10
	pipeMessages = 256

	wideQueue = 64 << 20
	wideMost  = batchBytes + pipeFrame
)

// errNoPipeline reports a request that is to go by a unary call and was not sent.
var errNoPipeline = errors.New("no pipeline to this node")

// pipe is a pipeline to one node: a stream that carries the requests of many
// calls. It is opened by the first call that needs it, and again after it broke.
type pipe struct {
	c     *Client
	to    *node
	most  int // bytes of one request
	codec frame.Codec
	wake  chan struct{} // tells the writer that there is something to send

	mu         sync.Mutex
	open       bool
	zero       time.Time     // from which the stream counts
	restart    func()        // ends the stream
	connecting chan struct{} // closed when the attempt under way has ended; nil without one
	lastErr    error
	out        frame.Outbox
	lastID     uint64
	pending    map[uint64]*question
}

// question is a request that waits for its answer, at one node or at two.
type question struct {
	a      *attempt
	over   time.Time       // when a node that counts alike does not begin it any more
	hedge  bool            // of another question, whose answers it shares
	answer chan pipeAnswer // with room for both
}

type pipeAnswer struct {
	msg   *pb.PipelineAnswer
	err   error
	hedge bool
}

// newPipe makes a pipeline for requests of so many bytes at the most, of which so
// many may wait.
func newPipe(c *Client, to *node, most, queue int) *pipe {
	p := &pipe{c: c, to: to, most: most, wake: make(chan struct{}, 1), pending: map[uint64]*question{}}
	p.out = frame.NewOutbox(&p.codec, frame.Limits{Queue: queue, Frame: pipeFrame, Messages: pipeMessages})
	return p
}

// ask sends a request and waits for its answer. What the node refused is an
// *Error. The request certainly did not leave this process unless a.sent says so.
// A read that takes long is put to another node too, unless that is nil: it is
// answered by whichever is first.
func (p *pipe) ask(ctx context.Context, a *attempt, req *pb.PipelineRequest, hedge *node) (*pb.PipelineAnswer, error) {
	if at, ok := ctx.Deadline(); ok {
		req.TimeoutMs = uint64(max(time.Until(at).Milliseconds(), 1))
	}
	req.BeginMs = uint64(a.begin.Milliseconds())
	body, err := p.codec.Encode(req)
	defer p.codec.Done(body)
	if err != nil || len(*body) > p.most {
		return nil, errNoPipeline // which will say what is wrong with it
	}
	q := &question{a: a, over: time.Now().Add(mayTake(req)), answer: make(chan pipeAnswer, 2)}
	id, err := p.put(ctx, q, *body)
	if err != nil {
		return nil, err
	}
	a.over = time.Now().Add(a.begin + time.Millisecond) // sent_ms is up to one late
	if hedge != nil {
		return p.askEither(ctx, q, id, *body, hedge)
	}
	select {
	case got := <-q.answer:
		return p.told(q, got)
	case <-ctx.Done():
		if p.forget(id) {
			a.sent.Store(false)
		}
		return nil, ctx.Err()
	}
}

// mayTake is for how long a request may be on its way.
func mayTake(req *pb.PipelineRequest) time.Duration {
	ms := req.GetTimeoutMs()
	if b := req.GetBeginMs(); b > 0 {
		ms = min(ms, b)
	}
	return time.Duration(ms) * time.Millisecond
}

// told is what an answer says. Where a node finds a request too late that by the clock
// of this end is not, the stream has to be begun anew. One that was so by both was
// held up, as others are that a new stream would not carry sooner.
func (p *pipe) told(q *question, got pipeAnswer) (*pb.PipelineAnswer, error) {
	if got.err != nil {
		return nil, got.err
	}
	p.c.rings.heard(got.msg.GetEpoch())
	if got.msg.GetReason() == reasonTooLate && time.Now().Before(q.over) {
		p.anew()
	}
	return got.msg, refusal(got.msg)
}

// anew ends the stream, on which the two ends no longer count alike: one of them
// stood still with its clock. The next call opens another.
func (p *pipe) anew() {
	p.mu.Lock()
	restart := p.restart
	p.mu.Unlock()
	if restart != nil {
		restart()
	}
}

// forget gives a request up, and reports whether it had not been sent: then it never
// will be.
func (p *pipe) forget(id uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, id)
	return p.out.Drop(id)
}

// refusal is what an answer says that is not a response; nil for a response.
func refusal(m *pb.PipelineAnswer) error {
	if codes.Code(m.GetCode()) == codes.OK {
		return nil
	}
	return &Error{Code: codes.Code(m.GetCode()), Message: m.GetMessage(), Reason: m.GetReason(), Metadata: m.GetMetadata(), session: m.GetSession()}
}

// put queues a request once the stream is open.
func (p *pipe) put(ctx context.Context, q *question, body []byte) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for tries := 0; !p.open; tries++ {
		if tries == 2 {
			return 0, p.lastErr
		}
		if err := p.connect(ctx); err != nil {
			return 0, err
		}
	}
	if !p.out.Fits(len(body)) {
		return 0, refuse("", codes.ResourceExhausted, reasonOverloaded, "%d bytes wait to be sent to this node", p.out.Bytes())
	}
	return p.enqueue(q, body), nil
}

// enqueue puts a request into the next frame. The caller holds the lock, the
// stream is open and there is room.
func (p *pipe) enqueue(q *question, body []byte) uint64 {
	p.lastID++
	p.out.Put(frame.Message{ID: p.lastID, Field: frame.Request, Body: body, Sent: uint64(time.Since(p.zero).Milliseconds()) + 1})
	p.pending[p.lastID] = q
	q.a.sent.Store(true) // from now on it may be
	select {
	case p.wake <- struct{}{}:
	default: // it is awake
	}
	return p.lastID
}

// connect waits for an attempt to open the stream, and begins one where none is
// under way. The caller holds the lock, which is let go meanwhile.
func (p *pipe) connect(ctx context.Context) error {
	if p.connecting == nil {
		if !p.c.start(p.session) {
			return refuse("", codes.Canceled, "CLIENT_CLOSED", "the client is closed")
		}
		p.connecting = make(chan struct{})
	}
	done := p.connecting
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// session opens the stream, and sends and receives until it ends.
func (p *pipe) session() {
	ctx, cancel := context.WithCancel(p.c.life)
	defer cancel()
	stream, err := p.to.conn.NewStream(ctx, &pb.KV_ServiceDesc.Streams[pipelineStream], pb.KV_Pipeline_FullMethodName, grpc.ForceCodecV2(&p.codec))
	if err == nil {
		_, err = stream.Header() // the node is there, and counts
	}
	p.mu.Lock()
	p.open, p.lastErr, p.zero, p.restart = err == nil, err, time.Now(), cancel
	close(p.connecting)
	p.connecting = nil
	p.mu.Unlock()
	if err != nil {
		return
	}
	ended := make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() { ended <- p.read(stream) })
	err = p.write(stream, ended)
	cancel()
	reader.Wait()
	p.down(err)
}

// pipelineStream is the place of Pipeline among the streams of KV.
var pipelineStream = func() int {
	for i := range pb.KV_ServiceDesc.Streams {
		if pb.KV_ServiceDesc.Streams[i].StreamName == "Pipeline" {
			return i
		}
	}
	return 0
}()

// write sends what is queued until the stream ends, and returns why it did.
func (p *pipe) write(stream grpc.ClientStream, ended <-chan error) error {
	for {
		select {
		case <-p.wake:
		case err := <-ended:
			return err
		}
		for {
			runtime.Gosched() // let those who are about to ask join the frame
			p.mu.Lock()
			f := p.out.Take()
			p.mu.Unlock()
			if f == nil {
				break
			}
			if stream.SendMsg(f) != nil {
				return <-ended // the reader is told why
			}
		}
	}
}

func (p *pipe) read(stream grpc.ClientStream) error {
	for {
		var f frame.In
		if err := stream.RecvMsg(&f); err != nil {
			return err
		}
		if err := frame.Cut(f.Data, p.answered); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

func (p *pipe) answered(m frame.Message) error {
	p.mu.Lock()
	q := p.pending[m.ID]
	delete(p.pending, m.ID)
	p.mu.Unlock()
	if q == nil || m.Field != frame.Response {
		return nil // its caller has given up
	}
	msg := new(pb.PipelineAnswer)
	err := proto.Unmarshal(m.Body, msg)
	if err != nil {
		err = status.Errorf(codes.Unknown, "answer cannot be read: %s", err)
	}
	q.answer <- pipeAnswer{msg, err, q.hedge}
	return nil
}

// down ends the calls of a stream: what was not taken from the queue was
// certainly not sent; of the rest nobody knows.
func (p *pipe) down(err error) {
	if errors.Is(err, io.EOF) {
		err = errors.New("the node ended the stream")
	}
	if status.Code(err) == codes.Unimplemented {
		p.to.unary.Store(true)
		err = errNoPipeline
	} else if status.Code(err) != codes.Unavailable {
		err = status.Errorf(codes.Unavailable, "pipeline: %s", err)
	}
	p.mu.Lock()
	calls, taken := p.pending, p.out.Taken()
	p.pending = map[uint64]*question{}
	p.out.Clear()
	p.open, p.lastErr = false, err
	p.mu.Unlock()
	for id, q := range calls {
		if id > taken || errors.Is(err, errNoPipeline) {
			q.a.sent.Store(false)
		}
		q.answer <- pipeAnswer{err: err, hedge: q.hedge}
	}
}
