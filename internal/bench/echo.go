package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// echo answers a put with its value: what a call by gRPC costs without a store.
type echo struct{ pb.UnimplementedKVServer }

// Put implements pb.KVServer.
func (echo) Put(_ context.Context, req *pb.PutRequest) (*pb.UpdateResponse, error) {
	return &pb.UpdateResponse{Context: req.GetValue()}, nil
}

// ServeEcho serves echoes on a port of loopback until ctx ends. It writes the
// address to out as its first line.
func ServeEcho(ctx context.Context, out io.Writer) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, echo{})
	defer context.AfterFunc(ctx, s.Stop)()
	fmt.Fprintln(out, l.Addr())
	return s.Serve(l)
}

// startEcho starts a server of echoes and returns a connection to it for each
// node that others are compared with.
func startEcho(ctx context.Context, o *Options) (*process, []pb.KVClient, func(), error) {
	p, err := startProcess(filepath.Join(o.Dir, "echo.log"), o.Self, EchoArgument)
	if err != nil {
		return nil, nil, nil, err
	}
	var addr string
	err = until(ctx, "the server of echoes tells its address", func() error {
		b, err := os.ReadFile(p.log)
		line, _, whole := strings.Cut(string(b), "\n")
		if addr = line; err == nil && !whole {
			err = fmt.Errorf("%s holds %q", p.log, b)
		}
		return err
	})
	if err != nil {
		return p, nil, nil, err
	}
	kv, hangUp, err := connect(strings.Split(strings.Repeat(addr+",", o.Nodes-1)+addr, ","))
	return p, kv, hangUp, err
}

// connect makes a connection to each address.
func connect(addrs []string) (kv []pb.KVClient, hangUp func(), err error) {
	var conns []*grpc.ClientConn
	hangUp = func() {
		for _, c := range conns {
			_ = c.Close() // nothing is under way
		}
	}
	for _, a := range addrs {
		conn, err := grpc.NewClient(a, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		conns, kv = append(conns, conn), append(kv, pb.NewKVClient(conn))
	}
	return kv, hangUp, nil
}

const (
	waitTime  = 60 * time.Second
	pollEvery = 50 * time.Millisecond
)

// until asks again and again until there is no error.
func until(ctx context.Context, what string, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, err)
		}
	}
}
