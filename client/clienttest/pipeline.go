package clienttest

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Pipeline answers each request of a stream as its call would be answered,
// faults included.
func (s *kv) Pipeline(stream pb.KV_PipelineServer) error {
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	var sending sync.Mutex
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	for {
		f, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, m := range f.GetMessages() {
			if m.GetRequest() == nil {
				continue
			}
			work.Go(func() {
				answer := &pb.PipelineMessage{Id: m.GetId(), Of: &pb.PipelineMessage_Answer{Answer: s.one(ctx, m.GetRequest())}}
				sending.Lock()
				defer sending.Unlock()
				_ = stream.Send(&pb.PipelineFrame{Messages: []*pb.PipelineMessage{answer}}) // the stream tells Recv as well
			})
		}
	}
}

// one carries out one request of a pipeline.
func (s *kv) one(ctx context.Context, req *pb.PipelineRequest) *pb.PipelineAnswer {
	if ms := req.GetTimeoutMs(); ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	answer := &pb.PipelineAnswer{}
	var err error
	switch of := req.GetOf().(type) {
	case *pb.PipelineRequest_Get:
		var got any
		got, err = s.n.faulty(ctx, of.Get, Call{Method: "Get"}, func(ctx context.Context, _ any) (any, error) { return s.Get(ctx, of.Get) })
		if resp, ok := got.(*pb.GetResponse); ok && err == nil {
			answer.Of = &pb.PipelineAnswer_Get{Get: resp}
		}
	case *pb.PipelineRequest_Update:
		var done any
		call := Call{Method: "Update", Begin: time.Duration(req.GetBeginMs()) * time.Millisecond}
		done, err = s.n.faulty(ctx, of.Update, call, func(ctx context.Context, _ any) (any, error) { return s.Update(ctx, of.Update) })
		if resp, ok := done.(*pb.UpdateResponse); ok && err == nil {
			answer.Of = &pb.PipelineAnswer_Update{Update: resp}
		}
	case *pb.PipelineRequest_BatchUpdate:
		var done any
		call := Call{Method: "BatchUpdate", Begin: time.Duration(req.GetBeginMs()) * time.Millisecond}
		done, err = s.n.faulty(ctx, of.BatchUpdate, call, func(ctx context.Context, _ any) (any, error) { return s.BatchUpdate(ctx, of.BatchUpdate) })
		if resp, ok := done.(*pb.BatchUpdateResponse); ok && err == nil {
			answer.Of = &pb.PipelineAnswer_BatchUpdate{BatchUpdate: resp}
		}
	default:
		err = status.Error(codes.InvalidArgument, "request of an unknown kind")
	}
	if err != nil {
		st := status.Convert(err)
		if _, ok := status.FromError(err); !ok {
			st = status.FromContextError(err)
		}
		answer.Code, answer.Message, answer.Reason = int32(st.Code()), st.Message(), reasonOf(st)
	}
	return answer
}
