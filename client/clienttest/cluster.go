// Package clienttest is a godwit cluster that exists only in memory, for tests
// of programs that use package client: datacenters of nodes that answer KV over
// real gRPC on connections without a network, and that misbehave on demand.
//
// It knows every kind, an hll as a set that tells its size. All nodes of a datacenter share one
// memory, and so may several datacenters. As in a real cluster, a node
// remembers request ids and carries out a retry once; the ids of the other nodes
// of its datacenter it asks for where a request says that it is a repeat. Every
// node is an owner of every key; which one is the first differs. It has no replicas, quorums, clocks or conflicts.
package clienttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
)

// pipeBytes is how much a connection holds that nobody has read.
const pipeBytes = 1 << 20

// Cluster is a set of datacenters. It is safe for concurrent use.
type Cluster struct {
	dcs    []string
	nodes  map[string][]*Node // by datacenter
	byAddr map[string]*Node
}

// Options configures Start. Zero fields take the default named beside them.
type Options struct {
	DCs   []string // names; "use1"
	Nodes int      // of each datacenter; 1
	Apart bool     // every datacenter has a memory of its own; all share one
}

// Start starts a cluster. Close ends it.
func Start(o Options) *Cluster {
	if len(o.DCs) == 0 {
		o.DCs = []string{"use1"}
	}
	c := &Cluster{dcs: o.DCs, nodes: map[string][]*Node{}, byAddr: map[string]*Node{}}
	shared := NewMemory()
	for i, dc := range o.DCs {
		memory := shared
		if o.Apart {
			memory = NewMemory()
		}
		for j := range max(1, o.Nodes) {
			n := startNode(dc, fmt.Sprintf("%s-%c", dc, 'a'+j), fmt.Sprintf("127.0.0.1:%d", 1+i*100+j), uint64(i*100+j+1), memory)
			c.nodes[dc] = append(c.nodes[dc], n)
			c.byAddr[n.Addr] = n
		}
		introduce(c.nodes[dc])
	}
	for _, n := range c.byAddr {
		n.serve()
	}
	return c
}

// introduce tells the nodes of a datacenter of each other.
func introduce(nodes []*Node) {
	var all []*kv
	for _, n := range nodes {
		all = append(all, n.kv)
	}
	for _, n := range nodes {
		n.kv.others = all
	}
}

// Close ends all nodes.
func (c *Cluster) Close() {
	for _, nodes := range c.nodes {
		for _, n := range nodes {
			n.Stop()
			n.server.Stop()
		}
	}
}

// Node is the i-th node of a datacenter.
func (c *Cluster) Node(dc string, i int) *Node { return c.nodes[dc][i] }

// Options are those of a client of one datacenter.
func (c *Cluster) Options(dc string) client.Options {
	o := client.Options{DC: dc, DialOptions: []grpc.DialOption{grpc.WithContextDialer(c.dial)}}
	for _, n := range c.nodes[dc] {
		o.Addrs = append(o.Addrs, n.Addr)
	}
	return o
}

// Clients opens one client for each datacenter; the caller closes them.
func (c *Cluster) Clients(ctx context.Context) ([]*client.Client, error) {
	var clients []*client.Client
	for _, dc := range c.dcs {
		cl, err := client.Open(ctx, c.Options(dc))
		if err != nil {
			for _, opened := range clients {
				_ = opened.Close()
			}
			return nil, fmt.Errorf("open client of %s: %w", dc, err)
		}
		clients = append(clients, cl)
	}
	return clients, nil
}

func (c *Cluster) dial(ctx context.Context, addr string) (net.Conn, error) {
	n := c.byAddr[addr]
	if n == nil {
		return nil, fmt.Errorf("dial %s: no such node", addr)
	}
	return n.dial(ctx)
}

// Node is one server. Its faults may be changed while it serves.
type Node struct {
	Name string
	Addr string // a loopback address that means something only to Cluster.Options

	listener *bufconn.Listener
	server   *grpc.Server
	kv       *kv

	mu    sync.Mutex
	down  bool
	held  chan struct{} // closed when connections may be made; nil: they may
	conns []net.Conn
	fault func(Call) Fault
	calls []Call
}

// Call is one request that reached a node.
type Call struct {
	Method    string        // "Get", "Update", "BatchUpdate", ...; of a request in a pipeline as by a call of its own
	RequestID string        // of a single write; its bytes
	Key       string        // of a single write or read
	N         int           // 1 is the node's first call
	Begin     time.Duration // within which a write in a pipeline is to be begun; 0: not told
}

