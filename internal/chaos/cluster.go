package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/internal/freeport"
	"github.com/godwitdb/godwit/internal/wan"
	"github.com/godwitdb/godwit/topology"
)

const (
	dcName     = "east"
	partitions = 32
)

// cluster is the processes of one or several datacenters and clients for questions.
type cluster struct {
	opts   Options
	top    *topology.Topology
	ids    []string // of the topology, in order
	procs  map[string]*process
	admin  *client.Client   // of the first datacenter
	admins []*client.Client // of every one
	net    *wan.Network     // between datacenters; nil if there is one
	more   []string         // arguments of every node
	say    func(format string, args ...any)
}

// startCluster starts a datacenter of n nodes and returns when all serve.
func startCluster(ctx context.Context, o Options, n int, say func(string, ...any)) (*cluster, error) {
	return startDatacenters(ctx, o, []string{dcName}, []int{n}, nil, say)
}

// startDatacenters starts datacenters of so many nodes each, with more arguments
// than usual, which reach each other through emulated links, and returns when all
// serve.
func startDatacenters(ctx context.Context, o Options, names []string, sizes []int, more []string, say func(string, ...any)) (*cluster, error) {
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "logs"), 0o750); err != nil {
		return nil, err
	}
	c := &cluster{opts: o, more: more, say: say, procs: map[string]*process{}, top: &topology.Topology{Version: 1, Cluster: "chaos", Partitions: partitions}}
	rnd := rand.New(rand.NewPCG(o.Seed, 1))
	for i, name := range names {
		d, err := datacenter(ctx, rnd, name, sizes[i])
		if err != nil {
			return nil, err
		}
		c.top.Datacenters = append(c.top.Datacenters, d)
	}
	c.top.FillDefaults()
	if len(names) > 1 {
		c.net = wan.New(wan.Options{Rand: rand.New(rand.NewPCG(o.Seed, 4))})
	}
	if err := c.launch(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func datacenter(ctx context.Context, rnd *rand.Rand, name string, n int) (topology.Datacenter, error) {
	d := topology.Datacenter{Name: name}
	ports, err := freeport.Campaigns().Find(ctx, rnd, portsOf*n)
	for i := range n {
		if err != nil {
			return d, err
		}
		letter := string(rune('a' + i))
		node := topology.Node{ID: name + "-" + letter, Rack: letter, Weight: 1, Advertise: "127.0.0.1"}
		node.Ports = portsFrom(ports[portsOf*i:])
		d.Nodes = append(d.Nodes, node)
	}
	return d, err
}

// launch starts all processes and waits until they serve.
func (c *cluster) launch(ctx context.Context) error {
	file, err := writeTopology(c.top, filepath.Join(c.opts.Dir, "topology.yaml"))
	if err != nil {
		return err
	}
	for _, d := range c.top.Datacenters {
		via, err := c.proxies(d.Name)
		if err != nil {
			return err
		}
		for _, n := range d.Nodes {
			p := &process{
				id: n.ID, binary: c.opts.Binary, dir: filepath.Join(c.opts.Dir, n.ID), log: filepath.Join(c.opts.Dir, "logs", n.ID+".log"),
				args: append([]string{"--topology", file, "--node", n.ID}, slices.Concat(via, c.more)...), http: addr(n.Ports.HTTP),
			}
			c.ids, c.procs[n.ID] = append(c.ids, n.ID), p
			if err := p.start(); err != nil {
				return err
			}
		}
	}
	for i, d := range c.top.Datacenters {
		admin, err := client.Open(ctx, client.Options{Addrs: c.addrsOf(i), DC: d.Name})
		if err != nil {
			return err
		}
		c.admins = append(c.admins, admin)
	}
	c.admin = c.admins[0]
	return c.ready(ctx)
}

func writeTopology(t *topology.Topology, name string) (string, error) {
	b, err := t.YAML()
	if err != nil {
		return "", err
	}
	return name, os.WriteFile(name, b, 0o600)
}

// portsOf is how many ports a node has.
const portsOf = 5

func portsFrom(p []int) topology.Ports {
	return topology.Ports{GRPC: p[0], Peer: p[1], Gossip: p[2], NATS: p[3], HTTP: p[4]}
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// addrs are where the nodes of the first datacenter serve clients, in the order
// of their names.
func (c *cluster) addrs() []string { return c.addrsOf(0) }

func (c *cluster) addrsOf(dc int) []string {
	var out []string
	for _, n := range c.top.Datacenters[dc].Nodes {
		out = append(out, addr(n.Ports.GRPC))
	}
	return out
}

// open returns a client of a node's datacenter that asks its nodes in order,
// beginning with the ith of all nodes.
func (c *cluster) open(ctx context.Context, i int, o client.Options) (*client.Client, error) {
	dc := 0
	for ; i >= len(c.top.Datacenters[dc].Nodes); dc++ {
		i -= len(c.top.Datacenters[dc].Nodes)
	}
	all := c.addrsOf(dc)
	o.Addrs = append(append([]string(nil), all[i:]...), all[:i]...)
	return client.Open(ctx, o)
}

// close ends all processes and reports those that did not end well.
func (c *cluster) close() error {
	var errs []error
	for _, admin := range c.admins {
		errs = append(errs, admin.Close())
	}
	c.admins = nil
	for _, p := range c.procs {
		errs = append(errs, p.stop())
	}
	if c.net != nil {
		c.net.Close()
	}
	return errors.Join(errs...)
}

// Limits of what is waited for.
const (
	readyTime = 30 * time.Second
	levelTime = 60 * time.Second
	pollEvery = 50 * time.Millisecond
	sayEvery  = 5 * time.Second
)

// ready waits until every node of the cluster serves and finds all others alive.
func (c *cluster) ready(ctx context.Context) error {
	return c.until(ctx, readyTime, "all nodes serve", func() error {
		nodes, err := c.status(ctx)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if !n.GetReachable() {
				return fmt.Errorf("%s is not reachable", n.GetId())
			}
			for _, p := range n.GetPeers() {
				if !p.GetAlive() {
					return fmt.Errorf("%s finds that %s is not alive", n.GetId(), p.GetId())
				}
			}
		}
		if len(nodes) < len(c.ids) {
			return fmt.Errorf("%d nodes, want %d", len(nodes), len(c.ids))
		}
		return nil
	})
}

// level waits until every owner has what any of them had when it was asked
// first, and nobody keeps anything for another: then one more can be lost.
func (c *cluster) level(ctx context.Context) error {
	var want map[string]*crdt.Clock
	free := map[string]bool{} // nodes that kept nothing for another when they were asked
	return c.until(ctx, levelTime, "all nodes are level", func() error {
		all, err := c.digests(ctx, true)
		if err != nil {
			return err
		}
		nodes, err := c.status(ctx)
		if err != nil {
			return err
		}
		if want == nil {
			want, err = union(all)
			return errors.Join(err, errors.New("they have yet to be asked again"))
		}
		for _, n := range nodes {
			if n.GetMoving() != nil {
				return fmt.Errorf("%s says that owners change", n.GetId())
			}
			if left := n.GetRecovering(); left > 0 {
				return fmt.Errorf("%s has %d replicas that do not count yet", n.GetId(), left)
			}
			if free[n.GetId()] = free[n.GetId()] || n.GetGuests() == 0; !free[n.GetId()] {
				return fmt.Errorf("%s holds %d replicas for others", n.GetId(), n.GetGuests())
			}
		}
		return covered(all, want)
	})
}

// status is what every node tells of itself.
func (c *cluster) status(ctx context.Context) ([]*v1.NodeStatus, error) {
	var out []*v1.NodeStatus
	for _, admin := range c.admins {
		s, err := admin.Status(ctx, client.WithTimeout(5*time.Second))
		if err != nil {
			return nil, err
		}
		out = append(out, s.GetNodes()...)
	}
	return out, nil
}

// digests is what every owner has of every partition, in all datacenters.
func (c *cluster) digests(ctx context.Context, clocks bool) ([]*v1.ReplicaDigest, error) {
	var out []*v1.ReplicaDigest
	for _, admin := range c.admins {
		v, err := admin.Verify(ctx, &v1.VerifyRequest{WithClocks: clocks}, client.WithTimeout(5*time.Second))
		if err != nil {
			return nil, err
		}
		if len(v.GetMissing()) > 0 {
			return nil, fmt.Errorf("no answer of %s", strings.Join(v.GetMissing(), ", "))
		}
		out = append(out, v.GetReplicas()...)
	}
	return out, nil
}

func replicaName(d *v1.ReplicaDigest) string {
	return fmt.Sprintf("%d/%d", d.GetPlacement(), d.GetPartition())
}

// union is all that any owner has of each partition.
func union(all []*v1.ReplicaDigest) (map[string]*crdt.Clock, error) {
	out := map[string]*crdt.Clock{}
	for _, d := range all {
		clock, err := crdt.DecodeClock(d.GetClock())
		if err != nil && len(d.GetClock()) > 0 {
			return nil, err
		}
		if out[replicaName(d)] == nil {
			out[replicaName(d)] = &crdt.Clock{}
		}
		out[replicaName(d)].Union(&clock)
	}
	return out, nil
}

// covered reports which owner lacks some of want.
func covered(all []*v1.ReplicaDigest, want map[string]*crdt.Clock) error {
	for _, d := range all {
		w := want[replicaName(d)]
		if w == nil || w.Empty() {
			continue
		}
		clock, err := crdt.DecodeClock(d.GetClock())
		if len(d.GetClock()) == 0 {
			clock, err = crdt.Clock{}, nil
		}
		if err != nil {
			return err
		}
		if !clock.Covers(w) {
			return fmt.Errorf("partition %s on %s lacks %s", replicaName(d), d.GetNode(), lacking(&clock, w))
		}
	}
	return nil
}

// lacking names what of want a clock does not have, an actor or two.
func lacking(have, want *crdt.Clock) string {
	var out []string
	for a := range want.All() {
		if w, h := want.Ranges(a), have.Ranges(a); len(out) < 2 && (len(h) == 0 || h[len(h)-1].Hi < w[len(w)-1].Hi || len(h) > 1) {
			out = append(out, fmt.Sprintf("some of %v of actor %016x: it has %v", w, uint64(a), h))
		}
	}
	return strings.Join(out, ", ")
}

// equal waits until all replicas of every partition have the same clock and tree.
func (c *cluster) equal(ctx context.Context) error {
	return c.until(ctx, levelTime, "all replicas are equal", func() error {
		all, err := c.digests(ctx, false)
		if err != nil {
			return err
		}
		seen := map[string]*v1.ReplicaDigest{}
		for _, d := range all {
			have := seen[replicaName(d)]
			switch {
			case !d.GetReady() || d.GetResidue() > 0:
				return fmt.Errorf("partition %s on %s has not settled", replicaName(d), d.GetNode())
			case have != nil && (have.GetClockHash() != d.GetClockHash() || string(have.GetMerkleRoot()) != string(d.GetMerkleRoot())):
				return fmt.Errorf("partition %s differs between %s and %s", replicaName(d), have.GetNode(), d.GetNode())
			}
			seen[replicaName(d)] = d
		}
		return nil
	})
}

// until polls until is returns nil, and reports what it said last if it does not
// in time. When it takes long it says why now and then.
func (c *cluster) until(ctx context.Context, within time.Duration, what string, is func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	said := time.Now()
	for {
		err := is()
		if err == nil {
			return nil
		}
		if time.Since(said) > sayEvery {
			said = time.Now()
			c.say("waiting until %s: %v", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %v in vain until %s: %w", within, what, err)
		}
	}
}
