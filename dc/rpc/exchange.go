package rpc

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/frame"
)

// maxPeerStreams bounds the streams of one connection; a node opens one.
const maxPeerStreams = 4

// newExchangeServer makes the gRPC server that other nodes connect to.
func newExchangeServer(p *Peers, h Handler) *grpc.Server {
	s := grpc.NewServer(
		grpc.ForceServerCodecV2(&p.codec),
		grpc.MaxRecvMsgSize(p.opts.MaxMessage+frame.Overhead),
		grpc.MaxConcurrentStreams(maxPeerStreams),
		grpc.StaticStreamWindowSize(frame.StreamWindow), grpc.StaticConnWindowSize(frame.ConnWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: max(p.opts.Silence/3, time.Second), Timeout: p.opts.Silence * 2 / 3}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	peerv1.RegisterPeerServer(s, &exchangeService{p: p, handler: h})
	return s
}

// exchangeService is godwit.peer.v1.Peer.
type exchangeService struct {
	peerv1.UnimplementedPeerServer

	p       *Peers
	handler Handler
}

// Exchange implements peerv1.PeerServer: it answers one node until the stream
// ends. Its reader and the requests in service end soon after; Close waits for them.
func (e *exchangeService) Exchange(stream grpc.BidiStreamingServer[peerv1.Frame, peerv1.Frame]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	x := &exchange{
		p: e.p, handler: e.handler, cancel: cancel, hello: make(chan *peerv1.Hello, 1), greeted: make(chan struct{}), release: func() {},
	}
	// The reader is counted, so Close cannot have passed when it starts a worker.
	x.answerer = newAnswerer(stream, &e.p.codec, e.p.opts.limits(), e.p.work.Go)
	x.most, x.maxAnswer, x.serve, x.instead = e.p.opts.MaxServing, e.p.opts.MaxMessage, x.answer, x.doesNotFit
	defer cancel(nil)
	// The reader ends with the stream, just after this function.
	if !e.p.start(func() { cancel(x.read(ctx)) }) {
		return status.Error(codes.Unavailable, "this node is closing")
	}
	err := x.greet(ctx)
	defer func() { x.release() }()
	if err != nil {
		return err
	}
	err = x.write(ctx)
	cancel(err)
	x.close()
	return status.Error(codes.Unavailable, err.Error())
}

// exchange is one stream from another node.
type exchange struct {
	*answerer

	p       *Peers
	handler Handler
	cancel  context.CancelCauseFunc
	from    string
	release func() // its name

	hello   chan *peerv1.Hello
	greeted chan struct{} // closed once the other side may ask
}

// greet waits for the other side's hello, checks it, answers with ours, and lets
// it ask once it has proved the cluster's key, where there is one.
func (x *exchange) greet(ctx context.Context) error {
	late := time.NewTimer(x.p.opts.ConnectTimeout)
	defer late.Stop()
	h, err := x.nextHello(ctx, late.C)
	if err != nil {
		return err
	}
	if err := x.p.opts.check(h); err != nil {
		return x.reject(h, err.Error())
	}
	if err := x.p.lives.check(h); err != nil {
		return x.rejectTwin(h, err)
	}
	if x.p.opts.Addr(h.GetNode()) == "" {
		return x.reject(h, "node "+clip(h.GetNode(), 80)+" is unknown to "+x.p.opts.Node)
	}
	if v := h.GetTopologyVersion(); v != x.p.opts.TopologyVersion {
		x.p.opts.Logger.Warn("peer has another topology", "peer", h.GetNode(), "version", v, "own_version", x.p.opts.TopologyVersion)
	}
	own := x.p.opts.hello()
	if len(x.p.opts.Key) > 0 {
		if len(h.GetNonce()) != nonceBytes {
			return x.reject(h, "node "+clip(h.GetNode(), 80)+" "+errNoKey.Error())
		}
		own.Nonce = newNonce()
		own.Proof = prove(x.p.opts.Key, provesAnswerer, helloParts(h, own)...)
	}
	f, err := x.p.codec.One(frame.Hello, own)
	if err == nil {
		err = x.stream.SendMsg(f)
	}
	if err != nil {
		return err
	}
	if len(x.p.opts.Key) > 0 {
		proved, err := x.nextHello(ctx, late.C)
		if err != nil {
			return err
		}
		if !proves(x.p.opts.Key, proved.GetProof(), provesCaller, helloParts(h, own)...) {
			return x.reject(h, "node "+clip(h.GetNode(), 80)+" "+errNoKey.Error())
		}
	}
	if x.release, err = x.p.lives.hold(h); err != nil { // another process was faster
		return x.rejectTwin(h, err)
	}
	close(x.greeted)
	if l, err := x.p.link(h.GetNode()); err == nil {
		l.heardFrom()
	}
	return nil
}

func (x *exchange) nextHello(ctx context.Context, late <-chan time.Time) (*peerv1.Hello, error) {
	select {
	case h := <-x.hello:
		return h, nil
	case <-late:
		return nil, status.Error(codes.DeadlineExceeded, "no hello was received")
	case <-ctx.Done():
		return nil, status.Error(codes.InvalidArgument, context.Cause(ctx).Error())
	}
}

// rejectTwin tells a process that its name is taken, by the code that why looks for.
func (x *exchange) rejectTwin(h *peerv1.Hello, why error) error {
	_ = x.reject(h, why.Error()) // the other code
	return status.Error(codes.AlreadyExists, why.Error())
}

func (x *exchange) reject(h *peerv1.Hello, why string) error {
	x.p.opts.Logger.Warn("connection of a node refused", "node", clip(h.GetNode(), 80), "why", why)
	return status.Error(codes.FailedPrecondition, why)
}

// read takes frames in and hands their requests to workers. While all are busy
// it does not read, which is what the other side feels. Before the other side is
// greeted, frames hold hellos and nothing else counts in them.
func (x *exchange) read(ctx context.Context) error {
	transit := newTransit(time.Now()) // before the other side hears of this one, and counts
	hellos := 1
	if len(x.p.opts.Key) > 0 {
		hellos = 2
	}
	for n := 0; ; n++ {
		var f frame.In
		if err := x.stream.RecvMsg(&f); err != nil {
			return err
		}
		if n < hellos {
			if err := x.readHello(ctx, f.Data, n == hellos-1); err != nil {
				return err
			}
			continue
		}
		arrived := time.Now()
		if err := frame.Cut(f.Data, func(m frame.Message) error {
			transit.note(&m, arrived)
			return x.dispatch(ctx, m)
		}); err != nil {
			return err
		}
	}
}

// readHello hands a hello to greet. After the last it waits until that is content.
func (x *exchange) readHello(ctx context.Context, data []byte, last bool) error {
	h, err := readHello(data)
	if err != nil {
		return err
	}
	if x.from == "" {
		x.from = h.GetNode()
	}
	if x.from == "" {
		return errors.New("the hello names no node")
	}
	select {
	case x.hello <- h:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !last {
		return nil
	}
	select {
	case <-x.greeted:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (x *exchange) dispatch(ctx context.Context, m frame.Message) error {
	if m.Field != frame.Request || x.handle(ctx, m) {
		return nil
	}
	select {
	case x.work <- m:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (x *exchange) answer(ctx context.Context, m frame.Message) (answer proto.Message) {
	defer func() {
		if p := recover(); p != nil {
			x.p.opts.Logger.ErrorContext(ctx, "request of a peer panicked", "peer", x.from, "panic", p, "stack", string(debug.Stack()))
			answer = refused(panicked())
		}
	}()
	req := new(peerv1.Request)
	if err := proto.Unmarshal(m.Body, req); err != nil {
		return refused(refuse(dc.InvalidArgument, reasonMalformed, "request cannot be read: %s", err))
	}
	if ms := req.GetBeginMs(); ms > 0 {
		by := m.At.Add(time.Duration(min(ms, math.MaxInt32)) * time.Millisecond)
		if !time.Now().Before(by) {
			return refused(refuse(dc.Unavailable, reasonTooLate, "the write was %v on its way to this node; nothing was done", time.Since(m.At).Round(time.Millisecond)))
		}
		ctx = dc.BeginBy(ctx, by)
	}
	return x.handler(ctx, x.from, req)
}

func (x *exchange) doesNotFit(size int, err error) proto.Message {
	if err != nil {
		return refused(dc.AsError(err))
	}
	return refused(refuse(dc.ResourceExhausted, reasonMessageSize, "answer of %d bytes, at most %d are sent between nodes", size, x.p.opts.MaxMessage))
}

func refused(e *dc.Error) *peerv1.Response {
	return &peerv1.Response{Status: &peerv1.Status{Code: int32(e.Code), Reason: e.Reason, Message: clip(e.Message, maxErrorText)}}
}

// write sends what is queued, and an empty frame when there has been nothing
// for a while: that is how the other side knows that this one is there, even
// while it does not read. It returns why the stream ended.
func (x *exchange) write(ctx context.Context) error {
	beat := time.NewTimer(x.p.opts.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-x.wake:
			if err := x.flush(); err != nil {
				return err
			}
		case <-beat.C:
			if err := x.stream.SendMsg(x.p.codec.Heartbeat()); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		beat.Reset(x.p.opts.Heartbeat)
	}
}
