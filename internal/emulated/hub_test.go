package emulated

import (
	"fmt"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/topology"
)

// TestHub: datacenters that are linked to a hub alone get each other's writes and
// removals through it, learn what all of them have, so that logs are trimmed, and
// are rid of what has expired. Nothing goes from one to the other.
func TestHub(t *testing.T) {
	top := build([]string{"use1", "euw1", "apne1"}, 1)
	top.Links.Mode, top.Links.Hub = topology.ModeHub, "use1"
	c := startCluster(t, Options{Topology: top, Memory: true})
	for i := range 20 {
		incr(t, c, "euw1-a", fmt.Sprint("of euw1 ", i), 3)
		incr(t, c, "apne1-a", fmt.Sprint("of apne1 ", i), 4)
	}
	incr(t, c, "euw1-a", "hits", 10)
	incr(t, c, "apne1-a", "hits", 100)
	incr(t, c, "use1-a", "hits", 1)
	took := eventually(t, "all is everywhere", 20*time.Second, func() bool {
		return value(c, "euw1-a", "hits") == 111 && value(c, "apne1-a", "hits") == 111 && value(c, "use1-a", "hits") == 111 &&
			value(c, "euw1-a", "of apne1 19") == 4 && value(c, "apne1-a", "of euw1 19") == 3
	})
	took += eventually(t, "clocks and trees are equal", 20*time.Second, func() bool { return len(Differing(t.Context(), c)) == 0 })
	t.Logf("everywhere after %v", took)
	update := func(node string, req *v1.UpdateRequest) {
		t.Helper()
		if _, err := c.Node(node).DC().Update(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	update("apne1-a", &v1.UpdateRequest{Bucket: "default", Key: []byte("of euw1 7"), Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}}})
	update("use1-a", &v1.UpdateRequest{Bucket: "default", Key: []byte("of apne1 7"), Op: &v1.UpdateRequest_Expire{
		Expire: &v1.Expire{AtUnixMs: uint64(time.Now().Add(time.Second).UnixMilli())},
	}})
	eventually(t, "what was removed is gone everywhere", 20*time.Second, func() bool {
		return !has(t, c, "euw1-a", "default", "of euw1 7") && !has(t, c, "use1-a", "default", "of euw1 7") && !has(t, c, "apne1-a", "default", "of euw1 7")
	})
	const left = 20 + 20 + 1 - 2
	eventually(t, "what has expired takes no room, and logs are empty", 60*time.Second, func() bool {
		for _, d := range c.Topology().Datacenters {
			if c.Node(d.Nodes[0].ID).DC().Status(t.Context()).GetNodes()[0].GetKeys() != left {
				return false
			}
		}
		return logged(t, c) == 0
	})
	eventually(t, "clocks and trees are equal everywhere", 20*time.Second, func() bool { return len(Differing(t.Context(), c)) == 0 })
	if n := carried(c, "euw1", "apne1") + carried(c, "apne1", "euw1"); n > 0 {
		t.Errorf("%d bytes went between datacenters without a link", n)
	}
	for _, l := range c.Node("euw1-a").Replication().Lag() {
		if l.DC != "use1" {
			t.Errorf("euw1 measures a lag to %s", l.DC)
		}
	}
}
