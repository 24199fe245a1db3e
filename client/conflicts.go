package client

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Conflicts ranges over what waits for a decision: registers, also within maps,
// that hold concurrent values, and keys that were created under several kinds;
// those of the bucket named with WithBucket, or of every bucket; limit 0 means
// all. An error ends it. The listing cannot be resumed: it is repeated only
// before its first item.
func (c *Client) Conflicts(ctx context.Context, limit int, opts ...CallOption) iter.Seq2[*pb.ConflictsResponse, error] {
	return func(yield func(*pb.ConflictsResponse, error) bool) {
		o, err := c.options("Conflicts", append([]CallOption{WithBucket("")}, opts...))
		if err != nil {
			yield(nil, err)
			return
		}
		req := &pb.ConflictsRequest{Bucket: o.bucket, Limit: uint32(max(0, limit))}
		err = c.do(ctx, o.readCall("Conflicts"), func(ctx context.Context, a *attempt) error {
			told, err := a.conflicts(ctx, req, yield)
			if told && err != nil { // repeating it would list keys twice
				yield(nil, a.fail(err))
				return nil
			}
			return err
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// conflicts reads one stream to its end or until yield has enough, and tells
// whether it gave anything to yield.
func (a *attempt) conflicts(ctx context.Context, req *pb.ConflictsRequest, yield func(*pb.ConflictsResponse, error) bool) (told bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := a.replication.Conflicts(ctx, req)
	if err != nil {
		return false, err
	}
	return tellConflicts(stream, yield)
}

func tellConflicts(stream grpc.ServerStreamingClient[pb.ConflictsResponse], yield func(*pb.ConflictsResponse, error) bool) (told bool, err error) {
	for {
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return told, nil
		}
		if err != nil {
			return told, err
		}
		told = true
		if !yield(item, nil) {
			return true, nil
		}
	}
}

// TailConflicts ranges over the conflicts that arise in the datacenter from now
// on, until ctx ends; WithBucket names the bucket, without it they are those of
// every bucket. It calls begun, unless it is nil, when none that arises later
// can be missed; WithTimeout bounds the time until then and no more. An error
// ends it, that of ctx included: what arose while nobody followed is only
// listed by Conflicts. A register that gains a value is told again.
func (c *Client) TailConflicts(ctx context.Context, begun func(), opts ...CallOption) iter.Seq2[*pb.ConflictsResponse, error] {
	return func(yield func(*pb.ConflictsResponse, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		o, err := c.options("TailConflicts", append([]CallOption{WithBucket("")}, opts...))
		if err != nil {
			yield(nil, err)
			return
		}
		req := &pb.ConflictsRequest{Bucket: o.bucket, Follow: true}
		var stream grpc.ServerStreamingClient[pb.ConflictsResponse]
		var at *attempt
		err = c.do(ctx, o.readCall("TailConflicts"), func(try context.Context, a *attempt) (err error) {
			stream, err = a.tail(ctx, try, req)
			at = a
			return err
		})
		if err != nil {
			yield(nil, err)
			return
		}
		if begun != nil {
			begun()
		}
		if _, err := tellConflicts(stream, yield); err != nil {
			yield(nil, at.fail(err))
		}
	}
}

// tail opens a stream under ctx and waits, no longer than try lasts, until it
// tells of everything that arises.
func (a *attempt) tail(ctx, try context.Context, req *pb.ConflictsRequest) (grpc.ServerStreamingClient[pb.ConflictsResponse], error) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(try, cancel)
	stream, err := a.replication.Conflicts(ctx, req)
	if err == nil {
		var head map[string][]string
		if head, err = stream.Header(); err == nil && head == nil { // it ended without one
			_, err = stream.Recv()
		}
	}
	if !stop() { // too late, even where it began
		cancel()
		return nil, try.Err()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	context.AfterFunc(stream.Context(), cancel)
	return stream, nil
}
