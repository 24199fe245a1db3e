package rpc

import (
	"context"
	"runtime"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/godwitdb/godwit/internal/frame"
)

// answerer is this node's end of a stream on which another asks: workers that
// carry out requests, and the queue of their answers. A goroutine of its owner
// reads the stream and hands requests in; another one sends answers, by flush
// whenever wake tells.
type answerer struct {
	stream    grpc.ServerStream
	codec     *frame.Codec
	run       func(func())                                       // starts a worker
	serve     func(context.Context, frame.Message) proto.Message // answers a request; it must not panic
	instead   func(size int, err error) proto.Message            // stands for an answer that does not fit, or cannot be encoded
	answered  func()                                             // after each answer; may be nil
	most      int                                                // workers
	maxAnswer int                                                // bytes of one answer with its frame

	work  chan frame.Message // to workers that are free
	staff int                // known to the reader alone

	wake   chan struct{}
	mu     sync.Mutex
	space  sync.Cond // there is room in out, or closed is set
	out    frame.Outbox
	closed bool
}

func newAnswerer(stream grpc.ServerStream, codec *frame.Codec, l frame.Limits, run func(func())) *answerer {
	a := &answerer{
		stream: stream, codec: codec, run: run, out: frame.NewOutbox(codec, l),
		work: make(chan frame.Message), wake: make(chan struct{}, 1),
	}
	a.space.L = &a.mu
	return a
}

// handle gives a request to a worker, and reports false when there are as many
// as there may be and all are busy.
func (a *answerer) handle(ctx context.Context, m frame.Message) bool {
	select {
	case a.work <- m:
		return true
	default:
	}
	if a.staff >= a.most {
		return false
	}
	a.staff++
	a.run(func() { a.serveAll(ctx, m) })
	return true
}

// serveAll serves one request, and then others until the stream ends: a
// goroutine that is kept has already grown its stack.
func (a *answerer) serveAll(ctx context.Context, m frame.Message) {
	for {
		a.respond(m.ID, a.serve(ctx, m))
		if a.answered != nil {
			a.answered()
		}
		select {
		case m = <-a.work:
		case <-ctx.Done():
			return
		}
	}
}

// respond queues an answer. It waits while the queue is full, which keeps the
// worker busy and so, in the end, the reader from reading.
func (a *answerer) respond(id uint64, answer proto.Message) {
	body, err := a.codec.Encode(answer)
	if size := len(*body); err != nil || size+frame.Overhead > a.maxAnswer {
		a.codec.Done(body)
		body, err = a.codec.Encode(a.instead(size, err))
	}
	defer a.codec.Done(body)
	if err != nil {
		return // the caller's timeout ends it
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.closed && !a.out.Fits(len(*body)) {
		a.space.Wait()
	}
	if a.closed {
		return
	}
	a.out.Put(frame.Message{ID: id, Field: frame.Response, Body: *body})
	select {
	case a.wake <- struct{}{}:
	default: // it is awake
	}
}

// flush sends what is queued.
func (a *answerer) flush() error {
	for {
		runtime.Gosched() // let workers that are about to answer join the frame
		a.mu.Lock()
		f := a.out.Take()
		a.mu.Unlock()
		if f == nil {
			return nil
		}
		a.space.Broadcast()
		if err := a.stream.SendMsg(f); err != nil {
			return err
		}
	}
}

// close drops what was not sent, and lets workers that wait for room go.
func (a *answerer) close() {
	a.mu.Lock()
	a.closed = true
	a.out.Clear()
	a.mu.Unlock()
	a.space.Broadcast()
}
