package rpc_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/testcluster"
)

func TestRetryWithTheSameRequestIDCountsOnce(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		c := testcluster.Start(t, testcluster.Options{Nodes: nodes})
		id := ulid.Make()
		o := &v1.WriteOptions{RequestId: id[:], Consistency: v1.Consistency_CONSISTENCY_ALL}
		first := add(t, c.KV(0), "n", 5, o)
		again := add(t, c.KV(nodes-1), "n", 5, o) // through another node
		if first.GetDot().GetSeq() != again.GetDot().GetSeq() || first.GetDot().GetActor() != again.GetDot().GetActor() {
			t.Errorf("%d nodes: dots %v and %v, want the same", nodes, first.GetDot(), again.GetDot())
		}
		if got := get(t, c.KV(1), "n").GetValue().GetInteger(); got != 5 {
			t.Errorf("%d nodes: n = %d, want 5", nodes, got)
		}
	}
}

func TestOneNodeStopped(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	put(t, c.KV(0), "before", "v", &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL})
	c.Stop(2)
	for i := range 50 {
		begin := time.Now()
		if got := put(t, c.KV(i%2), fmt.Sprint("k", i), "v", nil).GetAnswer().GetCopies(); got != 2 {
			t.Errorf("put %d: %d copies, want 2", i, got)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("put %d took %v beside a dead node", i, took)
		}
		add(t, c.KV(i%2), "n", 1, nil)
	}
	_, err := c.KV(0).Put(within(t, 10*time.Second), &v1.PutRequest{
		Bucket: bucket, Key: []byte("all"), Value: []byte("v"), Options: &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL},
	})
	info := refusedWith(t, err, codes.Unavailable, "WRITE_INDETERMINATE")
	if info.GetMetadata()["copies"] != "2" || info.GetMetadata()["wanted"] != "3" {
		t.Errorf("metadata = %v, want 2 copies of 3", info.GetMetadata())
	}
	_, err = c.KV(1).Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("before"), Options: &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}})
	refusedWith(t, err, codes.Unavailable, "TOO_FEW_REPLICAS")

	c.Restart(2)
	c.WaitEqual(20 * time.Second) // by clocks: nobody reads
	one := &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ONE}
	got, err := c.KV(2).Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("n"), Options: one})
	if err != nil || got.GetValue().GetInteger() != 50 {
		t.Errorf("n at the node that was away = %v, %v, want 50", got.GetValue(), err)
	}
	if got := string(get(t, c.KV(2), "all").GetValue().GetBytes()); got != "v" {
		t.Errorf("all = %q, want v: two copies were durable", got)
	}
	put(t, c.KV(2), "after", "v", &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL})
}

// missed makes a datacenter in which node 2 missed a put and will not catch up
// by itself.
func missed(t *testing.T, key string) *testcluster.Cluster {
	t.Helper()
	c := testcluster.Start(t, testcluster.Options{Exchange: time.Hour})
	c.Cut(0, 2)
	c.Cut(1, 2)
	put(t, c.KV(0), key, "v", nil)
	_, err := c.KV(2).Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte(key), Options: &v1.ReadOptions{R: 1}})
	if status.Code(err) != codes.NotFound {
		t.Fatalf("node 2 alone: %v, want NotFound: it must have missed the put", err)
	}
	c.Heal(0, 2)
	c.Heal(1, 2)
	return c
}

func TestReadRepairsAReplicaThatMissedAPut(t *testing.T) {
	c := missed(t, "k")
	if got := string(get(t, c.KV(2), "k").GetValue().GetBytes()); got != "v" {
		t.Errorf("quorum read through node 2 = %q, want v", got)
	}
	until(t, "node 2 has the value itself", func() bool {
		got, err := c.KV(2).Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("k"), Options: &v1.ReadOptions{R: 1}})
		return err == nil && string(got.GetValue().GetBytes()) == "v"
	})
}

func TestDeleteThroughANodeThatMissedThePut(t *testing.T) {
	c := missed(t, "k")
	done, err := c.KV(2).Delete(within(t, 10*time.Second), &v1.DeleteRequest{Bucket: bucket, Key: []byte("k")})
	if err != nil || done.GetChanged() == 0 {
		t.Fatalf("Delete = %v, %v", done, err)
	}
	for i := range 3 {
		_, err := c.KV(i).Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("k")})
		refusedWith(t, err, codes.NotFound, "NOT_FOUND")
	}
}

func TestCutCatchesUpAfterHealing(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 5, Partitions: 16})
	c.Cut(0, 1)
	c.Cut(0, 2)
	for i := range 100 {
		add(t, c.KV(3), fmt.Sprint("n", i%10), 1, &v1.WriteOptions{W: 1})
		sadd(t, c.KV(4), "s", fmt.Sprint("e", i))
	}
	c.Heal(0, 1)
	c.Heal(0, 2)
	c.WaitEqual(20 * time.Second)
	for i := range 10 {
		if got := get(t, c.KV(i%5), fmt.Sprint("n", i)).GetValue().GetInteger(); got != 10 {
			t.Errorf("n%d = %d, want 10", i, got)
		}
	}
}

func TestStatusRingAndVerify(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 5})
	put(t, c.KV(0), "k", "v", &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL})
	c.Stop(4)
	ctx := within(t, 20*time.Second)
	cluster := v1.NewClusterClient(c.Conn(0))
	st, err := cluster.Status(ctx, &v1.StatusRequest{})
	if err != nil || st.GetNode() != "n1" || st.GetDc() != "eu" || len(st.GetNodes()) != 5 {
		t.Fatalf("Status = %v, %v", st, err)
	}
	for i, n := range st.GetNodes() {
		if up := i != 4; n.GetReachable() != up || n.GetState() != map[bool]string{true: "alive", false: "dead"}[up] || n.GetGrpcAddr() != c.Addr(i) {
			t.Errorf("node %d = %v", i, n)
		}
	}
	r, err := cluster.Ring(ctx, &v1.RingRequest{Key: []byte("k"), Bucket: bucket})
	if err != nil || len(r.GetOwners()) != 1 || len(r.GetOwners()[0].GetNodes()) != 3 {
		t.Errorf("Ring = %v, %v", r, err)
	}
	replication := v1.NewReplicationClient(c.Conn(1))
	verify, err := replication.Verify(ctx, &v1.VerifyRequest{})
	if err != nil || len(verify.GetMissing()) != 1 || verify.GetMissing()[0] != "n5" {
		t.Errorf("Verify: missing = %v, %v, want n5", verify.GetMissing(), err)
	}
	cells, err := replication.Cells(ctx, &v1.CellsRequest{Bucket: bucket, Key: []byte("k")})
	if err != nil || len(cells.GetSnapshot()) == 0 {
		t.Errorf("Cells = %v, %v", cells, err)
	}
	if links, err := replication.Links(ctx, &v1.LinksRequest{}); err != nil || links.GetEmulated() {
		t.Errorf("Links = %v, %v", links, err)
	}
	if lag, err := replication.Lag(ctx, &v1.LagRequest{}); err != nil || lag.GetDc() != "eu" {
		t.Errorf("Lag = %v, %v", lag, err)
	}
}
