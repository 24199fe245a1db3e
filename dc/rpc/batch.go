package rpc

import (
	"context"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// maxBatch is the most items of one batch.
const maxBatch = 256

// BatchGet implements v1.KVServer.
func (k *kvService) BatchGet(ctx context.Context, req *v1.BatchGetRequest) (*v1.BatchGetResponse, error) {
	resp := &v1.BatchGetResponse{Results: make([]*v1.BatchGetResponse_Result, len(req.GetGets()))}
	err := batch(ctx, k.opts, req.GetGets(), k.node.Get, func(i int, got *v1.GetResponse, e *dc.Error) {
		if e != nil {
			resp.Results[i] = &v1.BatchGetResponse_Result{Code: int32(e.Code), Message: clip(e.Message, maxErrorText), Reason: e.Reason, Metadata: metadata(e), Session: e.Session}
		} else {
			resp.Results[i] = &v1.BatchGetResponse_Result{Response: got}
		}
	})
	if err != nil {
		return nil, err
	}
	seen := make([]*v1.Session, 0, 2*len(resp.GetResults()))
	for _, r := range resp.GetResults() {
		seen = append(seen, r.GetSession(), r.GetResponse().GetSession())
	}
	return resp, k.node.UniteSessions(seen)
}

// BatchUpdate implements v1.KVServer.
func (k *kvService) BatchUpdate(ctx context.Context, req *v1.BatchUpdateRequest) (*v1.BatchUpdateResponse, error) {
	resp := &v1.BatchUpdateResponse{Results: make([]*v1.BatchUpdateResponse_Result, len(req.GetUpdates()))}
	err := batch(ctx, k.opts, req.GetUpdates(), k.node.Update, func(i int, got *v1.UpdateResponse, e *dc.Error) {
		if e != nil {
			resp.Results[i] = &v1.BatchUpdateResponse_Result{Code: int32(e.Code), Message: clip(e.Message, maxErrorText), Reason: e.Reason, Metadata: metadata(e), Session: e.Session}
		} else {
			resp.Results[i] = &v1.BatchUpdateResponse_Result{Response: got}
		}
	})
	if err != nil {
		return nil, err
	}
	seen := make([]*v1.Session, 0, 2*len(resp.GetResults()))
	for _, r := range resp.GetResults() {
		seen = append(seen, r.GetSession(), r.GetResponse().GetSession())
	}
	return resp, k.node.UniteSessions(seen)
}

// perItem is about what an item of a batch costs in the answer beside its
// response: the code, the message and the frames around it.
const perItem = 16

// batch carries out every item on its own, some at once, and calls took once
// for each, from several goroutines. Answers that no longer fit one message
// are taken back item by item, so that the others get through.
func batch[Req any, Resp proto.Message](ctx context.Context, o *ServerOptions, items []Req,
	do func(context.Context, Req) (Resp, error), took func(i int, r Resp, e *dc.Error),
) error {
	if len(items) > maxBatch {
		return refuse(dc.InvalidArgument, reasonBatchTooLarge, "batch has %d items, at most %d are allowed", len(items), maxBatch)
	}
	var room atomic.Int64
	room.Store(int64(o.MaxMessage) - int64(len(items))*(perItem+maxErrorText))
	var g errgroup.Group
	g.SetLimit(o.BatchParallel)
	for i, item := range items {
		g.Go(func() error {
			resp, err := guarded(ctx, o, item, do)
			if err != nil {
				took(i, resp, dc.AsError(err))
				return nil // each item has its own status
			}
			if size := proto.Size(resp); room.Add(-int64(size)) < 0 {
				room.Add(int64(size))
				took(i, resp, tooLarge(size, o.MaxMessage))
				return nil
			}
			took(i, resp, nil)
			return nil
		})
	}
	return g.Wait()
}

// guarded keeps the panic of an item, which has a goroutine of its own, from
// ending the process.
func guarded[Req, Resp any](ctx context.Context, o *ServerOptions, item Req, do func(context.Context, Req) (Resp, error)) (resp Resp, err error) {
	defer func() {
		if p := recover(); p != nil {
			o.Logger.ErrorContext(ctx, "item of a batch panicked", "panic", p, "stack", string(debug.Stack()))
			err = panicked()
		}
	}()
	return do(ctx, item)
}
