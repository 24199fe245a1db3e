package emulated

import (
	"slices"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// sources lists the nodes of a datacenter that another's pull from, each with
// the messages that came from it.
func sources(c *Cluster, of string, nodes ...string) map[string]uint64 {
	out := map[string]uint64{}
	for _, id := range nodes {
		for _, s := range c.Node(id).Replication().Sources() {
			if s.DC == of {
				out[s.Node] += s.Messages
			}
		}
	}
	return out
}

func change(t *testing.T, c *Cluster, node string, r *v1.RingChange) {
	t.Helper()
	if _, err := c.Node(node).DC().Commit(t.Context(), &v1.CommitRequest{Change: r}); err != nil {
		t.Fatalf("change the ring at %s: %v", node, err)
	}
}

// A node that joins at run time ships its events like the others, and the
// datacenters that never heard of it before pull them; one that left is not
// pulled from any more.
func TestJoinIsHeardOfAbroad(t *testing.T) {
	c := startCluster(t, Options{DCs: []string{"use1", "euw1"}, Nodes: 2})
	if err := c.JoinNode(t.Context(), "use1", "use1-x"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node waits to join", 20*time.Second, func() bool {
		return slices.ContainsFunc(c.Node("use1-a").DC().Nodes().GetNodes(), func(n *v1.RingNode) bool { return n.GetId() == "use1-x" })
	})
	change(t, c, "use1-a", &v1.RingChange{Of: &v1.RingChange_Join{Join: &v1.NodeList{Ids: []string{"use1-x"}}}})
	eventually(t, "the node has joined", 60*time.Second, func() bool {
		d := c.Node("use1-x").DC().Document()
		return d.Epoch > 1 && !d.Moving()
	})
	eventually(t, "euw1 pulls from the node", 20*time.Second, func() bool {
		_, pulled := sources(c, "use1", "euw1-a", "euw1-b")["use1-x"]
		return pulled
	})
	for i := 0; sources(c, "use1", "euw1-a", "euw1-b")["use1-x"] == 0; i++ {
		if i == 2000 {
			t.Fatal("2000 writes at the node that joined, and not one message of it arrived in euw1")
		}
		incr(t, c, "use1-x", "hits"+string(rune('a'+i%26)), 1)
		time.Sleep(5 * time.Millisecond)
	}
	total := value(c, "use1-x", "hitsa")
	eventually(t, "euw1 has the count", 20*time.Second, func() bool { return value(c, "euw1-b", "hitsa") == total })

	change(t, c, "use1-x", &v1.RingChange{Of: &v1.RingChange_Leave{Leave: &v1.NodeList{Ids: []string{"use1-a"}}}})
	eventually(t, "euw1 pulls from who stayed, and from nobody else", 60*time.Second, func() bool {
		from := sources(c, "use1", "euw1-a", "euw1-b")
		_, b := from["use1-b"]
		_, x := from["use1-x"]
		return len(from) == 2 && b && x
	})
	if err := c.StopNode("use1-a"); err != nil {
		t.Fatal(err)
	}
	incr(t, c, "use1-x", "late", 7)
	eventually(t, "euw1 has what was written since", 20*time.Second, func() bool { return value(c, "euw1-a", "late") == 7 })

	if err := c.StopNode("euw1-b"); err != nil { // what it knew it knows again, though nobody who could tell was in the topology
		t.Fatal(err)
	}
	if err := c.StartNode(t.Context(), "euw1-b"); err != nil {
		t.Fatal(err)
	}
	if got := c.Node("euw1-b").DC().Abroad()["use1"]; len(got) != 2 || got[0].ID != "use1-b" || got[1].ID != "use1-x" {
		t.Errorf("after a restart the node knows %v in use1", got)
	}
}
