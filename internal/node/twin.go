package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/ring/gossip"
)

// A data directory may be copied, and the copy started beside the original. What
// the two mint differs, since every opening has actors of its own; but each
// would count as an owner of its own, and one copy would be taken for two. So a
// node asks to be let in under its name before it does anything else, and ends
// when others have come to hear from another process instead.

// peerAddrFile is where a node remembers the address that peers reached it at
// last, in its data directory: a copy of the directory leads to the original.
const peerAddrFile = "peer-address"

// introduce makes the peers, and asks those that the node knows of by now
// whether another process has its name.
func (n *Node) introduce(ctx context.Context) error {
	n.peers = rpc.NewPeers(rpc.PeerOptions{
		Cluster: n.opts.Topology.Cluster, DC: n.dc, Node: n.opts.Node, TopologyVersion: n.opts.Topology.Version,
		Addr: func(id string) string { return n.addrsAt(id).Peer }, Key: secret(n.opts.Key), Logger: n.opts.Logger, Heartbeat: n.opts.Heartbeat,
		Detector: func() rpc.Detector { return gossip.NewPhi(gossip.PhiOptions{Every: n.opts.Heartbeat}) },
		Twin:     n.fail,
	})
	addrs, err := n.introductions()
	if err != nil {
		return err
	}
	return n.peers.Introduce(ctx, addrs)
}

// introductions are the addresses of the peers of those who would know a twin.
func (n *Node) introductions() (map[string]string, error) {
	addrs := map[string]string{}
	add := func(id string) {
		if addr := n.writtenAt(id).Peer; id != n.opts.Node && addr != "" {
			addrs[id] = addr
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
	last, err := os.ReadFile(filepath.Join(n.opts.Dir, peerAddrFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look up where the node was reached last: %w", err)
	}
	if at := strings.TrimSpace(string(last)); at != "" && at != n.addrs.Peer && !n.opts.Memory {
		addrs[n.opts.Node] = at
	}
	return addrs, nil
}

// remember writes down where peers reach the node now.
func (n *Node) remember(context.Context) error {
	if n.opts.Memory {
		return nil
	}
	if err := os.WriteFile(filepath.Join(n.opts.Dir, peerAddrFile), []byte(n.addrs.Peer+"\n"), 0o600); err != nil {
		return fmt.Errorf("remember where the node is reached: %w", err)
	}
	return nil
}

// fail notes why the node must end.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default: // it knows
	}
}

// Failed returns a channel that holds an error once the node must be closed,
// such as that another process has taken its place: see rpc.ErrTwin.
func (n *Node) Failed() <-chan error { return n.failed }
