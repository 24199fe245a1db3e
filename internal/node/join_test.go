package node

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/topology"
)

// three starts a datacenter of three nodes on ports of the kernel's choice: each
// is told only where the first gossips.
func three(t *testing.T, key []byte) []*Node {
	t.Helper()
	top := &topology.Topology{Version: 1, Cluster: "test", Partitions: 16}
	d := topology.Datacenter{Name: "eu"}
	for _, id := range []string{"n1", "n2", "n3"} {
		d.Nodes = append(d.Nodes, topology.Node{ID: id, Rack: id, Weight: 1, Advertise: "127.0.0.1"})
	}
	top.Datacenters = []topology.Datacenter{d}
	top.FillDefaults()
	var nodes []*Node
	for _, spec := range d.Nodes {
		o := Options{Topology: top, Node: spec.ID, Dir: t.TempDir(), Memory: true, Key: key, CacheBytes: 4 << 20, MemTable: 1 << 20}
		if len(nodes) > 0 {
			first := nodes[0].Addrs()
			o.Addrs = func(id string) Addrs {
				if id != "n1" {
					return Addrs{}
				}
				return Addrs{Gossip: first.Gossip}
			}
		}
		nodes = append(nodes, start(t, o))
	}
	eventually(t, "the nodes see each other", func() bool {
		for _, n := range nodes {
			if len(n.DC().Live()) < len(nodes) {
				return false
			}
		}
		return true
	})
	return nodes
}

func start(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func put(t *testing.T, n *Node, key, value string) {
	t.Helper()
	_, err := n.DC().Update(t.Context(), &v1.UpdateRequest{
		Bucket: "default", Key: []byte(key),
		Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte(value)}},
	})
	if err != nil {
		t.Fatalf("put %s at %s: %v", key, n.opts.Node, err)
	}
}

func valueOf(t *testing.T, n *Node, key string) string {
	t.Helper()
	resp, err := n.DC().Get(t.Context(), &v1.GetRequest{Bucket: "default", Key: []byte(key)})
	if err != nil {
		t.Fatalf("get %s at %s: %v", key, n.opts.Node, err)
	}
	return string(resp.GetValue().GetBytes())
}

func roles(n *Node) string {
	var out []string
	for _, e := range n.DC().Nodes().GetNodes() {
		out = append(out, e.GetId()+":"+strings.ToLower(strings.TrimPrefix(e.GetRole().String(), "NODE_ROLE_")))
	}
	return strings.Join(out, " ")
}

// TestJoinAtRunTime: a node that knows a seed's address and the key joins, owns
// nothing before the commit, owns its share after it, and takes the place of a
// node that leaves; it starts again although its seed is gone.
func TestJoinAtRunTime(t *testing.T) {
	key := bytes.Repeat([]byte{7}, rpc.KeyBytes)
	nodes := three(t, key)
	put(t, nodes[1], "k", "v")

	spec := topology.Node{ID: "n4", Rack: "n4", Weight: 1, Advertise: "127.0.0.1"}
	dir := filepath.Join(t.TempDir(), "n4")
	ask := func(key []byte, dcName, seed string) (Options, error) {
		return AskToJoin(t.Context(), seed, key, dcName, spec, dir)
	}
	seed := nodes[0].Addrs().GRPC
	if _, err := ask(nil, "eu", seed); err == nil || !strings.Contains(err.Error(), "the cluster has a key") {
		t.Errorf("without the key: %v", err)
	}
	if _, err := ask(key, "us", seed); err == nil || !strings.Contains(err.Error(), `cluster "test" has no datacenter "us"`) {
		t.Errorf("to a datacenter that is not: %v", err)
	}
	o, err := ask(key, "eu", seed)
	if err != nil {
		t.Fatal(err)
	}
	o.Memory = true
	n4 := start(t, o)
	eventually(t, "n4 is a candidate", func() bool {
		return roles(nodes[2]) == "n1:active n2:active n3:active n4:candidate"
	})
	eventually(t, "n4 is ready", func() bool { return n4.DC().Ready() == nil })
	if got := valueOf(t, n4, "k"); got != "v" {
		t.Errorf("a candidate reads %q, want v: it forwards", got)
	}
	commit(t, nodes[2], &v1.RingChange{Of: &v1.RingChange_Join{Join: &v1.NodeList{Ids: []string{"n4"}}}})
	eventually(t, "n4 owns its share", func() bool {
		return roles(n4) == "n1:active n2:active n3:active n4:active" && !n4.DC().Document().Moving()
	})
	put(t, n4, "k", "w")
	commit(t, n4, &v1.RingChange{Of: &v1.RingChange_Leave{Leave: &v1.NodeList{Ids: []string{"n1"}}}})
	eventually(t, "n1 has left", func() bool { return roles(nodes[1]) == "n2:active n3:active n4:active n1:candidate" })
	if err := nodes[0].Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{nodes[1], nodes[2], n4} {
		eventually(t, "reads without who left", func() bool { return valueOf(t, n, "k") == "w" })
	}
	again, err := ask(key, "eu", seed)
	if err != nil || again.Topology.Cluster != "test" {
		t.Errorf("asking again although the seed is gone: %v", err)
	}
}

func commit(t *testing.T, n *Node, c *v1.RingChange) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := n.DC().Commit(ctx, &v1.CommitRequest{Change: c}); err != nil {
		t.Fatal(err)
	}
}
