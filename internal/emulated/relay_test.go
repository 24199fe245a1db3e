package emulated

import (
	"fmt"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/wan"
)

// TestRelayAroundALinkThatStaysCut: of three datacenters two never reach each
// other again. What either writes and deletes comes to the other through the
// third, because clocks tell everybody of what is missing whoever minted it.
func TestRelayAroundALinkThatStaysCut(t *testing.T) {
	const interval = 10 * time.Second // between two verifications
	rtts, err := wan.ParseRTTs("use1-euw1=20ms,use1-apne1=20ms,euw1-apne1=20ms", []string{"use1", "euw1", "apne1"})
	if err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, Options{Nodes: 1, Memory: true, Verify: interval, RTTs: rtts})
	incr(t, c, "use1-a", "hits", 1)
	eventually(t, "all are equal before the cut", 30*time.Second, func() bool { return value(c, "euw1-a", "hits") == 1 && len(Differing(t.Context(), c)) == 0 })
	if err := c.WAN().SetPair("use1", "euw1", wan.Change{State: wan.Cut}); err != nil {
		t.Fatal(err)
	}
	before := carried(c, "use1", "euw1") + carried(c, "euw1", "use1")
	for i := range 20 {
		incr(t, c, "use1-a", fmt.Sprint("of use1 ", i), 3)
		incr(t, c, "euw1-a", fmt.Sprint("of euw1 ", i), 4)
	}
	incr(t, c, "use1-a", "hits", 10)
	incr(t, c, "euw1-a", "hits", 100)
	gone := &v1.UpdateRequest{Bucket: "default", Key: []byte("of euw1 7"), Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}}}
	if _, err := c.Node("euw1-a").DC().Update(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, "what one side wrote is on the other", 3*interval, func() bool {
		return value(c, "use1-a", "hits") == 111 && value(c, "euw1-a", "hits") == 111 &&
			value(c, "use1-a", "of euw1 19") == 4 && value(c, "euw1-a", "of use1 19") == 3
	})
	took += eventually(t, "clocks and trees are equal everywhere", 3*interval, func() bool { return len(Differing(t.Context(), c)) == 0 })
	t.Logf("equal %v after the last write, by relay", took)
	if has(t, c, "use1-a", "default", "of euw1 7") {
		t.Error("what was deleted on one side is on the other")
	}
	if after := carried(c, "use1", "euw1") + carried(c, "euw1", "use1"); after != before {
		t.Errorf("%d bytes went over the link that is cut", after-before)
	}
	eventually(t, "logs are empty: the third told what all have", 3*interval, func() bool { return logged(t, c) == 0 })
	if heard := c.Node("euw1-a").Replication().Lag(); heard[1].DC != "use1" || heard[1].Newest < took {
		t.Errorf("euw1 heard %+v; want nothing of use1 since the cut", heard)
	}
}

// logged is how many events the first nodes of all datacenters keep in their logs.
func logged(t *testing.T, c *Cluster) (n uint64) {
	t.Helper()
	for _, d := range c.Topology().Datacenters {
		n += c.Node(d.Nodes[0].ID).DC().Status(t.Context()).GetNodes()[0].GetLogEvents()
	}
	return n
}

// carried is how many bytes a link has delivered so far.
func carried(c *Cluster, from, to string) int64 {
	for _, l := range c.WAN().Links() {
		if l.From == from && l.To == to {
			return l.Bytes
		}
	}
	return -1
}
