package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
	"github.com/godwitdb/godwit/internal/testcluster"
)

// pipelined opens a client of a datacenter of real nodes that knows one address.
func pipelined(t testing.TB, addrs ...string) *client.Client {
	t.Helper()
	cl, err := client.Open(t.Context(), client.Options{
		Addrs: addrs, Transport: client.Pipelined, Timeout: 20 * time.Second, RetryBase: 5 * time.Millisecond, RetryMax: 100 * time.Millisecond, MaxRetries: 50,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl
}

func forwarded(c *testcluster.Cluster, nodes int) (sum uint64) {
	for i := range nodes {
		n := c.Node(i).Counters()
		sum += n.ReadsForwarded.Load() + n.WritesForwarded.Load()
	}
	return sum
}

func TestCallsGoStraightToAnOwner(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 5})
	cl := pipelined(t, c.Addr(0))
	// On a busy machine the first calls may not wait long enough for the ring.
	before := forwarded(c, 5)
	for inRow := 0; inRow < 20; inRow++ {
		if _, err := cl.Get(t.Context(), fmt.Sprint("absent", inRow)); !client.IsNotFound(err) {
			t.Fatal(err)
		}
		if now := forwarded(c, 5); now != before {
			before, inRow = now, 0
		}
	}
	var work sync.WaitGroup
	for g := range 16 {
		work.Go(func() {
			for i := range 20 {
				key := fmt.Sprintf("k%d-%d", g, i)
				if _, err := cl.Put(t.Context(), key, []byte(key)); err != nil {
					t.Error(err)
				}
				if v, err := cl.Get(t.Context(), key); err != nil || string(v.Bytes) != key {
					t.Errorf("Get(%s) = %v, %v", key, v, err)
				}
			}
		})
	}
	work.Wait()
	// Without the ring it would be about 256. On a busy machine a few are: of keys whose
	// owners were all late, or outrun, a moment ago.
	if got, st := forwarded(c, 5)-before, cl.Stats(); got > 64 || got > 0 && st.Late+st.HedgesWon == 0 {
		t.Errorf("%d of 640 requests were forwarded, want hardly any, and none unless nodes were late: %+v", got, st)
	}
	// Errors are what they are by a unary call, and large requests pass.
	if _, err := cl.Get(t.Context(), "absent"); !client.IsNotFound(err) || client.ReasonOf(err) != "NOT_FOUND" {
		t.Errorf("absent key: %v", err)
	}
	if _, err := cl.Incr(t.Context(), "k0-0", 1); client.ReasonOf(err) != "WRONG_KIND" || client.OutcomeOf(err) != client.Failed {
		t.Errorf("increment of a register: %v, %v", err, client.OutcomeOf(err))
	}
	if _, err := cl.Get(t.Context(), "k", client.WithBucket("nope")); client.ReasonOf(err) != "UNKNOWN_BUCKET" {
		t.Errorf("unknown bucket: %v", err)
	}
	large := strings.Repeat("x", 300<<10)
	if _, err := cl.Put(t.Context(), "large", []byte(large)); err != nil {
		t.Error(err)
	}
	if v, err := cl.Get(t.Context(), "large"); err != nil || string(v.Bytes) != large {
		t.Errorf("large value: %d bytes, %v", len(v.Bytes), err)
	}
}

// A node is stopped and started again while increments are under way: each call
// succeeds, and each counts once.
func TestNoIncrementIsLostOrDoubledWhileANodeRestarts(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 3})
	cl := pipelined(t, c.Addr(0), c.Addr(1), c.Addr(2))
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var done, unknown [8]int64
	var calls atomic.Int64
	for g := range 8 {
		work.Go(func() {
			for ctx.Err() == nil {
				_, err := cl.Incr(t.Context(), fmt.Sprintf("n%d", g), 1)
				calls.Add(1)
				switch {
				case err == nil:
					done[g]++
				case client.OutcomeOf(err) == client.Unknown:
					unknown[g]++
				default:
					t.Errorf("Incr: %v", err)
				}
			}
		})
	}
	progress := func() {
		for began := calls.Load(); calls.Load() < began+100; {
			time.Sleep(time.Millisecond)
		}
	}
	for i := range 3 {
		progress()
		c.Stop(i)
		progress()
		c.Restart(i)
	}
	progress()
	stop()
	work.Wait()
	for g := range 8 {
		v, err := cl.Get(t.Context(), fmt.Sprintf("n%d", g))
		if err != nil || v.Integer < done[g] || v.Integer > done[g]+unknown[g] {
			t.Errorf("counter %d = %v, %v; %d increments were acknowledged, of %d it is not known", g, v, err, done[g], unknown[g])
		}
		if unknown[g] > 0 {
			t.Errorf("of %d increments of counter %d the outcome is not known, want none", unknown[g], g)
		}
	}
}

func TestPipelinedCallKeepsItsDeadline(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 2, Replicas: 2})
	cl := pipelined(t, c.Addr(0), c.Addr(1))
	if _, err := cl.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	c.Cut(0, 1)
	began := time.Now()
	_, err := cl.Put(t.Context(), "k", []byte("v"), client.WithConsistency(client.All), client.WithStrict(), client.WithTimeout(300*time.Millisecond))
	if err == nil || client.OutcomeOf(err) != client.Unknown {
		t.Errorf("write to all with one cut off: %v, %v", err, client.OutcomeOf(err))
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("answered after %v, want 300ms", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cl.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// Nodes that offer no pipeline and tell no ring are spoken to as ever.
func TestPipelinedClientOfNodesWithoutPipelines(t *testing.T) {
	c, cluster := open(t, 2, func(o *client.Options) { o.Transport = client.Pipelined })
	for i := range 2 {
		cluster.Node("use1", i).Misbehave(func(call clienttest.Call) clienttest.Fault {
			if call.Method == "Pipeline" {
				return clienttest.Fault{Before: status.Error(codes.Unimplemented, "unknown method Pipeline")}
			}
			return clienttest.Fault{}
		})
	}
	if n := must[int64](t)(c.Incr(t.Context(), "n", 5)); n != 5 {
		t.Errorf("Incr() = %d, want 5", n)
	}
	if v := must[*client.Value](t)(c.Get(t.Context(), "n")); v.Integer != 5 {
		t.Errorf("Get() = %d, want 5", v.Integer)
	}
}

// A write that goes to a second node, which does not ask the first, waits until
// the first no longer carries it out.
func TestAWriteIsNotOvertakenByItself(t *testing.T) {
	c, cluster := open(t, 2, func(o *client.Options) { o.Transport, o.Timeout = client.Pipelined, 20*time.Second })
	var broke, again time.Time
	var within time.Duration
	for i := range 2 {
		cluster.Node("use1", i).Misbehave(func(call clienttest.Call) clienttest.Fault {
			switch {
			case call.Method != "Update":
			case broke.IsZero():
				broke, within = time.Now(), call.Begin
				return clienttest.Fault{Break: true}
			case again.IsZero():
				again = time.Now()
			}
			return clienttest.Fault{}
		})
	}
	if _, err := c.SAdd(t.Context(), "s", []string{"x"}); err != nil {
		t.Fatal(err)
	}
	if within != 250*time.Millisecond {
		t.Errorf("the first node was to begin within %v, want 250ms, which is short of the 20 s that there are", within)
	}
	if waited := again.Sub(broke); waited < within-10*time.Millisecond { // the way to it
		t.Errorf("the other node was asked after %v", waited)
	}
}
