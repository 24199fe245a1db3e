// Package node assembles one node of a cluster out of its parts: storage and
// coordination (dc), the gRPC and peer servers (dc/rpc), membership
// (ring/gossip) and replication with its embedded broker. The command serve
// runs one, package emulated runs several in one process.
//
// It owns the order of starting and stopping, and nothing else.
package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/dc/web"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/ring/gossip"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// Addrs is where a node listens, as host:port each; empty where not known.
type Addrs struct {
	GRPC   string `json:"grpc"`
	Peer   string `json:"peer"`
	Gossip string `json:"gossip"`
	NATS   string `json:"nats"`
	HTTP   string `json:"http"`
}

// Options configures Start. Zero fields take the default named beside them.
type Options struct {
	Topology *topology.Topology // required, checked
	Node     string             // required: one of the topology's, or that of Join
	Join     *Join              // a node that the topology does not name; it does
	Dir      string             // of the data; the topology's data_dir
	Key      []byte             // of the cluster, rpc.KeyBytes long; none: on loopback only
	// Addrs tells where the other nodes of this datacenter listen now. What it
	// leaves empty they tell themselves, or the ring document or the topology do.
	Addrs func(node string) Addrs
	// Outbox tells where the broker of a node of another datacenter is reached
	// now; by default where the topology or that datacenter's ring document says.
	Outbox     func(p replication.Peer) string
	Links      dc.LinkControl // none: links are real
	Memory     bool           // keep the data in memory, for as long as the process lives
	Volatile   bool           // lose what was not synced when the process dies, see storage.Volatile
	CacheBytes int64          // block cache; 256 MiB
	MemTable   uint64         // bytes of a memtable; 16 MiB
	LogBytes   int64          // event log, at the most; 1 GiB
	// Heartbeat is the longest that nodes of a datacenter are silent towards each
	// other; the same on all of them; 500 ms.
	Heartbeat time.Duration
	// PhiThreshold is the suspicion from which on a silent node is passed over,
	// about -log10 of the chance that this is wrong; 8.
	PhiThreshold float64
	// VerifyEvery is how often trees are compared with those of the other
	// datacenters, while VerifyWindow is open; 10 minutes, always.
	VerifyEvery  time.Duration
	VerifyWindow replication.Window
	Wall         func() time.Time // of stamps, expiry and request ids; time.Now
	Version      string           // of the program
	Logger       *slog.Logger     // discards
}

func (o Options) withDefaults() (Options, topology.Node, string, error) {
	o.Heartbeat = cmp.Or(o.Heartbeat, 500*time.Millisecond)
	spec, dcName, ok := o.Topology.NodeByID(o.Node)
	switch {
	case !ok && o.Join == nil:
		return o, spec, "", fmt.Errorf("the topology has no node %q", o.Node)
	case !ok:
		spec, dcName = o.Join.Spec, o.Join.DC
	}
	if len(o.Key) != 0 && len(o.Key) != rpc.KeyBytes {
		return o, spec, "", fmt.Errorf("cluster key of %d bytes, want %d", len(o.Key), rpc.KeyBytes)
	}
	if o.Dir = cmp.Or(o.Dir, spec.DataDir); o.Dir == "" {
		return o, spec, "", fmt.Errorf("node %s has no data directory: give one, or set data_dir in the topology", o.Node)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = o.Logger.With("node", o.Node)
	return o, spec, dcName, nil
}

func addrsOf(n topology.Node) Addrs {
	at := func(port int) string { return net.JoinHostPort(n.Advertise, strconv.Itoa(port)) }
	return Addrs{GRPC: at(n.Ports.GRPC), Peer: at(n.Ports.Peer), Gossip: at(n.Ports.Gossip), NATS: at(n.Ports.NATS), HTTP: at(n.Ports.HTTP)}
}

// secret is what nodes prove to have: gossip encrypts with the key itself.
func secret(key []byte) []byte {
	if len(key) == 0 {
		return nil
	}
	s := sha256.Sum256(append([]byte("godwit rpc key 1 "), key...))
	return s[:]
}

// Node is one running node.
type Node struct {
	opts  Options
	spec  topology.Node
	dc    string
	addrs Addrs

	grpcListener, peerListener, httpListener net.Listener

	node   *dc.Node
	opened atomic.Pointer[dc.Node] // node, for what begins to run before it is there
	server *rpc.Server
	admin  *web.Server
	peers  *rpc.Peers
	gossip *gossip.Gossip
	broker *replication.Broker
	link   *replication.NATSLink
	repl   *replication.Replicator
	work   sync.WaitGroup // the three servers, and who follows the ring document
	cancel context.CancelFunc

	// late guards broker, link, repl, scratch and the address of the broker, which
	// come with a second datacenter; grow, if that may come yet, ends with ungrow.
	late    sync.Mutex
	growing sync.WaitGroup
	ungrow  context.CancelFunc

	failed chan error

	scratch string // directory of a broker whose data are in memory
}

// Start starts a node and returns when it serves. Close ends it.
func Start(ctx context.Context, o Options) (*Node, error) {
	o, spec, dcName, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{opts: o, spec: spec, dc: dcName, failed: make(chan error, 1)}
	for _, step := range []func(context.Context) error{n.listen, n.introduce, n.joinGossip, n.open, n.remember, n.replicate, n.serve} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start node %s: %w", o.Node, err), n.Close())
		}
	}
	return n, nil
}

// Addrs is where the node listens.
func (n *Node) Addrs() Addrs {
	n.late.Lock()
	defer n.late.Unlock()
	return n.addrs
}

// DC returns the node proper, for what is asked inside the process.
func (n *Node) DC() *dc.Node { return n.node }

