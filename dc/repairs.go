package dc

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication"
)

const (
	repairPoll     = 100 * time.Millisecond // between two looks at how far the nodes are
	repairsKept    = 16                     // that ended, for whoever asks late
	repairsAtATime = 4                      // at one node
)

// repairer is what a Replicator can do besides, where there are other datacenters.
type repairer interface {
	Repair(ctx context.Context, dcs []string, want func(r replication.Replica) bool, tell func(replication.Repaired)) error
}

// repairs are the repairs on demand of a node, by their ids.
type repairs struct {
	mu   sync.Mutex
	jobs map[uint64]*repairJob
	ids  []uint64 // in order of their beginning
}

// repairJob is one repair at one node.
type repairJob struct {
	mu    sync.Mutex
	pairs map[string]*v1.RepairPair
	done  bool
}

// repairJob begins a repair here, or tells how far one is.
func (n *Node) repairJob(req *peerv1.RepairJob) (*peerv1.RepairJobDone, error) {
	if req.GetBegin() != nil {
		if err := n.beginRepair(req.GetId(), req.GetBegin()); err != nil {
			return nil, err
		}
	}
	n.repairs.mu.Lock()
	job := n.repairs.jobs[req.GetId()]
	n.repairs.mu.Unlock()
	if job == nil {
		return nil, refuse(NotFound, "NO_SUCH_REPAIR", "node %s knows of no such repair; it was started again meanwhile", n.id)
	}
	job.mu.Lock()
	defer job.mu.Unlock()
	resp := &peerv1.RepairJobDone{Done: job.done}
	for _, p := range job.pairs {
		resp.Pairs = append(resp.Pairs, pairCopy(p))
	}
	return resp, nil
}

func (n *Node) beginRepair(id uint64, req *v1.RepairRequest) error {
	r, ok := n.replicator().(repairer)
	if !ok {
		return refuse(FailedPrecondition, "ONE_DATACENTER", "datacenter %s is the only one: there is nothing to compare it with", n.dc)
	}
	job := &repairJob{pairs: map[string]*v1.RepairPair{}}
	n.repairs.mu.Lock()
	defer n.repairs.mu.Unlock()
	if n.repairs.jobs == nil {
		n.repairs.jobs = map[uint64]*repairJob{}
	}
	if n.repairs.underWay() >= repairsAtATime {
		return refuse(ResourceExhausted, "TOO_MANY_REPAIRS", "%d repairs are under way on node %s; wait for them", repairsAtATime, n.id)
	}
	n.repairs.jobs[id] = job
	if n.repairs.ids = append(n.repairs.ids, id); len(n.repairs.ids) > repairsKept {
		delete(n.repairs.jobs, n.repairs.ids[0])
		n.repairs.ids = n.repairs.ids[1:]
	}
	n.work.Go(func() {
		want := func(r replication.Replica) bool { return req.Partition == nil || r.Partition == req.GetPartition() }
		if err := r.Repair(n.ctx, req.GetFrom(), want, job.tell); err != nil && n.ctx.Err() == nil {
			n.opts.Logger.Warn("repair ended early", "error", err)
		}
		job.mu.Lock()
		defer job.mu.Unlock()
		job.done = true
	})
	return nil
}

// underWay counts the repairs that have not ended. The caller holds the lock.
func (r *repairs) underWay() (sum int) {
	for _, job := range r.jobs {
		job.mu.Lock()
		if !job.done {
			sum++
		}
		job.mu.Unlock()
	}
	return sum
}

func (j *repairJob) tell(r replication.Repaired) {
	p := &v1.RepairPair{
		From: r.DC, Partitions: uint32(r.Partitions), Finished: uint32(r.Done), Equal: uint32(r.Equal), Failed: uint32(r.Failed),
		Keys: r.Tally.Keys, TreeBytes: r.Tally.TreeBytes, DigestBytes: r.Tally.DigestBytes, CellBytes: r.Tally.CellBytes,
	}
	if r.Error != nil {
		p.Error = r.Error.Error()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pairs[r.DC] = p
}

func pairCopy(p *v1.RepairPair) *v1.RepairPair {
	out := &v1.RepairPair{From: p.GetFrom()}
	addPair(out, p)
	return out
}

func addPair(to, p *v1.RepairPair) {
	to.Partitions += p.GetPartitions()
	to.Finished += p.GetFinished()
	to.Equal += p.GetEqual()
	to.Failed += p.GetFailed()
	to.Keys += p.GetKeys()
	to.TreeBytes += p.GetTreeBytes()
	to.DigestBytes += p.GetDigestBytes()
	to.CellBytes += p.GetCellBytes()
	if p.GetError() != "" {
		to.Error = p.GetError()
	}
}

// Repair has every node of this datacenter compare the partitions that it speaks
// for with other datacenters, and take over what differs. It emits how far that
// is, and last that it is done. The nodes go on when ctx ends.
func (n *Node) Repair(ctx context.Context, req *v1.RepairRequest, emit func(*v1.RepairResponse) error) error {
	for _, from := range req.GetFrom() {
		if _, ok := n.topology().DC(from); !ok || from == n.dc {
			return refuse(InvalidArgument, "NO_SUCH_DATACENTER", "datacenter %q is not another one of this cluster", from).with("dc", from)
		}
	}
	if p := req.GetPartition(); req.Partition != nil && int(p) >= n.topology().Partitions {
		return refuse(InvalidArgument, "NO_SUCH_PARTITION", "there is no partition %d: the cluster has %d", p, n.topology().Partitions)
	}
	if _, ok := n.replicator().(repairer); !ok {
		return refuse(FailedPrecondition, "ONE_DATACENTER", "datacenter %s is the only one: there is nothing to compare it with", n.dc)
	}
	ask := &peerv1.RepairJob{Id: rand.Uint64(), Begin: req}
	if req.GetFollow() != 0 {
		ask = &peerv1.RepairJob{Id: req.GetFollow()}
	}
	tick := time.NewTicker(repairPoll)
	defer tick.Stop()
	for {
		resp := n.repairNow(ctx, ask)
		ask = &peerv1.RepairJob{Id: ask.GetId()}
		if err := emit(resp); err != nil || resp.GetDone() {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ctx.Done():
			return refuse(Unavailable, "NOT_SENT", "the node is closing")
		}
	}
}

// repairNow asks every node how far it is, at first to begin.
func (n *Node) repairNow(ctx context.Context, ask *peerv1.RepairJob) *v1.RepairResponse {
	resp := &v1.RepairResponse{Dc: n.dc, Id: ask.GetId(), Done: true}
	sum := map[string]*v1.RepairPair{}
	resp.Missing = n.everywhere(ctx, inspectTimeout, &peerv1.Inspect{Of: &peerv1.Inspect_Repair{Repair: ask}}, func(_ string, a *peerv1.InspectDone) {
		resp.Done = resp.Done && a.GetRepair().GetDone()
		for _, p := range a.GetRepair().GetPairs() {
			if sum[p.GetFrom()] == nil {
				sum[p.GetFrom()] = &v1.RepairPair{From: p.GetFrom()}
			}
			addPair(sum[p.GetFrom()], p)
		}
	})
	for _, d := range n.topology().Datacenters {
		if p := sum[d.Name]; p != nil {
			resp.Pairs = append(resp.Pairs, p)
		}
	}
	slices.Sort(resp.Missing)
	return resp
}
