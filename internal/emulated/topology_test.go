package emulated

import (
	"slices"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/topology"
)

// TestTwoTopologiesOfOneVersion: two datacenters that do not reach each other take
// up different topologies under the same number. Once they hear of each other all
// act under the one whose hash is greater, also behind a hub.
func TestTwoTopologiesOfOneVersion(t *testing.T) {
	top := build([]string{"use1", "euw1", "apne1"}, 1)
	top.Links.Mode, top.Links.Hub = topology.ModeHub, "use1"
	c := startCluster(t, Options{Topology: top, Memory: true})
	for _, d := range []string{"euw1", "apne1"} {
		if err := c.WAN().CutDC(d); err != nil {
			t.Fatal(err)
		}
	}
	var hashes []string
	for _, node := range []string{"use1-a", "euw1-a", "apne1-a"} {
		now := c.Node(node).DC().Acts()
		next := *now
		next.Version, next.Buckets = 2, append(slices.Clone(now.Buckets), topology.Bucket{Name: "of-" + node})
		next.FillDefaults()
		text, err := next.YAML()
		if err != nil {
			t.Fatal(err)
		}
		done, err := c.Node(node).DC().ApplyTopology(t.Context(), &v1.ApplyTopologyRequest{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, done.GetHash())
	}
	c.WAN().Heal()
	want := slices.Max(hashes)
	eventually(t, "all act under the one with the greatest hash", 20*time.Second, func() bool {
		for _, node := range []string{"use1-a", "euw1-a", "apne1-a"} {
			if c.Node(node).DC().Acts().Hash() != want {
				return false
			}
		}
		return true
	})
}
