// Package gossiptest provides a network in memory for tests of gossip and of
// whole clusters: every pair of nodes can be cut off from each other and
// joined again. It works under testing/synctest.
//
// It knows nothing of what it carries.
package gossiptest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// queuePackets is how many packets wait for a node before others are dropped.
const queuePackets = 1024

var (
	errCut     = errors.New("gossiptest: no answer")
	errRefused = errors.New("gossiptest: connection refused")
)

// Network connects transports by their addresses. Make one with NewNetwork.
// Safe for concurrent use.
type Network struct {
	mu    sync.Mutex
	nodes map[string]*Transport
	cuts  map[[2]string]bool
	conns map[*conn]struct{}
}

// NewNetwork returns a network without nodes.
func NewNetwork() *Network {
	return &Network{nodes: make(map[string]*Transport), cuts: make(map[[2]string]bool), conns: make(map[*conn]struct{})}
}

// Listen adds a node at an address, an IP address and a port such as
// 10.0.0.1:7000. An earlier node at that address must have been shut down.
func (n *Network) Listen(addr string) *Transport {
	t := &Transport{
		network: n, addr: addr, done: make(chan struct{}),
		packets: make(chan *memberlist.Packet, queuePackets), streams: make(chan net.Conn),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[addr] = t
	return t
}

// Cut keeps two nodes from reaching each other, and breaks the connections
// between them. Nobody is told: packets vanish and attempts to connect time out.
func (n *Network) Cut(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[pair(a, b)] = true
	for c := range n.conns {
		if c.link == pair(a, b) {
			c.breakLocked()
		}
	}
}

// Heal undoes Cut.
func (n *Network) Heal(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cuts, pair(a, b))
}

// Isolate cuts a node off from all others that are there now.
func (n *Network) Isolate(addr string) {
	for _, other := range n.others(addr) {
		n.Cut(addr, other)
	}
}

// Rejoin undoes Isolate.
func (n *Network) Rejoin(addr string) {
	for _, other := range n.others(addr) {
		n.Heal(addr, other)
	}
}

func (n *Network) others(addr string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for other := range n.nodes {
		if other != addr {
			out = append(out, other)
		}
	}
	return out
}

// reach returns the node at an address as seen from another.
func (n *Network) reach(from, to string) (*Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cuts[pair(from, to)] {
		return nil, fmt.Errorf("reach %s from %s: %w", to, from, errCut)
	}
	t, ok := n.nodes[to]
	if !ok {
		return nil, fmt.Errorf("reach %s from %s: %w", to, from, errRefused)
	}
	return t, nil
}

func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// Transport is one node's end of a Network. It is a memberlist.Transport.
type Transport struct {
	network *Network
	addr    string
	packets chan *memberlist.Packet
	streams chan net.Conn
	done    chan struct{}
	once    sync.Once
}

var _ memberlist.Transport = (*Transport)(nil)

// FinalAdvertiseAddr returns the address of the node, whatever is asked for.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	host, port, err := net.SplitHostPort(t.addr)
	if err != nil {
		return nil, 0, fmt.Errorf("address of the node: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, 0, fmt.Errorf("port of the node: %w", err)
	}
	ip := net.ParseIP(host)
	if ip4 := ip.To4(); ip4 != nil {
		ip = ip4
	}
	return ip, number, nil
}

// WriteTo sends a packet. It is lost if the nodes are cut off from each other,
// or the receiver is not there or slow.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	to, err := t.network.reach(t.addr, addr)
	if err != nil {
		return now, nil //nolint:nilerr // a sender of packets does not learn what becomes of them
	}
	select {
	case to.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: address(t.addr), Timestamp: now}:
	default:
	}
	return now, nil
}

// PacketCh returns the packets that arrive.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout connects to another node.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	to, err := t.network.reach(t.addr, addr)
	if errors.Is(err, errCut) {
		select {
		case <-timer.C:
		case <-t.done:
		}
	}
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	c := &conn{Conn: near, far: far, network: t.network, link: pair(t.addr, addr)}
	t.network.mu.Lock()
	t.network.conns[c] = struct{}{}
	t.network.mu.Unlock()
	select {
	case to.streams <- far:
		return c, nil
	case <-to.done:
		err = errRefused
	case <-t.done:
		err = errRefused
	case <-timer.C:
		err = errCut
	}
	c.breakOff()
	return nil, fmt.Errorf("connect %s to %s: %w", t.addr, addr, err)
}

// StreamCh returns the connections that arrive.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown takes the node off the network.
func (t *Transport) Shutdown() error {
	t.once.Do(func() {
		t.network.mu.Lock()
		defer t.network.mu.Unlock()
		if t.network.nodes[t.addr] == t {
			delete(t.network.nodes, t.addr)
		}
		close(t.done)
	})
	return nil
}

// conn is the dialler's end of a connection.
type conn struct {
	net.Conn
	far     net.Conn
	network *Network
	link    [2]string
}

// Close closes the dialler's end.
func (c *conn) Close() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	delete(c.network.conns, c)
	return c.Conn.Close()
}

func (c *conn) breakOff() {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.breakLocked()
}

func (c *conn) breakLocked() {
	delete(c.network.conns, c)
	_, _ = c.Conn.Close(), c.far.Close() // a pipe never fails to close
}

// address is a net.Addr.
type address string

// Network returns the name of the network.
func (address) Network() string { return "gossiptest" }

// String returns the address.
func (a address) String() string { return string(a) }
