package sim

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwitdb/godwit/topology"
)

// TestADatacenterJoins: a third datacenter comes to two that serve. What was written
// and deleted before is in no log any more, and clients go on to write, to overwrite
// and to delete in both while it catches up. It takes no clients until it has all
// that was there, and in the end all three are equal: nothing lacks, and nothing that
// was deleted is back.
func TestADatacenterJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Seed: 1, Nodes: []int{2, 1, 2}, Late: 1, Partitions: 16})
		defer c.Close()
		eu, us, ap := c.DCs[0].Nodes[0], c.DCs[1].Nodes[0], c.DCs[2].Nodes[1]
		pause(2 * time.Second)
		for i := range 60 {
			eu.put(t, fmt.Sprintf("old%d", i), "old")
		}
		for i := range 20 {
			us.del(t, fmt.Sprintf("old%d", i))
		}
		within(t, 30*time.Second, "logs are empty", func() bool { return eu.logged(t)+us.logged(t) == 0 })

		over := make(chan struct{})
		var work sync.WaitGroup
		rounds := make([]int, 2)
		for i, n := range []*Node{eu, us} {
			work.Go(func() { rounds[i] = n.churn(t, over) })
		}
		pause(time.Second)
		if err := c.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := ap.get(t, "old30"); reasonOf(err) != "DC_JOINING" {
			t.Errorf("read at ap before it has joined: %v, want DC_JOINING", err)
		}
		within(t, time.Minute, "ap has joined", func() bool {
			return !slices.ContainsFunc([]*Node{eu, us, ap}, func(n *Node) bool { return n.state("ap") != topology.DCJoined })
		})
		for i := range 20 {
			if v, err := ap.get(t, fmt.Sprintf("old%d", i)); reasonOf(err) != "NOT_FOUND" {
				t.Errorf("old%d at ap, just joined: %q %v, want it to stay deleted", i, v.GetBytes(), err)
			}
			if v, err := ap.get(t, fmt.Sprintf("old%d", 20+i)); string(v.GetBytes()) != "old" && reasonOf(err) != "NOT_FOUND" {
				t.Errorf("old%d at ap, just joined: %q %v, want what it was or that it is deleted", 20+i, v.GetBytes(), err)
			}
		}
		ap.add(t, "count", 1_000_000)
		pause(time.Second)
		close(over)
		work.Wait()
		if rounds[0] < 10 || rounds[1] < 10 {
			t.Fatalf("%v rounds of clients, too few", rounds)
		}
		if _, why := c.converge(healLimit); why != "" {
			t.Fatalf("after: %s", why)
		}
		want := int64(1_000_000 + rounds[0] + rounds[1])
		for n := range c.nodes {
			if v, err := n.get(t, "count"); v.GetInteger() != want {
				t.Errorf("count at %s: %d %v, want %d", n, v.GetInteger(), err, want)
			}
			for i := range 60 {
				v, err := n.get(t, fmt.Sprintf("old%d", i))
				if gone := i < 20 || i%20 < 10; gone != (reasonOf(err) == "NOT_FOUND") {
					t.Errorf("old%d at %s: %q %v; deleted: %t", i, n, v.GetBytes(), err, gone)
				}
			}
		}
	})
}

// churn writes, overwrites and deletes at a node until it is over, and tells how
// many rounds it did: at least 10. The first 10 each delete one of the 20 old keys that are its own.
func (n *Node) churn(t *testing.T, over <-chan struct{}) int {
	mine := 20 * (1 + n.dc.index)
	for i := 0; ; i++ {
		select {
		case <-over:
			return i
		default:
		}
		n.add(t, "count", 1)
		n.put(t, fmt.Sprintf("%s%d", n.id, i%30), strconv.Itoa(i))
		n.del(t, fmt.Sprintf("%s%d", n.id, (i+15)%30))
		if i < 10 {
			n.del(t, fmt.Sprintf("old%d", mine+i))
		}
		pause(50 * time.Millisecond)
	}
}
