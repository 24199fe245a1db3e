// Package linktest simulates the network between datacenters for tests: links
// with latency that can be cut and healed, that duplicate, reorder and lose.
// It stands in for the broker and everything between, keeps the contract of
// replication.Link, and tells time by package time alone, so that whole
// datacenters run in a testing/synctest bubble. It knows nothing of what the
// messages hold. A Network belongs to the bubble in which it was made.
package linktest

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/godwitdb/godwit/replication"
)

// Options configures New. Zero fields take the default named beside them.
type Options struct {
	Latency   time.Duration // one way, between any two datacenters; 0
	AckWait   time.Duration // until a message that was not settled comes again; 5 s
	Window    int           // messages in flight of one lane to one datacenter; 128
	Retain    int           // messages a lane keeps for a datacenter, the oldest goes first; 100,000
	Duplicate float64       // share of messages that come twice; 0
	Reorder   float64       // share of messages that change places with the next; 0
	Loss      float64       // share of messages, acknowledgements, questions and answers that are lost; 0
	Jitter    time.Duration // that the latency is longer at the most; 0
	Seed      uint64        // of the chances above
}

// Network is the wires between the nodes of all datacenters, and their outboxes.
type Network struct {
	mu      sync.Mutex
	opts    Options
	rnd     *rand.Rand
	changed chan struct{} // closed and replaced whenever anything changes
	outs    map[replication.Peer]*outbox
	live    map[replication.Peer]*Link
	latency map[pair]time.Duration
	cut     map[way]bool
	stuck   map[replication.Peer]bool
	still   map[replication.Peer]bool
}

// way is one direction between two datacenters.
type way struct{ from, to string }

type pair struct{ a, b string } // a < b

func pairOf(a, b string) pair {
	if a > b {
		a, b = b, a
	}
	return pair{a, b}
}

// outbox is what a node keeps; it survives the node.
type outbox struct {
	offers map[string]map[uint32]bool
	kept   []*item // all that is retained, in order
	queues map[queueID]*queue
}

type queueID struct {
	dc   string
	lane int
}

// queue is what a datacenter has not taken of one lane.
type queue struct {
	ready  []*item
	flight map[*item]time.Time // when it comes again
	later  map[*item]time.Time // refused, and when it comes again

	stalled bool // delivers nothing more
}

type item struct {
	lane       int
	placement  uint32
	data       []byte
	deliveries map[string]int // by datacenter
}

// New returns a network without nodes.
func New(opts Options) *Network {
	if opts.AckWait == 0 {
		opts.AckWait = 5 * time.Second
	}
	if opts.Window == 0 {
		opts.Window = 128
	}
	if opts.Retain == 0 {
		opts.Retain = 100_000
	}
	return &Network{
		opts: opts, rnd: rand.New(rand.NewPCG(opts.Seed, 1)), changed: make(chan struct{}),
		outs: map[replication.Peer]*outbox{}, live: map[replication.Peer]*Link{},
		latency: map[pair]time.Duration{}, cut: map[way]bool{}, stuck: map[replication.Peer]bool{}, still: map[replication.Peer]bool{},
	}
}

// SetLatency sets the one-way delay between two datacenters.
func (n *Network) SetLatency(a, b string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency[pairOf(a, b)] = d
}

// Cut makes the network between two datacenters swallow everything.
func (n *Network) Cut(a, b string) {
	n.CutWay(a, b)
	n.CutWay(b, a)
}

// CutWay makes the network swallow what goes from one datacenter to another, and
// nothing that goes the other way: messages come, and their acknowledgements do
// not, or questions do, and their answers do not.
func (n *Network) CutWay(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[way{from, to}] = true
	n.changeLocked()
}

// Stall makes a lane that a node offers to a datacenter deliver nothing more, as
// a broker's consumer may, until it is taken back and offered anew.
func (n *Network) Stall(from replication.Peer, lane int, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if q := n.queueLocked(n.outboxLocked(from), to, lane); q != nil {
		q.stalled = true
	}
}

