package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/testcluster"
)

func bucketsOf(c *testcluster.Cluster, i int) v1.BucketsClient { return v1.NewBucketsClient(c.Conn(i)) }

func putIn(ctx context.Context, c *testcluster.Cluster, i int, bucket, key, value string) error {
	_, err := c.KV(i).Put(ctx, &v1.PutRequest{Bucket: bucket, Key: []byte(key), Value: []byte(value)})
	return err
}

func createBucket(t *testing.T, c *testcluster.Cluster, i int, b *v1.Bucket) *v1.BucketInfo {
	t.Helper()
	resp, err := bucketsOf(c, i).Create(within(t, 10*time.Second), &v1.CreateBucketRequest{Bucket: b})
	if err != nil {
		t.Fatalf("create bucket %s: %v", b.GetName(), err)
	}
	return resp.GetBucket()
}

// deleteBucket returns what was told last.
func deleteBucket(t *testing.T, c *testcluster.Cluster, i int, name string, force bool) (*v1.DeleteBucketResponse, error) {
	t.Helper()
	stream, err := bucketsOf(c, i).Delete(within(t, 20*time.Second), &v1.DeleteBucketRequest{Name: name, Force: force})
	if err != nil {
		t.Fatal(err)
	}
	var last *v1.DeleteBucketResponse
	for {
		told, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		last = told
	}
}

// A bucket that was just made is known to every node that is asked for it, with
// no wait in between: with four nodes and three replicas one of them owns nothing.
func TestBucketIsThereAtOnce(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 4, Exchange: time.Second})
	for i := range 4 {
		name := fmt.Sprint("made-by-", i)
		info := createBucket(t, c, i, &v1.Bucket{Name: name, Kind: v1.Kind_KIND_REGISTER, MaxValue: 10})
		if info.GetBucket().GetRead() != v1.Consistency_CONSISTENCY_QUORUM || info.GetBucket().GetPlacement() != "global" || info.GetInTopology() || info.GetChangedUnixMs() == 0 {
			t.Errorf("created %v", info)
		}
		for j := range 4 {
			if err := putIn(within(t, 10*time.Second), c, j, name, fmt.Sprint("k", j), "v"); err != nil {
				t.Errorf("bucket of node %d at node %d: %v", i, j, err)
			}
		}
	}
	err := putIn(within(t, 10*time.Second), c, 0, "made-by-0", "k", "longer than 10")
	refusedWith(t, err, codes.InvalidArgument, "VALUE_TOO_LARGE")
	list, err := bucketsOf(c, 3).List(within(t, 10*time.Second), &v1.ListBucketsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range list.GetBuckets() {
		names = append(names, fmt.Sprint(b.GetBucket().GetName(), " ", b.GetInTopology()))
	}
	if want := []string{"default true", "made-by-0 false", "made-by-1 false", "made-by-2 false", "made-by-3 false"}; !slices.Equal(names, want) {
		t.Errorf("list = %q, want %q", names, want)
	}
}

func TestAlterBucket(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	createBucket(t, c, 0, &v1.Bucket{Name: "b", Kind: v1.Kind_KIND_SET, KindsAllowed: []v1.Kind{v1.Kind_KIND_SET}, MaxValue: 100})
	alter := func(req *v1.AlterBucketRequest) (*v1.AlterBucketResponse, error) {
		req.Name = "b"
		return bucketsOf(c, 1).Alter(within(t, 10*time.Second), req)
	}
	if err := putIn(within(t, 10*time.Second), c, 2, "b", "k", "v"); err == nil {
		t.Error("a bucket of sets took a register")
	}
	ttl, small := uint64(60_000), uint64(3)
	resp, err := alter(&v1.AlterBucketRequest{
		Read: v1.Consistency_CONSISTENCY_ONE, Write: v1.Consistency_CONSISTENCY_ONE, Durability: v1.Durability_DURABILITY_ASYNC,
		TtlMs: &ttl, MaxValue: &small, Allow: []v1.Kind{v1.Kind_KIND_REGISTER},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"read + write = 2 does not exceed 3 replicas: a read may miss the latest write"}; !slices.Equal(resp.GetWarnings(), want) {
		t.Errorf("warnings %q, want %q", resp.GetWarnings(), want)
	}
	// Node 2 knows the bucket as it was, and hears of the change within a second.
	eventually(t, "the altered bucket takes registers", func() bool {
		_, err := c.KV(2).Put(within(t, time.Second), &v1.PutRequest{Bucket: "b", Key: []byte("k"), Value: []byte("v"), Kind: v1.Kind_KIND_REGISTER})
		return err == nil
	})
	got, err := c.KV(2).Get(within(t, 10*time.Second), &v1.GetRequest{Bucket: "b", Key: []byte("k")})
	if err != nil || got.GetExpiresUnixMs() == 0 {
		t.Errorf("a key of the altered bucket: %v, %v; want one that expires", got, err)
	}
	if _, err := alter(&v1.AlterBucketRequest{AllowAll: true}); err != nil {
		t.Error(err)
	}
	zero := uint64(0)
	tests := []struct {
		name   string
		req    *v1.AlterBucketRequest
		code   codes.Code
		reason string
	}{
		{"kind", &v1.AlterBucketRequest{Kind: v1.Kind_KIND_MAP}, codes.FailedPrecondition, "BUCKET_FIXED"},
		{"placement", &v1.AlterBucketRequest{Placement: "eu-only"}, codes.FailedPrecondition, "BUCKET_FIXED"},
		{"no value fits", &v1.AlterBucketRequest{MaxValue: &zero}, codes.InvalidArgument, "BAD_BUCKET"},
		{"consistency", &v1.AlterBucketRequest{Read: 9}, codes.InvalidArgument, "BAD_BUCKET"},
		{"durability", &v1.AlterBucketRequest{Durability: 9}, codes.InvalidArgument, "BAD_BUCKET"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := alter(tt.req)
			refusedWith(t, err, tt.code, tt.reason)
		})
	}
}

