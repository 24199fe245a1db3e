package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	echoName = "gRPC echo"
	// echoArg makes this program the server of echoes instead.
	echoArg = "serve-echo"
)

// echoServer answers a put with nothing: what a unary call costs without a store.
type echoServer struct{ pb.UnimplementedKVServer }

// Put answers.
func (echoServer) Put(context.Context, *pb.PutRequest) (*pb.UpdateResponse, error) {
	return &pb.UpdateResponse{}, nil
}

// serveEcho serves echoes at an address until ctx ends.
func serveEcho(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("serve echoes: %w", err)
	}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, echoServer{})
	go func() {
		<-ctx.Done()
		s.Stop()
	}()
	if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve echoes: %w", err)
	}
	return nil
}

// startEcho starts this program once more, as the server of echoes.
func startEcho(ctx context.Context, l *lab) (*system, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	addr := loopback(ports[0])
	p, _, err := l.server("echo", binary)
	if err != nil {
		return nil, err
	}
	p.args = []string{echoArg, addr}
	s := &system{name: echoName, version: "google.golang.org/grpc " + grpc.Version, servers: []*server{p}, settings: []string{
		"one server, one connection, unary calls with a value as long as the others' and an empty answer, no disk",
	}}
	s.ways = []*way{{name: echoName, system: s, workloads: []workload{echo}, only: unaryOnly, open: func(context.Context, int) (session, error) {
		return openEcho(addr)
	}}}
	return s, s.start(ctx, func(ctx context.Context) error {
		e, err := openEcho(addr)
		if err != nil {
			return err
		}
		return errors.Join(e.put(ctx, "key", nil), e.close())
	})
}

type echoSession struct {
	conn *grpc.ClientConn
	kv   pb.KVClient
}

func openEcho(addr string) (*echoSession, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("open a client of the echo: %w", err)
	}
	return &echoSession{conn: conn, kv: pb.NewKVClient(conn)}, nil
}

func (e *echoSession) put(ctx context.Context, key string, value []byte) error {
	_, err := e.kv.Put(ctx, &pb.PutRequest{Bucket: "default", Key: []byte(key), Value: value})
	return err
}

func (e *echoSession) get(context.Context, string) ([]byte, error) { return nil, errors.ErrUnsupported }

func (e *echoSession) incr(context.Context, string) error { return errors.ErrUnsupported }

func (e *echoSession) total(context.Context, string) (int64, error) {
	return 0, errors.ErrUnsupported
}

func (e *echoSession) close() error { return e.conn.Close() }
