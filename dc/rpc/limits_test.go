package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/testcluster"
	"github.com/godwitdb/godwit/topology"
)

// nested is an update of a register within so many maps.
func nested(depth int) *v1.UpdateRequest {
	u := &v1.UpdateRequest{Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte("v")}}}
	for range depth {
		u = &v1.UpdateRequest{Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{
			Fields: []*v1.FieldUpdate{{Name: []byte("f"), Update: u}},
		}}}
	}
	u.Bucket, u.Key = bucket, fmt.Append(nil, "nested", depth)
	return u
}

func elements(n, size int) *v1.UpdateRequest {
	op := &v1.SetAdd{}
	for i := range n {
		op.Elements = append(op.Elements, fmt.Appendf(nil, "%-*d", size, i))
	}
	return &v1.UpdateRequest{Bucket: bucket, Key: fmt.Append(nil, "set", n, "/", size), Op: &v1.UpdateRequest_SetAdd{SetAdd: op}}
}

func assign(key []byte, value int) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: bucket, Key: key, Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: make([]byte, value)}}}
}

// Every limit of what a client may send holds: at the limit a request is carried
// out, just beyond it is refused, and says why.
func TestLimits(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, Buckets: []topology.Bucket{{Name: "large", MaxValue: 16 << 20}}})
	kv := c.KV(0)
	type call = func(ctx context.Context) error
	update := func(u *v1.UpdateRequest) call {
		return func(ctx context.Context) error { _, err := kv.Update(ctx, u); return err }
	}
	batch := func(n int) call {
		return func(ctx context.Context) error {
			var req v1.BatchUpdateRequest
			for i := range n {
				req.Updates = append(req.Updates, assign(fmt.Append(nil, "batch", i), 1))
			}
			_, err := kv.BatchUpdate(ctx, &req)
			return err
		}
	}
	create := func(name int) call {
		return func(ctx context.Context) error {
			_, err := v1.NewBucketsClient(c.Conn(0)).Create(ctx, &v1.CreateBucketRequest{Bucket: &v1.Bucket{Name: strings.Repeat("b", name)}})
			return err
		}
	}
	message := func(size int) call { // of a request
		u := assign([]byte("message"), 4<<20)
		u.Bucket = "large"
		u.GetAssign().Value = make([]byte, 4<<20-(proto.Size(u)-size))
		u.GetAssign().Value = u.GetAssign().GetValue()[:len(u.GetAssign().GetValue())-(proto.Size(u)-size)]
		return update(u)
	}
	for _, tt := range []struct {
		limit      string
		at, beyond call
		code       codes.Code
		reason     string // none: gRPC answers by itself
	}{
		{"key of 1 KiB", update(assign(make([]byte, 1024), 1)), update(assign(make([]byte, 1025), 1)), codes.InvalidArgument, "KEY_TOO_LONG"},
		{"value of 1 MiB", update(assign([]byte("v"), 1<<20)), update(assign([]byte("v"), 1<<20+1)), codes.InvalidArgument, "VALUE_TOO_LARGE"},
		{"bucket name of 64 B", create(64), create(65), codes.InvalidArgument, "BAD_BUCKET"},
		{"element of 64 KiB", update(elements(1, 64<<10)), update(elements(1, 64<<10+1)), codes.InvalidArgument, "ELEMENT_TOO_LARGE"},
		{"1000 elements of one operation", update(elements(1000, 8)), update(elements(1001, 8)), codes.InvalidArgument, "TOO_MANY_ELEMENTS"},
		{"maps 8 deep", update(nested(8)), update(nested(9)), codes.InvalidArgument, "TOO_DEEP"},
		{"batch of 256", batch(256), batch(257), codes.InvalidArgument, "BATCH_TOO_LARGE"},
		{"message of 4 MiB", message(4 << 20), message(4<<20 + 1), codes.ResourceExhausted, ""},
	} {
		t.Run(tt.limit, func(t *testing.T) {
			if err := tt.at(within(t, 30*time.Second)); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			err := tt.beyond(within(t, 30*time.Second))
			if tt.reason == "" {
				if status.Code(err) != tt.code {
					t.Errorf("beyond it: %v, want %s", err, tt.code)
				}
				return
			}
			refusedWith(t, err, tt.code, tt.reason)
		})
	}
}

// A page has 1,000 elements at the most, however many are asked for.
func TestPagesAreBounded(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	kv := c.KV(0)
	for i := range 2 {
		u := elements(1000, 8+i) // the names of the two differ
		u.Key = []byte("set")
		if _, err := kv.Update(within(t, 30*time.Second), u); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ limit, want int }{{0, 1000}, {999, 999}, {1000, 1000}, {1001, 1000}, {1 << 30, 1000}} {
		got, err := kv.Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: bucket, Key: []byte("set"), Limit: uint32(tt.limit)})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.GetValue().GetSet().GetElements()); n != tt.want || len(got.GetNextPage()) == 0 {
			t.Errorf("limit %d: %d elements and a next page of %d bytes, want %d and one", tt.limit, n, len(got.GetNextPage()), tt.want)
		}
	}
}
