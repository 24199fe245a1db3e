package rpc

import (
	"context"

	"google.golang.org/grpc"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// bucketService is godwit.v1.Buckets of a node.
type bucketService struct {
	v1.UnimplementedBucketsServer

	node *dc.Node
}

// Create implements v1.BucketsServer.
func (b *bucketService) Create(ctx context.Context, req *v1.CreateBucketRequest) (*v1.CreateBucketResponse, error) {
	return b.node.CreateBucket(ctx, req)
}

// Get implements v1.BucketsServer.
func (b *bucketService) Get(ctx context.Context, req *v1.GetBucketRequest) (*v1.GetBucketResponse, error) {
	return b.node.GetBucket(ctx, req)
}

// List implements v1.BucketsServer.
func (b *bucketService) List(ctx context.Context, _ *v1.ListBucketsRequest) (*v1.ListBucketsResponse, error) {
	return b.node.ListBuckets(ctx)
}

// Alter implements v1.BucketsServer.
func (b *bucketService) Alter(ctx context.Context, req *v1.AlterBucketRequest) (*v1.AlterBucketResponse, error) {
	return b.node.AlterBucket(ctx, req)
}

// Delete implements v1.BucketsServer.
func (b *bucketService) Delete(req *v1.DeleteBucketRequest, stream grpc.ServerStreamingServer[v1.DeleteBucketResponse]) error {
	return b.node.DeleteBucket(stream.Context(), req, stream.Send)
}
