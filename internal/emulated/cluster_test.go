package emulated

import (
	"context"
	"fmt"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

func startCluster(t *testing.T, o Options) *Cluster {
	t.Helper()
	o.Dir = t.TempDir()
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func incr(t *testing.T, c *Cluster, node, key string, by int64) {
	t.Helper()
	req := &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: by}}}
	if _, err := c.Node(node).DC().Update(t.Context(), req); err != nil {
		t.Fatalf("incr at %s: %v", node, err)
	}
}

func value(c *Cluster, node, key string) int64 {
	resp, err := c.Node(node).DC().Get(context.Background(), &v1.GetRequest{Bucket: "default", Key: []byte(key)})
	if err != nil {
		return 0
	}
	return resp.GetValue().GetInteger()
}

func eventually(t *testing.T, what string, within time.Duration, is func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !is() {
		if time.Since(start) > within {
			t.Fatalf("waited %v in vain until %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

// The story of the README: three datacenters count together, lose each other
// and end up equal.
func TestCutAndHeal(t *testing.T) {
	start := time.Now()
	c := startCluster(t, Options{})
	t.Logf("started in %v", time.Since(start))
	incr(t, c, "use1-a", "hits", 7)
	for _, n := range []string{"euw1-b", "apne1-c"} {
		took := eventually(t, n+" has the first increment", 10*time.Second, func() bool { return value(c, n, "hits") == 7 })
		t.Logf("%s saw it after %v", n, took)
	}
	if err := c.WAN().CutDC("euw1"); err != nil {
		t.Fatal(err)
	}
	incr(t, c, "use1-a", "hits", 5)
	incr(t, c, "euw1-a", "hits", 2)
	eventually(t, "the uncut pair agrees", 10*time.Second, func() bool { return value(c, "apne1-a", "hits") == 12 })
	if got := value(c, "euw1-c", "hits"); got != 9 {
		t.Errorf("the cut datacenter has %d, want its own 9", got)
	}
	c.WAN().Heal()
	took := eventually(t, "all are equal after the heal", 20*time.Second, func() bool {
		return value(c, "use1-b", "hits") == 14 && value(c, "euw1-b", "hits") == 14 && value(c, "apne1-b", "hits") == 14
	})
	t.Logf("equal %v after the heal", took)
	took = eventually(t, "clocks and trees are equal", 20*time.Second, func() bool { return len(Differing(t.Context(), c)) == 0 })
	t.Logf("clocks and trees equal %v later", took)
}

// Differing lists what differs between any two replicas of a partition.
func Differing(ctx context.Context, c *Cluster) []string {
	type digest struct {
		clock uint64
		root  string
	}
	seen := map[string]digest{}
	var out []string
	for _, d := range c.Topology().Datacenters {
		v := c.Node(d.Nodes[0].ID).DC().Verify(ctx, &v1.VerifyRequest{})
		out = append(out, v.GetMissing()...)
		for _, r := range v.GetReplicas() {
			at := fmt.Sprintf("%d/%d", r.GetPlacement(), r.GetPartition())
			got := digest{r.GetClockHash(), string(r.GetMerkleRoot())}
			if have, ok := seen[at]; !r.GetReady() || r.GetResidue() > 0 || ok && have != got {
				out = append(out, r.GetNode()+" "+at)
			}
			seen[at] = got
		}
	}
	return out
}

func TestSetLink(t *testing.T) {
	c := startCluster(t, Options{DCs: []string{"use1", "euw1"}, Nodes: 1, Memory: true})
	latency := uint64(1000)
	links, err := c.Node("use1-a").DC().SetLink(&v1.SetLinkRequest{From: "use1", To: "euw1", State: v1.LinkState_LINK_STATE_CUT, LatencyUs: &latency})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links.GetLinks() {
		wantState, wantLatency := v1.LinkState_LINK_STATE_UP, uint64(38000)
		if l.GetFrom() == "use1" {
			wantState, wantLatency = v1.LinkState_LINK_STATE_CUT, 1000
		}
		if l.GetState() != wantState || l.GetLatencyUs() != wantLatency {
			t.Errorf("link %s to %s: %v, %d us; want %v, %d us", l.GetFrom(), l.GetTo(), l.GetState(), l.GetLatencyUs(), wantState, wantLatency)
		}
	}
	if _, err := c.Node("use1-a").DC().SetLink(&v1.SetLinkRequest{From: "use1", To: "mars"}); err == nil {
		t.Error("a link to nowhere was changed")
	}
}
