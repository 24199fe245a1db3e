package sim

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication/linktest"
	"github.com/godwitdb/godwit/topology"
)

// Options configures New. Zero fields take the default named beside them.
type Options struct {
	Seed       uint64        // of every choice that the simulation makes
	Nodes      []int         // of each datacenter; one of 3
	Late       int           // datacenters, the last ones, that come only with Join; 0
	Replicas   int           // of every partition in each datacenter that has so many nodes; 3
	Partitions int           // 8
	Exchange   time.Duration // between two comparisons of clocks; 500 ms
	Timeout    time.Duration // of a request that has none; 5 s
	LogBytes   int64         // budget of a node's event log; storage's
	LyingDisk  bool          // syncs do nothing: a planted bug
	SameActors bool          // actors are drawn again as in earlier lives: a planted bug
	Orphans    bool          // traces of events that were lost with a disk may be left
	Logger     *slog.Logger  // discards
}

func (o Options) withDefaults() Options {
	if len(o.Nodes) == 0 {
		o.Nodes = []int{3}
	}
	o.Replicas = cmp.Or(o.Replicas, 3)
	o.Partitions = cmp.Or(o.Partitions, 8)
	o.Exchange = cmp.Or(o.Exchange, 500*time.Millisecond)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// The buckets of every cluster.
const (
	bucketSync  = "default"
	bucketAsync = "async" // acknowledged before it is durable
	bucketHome  = "home"  // kept in the first datacenter, where there are several
)

// placementHome is that of bucketHome.
const placementHome = "home"

// dcNames are those of the datacenters, in order.
var dcNames = [...]string{"eu", "us", "ap"}

// Cluster is datacenters of nodes in a bubble. New and Close must be called
// inside the same bubble.
type Cluster struct {
	Topology *topology.Topology // that the cluster begins with
	DCs      []*DC              // those that come late as well

	opts  Options
	next  *topology.Topology // with those that come late, as joining; nil if none do
	grown atomic.Bool        // they have come
	net   *network
	wan   *linktest.Network // between datacenters
	watch *watch

	mu  sync.Mutex
	rnd *rand.Rand
}

// DC is one datacenter.
type DC struct {
	Name  string
	Nodes []*Node
	index int
	ahead atomic.Int64 // nanoseconds that all its wall clocks are ahead
}

// replicas is the number of copies that a datacenter keeps.
func (d *DC) replicas(o *Options) int { return min(o.Replicas, len(d.Nodes)) }

// New starts a cluster.
func New(o Options) *Cluster {
	o = o.withDefaults()
	w := newWatch()
	c := &Cluster{opts: o, net: newNetwork(o.Seed, w), wan: newWAN(o.Seed), watch: w, rnd: rand.New(rand.NewPCG(o.Seed, 10))}
	for i, nodes := range o.Nodes {
		d := &DC{Name: dcNames[i], index: i}
		for j := range nodes {
			n := &Node{cluster: c, dc: d, id: fmt.Sprintf("%s%d", d.Name, j+1), mem: vfs.NewCrashableMem()}
			d.Nodes = append(d.Nodes, n)
			c.net.nodes[n.id] = n
		}
		c.DCs = append(c.DCs, d)
	}
	first := len(c.DCs) - o.Late
	c.Topology = c.describe(first, first)
	if o.Late > 0 {
		c.next = c.describe(len(c.DCs), first)
		c.next.Version = 2
	}
	for _, d := range c.DCs[:first] {
		d.start()
	}
	return c
}

// describe is a topology of so many datacenters, of which those after the first
// are joining.
func (c *Cluster) describe(dcs, joined int) *topology.Topology {
	t := &topology.Topology{
		Version: 1, Cluster: "sim", Partitions: c.opts.Partitions,
		Buckets: []topology.Bucket{{Name: bucketAsync, Durability: "async"}},
	}
	global := topology.Placement{Name: topology.DefaultPlacement, Replicas: map[string]int{}}
	for _, d := range c.DCs[:dcs] {
		spec := topology.Datacenter{Name: d.Name}
		if d.index >= joined {
			spec.State = topology.DCJoining
		}
		for _, n := range d.Nodes {
			spec.Nodes = append(spec.Nodes, topology.Node{ID: n.id, Advertise: "127.0.0.1", Weight: 1})
		}
		global.Replicas[d.Name] = d.replicas(&c.opts)
		t.Datacenters = append(t.Datacenters, spec)
	}
	t.Placements = []topology.Placement{global}
	if len(c.DCs) > 1 {
		home := c.DCs[0]
		t.Placements = append(t.Placements, topology.Placement{Name: placementHome, Replicas: map[string]int{home.Name: home.replicas(&c.opts)}})
		t.Buckets = append(t.Buckets, topology.Bucket{Name: bucketHome, Placement: placementHome})
	}
	t.FillDefaults()
	return t
}

// acts is the topology that nodes start with now.
func (c *Cluster) acts() *topology.Topology {
	if c.grown.Load() {
		return c.next
	}
	return c.Topology
}

// Join starts the datacenters that come late, and has a node of the first one make
// the topology that names them.
func (c *Cluster) Join(ctx context.Context) error {
	c.grown.Store(true)
	for _, d := range c.DCs[len(c.DCs)-c.opts.Late:] {
		d.start()
	}
	text, err := c.next.YAML()
	if err == nil {
		_, err = c.DCs[0].Nodes[0].current().dc.ApplyTopology(ctx, &v1.ApplyTopologyRequest{Text: text})
	}
	return err
}

func (d *DC) start() {
	for _, n := range d.Nodes {
		n.Start()
	}
}

// nodes ranges over the nodes of all datacenters.
func (c *Cluster) nodes(yield func(*Node) bool) {
	for _, d := range c.DCs {
		for _, n := range d.Nodes {
			if !yield(n) {
				return
			}
		}
	}
}

// Close ends all nodes.
func (c *Cluster) Close() {
	c.net.clear()
	for n := range c.nodes {
		n.stop()
	}
}

// State implements dc.Membership: it knows at once who runs.
func (c *Cluster) State(id string) string {
	c.net.mu.Lock()
	n := c.net.nodes[id]
	c.net.mu.Unlock()
	switch {
	case n == nil:
		return ""
	case n.Up():
		return "alive"
	}
	return "dead"
}

// Cut stops messages from one node to another; Mend lets them pass.
func (c *Cluster) Cut(from, to *Node) { c.net.setCut(from.id, to.id, true) }

// Mend ends Cut.
func (c *Cluster) Mend(from, to *Node) { c.net.setCut(from.id, to.id, false) }

// Slow delays what a node sends and gets.
func (c *Cluster) Slow(n *Node, by time.Duration) { c.net.setSlow(n.id, by) }

// heal ends all faults and starts the nodes that are down.
func (c *Cluster) heal() {
	c.net.clear()
	c.healWAN()
	for n := range c.nodes {
		n.Thaw()
		n.Skew(0)
		n.mendDisk()
		n.Start()
	}
}

// syncTime is how long syncs take at the most. It is nothing where nodes are no
// owners of all partitions: dc then waits for locks that are held until something
// is synced, and who waits for a lock stops virtual time.
func (c *Cluster) syncTime() time.Duration {
	if slices.Max(c.opts.Nodes) > c.opts.Replicas {
		return 0
	}
	return syncTime
}

// rand returns a source of its own for one choice, so that sources need no lock.
func (c *Cluster) rand() *rand.Rand {
	c.mu.Lock()
	defer c.mu.Unlock()
	return rand.New(rand.NewPCG(c.rnd.Uint64(), c.rnd.Uint64()))
}
