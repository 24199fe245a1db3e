package rpc

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/frame"
)

// ServerOptions configures NewServer. Zero fields take the default named
// beside them.
type ServerOptions struct {
	MaxMessage     int           // bytes of a request or an answer; 4 MiB
	MaxInFlight    int           // requests served at once; over it they are refused, and over what is answered in half a second; 4096
	MaxPipeline    int           // requests of one pipeline served at once; over it they are refused; 1024
	MaxStreams     uint32        // requests of one connection at once; over it they wait at the client; 1024
	DefaultTimeout time.Duration // of a request that has none; 10 s
	MaxTimeout     time.Duration // the most for a unary request; 30 s
	MaxStreamTime  time.Duration // the most for a streamed answer; 10 minutes
	CloseTimeout   time.Duration // how long Close waits for requests in flight; 5 s
	BatchParallel  int           // items of one batch served at once; 32
	// Introduce tells what a node has to know that wants to join; nobody may.
	Introduce func() (*Introduction, error)
	Key       []byte // of the cluster, which nodes that join must prove to have, KeyBytes long; none: they join on this machine only
	// Observe is told of every request: what it did, its gRPC code in small
	// letters, and how long it took. Nobody is.
	Observe func(operation, outcome string, took time.Duration)
	Logger  *slog.Logger // discards
}

func (o ServerOptions) withDefaults() ServerOptions {
	o.MaxMessage = cmp.Or(o.MaxMessage, 4<<20)
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 4096)
	o.MaxPipeline = cmp.Or(o.MaxPipeline, 1024)
	o.MaxStreams = cmp.Or(o.MaxStreams, 1024)
	o.DefaultTimeout = cmp.Or(o.DefaultTimeout, 10*time.Second)
	o.MaxTimeout = cmp.Or(o.MaxTimeout, 30*time.Second)
	o.MaxStreamTime = cmp.Or(o.MaxStreamTime, 10*time.Minute)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 5*time.Second)
	o.BatchParallel = cmp.Or(o.BatchParallel, 32)
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	// A client may ping as often as this, and while it has no call open, before
	// it is sent away; godwit's own pings every 15 s.
	minPing = 2 * time.Second
	// The server asks a silent connection whether it still stands.
	pingAfter, pingTimeout = 30 * time.Second, 10 * time.Second
)

// Server answers clients and operators for one node: the services of
// godwit.v1, gRPC health and reflection. Safe for concurrent use.
type Server struct {
	opts     ServerOptions
	grpc     *grpc.Server
	health   *health.Server
	codec    frame.Codec
	inFlight atomic.Int64
	reads    *admission
	writes   *admission
	closing  context.Context // ends when Close begins
	close    context.CancelFunc
}

// unaryWorkers is how many goroutines are kept for calls: one that is kept has
// grown its stack. Calls beyond them have goroutines of their own.
const unaryWorkers = 64

// NewServer makes a server of a node that stays the caller's. Close ends it.
func NewServer(node *dc.Node, o ServerOptions) *Server {
	s := &Server{opts: o.withDefaults(), health: health.NewServer()}
	s.reads, s.writes = newAdmission(s.opts.MaxInFlight), newAdmission(s.opts.MaxInFlight)
	s.closing, s.close = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(&s.codec),
		grpc.MaxRecvMsgSize(s.opts.MaxMessage),
		grpc.MaxConcurrentStreams(s.opts.MaxStreams),
		grpc.NumStreamWorkers(unaryWorkers),
		grpc.StaticStreamWindowSize(frame.StreamWindow), grpc.StaticConnWindowSize(frame.ConnWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.ChainUnaryInterceptor(s.observeUnary, s.recoverUnary, s.limitUnary),
		grpc.ChainStreamInterceptor(s.observeStream, s.recoverStream, s.limitStream),
		grpc.WaitForHandlers(true),
	)
	v1.RegisterKVServer(s.grpc, &kvService{node: node, opts: &s.opts, closing: s.closing, server: s})
	v1.RegisterClusterServer(s.grpc, &clusterService{node: node, introducer: introducer{key: s.opts.Key, tell: s.opts.Introduce, now: time.Now}})
	v1.RegisterReplicationServer(s.grpc, &replicationService{node: node, closing: s.closing})
	v1.RegisterBucketsServer(s.grpc, &bucketService{node: node})
	healthv1.RegisterHealthServer(s.grpc, s.health)
	for _, name := range []string{v1.KV_ServiceDesc.ServiceName, v1.Cluster_ServiceDesc.ServiceName, v1.Replication_ServiceDesc.ServiceName, v1.Buckets_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	}
	reflection.Register(s.grpc)
	return s
}

// Serve takes connections from lis, which it closes, until Close. It returns
// nil after Close.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.grpc.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Close refuses new requests, waits for those in flight as long as
// CloseTimeout says, and then ends them. No request is served after it.
func (s *Server) Close() {
	s.health.Shutdown() // also ends those who watch it
	s.close()
	stop := time.AfterFunc(s.opts.CloseTimeout, s.grpc.Stop)
	defer stop.Stop()
	s.grpc.GracefulStop()
}
