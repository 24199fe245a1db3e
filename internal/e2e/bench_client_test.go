package e2e

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/emulated"
)

// echo answers a put with nothing: what a call by gRPC costs without a store.
type echo struct{ pb.UnimplementedKVServer }

func (echo) Put(context.Context, *pb.PutRequest) (*pb.UpdateResponse, error) {
	return &pb.UpdateResponse{}, nil
}

// startEcho returns a call of a server of echoes over loopback.
func startEcho(b *testing.B) func(i int) error {
	b.Helper()
	var listen net.ListenConfig
	lis, err := listen.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, echo{})
	go func() { _ = s.Serve(lis) }()
	b.Cleanup(s.Stop)
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	kv, value := pb.NewKVClient(conn), make([]byte, benchValue)
	return func(i int) error {
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		defer cancel()
		_, err := kv.Put(ctx, &pb.PutRequest{Bucket: "default", Key: []byte(benchKey(i)), Value: value})
		return err
	}
}

// cpu is what this process has used of the processors.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured is load, which reports the CPU of an operation as well: of the nodes,
// their brokers and the client, which share a process.
func measured(b *testing.B, clients int, op func(i int) error) {
	b.Helper()
	before := cpu(b)
	load(b, clients, op)
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// BenchmarkTransports lays the two ways in which calls may travel side by side,
// with gRPC's own cost: one datacenter of three nodes, N=3, W=2, R=2, durable,
// values of 128 B.
func BenchmarkTransports(b *testing.B) {
	c, _ := benchCluster(b, []string{"use1"}, 3)
	value := make([]byte, benchValue)
	first := transportClient(b, c, client.Pipelined)
	for i := range benchKeys {
		if _, err := first.Put(b.Context(), benchKey(i), value); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("echo/64", func(b *testing.B) { measured(b, 64, startEcho(b)) })
	for _, clients := range []int{1, 64, 256} {
		for _, t := range []client.Transport{client.Unary, client.Pipelined} {
			cl := transportClient(b, c, t)
			b.Run(fmt.Sprintf("get/%v/%d", t, clients), func(b *testing.B) {
				measured(b, clients, func(i int) error {
					_, err := cl.Get(b.Context(), benchKey(i*7919))
					return err
				})
			})
			b.Run(fmt.Sprintf("put/%v/%d", t, clients), func(b *testing.B) {
				measured(b, clients, func(i int) error {
					_, err := cl.Put(b.Context(), benchKey(i*7919), value)
					return err
				})
			})
		}
	}
}

// BenchmarkHotCounter has many clients add to one counter.
func BenchmarkHotCounter(b *testing.B) {
	c, _ := benchCluster(b, []string{"use1"}, 3)
	cl := transportClient(b, c, client.Pipelined)
	b.Run("echo/64", func(b *testing.B) { measured(b, 64, startEcho(b)) })
	b.Run("one/64", func(b *testing.B) {
		measured(b, 64, func(int) error {
			_, err := cl.Incr(b.Context(), "hot", 1)
			return err
		})
	})
	b.Run("many/64", func(b *testing.B) {
		measured(b, 64, func(i int) error {
			_, err := cl.Incr(b.Context(), "n"+benchKey(i*7919), 1)
			return err
		})
	})
}

func transportClient(b *testing.B, c *emulated.Cluster, t client.Transport) *client.Client {
	b.Helper()
	cl, err := client.Open(b.Context(), client.Options{Addrs: c.Info().DCs[0].GRPC, DC: "use1", RoundRobin: true, Transport: t})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cl.Close() })
	return cl
}
