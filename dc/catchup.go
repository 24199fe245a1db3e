package dc

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// catchUp keeps this node's replicas level with their co-owners, and knows how
// far everybody is. Co-owners tell each other their durable clocks, only what
// changed and once a round; what a peer had a round ago and this replica still
// lacks is asked for, since anything younger is on its way.
type catchUp struct {
	n *Node

	mu    sync.Mutex
	known map[storage.ReplicaID]*standing
	told  map[string]map[storage.ReplicaID]uint64 // what each peer was last told, as a hash; nil while it does not answer
	met   map[string]uint64                       // the epoch under which each peer last told of all replicas
	opens map[string]uint64                       // the opening of each peer, when last heard
	once  map[string]*memory                      // what each peer had in openings before that

	opening uint64 // of this node

	anew  chan struct{}                       // holds a token when there is a new layout
	locks map[storage.ReplicaID]chan struct{} // one pull of a replica at a time
}

// standing is what is known of one replica's partition elsewhere.
type standing struct {
	peers  map[string]*heard    // co-owners in this datacenter
	dcs    map[string]*remoteDC // other datacenters
	stable crdt.Clock           // what every replica everywhere is known to have; only grows
	// trimmable is the same without the replicas of datacenters that are fenced.
	trimmable crdt.Clock
	settling
}

// heard is a co-owner's durable clock, now and a round ago, and as it was told
// last: that is the whole clock of one moment, now holds receipts besides.
type heard struct {
	now, before, told crdt.Clock
	root              []byte    // of the tree, as told with the clock; nil where it was not
	unequal           time.Time // since when clocks are equal and roots are not; zero when that is not so
}

// remoteDC is what another datacenter reported: the clock of the replica that
// answered, and what all its replicas have.
type remoteDC struct{ clock, least crdt.Clock }

func newCatchUp(n *Node) *catchUp {
	return &catchUp{
		n: n, known: map[storage.ReplicaID]*standing{}, told: map[string]map[storage.ReplicaID]uint64{}, met: map[string]uint64{},
		opens: map[string]uint64{}, once: map[string]*memory{}, opening: n.opts.Rand.Uint64(),
		anew: make(chan struct{}, 1), locks: map[storage.ReplicaID]chan struct{}{},
	}
}

func (c *catchUp) at(id storage.ReplicaID) *standing {
	s := c.known[id]
	if s == nil {
		s = &standing{peers: map[string]*heard{}, dcs: map[string]*remoteDC{}}
		c.known[id] = s
	}
	return s
}

// relaid makes every peer be told everything again: under a new epoch what
// counts is what is told from now on.
func (c *catchUp) relaid() {
	c.n.walls.keep(c.n.layout().nodes, c.n.moment(), c.n.recentWalls())
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, told := range c.told {
		clear(told)
	}
	for _, s := range c.known {
		s.settling.anew(s.peers)
	}
	select {
	case c.anew <- struct{}{}:
	default:
	}
}

// run exchanges clocks with every other node of the present layout, again and again.
func (c *catchUp) run() {
	var peers sync.WaitGroup
	defer peers.Wait()
	following := map[string]context.CancelFunc{}
	for {
		nodes := c.n.layout().nodes
		for _, node := range nodes {
			if node != c.n.id && following[node] == nil {
				ctx, cancel := context.WithCancel(c.n.ctx)
				following[node] = cancel
				peers.Go(func() { c.follow(ctx, node) })
			}
		}
		for node, cancel := range following {
			if !slices.Contains(nodes, node) {
				cancel()
				delete(following, node)
			}
		}
		select {
		case <-c.anew:
		case <-c.n.ctx.Done():
			for _, cancel := range following {
				cancel()
			}
			return
		}
	}
}

// follow is the exchange with one peer.
func (c *catchUp) follow(ctx context.Context, peer string) {
	defer c.lose(peer)
	var l *layout
	var shared []storage.ReplicaID
	var pulls sync.WaitGroup // one at a time, beside the exchange: it may take long
	defer pulls.Wait()
	var pulling atomic.Bool
	owed := false // what the peer told first was not pulled yet
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		if now := c.n.layout(); now != l {
			l, shared = now, c.shared(now, peer)
		}
		first, err := c.round(ctx, peer, l, shared)
		if err != nil && ctx.Err() == nil {
			c.n.opts.Logger.Debug("clock exchange", "peer", peer, "error", err)
		}
		owed = owed || first
		mayPull := c.n.recovery.pulls()
		if replicas, all := shared, owed; err == nil && mayPull && pulling.CompareAndSwap(false, true) {
			owed = false
			pulls.Go(func() {
				defer pulling.Store(false)
				if err := c.pullAll(ctx, peer, replicas, all); err != nil && ctx.Err() == nil {
					c.n.opts.Logger.Debug("pull", "error", err)
				}
			})
		}
		pause.Reset(c.pause(peer, l, owed && !mayPull))
	}
}

// pause is how long the next round with a peer is waited for: not long where it is
// away, to notice its return at once, nor where something waits for the round.
func (c *catchUp) pause(peer string, l *layout, waits bool) time.Duration {
	if waits || !c.reaches(peer) || c.n.layout() != l {
		return c.n.opts.Exchange / 10
	}
	return c.n.opts.Exchange
}

// lose forgets what a peer was told: it may come back with less than it had.
func (c *catchUp) lose(peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.told, peer)
}

// reaches reports whether a peer answered the last exchange.
func (c *catchUp) reaches(peer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told[peer] != nil
}

// shared lists the replicas that this node and a peer both hold.
func (c *catchUp) shared(l *layout, peer string) []storage.ReplicaID {
	var out []storage.ReplicaID
	for _, id := range c.n.replicasOf(l, c.n.id) {
		if l.holds(peer, id) {
			out = append(out, id)
		}
	}
	return out
}

// replicasOf lists the replicas that a node holds under a layout.
func (n *Node) replicasOf(l *layout, node string) []storage.ReplicaID {
	var out []storage.ReplicaID
	for placement := range l.now {
		for i := range n.opts.Topology.Partitions {
			if id := (storage.ReplicaID{Placement: placement, Partition: uint32(i)}); l.holds(node, id) {
				out = append(out, id)
			}
		}
	}
	return out
}
