package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts a datacenter of some nodes and a client of it that retries at once,
// by unary calls unless that is changed.
func open(t *testing.T, nodes int, change ...func(*client.Options)) (*client.Client, *clienttest.Cluster) {
	t.Helper()
	cluster := clienttest.Start(clienttest.Options{Nodes: nodes})
	t.Cleanup(cluster.Close)
	o := cluster.Options("use1")
	o.Transport, o.RetryBase, o.RetryMax = client.Unary, time.Millisecond, 5*time.Millisecond
	for _, f := range change {
		f(&o)
	}
	c, err := client.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, cluster
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestOptionsAreCheckedTogether(t *testing.T) {
	_, err := client.Open(t.Context(), client.Options{Addrs: []string{"nowhere", "a:1", "a:1"}, Timeout: time.Hour, MaxRetries: 1000})
	want := `client: address "nowhere" is not host:port
client: address "a:1" is named twice
client: timeout 1h0m0s is not between 0 and 30s
client: 1000 retries, at most 100 are allowed`
	if err == nil || err.Error() != want {
		t.Errorf("Open() = %v, want %v", err, want)
	}
	if _, err := client.Open(t.Context(), client.Options{}); err == nil || !strings.Contains(err.Error(), "no addresses") {
		t.Errorf("without addresses: %v", err)
	}
}

func TestRegister(t *testing.T) {
	c, _ := open(t, 1)
	ctx := t.Context()
	if _, err := c.Get(ctx, "k"); !client.IsNotFound(err) || client.ReasonOf(err) != "NOT_FOUND" {
		t.Fatalf("absent key: %v", err)
	}
	r := must[*client.Result](t)(c.Put(ctx, "k", []byte("v\x00\xff")))
	if r.Kind != client.Register || r.Dot != (client.Dot{Actor: 1, Seq: 1}) || r.Tries != 1 ||
		r.Answer != (client.Answer{Copies: 2, Replicas: 3, DC: "use1", Node: "use1-a"}) {
		t.Errorf("Put() = %+v", r)
	}
	v := must[*client.Value](t)(c.Get(ctx, "k"))
	if string(v.Bytes) != "v\x00\xff" || v.Kind != client.Register || len(v.Context) == 0 {
		t.Errorf("Get() = %+v", v)
	}
	if _, err := c.Get(ctx, "k", client.WithBucket("other")); !client.IsNotFound(err) {
		t.Errorf("other bucket: %v", err)
	}
	_, err := c.Incr(ctx, "k", 1)
	if !client.IsPrecondition(err) || client.ReasonOf(err) != "WRONG_KIND" || client.OutcomeOf(err) != client.Failed {
		t.Errorf("increment of a register: %v", err)
	}
	if want := "Incr at 127.0.0.1:1: key holds another kind [WRONG_KIND]"; err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
	must[*client.Result](t)(c.Delete(ctx, "k"))
	if _, err := c.Type(ctx, "k"); !client.IsNotFound(err) {
		t.Errorf("deleted key: %v", err)
	}
}

func TestCounter(t *testing.T) {
	c, _ := open(t, 1)
	ctx := t.Context()
	var r client.Result
	if n := must[int64](t)(c.Incr(ctx, "n", 7, client.WithResult(&r))); n != 7 || r.Integer != 7 || r.Answer.Copies != 2 {
		t.Errorf("Incr() = %d, %+v", n, r)
	}
	if n := must[int64](t)(c.Decr(ctx, "n", 10)); n != -3 {
		t.Errorf("Decr() = %d, want -3", n)
	}
	if _, err := c.Decr(ctx, "n", -1<<63); !client.IsInvalid(err) {
		t.Errorf("opposite out of range: %v", err)
	}
	if n := must[int64](t)(c.Reset(ctx, "n")); n != 0 {
		t.Errorf("Reset() = %d, want 0", n)
	}
	if k := must[client.Kind](t)(c.Type(ctx, "n")); k.String() != "counter" {
		t.Errorf("Type() = %v", k)
	}
}

func TestSet(t *testing.T) {
	c, _ := open(t, 1)
	ctx := t.Context()
	if n := must[uint64](t)(c.SCard(ctx, "s")); n != 0 {
		t.Errorf("SCard of an absent set = %d", n)
	}
	if in := must[bool](t)(c.SIsMember(ctx, "s", "a")); in {
		t.Error("an absent set has a member")
	}
	if _, err := c.SMembers(ctx, "s"); !client.IsNotFound(err) {
		t.Errorf("SMembers of an absent set: %v", err)
	}
	if n := must[int](t)(c.SAdd(ctx, "s", []string{"b", "a"})); n != 2 {
		t.Errorf("SAdd() = %d, want 2", n)
	}
	if n := must[int](t)(c.SAdd(ctx, "s", []string{"b", "c"})); n != 1 {
		t.Errorf("SAdd() = %d, want 1", n)
	}
	if n := must[int](t)(c.SRem(ctx, "s", []string{"a", "z"})); n != 1 {
		t.Errorf("SRem() = %d, want 1", n)
	}
	if got := must[[]string](t)(c.SMembers(ctx, "s")); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("SMembers() = %q", got)
	}
	if n := must[uint64](t)(c.SCard(ctx, "s")); n != 2 {
		t.Errorf("SCard() = %d, want 2", n)
	}
	if in := must[bool](t)(c.SIsMember(ctx, "s", "c")); !in {
		t.Error("c is not a member")
	}
	if in := must[bool](t)(c.SIsMember(ctx, "s", "a")); in {
		t.Error("a is still a member")
	}
	must[*client.Result](t)(c.Put(ctx, "r", []byte("x")))
	if _, err := c.SCard(ctx, "r"); client.ReasonOf(err) != "WRONG_KIND" {
		t.Errorf("SCard of a register: %v", err)
	}
}

