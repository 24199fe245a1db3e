package client

import (
	"context"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// FlagOp switches a flag, or with Kind DWFlag a dwflag, on or off.
func FlagOp(key string, on bool) Op {
	return Op{Key: key, name: "FlagSet", movable: true, fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_FlagSet{FlagSet: &pb.FlagSet{On: on}}
	}}
}

// FlagSet switches a flag on or off and tells whether that changed it. Of
// concurrent changes of a flag on wins, of a dwflag (WithKind) off.
func (c *Client) FlagSet(ctx context.Context, key string, on bool, opts ...CallOption) (changed bool, err error) {
	r, err := c.Update(ctx, FlagOp(key, on), opts...)
	if err != nil {
		return false, err
	}
	return r.Changed > 0, nil
}

// FlagGet tells whether a flag is on; one that is absent is off.
func (c *Client) FlagGet(ctx context.Context, key string, opts ...CallOption) (bool, error) {
	v, err := c.get(ctx, "FlagGet", &pb.GetRequest{Key: []byte(key), Limit: 1}, opts)
	switch {
	case IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return v.Flag, wantKind("FlagGet", v.Kind, Flag, DWFlag)
}
