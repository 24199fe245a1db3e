package dc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
)

// Update carries out one operation on one key and answers when as many copies
// as asked for are durable. An error with reason WRITE_INDETERMINATE says that
// fewer are: the write may still become visible.
func (n *Node) Update(ctx context.Context, req *v1.UpdateRequest) (*v1.UpdateResponse, error) {
	if err := forClients(req.GetBucket()); err != nil {
		return nil, err
	}
	return n.updateAnywhere(ctx, req)
}

// updateAnywhere is Update for every bucket.
func (n *Node) updateAnywhere(ctx context.Context, req *v1.UpdateRequest) (*v1.UpdateResponse, error) {
	if err := n.open(); err != nil {
		return nil, err
	}
	defer n.moves.pace.request(time.Now)()
	return underOneRing(ctx, func() (*v1.UpdateResponse, error) { return n.updateOnce(ctx, req) })
}

func (n *Node) updateOnce(ctx context.Context, req *v1.UpdateRequest) (*v1.UpdateResponse, error) {
	t, err := n.locate(req.GetBucket(), req.GetKey())
	if err != nil {
		return nil, err
	}
	if !slices.Contains(t.owners, n.id) {
		return n.forwardUpdate(ctx, t, req)
	}
	if err := n.refuseSkewed(); err != nil {
		if t.owners = slices.DeleteFunc(slices.Clone(t.owners), func(o string) bool { return o == n.id }); len(t.owners) == 0 {
			return nil, err
		}
		return n.forwardUpdate(ctx, t, repeated(req)) // this node may have taken an earlier try
	}
	resp, err := n.update(ctx, t, req)
	if rich := n.withRights(t, err); rich != "" { // rights are an actor's own: it must be the one that spends
		t.owners = []string{rich}
		return n.forwardUpdate(ctx, t, req)
	}
	return resp, n.explained(t, err)
}

// withRights names the co-owner that has the rights which this node lacks, if
// there is one.
func (n *Node) withRights(t *target, err error) string {
	short, ok := errors.AsType[*crdt.RightsError](err)
	if !ok || short.Elsewhere < int64(min(short.Need, math.MaxInt64)) {
		return ""
	}
	a, readErr := n.store.Replica(t.id).Read(storage.Query{Key: t.key})
	if readErr != nil {
		return ""
	}
	_, cells := a.Kinds()
	v := crdt.ReadValue(crdt.BCounter, cells[crdt.BCounter])
	for _, r := range v.Rights {
		dcName, node := n.who(r.Actor)
		if dcName == n.dc && node != n.id && n.alive(node) && slices.Contains(t.owners, node) && r.Amount >= int64(min(short.Need, math.MaxInt64)) {
			return node
		}
	}
	return ""
}

// update carries an operation out at this node, which is an owner.
func (n *Node) update(ctx context.Context, t *target, req *v1.UpdateRequest) (*v1.UpdateResponse, error) {
	op, err := n.operation(t, req)
	if err != nil {
		return nil, err
	}
	request, err := requestID(req.GetOptions().GetRequestId())
	if err != nil {
		return nil, err
	}
	w, err := copies(req.GetOptions().GetConsistency(), req.GetOptions().GetW(), t.bucket.Write, len(t.owners))
	if err != nil {
		return nil, err
	}
	abroad, err := n.acksWanted(t, req)
	if err != nil {
		return nil, err
	}
	t.strict = req.GetOptions().GetStrict()
	v, err := n.enter(ctx, t, req.GetOptions().GetSession())
	if err != nil {
		return nil, err
	}
	if req.GetOptions().GetRepeat() {
		if resp, known, err := n.recall(ctx, t, req, request); known || err != nil {
			return resp, err
		}
	}
	if err := n.lookFirst(ctx, t, op, w(len(t.owners))); err != nil {
		return nil, err
	}
	resp, err := n.coordinateShared(ctx, t, op, request, w)
	n.watchRights(t, op, resp, err)
	if err != nil {
		return resp, err
	}
	n.awaitAbroad(ctx, t, abroad, resp)
	if v == nil {
		return resp, nil
	}
	resp.Session, err = v.wrote()
	return resp, err
}

