package client_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

// TestARemovalHasPatienceOfItsOwn: a removal is begun only after its node has looked
// at other owners, which takes long at all nodes alike while they have much to do.
// Puts, which need no look, are answered soon all the time, and tell nothing of how
// long a removal may take.
func TestARemovalHasPatienceOfItsOwn(t *testing.T) {
	const look = 400 * time.Millisecond
	c, cluster := open(t, 3, func(o *client.Options) { o.Transport, o.MaxRetries = client.Pipelined, 20 })
	var busy atomic.Bool
	for i := range 3 {
		cluster.Node("use1", i).Misbehave(func(call clienttest.Call) clienttest.Fault {
			switch {
			case !strings.HasPrefix(call.Key, "s") || !busy.Load():
				return clienttest.Fault{}
			case call.Begin > 0 && call.Begin < look:
				return clienttest.Fault{Slow: call.Begin, Before: clienttest.Refuse(codes.Unavailable, "NOT_BEGUN", "the time for it is over")}
			}
			return clienttest.Fault{Slow: look}
		})
	}
	for i := range 100 { // enough to tell how long a removal takes at each node, while there is little to do
		must[*client.Result](t)(c.Update(t.Context(), client.SRemOp(fmt.Sprintf("s%d", i), "x")))
	}
	over := make(chan struct{})
	var puts sync.WaitGroup
	defer puts.Wait()
	defer close(over)
	puts.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-over:
				return
			default:
			}
			if _, err := c.Put(t.Context(), fmt.Sprintf("p%d", i%50), []byte("v")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	busy.Store(true)
	r, err := c.Update(t.Context(), client.SRemOp("s0", "x"))
	if err != nil {
		t.Fatalf("removal: %v", err)
	}
	if r.Tries > 3 {
		t.Errorf("removal took %d tries, want 2", r.Tries)
	}
}
