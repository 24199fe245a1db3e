package node

import (
	"path/filepath"
	"slices"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/topology"
)

// rateLimit is how many bytes a second the link from another datacenter may
// carry; 0: any number.
func (n *Node) rateLimit(from string) int64 {
	links := n.node.Acts().Links
	i := slices.IndexFunc(links.Overrides, func(o topology.LinkOverride) bool {
		return slices.Contains(o.Between[:], n.dc) && slices.Contains(o.Between[:], from)
	})
	if i >= 0 {
		return links.Overrides[i].RateLimit
	}
	return links.Defaults.RateLimit
}

// replicationOptions are those of this node.
func (n *Node) replicationOptions() replication.Options {
	links := n.opts.Topology.Links.Defaults
	o := replication.Options{
		Self: replication.Peer{DC: n.dc, Node: n.opts.Node}, Link: n.link, Local: n.node.Remote(),
		Peers: n.remotePeers, LiveNodes: n.node.Live, Placements: n.placements, Notices: n.node.Remote(), Holds: n.node.Remote().Holds, Datacenters: n.datacenters,
		MaxBatchBytes: int(links.MaxBatch), MaxDelay: links.MaxDelay, Compression: links.Compression, RateLimit: n.rateLimit,
		VerifyEvery: n.opts.VerifyEvery, VerifyWindow: n.opts.VerifyWindow, Logger: n.opts.Logger,
	}
	if !n.opts.Memory {
		o.ParkedDir = filepath.Join(n.opts.Dir, "parked")
	}
	return o
}

// external is the NATS that an operator runs for a datacenter, or nil.
func (n *Node) external(dcName string) *replication.External {
	d, ok := n.node.Acts().DC(dcName)
	if !ok || d.NATS.Mode != topology.ModeExternal {
		return nil
	}
	return &replication.External{URLs: d.NATS.URLs, CredsFile: d.NATS.CredsFile}
}

// linkOptions are those of this node.
func (n *Node) linkOptions() replication.LinkOptions {
	return replication.LinkOptions{
		Broker: n.broker, Addr: n.outboxOf, External: n.external,
		Cluster: n.opts.Topology.Cluster, Self: replication.Peer{DC: n.dc, Node: n.opts.Node}, Logger: n.opts.Logger,
	}
}