func TestBucketsRefuse(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	createBucket(t, c, 0, &v1.Bucket{Name: "b"})
	createBucket(t, c, 0, &v1.Bucket{Name: "b"}) // again, as it is
	api, ctx := bucketsOf(c, 0), within(t, 20*time.Second)
	create := func(b *v1.Bucket) error {
		_, err := api.Create(ctx, &v1.CreateBucketRequest{Bucket: b})
		return err
	}
	alter := func(name string) error {
		_, err := api.Alter(ctx, &v1.AlterBucketRequest{Name: name})
		return err
	}
	show := func(name string) error {
		_, err := api.Get(ctx, &v1.GetBucketRequest{Name: name})
		return err
	}
	remove := func(name string) error {
		_, err := deleteBucket(t, c, 0, name, true)
		return err
	}
	system := ".godwit"
	_, get := c.KV(0).Get(ctx, &v1.GetRequest{Bucket: system, Key: []byte("buckets")})
	_, drop := c.KV(0).Delete(ctx, &v1.DeleteRequest{Bucket: system, Key: []byte("buckets")})
	stream, err := c.KV(0).Scan(ctx, &v1.ScanRequest{Bucket: system})
	if err == nil {
		_, err = stream.Recv()
	}
	tests := []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"create what the topology has", create(&v1.Bucket{Name: "default"}), codes.AlreadyExists, "BUCKET_EXISTS"},
		{"create what is there", create(&v1.Bucket{Name: "b", Kind: v1.Kind_KIND_SET}), codes.AlreadyExists, "BUCKET_EXISTS"},
		{"create a system bucket", create(&v1.Bucket{Name: system}), codes.InvalidArgument, "BAD_BUCKET"},
		{"create without a name", create(nil), codes.InvalidArgument, "BAD_BUCKET"},
		{"create of an unknown kind", create(&v1.Bucket{Name: "c", Kind: 99}), codes.InvalidArgument, "UNKNOWN_KIND"},
		{"create of an unknown placement", create(&v1.Bucket{Name: "c", Placement: "moon"}), codes.InvalidArgument, "BAD_BUCKET"},
		{"create with a ttl past all time", create(&v1.Bucket{Name: "c", TtlMs: 1 << 63}), codes.InvalidArgument, "BAD_BUCKET"},
		{"create with values too large", create(&v1.Bucket{Name: "c", MaxValue: 1 << 63}), codes.InvalidArgument, "BAD_BUCKET"},
		{"alter what the topology has", alter("default"), codes.FailedPrecondition, "BUCKET_IN_TOPOLOGY"},
		{"alter what is not there", alter("nope"), codes.NotFound, "NO_SUCH_BUCKET"},
		{"alter the system's", alter(system), codes.PermissionDenied, "SYSTEM_BUCKET"},
		{"show what is not there", show("nope"), codes.NotFound, "NO_SUCH_BUCKET"},
		{"show the system's", show(system), codes.PermissionDenied, "SYSTEM_BUCKET"},
		{"delete what the topology has", remove("default"), codes.FailedPrecondition, "BUCKET_IN_TOPOLOGY"},
		{"delete what is not there", remove("nope"), codes.NotFound, "NO_SUCH_BUCKET"},
		{"put into the system's", putIn(ctx, c, 0, system, "buckets", "v"), codes.PermissionDenied, "SYSTEM_BUCKET"},
		{"get from the system's", get, codes.PermissionDenied, "SYSTEM_BUCKET"},
		{"delete from the system's", drop, codes.PermissionDenied, "SYSTEM_BUCKET"},
		{"scan the system's", err, codes.PermissionDenied, "SYSTEM_BUCKET"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { refusedWith(t, tt.err, tt.code, tt.reason) })
	}
}

