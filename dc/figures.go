package dc

import (
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
)

// Figures are what is measured of one node, at one moment.
type Figures struct {
	DC, Node, Version string

	Status   *v1.NodeStatus
	Held     int // replicas on disk, those of others included
	Buckets  int // that requests may use
	Storage  storage.Metrics
	Counters *Counters

	TopologyVersion uint64
	TopologyHash    string
	Elsewhere       []*v1.TopologyOf // what the other datacenters act under
	Datacenters     []*v1.Datacenter // this one included

	Outbound []*v1.Outbound      // to other datacenters, of what this node speaks for
	Inbound  []replication.Lag   // from them
	Shipped  *replication.Totals // to them; nil where there is no replication
}

// Figures measures the node. That takes some milliseconds.
func (n *Node) Figures() (*Figures, error) {
	f := &Figures{
		DC: n.dc, Node: n.id, Version: n.opts.Version,
		Status: n.status(), Held: len(n.store.Replicas()), Storage: n.store.Metrics(), Counters: &n.count,
	}
	w := n.world()
	f.TopologyVersion, f.TopologyHash, f.Elsewhere = w.topology.Version, w.hash, n.elsewhere()
	f.Datacenters = n.Datacenters().GetDatacenters()
	for name := range n.buckets.now.Load().byName {
		if forClients(name) == nil {
			f.Buckets++
		}
	}
	lag, err := n.lag()
	if err != nil {
		return nil, err
	}
	f.Outbound = lag.GetOutbound()
	r := n.replicator()
	if r == nil {
		return f, nil
	}
	f.Inbound = r.Lag()
	if r, ok := r.(interface{ Totals() replication.Totals }); ok {
		totals := r.Totals()
		f.Shipped = &totals
	}
	return f, nil
}

// Ready tells why the node should not be sent requests, nil if it should: it is
// open, reaches enough of its datacenter for a quorum, and has compared its clock.
func (n *Node) Ready() error {
	if n.ctx.Err() != nil {
		return refuse(Unavailable, "NOT_SENT", "the node is closing")
	}
	if nodes, live := len(n.layout().nodes), len(n.Live()); live < leastQuorum(nodes) {
		return refuse(Unavailable, "TOO_FEW_REPLICAS", "%d of %d nodes of datacenter %s can be reached", live, nodes, n.dc)
	}
	if _, unsure, _ := n.compareWalls(); unsure {
		return n.uncompared()
	}
	return n.open()
}
