// Package testcluster runs a datacenter of real nodes in one test process:
// dc.Node on temporary directories, joined by dc/rpc over TCP on loopback. It
// owns starting, stopping, restarting and parting them; it knows nothing of
// what a test asks them.
package testcluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// Options configures Start. Zero fields take the default named beside them.
type Options struct {
	DC         string            // name of the datacenter; "eu"
	Nodes      int               // 3
	Replicas   int               // of every partition; min(3, Nodes)
	Partitions int               // 8
	Buckets    []topology.Bucket // beside the default one
	Exchange   time.Duration     // between two comparisons of clocks; 50 ms
	Timeout    time.Duration     // of a request between nodes that has none; 5 s
	Server     rpc.ServerOptions
	Peers      rpc.PeerOptions // names, addresses and topology version are filled in
	Links      dc.LinkControl
	// Storage may change a node's storage options before every start.
	Storage func(node string, o *storage.Options)
	Logger  *slog.Logger // discards
}

func (o Options) withDefaults() Options {
	o.DC = cmp.Or(o.DC, "eu")
	o.Nodes = cmp.Or(o.Nodes, 3)
	o.Replicas = cmp.Or(o.Replicas, min(3, o.Nodes))
	o.Partitions = cmp.Or(o.Partitions, 8)
	o.Exchange = cmp.Or(o.Exchange, 50*time.Millisecond)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Cluster is one datacenter. Nodes are numbered from 0 and called n1, n2, ...
// Stop, Restart and Cut are for one goroutine at a time.
type Cluster struct {
	t        testing.TB
	opts     Options
	Topology *topology.Topology

	mu    sync.Mutex
	dirs  []string
	nodes []*member
	cuts  map[[2]string]bool // requests from one node to another do not leave
}

// member is one node, running or stopped; its addresses stay the same.
type member struct {
	id       string
	grpcAddr string
	peerAddr string
	up       bool
	node     *dc.Node
	server   *rpc.Server
	peers    *rpc.Peers
	conn     *grpc.ClientConn
	serving  sync.WaitGroup
}

// startWithin is how long nodes may take until they are ready.
const startWithin = 20 * time.Second

// Start runs a datacenter until the test ends, and returns once its nodes are
// ready. It fails the test if a node cannot be started.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	o = o.withDefaults()
	c := &Cluster{t: t, opts: o, cuts: map[[2]string]bool{}}
	d := topology.Datacenter{Name: o.DC}
	for i := range o.Nodes {
		id := fmt.Sprintf("n%d", i+1)
		d.Nodes = append(d.Nodes, topology.Node{ID: id, Advertise: "127.0.0.1", Weight: 1})
		c.nodes = append(c.nodes, &member{id: id})
		c.dirs = append(c.dirs, t.TempDir())
	}
	c.Topology = &topology.Topology{
		Version: 1, Cluster: "test", Partitions: o.Partitions, Datacenters: []topology.Datacenter{d},
		Placements: []topology.Placement{{Name: topology.DefaultPlacement, Replicas: map[string]int{o.DC: o.Replicas}}},
		Buckets:    slices.Clone(o.Buckets),
	}
	c.Topology.FillDefaults()
	t.Cleanup(c.stopAll)
	listeners := make([][2]net.Listener, o.Nodes) // all addresses are known before the first node asks for one
	for i, m := range c.nodes {
		listeners[i] = [2]net.Listener{c.listen(""), c.listen("")}
		m.grpcAddr, m.peerAddr = listeners[i][0].Addr().String(), listeners[i][1].Addr().String()
	}
	for i := range c.nodes {
		c.start(i, listeners[i])
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for began := time.Now(); ; <-look.C {
		var err error
		for _, m := range c.nodes {
			err = errors.Join(err, m.node.Ready())
		}
		if err == nil {
			return c
		}
		if time.Since(began) > startWithin {
			t.Fatalf("the datacenter is not ready: %v", err)
		}
	}
}

func (c *Cluster) listen(addr string) net.Listener {
	c.t.Helper()
	var cfg net.ListenConfig
	lis, err := cfg.Listen(context.Background(), "tcp", cmp.Or(addr, "127.0.0.1:0"))
	if err != nil {
		c.t.Fatalf("listen: %v", err)
	}
	return lis
}

func (c *Cluster) start(i int, lis [2]net.Listener) {
	c.t.Helper()
	m := c.nodes[i]
	po := c.opts.Peers
	po.Cluster, po.DC, po.Node, po.TopologyVersion, po.Addr = c.Topology.Cluster, c.opts.DC, m.id, c.Topology.Version, c.peerAddr
	po.Logger = c.opts.Logger
	peers := rpc.NewPeers(po)
	so := storage.Options{Dir: c.dirs[i], Ballast: -1, CacheBytes: 4 << 20, MemTable: 1 << 20}
	if c.opts.Storage != nil {
		c.opts.Storage(m.id, &so)
	}
	node, err := dc.Open(dc.Options{
		Topology: c.Topology, Node: m.id, Transport: &transport{c, m.id, peers}, Membership: c, Links: c.opts.Links,
		Storage: so, Exchange: c.opts.Exchange, Timeout: c.opts.Timeout, Version: "test",
		GRPCAddr: func(id string) string { return c.member(id).grpcAddr }, Logger: c.opts.Logger,
	})
	if err != nil {
		c.t.Fatalf("open node %s: %v", m.id, err)
	}
	server := rpc.NewServer(node, c.opts.Server)
	conn, err := grpc.NewClient("passthrough:///"+m.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		c.t.Fatalf("client of %s: %v", m.id, err)
	}
	m.serving.Go(func() { c.report(m.id, server.Serve(lis[0])) })
	m.serving.Go(func() { c.report(m.id, peers.Serve(lis[1], node.Serve)) })
	c.mu.Lock()
	defer c.mu.Unlock()
	m.node, m.server, m.peers, m.conn, m.up = node, server, peers, conn, true
}

func (c *Cluster) report(id string, err error) {
	if err != nil {
		c.t.Errorf("serve %s: %v", id, err)
	}
}

// Stop ends a node in good order. It may be called again.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	c.mu.Lock()
	m := c.nodes[i]
	up := m.up
	m.up = false
	c.mu.Unlock()
	if !up {
		return
	}
	if err := m.conn.Close(); err != nil {
		c.t.Errorf("close client of %s: %v", m.id, err)
	}
	m.server.Close()
	m.peers.Close()
	m.serving.Wait()
	if err := m.node.Close(); err != nil {
		c.t.Errorf("close %s: %v", m.id, err)
	}
}

