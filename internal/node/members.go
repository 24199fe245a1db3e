package node

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/ring/gossip"
)

// What a node tells of itself by gossip, under short names: there is little room.
const (
	metaGRPC   = "g"
	metaPeer   = "p"
	metaNATS   = "n"
	metaRack   = "r"
	metaWeight = "w" // in thousandths
)

// followEvery is the pause between two looks at whether gossip and this node
// know the same ring document, news aside.
const followEvery = time.Second

func (n *Node) meta() map[string]string {
	at := n.Addrs()
	meta := map[string]string{
		metaGRPC: at.GRPC, metaPeer: at.Peer, metaNATS: at.NATS,
		metaRack: n.spec.Rack, metaWeight: strconv.FormatUint(uint64(weightMilli(n.spec.Weight)), 10),
	}
	for name, value := range meta {
		if value == "" {
			delete(meta, name)
		}
	}
	return meta
}

func weightMilli(weight float64) uint32 {
	return uint32(max(ring.MinWeight, min(ring.MaxWeight, weight))*1000 + 0.5)
}

// entryOf is what a peer's gossip says of it.
func entryOf(p gossip.Peer) ring.Entry {
	weight, err := strconv.ParseUint(p.Meta[metaWeight], 10, 32)
	if err != nil || weight == 0 {
		weight = 1000
	}
	return ring.Entry{
		ID: p.ID, Rack: p.Meta[metaRack], WeightMilli: uint32(min(weight, uint64(ring.MaxWeight*1000))), Status: ring.StatusActive,
		Addrs: ring.Addrs{GRPC: p.Meta[metaGRPC], Peer: p.Meta[metaPeer], Gossip: p.Addr, NATS: p.Meta[metaNATS]},
	}
}

// candidates lists the nodes that gossip reaches, members among them.
func (n *Node) candidates() []ring.Entry {
	var out []ring.Entry
	for _, p := range n.gossip.Members() {
		if e := entryOf(p); p.State.Present() && e.Check() == nil {
			out = append(out, e)
		}
	}
	return out
}

// addrsAt is where a node of this datacenter is reached: as Options.Addrs says,
// else as it tells itself, else as the ring document has it, else the topology.
func (n *Node) addrsAt(id string) Addrs {
	if id == n.opts.Node {
		return n.Addrs()
	}
	var at Addrs
	if n.opts.Addrs != nil {
		at = n.opts.Addrs(id)
	}
	if at.complete() {
		return at
	}
	if p, ok := n.gossip.Find(id); ok {
		at = at.or(Addrs(entryOf(p).Addrs))
	}
	return at.or(n.writtenAt(id))
}

// writtenAt is where a node is reached as Options.Addrs, the ring document and
// the topology have it.
func (n *Node) writtenAt(id string) (at Addrs) {
	if n.opts.Addrs != nil {
		at = n.opts.Addrs(id)
	}
	if d := n.document(); d != nil {
		e, _ := d.Find(id)
		at = at.or(Addrs(e.Addrs))
	}
	if spec, _, ok := n.opts.Topology.NodeByID(id); ok {
		at = at.or(addrsOf(spec).known())
	}
	return at
}

// outboxOf is where the broker of a node of another datacenter is reached.
func (n *Node) outboxOf(p replication.Peer) string {
	if n.opts.Outbox != nil {
		return n.opts.Outbox(p)
	}
	var at Addrs
	if spec, _, ok := n.node.Acts().NodeByID(p.Node); ok {
		at = addrsOf(spec).known()
	}
	for _, e := range n.node.Abroad()[p.DC] {
		if e.ID == p.Node {
			at = at.or(Addrs(e.Addrs))
		}
	}
	return at.NATS
}

func (a Addrs) complete() bool { return a.GRPC != "" && a.Peer != "" && a.Gossip != "" }

// or fills what is empty in a with what b has.
func (a Addrs) or(b Addrs) Addrs {
	return Addrs{
		GRPC: cmp.Or(a.GRPC, b.GRPC), Peer: cmp.Or(a.Peer, b.Peer), Gossip: cmp.Or(a.Gossip, b.Gossip),
		NATS: cmp.Or(a.NATS, b.NATS), HTTP: cmp.Or(a.HTTP, b.HTTP),
	}
}

// known leaves out the ports that are the kernel's choice.
func (a Addrs) known() Addrs {
	for _, at := range []*string{&a.GRPC, &a.Peer, &a.Gossip, &a.NATS, &a.HTTP} {
		if _, port, err := net.SplitHostPort(*at); err != nil || port == "0" {
			*at = ""
		}
	}
	return a
}

// document is the ring document that the node acts under, nil before it does.
func (n *Node) document() *ring.Document {
	if opened := n.opened.Load(); opened != nil {
		return opened.Document()
	}
	if n.opts.Join != nil {
		return n.opts.Join.Document
	}
	return nil
}

// seeds are the nodes of this datacenter that gossip begins with. Gossip asks for
// them from when it starts on, before it is part of n.
func (n *Node) seeds() []gossip.Seed {
	var out []gossip.Seed
	add := func(id string) {
		if addr := n.writtenAt(id).Gossip; id != n.opts.Node && addr != "" && !slices.ContainsFunc(out, func(s gossip.Seed) bool { return s.ID == id }) {
			out = append(out, gossip.Seed{ID: id, Addr: addr})
		}
	}
	if d, ok := n.opts.Topology.DC(n.dc); ok {
		for _, other := range d.Nodes {
			add(other.ID)
		}
	}
	if d := n.document(); d != nil {
		for _, e := range d.All() {
			add(e.ID)
		}
	}
	if n.opts.Join != nil {
		for _, addr := range n.opts.Join.Seeds {
			out = append(out, gossip.Seed{Addr: addr})
		}
	}
	return out
}

// follow passes ring documents from gossip to the node and back, until ctx ends.
func (n *Node) follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	said := ""
	for {
		changed := n.gossip.Changed()
		if err := n.exchangeDocuments(); err != nil && err.Error() != said {
			said = err.Error()
			n.opts.Logger.Error("ring documents differ", "error", err)
		}
		select {
		case <-tick.C:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) exchangeDocuments() error {
	if _, err := n.gossip.Offer(n.node.Document()); err != nil {
		return err
	}
	if heard := n.gossip.Document(); heard.Epoch > n.node.Document().Epoch {
		return n.node.Learn(heard)
	}
	return nil
}
