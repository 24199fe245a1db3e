package client

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// ask makes a call of an operator that may be answered by any node.
func ask[Req, Resp any](ctx context.Context, c *Client, op string, req *Req, opts []CallOption,
	method func(*node) func(context.Context, *Req, ...grpc.CallOption) (*Resp, error),
) (*Resp, error) {
	o, err := c.options(op, opts)
	if err != nil {
		return nil, err
	}
	var resp *Resp
	err = c.do(ctx, o.readCall(op), func(ctx context.Context, a *attempt) error {
		resp, err = method(a.node)(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Status tells how the datacenter is doing.
func (c *Client) Status(ctx context.Context, opts ...CallOption) (*pb.StatusResponse, error) {
	return ask(ctx, c, "Status", &pb.StatusRequest{}, opts, func(n *node) func(context.Context, *pb.StatusRequest, ...grpc.CallOption) (*pb.StatusResponse, error) {
		return n.cluster.Status
	})
}

// Ring tells who owns which partition.
func (c *Client) Ring(ctx context.Context, opts ...CallOption) (*pb.RingResponse, error) {
	return c.ring(ctx, nil, opts)
}

// RingOf tells who owns the partition of one key.
func (c *Client) RingOf(ctx context.Context, key string, opts ...CallOption) (*pb.RingResponse, error) {
	return c.ring(ctx, []byte(key), opts)
}

func (c *Client) ring(ctx context.Context, key []byte, opts []CallOption) (*pb.RingResponse, error) {
	o, err := c.options("Ring", opts)
	if err != nil {
		return nil, err
	}
	return ask(ctx, c, "Ring", &pb.RingRequest{Key: key, Bucket: o.bucket}, opts, func(n *node) func(context.Context, *pb.RingRequest, ...grpc.CallOption) (*pb.RingResponse, error) {
		return n.cluster.Ring
	})
}

// Lag tells how far the datacenter and the others are behind each other.
func (c *Client) Lag(ctx context.Context, opts ...CallOption) (*pb.LagResponse, error) {
	return ask(ctx, c, "Lag", &pb.LagRequest{}, opts, func(n *node) func(context.Context, *pb.LagRequest, ...grpc.CallOption) (*pb.LagResponse, error) {
		return n.replication.Lag
	})
}

// Verify answers with digests of every replica. The timeout of the call must
// leave room for the request's settle_ms.
func (c *Client) Verify(ctx context.Context, req *pb.VerifyRequest, opts ...CallOption) (*pb.VerifyResponse, error) {
	return ask(ctx, c, "Verify", req, opts, func(n *node) func(context.Context, *pb.VerifyRequest, ...grpc.CallOption) (*pb.VerifyResponse, error) {
		return n.replication.Verify
	})
}

// Leaves answers with the Merkle leaves of one partition.
func (c *Client) Leaves(ctx context.Context, placement, partition uint32, opts ...CallOption) (*pb.LeavesResponse, error) {
	req := &pb.LeavesRequest{Placement: placement, Partition: partition}
	return ask(ctx, c, "Leaves", req, opts, func(n *node) func(context.Context, *pb.LeavesRequest, ...grpc.CallOption) (*pb.LeavesResponse, error) {
		return n.replication.Leaves
	})
}

// LeafKeys answers with the keys and digests in some leaves of one partition.
func (c *Client) LeafKeys(ctx context.Context, placement, partition uint32, leaves []uint32, opts ...CallOption) (*pb.KeysResponse, error) {
	req := &pb.KeysRequest{Placement: placement, Partition: partition, Leaves: leaves}
	return ask(ctx, c, "LeafKeys", req, opts, func(n *node) func(context.Context, *pb.KeysRequest, ...grpc.CallOption) (*pb.KeysResponse, error) {
		return n.replication.Keys
	})
}

// Cells answers with a key's cells, clock and residue in crdt's encoding.
func (c *Client) Cells(ctx context.Context, key string, opts ...CallOption) (*pb.CellsResponse, error) {
	return c.cells(ctx, &pb.CellsRequest{Key: []byte(key)}, opts)
}

// EveryCells returns what each owner in the datacenter holds of a key: one of
// them, the others in Others, and the names of those that did not answer.
func (c *Client) EveryCells(ctx context.Context, key string, opts ...CallOption) (*pb.CellsResponse, error) {
	return c.cells(ctx, &pb.CellsRequest{Key: []byte(key), EveryOwner: true}, opts)
}

func (c *Client) cells(ctx context.Context, req *pb.CellsRequest, opts []CallOption) (*pb.CellsResponse, error) {
	o, err := c.options("Cells", opts)
	if err != nil {
		return nil, err
	}
	req.Bucket = o.bucket
	return ask(ctx, c, "Cells", req, opts, func(n *node) func(context.Context, *pb.CellsRequest, ...grpc.CallOption) (*pb.CellsResponse, error) {
		return n.replication.Cells
	})
}

// Links shows the links between datacenters.
func (c *Client) Links(ctx context.Context, opts ...CallOption) (*pb.LinksResponse, error) {
	return ask(ctx, c, "Links", &pb.LinksRequest{}, opts, func(n *node) func(context.Context, *pb.LinksRequest, ...grpc.CallOption) (*pb.LinksResponse, error) {
		return n.replication.Links
	})
}

// SetLink changes an emulated link. IsPrecondition tells that links are real.
// Setting a link twice is the same as setting it once.
func (c *Client) SetLink(ctx context.Context, req *pb.SetLinkRequest, opts ...CallOption) (*pb.LinksResponse, error) {
	return ask(ctx, c, "SetLink", req, opts, func(n *node) func(context.Context, *pb.SetLinkRequest, ...grpc.CallOption) (*pb.LinksResponse, error) {
		return n.replication.SetLink
	})
}
