package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/internal/frame"
)

// session is one connection to a node, from hello to its end.
type session struct {
	conn    *grpc.ClientConn
	stream  grpc.ClientStream
	silence time.Duration
	silent  *time.Timer // breaks the connection when nothing arrives
	cancel  context.CancelCauseFunc
	release func() // the other node's name; nil before it is held
}

var (
	errConnectTimeout = errors.New("timed out while connecting")
	errSilent         = errors.New("nothing was heard for too long")
)

// connect opens a stream to a node at an address and exchanges hellos. The stream lives as
// long as ctx, which cancel ends.
func (p *Peers) connect(ctx context.Context, cancel context.CancelCauseFunc, to, addr string) (*session, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(),
		grpc.WithStaticStreamWindowSize(frame.StreamWindow), grpc.WithStaticConnWindowSize(frame.ConnWindow),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: p.opts.ConnectTimeout}),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(&p.codec),
			grpc.MaxCallRecvMsgSize(p.opts.MaxMessage+frame.Overhead),
			grpc.MaxCallSendMsgSize(p.opts.MaxMessage+frame.Overhead),
		))
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, silence: p.opts.Silence, cancel: cancel}
	hurry := time.AfterFunc(p.opts.ConnectTimeout, func() { cancel(errConnectTimeout) })
	err = s.open(ctx, p, to)
	if err == nil && !hurry.Stop() {
		err = errConnectTimeout
	}
	if err != nil {
		hurry.Stop()
		s.close()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return s, nil
}

func (s *session) open(ctx context.Context, p *Peers, to string) error {
	stream, err := s.conn.NewStream(ctx, &peerv1.Peer_ServiceDesc.Streams[0], peerv1.Peer_Exchange_FullMethodName)
	if err != nil {
		return s.why(err)
	}
	s.stream = stream
	own := p.opts.hello()
	if len(p.opts.Key) > 0 {
		own.Nonce = newNonce()
	}
	if err := s.say(p, own); err != nil {
		return err
	}
	var f frame.In
	if err := stream.RecvMsg(&f); err != nil {
		return s.why(err)
	}
	other, err := readHello(f.Data)
	if err != nil {
		return err
	}
	if err := p.opts.check(other); err != nil {
		return err
	}
	if other.GetNode() != to {
		return fmt.Errorf("the address of %s is answered by %.80q", to, other.GetNode())
	}
	if len(p.opts.Key) > 0 {
		proved, err := p.opts.provedHello(own, other)
		if err != nil {
			return err
		}
		if err := s.say(p, proved); err != nil {
			return err
		}
	}
	if s.release, err = p.lives.hold(other); err != nil {
		return err
	}
	s.silent = time.AfterFunc(s.silence, func() { s.cancel(fmt.Errorf("%w (%v)", errSilent, s.silence)) })
	return nil
}

func (s *session) say(p *Peers, h *peerv1.Hello) error {
	f, err := p.codec.One(frame.Hello, h)
	if err != nil {
		return err
	}
	if err := s.stream.SendMsg(f); err != nil {
		return s.why(err)
	}
	return nil
}

// alive notes that something arrived.
func (s *session) alive() { s.silent.Reset(s.silence) }

// why finds the reason behind an error of the stream: after a failed send it
// is told to those who receive.
func (s *session) why(err error) error {
	if errors.Is(err, io.EOF) && s.stream != nil {
		if e := s.stream.RecvMsg(new(frame.In)); e != nil {
			err = e
		}
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the other side ended the connection")
	}
	if st, ok := status.FromError(err); ok {
		if st.Code() == codes.AlreadyExists { // see exchange.rejectTwin
			return fmt.Errorf("%s: %w", st.Message(), ErrTwin)
		}
		return errors.New(st.Message())
	}
	return err
}

func (s *session) close() {
	if s.release != nil {
		s.release()
	}
	if s.silent != nil {
		s.silent.Stop()
	}
	if err := s.conn.Close(); err != nil {
		return // it is closed, which is all that is wanted
	}
}

// readHello takes the hello out of a first frame.
func readHello(data []byte) (*peerv1.Hello, error) {
	var hello *peerv1.Hello
	err := frame.Cut(data, func(m frame.Message) error {
		if m.Field == frame.Hello && hello == nil {
			hello = new(peerv1.Hello)
			return proto.Unmarshal(m.Body, hello)
		}
		return nil
	})
	if err == nil && hello == nil {
		err = errors.New("the first frame holds no hello")
	}
	return hello, err
}
