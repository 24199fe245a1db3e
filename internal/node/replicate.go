package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/topology"
)

// replicate starts the broker, unless an operator runs one for the datacenter,
// the link and replication, if there is another datacenter. It may be called
// again, also after it failed half-way.
func (n *Node) replicate(context.Context) error {
	if len(n.node.Acts().Datacenters) < 2 || n.Replication() != nil {
		return nil
	}
	var err error
	if n.broker == nil && n.external(n.dc) == nil {
		if err = n.startBroker(); err != nil {
			return err
		}
	}
	if n.link == nil {
		if n.link, err = replication.NewNATSLink(n.linkOptions()); err != nil {
			return err
		}
	}
	repl, err := replication.Start(n.replicationOptions())
	if err != nil {
		return err
	}
	n.node.SetReplicator(repl)
	n.late.Lock()
	defer n.late.Unlock()
	n.repl = repl
	return nil
}

// grow begins to replicate once the cluster has a second datacenter.
func (n *Node) grow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	said := ""
	for n.Replication() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := n.replicate(ctx); err != nil && err.Error() != said {
			said = err.Error()
			n.opts.Logger.Error("replication with another datacenter not begun, next attempt follows", "error", err)
		}
	}
}

func (n *Node) startBroker() error {
	at := addrsOf(n.spec)
	dir := filepath.Join(n.opts.Dir, "broker")
	if n.opts.Memory { // what is in the outbox must not outlive the data it is a copy of
		if n.scratch == "" {
			scratch, err := os.MkdirTemp("", "godwit-broker")
			if err != nil {
				return err
			}
			n.scratch = scratch
		}
		dir = n.scratch
	}
	broker, err := replication.StartBroker(replication.BrokerOptions{
		Cluster: n.opts.Topology.Cluster, DC: n.dc, Node: n.opts.Node, Dir: dir, Addr: at.NATS, Logger: n.opts.Logger,
	})
	if err != nil {
		return fmt.Errorf("broker at %s: %w", at.NATS, err)
	}
	n.late.Lock()
	n.broker, n.addrs.NATS = broker, broker.Addr()
	n.late.Unlock()
	return n.gossip.Tell(n.meta())
}

func (n *Node) remotePeers() []replication.Peer {
	var out []replication.Peer
	for dcName, entries := range n.node.Abroad() {
		if _, linked := n.node.Acts().Link(n.dc, dcName); !linked {
			continue
		}
		for _, e := range entries {
			out = append(out, replication.Peer{DC: dcName, Node: e.ID})
		}
	}
	return out
}

// datacenters lists all of the cluster, but for those that were removed.
func (n *Node) datacenters() []string {
	var out []string
	for _, d := range n.node.Acts().Datacenters {
		if d.State != topology.DCRemoved {
			out = append(out, d.Name)
		}
	}
	return out
}

// placements lists what a datacenter holds.
func (n *Node) placements(dcName string) []uint32 {
	var out []uint32
	for _, p := range n.node.Acts().Placements {
		if p.Replicas[dcName] > 0 {
			out = append(out, topology.PlacementID(p.Name))
		}
	}
	return out
}
