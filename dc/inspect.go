package dc

import (
	"context"
	"slices"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/storage/merkle"
)

// inspectTimeout bounds a question to one node, so that one that is away does
// not hold up the answer about the others.
const inspectTimeout = 2 * time.Second

// inspect answers an operator's question about this node alone.
func (n *Node) inspect(ctx context.Context, req *peerv1.Inspect) (*peerv1.InspectDone, error) {
	switch of := req.GetOf().(type) {
	case *peerv1.Inspect_Status:
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Status{Status: n.status()}}, nil
	case *peerv1.Inspect_Verify:
		done, err := n.verify(ctx, of.Verify)
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Verify{Verify: done}}, err
	case *peerv1.Inspect_Lag:
		done, err := n.lag()
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Lag{Lag: done}}, err
	case *peerv1.Inspect_Conflicts:
		done, err := n.conflicts(of.Conflicts)
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Conflicts{Conflicts: done}}, err
	case *peerv1.Inspect_Arisen:
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Arisen{Arisen: n.arisen(of.Arisen)}}, nil
	case *peerv1.Inspect_Repair:
		done, err := n.repairJob(of.Repair)
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Repair{Repair: done}}, err
	case *peerv1.Inspect_Parked:
		done, err := n.parkedHere(ctx, of.Parked)
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Parked{Parked: done}}, err
	case *peerv1.Inspect_Leaves:
		done, err := n.leaves(of.Leaves)
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Leaves{Leaves: done}}, err
	case *peerv1.Inspect_Keys:
		done, err := n.keys(of.Keys)
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Keys{Keys: done}}, err
	case *peerv1.Inspect_Cells:
		done, err := n.cells(of.Cells)
		return &peerv1.InspectDone{Of: &peerv1.InspectDone_Cells{Cells: done}}, err
	}
	return nil, refuse(InvalidArgument, "UNKNOWN_REQUEST", "question of a kind that this version does not know")
}

// everywhere asks every node of the datacenter and calls took, one at a time,
// with each answer; it returns the nodes that did not answer.
func (n *Node) everywhere(ctx context.Context, timeout time.Duration, q *peerv1.Inspect, took func(node string, a *peerv1.InspectDone)) (missing []string) {
	return n.eachNode(ctx, timeout, func(string) *peerv1.Inspect { return q }, took)
}

// eachNode is everywhere with a question for each node.
func (n *Node) eachNode(ctx context.Context, timeout time.Duration, ask func(node string) *peerv1.Inspect, took func(node string, a *peerv1.InspectDone)) (missing []string) {
	type answer struct {
		node string
		done *peerv1.InspectDone
		err  error
	}
	nodes := n.layout().nodes
	ch := make(chan answer, len(nodes))
	for _, node := range nodes {
		q := ask(node)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			done, err := n.inspectAt(ctx, node, q)
			ch <- answer{node, done, err}
		}()
	}
	for range nodes {
		if a := <-ch; a.err != nil {
			missing = append(missing, a.node)
		} else {
			took(a.node, a.done)
		}
	}
	slices.Sort(missing)
	return missing
}

func (n *Node) inspectAt(ctx context.Context, node string, q *peerv1.Inspect) (*peerv1.InspectDone, error) {
	if node == n.id {
		return n.inspect(ctx, q)
	}
	resp, err := n.call(ctx, node, &peerv1.Request{Of: &peerv1.Request_Inspect{Inspect: q}})
	return resp.GetInspect(), err
}

// Status tells how every node of the datacenter is doing.
func (n *Node) Status(ctx context.Context) *v1.StatusResponse {
	t := n.topology()
	resp := &v1.StatusResponse{
		Cluster: t.Cluster, Dc: n.dc, Node: n.id, Version: n.opts.Version,
		TopologyVersion: t.Version, TopologyHash: t.Hash(),
	}
	got := map[string]*v1.NodeStatus{}
	n.everywhere(ctx, inspectTimeout, &peerv1.Inspect{Of: &peerv1.Inspect_Status{}}, func(node string, a *peerv1.InspectDone) {
		got[node] = a.GetStatus()
	})
	for _, e := range n.Document().All() {
		s := got[e.ID]
		if s == nil {
			s = &v1.NodeStatus{Id: e.ID, Partitions: uint32(n.owned(e.ID))}
		}
		s.Reachable = got[e.ID] != nil
		s.Rack, s.Weight, s.GrpcAddr = e.Rack, e.Weight(), n.opts.GRPCAddr(e.ID)
		s.State = n.opts.Membership.State(e.ID)
		resp.Nodes = append(resp.Nodes, s)
	}
	return resp
}

