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
	req := &pb.ApplyTopologyRequest{Text: text, InsteadOf: insteadOf}
	return ask(ctx, c, "ApplyTopology", req, opts, func(n *node) func(context.Context, *pb.ApplyTopologyRequest, ...grpc.CallOption) (*pb.ApplyTopologyResponse, error) {
		return n.cluster.ApplyTopology
	})
}
