package client

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// ExpireOp sets when a key expires; the zero time is never. The moment is
// rounded to milliseconds. An absent key is NOT_FOUND.
func ExpireOp(key string, at time.Time) Op {
	return Op{Key: key, name: "Expire", movable: true, fill: func(u *pb.UpdateRequest) {
		e := &pb.Expire{}
		if !at.IsZero() {
			e.AtUnixMs = uint64(max(1, at.UnixMilli())) // 0 would be never
		}
		u.Op = &pb.UpdateRequest_Expire{Expire: e}
	}}
}

// Expire lets a key expire after ttl by the clock of this process, see
// Options.Now, and tells whether there is such a key. Of concurrent changes the
// longest life wins.
func (c *Client) Expire(ctx context.Context, key string, ttl time.Duration, opts ...CallOption) (found bool, err error) {
	if ttl <= 0 {
		return false, refuse("Expire", codes.InvalidArgument, "BAD_TTL", "time to live %v is not positive: use Delete", ttl)
	}
	return c.ExpireAt(ctx, key, c.opts.Now().Add(ttl), opts...)
}

// ExpireAt lets a key expire at a moment, and tells whether there is such a key.
func (c *Client) ExpireAt(ctx context.Context, key string, at time.Time, opts ...CallOption) (found bool, err error) {
	_, err = c.Update(ctx, ExpireOp(key, at), opts...)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Persist lets a key live for ever, and tells whether there is such a key.
func (c *Client) Persist(ctx context.Context, key string, opts ...CallOption) (found bool, err error) {
	return c.ExpireAt(ctx, key, time.Time{}, opts...)
}

// TTL tells how long a key has to live by the clock of this process; expires is
// false if it lives for ever. IsNotFound tells that it is absent.
func (c *Client) TTL(ctx context.Context, key string, opts ...CallOption) (left time.Duration, expires bool, err error) {
	v, err := c.get(ctx, "TTL", &pb.GetRequest{Key: []byte(key), Limit: 1}, opts)
	if err != nil || v.ExpiresAt.IsZero() {
		return 0, false, err
	}
	return max(0, v.ExpiresAt.Sub(c.opts.Now())), true, nil
}
