// Package emulated runs the datacenters of a cluster in one process, as the
// demo, the load tester and end-to-end tests want them: every node is a whole
// node (package node) that speaks gRPC and NATS over TCP, and everything that
// crosses from one datacenter to another goes through an emulated WAN
// (package wan). A cut drops bytes; it pauses nothing and tells nobody.
package emulated

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/godwitdb/godwit/internal/node"
	"github.com/godwitdb/godwit/internal/wan"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/topology"
)

// Options configures Start. Zero fields take the default named beside them.
type Options struct {
	Topology *topology.Topology // instead of DCs and Nodes; its ports count only where BasePort is 0
	DCs      []string           // use1, euw1, apne1
	Nodes    int                // per datacenter; 3
	Dir      string             // of all data; required
	Memory   bool               // keep cells and logs in memory
	BasePort int                // DC i's first node serves gRPC at BasePort + 1 + 10 i; 0: ports of the kernel's choice
	RTTs     wan.RTTs           // round trips; well-known regions, else 80 ms
	Absent   []string           // datacenters whose nodes do not start by themselves
	Verify   time.Duration      // between two comparisons of the trees of two datacenters; 10 minutes
	Version  string             // of the program
	Logger   *slog.Logger       // discards
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("emulated: Dir is required")
	}
	o.Nodes = cmp.Or(o.Nodes, 3)
	if len(o.DCs) == 0 {
		o.DCs = []string{"use1", "euw1", "apne1"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Nodes < 1 || o.Nodes > 26 || len(o.DCs) > 16 {
		return o, fmt.Errorf("emulated: %d datacenters of %d nodes: at most 16 of 26 fit into one process", len(o.DCs), o.Nodes)
	}
	if o.Topology == nil {
		o.Topology = build(o.DCs, o.Nodes)
	} else {
		t := *o.Topology
		o.Topology = &t
	}
	o.Topology.Datacenters = assignPorts(o.Topology.Datacenters, o.BasePort)
	if problems := o.Topology.Validate(); problems.HasErrors() {
		return o, fmt.Errorf("emulated: %w", problems[0])
	}
	return o, nil
}

// build makes the topology of the demo: nodes a, b, c on racks of their own.
func build(dcs []string, nodes int) *topology.Topology {
	t := &topology.Topology{Version: 1, Cluster: "demo"}
	for _, name := range dcs {
		d := topology.Datacenter{Name: name}
		for i := range nodes {
			letter := string(rune('a' + i))
			d.Nodes = append(d.Nodes, topology.Node{ID: name + "-" + letter, Rack: letter, Weight: 1, Advertise: "127.0.0.1"})
		}
		t.Datacenters = append(t.Datacenters, d)
	}
	t.FillDefaults()
	return t
}

// assignPorts returns the datacenters with everything on loopback: the first
// node of each serves clients at a known port, the rest is the kernel's choice.
func assignPorts(dcs []topology.Datacenter, base int) []topology.Datacenter {
	out := slices.Clone(dcs)
	for i := range out {
		out[i].NATS = topology.NATS{Mode: topology.ModeEmbedded} // the way to an operator's broker is not emulated
		out[i].Nodes = slices.Clone(out[i].Nodes)
		for j := range out[i].Nodes {
			n := &out[i].Nodes[j]
			n.Advertise, n.Ports = "127.0.0.1", topology.Ports{}
			if j == 0 && base > 0 {
				n.Ports.GRPC = base + 1 + 10*i
			}
		}
	}
	return out
}

// Cluster is several datacenters in this process. Safe for concurrent use.
type Cluster struct {
	opts Options
	wan  *wan.Network

	mu    sync.Mutex
	now   *topology.Topology // Options.Topology, or what was added to it
	nodes map[string]*node.Node
	addrs map[string]node.Addrs // by node; kept while a node is stopped
	guest map[string]string     // datacenter of the nodes that joined at run time
}

// Start starts every node and returns when each reaches the others of its
// datacenter. Close ends them.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{opts: o, now: o.Topology, wan: wan.New(wan.Options{Logger: o.Logger}), nodes: map[string]*node.Node{}, addrs: map[string]node.Addrs{}, guest: map[string]string{}}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// parallel is how many nodes are started at once.
const parallel = 3

func (c *Cluster) start(ctx context.Context) error {
	t := c.opts.Topology
	for _, d := range t.Datacenters {
		if err := c.wan.AddDC(d.Name); err != nil {
			return err
		}
	}
	c.wan.Apply(c.opts.RTTs)
	for _, e := range t.Links.Emulate {
		p := wan.Profile{Latency: e.Latency, Jitter: e.Jitter, Bandwidth: e.Bandwidth}
		if err := c.wan.SetPair(e.Between[0], e.Between[1], wan.Change{Profile: &p}); err != nil {
			return err
		}
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, d := range t.Datacenters {
		if slices.Contains(c.opts.Absent, d.Name) {
			continue
		}
		for _, n := range d.Nodes {
			g.Go(func() error { return c.StartNode(ctx, n.ID) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.ready(ctx)
}

// readyPoll is the pause between two looks at whether nodes see each other.
const readyPoll = 10 * time.Millisecond

func (c *Cluster) ready(ctx context.Context) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if c.allReach() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the nodes to see each other: %w", ctx.Err())
		}
	}
}

func (c *Cluster) allReach() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		d, _ := c.now.DC(n.DC().DC())
		if len(n.DC().Live()) < len(d.Nodes) {
			return false
		}
	}
	return true
}

// StartNode starts a node, or one that was stopped again on its data.
func (c *Cluster) StartNode(ctx context.Context, id string) error {
	c.mu.Lock()
	joined := c.guest[id]
	c.mu.Unlock()
	if joined != "" {
		return c.JoinNode(ctx, joined, id)
	}
	t := c.Topology()
	_, dcName, _ := t.NodeByID(id)
	return c.startNode(ctx, dcName, node.Options{Topology: t, Node: id})
}

// AddDC starts the nodes of a datacenter that a topology has besides those that
// run. They know the topology; the others are told by whoever applies it.
func (c *Cluster) AddDC(ctx context.Context, t *topology.Topology, name string) error {
	if err := c.wan.AddDC(name); err != nil {
		return err
	}
	c.wan.Apply(c.opts.RTTs)
	c.mu.Lock()
	c.now = t
	c.mu.Unlock()
	d, _ := t.DC(name)
	for _, n := range d.Nodes {
		if err := c.StartNode(ctx, n.ID); err != nil {
			return err
		}
	}
	return c.ready(ctx)
}

// JoinNode starts a node that the topology does not name, on a rack of its own.
// It owns nothing before a change of the ring lets it in.
func (c *Cluster) JoinNode(ctx context.Context, dcName, id string) error {
	c.mu.Lock()
	seed := ""
	for other, n := range c.nodes {
		if n.DC().DC() == dcName && (seed == "" || other < seed) {
			seed = other
		}
	}
	c.guest[id] = dcName
	c.mu.Unlock()
	if seed == "" {
		return fmt.Errorf("no node of datacenter %s runs", dcName)
	}
	spec := topology.Node{ID: id, Rack: id, Weight: 1, Advertise: "127.0.0.1"}
	o, err := node.AskToJoin(ctx, c.Addrs(seed).GRPC, nil, dcName, spec, filepath.Join(c.opts.Dir, id))
	if err != nil {
		return err
	}
	return c.startNode(ctx, dcName, o)
}

func (c *Cluster) startNode(ctx context.Context, dcName string, o node.Options) error {
	o.Dir = filepath.Join(c.opts.Dir, o.Node)
	o.Addrs, o.Outbox = c.Addrs, func(p replication.Peer) string { return c.outbox(dcName, p) }
	o.Links, o.Memory, o.CacheBytes, o.MemTable = control{c.wan}, c.opts.Memory, 8<<20, 4<<20
	o.VerifyEvery = c.opts.Verify
	o.Version, o.Logger = c.opts.Version, c.opts.Logger
	n, err := node.Start(ctx, o)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[o.Node], c.addrs[o.Node] = n, n.Addrs()
	return nil
}

// StopNode stops a node cleanly. Its addresses change with its next start.
func (c *Cluster) StopNode(id string) error {
	c.mu.Lock()
	n := c.nodes[id]
	delete(c.nodes, id)
	c.mu.Unlock()
	if n == nil {
		return fmt.Errorf("node %s does not run", id)
	}
	return n.Close()
}

// Addrs is where a node listens, or did last.
func (c *Cluster) Addrs(id string) node.Addrs {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.nodes[id]; n != nil {
		return n.Addrs()
	}
	return c.addrs[id]
}

// Node returns a running node, or nil.
func (c *Cluster) Node(id string) *node.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[id]
}

// WAN is the emulated network between the datacenters.
func (c *Cluster) WAN() *wan.Network { return c.wan }

// Topology is what the cluster was started with, ports included, or what AddDC
// added to.
func (c *Cluster) Topology() *topology.Topology {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// outbox is where a datacenter reaches a broker of another: through the WAN.
func (c *Cluster) outbox(from string, p replication.Peer) string {
	addr := c.Addrs(p.Node).NATS
	if addr == "" {
		return ""
	}
	through, err := c.wan.Proxy(from, p.DC, addr)
	if err != nil {
		c.opts.Logger.Warn("wan proxy", "from", from, "to", p.DC, "error", err)
		return ""
	}
	return through
}

// Close stops every node and the network.
func (c *Cluster) Close() error {
	c.mu.Lock()
	nodes := c.nodes
	c.nodes = map[string]*node.Node{}
	c.mu.Unlock()
	var g errgroup.Group
	for _, n := range nodes {
		g.Go(n.Close)
	}
	err := g.Wait()
	c.wan.Close()
	return err
}
