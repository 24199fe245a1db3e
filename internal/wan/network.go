// Package wan emulates the links between datacenters in user space: latency,
// jitter, bandwidth, and the ways in which a link fails. It carries TCP over
// loopback only; every connection from one datacenter to another goes through a
// listener of Network.Proxy.
//
// It owns one link for each ordered pair of datacenters, the sockets of its
// proxies and the bytes in flight. It does not know what the bytes mean, nor who
// is a node.
//
// A connection is two flows, one for each direction. A flow's reader stamps what
// it reads with its time of arrival and queues it; the flow's writer hands it
// over when that time has come. The handshake, the end of a stream and a reset
// travel through the same queues, so that they are delayed, held back and lost
// as bytes are. Nothing polls: an idle connection costs its goroutines and one
// buffer for each direction.
//
// Sources: the tc-netem(8) manual for what the settings mean; RFC 9293 for what
// a peer may notice and when.
package wan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrUnknownDC reports a datacenter name that AddDC has not been given.
var ErrUnknownDC = errors.New("unknown datacenter")

// ErrClosed reports the use of a Network after Close.
var ErrClosed = errors.New("wan: network is closed")

// Options configures New. Zero or negative fields take the default named beside
// them.
type Options struct {
	Logger      *slog.Logger  // silent
	Rand        *rand.Rand    // source of jitter, used by the Network alone; seeded at random
	BufferBytes int           // most bytes in flight for a connection and direction, then back-pressure; 8 MiB
	MaxConns    int           // most connections of one proxy, later ones wait in the kernel; 4096
	DialTimeout time.Duration // longest wait for a target to accept; 10 seconds
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	o.BufferBytes = cmp.Or(max(o.BufferBytes, 0), 8<<20)
	o.MaxConns = cmp.Or(max(o.MaxConns, 0), 4096)
	o.DialTimeout = cmp.Or(max(o.DialTimeout, 0), 10*time.Second)
	return o
}

// Network is a set of datacenters and the emulated links between them. Its
// methods are safe for concurrent use.
type Network struct {
	opts   Options
	dial   func(ctx context.Context, addr string) (socket, error)
	blocks sync.Pool      // of *block
	done   chan struct{}  // closed by Close
	wg     sync.WaitGroup // every goroutine of the Network

	// mu guards what is below, and every link, conn, flow and queue. It is held
	// for short sections only: sockets are closed under it, never read, written
	// or dialed.
	mu     sync.Mutex
	closed bool
	dcs    []string // sorted
	links  map[pair]*link
	routes map[route]net.Listener
	conns  map[*conn]struct{}
}

// pair names a link: the bytes that datacenter from sends to datacenter to.
type pair struct{ from, to string }

// New returns a Network without datacenters. The caller must Close it.
func New(opts Options) *Network {
	opts = opts.withDefaults()
	n := &Network{
		opts:   opts,
		done:   make(chan struct{}),
		links:  make(map[pair]*link),
		routes: make(map[route]net.Listener),
		conns:  make(map[*conn]struct{}),
	}
	n.blocks.New = func() any { return new(block) }
	n.dial = dialTCP(opts.DialTimeout)
	return n
}

// Close closes every listener and connection. It returns after the last
// goroutine of the Network has ended. Closing twice is harmless.
func (n *Network) Close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.done)
		for _, listener := range n.routes {
			// The listener is of no use to anybody from here on, closed or not.
			_ = listener.Close()
		}
		for c := range n.conns {
			c.end(false)
		}
	}
	n.mu.Unlock()
	n.wg.Wait()
}

