package dc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// Transport reaches the other nodes of the datacenter.
type Transport interface {
	// Send sends req to a node and calls done once, from any goroutine, with
	// the answer or an error. The node gets it once at the most. An error that is
	// ErrNotSent says that the request had no effect. Send must not block, and done must be called within the
	// timeout that req carries, or soon after. What req has the node do is not begun there after by, if that is
	// not zero; an error that is storage.ErrLate says that it was too late to send it. Until done is
	// called req is Send's.
	Send(to string, req *peerv1.Request, by time.Time, done func(*peerv1.Response, error))
}

// Membership tells which nodes of the datacenter are believed to be up.
type Membership interface {
	// State is "alive", "suspect", "dead", "left", or empty for an unknown node.
	State(node string) string
}

// Replicator is replication, as a node uses it.
type Replicator interface {
	// Notify tells of new durable events of this node's own replica, in a delta that
	// nobody changes any more. It must not block.
	Notify(r replication.Replica, d *crdt.Delta)
	// Lag is what is known of the streams from the other datacenters.
	Lag() []replication.Lag
}

// LinkControl changes emulated links; nil where links are real.
type LinkControl interface {
	Links() []Link
	SetLink(c LinkChange) error
}

// Options configures Open. Zero fields take the default named beside them.
type Options struct {
	Topology *topology.Topology // required
	Node     string             // required: one of the topology's, or one that joins DC
	DC       string             // the node's datacenter; the topology's
	// Document is a ring document that is known to be decided; what is on disk, or
	// made of the topology. The greater epoch counts.
	Document   *ring.Document
	Transport  Transport       // required
	Membership Membership      // required
	Links      LinkControl     // none
	Storage    storage.Options // Dir is required; Identity and Hash are filled in here
	Exchange   time.Duration   // how often co-owners compare clocks; 1 s
	// BucketsEvery is the pause between two looks at whether buckets were made or
	// altered elsewhere; Exchange.
	BucketsEvery time.Duration
	SweepEvery   time.Duration // pause between two looks at what has expired; 1 s
	Timeout      time.Duration // of a request that has none, and the most for any; 30 s
	// StandInAfter is how long a write waits for an owner before it asks another
	// node to stand in; 250 ms.
	StandInAfter time.Duration
	// ScrubEvery is how often every record is read again, to find damage; 24 h.
	ScrubEvery time.Duration
	// OrphanAfter is for how long the effect of an event may stand ahead of
	// every clock before the event counts as lost; 30 s.
	OrphanAfter time.Duration
	// MoveRate bounds what this node takes from others to catch up or to become
	// an owner, in bytes a second; 64 MiB/s.
	MoveRate int
	// Candidates lists nodes that run and want to join; members may be among
	// them. None.
	Candidates func() []ring.Entry
	Version    string // of the program, for status
	GRPCAddr   func(node string) string
	Rand       *rand.Rand   // seeded by the machine
	Logger     *slog.Logger // discards

	// Health tells of nodes that have fallen silent; none: only the exchange of
	// clocks does.
	Health       Health
	PhiThreshold float64       // of Health, from which on a node is passed over; 8
	Heartbeat    time.Duration // of the transport, for status
	HedgeFloor   time.Duration // the least time that an asked node has before another is asked as well; 2 ms
	HedgePercent float64       // hedges of 100 questions that reads put to other nodes, at the most; 5; negative: none
	SessionWait  time.Duration // how long a request waits for what its session has seen; 2 s
	MaxWatches   int           // watches of clients at once; over it they are refused; 256
}