// Restart stops a node, if it runs, and starts it again with its data, on the
// same addresses.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	c.Stop(i)
	c.start(i, [2]net.Listener{c.listen(c.nodes[i].grpcAddr), c.listen(c.nodes[i].peerAddr)})
}

func (c *Cluster) stopAll() {
	for i := range c.nodes {
		c.Stop(i)
	}
}

// Cut keeps requests of node i from reaching node j, and of j from reaching i.
func (c *Cluster) Cut(i, j int) { c.cut(i, j, true) }

// Heal ends Cut.
func (c *Cluster) Heal(i, j int) { c.cut(i, j, false) }

func (c *Cluster) cut(i, j int, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts[[2]string{c.nodes[i].id, c.nodes[j].id}] = on
	c.cuts[[2]string{c.nodes[j].id, c.nodes[i].id}] = on
}

// Node is a running node.
func (c *Cluster) Node(i int) *dc.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i].node
}

// Conn is a connection to the node's services for clients. It ends with Stop.
func (c *Cluster) Conn(i int) *grpc.ClientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i].conn
}

// KV is a client of a node.
func (c *Cluster) KV(i int) v1.KVClient { return v1.NewKVClient(c.Conn(i)) }

// Addr is where a node serves clients.
func (c *Cluster) Addr(i int) string { return c.nodes[i].grpcAddr }

// member is a node by its name; the zero member for a name that is unknown.
func (c *Cluster) member(id string) *member {
	for _, m := range c.nodes {
		if m.id == id {
			return m
		}
	}
	return &member{}
}

func (c *Cluster) peerAddr(id string) string { return c.member(id).peerAddr }

// State implements dc.Membership: it knows at once who runs.
func (c *Cluster) State(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.member(id).up {
		return "alive"
	}
	return "dead"
}

// transport is a node's peers with cuts.
type transport struct {
	c     *Cluster
	from  string
	peers dc.Transport
}

// Send implements dc.Transport.
func (t *transport) Send(to string, req *peerv1.Request, by time.Time, done func(*peerv1.Response, error)) {
	t.c.mu.Lock()
	cut := t.c.cuts[[2]string{t.from, to}]
	t.c.mu.Unlock()
	if cut {
		done(nil, fmt.Errorf("%s is cut off from %s: %w", to, t.from, dc.ErrNotSent))
		return
	}
	t.peers.Send(to, req, by, done)
}
