package client

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Buckets lists all buckets by name, those of the topology included.
func (c *Client) Buckets(ctx context.Context, opts ...CallOption) ([]*pb.BucketInfo, error) {
	resp, err := ask(ctx, c, "Buckets", &pb.ListBucketsRequest{}, opts, func(n *node) func(context.Context, *pb.ListBucketsRequest, ...grpc.CallOption) (*pb.ListBucketsResponse, error) {
		return n.buckets.List
	})
	return resp.GetBuckets(), err
}

// Bucket shows one bucket. IsNotFound tells that there is none of that name.
func (c *Client) Bucket(ctx context.Context, name string, opts ...CallOption) (*pb.BucketInfo, error) {
	resp, err := ask(ctx, c, "Bucket", &pb.GetBucketRequest{Name: name}, opts, func(n *node) func(context.Context, *pb.GetBucketRequest, ...grpc.CallOption) (*pb.GetBucketResponse, error) {
		return n.buckets.Get
	})
	return resp.GetBucket(), err
}

// CreateBucket defines a bucket, in every datacenter. What b leaves out takes
// its default. To define one again as it is changes nothing; the reason
// BUCKET_EXISTS says that there is another of that name.
func (c *Client) CreateBucket(ctx context.Context, b *pb.Bucket, opts ...CallOption) (*pb.CreateBucketResponse, error) {
	return change(ctx, c, "CreateBucket", &pb.CreateBucketRequest{Bucket: b}, opts, func(n *node) func(context.Context, *pb.CreateBucketRequest, ...grpc.CallOption) (*pb.CreateBucketResponse, error) {
		return n.buckets.Create
	})
}

// AlterBucket changes what req sets of a bucket that the topology does not name.
func (c *Client) AlterBucket(ctx context.Context, req *pb.AlterBucketRequest, opts ...CallOption) (*pb.AlterBucketResponse, error) {
	return change(ctx, c, "AlterBucket", req, opts, func(n *node) func(context.Context, *pb.AlterBucketRequest, ...grpc.CallOption) (*pb.AlterBucketResponse, error) {
		return n.buckets.Alter
	})
}

// change makes a call of an operator that comes to the same however often it is
// carried out, and wherever.
func change[Req, Resp any](ctx context.Context, c *Client, op string, req *Req, opts []CallOption,
	method func(*node) func(context.Context, *Req, ...grpc.CallOption) (*Resp, error),
) (*Resp, error) {
	o, err := c.options(op, opts)
	if err != nil {
		return nil, err
	}
	var resp *Resp
	err = c.do(ctx, call{op: op, timeout: o.timeout, write: true, mayMove: always}, func(ctx context.Context, a *attempt) error {
		resp, err = method(a.node)(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// DeleteBucket removes a bucket that the topology does not name, and with force
// its keys before; without it the reason BUCKET_NOT_EMPTY says that it has keys.
// It calls progress, which may be nil, now and then. As long as keys go, it takes
// as long as ctx allows, whatever the timeout of a call; what ended early is
// taken up by another DeleteBucket.
func (c *Client) DeleteBucket(ctx context.Context, name string, force bool, progress func(*pb.DeleteBucketResponse), opts ...CallOption) error {
	const op = "DeleteBucket"
	o, err := c.options(op, opts)
	if err != nil {
		return err
	}
	req := &pb.DeleteBucketRequest{Name: name, Force: force}
	for {
		var removed uint64
		err := c.do(ctx, call{op: op, timeout: o.timeout, write: true, patient: true, mayMove: always}, func(ctx context.Context, a *attempt) error {
			return a.deleteBucket(ctx, req, func(told *pb.DeleteBucketResponse) {
				removed = max(removed, told.GetRemoved())
				if progress != nil {
					progress(told)
				}
			})
		})
		if !IsTimeout(err) || removed == 0 || ctx.Err() != nil {
			return err
		}
	}
}

func (a *attempt) deleteBucket(ctx context.Context, req *pb.DeleteBucketRequest, told func(*pb.DeleteBucketResponse)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := a.buckets.Delete(ctx, req)
	if err != nil {
		return err
	}
	return receive(stream, told)
}