func TestSMembersReadsPages(t *testing.T) {
	c, cluster := open(t, 1, func(o *client.Options) { o.MaxMembers = 2500 })
	var elements []string
	for i := range 2500 {
		elements = append(elements, fmt.Sprintf("%06d", i))
	}
	for part := range slices.Chunk(elements, 1000) {
		must[int](t)(c.SAdd(t.Context(), "s", part))
	}
	if got := must[[]string](t)(c.SMembers(t.Context(), "s")); !slices.Equal(got, elements) {
		t.Errorf("%d members, want 2500 in order", len(got))
	}
	if n := len(cluster.Node("use1", 0).Calls()); n != 3+3 {
		t.Errorf("%d calls, want 3 adds and 3 pages", n)
	}
	// Where a page does not fit into a message, smaller ones are asked for.
	cluster.Node("use1", 0).Misbehave(func(call clienttest.Call) clienttest.Fault {
		if call.N <= 8 {
			return clienttest.Fault{After: clienttest.Refuse(codes.ResourceExhausted, "ANSWER_TOO_LARGE", "5 MiB")}
		}
		return clienttest.Fault{}
	})
	if got := must[[]string](t)(c.SMembers(t.Context(), "s")); !slices.Equal(got, elements) {
		t.Errorf("%d members in small pages, want 2500 in order", len(got))
	}
	if n := len(cluster.Node("use1", 0).Calls()); n != 8+10 {
		t.Errorf("%d calls, want 10 pages of 250", n-8)
	}
	must[int](t)(c.SAdd(t.Context(), "s", []string{"one more"}))
	if _, err := c.SMembers(t.Context(), "s"); !client.IsExhausted(err) || client.ReasonOf(err) != "SET_TOO_LARGE" {
		t.Errorf("one past the limit: %v", err)
	}
}

