package client

import (
	"context"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Rights is how much one replica may take from a bcounter.
type Rights struct {
	Actor  uint64 // the incarnation of the replica that holds them
	DC     string // empty if the topology no longer has its node
	Node   string
	Amount int64
}

// TransferOp moves rights of a bcounter from the replica that coordinates to
// one of another datacenter.
func TransferOp(key string, amount int64, dc string) Op {
	return Op{Key: key, name: "Transfer", fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_Transfer{Transfer: &pb.Transfer{Amount: amount, To: dc}}
	}}
}

// Transfer moves rights of a bcounter from the replica that coordinates to one
// of another datacenter, which may spend them once it has heard of it.
func (c *Client) Transfer(ctx context.Context, key string, amount int64, dc string, opts ...CallOption) (*Result, error) {
	return c.Update(ctx, TransferOp(key, amount, dc), opts...)
}

// Rights tells who may take how much from a bcounter, as one replica knows it.
// IsNotFound tells that it is absent.
func (c *Client) Rights(ctx context.Context, key string, opts ...CallOption) ([]Rights, error) {
	v, err := c.get(ctx, "Rights", &pb.GetRequest{Key: []byte(key), Limit: 1}, opts)
	if err != nil {
		return nil, err
	}
	return v.Rights, wantKind("Rights", v.Kind, BCounter)
}
