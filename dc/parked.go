package dc

import (
	"cmp"
	"context"
	"errors"
	"slices"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication"
)

// parker is what a Replicator can do besides, where there are other datacenters.
type parker interface {
	Parked() []replication.Parked
	ShowParked(id string) (replication.Parked, error)
	DropParked(id string) error
	RetryParked(ctx context.Context, id string) error
}

// parkedHere answers for this node alone. What is not here is not an error: it
// may be at another node.
func (n *Node) parkedHere(ctx context.Context, req *v1.ParkedRequest) (*v1.ParkedResponse, error) {
	resp := &v1.ParkedResponse{Dc: n.dc}
	r, ok := n.replicator().(parker)
	if !ok {
		return resp, nil
	}
	if req.GetId() == "" {
		for _, p := range r.Parked() {
			resp.Items = append(resp.Items, n.parkedItem(&p))
		}
		return resp, nil
	}
	p, err := r.ShowParked(req.GetId())
	if errors.Is(err, replication.ErrNotParked) {
		return resp, nil
	}
	if err != nil {
		return nil, err
	}
	resp.Items = []*v1.ParkedItem{n.parkedItem(&p)}
	switch req.GetAction() {
	case v1.ParkedAction_PARKED_ACTION_UNSPECIFIED:
	case v1.ParkedAction_PARKED_ACTION_RETRY:
		err = r.RetryParked(ctx, req.GetId())
	case v1.ParkedAction_PARKED_ACTION_DROP:
		err = r.DropParked(req.GetId())
	default:
		return nil, refuse(InvalidArgument, "UNKNOWN_REQUEST", "action %d of a kind that this version does not know", req.GetAction())
	}
	if err != nil {
		return nil, refuse(FailedPrecondition, "STILL_PARKED", "%s; it stays parked on node %s", err, n.id)
	}
	return resp, nil
}

func (n *Node) parkedItem(p *replication.Parked) *v1.ParkedItem {
	return &v1.ParkedItem{
		Id: p.ID, Node: n.id, FromDc: p.From.DC, FromNode: p.From.Node, Lane: uint32(p.Lane), Placement: p.Placement,
		Partition: p.Partition, Seq: p.Seq, Reason: p.Reason, AtUnixMs: uint64(max(p.At.UnixMilli(), 0)), Bytes: uint64(p.Bytes),
		Data: p.Data, Cut: p.Cut,
	}
}

// Parked lists what is parked in this datacenter or, with an id, shows it, tries
// it again or drops it for good, on every node that keeps it.
func (n *Node) Parked(ctx context.Context, req *v1.ParkedRequest) (*v1.ParkedResponse, error) {
	if req.GetId() == "" && req.GetAction() != v1.ParkedAction_PARKED_ACTION_UNSPECIFIED {
		return nil, refuse(InvalidArgument, "NO_ID", "which batch? name its id, as the list has it")
	}
	resp := &v1.ParkedResponse{Dc: n.dc}
	var refused error
	for _, node := range n.layout().nodes {
		done, err := n.parkedAt(ctx, node, req)
		switch {
		case err == nil:
			resp.Items = append(resp.Items, done.GetItems()...)
		case reasonOf(err) == "STILL_PARKED":
			refused = err
		default:
			resp.Missing = append(resp.Missing, node)
		}
	}
	switch {
	case refused != nil:
		return nil, refused
	case req.GetId() != "" && len(resp.GetItems()) == 0 && len(resp.GetMissing()) > 0:
		return nil, refuse(Unavailable, "NODES_AWAY", "no node that answered has parked %q; %d did not answer", req.GetId(), len(resp.GetMissing()))
	case req.GetId() != "" && len(resp.GetItems()) == 0:
		return nil, refuse(NotFound, "NOT_PARKED", "datacenter %s has parked no batch %q", n.dc, req.GetId())
	}
	slices.SortFunc(resp.GetItems(), func(a, b *v1.ParkedItem) int {
		return cmp.Or(cmp.Compare(a.GetAtUnixMs(), b.GetAtUnixMs()), cmp.Compare(a.GetId(), b.GetId()))
	})
	return resp, nil
}

func (n *Node) parkedAt(ctx context.Context, node string, req *v1.ParkedRequest) (*v1.ParkedResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	done, err := n.inspectAt(ctx, node, &peerv1.Inspect{Of: &peerv1.Inspect_Parked{Parked: req}})
	return done.GetParked(), err
}

// reasonOf is the reason of a refusal, "" of anything else.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}