// owned is the number of replicas that a node is read from.
func (n *Node) owned(node string) (sum int) {
	l := n.layout()
	for id := range n.everyPartition(l) {
		if slices.Contains(l.readers(id), node) {
			sum++
		}
	}
	return sum
}

func (n *Node) status() *v1.NodeStatus {
	s := &v1.NodeStatus{
		Id: n.id, Partitions: uint32(n.owned(n.id)), DiskBytes: n.store.DiskBytes(), ReadOnly: n.store.ReadOnly(),
		UptimeMs: uint64(max(n.opts.Storage.Wall().Sub(n.started), 0).Milliseconds()),
		Moving:   n.moves.progress(), Guests: uint32(len(n.guests())), Epoch: n.epoch(), Recovering: uint32(n.recovery.left()),
		ConflictsSeen: n.store.ArisenCount(),
		Peers:         n.peerHealth(), PhiThreshold: n.opts.PhiThreshold, HeartbeatMs: uint64(n.opts.Heartbeat.Milliseconds()),
	}
	for _, r := range n.store.Replicas() {
		s.Keys += uint64(max(r.State().Keys, 0))
		s.Conflicts += uint64(r.Contested())
		log := r.Log(n.trimmableOf(r))
		s.LogEvents += log.Events
		if !log.Oldest.IsZero() {
			s.StableLagMs = max(s.StableLagMs, uint64(max(n.opts.Storage.Wall().Sub(log.Oldest), 0).Milliseconds()))
		}
	}
	if r, ok := n.replicator().(parker); ok {
		s.Parked = uint64(len(r.Parked()))
	}
	if lag, err := n.lag(); err == nil {
		for _, o := range lag.GetOutbound() {
			s.RepairDebt += o.GetRepairDebt()
		}
	}
	return s
}

// Ring tells who owns what in this datacenter.
func (n *Node) Ring(req *v1.RingRequest) (*v1.RingResponse, error) {
	name := req.GetBucket()
	if name == "" {
		name = "default"
	}
	key := req.GetKey()
	if req.Key == nil {
		key = []byte{0} // any key: it is the bucket that is checked
	}
	t, err := n.target(name, key)
	if err != nil {
		return nil, err
	}
	l := n.layout()
	r := l.now[t.id.Placement]
	if l.doc.Turned && l.next != nil {
		r = l.next[t.id.Placement]
	}
	resp := &v1.RingResponse{Epoch: l.doc.Epoch, Partitions: uint32(r.Partitions()), Placement: t.bucket.placement.name}
	if req.Key != nil {
		resp.Owners = []*v1.PartitionOwners{{Partition: t.id.Partition, Nodes: t.owners}}
	} else {
		for p := range r.Partitions() {
			resp.Owners = append(resp.Owners, &v1.PartitionOwners{Partition: uint32(p), Nodes: r.Owners(p)})
		}
	}
	for _, s := range r.Shares() {
		resp.Shares = append(resp.Shares, &v1.NodeShare{
			Node: s.Member.ID, Rack: s.Member.Rack, Weight: s.Member.Weight,
			Partitions: uint32(s.Replicas), Share: float64(s.Replicas) / s.Want, GrpcAddr: n.opts.GRPCAddr(s.Member.ID),
		})
	}
	return resp, nil
}

// Verify tells clock and Merkle digests of every replica in this datacenter.
func (n *Node) Verify(ctx context.Context, req *v1.VerifyRequest) *v1.VerifyResponse {
	resp := &v1.VerifyResponse{Dc: n.dc}
	timeout := inspectTimeout + time.Duration(req.GetSettleMs())*time.Millisecond
	q := &peerv1.Inspect{Of: &peerv1.Inspect_Verify{Verify: req}}
	resp.Missing = n.everywhere(ctx, timeout, q, func(_ string, a *peerv1.InspectDone) {
		resp.Replicas = append(resp.Replicas, a.GetVerify().GetReplicas()...)
	})
	return resp
}

// verify answers for this node. It waits, as long as asked, until its replicas
// cover the given clocks and hold nothing that is not durable.
func (n *Node) verify(ctx context.Context, req *v1.VerifyRequest) (*v1.VerifyResponse, error) {
	wait := map[storage.ReplicaID]crdt.Clock{}
	for _, w := range req.GetWait() {
		c, err := crdt.DecodeClock(w.GetClock())
		if err != nil {
			return nil, err
		}
		wait[storage.ReplicaID{Placement: w.GetPlacement(), Partition: w.GetPartition()}] = c
	}
	for id := range wait {
		if !slices.Contains(n.owners(n.dc, id), n.id) {
			delete(wait, id)
		}
	}
	n.settle(ctx, wait, time.Duration(req.GetSettleMs())*time.Millisecond)
	resp := &v1.VerifyResponse{Dc: n.dc}
	for id := range n.everyPartition(n.layout()) {
		if !slices.Contains(n.owners(n.dc, id), n.id) {
			continue
		}
		s := n.store.Replica(id).State()
		d := &v1.ReplicaDigest{
			Node: n.id, Placement: id.Placement, Partition: id.Partition, ClockHash: storage.ClockHash(&s.Clock),
			MerkleRoot: s.Root[:], Ready: s.Ready && s.Settled, Residue: uint32(s.Residue),
		}
		if !s.Changed.IsZero() {
			d.ChangedUnixMs = uint64(s.Changed.UnixMilli())
		}
		if req.GetWithClocks() && !s.Clock.Empty() {
			d.Clock = crdt.AppendClock(nil, &s.Clock)
		}
		resp.Replicas = append(resp.Replicas, d)
	}
	return resp, nil
}

