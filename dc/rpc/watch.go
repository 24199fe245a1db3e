package rpc

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// errClosing ends watches when the server closes: they have a last word.
var errClosing = errors.New("the node is closing")

// Watch implements v1.KVServer. It ends in good order with the server, and when
// its time is over: the client goes on elsewhere, or here, from its cursor.
func (k *kvService) Watch(req *v1.WatchRequest, stream grpc.ServerStreamingServer[v1.WatchResponse]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	stop := context.AfterFunc(k.closing, func() { cancel(errClosing) })
	defer stop()
	return k.node.Watch(ctx, req, stream.Send)
}
