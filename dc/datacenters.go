package dc

import (
	"context"
	"fmt"
	"strings"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/topology"
)

// Whether a datacenter takes part is a part of the topology, and spreads with it.
// One that joins, or that is fenced, takes events like any other and gives those
// that it has; it takes no requests of clients.

// open refuses requests of clients where the datacenter takes none.
func (n *Node) open() error {
	switch n.topology().State(n.dc) {
	case topology.DCJoined:
		return nil
	case topology.DCJoining:
		return n.shut("DC_JOINING", "takes over what the others have; dc list shows how far it is")
	case topology.DCFenced:
		return n.shut("DC_FENCED", "is fenced; dc add lets it catch up and join again")
	case topology.DCRemoved:
	}
	return n.shut("DC_REMOVED", "was removed from the cluster")
}

func (n *Node) shut(reason, why string) error {
	return refuse(Unavailable, reason, "datacenter %s %s; nothing was done, ask another datacenter", n.dc, why).with("dc", n.dc)
}

// joinTimeout is how long a datacenter may take to tell its nodes that it has joined.
const joinTimeout = 5 * time.Second

// joined makes this datacenter, which was joining, one that has joined.
func (n *Node) joined(now *world) error {
	ctx, cancel := context.WithTimeout(n.ctx, joinTimeout)
	defer cancel()
	if n.world() != now {
		return nil // look again
	}
	_, err := n.makeTopology(ctx, now.topology.With(n.dc, topology.DCJoined))
	return err
}

// tooEarly refuses what a datacenter cannot become in one step, or not yet.
func (n *Node) tooEarly(now *world, next *topology.Topology, force bool) error {
	var why []string
	for _, c := range topology.Diff(now.topology, next) {
		if because := topology.Early(now.topology, next, c); because != "" {
			why = append(why, fmt.Sprintf("%s (%s)", c.Subject, because))
		}
	}
	if err := fixed(why); err != nil || force {
		return err
	}
	for _, d := range next.Datacenters {
		if d.State != topology.DCRemoved || now.topology.State(d.Name) == topology.DCRemoved {
			continue
		}
		if err := n.drained(now, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// drained refuses to remove a datacenter unless every other one that has joined
// told that it holds all that the one to be removed had.
func (n *Node) drained(now *world, dcName string) error {
	var behind []string
	caught := n.levels.caughtOf(dcName)
	for _, d := range now.topology.Datacenters {
		if _, linked := now.topology.Link(d.Name, dcName); d.State != topology.DCJoined || !linked {
			continue // others get it from those that have a link
		}
		told := "does not know how much"
		for _, c := range caught {
			if c.GetDc() == d.Name {
				told = fmt.Sprintf("holds %d of %d partitions", c.GetPartitionsDone(), c.GetPartitions())
				if c.GetPartitionsDone() == c.GetPartitions() {
					told = ""
				}
			}
		}
		if told != "" {
			behind = append(behind, d.Name+" "+told)
		}
	}
	if len(behind) == 0 {
		return nil
	}
	return refuse(FailedPrecondition, "DC_NOT_DRAINED",
		"datacenter %s may hold what no other has: %s of what it had when it was fenced. Let its nodes run and be reached until dc list shows all; if they can be reached from here but never by the others, dc export %s writes what only they hold; if they are gone for good, remove it by force: what only they held is lost",
		dcName, strings.Join(behind, ", "), dcName).with("dc", dcName)
}

// Datacenters tells how far each datacenter takes part in the cluster.
func (n *Node) Datacenters() *v1.DatacentersResponse {
	w := n.world()
	resp := &v1.DatacentersResponse{Dc: n.dc, TopologyVersion: w.topology.Version, TopologyHash: w.hash}
	acts := map[string]*v1.TopologyOf{n.dc: {Version: w.topology.Version, Hash: w.hash}}
	for _, o := range n.elsewhere() {
		acts[o.GetDc()] = o
	}
	for _, d := range w.topology.Datacenters {
		out := &v1.Datacenter{
			Name: d.Name, State: d.State.String(), TopologyVersion: acts[d.Name].GetVersion(), TopologyHash: acts[d.Name].GetHash(),
		}
		switch doc := w.docs[d.Name]; {
		case d.Name == n.dc && d.State != topology.DCRemoved:
			out.Nodes = uint32(len(n.Document().All()))
		case doc != nil:
			out.Nodes = uint32(len(doc.All()))
		}
		if d.State == topology.DCJoining || d.State == topology.DCFenced {
			out.Caught = n.levels.caughtOf(d.Name)
		}
		resp.Datacenters = append(resp.Datacenters, out)
	}
	return resp
}