// settlePoll is the pause between two looks at whether replicas have settled.
const settlePoll = 5 * time.Millisecond

func (n *Node) settle(ctx context.Context, wait map[storage.ReplicaID]crdt.Clock, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for {
		for id, want := range wait {
			if s := n.store.Replica(id).State(); s.Ready && s.Settled && s.Clock.Covers(&want) {
				delete(wait, id)
			}
		}
		if len(wait) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) leaves(req *v1.LeavesRequest) (*v1.LeavesResponse, error) {
	id := storage.ReplicaID{Placement: req.GetPlacement(), Partition: req.GetPartition()}
	if err := n.mine(wireID(id)); err != nil {
		return nil, err
	}
	leaves, ready := n.store.Replica(id).Leaves()
	if !ready {
		return nil, refuse(Unavailable, "TREE_NOT_READY", "the Merkle tree of partition %s is being built on %s; try again", id, n.id)
	}
	resp := &v1.LeavesResponse{Node: n.id, Leaves: make([]byte, 0, len(leaves)*len(merkle.Digest{}))}
	for _, l := range leaves {
		resp.Leaves = append(resp.Leaves, l[:]...)
	}
	return resp, nil
}

func (n *Node) keys(req *v1.KeysRequest) (*v1.KeysResponse, error) {
	id := storage.ReplicaID{Placement: req.GetPlacement(), Partition: req.GetPartition()}
	if err := n.mine(wireID(id)); err != nil {
		return nil, err
	}
	r := n.store.Replica(id)
	leaves := make([]int, len(req.GetLeaves()))
	for i, l := range req.GetLeaves() {
		if leaves[i] = int(l); leaves[i] >= r.TreeLeaves() {
			return nil, refuse(InvalidArgument, "NO_SUCH_LEAF", "the tree has %d leaves, there is no leaf %d", r.TreeLeaves(), l)
		}
	}
	items, err := r.KeysOf(leaves)
	if err != nil {
		return nil, err
	}
	resp := &v1.KeysResponse{}
	for _, it := range items {
		resp.Items = append(resp.Items, &v1.KeysResponse_Item{Bucket: it.Key.Bucket, Key: []byte(it.Key.Key), Digest: it.Digest[:]})
	}
	return resp, nil
}

// atOwner answers a question about one replica at the first owner that can.
func (n *Node) atOwner(ctx context.Context, id storage.ReplicaID, q *peerv1.Inspect) (*peerv1.InspectDone, error) {
	owners := n.byHealth(n.owners(n.dc, id))
	if len(owners) == 0 {
		return nil, refuse(InvalidArgument, "NO_SUCH_PARTITION", "datacenter %s keeps no partition %s", n.dc, id)
	}
	if i := slices.Index(owners, n.id); i > 0 {
		owners[0], owners[i] = owners[i], owners[0]
	}
	var last error
	for _, owner := range owners {
		done, err := n.inspectAt(ctx, owner, q)
		if err == nil {
			return done, nil
		}
		last = err
	}
	return nil, last
}

// Leaves returns the leaves of a partition's tree, as one owner has it.
func (n *Node) Leaves(ctx context.Context, req *v1.LeavesRequest) (*v1.LeavesResponse, error) {
	id := storage.ReplicaID{Placement: req.GetPlacement(), Partition: req.GetPartition()}
	done, err := n.atOwner(ctx, id, &peerv1.Inspect{Of: &peerv1.Inspect_Leaves{Leaves: req}})
	return done.GetLeaves(), err
}

// Keys lists the keys and digests in some leaves of a partition's tree.
func (n *Node) Keys(ctx context.Context, req *v1.KeysRequest) (*v1.KeysResponse, error) {
	id := storage.ReplicaID{Placement: req.GetPlacement(), Partition: req.GetPartition()}
	done, err := n.atOwner(ctx, id, &peerv1.Inspect{Of: &peerv1.Inspect_Keys{Keys: req}})
	return done.GetKeys(), err
}
