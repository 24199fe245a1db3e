package sim

import (
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// TestALookWaitsForTheDiskOnce: what a removal learns from other owners is made
// durable together with the removal, so that it does not wait for the disk more often
// than other writes.
func TestALookWaitsForTheDiskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Seed: 1, Exchange: time.Minute}) // nobody catches up meanwhile
		defer c.Close()
		pause(10 * time.Second)
		writer, laggard := c.DCs[0].Nodes[0], c.DCs[0].Nodes[2]
		laggard.put(t, "another", "v") // it has an actor
		pause(time.Second)
		for _, other := range c.DCs[0].Nodes[:2] {
			c.Cut(laggard, other)
			c.Cut(other, laggard)
		}
		writer.carry(t, "s", &v1.UpdateRequest{Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: [][]byte{[]byte("x"), []byte("y")}}}})
		for _, other := range c.DCs[0].Nodes[:2] {
			c.Mend(laggard, other)
			c.Mend(other, laggard)
		}
		disk := laggard.current().disk
		before := disk.syncs.Load()
		laggard.carry(t, "s", &v1.UpdateRequest{Op: &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: [][]byte{[]byte("x")}}}})
		if got := disk.syncs.Load() - before; got != 1 {
			t.Errorf("the removal at the replica that missed the add synced its log %d times, want once", got)
		}
		for n := range c.nodes {
			if v, err := n.get(t, "s"); err != nil || len(v.GetSet().GetElements()) != 1 || string(v.GetSet().GetElements()[0]) != "y" {
				t.Errorf("after it at %s: %v, %v; want y alone", n, v, err)
			}
		}
	})
}
