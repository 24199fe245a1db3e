package client

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Nodes lists the members of the datacenter, those who are to be, and candidates.
func (c *Client) Nodes(ctx context.Context, opts ...CallOption) (*pb.NodesResponse, error) {
	return ask(ctx, c, "Nodes", &pb.NodesRequest{}, opts, func(n *node) func(context.Context, *pb.NodesRequest, ...grpc.CallOption) (*pb.NodesResponse, error) {
		return n.cluster.Nodes
	})
}

// PlanChange tells what a change of the members would move, and changes nothing.
func (c *Client) PlanChange(ctx context.Context, change *pb.RingChange, opts ...CallOption) (*pb.PlanResponse, error) {
	return ask(ctx, c, "Plan", &pb.PlanRequest{Change: change}, opts, func(n *node) func(context.Context, *pb.PlanRequest, ...grpc.CallOption) (*pb.PlanResponse, error) {
		return n.cluster.Plan
	})
}

// CommitChange has the members decide on a change that was planned for an epoch.
// It may be tried again: what was committed already is answered as such.
func (c *Client) CommitChange(ctx context.Context, change *pb.RingChange, epoch uint64, opts ...CallOption) (*pb.CommitResponse, error) {
	req := &pb.CommitRequest{Change: change, Epoch: epoch}
	return ask(ctx, c, "Commit", req, opts, func(n *node) func(context.Context, *pb.CommitRequest, ...grpc.CallOption) (*pb.CommitResponse, error) {
		return n.cluster.Commit
	})
}
