package dc

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/ring"
)

// Nodes tells who the members of this datacenter are, who is to be one, and who
// waits for an operator to be let in.
func (n *Node) Nodes() *v1.NodesResponse {
	l := n.layout()
	d := l.doc
	resp := &v1.NodesResponse{
		Dc: n.dc, Epoch: d.Epoch, By: d.By, Note: d.Note, Moving: d.Moving(), Turned: d.Turned, Majority: uint32(d.Majority()),
	}
	now, target := map[string]uint32{}, map[string]uint32{}
	count := func(into map[string]uint32, rings map[uint32]*ring.Ring) {
		for _, r := range rings {
			for _, s := range r.Shares() {
				into[s.Member.ID] += uint32(s.Replicas)
			}
		}
	}
	count(now, l.now)
	if count(target, l.next); !d.Moving() {
		target = now
	}
	for _, e := range d.All() {
		resp.Nodes = append(resp.Nodes, &v1.RingNode{
			Id: e.ID, Rack: e.Rack, Weight: e.Weight(), Role: role(d, e.ID), State: n.opts.Membership.State(e.ID), Votes: d.Voter(e.ID),
			Partitions: now[e.ID], Target: target[e.ID], GrpcAddr: cmp.Or(n.opts.GRPCAddr(e.ID), e.Addrs.GRPC), PeerAddr: e.Addrs.Peer,
		})
	}
	for _, e := range n.candidates(d) {
		resp.Nodes = append(resp.Nodes, &v1.RingNode{
			Id: e.ID, Rack: e.Rack, Weight: e.Weight(), Role: v1.NodeRole_NODE_ROLE_CANDIDATE, State: n.opts.Membership.State(e.ID),
			GrpcAddr: e.Addrs.GRPC, PeerAddr: e.Addrs.Peer,
		})
	}
	return resp
}

func role(d *ring.Document, id string) v1.NodeRole {
	e, _ := d.Find(id)
	staying := d.Moving() && slices.ContainsFunc(d.Target, func(t ring.Entry) bool { return t.ID == id })
	switch {
	case d.Moving() && !staying:
		return v1.NodeRole_NODE_ROLE_LEAVING
	case !d.Voter(id):
		return v1.NodeRole_NODE_ROLE_JOINING
	case e.Status == ring.StatusDraining:
		return v1.NodeRole_NODE_ROLE_DRAINING
	}
	return v1.NodeRole_NODE_ROLE_ACTIVE
}