func (o Options) withDefaults() (Options, error) {
	if o.Topology == nil || o.Transport == nil || o.Membership == nil {
		return o, errors.New("dc: Topology, Transport and Membership are required")
	}
	if o.Health == nil {
		o.Health = trusting{}
	}
	o.PhiThreshold = cmp.Or(o.PhiThreshold, 8)
	o.HedgeFloor = cmp.Or(o.HedgeFloor, 2*time.Millisecond)
	o.SessionWait = cmp.Or(o.SessionWait, 2*time.Second)
	o.MaxWatches = cmp.Or(o.MaxWatches, 256)
	o.HedgePercent = max(cmp.Or(o.HedgePercent, 5), 0)
	o.Exchange = cmp.Or(o.Exchange, time.Second)
	o.BucketsEvery = cmp.Or(o.BucketsEvery, o.Exchange)
	o.SweepEvery = cmp.Or(o.SweepEvery, time.Second)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.StandInAfter = cmp.Or(o.StandInAfter, 250*time.Millisecond)
	o.ScrubEvery = cmp.Or(o.ScrubEvery, 24*time.Hour)
	o.OrphanAfter = cmp.Or(o.OrphanAfter, 30*time.Second)
	o.MoveRate = cmp.Or(o.MoveRate, 64<<20)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.GRPCAddr == nil {
		o.GRPCAddr = func(string) string { return "" }
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if o.Storage.Wall == nil {
		o.Storage.Wall = time.Now
	}
	if o.Storage.Logger == nil {
		o.Storage.Logger = o.Logger
	}
	return o, nil
}

// datacenter is that of the node: the topology does not name a node that joined
// later.
func (o *Options) datacenter() (string, error) {
	_, name, ok := o.Topology.NodeByID(o.Node)
	switch _, known := o.Topology.DC(o.DC); {
	case !ok && o.DC == "":
		return "", fmt.Errorf("dc: the topology has no node %q", o.Node)
	case ok && o.DC != "" && o.DC != name:
		return "", fmt.Errorf("dc: node %q is of datacenter %q, not of %q", o.Node, name, o.DC)
	case !ok && !known:
		return "", fmt.Errorf("dc: the topology has no datacenter %q", o.DC)
	}
	return cmp.Or(name, o.DC), nil
}

// Node is one node of a datacenter. Safe for concurrent use.
type Node struct {
	opts    Options
	id      string
	dc      string
	store   *storage.Store
	started time.Time // by the wall
	opened  time.Time // by the steady clock

	buckets    *catalog
	contextKey []byte
	macs       sync.Pool        // *macer, of contexts
	applied    *peerv1.Response // to every Apply; nobody changes it

	known   atomic.Pointer[world]
	acting  actings // of the other datacenters
	turning fence   // held while known is replaced
	laid    atomic.Pointer[layout]
	fence   fence    // held for reading while events of co-owners are taken under the present layout
	watched *watched // Options.Transport
	hedges  *hedgeBudget

	requests     requests
	together     together
	ahead        ahead
	repairs      repairs
	sessionPulls singleflight.Group

	peers    *catchUp // what is known of the clocks of others
	moves    *moves
	levels   *levelling
	recovery *recovery
	walls    walls
	rights   *rightsKeeper
	agree    *agreement
	count    Counters

	tails   *tails
	watches atomic.Int64 // of clients

	repl struct {
		sync.RWMutex
		Replicator
	}
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// Open opens the node's data and makes it ready to serve. Close ends it.
func Open(o Options) (*Node, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	dcName, err := o.datacenter()
	if err != nil {
		return nil, err
	}
	n := &Node{opts: o, id: o.Node, dc: dcName, started: o.Storage.Wall(), opened: time.Now(), contextKey: contextKey(o.Topology.Cluster), applied: applied()}
	n.watched = watch(o.Transport)
	n.opts.Transport = n.watched
	n.hedges = newHedgeBudget(o.HedgePercent / 100)
	if err := n.firstWorld(nil); err != nil {
		return nil, err
	}
	n.buckets = newCatalog(n)
	o.Storage.Identity = storage.Identity{Cluster: o.Topology.Cluster, DC: dcName, Node: o.Node, Partitions: o.Topology.Partitions}
	o.Storage.Hash = ring.KeyHash
	o.Storage.Arisen = &n.count.Conflicts
	if n.store, err = storage.Open(o.Storage); err != nil {
		return nil, err
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.peers = newCatchUp(n)
	n.levels = newLevels(n)
	n.recovery = newRecovery(n)
	n.moves = newMoves(n)
	n.rights = newRightsKeeper()
	n.tails = newTails(n)
	if err := n.remember(); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	if err := n.firstLayout(); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	if n.agree, err = n.newAgreement(); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	if o.Document != nil {
		if err := n.adopt(o.Document); err != nil {
			return nil, errors.Join(err, n.store.Close())
		}
	}
	n.begin()
	return n, nil
}

// begin starts the background work.
func (n *Node) begin() {
	n.work.Go(n.peers.run)
	n.work.Go(n.buckets.follow)
	n.work.Go(n.hostGuests)
	n.work.Go(n.moves.run)
	n.work.Go(n.recovery.run)
	n.work.Go(n.tails.run)
	n.work.Go(n.trim)
	n.work.Go(n.sweep)
	n.work.Go(n.dropMarks)
	n.work.Go(n.moveRights)
	n.work.Go(newScrubber(n).run)
	n.work.Go(n.watchSkew)
	n.work.Go(n.followTopology)
	n.work.Go(n.levels.follow)
}

// Close stops background work and closes the data. Requests must have ended.
// Before that, it gives rights away, see GiveRightsAway.
func (n *Node) Close() error {
	n.GiveRightsAway()
	n.cancel()
	n.work.Wait()
	return n.store.Close()
}

// ID is the node's name, DC that of its datacenter.
func (n *Node) ID() string { return n.id }

// DC is the name of the node's datacenter.
func (n *Node) DC() string { return n.dc }

// SetReplicator gives the node its replication, once it runs.
func (n *Node) SetReplicator(r Replicator) {
	n.repl.Lock()
	defer n.repl.Unlock()
	n.repl.Replicator = r
}

func (n *Node) replicator() Replicator {
	n.repl.RLock()
	defer n.repl.RUnlock()
	return n.repl.Replicator
}

// alive reports whether a node answered the last exchange of clocks, and did not
// fall silent since. Whether it is a member is another question: see Membership.
func (n *Node) alive(node string) bool {
	return node == n.id || n.peers.reaches(node) && !n.suspected(node)
}

// Live lists the nodes of this datacenter that are alive, itself included.
func (n *Node) Live() []string {
	var out []string
	for _, node := range n.layout().nodes {
		if n.alive(node) {
			out = append(out, node)
		}
	}
	return out
}

// send sends a request to a node. An answer that the sender's ring is out of
// date brings the new one, which is adopted before done is called. By is as for
// Transport.
func (n *Node) send(to string, req *peerv1.Request, by time.Time, done func(*peerv1.Response, error)) {
	if req.Epoch == 0 {
		req.Epoch = n.epoch()
	}
	n.opts.Transport.Send(to, req, by, func(resp *peerv1.Response, err error) {
		if err == nil && resp.GetStatus() != nil {
			err = fromStatus(resp.GetStatus())
		}
		if !isStale(err) {
			done(resp, err)
			return
		}
		go func() { // adopting waits for the disk
			if bad := n.adoptEncoded(resp.GetDocumentNow()); bad != nil {
				err = bad
			}
			done(resp, err)
		}()
	})
}

// call sends a request to a node and waits for the answer.
func (n *Node) call(ctx context.Context, to string, req *peerv1.Request) (*peerv1.Response, error) {
	type answer struct {
		resp *peerv1.Response
		err  error
	}
	got := make(chan answer, 1)
	if req.TimeoutMs == 0 {
		req.TimeoutMs = n.left(ctx)
	}
	var by time.Time
	if req.GetForward().GetUpdate() != nil {
		by = beginBy(ctx)
	}
	n.send(to, req, by, func(resp *peerv1.Response, err error) { got <- answer{resp, err} })
	select {
	case a := <-got:
		return a.resp, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("ask %s: %w", to, ctx.Err())
	}
}

// left is what remains of a request's time, in milliseconds and at least one.
func (n *Node) left(ctx context.Context) uint64 {
	left := n.opts.Timeout
	if at, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(at))
	}
	return uint64(max(left.Milliseconds(), 1))
}
