package node

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/topology"
)

// natsServer is a NATS that belongs to nobody's node.
func natsServer(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 4 << 20, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("nats-server did not start")
	}
	return s
}

// TestNodesOverAnExternalNATS: one datacenter uses a NATS of its operator, the
// other the brokers in its nodes. What either writes reaches the other.
func TestNodesOverAnExternalNATS(t *testing.T) {
	broker := natsServer(t)
	top := &topology.Topology{Version: 1, Cluster: "test", Partitions: 16}
	for _, name := range []string{"eu", "us"} {
		top.Datacenters = append(top.Datacenters, topology.Datacenter{
			Name: name, Nodes: []topology.Node{{ID: name + "-a", Rack: "a", Weight: 1, Advertise: "127.0.0.1"}},
		})
	}
	top.Datacenters[0].NATS = topology.NATS{Mode: topology.ModeExternal, URLs: []string{broker.ClientURL()}}
	top.FillDefaults()
	if problems := top.Validate(); problems.HasErrors() {
		t.Fatal(problems[0])
	}
	var at sync.Map // brokers, by node
	var nodes []*Node
	for _, d := range top.Datacenters {
		n := start(t, Options{
			Topology: top, Node: d.Nodes[0].ID, Dir: t.TempDir(), Memory: true, CacheBytes: 4 << 20, MemTable: 1 << 20,
			Outbox: func(p replication.Peer) string {
				addr, _ := at.LoadOrStore(p.Node, "")
				return addr.(string)
			},
		})
		nodes = append(nodes, n)
		at.Store(n.spec.ID, n.Addrs().NATS)
	}
	if eu, us := nodes[0].Addrs().NATS, nodes[1].Addrs().NATS; eu != "" || us == "" {
		t.Fatalf("brokers at %q and %q: want none of eu's own, and one of us", eu, us)
	}
	for i, n := range nodes {
		req := &v1.UpdateRequest{Bucket: "default", Key: []byte{'k', byte('0' + i)}, Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 7}}}
		if _, err := n.DC().Update(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range nodes {
		eventually(t, "the other's write is here", func() bool {
			resp, err := n.DC().Get(t.Context(), &v1.GetRequest{Bucket: "default", Key: []byte{'k', byte('1' - i)}})
			return err == nil && resp.GetValue().GetInteger() == 7
		})
	}
	nc, err := nats.Connect(broker.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), "godwit-test-eu"); err != nil {
		t.Errorf("stream of eu at the operator's broker: %v", err)
	}
}
