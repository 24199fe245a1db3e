package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/internal/testcluster"
	"github.com/godwitdb/godwit/topology"
)

func TestRefusals(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Buckets: []topology.Bucket{{Name: "small", MaxValue: 10}, {Name: "counters", KindsAllowed: []string{"counter"}}}})
	kv := c.KV(0)
	put(t, kv, "reg", "v", nil)
	ofOther := put(t, kv, "other", "v", nil)
	observed := get(t, kv, "other").GetContext()
	if len(ofOther.GetDot().String()) == 0 {
		t.Error("answer names no dot")
	}
	type call = func(ctx context.Context) error
	update := func(u *v1.UpdateRequest) call {
		return func(ctx context.Context) error { _, err := kv.Update(ctx, u); return err }
	}
	putting := func(p *v1.PutRequest) call {
		return func(ctx context.Context) error { _, err := kv.Put(ctx, p); return err }
	}
	key := []byte("reg")
	for _, tt := range []struct {
		name   string
		call   call
		code   codes.Code
		reason string
		meta   map[string]string
	}{
		{
			"wrong kind", update(&v1.UpdateRequest{Bucket: bucket, Key: key, Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}}}),
			codes.FailedPrecondition, "WRONG_KIND",
			map[string]string{"have": "register", "want": "counter"},
		},
		{"put of a counter", putting(&v1.PutRequest{Bucket: bucket, Key: key, Kind: v1.Kind_KIND_COUNTER}), codes.InvalidArgument, "NOT_A_REGISTER", nil},
		{"no operation", update(&v1.UpdateRequest{Bucket: bucket, Key: key}), codes.InvalidArgument, "NO_OPERATION", nil},
		{"key too long", putting(&v1.PutRequest{Bucket: bucket, Key: make([]byte, 1025)}), codes.InvalidArgument, "KEY_TOO_LONG", nil},
		{"no key", putting(&v1.PutRequest{Bucket: bucket}), codes.InvalidArgument, "NO_KEY", nil},
		{"value too large", putting(&v1.PutRequest{Bucket: "small", Key: key, Value: make([]byte, 11)}), codes.InvalidArgument, "VALUE_TOO_LARGE", nil},
		{"kind not allowed", putting(&v1.PutRequest{Bucket: "counters", Key: key, Kind: v1.Kind_KIND_REGISTER}), codes.FailedPrecondition, "KIND_NOT_ALLOWED", nil},
		{"no bucket", putting(&v1.PutRequest{Key: key}), codes.InvalidArgument, "NO_BUCKET", nil},
		{"unknown bucket", putting(&v1.PutRequest{Bucket: "nope", Key: key}), codes.InvalidArgument, "UNKNOWN_BUCKET", map[string]string{"bucket": "nope"}},
		{
			"a bucket's name that would not fit into headers", putting(&v1.PutRequest{Bucket: strings.Repeat("b", 1<<20), Key: key}),
			codes.InvalidArgument, "UNKNOWN_BUCKET",
			map[string]string{"bucket": strings.Repeat("b", 80)},
		},
		{"damaged context", putting(&v1.PutRequest{Bucket: bucket, Key: key, Options: &v1.WriteOptions{Context: []byte("nonsense!")}}), codes.InvalidArgument, "BAD_CONTEXT", nil},
		{"context of another key", putting(&v1.PutRequest{Bucket: bucket, Key: key, Options: &v1.WriteOptions{Context: observed}}), codes.InvalidArgument, "BAD_CONTEXT", nil},
		{"bad request id", putting(&v1.PutRequest{Bucket: bucket, Key: key, Options: &v1.WriteOptions{RequestId: []byte("short")}}), codes.InvalidArgument, "BAD_REQUEST_ID", nil},
		{"too many copies", putting(&v1.PutRequest{Bucket: bucket, Key: key, Options: &v1.WriteOptions{W: 4}}), codes.InvalidArgument, "TOO_MANY_COPIES", nil},
		{"batch too large", func(ctx context.Context) error {
			_, err := kv.BatchGet(ctx, &v1.BatchGetRequest{Gets: make([]*v1.GetRequest, 257)})
			return err
		}, codes.InvalidArgument, "BATCH_TOO_LARGE", nil},
		{"damaged page", func(ctx context.Context) error {
			s, err := kv.Scan(ctx, &v1.ScanRequest{Bucket: bucket, Page: []byte{1}})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		}, codes.InvalidArgument, "BAD_PAGE", nil},
		{"real links", func(ctx context.Context) error {
			_, err := v1.NewReplicationClient(c.Conn(0)).SetLink(ctx, &v1.SetLinkRequest{})
			return err
		}, codes.FailedPrecondition, "LINKS_ARE_REAL", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info := refusedWith(t, tt.call(within(t, 10*time.Second)), tt.code, tt.reason)
			for k, want := range tt.meta {
				if got := info.GetMetadata()[k]; got != want {
					t.Errorf("metadata %s = %q, want %q", k, got, want)
				}
			}
		})
	}
	if got := string(get(t, kv, "reg").GetValue().GetBytes()); got != "v" {
		t.Errorf("reg = %q after refusals, want v", got)
	}
}

