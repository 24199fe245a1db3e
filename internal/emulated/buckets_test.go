package emulated

import (
	"errors"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

func createBucket(t *testing.T, c *Cluster, node string, b *v1.Bucket) {
	t.Helper()
	if _, err := c.Node(node).DC().CreateBucket(t.Context(), &v1.CreateBucketRequest{Bucket: b}); err != nil {
		t.Fatalf("create bucket %s at %s: %v", b.GetName(), node, err)
	}
}

func putIn(t *testing.T, c *Cluster, node, bucket, key string) error {
	t.Helper()
	_, err := c.Node(node).DC().Update(t.Context(), &v1.UpdateRequest{
		Bucket: bucket, Key: []byte(key), Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte("v")}},
	})
	return err
}

func has(t *testing.T, c *Cluster, node, bucket, key string) bool {
	t.Helper()
	_, err := c.Node(node).DC().Get(t.Context(), &v1.GetRequest{Bucket: bucket, Key: []byte(key)})
	return err == nil
}

// Every datacenter makes buckets on its own, also while it is cut off, and all
// end up with the same: of two definitions of one name the later one counts, and
// the other is shown until somebody decides.
func TestBucketsOfTwoDatacenters(t *testing.T) {
	c := startCluster(t, Options{DCs: []string{"use1", "euw1"}, Nodes: 2, Memory: true})
	createBucket(t, c, "use1-a", &v1.Bucket{Name: "carts"})
	if err := putIn(t, c, "use1-b", "carts", "from use1"); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"euw1-a", "euw1-b"} {
		eventually(t, node+" takes the bucket of the other datacenter", 10*time.Second, func() bool { return putIn(t, c, node, "carts", "at "+node) == nil })
		eventually(t, node+" has the key of the other datacenter", 10*time.Second, func() bool { return has(t, c, node, "carts", "from use1") })
	}
	if err := c.WAN().CutDC("euw1"); err != nil {
		t.Fatal(err)
	}
	createBucket(t, c, "euw1-a", &v1.Bucket{Name: "cut-off"})
	createBucket(t, c, "use1-a", &v1.Bucket{Name: "both", Kind: v1.Kind_KIND_SET})
	createBucket(t, c, "euw1-b", &v1.Bucket{Name: "both", Kind: v1.Kind_KIND_MAP})
	if err := putIn(t, c, "euw1-b", "cut-off", "during the cut"); err != nil {
		t.Errorf("a bucket made during the cut: %v", err)
	}
	if e, ok := errors.AsType[*dc.Error](putIn(t, c, "use1-b", "cut-off", "k")); !ok || e.Reason != "UNKNOWN_BUCKET" {
		t.Errorf("the other side of the cut: %v, want UNKNOWN_BUCKET", e)
	}
	c.WAN().Heal()
	eventually(t, "use1 has what was written during the cut", 20*time.Second, func() bool { return has(t, c, "use1-b", "cut-off", "during the cut") })
	show := func(node string) *v1.BucketInfo {
		resp, err := c.Node(node).DC().GetBucket(t.Context(), &v1.GetBucketRequest{Name: "both"})
		if err != nil {
			return nil
		}
		return resp.GetBucket()
	}
	for _, node := range []string{"use1-b", "euw1-a"} {
		eventually(t, node+" shows both definitions", 20*time.Second, func() bool { return len(show(node).GetConflicts()) == 1 })
		b := show(node)
		if b.GetBucket().GetKind() != v1.Kind_KIND_MAP || b.GetConflicts()[0].GetBucket().GetKind() != v1.Kind_KIND_SET {
			t.Errorf("%s: the bucket is %v, want the later definition, of kind map, beside that of kind set", node, b)
		}
	}
	if _, err := c.Node("use1-a").DC().AlterBucket(t.Context(), &v1.AlterBucketRequest{Name: "both", Write: v1.Consistency_CONSISTENCY_ALL}); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"use1-b", "euw1-a"} {
		eventually(t, node+" shows one definition", 20*time.Second, func() bool {
			b := show(node)
			return len(b.GetConflicts()) == 0 && b.GetBucket().GetKind() == v1.Kind_KIND_MAP && b.GetBucket().GetWrite() == v1.Consistency_CONSISTENCY_ALL
		})
	}
	for _, node := range c.Info().DCs {
		for _, n := range node.Nodes {
			if n.HTTP == "" {
				t.Errorf("demo.json has no http address of %s", n.ID)
			}
		}
	}
}
