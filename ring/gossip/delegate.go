package gossip

import (
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/godwitdb/godwit/ring"
)

// farewellMessage begins the message by which a node says that it leaves; its
// name follows. The library has such a message too, but does not pass on that
// it differs from news of a death.
const farewellMessage = 'L'

// delegate is what the library calls, often while it holds its own lock: no
// method may call it back or wait.
type delegate struct{ g *Gossip }

var (
	_ memberlist.Delegate      = delegate{}
	_ memberlist.EventDelegate = delegate{}
	_ memberlist.AliveDelegate = delegate{}
	_ memberlist.PingDelegate  = delegate{}
)

// NodeMeta returns the meta data of this node. Start and Tell check its length.
func (d delegate) NodeMeta(int) []byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return d.g.meta
}

// NotifyMsg takes a message that a peer sent to this node alone.
func (d delegate) NotifyMsg(b []byte) {
	if len(b) > 1 && len(b) <= 1+maxNameBytes && b[0] == farewellMessage {
		if id := string(b[1:]); id != d.g.opts.Node {
			d.g.peers.farewell(id)
		}
	}
}

// GetBroadcasts returns none: documents travel over streams only.
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState returns the ring document for a peer, nothing where none is known.
func (d delegate) LocalState(bool) []byte {
	doc := d.g.Document()
	if doc == nil {
		return nil
	}
	return ring.AppendDocument(nil, doc)
}

// MergeRemoteState takes a peer's ring document, if it is of a greater epoch.
func (d delegate) MergeRemoteState(b []byte, _ bool) {
	if len(b) == 0 {
		return
	}
	doc, err := ring.DecodeDocument(b)
	if err == nil {
		_, err = d.g.Offer(doc)
	}
	if err != nil {
		d.g.opts.Logger.Warn("ring document of a peer not taken", "node", d.g.opts.Node, "error", err)
	}
}

// NotifyAlive decides whether a node may become or stay a peer.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if n.Name == "" || len(n.Name) > maxNameBytes {
		return fmt.Errorf("node with a name of %d bytes, want 1 to %d", len(n.Name), maxNameBytes)
	}
	if _, err := decodeMeta(n.Meta); err != nil {
		return fmt.Errorf("node %q at %s: %w", n.Name, n.Address(), err)
	}
	return d.g.peers.admit(n.Name)
}

// NotifyJoin notes a peer that is new or has come back.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.g.peers.here(n) }

// NotifyUpdate notes a peer whose meta data changed.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.g.peers.here(n) }

// NotifyLeave notes a peer that is gone.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.g.peers.gone(n.Name) }

// AckPayload returns nothing: answers to probes carry no data.
func (d delegate) AckPayload() []byte { return nil }

// NotifyPingComplete notes that a peer answered a probe of this node.
func (d delegate) NotifyPingComplete(n *memberlist.Node, _ time.Duration, _ []byte) {
	d.g.peers.answered(n.Name)
}

// sayFarewell tells every peer that this node leaves, by one datagram each. A
// peer that misses it counts this node as dead, which makes no difference but
// to the reader.
func (g *Gossip) sayFarewell() {
	msg := append([]byte{farewellMessage}, g.opts.Node...)
	for _, p := range g.Members() {
		if p.ID == g.opts.Node || !p.State.Present() {
			continue
		}
		if err := g.list.SendToAddress(memberlist.Address{Addr: p.Addr, Name: p.ID}, msg); err != nil {
			g.opts.Logger.Debug("farewell not sent", "node", g.opts.Node, "peer", p.ID, "error", err)
		}
	}
}
