package rpc

import (
	"context"

	"google.golang.org/grpc"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// clusterService is godwit.v1.Cluster of a node.
type clusterService struct {
	v1.UnimplementedClusterServer

	node       *dc.Node
	introducer introducer
}

// Introduce implements v1.ClusterServer.
func (c *clusterService) Introduce(ctx context.Context, req *v1.IntroduceRequest) (*v1.IntroduceResponse, error) {
	return c.introducer.introduce(ctx, req)
}

// Status implements v1.ClusterServer.
func (c *clusterService) Status(ctx context.Context, _ *v1.StatusRequest) (*v1.StatusResponse, error) {
	return c.node.Status(ctx), nil
}

// Ring implements v1.ClusterServer.
func (c *clusterService) Ring(_ context.Context, req *v1.RingRequest) (*v1.RingResponse, error) {
	return c.node.Ring(req)
}

// Nodes implements v1.ClusterServer.
func (c *clusterService) Nodes(context.Context, *v1.NodesRequest) (*v1.NodesResponse, error) {
	return c.node.Nodes(), nil
}

// Plan implements v1.ClusterServer.
func (c *clusterService) Plan(ctx context.Context, req *v1.PlanRequest) (*v1.PlanResponse, error) {
	return c.node.Plan(ctx, req)
}

// Commit implements v1.ClusterServer.
func (c *clusterService) Commit(ctx context.Context, req *v1.CommitRequest) (*v1.CommitResponse, error) {
	return c.node.Commit(ctx, req)
}

// Topology implements v1.ClusterServer.
func (c *clusterService) Topology(context.Context, *v1.TopologyRequest) (*v1.TopologyResponse, error) {
	return c.node.Topology()
}

// ApplyTopology implements v1.ClusterServer.
func (c *clusterService) ApplyTopology(ctx context.Context, req *v1.ApplyTopologyRequest) (*v1.ApplyTopologyResponse, error) {
	return c.node.ApplyTopology(ctx, req)
}

// Datacenters implements v1.ClusterServer.
func (c *clusterService) Datacenters(context.Context, *v1.DatacentersRequest) (*v1.DatacentersResponse, error) {
	return c.node.Datacenters(), nil
}

// replicationService is godwit.v1.Replication of a node.
type replicationService struct {
	v1.UnimplementedReplicationServer

	node    *dc.Node
	closing context.Context // ends when the server closes
}

// Lag implements v1.ReplicationServer.
func (r *replicationService) Lag(ctx context.Context, _ *v1.LagRequest) (*v1.LagResponse, error) {
	return r.node.Lag(ctx), nil
}

// Verify implements v1.ReplicationServer.
func (r *replicationService) Verify(ctx context.Context, req *v1.VerifyRequest) (*v1.VerifyResponse, error) {
	return r.node.Verify(ctx, req), nil
}

// Leaves implements v1.ReplicationServer.
func (r *replicationService) Leaves(ctx context.Context, req *v1.LeavesRequest) (*v1.LeavesResponse, error) {
	return r.node.Leaves(ctx, req)
}

// Keys implements v1.ReplicationServer.
func (r *replicationService) Keys(ctx context.Context, req *v1.KeysRequest) (*v1.KeysResponse, error) {
	return r.node.Keys(ctx, req)
}

// Cells implements v1.ReplicationServer.
func (r *replicationService) Cells(ctx context.Context, req *v1.CellsRequest) (*v1.CellsResponse, error) {
	return r.node.Cells(ctx, req)
}

// Conflicts implements v1.ReplicationServer.
func (r *replicationService) Conflicts(req *v1.ConflictsRequest, stream grpc.ServerStreamingServer[v1.ConflictsResponse]) error {
	if !req.GetFollow() {
		return r.node.Conflicts(stream.Context(), req, stream.Send)
	}
	ctx, cancel := context.WithCancel(unbounded(stream))
	defer cancel()
	defer context.AfterFunc(r.closing, cancel)()
	// The header tells the client that nothing is missed from here on.
	begun := func() error { return stream.SendHeader(nil) }
	err := r.node.TailConflicts(ctx, req, begun, stream.Send)
	if r.closing.Err() != nil {
		return refuse(dc.Unavailable, reasonStopping, "this node is stopping; follow another one")
	}
	return err
}

// unbounded is the context of a stream that may last until its client goes.
func unbounded(stream grpc.ServerStreamingServer[v1.ConflictsResponse]) context.Context {
	if g, ok := stream.(*grpc.GenericServerStream[v1.ConflictsRequest, v1.ConflictsResponse]); ok {
		if s, ok := g.ServerStream.(*streamWithContext); ok {
			return s.ServerStream.Context()
		}
	}
	return stream.Context()
}

// Repair implements v1.ReplicationServer.
func (r *replicationService) Repair(req *v1.RepairRequest, stream grpc.ServerStreamingServer[v1.RepairResponse]) error {
	return r.node.Repair(stream.Context(), req, stream.Send)
}

// Parked implements v1.ReplicationServer.
func (r *replicationService) Parked(ctx context.Context, req *v1.ParkedRequest) (*v1.ParkedResponse, error) {
	return r.node.Parked(ctx, req)
}

// Links implements v1.ReplicationServer.
func (r *replicationService) Links(context.Context, *v1.LinksRequest) (*v1.LinksResponse, error) {
	return r.node.Links(), nil
}

// SetLink implements v1.ReplicationServer.
func (r *replicationService) SetLink(_ context.Context, req *v1.SetLinkRequest) (*v1.LinksResponse, error) {
	return r.node.SetLink(req)
}
