package sim

import (
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// TestARetryWithoutItsLogIsNotAcknowledged: a write reached one copy, and then
// the log lost its event. Who asks again must not be told that all is well.
func TestARetryWithoutItsLogIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Seed: 1, LogBytes: 1})
		defer c.Close()
		pause(2 * time.Second)
		alone := c.DCs[0].Nodes[0]
		for _, other := range c.DCs[0].Nodes[1:] {
			c.Cut(alone, other)
			c.Cut(other, alone)
		}
		id := binaryID(time.Now())
		write := func() error {
			_, err := alone.current().dc.Update(t.Context(), &v1.UpdateRequest{
				Bucket: bucketSync, Key: []byte("k"), Options: &v1.WriteOptions{RequestId: id, Consistency: v1.Consistency_CONSISTENCY_QUORUM},
				Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}},
			})
			return err
		}
		if err := write(); err == nil || dc.AsError(err).Reason != "WRITE_INDETERMINATE" {
			t.Fatalf("the first time: %v, want WRITE_INDETERMINATE", err)
		}
		pause(90 * time.Second) // until the log is trimmed for its size
		if err := write(); err == nil || dc.AsError(err).Reason != "WRITE_INDETERMINATE" {
			t.Errorf("again, without its log: %v, want WRITE_INDETERMINATE", err)
		}
		c.heal()
		if _, why := c.converge(healLimit); why != "" {
			t.Fatalf("not equal: %s", why)
		}
		pause(5 * time.Second)
		if err := write(); err != nil {
			t.Errorf("again, when all have it: %v", err)
		}
	})
}