func TestDeleteBucket(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	createBucket(t, c, 0, &v1.Bucket{Name: "b"})
	ctx := within(t, 30*time.Second)
	for k := range 40 {
		if err := putIn(ctx, c, k%3, "b", fmt.Sprint("k", k), "v"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := deleteBucket(t, c, 1, "b", false)
	refusedWith(t, err, codes.FailedPrecondition, "BUCKET_NOT_EMPTY")
	if err := putIn(ctx, c, 2, "b", "k", "after a refused delete"); err != nil {
		t.Error(err)
	}
	told, err := deleteBucket(t, c, 1, "b", true)
	if err != nil || !told.GetDone() || told.GetRemoved() != 41 || told.GetKeys() != 41 {
		t.Fatalf("delete by force: %v, %v; want 41 of 41 keys removed", told, err)
	}
	// Nodes that have not heard yet find the bucket empty, and refuse in the end.
	eventually(t, "no node knows the bucket", func() bool {
		for i := range 3 {
			if _, err := c.KV(i).Get(ctx, &v1.GetRequest{Bucket: "b", Key: []byte("k")}); err == nil {
				t.Fatalf("a deleted key is read at node %d", i)
			}
			if err := putIn(ctx, c, i, "b", "k", "v"); err == nil {
				return false
			}
		}
		return true
	})
	createBucket(t, c, 2, &v1.Bucket{Name: "b", Kind: v1.Kind_KIND_COUNTER})
	told, err = deleteBucket(t, c, 0, "b", false)
	if err != nil || !told.GetDone() {
		t.Errorf("delete of an empty bucket: %v, %v", told, err)
	}
}

// What cannot be removed is found before anything is, and the bucket stays in use.
func TestDeleteBucketWithABoundedCounter(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	createBucket(t, c, 0, &v1.Bucket{Name: "b"})
	ctx := within(t, 30*time.Second)
	if err := putIn(ctx, c, 0, "b", "k", "v"); err != nil {
		t.Fatal(err)
	}
	_, err := c.KV(0).Update(ctx, &v1.UpdateRequest{
		Bucket: "b", Key: []byte("stock"), Kind: v1.Kind_KIND_BCOUNTER, Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = deleteBucket(t, c, 0, "b", true)
	refusedWith(t, err, codes.FailedPrecondition, "CANNOT_REMOVE")
	if err := putIn(ctx, c, 0, "b", "k2", "v"); err != nil {
		t.Errorf("put after a refused delete: %v", err)
	}
	if got := scan(t, c.KV(0), &v1.ScanRequest{Bucket: "b"}); !slices.Equal(got, []string{"k", "k2", "stock"}) {
		t.Errorf("keys %q", got)
	}
}

// A deletion that was broken off leaves a bucket that takes no writes, until it
// is brought to its end or taken back.
func TestDeleteBucketBrokenOff(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1, Exchange: 300 * time.Millisecond})
	createBucket(t, c, 0, &v1.Bucket{Name: "b"})
	ctx := within(t, 30*time.Second)
	if err := putIn(ctx, c, 0, "b", "k", "v"); err != nil {
		t.Fatal(err)
	}
	breakOff := func() {
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if _, err := bucketsOf(c, 0).Delete(short, &v1.DeleteBucketRequest{Name: "b", Force: true}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the bucket is being deleted", func() bool {
			resp, err := bucketsOf(c, 0).Get(ctx, &v1.GetBucketRequest{Name: "b"})
			return err == nil && resp.GetBucket().GetDeleting()
		})
	}
	breakOff()
	refusedWith(t, putIn(ctx, c, 0, "b", "k", "v"), codes.FailedPrecondition, "BUCKET_DELETING")
	_, err := bucketsOf(c, 0).Alter(ctx, &v1.AlterBucketRequest{Name: "b"})
	refusedWith(t, err, codes.FailedPrecondition, "BUCKET_DELETING")
	if _, err := bucketsOf(c, 0).Alter(ctx, &v1.AlterBucketRequest{Name: "b", Keep: true}); err != nil {
		t.Fatal(err)
	}
	if err := putIn(ctx, c, 0, "b", "k2", "v"); err != nil {
		t.Errorf("put into the bucket that is kept: %v", err)
	}
	breakOff()
	if told, err := deleteBucket(t, c, 0, "b", true); err != nil || told.GetRemoved() != 2 {
		t.Errorf("delete again: %v, %v; want 2 keys removed", told, err)
	}
}

// A node that starts alone, without an owner of the definitions to ask, knows
// the buckets that it knew before.
func TestBucketsSurviveARestartAlone(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 4, Replicas: 1})
	createBucket(t, c, 0, &v1.Bucket{Name: "b"})
	for i := range 4 {
		if err := putIn(within(t, 10*time.Second), c, i, "b", "k", "v"); err != nil { // everybody has heard of it
			t.Fatal(err)
		}
	}
	for i := range 4 {
		c.Stop(i)
	}
	for i := range 4 {
		c.Restart(i)
		_, err := c.KV(i).Get(within(t, 5*time.Second), &v1.GetRequest{Bucket: "b", Key: []byte("other"), Options: &v1.ReadOptions{R: 1}})
		if err == nil {
			t.Fatal("read a key that nobody wrote")
		}
		if reason := reasonOf(err); reason != "NOT_FOUND" && reason != "NO_OWNER" {
			t.Errorf("node %d alone: %v, want one that knows the bucket", i, err)
		}
		c.Stop(i)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// reasonOf is the reason of an error, empty if it has none.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
