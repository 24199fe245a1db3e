package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/topology"
)

// Join says how a node takes part that the topology does not name. It owns
// nothing before an operator lets it.
type Join struct {
	DC       string
	Spec     topology.Node  // of this node: id, rack, weight, addresses
	Document *ring.Document // as the seed knows it; nil: what is on disk
	Seeds    []string       // host:port of gossip, beside those of topology and document
}

// topologyFile is what a node that joined remembers the topology as, in its data
// directory, so that it starts again without a seed.
const topologyFile = "topology.yaml"

// AskToJoin asks the node that serves clients at seed for the topology and the
// ring document of a datacenter, and returns options to start spec with. What
// it was told is kept in dir; a seed that does not answer is done without then.
func AskToJoin(ctx context.Context, seed string, key []byte, dcName string, spec topology.Node, dir string) (Options, error) {
	o := Options{Node: spec.ID, Dir: dir, Key: key, Join: &Join{DC: dcName, Spec: spec}}
	told, err := rpc.AskIntroduction(ctx, seed, secret(key), dcName, spec.ID)
	if err != nil {
		kept, again := os.ReadFile(filepath.Join(dir, topologyFile))
		if errors.Is(again, os.ErrNotExist) {
			return o, err
		}
		if again != nil {
			return o, errors.Join(err, again)
		}
		told = &rpc.Introduction{Topology: kept}
	}
	t, problems := topology.Parse("topology of "+seed, told.Topology)
	if t == nil {
		return o, fmt.Errorf("topology of %s: %w", seed, problems[0])
	}
	if _, ok := t.DC(dcName); !ok {
		return o, fmt.Errorf("cluster %q has no datacenter %q", t.Cluster, dcName)
	}
	if _, _, named := t.NodeByID(spec.ID); named {
		return o, fmt.Errorf("node %q is in the topology of cluster %q: start it with --topology, or take another name", spec.ID, t.Cluster)
	}
	if len(told.Document) > 0 {
		if o.Join.Document, err = ring.DecodeDocument(told.Document); err != nil {
			return o, fmt.Errorf("ring document of %s: %w", seed, err)
		}
	}
	o.Topology, o.Join.Seeds = t, told.Seeds
	return o, keepTopology(dir, told.Topology)
}

// keepTopology writes the file whole or not at all.
func keepTopology(dir string, text []byte) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("keep the topology: %w", err)
	}
	name := filepath.Join(dir, topologyFile)
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return fmt.Errorf("keep the topology: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("keep the topology: %w", err)
	}
	return nil
}

// introduction is what this node tells one that wants to join.
func (n *Node) introduction() (*rpc.Introduction, error) {
	text, err := n.node.Acts().YAML()
	if err != nil {
		return nil, err
	}
	told := &rpc.Introduction{Topology: text, Document: ring.AppendDocument(nil, n.node.Document()), Seeds: []string{n.addrs.Gossip}}
	for _, p := range n.gossip.Members() {
		if len(told.Seeds) < maxSeeds && p.State.Present() && p.ID != n.opts.Node {
			told.Seeds = append(told.Seeds, p.Addr)
		}
	}
	return told, nil
}

// maxSeeds is how many addresses of gossip a node that wants to join is told.
const maxSeeds = 16