// Replication returns the node's replication, nil while there is a single datacenter.
func (n *Node) Replication() *replication.Replicator {
	n.late.Lock()
	defer n.late.Unlock()
	return n.repl
}

func (n *Node) listen(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	at := addrsOf(n.spec)
	if n.grpcListener, err = lc.Listen(ctx, "tcp", at.GRPC); err != nil {
		return fmt.Errorf("listen for clients at %s: %w", at.GRPC, err)
	}
	if n.peerListener, err = lc.Listen(ctx, "tcp", at.Peer); err != nil {
		return fmt.Errorf("listen for peers at %s: %w", at.Peer, err)
	}
	if n.httpListener, err = lc.Listen(ctx, "tcp", at.HTTP); err != nil {
		return fmt.Errorf("listen for operators at %s: %w", at.HTTP, err)
	}
	n.addrs.GRPC, n.addrs.Peer = n.grpcListener.Addr().String(), n.peerListener.Addr().String()
	n.addrs.HTTP = n.httpListener.Addr().String()
	return nil
}

func (n *Node) joinGossip(context.Context) error {
	g, err := gossip.Start(gossip.Options{
		Cluster: n.opts.Topology.Cluster, DC: n.dc, Node: n.opts.Node,
		BindAddr: n.spec.Advertise, BindPort: n.spec.Ports.Gossip, Seeds: n.seeds, Key: n.opts.Key,
		Meta: n.meta(), Logger: n.opts.Logger,
	})
	if err != nil {
		return err
	}
	n.gossip, n.addrs.Gossip = g, g.Addr()
	return nil
}

// membership is gossip as dc asks for it.
type membership struct{ g *gossip.Gossip }

// State is a method of dc.Membership.
func (m membership) State(id string) string {
	if p, ok := m.g.Find(id); ok {
		return p.State.String()
	}
	return ""
}

// logKeep is how long a watch may be away and go on without listing all keys again.
const logKeep = 10 * time.Minute

func (n *Node) open(context.Context) error {
	store := storage.Options{Dir: n.opts.Dir, CacheBytes: n.opts.CacheBytes, MemTable: n.opts.MemTable, LogBytes: n.opts.LogBytes, Wall: n.opts.Wall, LogKeep: logKeep}
	switch {
	case n.opts.Memory:
		store.FS = storage.NewMemory()
	case n.opts.Volatile:
		store.FS = storage.Volatile()
	}
	o := dc.Options{
		Topology: n.opts.Topology, Node: n.opts.Node, DC: n.dc, Transport: n.peers, Membership: membership{n.gossip},
		Health: n.peers, PhiThreshold: n.opts.PhiThreshold, Heartbeat: n.opts.Heartbeat,
		Candidates: n.candidates, Links: n.opts.Links, Storage: store, Version: n.opts.Version, Logger: n.opts.Logger,
		GRPCAddr: func(id string) string { return n.addrsAt(id).GRPC },
	}
	if n.opts.Join != nil {
		o.Document = n.opts.Join.Document
	}
	var err error
	if n.node, err = dc.Open(o); err != nil {
		return err
	}
	n.opened.Store(n.node)
	return nil
}

func (n *Node) serve(context.Context) error {
	requests := web.NewRequests()
	n.server = rpc.NewServer(n.node, rpc.ServerOptions{
		Introduce: n.introduction, Key: secret(n.opts.Key), Observe: requests.Observe, Logger: n.opts.Logger,
	})
	var err error
	if n.admin, err = web.NewServer(web.Options{Node: n.node, Requests: requests, Logger: n.opts.Logger}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.work.Go(func() { n.follow(ctx) })
	n.work.Go(func() { n.ended("peers", n.peers.Serve(n.peerListener, n.node.Serve)) })
	n.work.Go(func() { n.ended("clients", n.server.Serve(n.grpcListener)) })
	n.work.Go(func() { n.ended("operators", n.admin.Serve(n.httpListener)) })
	if n.repl == nil {
		ctx, n.ungrow = context.WithCancel(context.Background())
		n.growing.Go(func() { n.grow(ctx) })
	}
	return nil
}

func (n *Node) ended(who string, err error) {
	if err != nil {
		n.opts.Logger.Error("server ended", "serves", who, "error", err)
	}
}

// Close stops serving, then everything behind it, in the reverse order. It may
// be called on a node that started in part.
func (n *Node) Close() error {
	if n.server != nil {
		n.server.Close()
	} else if n.grpcListener != nil {
		_ = n.grpcListener.Close() // nobody was served yet
	}
	if n.node != nil {
		n.node.GiveRightsAway() // while peers can be reached
	}
	if n.ungrow != nil {
		n.ungrow()
		n.growing.Wait()
	}
	if n.repl != nil {
		n.repl.Close()
	}
	if n.link != nil {
		n.link.Close()
	}
	if n.broker != nil {
		n.broker.Close()
	}
	var errs []error
	if n.scratch != "" {
		errs = append(errs, os.RemoveAll(n.scratch))
	}
	if n.peers != nil {
		n.peers.Close()
	}
	if n.peerListener != nil {
		_ = n.peerListener.Close() // the server has closed it, if it served
	}
	if n.admin != nil {
		n.admin.Close()
	}
	if n.httpListener != nil {
		_ = n.httpListener.Close() // likewise
	}
	if n.cancel != nil {
		n.cancel()
	}
	n.work.Wait()
	if n.node != nil {
		errs = append(errs, n.node.Close())
	}
	if n.gossip != nil {
		errs = append(errs, n.gossip.Close())
	}
	return errors.Join(errs...)
}