// Fault is what a node does with a call besides carrying it out.
type Fault struct {
	Slow   time.Duration // before anything else, unless the caller gives up
	Before error         // answered without carrying it out
	After  error         // answered after carrying it out
	Break  bool          // carry it out, then break every connection
	Hang   bool          // carry it out, then answer only when the caller has given up
	Stuck  bool          // do not carry it out and answer only when the caller has given up
}

func startNode(dc, name, addr string, actor uint64, m *Memory) *Node {
	n := &Node{Name: name, Addr: addr, listener: bufconn.Listen(pipeBytes)}
	n.server = grpc.NewServer(grpc.ChainUnaryInterceptor(n.intercept), grpc.ChainStreamInterceptor(n.interceptStream))
	n.kv = &kv{n: n, dc: dc, node: name, actor: actor, memory: m, seen: map[string]*pb.UpdateResponse{}, recalled: map[string]bool{}}
	pb.RegisterKVServer(n.server, n.kv)
	pb.RegisterClusterServer(n.server, &members{kv: n.kv})
	return n
}

func (n *Node) serve() {
	go func() { _ = n.server.Serve(n.listener) }() // ends with server.Stop
}

// Misbehave makes f decide on every later call; nil ends it.
func (n *Node) Misbehave(f func(Call) Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = f
}

// Calls are the calls that reached the node so far.
func (n *Node) Calls() []Call {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Call(nil), n.calls...)
}

// Stop breaks all connections and refuses new ones until Restart.
func (n *Node) Stop() {
	n.mu.Lock()
	n.down = true
	n.mu.Unlock()
	n.breakAll()
}

// Hold breaks all connections, and new ones are not made until Restart.
func (n *Node) Hold() {
	n.mu.Lock()
	n.held = make(chan struct{})
	n.mu.Unlock()
	n.breakAll()
}

// Restart accepts connections again, with what the node knew before.
func (n *Node) Restart() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
	if n.held != nil {
		close(n.held)
		n.held = nil
	}
}

func (n *Node) breakAll() {
	n.mu.Lock()
	conns := n.conns
	n.conns = nil
	n.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

func (n *Node) dial(ctx context.Context) (net.Conn, error) {
	conn, err := n.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.held != nil {
		held := n.held
		n.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
		}
		n.mu.Lock()
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), conn.Close())
		}
	}
	if n.down {
		return nil, errors.Join(fmt.Errorf("dial %s: connection refused", n.Addr), conn.Close())
	}
	n.conns = append(n.conns, conn)
	return conn, nil
}

func (n *Node) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !strings.HasPrefix(info.FullMethod, kvMethods) {
		return handler(ctx, req)
	}
	return n.faulty(ctx, req, Call{Method: info.FullMethod}, handler)
}

// kvMethods begins the names of the methods that count and misbehave.
const kvMethods = "/godwit.v1.KV/"

// faulty carries out a request with the fault that it is to have.
func (n *Node) faulty(ctx context.Context, req any, call Call, handler grpc.UnaryHandler) (any, error) {
	f := n.note(req, call)
	if f.Slow > 0 {
		timer := time.NewTimer(f.Slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if f.Before != nil {
		return nil, f.Before
	}
	if f.Stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	resp, err := handler(ctx, req)
	switch {
	case f.Break:
		n.breakAll()
	case f.Hang:
		<-ctx.Done()
	case f.After != nil:
		return nil, f.After
	}
	return resp, err
}

// interceptStream knows no Slow, no Hang and no Stuck.
func (n *Node) interceptStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	f := n.note(nil, Call{Method: info.FullMethod})
	if f.Before != nil {
		return f.Before
	}
	err := handler(srv, stream)
	if f.Break {
		n.breakAll()
	}
	if f.After != nil {
		return f.After
	}
	return err
}

// note keeps the call and asks what is to go wrong with it.
func (n *Node) note(req any, call Call) Fault {
	n.mu.Lock()
	call.Method, call.N = call.Method[strings.LastIndexByte(call.Method, '/')+1:], len(n.calls)+1
	if w, ok := req.(interface{ GetOptions() *pb.WriteOptions }); ok {
		call.RequestID = string(w.GetOptions().GetRequestId())
	}
	if k, ok := req.(interface{ GetKey() []byte }); ok {
		call.Key = string(k.GetKey())
	}
	n.calls = append(n.calls, call)
	fault := n.fault
	n.mu.Unlock()
	if fault == nil {
		return Fault{}
	}
	return fault(call) // which may stop the node
}
