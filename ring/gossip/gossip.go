// Package gossip finds the nodes of one datacenter, tells which of them are
// there, and carries the ring document between them.
//
// It speaks SWIM through github.com/hashicorp/memberlist, of which it is the
// only importer, and works around what that library leaves to its user: two
// halves of a healed partition that have forgotten each other are brought
// together by joining the seeds again and again; callbacks that arrive under
// the library's lock are turned into a table that may be read at any time; what
// the library would panic at is refused before it starts.
//
// It knows nothing of partitions, data or quorums, and it does not decide who
// owns anything: a node that is away stays in the ring document.
//
// Sources: Das, Gupta, Motivala, SWIM: Scalable Weakly-consistent
// Infection-style Process Group Membership Protocol, DSN 2002; Dadgar,
// Phillips, Currey, Lifeguard: SWIM-ing with Situational Awareness, 2017.
package gossip

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/godwitdb/godwit/ring"
)

// ErrInvalid reports options with which no node can start.
var ErrInvalid = errors.New("gossip: invalid options")

// ErrAnotherDocument reports a ring document that differs from the known one of
// the same epoch: the nodes were not started with the same topology file.
var ErrAnotherDocument = errors.New("gossip: another ring document of the same epoch")

// KeyBytes is the length of the key that encrypts gossip (AES-256).
const KeyBytes = 32

// Seed is a node to be found through. It need not be up.
type Seed struct {
	ID   string // name of the node, if known
	Addr string // host:port of its gossip
}

// Options configures Start. Zero fields take the default named beside them.
type Options struct {
	Cluster string // name of the cluster; required
	DC      string // name of the datacenter; required
	Node    string // name of this node, unique in its datacenter; required

	BindAddr      string // IP address to listen at; 127.0.0.1
	BindPort      int    // UDP and TCP port to listen at; chosen by the kernel
	AdvertiseAddr string // IP address or host name that others reach this node at; BindAddr
	AdvertisePort int    // port that others reach this node at; the one listened at

	Seeds func() []Seed     // nodes to join, asked for before each attempt; none
	Key   []byte            // KeyBytes long; may be missing on loopback addresses only
	Meta  map[string]string // told to all peers, such as addresses of other services; at most MaxMetaBytes encoded

	// Document is what this node knows to be decided at first; nothing.
	Document *ring.Document

	RejoinEvery  time.Duration // pause between attempts to join seeds that are not alive; 10 s; negative: join once
	ProbeEvery   time.Duration // pause between probes of one peer each; 2 s
	ProbeTimeout time.Duration // wait for the answer to a probe; half of ProbeEvery
	ForgetAfter  time.Duration // how long dead peers are told of changes, so that they may object; 30 s
	LeaveTimeout time.Duration // wait of Close for the farewell to go out; 2 s

	Transport memberlist.Transport // network; UDP and TCP at BindAddr
	Logger    *slog.Logger         // nothing is logged
}

