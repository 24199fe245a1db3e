package rpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/testcluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const bucket = "default"

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, kv v1.KVClient, key, value string, o *v1.WriteOptions) *v1.UpdateResponse {
	t.Helper()
	resp, err := kv.Put(within(t, 10*time.Second), &v1.PutRequest{Bucket: bucket, Key: []byte(key), Value: []byte(value), Options: o})
	if err != nil {
		t.Fatalf("Put(%s) = %v", key, err)
	}
	return resp
}

func get(t *testing.T, kv v1.KVClient, key string) *v1.GetResponse {
	t.Helper()
	resp, err := kv.Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte(key)})
	if err != nil {
		t.Fatalf("Get(%s) = %v", key, err)
	}
	return resp
}

func add(t *testing.T, kv v1.KVClient, key string, n int64, o *v1.WriteOptions) *v1.UpdateResponse {
	t.Helper()
	resp, err := kv.Update(within(t, 10*time.Second), &v1.UpdateRequest{
		Bucket: bucket, Key: []byte(key), Options: o, Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: n}},
	})
	if err != nil {
		t.Fatalf("CounterAdd(%s) = %v", key, err)
	}
	return resp
}

func sadd(t *testing.T, kv v1.KVClient, key string, elements ...string) *v1.UpdateResponse {
	t.Helper()
	op := &v1.SetAdd{}
	for _, e := range elements {
		op.Elements = append(op.Elements, []byte(e))
	}
	resp, err := kv.Update(within(t, 10*time.Second), &v1.UpdateRequest{Bucket: bucket, Key: []byte(key), Op: &v1.UpdateRequest_SetAdd{SetAdd: op}})
	if err != nil {
		t.Fatalf("SetAdd(%s) = %v", key, err)
	}
	return resp
}

// refusedWith fails the test unless err has this code and reason.
func refusedWith(t *testing.T, err error, code codes.Code, reason string) *errdetails.ErrorInfo {
	t.Helper()
	s, _ := status.FromError(err)
	if s.Code() != code {
		t.Fatalf("error = %v, want code %s", err, code)
	}
	for _, d := range s.Details() {
		info, ok := d.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		if info.GetDomain() != "godwit" || info.GetReason() != reason {
			t.Fatalf("error info = %s %s, want godwit %s (%v)", info.GetDomain(), info.GetReason(), reason, err)
		}
		return info
	}
	t.Fatalf("error has no ErrorInfo: %v", err)
	return nil
}

func TestEveryKindThroughEveryNode(t *testing.T) {
	for _, nodes := range []int{3, 5} { // with 5, most nodes own no replica of a key and forward
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			c := testcluster.Start(t, testcluster.Options{Nodes: nodes})
			for i := range nodes {
				if got := put(t, c.KV(i), fmt.Sprint("reg", i), "v", nil).GetAnswer(); got.GetCopies() < 2 || got.GetReplicas() != 3 || got.GetDc() != "eu" {
					t.Errorf("answer = %v, want 2 copies or 3 of 3 in eu", got)
				}
				put(t, c.KV(i), "same", fmt.Sprint("v", i), nil)
				add(t, c.KV(i), "counter", int64(i+1), nil)
				sadd(t, c.KV(i), "set", fmt.Sprint("e", i), "all")
			}
			for i := range nodes {
				kv := c.KV(i)
				if got := string(get(t, kv, "same").GetValue().GetBytes()); got != fmt.Sprint("v", nodes-1) {
					t.Errorf("node %d: same = %q", i, got)
				}
				if got, want := get(t, kv, "counter").GetValue().GetInteger(), map[int]int64{3: 6, 5: 15}[nodes]; got != want {
					t.Errorf("node %d: counter = %d, want %d", i, got, want)
				}
				want := []string{"all", "e0", "e1", "e2", "e3", "e4"}[:nodes+1]
				var got []string
				for _, e := range get(t, kv, "set").GetValue().GetSet().GetElements() {
					got = append(got, string(e))
				}
				if !slices.Equal(got, want) {
					t.Errorf("node %d: set = %q, want %q", i, got, want)
				}
			}
			if _, err := c.KV(0).Delete(within(t, 10*time.Second), &v1.DeleteRequest{Bucket: bucket, Key: []byte("set")}); err != nil {
				t.Fatalf("Delete(set) = %v", err)
			}
			_, err := c.KV(nodes-1).Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("set")})
			refusedWith(t, err, codes.NotFound, "NOT_FOUND")
			want := []string{"counter", "reg0", "reg1", "reg2", "reg3", "reg4"}[:nodes+1]
			want = append(want, "same")
			for i := range nodes {
				if got := scan(t, c.KV(i), &v1.ScanRequest{Bucket: bucket}); !slices.Equal(got, want) {
					t.Errorf("node %d: scan = %q, want %q", i, got, want)
				}
			}
		})
	}
}

// scan lists keys, sorted.
func scan(t *testing.T, kv v1.KVClient, req *v1.ScanRequest) []string {
	t.Helper()
	stream, err := kv.Scan(within(t, 10*time.Second), req)
	var keys []string
	for err == nil {
		var resp *v1.ScanResponse
		if resp, err = stream.Recv(); err == nil {
			for _, it := range resp.GetItems() {
				keys = append(keys, string(it.GetKey()))
			}
		}
	}
	if !strings.Contains(err.Error(), "EOF") {
		t.Fatalf("Scan = %v", err)
	}
	slices.Sort(keys)
	return keys
}