func TestBatchItemsHaveTheirOwnStatus(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	kv := c.KV(1)
	var req v1.BatchUpdateRequest
	for i := range 256 {
		req.Updates = append(req.Updates, &v1.UpdateRequest{Bucket: bucket, Key: fmt.Append(nil, "k", i), Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte("v")}}})
	}
	req.Updates[7].Bucket = "nope"
	req.Updates[9] = nil
	req.Updates[9] = &v1.UpdateRequest{}
	done, err := kv.BatchUpdate(within(t, 30*time.Second), &req)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range done.GetResults() {
		if want := map[bool]codes.Code{true: codes.InvalidArgument, false: codes.OK}[i == 7 || i == 9]; codes.Code(r.GetCode()) != want || (r.GetResponse() == nil) != (want != codes.OK) {
			t.Errorf("update %d = %v, want %s", i, r, want)
		}
	}
	if r := done.GetResults()[7]; r.GetMessage() != `unknown bucket "nope"` || r.GetReason() != "UNKNOWN_BUCKET" || r.GetMetadata()["bucket"] != "nope" {
		t.Errorf("refused with %v", r)
	}
	big := strings.Repeat("x", 1<<20)
	gets := &v1.BatchGetRequest{}
	for i := range 6 {
		put(t, kv, fmt.Sprint("big", i), big, nil)
		gets.Gets = append(gets.Gets, &v1.GetRequest{Bucket: bucket, Key: fmt.Append(nil, "big", i)})
	}
	gets.Gets = append(gets.Gets, &v1.GetRequest{Bucket: bucket, Key: []byte("absent")}, &v1.GetRequest{Bucket: bucket, Key: []byte("k1")})
	got, err := kv.BatchGet(within(t, 30*time.Second), gets)
	if err != nil {
		t.Fatal(err)
	}
	count := map[codes.Code]int{}
	for _, r := range got.GetResults() {
		count[codes.Code(r.GetCode())]++
	}
	// Three of 1 MiB fit into 4 MiB, and the small one; the others are to be asked for again.
	if count[codes.OK] != 4 || count[codes.ResourceExhausted] != 3 || count[codes.NotFound] != 1 {
		t.Errorf("codes = %v, want 4 OK, 3 ResourceExhausted, 1 NotFound", count)
	}
}

func TestMessagesTooLarge(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, Buckets: []topology.Bucket{{Name: "big", MaxValue: 64 << 20}}})
	kv := c.KV(0)
	_, err := kv.Put(within(t, 10*time.Second), &v1.PutRequest{Bucket: "big", Key: []byte("k"), Value: make([]byte, 5<<20)})
	if s := status.Convert(err); s.Code() != codes.ResourceExhausted || !strings.Contains(s.Message(), "4194304") {
		t.Errorf("request of 5 MiB = %v, want RESOURCE_EXHAUSTED that names the limit", err)
	}
	// A set is read in pages that fit; one within a map is answered whole.
	for _, part := range []string{"a", "b", "c"} {
		op := &v1.SetAdd{}
		for i := range 30 {
			op.Elements = append(op.Elements, []byte(fmt.Sprint(part, i, "/")+strings.Repeat("e", 60<<10)))
		}
		add := &v1.UpdateRequest{Bucket: bucket, Key: []byte("set"), Op: &v1.UpdateRequest_SetAdd{SetAdd: op}}
		inMap := &v1.UpdateRequest{Bucket: bucket, Key: []byte("map"), Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{
			Fields: []*v1.FieldUpdate{{Name: []byte("set"), Update: add}},
		}}}
		for _, up := range []*v1.UpdateRequest{add, inMap} {
			if _, err := kv.Update(within(t, 10*time.Second), up); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = kv.Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("map"), Fields: []*v1.FieldName{{Name: []byte("set")}}})
	refusedWith(t, err, codes.ResourceExhausted, "ANSWER_TOO_LARGE")
	read, req := 0, &v1.GetRequest{Bucket: bucket, Key: []byte("set")}
	for range 90 {
		page, err := kv.Get(within(t, 10*time.Second), req)
		if err != nil || page.GetValue().GetSet().GetTotal() != 90 {
			t.Fatalf("page behind %d elements: %v, total %d", read, err, page.GetValue().GetSet().GetTotal())
		}
		read += len(page.GetValue().GetSet().GetElements())
		if req.Page = page.GetNextPage(); len(req.Page) == 0 {
			break
		}
	}
	if read != 90 {
		t.Errorf("pages held %d elements, want 90", read)
	}
}

