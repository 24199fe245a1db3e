package client

import (
	"context"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// PFAddOp shows elements to an hll, which estimates how many it has seen.
func PFAddOp(key string, elements ...string) Op {
	return Op{Key: key, name: "PFAdd", movable: true, fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_HllAdd{HllAdd: &pb.HllAdd{Elements: bytesOf(elements)}}
	}}
}

// PFAdd shows elements to an hll and tells whether that may have changed its
// estimate.
func (c *Client) PFAdd(ctx context.Context, key string, elements []string, opts ...CallOption) (changed bool, err error) {
	r, err := c.Update(ctx, PFAddOp(key, elements...), opts...)
	if err != nil {
		return false, err
	}
	return r.Changed > 0, nil
}

// PFCount estimates how many different elements an hll has seen. IsNotFound
// tells that it is absent.
func (c *Client) PFCount(ctx context.Context, key string, opts ...CallOption) (uint64, error) {
	v, err := c.get(ctx, "PFCount", &pb.GetRequest{Key: []byte(key), Limit: 1}, opts)
	if err != nil {
		return 0, err
	}
	return v.Estimate, wantKind("PFCount", v.Kind, HLL)
}
