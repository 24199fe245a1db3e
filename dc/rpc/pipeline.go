package rpc

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/frame"
)

// Limits of the queue of answers of one pipeline.
const (
	pipelineQueue    = 16 << 20
	pipelineFrame    = 256 << 10
	pipelineMessages = 256
)

// Pipeline implements v1.KVServer: it answers the requests of one stream, each
// as its unary call would be, until the client ends it or the server closes, which
// first answers what it has taken.
func (k *kvService) Pipeline(stream grpc.BidiStreamingServer[v1.PipelineFrame, v1.PipelineFrame]) error {
	zero := time.Now()
	if err := stream.SendHeader(nil); err != nil { // from now on the client counts
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	p := &pipeline{k: k, idle: make(chan struct{}, 1), transit: newTransit(zero)}
	p.answerer = newAnswerer(stream, &k.server.codec,
		frame.Limits{Queue: pipelineQueue, Frame: pipelineFrame, Messages: pipelineMessages}, p.workers.Go)
	p.most, p.serve, p.instead, p.answered = k.opts.MaxPipeline, p.answer, p.doesNotFit, p.left
	p.maxAnswer = k.opts.MaxMessage + maxErrorText + frame.Overhead // what a response lies in does not count
	// The reader ends with the stream, just after this function.
	go func() { cancel(p.read(ctx)) }()
	err := p.write(ctx)
	cancel(err)
	p.close()
	p.gate.Lock()
	p.ended = true
	p.gate.Unlock()
	p.workers.Wait()
	return err
}

// pipeline is one stream of a client.
type pipeline struct {
	*answerer

	k        *kvService
	transit  transit       // known to the reader alone
	open     atomic.Int64  // requests that were taken and are not answered
	draining atomic.Bool   // none is taken any more
	idle     chan struct{} // told when the last was answered while draining

	workers sync.WaitGroup
	gate    sync.Mutex // held by the reader while it starts a worker
	ended   bool
}

// read takes frames in until the stream ends.
func (p *pipeline) read(ctx context.Context) error {
	for {
		var f frame.In
		if err := p.stream.RecvMsg(&f); err != nil {
			return err
		}
		arrived := time.Now()
		if err := frame.Cut(f.Data, func(m frame.Message) error {
			p.transit.note(&m, arrived)
			p.take(ctx, m)
			return nil
		}); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

// take has a request carried out, or refuses it.
func (p *pipeline) take(ctx context.Context, m frame.Message) {
	if m.Field != frame.Request {
		return
	}
	if err := p.k.server.enter(); err != nil {
		p.respond(m.ID, p.refusal(err))
		return
	}
	p.open.Add(1)
	switch {
	case p.draining.Load():
		p.respond(m.ID, p.refusal(refuse(dc.Unavailable, reasonNotSent, "this node is closing; nothing was done, ask another")))
	case !p.begin(ctx, m):
		p.respond(m.ID, p.refusal(overloaded()))
	default:
		return
	}
	p.left()
}

// begin gives a request to a worker, unless all are busy or the stream has ended.
func (p *pipeline) begin(ctx context.Context, m frame.Message) bool {
	p.gate.Lock()
	defer p.gate.Unlock()
	return !p.ended && p.handle(ctx, m)
}

// left notes that a request that was taken is answered.
func (p *pipeline) left() {
	p.k.server.leave()
	if p.open.Add(-1) == 0 && p.draining.Load() {
		select {
		case p.idle <- struct{}{}:
		default: // it is told
		}
	}
}

// write sends answers until the stream is to end, and returns why.
func (p *pipeline) write(ctx context.Context) error {
	closing := p.k.server.closing.Done()
	for {
		select {
		case <-p.wake:
			if err := p.flush(); err != nil {
				return err
			}
		case <-closing:
			closing = nil
			p.draining.Store(true)
			if p.open.Load() == 0 {
				return errEndOfPipeline
			}
		case <-p.idle:
			if err := p.flush(); err != nil {
				return err
			}
			return errEndOfPipeline
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		}
	}
}

var errEndOfPipeline = status.Error(codes.Unavailable, "this node is closing")

// answer carries one request out.
func (p *pipeline) answer(ctx context.Context, m frame.Message) proto.Message {
	req := new(v1.PipelineRequest)
	if err := proto.Unmarshal(m.Body, req); err != nil {
		return p.refusal(refuse(dc.InvalidArgument, reasonMalformed, "request cannot be read: %s", err))
	}
	o := p.k.opts
	timeout := o.DefaultTimeout
	if ms := req.GetTimeoutMs(); ms > 0 {
		timeout = min(time.Duration(min(ms, math.MaxInt32))*time.Millisecond, o.MaxTimeout)
	}
	ctx, cancel := context.WithDeadline(ctx, m.At.Add(timeout))
	defer cancel()
	began, most := time.Now(), timeout
	if ms := req.GetBeginMs(); ms > 0 && (req.GetUpdate() != nil || req.GetBatchUpdate() != nil) {
		most = min(timeout, time.Duration(min(ms, math.MaxInt32))*time.Millisecond)
		ctx = dc.BeginBy(ctx, m.At.Add(most))
	}
	if way := m.Came.Sub(m.At); way >= most {
		return p.refusal(refuse(dc.Unavailable, reasonTooLate, "the request was %v on its way, and %v were given to it; nothing was done", way.Round(time.Millisecond), most))
	}
	if late := began.Sub(m.At); late >= most {
		return p.refusal(refuse(dc.Unavailable, reasonNotBegun, "the request waited for %v, and was to be begun within %v; nothing was done", late.Round(time.Millisecond), most))
	}
	done, err := p.k.server.admit(req.GetOf())
	if err != nil {
		return p.refusal(err)
	}
	defer done()
	switch of := req.GetOf().(type) {
	case *v1.PipelineRequest_Get:
		got, err := guarded(ctx, o, of.Get, p.k.node.Get)
		err = p.within(got, err)
		p.observe(v1.KV_Get_FullMethodName, of.Get, err, began)
		if err != nil {
			return p.refusal(err)
		}
		return &v1.PipelineAnswer{Epoch: p.epoch(), Of: &v1.PipelineAnswer_Get{Get: got}}
	case *v1.PipelineRequest_Update:
		done, err := guarded(ctx, o, of.Update, p.k.node.Update)
		err = p.within(done, err)
		p.observe(v1.KV_Update_FullMethodName, of.Update, err, began)
		if err != nil {
			return p.refusal(err)
		}
		return &v1.PipelineAnswer{Epoch: p.epoch(), Of: &v1.PipelineAnswer_Update{Update: done}}
	case *v1.PipelineRequest_BatchUpdate:
		done, err := p.k.BatchUpdate(ctx, of.BatchUpdate)
		err = p.within(done, err)
		p.observe(v1.KV_BatchUpdate_FullMethodName, of.BatchUpdate, err, began)
		if err != nil {
			return p.refusal(err)
		}
		return &v1.PipelineAnswer{Epoch: p.epoch(), Of: &v1.PipelineAnswer_BatchUpdate{BatchUpdate: done}}
	}
	return p.refusal(refuse(dc.InvalidArgument, reasonMalformed, "request of a kind that this version does not know"))
}

// within holds a response to the limit of a unary answer.
func (p *pipeline) within(resp proto.Message, err error) error {
	if err != nil {
		return err
	}
	if size := proto.Size(resp); size > p.k.opts.MaxMessage {
		return tooLarge(size, p.k.opts.MaxMessage)
	}
	return nil
}

func (p *pipeline) observe(method string, req any, err error, began time.Time) {
	if err != nil {
		err = toStatus(err)
	}
	p.k.opts.Observe(operationOf(method, req), outcomeOf(err), time.Since(began))
}

func (p *pipeline) epoch() uint64 { return p.k.node.Document().Epoch }

// refusal says in an answer what a status would say.
func (p *pipeline) refusal(err error) *v1.PipelineAnswer {
	e := dc.AsError(err)
	return &v1.PipelineAnswer{
		Code: int32(e.Code), Message: clip(e.Message, maxErrorText), Reason: e.Reason, Metadata: metadata(e),
		Session: e.Session, Epoch: p.epoch(),
	}
}

func (p *pipeline) doesNotFit(size int, err error) proto.Message {
	if err != nil {
		return p.refusal(err)
	}
	return p.refusal(tooLarge(size, p.k.opts.MaxMessage))
}