func TestKeys(t *testing.T) {
	c, cluster := open(t, 2)
	var want []string
	ops := []client.Op{client.IncrOp("other", 1)}
	for i := range 1003 {
		key := fmt.Sprintf("p:%04d", i)
		want = append(want, key)
		ops = append(ops, client.IncrOp(key, 1))
	}
	must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), ops))
	// The first page is sent and then breaks off: it is read again elsewhere.
	cluster.Node("use1", 0).Misbehave(func(call clienttest.Call) clienttest.Fault {
		if call.Method == "Scan" {
			return clienttest.Fault{After: clienttest.Refuse(codes.Unavailable, "SHUTTING_DOWN", "going away")}
		}
		return clienttest.Fault{}
	})
	var got []string
	for k, err := range c.Keys(t.Context(), "p:") {
		if err != nil {
			t.Fatal(err)
		}
		if k.Kind != client.Counter {
			t.Errorf("%s is a %v", k.Key, k.Kind)
		}
		got = append(got, k.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d keys, want 1003 in order", len(got))
	}
	page := must[*client.KeysPage](t)(c.KeysAfter(t.Context(), "p:", nil, 2))
	if len(page.Keys) != 2 || page.Keys[1].Key != "p:0001" || len(page.Next) == 0 {
		t.Errorf("KeysAfter() = %+v", page)
	}
	for range c.Keys(t.Context(), "p:") {
		break // must not hang or go on
	}
}

func TestBatch(t *testing.T) {
	c, cluster := open(t, 1)
	ops := []client.Op{client.PutOp("r", []byte("v")), {}}
	if _, err := c.BatchUpdate(t.Context(), ops); !client.IsInvalid(err) {
		t.Fatalf("zero Op: %v", err)
	}
	ops = []client.Op{client.PutOp("r", []byte("v")), client.IncrOp("r", 1)}
	for i := range 300 {
		ops = append(ops, client.IncrOp(fmt.Sprintf("n%d", i), int64(i)))
	}
	results := must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), ops))
	if results[0].Err != nil || results[0].Result.Kind != client.Register {
		t.Errorf("put: %+v", results[0])
	}
	if !client.IsPrecondition(results[1].Err) || client.OutcomeOf(results[1].Err) != client.Failed || client.ReasonOf(results[1].Err) != "WRONG_KIND" {
		t.Errorf("increment of a register: %v", results[1].Err)
	}
	if results[301].Err != nil || results[301].Result.Integer != 299 {
		t.Errorf("last: %+v", results[301])
	}
	if n := len(cluster.Node("use1", 0).Calls()); n != 2 {
		t.Errorf("%d requests, want 2 for 302 operations", n)
	}
	gets := must[[]client.GetResult](t)(c.BatchGet(t.Context(), []string{"n299", "absent", "r"}))
	if gets[0].Value.Integer != 299 || !client.IsNotFound(gets[1].Err) || string(gets[2].Value.Bytes) != "v" {
		t.Errorf("BatchGet() = %+v", gets)
	}
}

func TestClosedClientRefuses(t *testing.T) {
	c, _ := open(t, 1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Incr(t.Context(), "n", 1)
	if client.ReasonOf(err) != "CLIENT_CLOSED" || client.OutcomeOf(err) != client.Failed {
		t.Errorf("after Close: %v", err)
	}
}

func TestCallsInFlightAreBounded(t *testing.T) {
	c, cluster := open(t, 1, func(o *client.Options) { o.MaxInFlight = 1 })
	cluster.Node("use1", 0).Misbehave(func(clienttest.Call) clienttest.Fault { return clienttest.Fault{Stuck: true} })
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := c.Get(ctx, "k")
		first <- err
	}()
	for len(cluster.Node("use1", 0).Calls()) == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := c.Incr(t.Context(), "n", 1, client.WithTimeout(20*time.Millisecond))
	if !client.IsTimeout(err) || client.OutcomeOf(err) != client.Failed || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second call: %v", err)
	}
	cancel()
	if err := <-first; client.CodeOf(err) != codes.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled call: %v", err)
	}
}