// coordinate is rule 1 at this replica, and at the same time the event goes to
// the other owners.
func (n *Node) coordinate(ctx context.Context, t *target, op *crdt.Op, request crdt.RequestID, w func(owners int) int) (*v1.UpdateResponse, error) {
	async := t.bucket.Durability == "async"
	end, ok := n.requests.begin(request, t.recalls)
	if !ok {
		return nil, triedElsewhere()
	}
	done, err := n.mutate(ctx, t, &storage.Mutation{Key: t.key, Op: op, Request: request, Async: async, Before: beginBy(ctx)}, w(len(t.owners)))
	end()
	if err != nil {
		return nil, err
	}
	resp := n.answerOf(t, op, done)
	if done.Repeats {
		n.count.Repeats.Add(1)
	}
	if done.Delta == nil {
		return resp, n.unchanged(ctx, t, op, done, resp, w)
	}
	n.nameEvent(t, resp, done.Dot)
	s := n.newSpread(t.id, []*crdt.Delta{done.Delta}, [][]byte{crdt.AppendDelta(nil, done.Delta)})
	s.async, s.strict = async, t.strict
	if !done.Untold {
		s.results = resultsOf(request, &done.Result)
	}
	s.send(ctx, n.layout()) // while this node's own copy is on its way to disk
	if err := done.Commit.Wait(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	s.copied(n.id)
	n.rights.took(t.id, done.Delta)
	if r := n.replicator(); r != nil && !done.Repeats {
		r.Notify(replication.Replica(t.id), done.Delta)
	}
	enough := s.wait(ctx, w)
	got, standIns := s.copies()
	resp.Answer.Copies, resp.Answer.StandIns = uint32(got), uint32(standIns)
	if !enough {
		return nil, tooFewCopies(t, got, w)
	}
	return resp, nil
}

// unchanged completes the answer to an operation for which there was nothing to
// change, or of which the log has lost the event since; but what it saw must not be
// lost either.
func (n *Node) unchanged(ctx context.Context, t *target, op *crdt.Op, done *storage.Done, resp *v1.UpdateResponse, w func(owners int) int) error {
	err := n.store.Replica(t.id).Barrier()
	switch {
	case err != nil:
	case done.Repeats:
		n.nameEvent(t, resp, done.Dot)
		resp.Answer.Copies, err = n.countCopies(ctx, t, done.Dot, w)
	case op.Code == crdt.OpExpire:
		err = refuse(NotFound, "NOT_FOUND", "key is not in bucket %q", t.key.Bucket)
	case op.Code == crdt.OpObserve: // seen before, though perhaps by this replica alone
		resp.Answer.Copies, err = n.copyKey(ctx, t, w(len(t.owners)))
	}
	return err
}

// answerOf begins the answer to an operation that was carried out here.
func (n *Node) answerOf(t *target, op *crdt.Op, done *storage.Done) *v1.UpdateResponse {
	return &v1.UpdateResponse{
		Kind: v1.Kind(done.Kind), Changed: uint64(done.Changed), Repeated: done.Repeats, Value: valueAfter(op, done),
		Answer: &v1.Answer{Copies: 1, Replicas: uint32(len(t.owners)), Dc: n.dc, Node: n.id},
	}
}

// nameEvent tells in an answer which event was made.
func (n *Node) nameEvent(t *target, resp *v1.UpdateResponse, dot crdt.Dot) {
	resp.Context = n.sealContext(t.key, &crdt.Context{Dots: []crdt.Dot{dot}})
	resp.Dot = &v1.Dot{Actor: uint64(dot.Actor), Seq: dot.Seq}
}

func triedElsewhere() error {
	return refuse(Unavailable, "WRITE_INDETERMINATE", "the request has been tried again elsewhere meanwhile; try it once more with the same request id")
}

func tooFewCopies(t *target, got int, w func(owners int) int) error {
	wanted := w(len(t.owners))
	return refuse(Unavailable, "WRITE_INDETERMINATE", "%d of %d copies are durable, %d were asked for; the write may still become visible", got, len(t.owners), wanted).
		with("copies", strconv.Itoa(got)).with("wanted", strconv.Itoa(wanted))
}

// copyKey gives a small key, as it is here, to the other owners, and returns
// once as many of them as wanted hold it durably.
func (n *Node) copyKey(ctx context.Context, t *target, want int) (copies uint32, err error) {
	a, err := n.store.Replica(t.id).Read(storage.Query{Key: t.key})
	if err != nil {
		return 0, err
	}
	req := &peerv1.Repair{Replica: wireID(t.id), Bucket: t.key.Bucket, Key: []byte(t.key.Key), Snapshot: crdt.AppendSnapshot(nil, &a.Snapshot)}
	acks := make(chan error, len(t.owners))
	asked := 0
	for _, owner := range t.owners {
		if owner == n.id {
			continue
		}
		asked++
		n.send(owner, &peerv1.Request{TimeoutMs: n.left(ctx), Of: &peerv1.Request_Repair{Repair: req}}, time.Time{},
			func(_ *peerv1.Response, err error) { acks <- err })
	}
	for copies = 1; int(copies) < want && asked > 0; asked-- {
		select {
		case err = <-acks:
			if err == nil {
				copies++
			}
		case <-ctx.Done():
			asked, err = 1, ctx.Err()
		}
	}
	if int(copies) < want {
		return copies, refuse(Unavailable, "WRITE_INDETERMINATE", "%d copies of what was written before are durable, %d were asked for: %v", copies, want, err)
	}
	return copies, nil
}

func wireID(id storage.ReplicaID) *peerv1.Replica {
	return &peerv1.Replica{Placement: id.Placement, Partition: id.Partition}
}
