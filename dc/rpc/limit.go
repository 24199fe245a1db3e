package rpc

import (
	"context"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// Reasons of this package, beside those of dc. All are in docs/errors.md.
const (
	reasonOverloaded     = "OVERLOADED"
	reasonAnswerTooLarge = "ANSWER_TOO_LARGE"
	reasonBatchTooLarge  = "BATCH_TOO_LARGE"
	reasonPutKind        = "NOT_A_REGISTER"
	reasonPanic          = "PANIC"
	reasonPeerLost       = "PEER_LOST"
	reasonMessageSize    = "MESSAGE_TOO_LARGE"
	reasonMalformed      = "MALFORMED"
	reasonStopping       = "STOPPING"
	reasonNotSent        = "NOT_SENT"
	reasonTooLate        = "TOO_LATE"
	reasonNotBegun       = "NOT_BEGUN"
)

// ours tells godwit's own methods from health and reflection, which carry no
// load and may last as long as they like.
func ours(method string) bool { return strings.HasPrefix(method, "/godwit.") }

// enter counts a request in, or refuses it.
func (s *Server) enter() error {
	if s.inFlight.Add(1) > int64(s.opts.MaxInFlight) {
		s.inFlight.Add(-1)
		return overloaded()
	}
	return nil
}

func overloaded() *dc.Error {
	return refuse(dc.ResourceExhausted, reasonOverloaded, "this node serves as many requests as it can; nothing was done, try again later or elsewhere")
}

func (s *Server) leave() { s.inFlight.Add(-1) }

// admit is asked before a request about keys is carried out; who is admitted calls
// done when it is answered. Writes that wait for other datacenters take nothing
// from others meanwhile, and are not counted.
func (s *Server) admit(req any) (done func(), err error) {
	a := s.writes
	switch req := req.(type) {
	case *v1.GetRequest, *v1.BatchGetRequest, *v1.PipelineRequest_Get:
		a = s.reads
	case *v1.PipelineRequest_Update:
		return s.admit(req.Update)
	case *v1.PipelineRequest_BatchUpdate:
		return s.admit(req.BatchUpdate)
	case interface{ GetOptions() *v1.WriteOptions }:
		if req.GetOptions().GetAcksDc() > 0 {
			return func() {}, nil
		}
	case *v1.BatchUpdateRequest:
		if slices.ContainsFunc(req.GetUpdates(), func(u *v1.UpdateRequest) bool { return u.GetOptions().GetAcksDc() > 0 }) {
			return func() {}, nil
		}
	default:
		return func() {}, nil
	}
	if !a.enter() {
		return nil, overloaded()
	}
	return a.leave, nil
}

func (s *Server) limitUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if !ours(info.FullMethod) {
		return next(ctx, req)
	}
	if err := s.enter(); err != nil {
		return nil, toStatus(err)
	}
	defer s.leave()
	done, err := s.admit(req)
	if err != nil {
		return nil, toStatus(err)
	}
	defer done()
	ctx, cancel := bounded(ctx, s.opts.DefaultTimeout, s.opts.MaxTimeout)
	defer cancel()
	resp, err := next(ctx, req)
	if err != nil {
		return nil, toStatus(err)
	}
	if m, ok := resp.(proto.Message); ok {
		if size := proto.Size(m); size > s.opts.MaxMessage {
			return nil, toStatus(tooLarge(size, s.opts.MaxMessage))
		}
	}
	return resp, nil
}

func tooLarge(size, limit int) *dc.Error {
	return refuse(dc.ResourceExhausted, reasonAnswerTooLarge,
		"answer has %d bytes, at most %d are sent; ask for less at once, by limit and page or in smaller batches", size, limit)
}

func (s *Server) limitStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if !ours(info.FullMethod) || info.FullMethod == v1.KV_Pipeline_FullMethodName { // whose requests are counted one by one
		return next(srv, stream)
	}
	if err := s.enter(); err != nil {
		return toStatus(err)
	}
	defer s.leave()
	ctx, cancel := bounded(stream.Context(), s.opts.MaxStreamTime, s.opts.MaxStreamTime)
	defer cancel()
	if err := next(srv, &streamWithContext{stream, ctx}); err != nil {
		return toStatus(err)
	}
	return nil
}

// bounded gives ctx a deadline: fallback if it has none, most at the most.
func bounded(ctx context.Context, fallback, most time.Duration) (context.Context, context.CancelFunc) {
	timeout := fallback
	if at, ok := ctx.Deadline(); ok {
		timeout = min(time.Until(at), most)
	}
	return context.WithTimeout(ctx, timeout)
}

// streamWithContext is a stream under a context of ours.
type streamWithContext struct {
	grpc.ServerStream

	ctx context.Context
}

func (s *streamWithContext) Context() context.Context { return s.ctx }

func (s *Server) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Logger.ErrorContext(ctx, "request panicked", "method", info.FullMethod, "panic", p, "stack", string(debug.Stack()))
			resp, err = nil, toStatus(panicked())
		}
	}()
	return next(ctx, req)
}

func (s *Server) recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Logger.ErrorContext(stream.Context(), "request panicked", "method", info.FullMethod, "panic", p, "stack", string(debug.Stack()))
			err = toStatus(panicked())
		}
	}()
	return next(srv, stream)
}

// panicked is the answer to a request that broke an invariant of ours. The
// panic's text stays in the log: it may hold what others wrote.
func panicked() *dc.Error {
	return refuse(dc.Code(codes.Internal), reasonPanic, "a bug in this node ended the request; its log has the details")
}
