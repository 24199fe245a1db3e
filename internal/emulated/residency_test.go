package emulated

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// parts is how many partitions the topology has.
const parts = 16

// away is three datacenters of one node each, of which one must not have what is
// in the bucket "secrets".
func away() *topology.Topology {
	t := build([]string{"use1", "euw1", "euc1"}, 1)
	t.Partitions = parts
	t.Placements = append(t.Placements, topology.Placement{Name: "eu-only", Replicas: map[string]int{"euw1": 1, "euc1": 1}})
	t.Buckets = append(t.Buckets, topology.Bucket{Name: "secrets", Placement: "eu-only"})
	t.FillDefaults()
	return t
}

// wantResidency checks that a refusal is for where the bucket is kept, and says where that is.
func wantResidency(t *testing.T, what string, err error) {
	t.Helper()
	e, ok := errors.AsType[*dc.Error](err)
	if !ok || e.Code != dc.PermissionDenied || e.Reason != "RESIDENCY" || e.Metadata["datacenters"] != "euc1,euw1" {
		t.Errorf("%s: %v; want PERMISSION_DENIED RESIDENCY that names euc1 and euw1", what, err)
	}
}

// clientsAreRefused asks a datacenter in every way for what it must not have.
func clientsAreRefused(t *testing.T, n *dc.Node, key []byte) {
	t.Helper()
	_, err := n.Get(t.Context(), &v1.GetRequest{Bucket: "secrets", Key: key})
	wantResidency(t, "get", err)
	_, err = n.Update(t.Context(), &v1.UpdateRequest{Bucket: "secrets", Key: key, Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: key}}})
	wantResidency(t, "put", err)
	wantResidency(t, "keys", n.Scan(t.Context(), &v1.ScanRequest{Bucket: "secrets"}, func(*v1.ScanResponse) error {
		t.Error("a page of keys")
		return nil
	}))
	wantResidency(t, "watch", n.Watch(t.Context(), &v1.WatchRequest{Bucket: "secrets"}, func(*v1.WatchResponse) error {
		t.Error("a change")
		return nil
	}))
	_, err = n.Cells(t.Context(), &v1.CellsRequest{Bucket: "secrets", Key: key})
	wantResidency(t, "explain", err)
	placement := topology.PlacementID("eu-only")
	partition := uint32(ring.PartitionOf(ring.KeyHash("secrets", key), parts))
	if resp, err := n.Keys(t.Context(), &v1.KeysRequest{Placement: placement, Partition: partition, Leaves: []uint32{0}}); err == nil {
		t.Errorf("diff: %v, want a refusal", resp)
	}
	if resp, err := n.Leaves(t.Context(), &v1.LeavesRequest{Placement: placement, Partition: partition}); err == nil {
		t.Errorf("diff: %d bytes of a tree, want a refusal", len(resp.GetLeaves()))
	}
	for _, r := range n.Verify(t.Context(), &v1.VerifyRequest{}).GetReplicas() {
		if r.GetPlacement() == placement {
			t.Errorf("verify tells of partition %d of the placement", r.GetPartition())
		}
	}
	if n.Remote().Holds(t.Context(), replication.Replica{Placement: placement, Partition: partition}, &crdt.Clock{}) {
		t.Error("it holds the replica")
	}
}

// holdsNothingOf looks through all that a node that was stopped has on disk: its
// replicas, and every byte of every file, brokers and parked batches among them.
func holdsNothingOf(t *testing.T, dir string, marks [][]byte) {
	t.Helper()
	s, err := storage.Open(storage.Options{
		Dir: dir, Hash: ring.KeyHash,
		Identity: storage.Identity{Cluster: "demo", DC: "use1", Node: "use1-a", Partitions: parts},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Replicas() {
		if c := r.Clock(); r.ID().Placement == topology.PlacementID("eu-only") && !c.Empty() {
			t.Errorf("replica %s has events", r.ID())
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	found, files := onDisk(t, dir, marks)
	if len(found) > 0 || files < 5 {
		t.Errorf("of %d files: %v", files, found)
	}
}

// onDisk tells in which file each of the marks was found.
func onDisk(t *testing.T, dir string, marks [][]byte) (found map[int]string, files int) {
	t.Helper()
	found = map[int]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		for i, mark := range marks {
			if bytes.Contains(b, mark) {
				found[i] = path
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, files
}

// Data of a placement never leave its datacenters: not in the stream, not by
// repair, not to clients, and not a byte of them is on a disk elsewhere.
func TestResidency(t *testing.T) {
	c := startCluster(t, Options{Topology: away(), Verify: 500 * time.Millisecond})
	var marks, keys [][]byte
	put := func(node string, i int) {
		t.Helper()
		mark := sha256.Sum256(fmt.Append(nil, "secret", i)) // 32 bytes that no compression makes other bytes of
		key := fmt.Append(nil, "k", i)
		if _, err := c.Node(node).DC().Update(t.Context(), &v1.UpdateRequest{
			Bucket: "secrets", Key: key, Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: mark[:]}},
		}); err != nil {
			t.Fatal(err)
		}
		marks, keys = append(marks, mark[:]), append(keys, key)
	}
	level := func() {
		t.Helper()
		for i, key := range keys {
			eventually(t, "both datacenters have "+string(key), 30*time.Second, func() bool {
				for _, node := range []string{"euw1-a", "euc1-a"} {
					resp, err := c.Node(node).DC().Get(context.Background(), &v1.GetRequest{Bucket: "secrets", Key: key})
					if err != nil || !bytes.Equal(resp.GetValue().GetBytes(), marks[i]) {
						return false
					}
				}
				return true
			})
		}
	}
	for i := range 20 {
		put([]string{"euw1-a", "euc1-a"}[i%2], i)
	}
	level()
	use1 := c.Node("use1-a").DC()
	clientsAreRefused(t, use1, keys[0])
	if err := c.WAN().CutDC("euc1"); err != nil { // what heals this goes by other ways
		t.Fatal(err)
	}
	for i := 20; i < 40; i++ {
		put("euw1-a", i)
	}
	if err := c.StopNode("euw1-a"); err != nil { // ... and so does what a restart left to others
		t.Fatal(err)
	}
	if err := c.StartNode(t.Context(), "euw1-a"); err != nil {
		t.Fatal(err)
	}
	c.WAN().Heal()
	level()
	incr(t, c, "use1-a", "hits", 1)
	eventually(t, "trees were compared since", 30*time.Second, func() bool { return value(c, "euc1-a", "hits") == 1 })
	for _, node := range []string{"use1-a", "euc1-a"} { // on demand, and in the background, once in half a second
		if err := c.Node(node).DC().Repair(t.Context(), &v1.RepairRequest{}, func(*v1.RepairResponse) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	clientsAreRefused(t, use1, keys[30])

	for _, node := range []string{"use1-a", "euc1-a"} {
		if err := c.StopNode(node); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := onDisk(t, filepath.Join(c.opts.Dir, "euc1-a"), marks); len(found) < len(marks) {
		t.Errorf("%d of %d marks were found where all of them are: this look at files would miss them elsewhere", len(found), len(marks))
	}
	holdsNothingOf(t, filepath.Join(c.opts.Dir, "use1-a"), marks)
}
