package rpc

import (
	"context"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// observeUnary tells ServerOptions.Observe of every request.
func (s *Server) observeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if !ours(info.FullMethod) {
		return next(ctx, req)
	}
	began := time.Now()
	resp, err := next(ctx, req)
	s.opts.Observe(operationOf(info.FullMethod, req), outcomeOf(err), time.Since(began))
	return resp, err
}

// observeStream does the same for answers that are streamed. Streams that
// clients keep open for as long as they like would only blur the picture.
func (s *Server) observeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if !ours(info.FullMethod) || info.IsClientStream || info.FullMethod == v1.KV_Watch_FullMethodName {
		return next(srv, stream)
	}
	began := time.Now()
	err := next(srv, stream)
	s.opts.Observe(operationOf(info.FullMethod, nil), outcomeOf(err), time.Since(began))
	return err
}

// operationOf names what a request does: for an update its operation, else the
// method, with its service unless that is KV. The proto files bound the names.
func operationOf(method string, req any) string {
	if method == v1.KV_Get_FullMethodName {
		return "get"
	}
	if u, ok := req.(*v1.UpdateRequest); ok {
		if name := nameOfOp(u); name != "" {
			return name
		}
	}
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/godwit.v1."), "/")
	if service == "KV" {
		return snake(name)
	}
	return snake(service) + "_" + snake(name)
}

// nameOfOp is the name of the operation's field.
func nameOfOp(u *v1.UpdateRequest) string {
	m := u.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("op")); f != nil {
		return string(f.Name())
	}
	return ""
}

func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	code := status.Code(err)
	if code > codes.Unauthenticated {
		code = codes.Unknown // there are no others, whatever a handler says
	}
	if code == codes.OK {
		return "ok"
	}
	return snake(code.String())
}

func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
