package rpc

import (
	"context"

	"google.golang.org/grpc"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// kvService is godwit.v1.KV of a node.
type kvService struct {
	v1.UnimplementedKVServer

	node    *dc.Node
	opts    *ServerOptions
	closing context.Context // ends when the server begins to close
	server  *Server
}

// Get implements v1.KVServer.
func (k *kvService) Get(ctx context.Context, req *v1.GetRequest) (*v1.GetResponse, error) {
	return k.node.Get(ctx, req)
}

// Put implements v1.KVServer: it is an Update that assigns.
func (k *kvService) Put(ctx context.Context, req *v1.PutRequest) (*v1.UpdateResponse, error) {
	if k := req.GetKind(); k != v1.Kind_KIND_UNSPECIFIED && k != v1.Kind_KIND_REGISTER && k != v1.Kind_KIND_MVREGISTER {
		return nil, refuse(dc.InvalidArgument, reasonPutKind, "put assigns a register or mvregister, not kind %d; use an update with an operation of that kind", k)
	}
	return k.node.Update(ctx, &v1.UpdateRequest{
		Bucket: req.GetBucket(), Key: req.GetKey(), Kind: req.GetKind(), Options: req.GetOptions(),
		Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: req.GetValue()}},
	})
}

// Delete implements v1.KVServer: it is an Update that removes.
func (k *kvService) Delete(ctx context.Context, req *v1.DeleteRequest) (*v1.UpdateResponse, error) {
	return k.node.Update(ctx, &v1.UpdateRequest{
		Bucket: req.GetBucket(), Key: req.GetKey(), Options: req.GetOptions(),
		Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}},
	})
}

// Update implements v1.KVServer.
func (k *kvService) Update(ctx context.Context, req *v1.UpdateRequest) (*v1.UpdateResponse, error) {
	return k.node.Update(ctx, req)
}

// Scan implements v1.KVServer.
func (k *kvService) Scan(req *v1.ScanRequest, stream grpc.ServerStreamingServer[v1.ScanResponse]) error {
	return k.node.Scan(stream.Context(), req, stream.Send)
}
