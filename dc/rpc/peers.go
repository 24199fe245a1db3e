package rpc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/frame"
)

// PeerOptions configures NewPeers. Zero fields take the default named beside
// them.
type PeerOptions struct {
	Cluster         string // required, as are the next three
	DC              string
	Node            string
	Addr            func(node string) (addr string) // host:port of a node's peer listener; "" for a name it does not know
	TopologyVersion uint64
	Key             []byte        // that both sides of a connection prove to have, KeyBytes long; none
	QueueBytes      int           // messages that wait for one node; over it they are refused; 16 MiB
	MaxMessage      int           // bytes of one message; 16 MiB
	FrameBytes      int           // bytes of a frame of several messages; 1 MiB
	FrameMessages   int           // messages of one frame; 512
	MaxServing      int           // requests of one node that are served at once; over it they are not read; 1024
	Timeout         time.Duration // of a request that names none; 30 s
	ConnectTimeout  time.Duration // until both sides have said hello; 1 s
	Silence         time.Duration // after which a connection counts as broken; 3 s
	// Heartbeat is the longest that this node says nothing on a stream, whether
	// there is an answer or not; a quarter of Silence at the most; 500 ms.
	Heartbeat time.Duration
	// Detector makes a detector of silence for a node, which is told of every
	// frame that the node sends; nil: only broken connections are noticed.
	Detector func() Detector
	// Opening tells this process from others that use the name of its node, before
	// it or beside it; random.
	Opening uint64
	// TwinAfter is for how long another node must refuse this one, because it hears
	// from another process of its name, before that is told to Twin; longer than
	// Silence; 5 s.
	TwinAfter time.Duration
	// Twin is told, from any goroutine, that this process must end, and why: see
	// ErrTwin; it may be told more than once; nobody.
	Twin     func(error)
	RetryMin time.Duration // pause after a first failure to connect; 20 ms
	RetryMax time.Duration // ... and after many; 1 s
	Logger   *slog.Logger  // discards
}

func (o PeerOptions) withDefaults() PeerOptions {
	if o.Addr == nil {
		o.Addr = func(string) string { return "" }
	}
	o.QueueBytes = cmp.Or(o.QueueBytes, 16<<20)
	o.MaxMessage = cmp.Or(o.MaxMessage, 16<<20)
	o.FrameBytes = min(cmp.Or(o.FrameBytes, 1<<20), o.MaxMessage)
	o.FrameMessages = cmp.Or(o.FrameMessages, 512)
	o.MaxServing = cmp.Or(o.MaxServing, 1024)
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, time.Second)
	o.Silence = cmp.Or(o.Silence, 3*time.Second)
	o.Heartbeat = min(cmp.Or(o.Heartbeat, 500*time.Millisecond), o.Silence/4)
	o.RetryMin = cmp.Or(o.RetryMin, 20*time.Millisecond)
	o.RetryMax = cmp.Or(o.RetryMax, time.Second)
	if o.Opening == 0 {
		o.Opening = rand.Uint64() | 1
	}
	o.TwinAfter = cmp.Or(o.TwinAfter, max(5*time.Second, o.Silence*5/3))
	if o.Twin == nil {
		o.Twin = func(error) {}
	}
	if o.Detector == nil {
		o.Detector = func() Detector { return deaf{} }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o *PeerOptions) hello() *peerv1.Hello {
	return &peerv1.Hello{Cluster: o.Cluster, Dc: o.DC, Node: o.Node, TopologyVersion: o.TopologyVersion, Opening: o.Opening}
}

// check says why the other side of a connection is not to be talked to.
func (o *PeerOptions) check(h *peerv1.Hello) error {
	switch {
	case h.GetCluster() != o.Cluster:
		return fmt.Errorf("node %s of cluster %.80q is no peer of %s of cluster %q", clip(h.GetNode(), 80), h.GetCluster(), o.Node, o.Cluster)
	case h.GetDc() != o.DC:
		return fmt.Errorf("node %s of datacenter %.80q is no peer of %s of datacenter %q", clip(h.GetNode(), 80), h.GetDc(), o.Node, o.DC)
	}
	return nil
}

