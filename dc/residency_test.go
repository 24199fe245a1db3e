package dc

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// withSecrets adds a datacenter to a topology, and a bucket that is kept there alone.
func withSecrets(o *Options) {
	top := *o.Topology
	there := topology.Datacenter{Name: "there", Nodes: []topology.Node{{ID: "there-a", Rack: "a", Weight: 1, Advertise: "127.0.0.1"}}}
	top.Datacenters = append(top.Datacenters[:1:1], there)
	top.Placements = append(slices.Clip(top.Placements), topology.Placement{Name: "secret", Replicas: map[string]int{"there": 1}})
	top.Buckets = append(slices.Clip(top.Buckets), topology.Bucket{Name: "secrets", Placement: "secret"})
	top.FillDefaults()
	o.Topology = &top
}

// TestDataOfOtherDatacentersFindNoWayIn: each way by which data could come to a node
// whose datacenter must not have them refuses by itself, whoever it comes from.
func TestDataOfOtherDatacentersFindNoWayIn(t *testing.T) {
	_, nodes := startDCEvery(t, 2, 2, 20*time.Millisecond, withSecrets)
	id := storage.ReplicaID{Placement: topology.PlacementID("secret"), Partition: 3}
	remote := replication.Replica(id)
	delta := crdt.AppendDelta(nil, &crdt.Delta{Actor: 9, Lo: 1, Hi: 1, Changes: []crdt.Change{{
		ID:   crdt.CellID{KeyID: crdt.KeyID{Bucket: "secrets", Key: "k"}, Kind: crdt.Flag},
		Puts: []crdt.Entry{{Dot: crdt.Dot{Actor: 9, Seq: 1}}},
	}}})
	n := nodes[0]
	ask := func(req *peerv1.Request) error {
		req.Epoch, req.TimeoutMs = n.Document().Epoch, 1000
		if s := n.Serve(t.Context(), "b", req).GetStatus(); s.GetCode() != 0 {
			return errors.New(s.GetReason())
		}
		return nil
	}
	snapshot := crdt.AppendSnapshot(nil, &crdt.Snapshot{})
	ways := []struct {
		name string
		in   func() error
		want string // the reason, or what the error is
	}{
		{"events of another datacenter", func() error {
			err := n.Remote().Apply(t.Context(), remote, [][]byte{delta})
			if !errors.Is(err, replication.ErrPermanent) || !errors.Is(err, replication.ErrResidency) {
				return nil
			}
			return errors.New("RESIDENCY")
		}, "RESIDENCY"},
		{"a comparison with another datacenter", func() error { _, err := n.Remote().Compare(remote); return errors.New(reason(err)) }, "NOT_OWNER"},
		{"events of a co-owner", func() error {
			return ask(&peerv1.Request{Of: &peerv1.Request_Apply{Apply: &peerv1.Apply{Replica: wireID(id), Deltas: [][]byte{delta}}}})
		}, "NOT_OWNER"},
		{"events to stand in for an owner", func() error {
			return ask(&peerv1.Request{Of: &peerv1.Request_Apply{Apply: &peerv1.Apply{Replica: wireID(id), Deltas: [][]byte{delta}, StandIn: true}}})
		}, "RESIDENCY"},
		{"a read repair", func() error {
			return ask(&peerv1.Request{Of: &peerv1.Request_Repair{Repair: &peerv1.Repair{Replica: wireID(id), Bucket: "secrets", Key: []byte("k"), Snapshot: snapshot}}})
		}, "NOT_OWNER"},
		{"what a guest hands over", func() error {
			return ask(&peerv1.Request{Of: &peerv1.Request_HandOver{HandOver: &peerv1.HandOver{Replica: wireID(id), Clock: crdt.AppendClock(nil, &crdt.Clock{})}}})
		}, "NOT_OWNER"},
		{"clocks of a co-owner", func() error {
			return ask(&peerv1.Request{Of: &peerv1.Request_Clocks{Clocks: &peerv1.Clocks{Replicas: []*peerv1.ReplicaClock{{Replica: wireID(id), Clock: crdt.AppendClock(nil, &crdt.Clock{})}}}}})
		}, "NOT_OWNER"},
		{"a forwarded write", func() error {
			return ask(&peerv1.Request{Of: &peerv1.Request_Forward{Forward: &peerv1.Forward{Of: &peerv1.Forward_Update{Update: secret()}}}})
		}, "RESIDENCY"},
		{"a write", func() error { _, err := n.Update(t.Context(), secret()); return errors.New(reason(err)) }, "RESIDENCY"},
		{"a read", func() error {
			_, err := n.Get(t.Context(), &v1.GetRequest{Bucket: "secrets", Key: []byte("k")})
			return errors.New(reason(err))
		}, "RESIDENCY"},
	}
	for _, way := range ways {
		if err := way.in(); err == nil || err.Error() != way.want {
			t.Errorf("%s: %v, want %s", way.name, err, way.want)
		}
	}
	if n.Remote().Holds(context.Background(), remote, &crdt.Clock{}) {
		t.Error("it says that it holds the partition")
	}
	for _, node := range nodes {
		for _, r := range node.store.Replicas() {
			if c := r.Clock(); r.ID().Placement == id.Placement && !c.Empty() {
				t.Errorf("%s holds events of replica %s", node.ID(), r.ID())
			}
		}
	}
}

func secret() *v1.UpdateRequest {
	req := put("k", "v")
	req.Bucket = "secrets"
	return req
}
