package clienttest

import (
	"context"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// ringPartitions is how many partitions a cluster has.
const ringPartitions = 8

// members tells who owns what; faults do not concern it.
type members struct {
	pb.UnimplementedClusterServer

	kv *kv
}

// Ring answers that all nodes own all partitions, each beginning with another one.
func (m *members) Ring(context.Context, *pb.RingRequest) (*pb.RingResponse, error) {
	nodes := m.kv.others
	resp := &pb.RingResponse{Partitions: ringPartitions, Placement: "global", Epoch: 1}
	for p := range uint32(ringPartitions) {
		owners := &pb.PartitionOwners{Partition: p}
		for i := range nodes {
			owners.Nodes = append(owners.Nodes, nodes[(i+int(p))%len(nodes)].node)
		}
		resp.Owners = append(resp.Owners, owners)
	}
	for _, n := range nodes {
		resp.Shares = append(resp.Shares, &pb.NodeShare{Node: n.node, Weight: 1, Share: 1, Partitions: ringPartitions, GrpcAddr: n.n.Addr})
	}
	return resp, nil
}
