package testcluster

import (
	"context"
	"fmt"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// Unequal says in what replicas of running nodes differ: clocks, what they
// hold, or that one is not ready to tell. It is empty when all are equal.
func (c *Cluster) Unequal(ctx context.Context) string {
	type id struct{ placement, partition uint32 }
	first := map[id]*v1.ReplicaDigest{}
	for i, m := range c.nodes {
		if c.State(m.id) != "alive" {
			continue
		}
		resp := c.Node(i).Verify(ctx, &v1.VerifyRequest{})
		for _, node := range resp.GetMissing() {
			if c.State(node) == "alive" {
				return node + " does not answer"
			}
		}
		for _, r := range resp.GetReplicas() {
			at := id{r.GetPlacement(), r.GetPartition()}
			f := first[at]
			switch {
			case !r.GetReady():
				return fmt.Sprintf("partition %d: %s is not ready", r.GetPartition(), r.GetNode())
			case f == nil:
				first[at] = r
			case f.GetClockHash() != r.GetClockHash():
				return fmt.Sprintf("partition %d: clocks of %s and %s differ", r.GetPartition(), f.GetNode(), r.GetNode())
			case string(f.GetMerkleRoot()) != string(r.GetMerkleRoot()):
				return fmt.Sprintf("partition %d: roots of %s and %s differ", r.GetPartition(), f.GetNode(), r.GetNode())
			}
		}
		break // one node asks all the others
	}
	return ""
}

// WaitEqual waits until all replicas of running nodes are equal, and fails the
// test if they are not within the limit.
func (c *Cluster) WaitEqual(limit time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		why := c.Unequal(ctx)
		if why == "" {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("replicas are not equal within %v: %s", limit, why)
		}
	}
}
