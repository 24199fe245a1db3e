package client_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
	"github.com/godwitdb/godwit/internal/testcluster"
)

// openWarm opens a client by pipelines whose streams to all nodes stand, and that
// knows how long they take.
func openWarm(t *testing.T, nodes int, change ...func(*client.Options)) (*client.Client, *clienttest.Cluster) {
	t.Helper()
	long := func(o *client.Options) { o.Transport, o.Timeout = client.Pipelined, 20*time.Second }
	c, cluster := open(t, nodes, append([]func(*client.Options){long}, change...)...)
	answered := func(i int) int {
		other := func(c clienttest.Call) bool { return !strings.HasPrefix(c.Method, "Get") }
		return len(slices.DeleteFunc(cluster.Node("use1", i).Calls(), other))
	}
	until(t, "all nodes are known", func() bool {
		least := 1 << 30
		for i := range 32 {
			key := fmt.Sprint("k", i)
			must[*client.Result](t)(c.Put(t.Context(), key, []byte("v")))
			must[*client.Value](t)(c.Get(t.Context(), key))
		}
		for i := range nodes {
			least = min(least, answered(i))
		}
		return least >= 64
	})
	return c, cluster
}

// stuckAt makes a node take requests of one method and never answer them.
func stuckAt(n *clienttest.Node, method string) {
	n.Misbehave(func(c clienttest.Call) clienttest.Fault { return clienttest.Fault{Stuck: c.Method == method} })
}

func TestReadOfASlowNodeIsHedged(t *testing.T) {
	c, cluster := openWarm(t, 2)
	stuckAt(cluster.Node("use1", 0), "Get")
	before := c.Stats()
	until(t, "a read is hedged", func() bool { // the budget may be used up at first
		for i := range 32 {
			if v := must[*client.Value](t)(c.Get(t.Context(), fmt.Sprint("k", i))); string(v.Bytes) != "v" {
				t.Errorf("Get(k%d) = %q", i, v.Bytes)
			}
		}
		after := c.Stats()
		return after.Hedges > before.Hedges && after.HedgesWon > before.HedgesWon
	})
}

// What a node refuses for good is an answer: another would say the same.
func TestHedgedReadOfAnAbsentKey(t *testing.T) {
	c, cluster := openWarm(t, 2)
	stuckAt(cluster.Node("use1", 0), "Get")
	for i := range 8 {
		if _, err := c.Get(t.Context(), fmt.Sprint("absent", i)); !client.IsNotFound(err) {
			t.Errorf("Get(absent%d): %v", i, err)
		}
	}
}

// A node that takes requests and answers none costs a call what it waits for an
// answer that is overdue, not half of its timeout.
func TestFrozenNodeIsPassedOverSoon(t *testing.T) {
	const soon = 8 * time.Second // half of the timeout is 10 s
	tests := []struct {
		name   string
		method string
		fault  clienttest.Fault
		call   func(t *testing.T, c *client.Client, key string)
	}{
		{"put", "Update", clienttest.Fault{Stuck: true}, func(t *testing.T, c *client.Client, key string) {
			must[*client.Result](t)(c.Put(t.Context(), key, []byte("w")))
		}},
		{"increment that was not carried out", "Update", clienttest.Fault{Stuck: true}, func(t *testing.T, c *client.Client, key string) {
			if n := must[int64](t)(c.Incr(t.Context(), "n"+key, 1)); n != 1 {
				t.Errorf("Incr() = %d, want 1", n)
			}
		}},
		{"increment that was carried out", "Update", clienttest.Fault{Hang: true}, func(t *testing.T, c *client.Client, key string) {
			if n := must[int64](t)(c.Incr(t.Context(), "n"+key, 1)); n != 1 {
				t.Errorf("Incr() = %d, want 1", n)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, cluster := openWarm(t, 3)
			cluster.Node("use1", 0).Misbehave(func(call clienttest.Call) clienttest.Fault {
				if call.Method == tt.method {
					return tt.fault
				}
				return clienttest.Fault{}
			})
			before, i := c.Stats().Late, 0
			until(t, "an attempt is given up", func() bool {
				began := time.Now()
				tt.call(t, c, fmt.Sprint("k", i))
				if took := time.Since(began); took > soon {
					t.Errorf("call %d took %v", i, took)
				}
				i++
				return c.Stats().Late > before || tt.fault.Hang && i == 16 // such a node may answer in the last moment
			})
		})
	}
}

func TestBatchesGoToTheOwnersOfTheirKeys(t *testing.T) {
	c, cluster := openWarm(t, 3)
	count := func(i int, method string) int {
		return len(slices.DeleteFunc(cluster.Node("use1", i).Calls(), func(c clienttest.Call) bool { return c.Method != method }))
	}
	var ops []client.Op
	var keys []string
	for i := range 64 {
		ops = append(ops, client.IncrOp(fmt.Sprint("n", i), int64(i+1)))
		keys = append(keys, fmt.Sprint("n", i))
	}
	for i, r := range must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), ops)) {
		if r.Err != nil || r.Result.Integer != int64(i+1) {
			t.Errorf("item %d: %+v", i, r)
		}
	}
	for i, r := range must[[]client.GetResult](t)(c.BatchGet(t.Context(), keys)) {
		if r.Err != nil || r.Value.Integer != int64(i+1) {
			t.Errorf("item %d: %+v", i, r)
		}
	}
	for i := range 3 {
		if updates, gets := count(i, "BatchUpdate"), count(i, "BatchGet"); updates != 1 || gets != 1 {
			t.Errorf("node %d was sent %d and %d parts, want 1 and 1", i, updates, gets)
		}
	}
	// What breaks after it was carried out is repeated elsewhere, and counts once.
	cluster.Node("use1", 0).Misbehave(func(c clienttest.Call) clienttest.Fault {
		return clienttest.Fault{Break: c.Method == "BatchUpdate"}
	})
	for i, r := range must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), ops)) {
		if r.Err != nil || r.Result.Integer != 2*int64(i+1) {
			t.Errorf("item %d after a break: %+v", i, r)
		}
	}
}

func TestReadsOfAPopularKeyAreSpread(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{})
	c := pipelined(t, dc.Addr(0))
	must[*client.Result](t)(c.Put(t.Context(), "popular", []byte("v")))
	until(t, "reads are spread", func() bool {
		var work sync.WaitGroup
		for range 64 {
			work.Go(func() {
				if v, err := c.Get(t.Context(), "popular"); err != nil || string(v.Bytes) != "v" {
					t.Errorf("Get() = %v, %v", v, err)
				}
			})
		}
		work.Wait()
		return c.Stats().Spread > 0
	})
	busy := 0
	for i := range 3 {
		if dc.Node(i).Counters().Reads.Load() > 0 {
			busy++
		}
	}
	if busy < 2 {
		t.Errorf("%d nodes coordinated reads of a popular key, want 2 at least", busy)
	}
}
