package client

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Repair has the datacenter compare its partitions with other datacenters and
// take over what differs, and returns the last that it told, which is done. It
// calls progress, which may be nil, now and then, and takes as long as ctx
// allows, whatever the timeout of a call. The datacenter goes on when ctx ends.
func (c *Client) Repair(ctx context.Context, req *pb.RepairRequest, progress func(*pb.RepairResponse), opts ...CallOption) (*pb.RepairResponse, error) {
	const op = "Repair"
	o, err := c.options(op, opts)
	if err != nil {
		return nil, err
	}
	last := &pb.RepairResponse{}
	for {
		err := c.do(ctx, call{op: op, timeout: o.timeout, write: true, patient: true, mayMove: always}, func(ctx context.Context, a *attempt) error {
			if last.GetId() != 0 {
				req = &pb.RepairRequest{Follow: last.GetId()}
			}
			return a.repair(ctx, req, func(told *pb.RepairResponse) {
				last = told
				if progress != nil {
					progress(told)
				}
			})
		})
		if err == nil && last.GetDone() {
			return last, nil
		}
		if !IsTimeout(err) || last.GetId() == 0 || ctx.Err() != nil {
			return last, err
		}
	}
}

func (a *attempt) repair(ctx context.Context, req *pb.RepairRequest, told func(*pb.RepairResponse)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := a.replication.Repair(ctx, req)
	if err != nil {
		return err
	}
	return receive(stream, told)
}

// receive hands out what a stream tells until it ends.
func receive[T any](stream grpc.ServerStreamingClient[T], told func(*T)) error {
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		told(resp)
	}
}

// Parked lists the batches that the datacenter could not apply or, with an id,
// shows one, tries it again or drops it for good.
func (c *Client) Parked(ctx context.Context, req *pb.ParkedRequest, opts ...CallOption) (*pb.ParkedResponse, error) {
	return ask(ctx, c, "Parked", req, opts, func(n *node) func(context.Context, *pb.ParkedRequest, ...grpc.CallOption) (*pb.ParkedResponse, error) {
		return n.replication.Parked
	})
}
