package dc

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// Health tells how likely it is that other nodes still answer. It says nothing
// about membership.
type Health interface {
	// Phi is the suspicion that a node no longer answers: about -log10 of the
	// chance that it will, 0 while it does or was never asked, and infinite from
	// when a connection breaks, or cannot be made, until one stands again. See Hayashibara et al., SRDS 2004.
	Phi(node string) float64
}

// trusting is the Health of a transport that has none.
type trusting struct{}

func (trusting) Phi(string) float64 { return 0 }

// class is a kind of question to other nodes that takes about the same time
// each time, as far as the network and the disk do.
type class uint8

const (
	readClass    class = iota // a replica's cells or digest
	durableClass              // the same, after a barrier
	forwardClass              // a client's read
	classes
	unmeasured = classes
)

// watched is a transport that keeps book of how the nodes answer: how many
// requests each has yet to answer, and how long it takes for questions.
type watched struct {
	Transport

	mu    sync.RWMutex
	loads map[string]*load
}

func watch(t Transport) *watched { return &watched{Transport: t, loads: map[string]*load{}} }

// Send implements Transport.
func (w *watched) Send(to string, req *peerv1.Request, by time.Time, done func(*peerv1.Response, error)) {
	if req.GetTail() != nil { // it waits, and says nothing about how much the node has to do
		w.Transport.Send(to, req, by, done)
		return
	}
	l := w.of(to)
	l.outstanding.Add(1)
	c := classOf(req)
	began := time.Now()
	w.Transport.Send(to, req, by, func(resp *peerv1.Response, err error) {
		l.outstanding.Add(-1)
		if c != unmeasured && err == nil {
			l.took[c].note(time.Now(), time.Since(began))
		}
		done(resp, err)
	})
}

func classOf(req *peerv1.Request) class {
	switch of := req.GetOf().(type) {
	case *peerv1.Request_Read:
		if of.Read.GetDurable() {
			return durableClass
		}
		return readClass
	case *peerv1.Request_Forward:
		if of.Forward.GetGet() != nil {
			return forwardClass
		}
	}
	return unmeasured
}

func (w *watched) of(node string) *load {
	w.mu.RLock()
	l := w.loads[node]
	w.mu.RUnlock()
	if l != nil {
		return l
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l = w.loads[node]; l == nil {
		l = &load{}
		w.loads[node] = l
	}
	return l
}

// load is what is known of how one node answers.
type load struct {
	outstanding atomic.Int64
	took        [classes]latency
}

const (
	latencyWindow = 128 // samples of which the 95th of 100 is told
	latencyFresh  = 8   // samples between two times it is computed
	latencyFew    = 16  // samples below which nothing is told
	meanShare     = 0.1 // of a new sample in the mean
	// meanHalfLife is how fast a mean is forgotten: a node that was slow is not
	// asked any more, and would stay slow on paper for ever.
	meanHalfLife = 5 * time.Second
)

// latency is how long answers took.
type latency struct {
	p95 atomic.Int64 // nanoseconds; 0 while there are too few samples

	mu   sync.Mutex
	mean float64 // seconds
	at   time.Time
	ring [latencyWindow]time.Duration
	n    int
}

func (l *latency) note(now time.Time, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		l.mean = d.Seconds()
	}
	l.mean += meanShare * (d.Seconds() - l.mean)
	l.at = now
	l.ring[l.n%latencyWindow] = d
	if l.n++; l.n < latencyFew || l.n%latencyFresh != 0 {
		return
	}
	sorted := l.ring
	s := sorted[:min(l.n, latencyWindow)]
	slices.Sort(s)
	l.p95.Store(int64(s[len(s)*95/100]))
}

// recent is the mean, the less the longer ago the last answer was.
func (l *latency) recent(now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mean * math.Exp2(-now.Sub(l.at).Seconds()/meanHalfLife.Seconds())
}

// suspected reports whether a node is to be passed over.
func (n *Node) suspected(node string) bool {
	return node != n.id && n.opts.Health.Phi(node) >= n.opts.PhiThreshold
}

// likeCost is the cost of the cheapest node up to which others count as equal
// to it: differences below that are chance, and following them would send
// everybody to the same node.
const likeCost = 2

// byHealth orders nodes by who is best asked: this node, which costs nothing,
// then those believed alive, then those about which there is doubt. Among the
// living, those of little load come first, and equals stay as they were.
func (n *Node) byHealth(nodes []string) []string {
	type candidate struct {
		node string
		rank int
		cost float64
	}
	now := time.Now()
	all := make([]candidate, len(nodes))
	least := math.Inf(1)
	for i, node := range nodes {
		c := candidate{node: node, rank: 2}
		switch {
		case node == n.id:
			c.rank = 0
		case n.alive(node):
			c.rank, c.cost = 1, n.cost(node, now)
			least = min(least, c.cost)
		}
		all[i] = c
	}
	for i := range all {
		if all[i].rank == 1 && all[i].cost <= likeCost*least {
			all[i].cost = least
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.cost, b.cost))
	})
	out := make([]string, len(all))
	for i, c := range all {
		out[i] = c.node
	}
	return out
}

// cost is about how long a node would take for a read: what it took of late,
// once more for each request that it has yet to answer.
func (n *Node) cost(node string, now time.Time) float64 {
	l := n.watched.of(node)
	const unknown = 100e-6 // seconds: about a round trip inside a datacenter
	return max(l.took[readClass].recent(now), unknown) * float64(1+max(l.outstanding.Load(), 0))
}

const phiShown = 1000 // the most that is told of a phi

// peerHealth tells how this node finds the others of its datacenter.
func (n *Node) peerHealth() []*v1.PeerHealth {
	now := time.Now()
	var out []*v1.PeerHealth
	for _, node := range n.layout().nodes {
		if node == n.id {
			continue
		}
		l := n.watched.of(node)
		took := &l.took[readClass]
		out = append(out, &v1.PeerHealth{
			Id: node, Alive: n.alive(node), Phi: min(n.opts.Health.Phi(node), phiShown),
			Outstanding: uint32(max(l.outstanding.Load(), 0)), ReadMeanMs: took.recent(now) * 1e3,
			ReadP95Ms: time.Duration(took.p95.Load()).Seconds() * 1e3,
		})
	}
	return out
}