// candidates are the nodes that run and are no part of a document, by name.
func (n *Node) candidates(d *ring.Document) []ring.Entry {
	if n.opts.Candidates == nil {
		return nil
	}
	var out []ring.Entry
	for _, e := range n.opts.Candidates() {
		if _, known := d.Find(e.ID); !known {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b ring.Entry) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// change reads an operator's change.
func (n *Node) change(req *v1.RingChange) (ring.Change, error) {
	switch of := req.GetOf().(type) {
	case *v1.RingChange_Join:
		var entries []ring.Entry
		for _, id := range of.Join.GetIds() {
			e, err := n.candidate(id)
			if err != nil {
				return ring.Change{}, err
			}
			entries = append(entries, e)
		}
		entries, err := ring.ChooseSeeds(n.Document(), entries, seedOptions(n.opts.Topology, n.dc))
		return ring.Join(entries...), err
	case *v1.RingChange_Leave:
		return ring.Leave(of.Leave.GetIds()...), nil
	case *v1.RingChange_Drain:
		return ring.Drain(of.Drain.GetIds()...), nil
	case *v1.RingChange_Undrain:
		return ring.Undrain(of.Undrain.GetIds()...), nil
	case *v1.RingChange_Replace:
		e, err := n.candidate(of.Replace.GetNew())
		return ring.Replace(of.Replace.GetOld(), e), err
	case *v1.RingChange_Weight:
		w := of.Weight.GetWeight()
		if !(w >= ring.MinWeight && w <= ring.MaxWeight) { // also catches NaN
			return ring.Change{}, refuse(FailedPrecondition, "BAD_CHANGE", "weight %v of node %s: want %v to %v", w, of.Weight.GetId(), ring.MinWeight, ring.MaxWeight)
		}
		return ring.Weight(of.Weight.GetId(), uint32(math.Round(w*1000))), nil
	case *v1.RingChange_Cancel:
		return ring.Cancel(), nil
	}
	return ring.Change{}, refuse(InvalidArgument, "UNKNOWN_REQUEST", "change of a kind that this version does not know")
}

// candidate is the entry of a node that is to join. One that is a member
// already gets an entry too, so that the answer says just that.
func (n *Node) candidate(id string) (ring.Entry, error) {
	d := n.Document()
	if e, known := d.Find(id); known {
		return e, nil
	}
	var names []string
	for _, e := range n.candidates(d) {
		if e.ID == id {
			return e, nil
		}
		names = append(names, e.ID)
	}
	waiting := "none waits"
	if len(names) > 0 {
		waiting = "those that wait are " + clipNames(names)
	}
	return ring.Entry{}, refuse(FailedPrecondition, "NO_CANDIDATE",
		"no node %.80q runs and waits to join; %s. Start it with serve --join, and give it a few seconds to be heard of", id, waiting)
}

// Plan tells what a change of the ring would move.
func (n *Node) Plan(ctx context.Context, req *v1.PlanRequest) (*v1.PlanResponse, error) {
	c, err := n.change(req.GetChange())
	if err != nil {
		return nil, err
	}
	before := n.Document()
	after, err := before.Apply(c)
	if err != nil {
		return nil, err
	}
	resp := &v1.PlanResponse{Epoch: before.Epoch, Note: after.Note, AtOnce: !after.Moving()}
	size := n.replicaBytes(ctx)
	for _, p := range n.world().placements {
		if p.replicas == 0 {
			continue
		}
		o := ring.Options{Partitions: n.opts.Topology.Partitions, Replicas: p.replicas}
		plan, err := ring.MakePlan(before, after, o, func(int) int64 { return size })
		if err != nil {
			return nil, err
		}
		resp.Placements = append(resp.Placements, wirePlan(p, o, plan))
	}
	slices.SortFunc(resp.Placements, func(a, b *v1.PlacementPlan) int { return cmp.Compare(a.GetPlacement(), b.GetPlacement()) })
	return resp, nil
}

// replicaBytes is the mean size of a replica in this datacenter, as far as nodes
// answer.
func (n *Node) replicaBytes(ctx context.Context) int64 {
	var bytes, replicas uint64
	n.everywhere(ctx, inspectTimeout, &peerv1.Inspect{Of: &peerv1.Inspect_Status{}}, func(_ string, a *peerv1.InspectDone) {
		bytes += a.GetStatus().GetDiskBytes()
		replicas += uint64(a.GetStatus().GetPartitions())
	})
	return int64(bytes / max(replicas, 1))
}

func wirePlan(p *placement, o ring.Options, plan *ring.Plan) *v1.PlacementPlan {
	out := &v1.PlacementPlan{
		Placement: p.name, Partitions: uint32(o.Partitions), Replicas: uint32(o.Replicas),
		Copies: uint32(plan.Copies), Minimum: uint32(plan.Minimum), Bytes: uint64(plan.Bytes), Warnings: plan.Warnings,
	}
	for _, e := range plan.Nodes {
		out.Nodes = append(out.Nodes, &v1.NodePlan{
			Id: e.ID, Rack: e.Rack, Weight: e.Weight, Before: uint32(e.Before), After: uint32(e.After), Ideal: e.Ideal,
			BytesIn: uint64(e.In), BytesOut: uint64(e.Out),
		})
	}
	flows := map[[2]string]*v1.Flow{}
	for _, m := range plan.Moves {
		f := flows[[2]string{m.From, m.To}]
		if f == nil {
			f = &v1.Flow{From: m.From, To: m.To}
			flows[[2]string{m.From, m.To}] = f
			out.Flows = append(out.Flows, f)
		}
		f.Partitions++
		if m.To != "" && plan.Copies > 0 {
			f.Bytes += uint64(plan.Bytes / int64(plan.Copies))
		}
	}
	slices.SortFunc(out.Flows, func(a, b *v1.Flow) int {
		return cmp.Or(strings.Compare(a.GetFrom(), b.GetFrom()), strings.Compare(a.GetTo(), b.GetTo()))
	})
	return out
}

// Commit has a majority of the members decide on a change of the ring. The data
// then moves by itself.
func (n *Node) Commit(ctx context.Context, req *v1.CommitRequest) (*v1.CommitResponse, error) {
	c, err := n.change(req.GetChange())
	if err != nil {
		return nil, err
	}
	d, err := n.proposeAfter(ctx, c, req.GetEpoch())
	if err != nil {
		return nil, err
	}
	return &v1.CommitResponse{Epoch: d.Epoch, Note: d.Note, Moving: d.Moving()}, nil
}