// Heal undoes Cut and CutWay. The nodes of either side learn that the others are up.
func (n *Network) Heal(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.openLocked(a, b) {
		return
	}
	delete(n.cut, way{a, b})
	delete(n.cut, way{b, a})
	n.changeLocked()
	for p, l := range n.live {
		for q := range n.live {
			if pairOf(p.DC, q.DC) == pairOf(a, b) && p.DC != q.DC {
				l.tellUp(q, n.delayLocked(p.DC, q.DC))
			}
		}
	}
}

// openLocked reports whether the way between two datacenters is open both ways.
func (n *Network) openLocked(a, b string) bool { return !n.cut[way{a, b}] && !n.cut[way{b, a}] }

// Still makes a node stand still, with its outbox, or go on: nobody hears of it,
// and it hears nothing.
func (n *Network) Still(p replication.Peer, still bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if still {
		n.still[p] = true
	} else {
		delete(n.still, p)
	}
	n.changeLocked()
}

// Change alters latency, jitter and chances from now on.
func (n *Network) Change(change func(*Options)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.opts)
}

// Replay makes everything that a node's outbox still keeps come again, to every
// datacenter, whether it was taken or not.
func (n *Network) Replay(p replication.Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.outboxLocked(p)
	for id, q := range o.queues {
		for _, it := range o.kept {
			if it.lane == id.lane && o.offered(id.dc, it.placement) {
				q.ready = append(q.ready, it.again())
			}
		}
	}
	n.changeLocked()
}

// again is the same message, as if it were another.
func (it *item) again() *item {
	return &item{lane: it.lane, placement: it.placement, data: it.data, deliveries: map[string]int{}}
}

// Stick makes a node's outbox refuse what is published, as a broker does whose
// disk is full, or take it again.
func (n *Network) Stick(p replication.Peer, stuck bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stuck[p] = stuck
}

// Forget loses everything that a node's outbox still keeps and nobody took:
// what a broker does that runs over its bounds, or whose disk was lost.
func (n *Network) Forget(p replication.Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.outboxLocked(p)
	o.kept = nil
	clear(o.queues)
	n.changeLocked()
}

func (n *Network) changeLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *Network) delayLocked(a, b string) time.Duration {
	d, ok := n.latency[pairOf(a, b)]
	if !ok {
		d = n.opts.Latency
	}
	if n.opts.Jitter > 0 {
		d += time.Duration(n.rnd.Int64N(int64(n.opts.Jitter)))
	}
	return d
}

// lostLocked draws whether something is lost.
func (n *Network) lostLocked() bool { return n.opts.Loss > 0 && n.rnd.Float64() < n.opts.Loss }

// passesLocked reports whether what one node sends reaches another.
func (n *Network) passesLocked(from, to replication.Peer) bool {
	return !n.cut[way{from.DC, to.DC}] && !n.still[from] && !n.still[to]
}

func (n *Network) outboxLocked(p replication.Peer) *outbox {
	o := n.outs[p]
	if o == nil {
		o = &outbox{offers: map[string]map[uint32]bool{}, queues: map[queueID]*queue{}}
		n.outs[p] = o
	}
	return o
}

// queueLocked returns what dc has still to take of a lane; nil when the lane
// was not offered to it.
func (n *Network) queueLocked(o *outbox, dc string, lane int) *queue {
	id := queueID{dc, lane}
	if q := o.queues[id]; q != nil {
		return q
	}
	if o.offers[dc] == nil {
		return nil
	}
	q := &queue{flight: map[*item]time.Time{}, later: map[*item]time.Time{}}
	for _, it := range o.kept {
		if it.lane == lane && o.offered(dc, it.placement) {
			q.ready = append(q.ready, it)
		}
	}
	o.queues[id] = q
	return q
}

func (o *outbox) offered(dc string, placement uint32) bool {
	return o.offers[dc] != nil && (placement == replication.Everyone || o.offers[dc][placement])
}

// dueLocked puts back what was not settled in time or is to be tried again, and
// returns when the next of those is due; zero when there is none.
func (q *queue) dueLocked(now time.Time) (next time.Time) {
	for _, waiting := range []map[*item]time.Time{q.flight, q.later} {
		for it, at := range waiting {
			if !at.After(now) {
				delete(waiting, it)
				q.ready = append(q.ready, it)
			} else if next.IsZero() || at.Before(next) {
				next = at
			}
		}
	}
	return next
}
