package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/frame"
)

// Client speaks to the nodes of one datacenter, and about keys to those of the
// others that Options.Elsewhere names while nobody there answers. It keeps one
// connection per address and is safe for concurrent use.
type Client struct {
	opts  Options
	nodes []*node       // of the datacenter
	far   []*node       // of the others, in their order
	slots chan struct{} // one for each call in flight

	preferred atomic.Uint32 // index of the node that answered last
	turn      atomic.Uint32 // next node of a round robin

	near *near // nil: none

	stats  tallies
	hedges hedgeBudget
	rings  rings
	life   context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	learnt map[string]*node // by address, beside nodes
	ended  bool             // nothing is started any more

	closing   sync.Once
	closed    chan struct{}
	closedErr error
}

// node is one address and its connection.
type node struct {
	addr        string
	index       uint32
	dc          int // 0: the client's own; from 1 on, a place in Options.Elsewhere
	conn        *grpc.ClientConn
	kv          pb.KVClient
	cluster     pb.ClusterClient
	replication pb.ReplicationClient
	buckets     pb.BucketsClient

	pipe     *pipe
	wide     *pipe        // for what is large
	unary    atomic.Bool  // it offers no pipeline
	failures atomic.Int32 // one after the other
	avoid    atomic.Int64 // other owners are asked first until then, in nanoseconds since 1970
	open     atomic.Int32 // attempts under way
	outruns  atomic.Int32 // reads in a row that another node answered first

	took [classes]latency
	late [classes]lateness
}

// Open checks the options and starts to connect to every address. It does not
// wait for a connection: calls do, within their timeout. Close ends the client.
func Open(ctx context.Context, o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open client of %s: %w", o.DC, err)
	}
	c := &Client{opts: o, slots: make(chan struct{}, o.MaxInFlight), closed: make(chan struct{})}
	c.life, c.cancel = context.WithCancel(context.Background())
	c.learnt, c.rings.tables = map[string]*node{}, map[string]*table{}
	c.hedges.tokens = hedgeBurst
	for i, addr := range o.Addrs {
		n, err := c.connect(addr, uint32(i))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open client: %w", err), c.Close())
		}
		c.nodes = append(c.nodes, n)
	}
	for i, d := range o.Elsewhere {
		for _, addr := range d.Addrs {
			n, err := c.connect(addr, uint32(len(c.nodes)+len(c.far)))
			if err != nil {
				return nil, errors.Join(fmt.Errorf("open client: %w", err), c.Close())
			}
			n.dc = i + 1
			c.far = append(c.far, n)
		}
	}
	if err := c.openNear(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// connect makes a node of an address, and begins to connect to it.
func (c *Client) connect(addr string, index uint32) (*node, error) {
	conn, err := grpc.NewClient(addr, dialOptions(c.opts)...)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", addr, err)
	}
	conn.Connect()
	n := &node{
		addr: addr, index: index, conn: conn, kv: pb.NewKVClient(conn),
		cluster: pb.NewClusterClient(conn), replication: pb.NewReplicationClient(conn), buckets: pb.NewBucketsClient(conn),
	}
	n.pipe, n.wide = newPipe(c, n, pipeFrame, pipeQueue), newPipe(c, n, wideMost, wideQueue)
	return n, nil
}

// start runs f until Close waits for it; it does nothing after Close.
func (c *Client) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.work.Go(f)
	return true
}

func dialOptions(o Options) []grpc.DialOption {
	security := insecure.NewCredentials()
	if o.TLS != nil {
		security = credentials.NewTLS(o.TLS.Clone())
	}
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(security),
		grpc.WithStatsHandler(sentHandler{}),
		grpc.WithDisableServiceConfig(), // retries are this package's, which knows what is safe
		grpc.WithDisableRetry(),
		grpc.WithStaticStreamWindowSize(frame.StreamWindow), grpc.WithStaticConnWindowSize(frame.ConnWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(maxSendBytes), grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: o.DialTimeout,
		}),
	}, o.DialOptions...)
}

// Close ends every connection; calls in flight fail. It may be called again.
func (c *Client) Close() error {
	c.closing.Do(func() {
		close(c.closed)
		c.near.close()
		c.mu.Lock()
		c.ended = true
		nodes := slices.Concat(slices.Collect(maps.Values(c.learnt)), c.nodes, c.far)
		c.mu.Unlock()
		c.cancel()
		var errs []error
		for _, n := range nodes {
			if err := n.conn.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close connection to %s: %w", n.addr, err))
			}
		}
		c.work.Wait()
		c.closedErr = errors.Join(errs...)
	})
	return c.closedErr
}

// DC is the label of the datacenter, as given to Open.
func (c *Client) DC() string { return c.opts.DC }

// Addrs are the addresses given to Open.
func (c *Client) Addrs() []string { return append([]string(nil), c.opts.Addrs...) }

// order lists the nodes in which a call should try them: first those whose
// connection is not known to be broken, beginning with the preferred one.
func (c *Client) order() []*node {
	start := c.preferred.Load()
	if c.opts.RoundRobin {
		start = c.turn.Add(1)
	}
	n := uint32(len(c.nodes))
	ordered := make([]*node, 0, n)
	var broken []*node
	for i := range n {
		node := c.nodes[(start%n+i)%n]
		if node.conn.GetState() == connectivity.TransientFailure {
			broken = append(broken, node)
			continue
		}
		ordered = append(ordered, node)
	}
	return append(ordered, broken...)
}

// sentHandler notes in the context of a call that its request was handed to a
// connection. gRPC reports the payload only after that, and in the goroutine of
// the call, so a call without the note never left this process.
type sentHandler struct{}

type sentKey struct{}

func (sentHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); !ok {
		return
	}
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
}

func (sentHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (sentHandler) HandleConn(context.Context, stats.ConnStats) {}