func (o *PeerOptions) limits() frame.Limits {
	return frame.Limits{Queue: o.QueueBytes, Frame: o.FrameBytes, Messages: o.FrameMessages}
}

// Detector tells from the arrivals of one node's frames how likely it is that
// more will come. It must be safe for concurrent use.
type Detector interface {
	// Heard notes an arrival.
	Heard(at time.Time)
	// Forget drops the last arrival: the connection ended.
	Forget()
	// Phi is the suspicion at a moment; see dc.Health.
	Phi(now time.Time) float64
}

// deaf is the Detector of those who have none.
type deaf struct{}

func (deaf) Heard(time.Time)       {}
func (deaf) Forget()               {}
func (deaf) Phi(time.Time) float64 { return 0 }

// Handler answers a request of node from. It must return a response, and soon
// after ctx ends.
type Handler func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response

// Peers reaches the other nodes of a datacenter, and answers them: dc.Transport
// over one stream to each node for what this one asks, and one from each for
// what it is asked. Safe for concurrent use.
type Peers struct {
	opts   PeerOptions
	codec  frame.Codec
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.RWMutex
	closed bool
	links  map[string]*link
	server *grpc.Server // nil before Serve

	lives    lives    // of other nodes
	refusals refusals // of this one
}

var (
	_ dc.Transport = (*Peers)(nil)
	_ dc.Health    = (*Peers)(nil)
)

// NewPeers makes the peers of a node. It connects to nobody before it is asked
// to send. Close ends it.
func NewPeers(o PeerOptions) *Peers {
	p := &Peers{opts: o.withDefaults(), links: map[string]*link{}}
	p.lives = newLives(p.opts.Node, p.opts.Opening)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Send implements dc.Transport. It never blocks: the request waits in a queue
// bounded in bytes, and done is called once, with dc.ErrNotSent if the request
// certainly did not leave this node. done must not block either: the answers
// of one node are given out one after the other.
func (p *Peers) Send(to string, req *peerv1.Request, by time.Time, done func(*peerv1.Response, error)) {
	l, err := p.link(to)
	if err != nil {
		done(nil, err)
		return
	}
	if err := l.send(req, by, done); err != nil {
		done(nil, err)
	}
}

// Phi implements dc.Health: what the detector says of a node's silence, and
// without bound from the moment a connection breaks, or cannot be made, until
// one stands again. It is 0 for a node that was never asked anything.
func (p *Peers) Phi(node string) float64 {
	p.mu.RLock()
	l := p.links[node]
	p.mu.RUnlock()
	if l == nil {
		return 0
	}
	return l.phi(time.Now())
}

// link returns the link to a node, and makes it if the node has an address.
func (p *Peers) link(to string) (*link, error) {
	p.mu.RLock()
	l, closed := p.links[to], p.closed
	p.mu.RUnlock()
	switch {
	case closed:
		return nil, fmt.Errorf("ask %s: peers are closed: %w", to, dc.ErrNotSent)
	case l != nil:
		return l, nil
	case p.opts.Addr(to) == "":
		return nil, fmt.Errorf("ask %.80q: no address is known: %w", to, dc.ErrNotSent)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l = p.links[to]; l == nil {
		l = newLink(p, to)
		p.links[to] = l
	}
	return l, nil
}

// Serve takes connections of other nodes from lis, which it closes, and has
// their requests answered by h, until Close. It may be called once; it returns
// nil after Close.
func (p *Peers) Serve(lis net.Listener, h Handler) error {
	s := newExchangeServer(p, h)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return lis.Close()
	}
	p.server = s
	p.mu.Unlock()
	if err := s.Serve(lis); err != nil && p.ctx.Err() == nil {
		return fmt.Errorf("serve peers: %w", err)
	}
	return nil
}

// Close ends every connection. Calls in flight end with an error, and no
// request is being served when it returns.
func (p *Peers) Close() {
	p.mu.Lock()
	p.closed = true
	server := p.server
	p.mu.Unlock()
	p.cancel()
	if server != nil {
		server.Stop()
	}
	p.work.Wait()
}

// start runs f until Close waits for it; it does nothing after Close.
func (p *Peers) start(f func()) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return false
	}
	p.work.Go(f)
	return true
}
