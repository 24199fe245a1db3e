package client

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Topology tells the topology that the cluster acts under.
func (c *Client) Topology(ctx context.Context, opts ...CallOption) (*pb.TopologyResponse, error) {
	return ask(ctx, c, "Topology", &pb.TopologyRequest{}, opts, func(n *node) func(context.Context, *pb.TopologyRequest, ...grpc.CallOption) (*pb.TopologyResponse, error) {
		return n.cluster.Topology
	})
}

// ApplyTopology makes a topology that of the cluster, instead of the one with
// the hash; an empty hash stands for any. It may be called again.
func (c *Client) ApplyTopology(ctx context.Context, text []byte, insteadOf string, opts ...CallOption) (*pb.ApplyTopologyResponse, error) {
	return c.applyTopology(ctx, &pb.ApplyTopologyRequest{Text: text, InsteadOf: insteadOf}, opts)
}

// ForceTopology is ApplyTopology of a topology that may remove a datacenter
// which holds what no other one does: that is lost.
func (c *Client) ForceTopology(ctx context.Context, text []byte, insteadOf string, opts ...CallOption) (*pb.ApplyTopologyResponse, error) {
	return c.applyTopology(ctx, &pb.ApplyTopologyRequest{Text: text, InsteadOf: insteadOf, Force: true}, opts)
}

// Datacenters tells how far each datacenter takes part in the cluster.
func (c *Client) Datacenters(ctx context.Context, opts ...CallOption) (*pb.DatacentersResponse, error) {
	return ask(ctx, c, "Datacenters", &pb.DatacentersRequest{}, opts, func(n *node) func(context.Context, *pb.DatacentersRequest, ...grpc.CallOption) (*pb.DatacentersResponse, error) {
		return n.cluster.Datacenters
	})
}

func (c *Client) applyTopology(ctx context.Context, req *pb.ApplyTopologyRequest, opts []CallOption) (*pb.ApplyTopologyResponse, error) {
	return ask(ctx, c, "ApplyTopology", req, opts, func(n *node) func(context.Context, *pb.ApplyTopologyRequest, ...grpc.CallOption) (*pb.ApplyTopologyResponse, error) {
		return n.cluster.ApplyTopology
	})
}
