package emulated

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// addAcked increments, and waits at most so long until other datacenters have it.
func addAcked(t *testing.T, c *Cluster, node, key string, acks uint32, within time.Duration) (*v1.UpdateResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return c.Node(node).DC().Update(ctx, &v1.UpdateRequest{
		Bucket: "default", Key: []byte(key), Options: &v1.WriteOptions{AcksDc: acks},
		Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}},
	})
}

// A write waits for as many other datacenters as it asks for. When one of them
// cannot be reached, it is answered in time all the same: it is done here, and
// the answer names the datacenters that have it.
func TestAcksOfOtherDatacenters(t *testing.T) {
	c := startCluster(t, Options{DCs: []string{"use1", "euw1", "apne1"}, Nodes: 3, Memory: true})
	const long = 30 * time.Second
	for i, node := range []string{"use1-a", "use1-b", "use1-c"} {
		resp, err := addAcked(t, c, node, "k", 2, long)
		if err != nil {
			t.Fatal(err)
		}
		if a := resp.GetAnswer(); fmt.Sprint(a.GetDcs()) != "[apne1 euw1]" || a.GetDcsWanted() != 2 {
			t.Errorf("held by %v of %d, want both others", a.GetDcs(), a.GetDcsWanted())
		}
		for _, far := range []string{"euw1-b", "apne1-c"} { // a quorum has it, so a quorum read shows it
			if got := value(c, far, "k"); got != int64(i+1) {
				t.Errorf("%s reads %d after the answer, want %d", far, got, i+1)
			}
		}
	}
	if err := c.WAN().CutDC("apne1"); err != nil {
		t.Fatal(err)
	}
	resp, err := addAcked(t, c, "use1-a", "k", 1, long)
	if err != nil || fmt.Sprint(resp.GetAnswer().GetDcs()) != "[euw1]" {
		t.Errorf("one of two is asked for: held by %v, %v; want euw1", resp.GetAnswer().GetDcs(), err)
	}
	resp, err = addAcked(t, c, "use1-a", "k", 2, 3*time.Second)
	if err != nil || fmt.Sprint(resp.GetAnswer().GetDcs()) != "[euw1]" || resp.GetAnswer().GetDcsWanted() != 2 {
		t.Errorf("during the cut: held by %v of %d, %v; want euw1 of 2, and no error", resp.GetAnswer().GetDcs(), resp.GetAnswer().GetDcsWanted(), err)
	}
	if resp.GetValue().GetInteger() != 5 {
		t.Errorf("answered with %d, want 5: the write is done", resp.GetValue().GetInteger())
	}
	if _, err := addAcked(t, c, "use1-a", "k", 3, long); !hasReason(err, "TOO_MANY_DATACENTERS") {
		t.Errorf("three of two others: %v, want TOO_MANY_DATACENTERS", err)
	}
	c.WAN().Heal()
	if resp, err = addAcked(t, c, "use1-b", "k", 2, long); err != nil || len(resp.GetAnswer().GetDcs()) != 2 || resp.GetValue().GetInteger() != 6 {
		t.Errorf("after the heal: %v, %v; want both others and the sixth increment", resp, err)
	}
}

func hasReason(err error, reason string) bool {
	e, ok := errors.AsType[*dc.Error](err)
	return ok && e.Reason == reason
}
