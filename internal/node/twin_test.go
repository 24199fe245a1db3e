package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/topology"
)

// alone is a datacenter of one node that keeps its data in dir.
func alone(dir string) Options {
	top := &topology.Topology{Version: 1, Cluster: "test", Partitions: 16, Datacenters: []topology.Datacenter{{
		Name: "eu", Nodes: []topology.Node{{ID: "n1", Rack: "r", Weight: 1, Advertise: "127.0.0.1"}},
	}}}
	top.FillDefaults()
	return Options{Topology: top, Node: "n1", Dir: dir, CacheBytes: 4 << 20, MemTable: 1 << 20}
}

// refused starts a node that must not start beside another.
func refused(t *testing.T, o Options) {
	t.Helper()
	n, err := Start(t.Context(), o)
	if err == nil {
		err = n.Close()
		t.Fatalf("it started, and ended with %v; want ErrTwin", err)
	}
	if !errors.Is(err, rpc.ErrTwin) {
		t.Errorf("Start = %v, want ErrTwin", err)
	}
}

func TestSecondProcessOfANode(t *testing.T) {
	t.Run("is refused by the other nodes", func(t *testing.T) {
		t.Parallel()
		nodes := three(t, nil)
		refused(t, Options{
			Topology: nodes[0].opts.Topology, Node: "n2", Dir: t.TempDir(), Memory: true,
			Addrs: func(id string) Addrs {
				for _, n := range nodes {
					if n.opts.Node == id {
						return n.Addrs()
					}
				}
				return Addrs{}
			},
		})
		put(t, nodes[1], "k", "v")
	})
	t.Run("is refused by the first where it left its address", func(t *testing.T) {
		t.Parallel()
		dir, clone := t.TempDir(), t.TempDir()
		n := start(t, alone(dir))
		b, err := os.ReadFile(filepath.Join(dir, peerAddrFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(clone, peerAddrFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, alone(clone))
		put(t, n, "k", "v")
	})
	t.Run("may follow the first", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		n, err := Start(t.Context(), alone(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		put(t, start(t, alone(dir)), "k", "v")
	})
}