// AddDC adds a datacenter, with links from and to every other one that are up
// and add nothing. Adding a known name changes nothing.
func (n *Network) AddDC(name string) error {
	if name == "" {
		return errors.New("wan: a datacenter needs a name")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	at, known := slices.BinarySearch(n.dcs, name)
	if known {
		return nil
	}
	for _, other := range n.dcs {
		n.links[pair{name, other}] = &link{from: name, to: other, state: Up}
		n.links[pair{other, name}] = &link{from: other, to: name, state: Up}
	}
	n.dcs = slices.Insert(n.dcs, at, name)
	return nil
}

// Set changes the link from one datacenter to another, in this direction only.
// It returns an error wrapping ErrUnknownDC for a name that was not added, and
// an error naming the setting for one out of range; nothing has changed then.
func (n *Network) Set(from, to string, change Change) error {
	return n.change(change, []string{from, to}, func(l *link) bool {
		return l.from == from && l.to == to
	})
}

// SetPair is Set for both directions between two datacenters, at one instant.
func (n *Network) SetPair(a, b string, change Change) error {
	return n.change(change, []string{a, b}, func(l *link) bool {
		return l.from == a && l.to == b || l.from == b && l.to == a
	})
}

// SetDC is Set for all links from and to one datacenter, at one instant.
func (n *Network) SetDC(name string, change Change) error {
	return n.change(change, []string{name}, func(l *link) bool {
		return l.from == name || l.to == name
	})
}

// CutDC cuts all links from and to one datacenter.
func (n *Network) CutDC(name string) error {
	return n.SetDC(name, Change{State: Cut})
}

// Heal brings every link up, at one instant. Profiles stay as they are.
func (n *Network) Heal() {
	n.mu.Lock()
	changed := n.apply(func(*link) Change { return Change{State: Up} })
	n.mu.Unlock()
	n.report(changed)
}

// Apply gives every link half the round-trip time of its pair as latency, and
// leaves the rest of its profile and its state alone.
func (n *Network) Apply(rtts RTTs) {
	n.mu.Lock()
	changed := n.apply(func(l *link) Change {
		profile := l.profile
		profile.Latency = rtts.Between(l.from, l.to) / 2
		return Change{Profile: &profile}
	})
	n.mu.Unlock()
	n.report(changed)
}

// Links returns the state of every link, sorted by From, then To.
func (n *Network) Links() []Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]Status, 0, len(n.links))
	for _, l := range n.links {
		out = append(out, l.status())
	}
	slices.SortFunc(out, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return out
}

// change applies a change to all links that match, if names are known.
func (n *Network) change(change Change, names []string, match func(*link) bool) error {
	if err := change.validate(); err != nil {
		return fmt.Errorf("wan: change link %s: %w", strings.Join(names, "-"), err)
	}
	n.mu.Lock()
	if err := n.checkNames(names); err != nil {
		n.mu.Unlock()
		return fmt.Errorf("wan: change link: %w", err)
	}
	changed := n.apply(func(l *link) Change {
		if match(l) {
			return change
		}
		return Change{}
	})
	n.mu.Unlock()
	n.report(changed)
	return nil
}

// checkNames requires datacenters that are known and, if two, different.
func (n *Network) checkNames(names []string) error {
	if n.closed {
		return ErrClosed
	}
	for _, name := range names {
		if _, known := slices.BinarySearch(n.dcs, name); !known {
			return unknownDC(name, n.dcs)
		}
	}
	if len(names) == 2 && names[0] == names[1] {
		return fmt.Errorf("%q has no link to itself", names[0])
	}
	return nil
}

// apply changes every link as want says, then the flows on those that did
// change, and returns these.
func (n *Network) apply(want func(*link) Change) []Status {
	now := time.Now()
	var changed []Status
	moved := make(map[*link]bool)
	for _, l := range n.links {
		if l.change(want(l), now) {
			moved[l] = true
			changed = append(changed, l.status())
		}
	}
	if len(changed) > 0 {
		for c := range n.conns {
			c.linksChanged(moved, now)
		}
	}
	return changed
}

// report logs the links that were changed. It is called without mu.
func (n *Network) report(changed []Status) {
	for _, s := range changed {
		n.opts.Logger.Info("link changed", "from", s.From, "to", s.To, "state", s.State.String(),
			"latency", s.Profile.Latency, "jitter", s.Profile.Jitter, "bandwidth", s.Profile.Bandwidth)
	}
}

func unknownDC(name string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("%w %q (none is known yet)", ErrUnknownDC, name)
	}
	return fmt.Errorf("%w %q (known: %s)", ErrUnknownDC, name, strings.Join(known, ", "))
}