// slow is a question that lasts as long as it may: it waits for an event that
// will never be.
func slow() *v1.VerifyRequest {
	var clock crdt.Clock
	clock.Add(crdt.Dot{Actor: 1, Seq: 1})
	return &v1.VerifyRequest{
		SettleMs: 60_000,
		Wait:     []*v1.PartitionClock{{Placement: topology.PlacementID("global"), Partition: 1, Clock: crdt.AppendClock(nil, &clock)}},
	}
}

func TestDeadlinesAreGivenAndCapped(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, Server: rpc.ServerOptions{DefaultTimeout: 50 * time.Millisecond, MaxTimeout: 100 * time.Millisecond}})
	r := v1.NewReplicationClient(c.Conn(0))
	for name, ctx := range map[string]context.Context{"none": t.Context(), "long": within(t, time.Minute)} {
		begin := time.Now()
		if _, err := r.Verify(ctx, slow()); status.Code(err) != codes.OK && status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("deadline %s: %v", name, err)
		}
		if took := time.Since(begin); took < 40*time.Millisecond || took > 10*time.Second {
			t.Errorf("deadline %s: took %v, want about 0.1 s", name, took)
		}
	}
}

func TestOverload(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, Server: rpc.ServerOptions{MaxInFlight: 1}})
	kv := c.KV(0)
	put(t, kv, "k", "v", nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for { // until it is let in between two of those below
			_, err := v1.NewReplicationClient(c.Conn(0)).Verify(ctx, slow())
			if status.Code(err) != codes.ResourceExhausted {
				return
			}
		}
	}()
	var err error
	until(t, "the slow request is in", func() bool {
		_, err = kv.Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("k")})
		return err != nil
	})
	refusedWith(t, err, codes.ResourceExhausted, "OVERLOADED")
	if _, err := healthv1.NewHealthClient(c.Conn(0)).Check(within(t, 10*time.Second), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("health under load = %v", err)
	}
	cancel()
	<-ended
	until(t, "requests are taken again", func() bool {
		_, err := kv.Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("k")})
		return err == nil
	})
}

func TestPanicsAreAnsweredAndLogged(t *testing.T) {
	var log bytes.Buffer
	s := rpc.NewServer(nil, rpc.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}) // without a node every request panics
	lis := listen(t, "127.0.0.1:0")
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///"+lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	kv := v1.NewKVClient(conn)
	_, err = kv.Get(within(t, 10*time.Second), &v1.GetRequest{})
	refusedWith(t, err, codes.Internal, "PANIC")
	stream, err := kv.Scan(within(t, 10*time.Second), &v1.ScanRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	refusedWith(t, err, codes.Internal, "PANIC")
	got, err := kv.BatchGet(within(t, 10*time.Second), &v1.BatchGetRequest{Gets: []*v1.GetRequest{{}}})
	if err != nil || codes.Code(got.GetResults()[0].GetCode()) != codes.Internal {
		t.Errorf("batch = %v, %v", got, err)
	}
	conn.Close()
	s.Close()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if n := strings.Count(log.String(), "stack="); n != 3 {
		t.Errorf("%d stacks in the log, want 3: %s", n, log.String())
	}
}

func TestHealthAndReflection(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	health := healthv1.NewHealthClient(c.Conn(0))
	for _, service := range []string{"", "godwit.v1.KV", "godwit.v1.Cluster", "godwit.v1.Replication"} {
		if resp, err := health.Check(within(t, 10*time.Second), &healthv1.HealthCheckRequest{Service: service}); err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q = %v, %v", service, resp, err)
		}
	}
	watch, err := health.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	stream, err := reflectionv1.NewServerReflectionClient(c.Conn(0)).ServerReflectionInfo(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	resp, err := stream.Recv()
	if err != nil || !strings.Contains(resp.String(), "godwit.v1.KV") {
		t.Errorf("reflection = %v, %v", resp, err)
	}
	begin := time.Now()
	c.Stop(0) // with a watcher that never hangs up
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("Stop took %v", took)
	}
}

func TestCloseIsBounded(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, Server: rpc.ServerOptions{CloseTimeout: 50 * time.Millisecond, MaxInFlight: 1}})
	conn, err := grpc.NewClient("passthrough:///"+c.Addr(0), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended := make(chan error, 1)
	go func() {
		for {
			_, err := v1.NewReplicationClient(conn).Verify(within(t, time.Minute), slow())
			if status.Code(err) != codes.ResourceExhausted {
				ended <- err
				return
			}
		}
	}()
	until(t, "the slow request is in", func() bool {
		_, err := v1.NewReplicationClient(conn).Links(within(t, 10*time.Second), &v1.LinksRequest{})
		return status.Code(err) == codes.ResourceExhausted
	})
	begin := time.Now()
	c.Stop(0)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("Stop took %v, want about 50 ms", took)
	}
	if err := <-ended; status.Code(err) == codes.OK {
		t.Error("a request that was cut short was answered")
	}
}