func (o Options) withDefaults() (Options, error) {
	o.BindAddr = cmp.Or(o.BindAddr, "127.0.0.1")
	o.RejoinEvery = cmp.Or(o.RejoinEvery, 10*time.Second)
	o.ProbeEvery = cmp.Or(o.ProbeEvery, 2*time.Second)
	o.ProbeTimeout = cmp.Or(o.ProbeTimeout, o.ProbeEvery/2)
	o.ForgetAfter = cmp.Or(o.ForgetAfter, 30*time.Second)
	o.LeaveTimeout = cmp.Or(o.LeaveTimeout, 2*time.Second)
	if o.Seeds == nil {
		o.Seeds = func() []Seed { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, errors.Join(o.checkNames(), o.checkAddresses(), o.checkTimes())
}

func (o Options) checkNames() error {
	var errs []error
	for what, name := range map[string]string{"cluster": o.Cluster, "datacenter": o.DC, "node": o.Node} {
		if name == "" || len(name) > maxNameBytes || strings.Contains(name, "/") {
			errs = append(errs, fmt.Errorf("%w: %s name %q: want 1 to %d bytes without a slash", ErrInvalid, what, name, maxNameBytes))
		}
	}
	if n := len(encodeMeta(o.Meta)); n > MaxMetaBytes {
		errs = append(errs, fmt.Errorf("%w: meta of %d bytes, want at most %d", ErrInvalid, n, MaxMetaBytes))
	}
	return errors.Join(errs...)
}

func (o Options) checkAddresses() error {
	var errs []error
	// The library takes a host name here for "all addresses".
	bind := net.ParseIP(o.BindAddr)
	if bind == nil {
		errs = append(errs, fmt.Errorf("%w: bind address %q: want an IP address", ErrInvalid, o.BindAddr))
	}
	for what, port := range map[string]int{"bind": o.BindPort, "advertise": o.AdvertisePort} {
		if port < 0 || port > math.MaxUint16 {
			errs = append(errs, fmt.Errorf("%w: %s port %d: want 0 to %d", ErrInvalid, what, port, math.MaxUint16))
		}
	}
	switch {
	case len(o.Key) != 0 && len(o.Key) != KeyBytes:
		errs = append(errs, fmt.Errorf("%w: key of %d bytes, want %d", ErrInvalid, len(o.Key), KeyBytes))
	case len(o.Key) == 0 && o.Transport == nil && !bind.IsLoopback():
		errs = append(errs, fmt.Errorf("%w: gossip at %s needs a key: without one only loopback addresses are allowed", ErrInvalid, o.BindAddr))
	}
	return errors.Join(errs...)
}

func (o Options) checkTimes() error {
	if o.ProbeEvery <= 0 || o.ProbeTimeout <= 0 || o.ForgetAfter <= 0 || o.LeaveTimeout <= 0 {
		return fmt.Errorf("%w: times must not be negative", ErrInvalid)
	}
	if o.ProbeTimeout > o.ProbeEvery {
		return fmt.Errorf("%w: probe timeout %v exceeds the pause between probes %v", ErrInvalid, o.ProbeTimeout, o.ProbeEvery)
	}
	return nil
}

// label keeps clusters and datacenters apart: packets and streams of another
// label are dropped before they are read. With a key it is authenticated.
func (o Options) label() string { return labelPrefix + o.Cluster + "/" + o.DC }

const labelPrefix = "godwit/"

// Gossip is one running node. It is made by Start and ended by Close; all
// methods are safe for concurrent use.
type Gossip struct {
	opts   Options
	list   *memberlist.Memberlist
	addr   string
	peers  *peers
	cancel context.CancelFunc // ends the joining
	wait   sync.WaitGroup
	close  func() error
	spread chan struct{} // a changed document is to be passed on

	mu   sync.Mutex
	doc  *ring.Document
	meta []byte
}

// Start begins to gossip. It does not wait for others: seeds may come up
// later. Options that cannot be are reported all at once as ErrInvalid.
func Start(o Options) (*Gossip, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	g := &Gossip{
		opts: o, meta: encodeMeta(o.Meta), peers: newPeers(o.Node), cancel: cancel,
		spread: make(chan struct{}, 1), doc: o.Document,
	}
	g.close = sync.OnceValue(g.shutDown)
	config, err := g.config(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	if g.list, err = memberlist.Create(config); err != nil {
		cancel()
		return nil, fmt.Errorf("start gossip of node %q at %s: %w", o.Node, o.BindAddr, err)
	}
	g.addr = g.list.LocalNode().Address()
	g.wait.Go(func() { g.keepJoined(ctx) })
	return g, nil
}

// config chooses times for a small machine that runs many nodes: an idle node
// wakes up a few times a second.
func (g *Gossip) config(ctx context.Context) (*memberlist.Config, error) {
	o := g.opts
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label = o.Node, o.label()
	c.BindAddr, c.BindPort = o.BindAddr, o.BindPort
	c.AdvertisePort = cmp.Or(o.AdvertisePort, o.BindPort)
	if o.AdvertiseAddr != "" {
		ip, err := resolve(ctx, o.AdvertiseAddr)
		if err != nil {
			return nil, fmt.Errorf("resolve advertise address of node %q: %w", o.Node, err)
		}
		if len(o.Key) == 0 && o.Transport == nil && !ip.IsLoopback() {
			return nil, fmt.Errorf("%w: gossip advertised at %s needs a key", ErrInvalid, o.AdvertiseAddr)
		}
		c.AdvertiseAddr = ip.String()
	}
	c.SecretKey = o.Key
	c.Transport = o.Transport
	c.TCPTimeout = streamTimeout
	c.ProbeInterval, c.ProbeTimeout = o.ProbeEvery, o.ProbeTimeout
	c.AwarenessMaxMultiplier = 4
	c.GossipInterval = 500 * time.Millisecond
	c.GossipToTheDeadTime = o.ForgetAfter
	c.DeadNodeReclaimTime = 10 * time.Second // a node may come back at another address
	c.EnableCompression = false              // state is small, and processors are few
	c.Delegate, c.Events, c.Alive, c.Ping = delegate{g}, delegate{g}, delegate{g}, delegate{g}
	c.LogOutput = newLogWriter(o.Logger, g.peers)
	return c, nil
}

// Addr returns the host:port that others reach this node's gossip at.
func (g *Gossip) Addr() string { return g.addr }

// Members returns all nodes that this one knows of, itself included, in the
// order of their names. Nodes that are gone stay in the list; see Peer.
func (g *Gossip) Members() []Peer { return g.peers.list() }

// Find returns what this node knows of one node, itself included.
func (g *Gossip) Find(id string) (Peer, bool) { return g.peers.find(id) }

// Changed returns a channel that is closed at the next change of Members or
// Document. Take the channel first, then look: so no change is missed.
func (g *Gossip) Changed() <-chan struct{} { return g.peers.changes() }

// Tell replaces the meta data of this node, and passes it on to others without
// waiting for them. It returns ErrInvalid for more than MaxMetaBytes.
func (g *Gossip) Tell(meta map[string]string) error {
	b := encodeMeta(meta)
	if len(b) > MaxMetaBytes {
		return fmt.Errorf("%w: meta of %d bytes, want at most %d", ErrInvalid, len(b), MaxMetaBytes)
	}
	g.mu.Lock()
	same := bytes.Equal(g.meta, b)
	g.meta = b
	g.mu.Unlock()
	if same {
		return nil
	}
	// The library queues the news before it begins to wait.
	if err := g.list.UpdateNode(time.Nanosecond); err != nil {
		g.opts.Logger.Debug("meta data is still under way", "node", g.opts.Node, "error", err)
	}
	return nil
}

// Document returns the decided ring document of the greatest epoch that this
// node knows of, nil if it knows none. Do not change it.
func (g *Gossip) Document() *ring.Document {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.doc
}

// Offer takes over a document that has been decided on, if it is of a greater
// epoch than the one known, and tells whether that is so; then it is passed on
// to others within seconds. It returns ErrAnotherDocument for one that differs
// from the known one of the same epoch, of which there can be one only.
func (g *Gossip) Offer(d *ring.Document) (newer bool, err error) {
	g.mu.Lock()
	switch {
	case g.doc == nil || d.Epoch > g.doc.Epoch:
		g.doc, newer = d, true
	case d.Epoch == g.doc.Epoch && !d.Equal(g.doc):
		err = fmt.Errorf("%w: epoch %d: %x, own is %x", ErrAnotherDocument, d.Epoch, d.Hash(), g.doc.Hash())
	}
	g.mu.Unlock()
	if newer {
		g.peers.announce()
		select {
		case g.spread <- struct{}{}:
		default: // already asked for
		}
	}
	return newer, err
}

// Close says farewell, so that others count this node as left rather than
// dead, and ends. It takes at most LeaveTimeout and the few seconds that a
// connection attempt under way may last. A second call returns what the first
// did. A probe under way is left to the library, which ends it within a few
// times ProbeEvery and touches nothing by then.
func (g *Gossip) Close() error { return g.close() }

func (g *Gossip) shutDown() error {
	g.cancel()
	g.sayFarewell()
	leave := g.list.Leave(g.opts.LeaveTimeout)
	down := g.list.Shutdown()
	g.wait.Wait()
	if leave != nil { // everybody may be gone; they will find out by probing
		g.opts.Logger.Warn("gossip left without everybody knowing", "node", g.opts.Node, "error", leave)
	}
	if down != nil {
		return fmt.Errorf("shut down gossip of node %q: %w", g.opts.Node, down)
	}
	return nil
}
