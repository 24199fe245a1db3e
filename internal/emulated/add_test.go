package emulated

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/wan"
	"github.com/godwitdb/godwit/topology"
)

// A datacenter is added while clients write and delete in the others, and one of
// its nodes dies meanwhile. A session that saw the last of it finds it there.
func TestADatacenterIsAddedUnderLoad(t *testing.T) {
	small := build([]string{"use1", "euw1"}, 1)
	small.Partitions = 16
	rtts, err := wan.ParseRTTs("use1-euw1=4ms,use1-apne1=4ms,euw1-apne1=4ms", []string{"use1", "euw1", "apne1"})
	if err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, Options{Topology: small, RTTs: rtts})
	incr(t, c, "use1-a", "hits", 7)
	for i := range 60 {
		incr(t, c, "use1-a", fmt.Sprint("before", i), int64(i))
	}
	next := c.Topology().With("", topology.DCJoined) // only its version
	d := topology.Datacenter{Name: "apne1", State: topology.DCJoining}
	for _, rack := range []string{"a", "b", "c"} {
		d.Nodes = append(d.Nodes, topology.Node{ID: "apne1-" + rack, Rack: rack, Weight: 1, Advertise: "127.0.0.1"})
	}
	next.Datacenters = append(next.Datacenters, d)
	replicas := maps.Clone(next.Placements[0].Replicas)
	replicas["apne1"] = 3
	next.Placements = []topology.Placement{{Name: next.Placements[0].Name, Replicas: replicas}}
	next.FillDefaults()
	text, err := next.YAML()
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	states := make([]map[string]bool, 2) // of keys: whether an acknowledged write left them there
	for i, node := range []string{"use1-a", "euw1-a"} {
		states[i] = map[string]bool{}
		load.Go(func() { writeAndDelete(ctx, c, node, states[i]) })
	}
	defer load.Wait()
	defer stop()
	if err := c.AddDC(t.Context(), next, "apne1"); err != nil {
		t.Fatal(err)
	}
	if err := c.StopNode("apne1-b"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Node("use1-a").DC().ApplyTopology(t.Context(), &v1.ApplyTopologyRequest{Text: text}); err != nil {
		t.Fatal(err)
	}
	joined := func() bool { return c.Node("apne1-a").DC().Acts().State("apne1") == topology.DCJoined }
	eventually(t, "the datacenter has joined without one of its nodes", 40*time.Second, joined)
	if err := c.StartNode(t.Context(), "apne1-b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node that was away knows", 20*time.Second, func() bool {
		return c.Node("apne1-b").DC().Acts().State("apne1") == topology.DCJoined
	})
	incr(t, c, "use1-a", "session", 3)
	seen, err := c.Node("use1-a").DC().Get(t.Context(), &v1.GetRequest{Bucket: "default", Key: []byte("session"), Options: &v1.ReadOptions{Session: &v1.Session{}}})
	if err != nil {
		t.Fatal(err)
	}
	there, err := c.Node("apne1-c").DC().Get(t.Context(), &v1.GetRequest{Bucket: "default", Key: []byte("session"), Options: &v1.ReadOptions{Session: seen.GetSession()}})
	if err != nil || there.GetValue().GetInteger() != 3 {
		t.Errorf("the session saw 3, and then %d: %v", there.GetValue().GetInteger(), err)
	}
	stop()
	load.Wait()
	eventually(t, "clocks and trees are equal", 30*time.Second, func() bool { return len(Differing(t.Context(), c)) == 0 })
	for _, of := range states {
		if len(of) < 20 {
			t.Errorf("%d writes while it joined, too few to tell anything", len(of))
		}
		for key, there := range of {
			if got := value(c, "apne1-b", key); (got == 1) != there {
				t.Errorf("%s is %d in the new datacenter, want it there: %t", key, got, there)
			}
		}
	}
	for i := range 60 {
		if got := value(c, "apne1-c", fmt.Sprint("before", i)); got != int64(i) {
			t.Fatalf("before%d is %d in the new datacenter, want %d", i, got, i)
		}
	}
	incr(t, c, "apne1-b", "hits", 1000)
	eventually(t, "what it took is everywhere", 20*time.Second, func() bool { return value(c, "use1-a", "hits") == 1007 && value(c, "euw1-a", "hits") == 1007 })
}

// writeAndDelete makes keys at a node, and deletes each a little later, until ctx
// ends. It notes what is acknowledged; what is not may be either.
func writeAndDelete(ctx context.Context, c *Cluster, node string, state map[string]bool) {
	do := func(req *v1.UpdateRequest) bool {
		req.Bucket = "default"
		_, err := c.Node(node).DC().Update(context.WithoutCancel(ctx), req)
		return err == nil
	}
	key := func(n int) []byte { return fmt.Appendf(nil, "%s/%d", node, n) }
	for n := 0; ctx.Err() == nil; n++ {
		if do(&v1.UpdateRequest{Key: key(n), Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}}}) {
			state[string(key(n))] = true
		}
		if old := string(key(n - 10)); state[old] && n%2 == 0 {
			delete(state, old)
			if do(&v1.UpdateRequest{Key: key(n - 10), Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}}}) {
				state[old] = false
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}
