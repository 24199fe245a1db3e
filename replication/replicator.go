package replication

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/godwitdb/godwit/crdt"
)

// Options configures Start. Zero fields take the default named beside them.
type Options struct {
	Self       Peer                     // required
	Link       Link                     // required; it outlives the Replicator
	Local      Local                    // required
	Peers      func() []Peer            // required: the nodes of all other datacenters
	LiveNodes  func() []string          // required: the nodes of this datacenter that are alive
	Placements func(dc string) []uint32 // required: the placements that a datacenter holds, this one included
	Notices    Notices                  // what all datacenters are to know; none
	// Holds tells other datacenters whether a write quorum of this one holds events
	// of a replica durably: once it does, or when ctx ends. None: they are not told.
	Holds func(ctx context.Context, r Replica, clock *crdt.Clock) bool
	// Datacenters lists all of the cluster, also those to which no link leads: others
	// are asked about them, and so they are about one that falls silent. nil: none.
	Datacenters func() []string

	Incarnation    uint64                // of this node, never used before; the time of the start
	MaxBatchBytes  int                   // of a message before compression; 256 KiB
	MaxBatchEvents int                   // after which a message goes out at once; 64
	Compression    string                // of messages, CompressZstd, CompressS2 or CompressNone; CompressZstd
	MaxDelay       time.Duration         // an event waits at most this long for company; 2 ms
	BeaconEvery    time.Duration         // 250 ms
	ExchangeEvery  time.Duration         // between two looks at a remote datacenter's clocks; 1 s
	InFlight       time.Duration         // what a remote clock has shown for so long and did not come is asked for; 1 s
	ApplyTimeout   time.Duration         // of one Local.Apply; 4 s
	VerifyEvery    time.Duration         // between two comparisons of the trees with another datacenter's; 10 minutes
	VerifyWindow   Window                // when they may begin; at any time
	Appliers       int                   // calls of Local.Apply under way for messages; 32
	InboundBytes   int64                 // of messages that are being applied; 32 MiB
	RateLimit      func(dc string) int64 // bytes per second that a datacenter may send to all nodes of this one; 0: any; none
	ParkedDir      string                // keeps what cannot be applied; in memory
	Now            func() time.Time      // the wall clock, for beacons; time.Now
	Logger         *slog.Logger          // nowhere
}

func (o Options) withDefaults() (Options, error) {
	if err := checkNames(o.Self.DC, o.Self.Node); err != nil {
		return o, err
	}
	if o.Link == nil || o.Local == nil || o.Peers == nil || o.LiveNodes == nil || o.Placements == nil {
		return o, errors.New("replication: Link, Local, Peers, LiveNodes and Placements are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Incarnation = cmp.Or(o.Incarnation, uint64(o.Now().UnixNano()))
	o.MaxBatchBytes = min(cmp.Or(o.MaxBatchBytes, 256<<10), MaxMessageBytes/2)
	o.MaxBatchEvents = cmp.Or(o.MaxBatchEvents, 64)
	o.Compression = cmp.Or(o.Compression, CompressZstd)
	o.MaxDelay = cmp.Or(o.MaxDelay, 2*time.Millisecond)
	o.BeaconEvery = cmp.Or(o.BeaconEvery, 250*time.Millisecond)
	o.ExchangeEvery = cmp.Or(o.ExchangeEvery, time.Second)
	o.InFlight = cmp.Or(o.InFlight, time.Second)
	o.ApplyTimeout = cmp.Or(o.ApplyTimeout, 4*time.Second)
	o.VerifyEvery = cmp.Or(o.VerifyEvery, 10*time.Minute)
	o.Appliers = cmp.Or(o.Appliers, 32)
	o.InboundBytes = max(cmp.Or(o.InboundBytes, 32<<20), maxUnpacked)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o, nil
}

// Replicator ships, receives, compares clocks and measures, for one node. Safe
// for concurrent use.
type Replicator struct {
	opts   Options
	packer *packer
	view   atomic.Pointer[view]
	look   chan struct{} // membership may have changed; capacity 1
	cancel context.CancelFunc
	wg     sync.WaitGroup

	shipper  *shipper
	inbound  *semaphore.Weighted // bytes
	holding  *semaphore.Weighted // questions that wait for events
	appliers *semaphore.Weighted
	parking  parking
	totals   totals
	exchange exchanger

	rebuilding sync.Mutex
	rebuiltAt  map[string]time.Time // offers, by remote datacenter; under rebuilding

	mu       sync.Mutex
	closed   bool
	remotes  map[string]*remoteDC
	limiters map[string]*rate.Limiter // by remote datacenter
}

// Start starts replication and returns at once; Close ends it.
func Start(opts Options) (*Replicator, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := newPacker(opts.Compression)
	if err != nil {
		return nil, err
	}
	x := &Replicator{
		opts: opts, packer: p, look: make(chan struct{}, 1), remotes: map[string]*remoteDC{}, limiters: map[string]*rate.Limiter{},
		inbound: semaphore.NewWeighted(opts.InboundBytes), appliers: semaphore.NewWeighted(int64(opts.Appliers)),
		holding: semaphore.NewWeighted(holdsAtOnce), rebuiltAt: map[string]time.Time{},
	}
	x.shipper = newShipper(x)
	x.exchange.init()
	if err := x.parking.open(opts.ParkedDir); err != nil {
		return nil, err
	}
	x.view.Store(x.newView())
	var ctx context.Context
	ctx, x.cancel = context.WithCancel(context.Background())
	if err := opts.Link.Respond(x.respond(ctx)); err != nil {
		x.cancel()
		return nil, err
	}
	opts.Link.OnUp(func(p Peer) { x.peerUp(p) })
	x.wg.Go(func() { x.shipper.run(ctx) })
	x.wg.Go(func() { x.keepUp(ctx) })
	x.wg.Go(func() { x.beacons(ctx) })
	return x, nil
}

// Close stops everything and returns when no call of Local is under way any
// more. What was not shipped is found by the clocks after the next start.
func (x *Replicator) Close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.cancel()
	x.wg.Wait()
	x.packer.close()
}

// Notify says that the events of a delta, which this node's replica r minted, are
// durable, and all events of its actor before them. The delta must not be changed
// any more. It never blocks.
func (x *Replicator) Notify(r Replica, d *crdt.Delta) { x.shipper.notify(r, d) }

// MembershipChanged makes the replicator look at Peers, LiveNodes and
// Placements now rather than within a second. It never blocks.
func (x *Replicator) MembershipChanged() {
	select {
	case x.look <- struct{}{}:
	default:
	}
}

// spawn runs fn on a goroutine that Close waits for, unless closed.
func (x *Replicator) spawn(fn func()) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return false
	}
	x.wg.Go(fn)
	return true
}

// phase spreads what nodes do periodically: a part of every that differs from
// node to node.
func (x *Replicator) phase(every time.Duration, what string) time.Duration {
	return time.Duration(xxh3.HashString(x.opts.Self.String()+"/"+what) % uint64(max(every, 1)))
}
