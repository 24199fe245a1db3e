package dc

import (
	"fmt"
	"strings"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// Limits of a request.
const (
	maxElements  = 1000    // elements of one operation
	defaultLimit = 1000    // elements of one answer
	pageBytes    = 2 << 20 // about as many bytes of them
)

// target is where a key lives.
type target struct {
	bucket *bucket
	key    crdt.KeyID
	id     storage.ReplicaID
	owners []string // those of this datacenter that are read from, nearest first
	strict bool     // no stand-ins

	// recovering says that this node's replica does not count for reads: before it was
	// read, since it may have all back by the time that others have answered.
	recovering bool

	recalls uint64 // of requests, before it was asked whether this one is known: see recall
}

// target finds where a key of a client lives.
func (n *Node) target(bucketName string, key []byte) (*target, error) {
	if err := forClients(bucketName); err != nil {
		return nil, err
	}
	return n.locate(bucketName, key)
}

// forClients refuses the buckets that clients do not see.
func forClients(bucketName string) error {
	if topology.SystemBucket(bucketName) {
		return refuse(PermissionDenied, "SYSTEM_BUCKET", "bucket %.80q is the cluster's own; buckets are made and changed with the bucket commands", bucketName).
			with("bucket", fmt.Sprintf("%.80s", bucketName))
	}
	return nil
}

// locate is target for every bucket.
func (n *Node) locate(bucketName string, key []byte) (*target, error) {
	b, err := n.buckets.find(bucketName)
	switch {
	case bucketName == "":
		return nil, refuse(InvalidArgument, "NO_BUCKET", "bucket is missing")
	case err != nil:
		return nil, err
	case b == nil:
		return nil, refuse(InvalidArgument, "UNKNOWN_BUCKET", "unknown bucket %.80q", bucketName).with("bucket", fmt.Sprintf("%.80s", bucketName))
	case len(key) == 0:
		return nil, refuse(InvalidArgument, "NO_KEY", "key is empty")
	case len(key) > crdt.MaxKeyBytes:
		return nil, refuse(InvalidArgument, "KEY_TOO_LONG", "key has %d bytes, at most %d are allowed", len(key), crdt.MaxKeyBytes)
	case b.placement.replicas == 0:
		return nil, refuse(PermissionDenied, "RESIDENCY", "bucket %q is not kept in datacenter %s; ask %s", bucketName, n.dc, strings.Join(b.dcs, ", ")).
			with("datacenters", strings.Join(b.dcs, ","))
	}
	t := &target{bucket: b, key: crdt.KeyID{Bucket: bucketName, Key: string(key)}}
	hash := ring.KeyHash(bucketName, key)
	t.id = storage.ReplicaID{Placement: b.placement.id, Partition: uint32(ring.PartitionOf(hash, n.opts.Topology.Partitions))}
	t.owners, t.recovering = n.owners(n.dc, t.id), n.recovery.lacks(t.id)
	return t, nil
}

// held is where a key lives that this node holds a replica of, whether its
// bucket is still defined or not.
func (n *Node) held(id storage.ReplicaID, key crdt.KeyID) *target {
	b := n.buckets.known(key.Bucket)
	if b == nil {
		b = &bucket{Bucket: topology.Bucket{Name: key.Bucket}, placement: n.placement(id.Placement)}
	}
	return &target{bucket: b, key: key, id: id, owners: n.owners(n.dc, id), recovering: n.recovery.lacks(id)}
}

// copies tells how many of a set of owners a request must reach.
func copies(c v1.Consistency, exact uint32, fallback string, owners int) (func(owners int) int, error) {
	if exact > 0 {
		if int(exact) > owners {
			return nil, refuse(InvalidArgument, "TOO_MANY_COPIES", "%d copies asked for, this datacenter keeps %d", exact, owners)
		}
		return func(owners int) int { return min(int(exact), owners) }, nil
	}
	switch {
	case c == v1.Consistency_CONSISTENCY_ONE, c == 0 && fallback == "one":
		return func(int) int { return 1 }, nil
	case c == v1.Consistency_CONSISTENCY_ALL, c == 0 && fallback == "all":
		return func(owners int) int { return owners }, nil
	case c == v1.Consistency_CONSISTENCY_QUORUM, c == 0:
		return leastQuorum, nil
	}
	return nil, refuse(InvalidArgument, "UNKNOWN_CONSISTENCY", "unknown consistency %d", c)
}

// allowed lists the kinds that the bucket takes; none stands for all.
func (b *bucket) allowed() []crdt.Kind {
	var out []crdt.Kind
	for _, name := range b.KindsAllowed {
		if k, err := crdt.ParseKind(name); err == nil {
			out = append(out, k)
		}
	}
	return out
}

// takes refuses writes to a bucket that is being deleted, but for removals.
func (b *bucket) takes(op *crdt.Op) error {
	if b.deleting && op.Code != crdt.OpDelete {
		return refuse(FailedPrecondition, "BUCKET_DELETING", "bucket %q is being deleted", b.Name)
	}
	return nil
}

func requestID(b []byte) (id crdt.RequestID, err error) {
	if len(b) != 0 && len(b) != len(id) {
		return id, refuse(InvalidArgument, "BAD_REQUEST_ID", "request id has %d bytes, want a ULID of %d", len(b), len(id))
	}
	copy(id[:], b)
	return id, nil
}
