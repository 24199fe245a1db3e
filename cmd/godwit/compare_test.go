package main

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/topology"
)

// digest is a replica of partition p of the global placement.
func digest(node string, p uint32, clockHash uint64, root string, seen ...crdt.Dot) *pb.ReplicaDigest {
	var c crdt.Clock
	for _, d := range seen {
		c.Add(d)
	}
	return &pb.ReplicaDigest{
		Node: node, Placement: topology.PlacementID("global"), Partition: p, ClockHash: clockHash, MerkleRoot: []byte(root),
		Ready: true, ChangedUnixMs: 1000 * clockHash, Clock: crdt.AppendClock(nil, &c),
	}
}

func viewed(t *testing.T, dcName string, replicas ...*pb.ReplicaDigest) view {
	t.Helper()
	v, err := viewOf(said[*pb.VerifyResponse]{dc: dcName, answer: &pb.VerifyResponse{Dc: dcName, Replicas: replicas}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCompare(t *testing.T) {
	waiting := digest("e1", 0, 1, "r")
	waiting.Residue = 2
	building := digest("e1", 0, 1, "r")
	building.Ready = false
	silent := view{dc: "euw1", err: errors.New("gone")}
	half := viewed(t, "euw1", digest("e1", 0, 1, "r"))
	half.missing = []string{"e2"}
	tests := []struct {
		name          string
		other         view
		equal         bool
		clock, merkle bool
		reason        string
	}{
		{"equal", viewed(t, "euw1", digest("e1", 0, 1, "r")), true, true, true, ""},
		{"a clock differs", viewed(t, "euw1", digest("e1", 0, 2, "r")), false, false, true, "clocks differ"},
		{"a root differs", viewed(t, "euw1", digest("e1", 0, 1, "s")), false, true, false, "Merkle roots differ"},
		{"one replica of two differs", viewed(t, "euw1", digest("e1", 0, 1, "r"), digest("e2", 0, 2, "s")), false, false, false, "clocks differ; Merkle roots differ"},
		{"a removal waits", viewed(t, "euw1", waiting), false, true, true, "e1 holds 2 removals that wait"},
		{"a tree is being built", viewed(t, "euw1", building), false, true, true, "e1 is not settled"},
		{"a datacenter is silent", silent, false, false, false, "no answer: gone"},
		{"a node is silent", half, false, false, false, "no answer from e2"},
		{"a placement it does not hold", viewed(t, "euw1"), true, true, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := compare([]view{viewed(t, "use1", digest("u1", 0, 1, "r"), digest("u2", 0, 1, "r")), tt.other}, (&session{}).placementName)
			if c.Equal != tt.equal || c.Pairs[0].Equal != tt.equal || c.Pairs[0].ClockEqual != tt.clock || c.Pairs[0].MerkleEqual != tt.merkle {
				t.Errorf("equal %t, pair %+v: want %t, clocks %t, Merkle %t", c.Equal, c.Pairs[0], tt.equal, tt.clock, tt.merkle)
			}
			reason := ""
			if len(c.Differing) > 0 {
				reason = c.Differing[0].Reason
			}
			if reason != tt.reason {
				t.Errorf("reason %q, want %q", reason, tt.reason)
			}
		})
	}
	c := compare([]view{viewed(t, "use1", digest("u1", 0, 3, "r")), viewed(t, "euw1", digest("e1", 0, 2, "r"))}, (&session{}).placementName)
	if *c.Since != "1970-01-01T00:00:03.000Z" || c.Partitions != 1 || *c.Differing[0].Partition != 0 || c.Differing[0].Placement != "global" {
		t.Errorf("comparison %+v, since %s", c, *c.Since)
	}
}

// Events that two datacenters lack count once, and those of a partition that a
// datacenter does not hold are not lacking there.
func TestUnseen(t *testing.T) {
	a, b := crdt.Actor(1), crdt.Actor(2)
	views := []view{
		viewed(t, "use1", digest("u1", 0, 1, "r", crdt.Dot{Actor: a, Seq: 1}, crdt.Dot{Actor: a, Seq: 2}), digest("u1", 1, 1, "r", crdt.Dot{Actor: a, Seq: 1})),
		viewed(t, "euw1", digest("e1", 0, 1, "r", crdt.Dot{Actor: a, Seq: 1}, crdt.Dot{Actor: b, Seq: 1})),
		viewed(t, "apne1", digest("n1", 0, 1, "r", crdt.Dot{Actor: a, Seq: 1})),
	}
	if got := unseen(views); got != 2 {
		t.Errorf("unseen = %d, want 2: one of each of two datacenters", got)
	}
}

func TestExitCode(t *testing.T) {
	answer := func(code codes.Code) error { return fmt.Errorf("wrapped: %w", &client.Error{Code: code}) }
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{answer(codes.Internal), 1},
		{answer(codes.ResourceExhausted), 1},
		{usagef("wrong"), 2},
		{answer(codes.InvalidArgument), 2},
		{answer(codes.NotFound), 3},
		{absent(), 3},
		{answer(codes.Unavailable), 4},
		{unavailablef("nobody"), 4},
		{answer(codes.DeadlineExceeded), 5},
		{answer(codes.FailedPrecondition), 6},
		{answer(codes.OutOfRange), 6},
		{checkFailed(), 7},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}
