package dc

import (
	"context"
	"fmt"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
)

const (
	maxDeltas  = 4096    // of one message
	maxMissing = 2 << 20 // bytes of one answer of missing events, or of one page
)

// Serve answers a request of another node of the datacenter. It always
// returns a response; what goes wrong is in its status.
func (n *Node) Serve(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
	switch req.GetOf().(type) {
	case *peerv1.Request_Apply, *peerv1.Request_Read: // which wait for nothing but the disk
	default:
		timeout := min(time.Duration(req.GetTimeoutMs())*time.Millisecond, n.opts.Timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	serve := n.serve
	if req.GetTail() != nil {
		serve = n.serveWatch
	}
	resp, err := serve(ctx, from, req)
	if err != nil {
		resp := &peerv1.Response{Status: AsError(err).status()}
		if isStale(err) {
			resp.DocumentNow = ring.AppendDocument(nil, n.Document())
		}
		return resp
	}
	return resp
}

// current refuses a request of a node whose ring is out of date, and learns from
// one whose ring is newer.
func (n *Node) current(ctx context.Context, from string, epoch uint64) error {
	if epoch > n.epoch() {
		ctx, cancel := context.WithTimeout(ctx, n.opts.Timeout)
		defer cancel()
		resp, err := n.call(ctx, from, &peerv1.Request{Of: &peerv1.Request_Document{Document: &peerv1.DocumentAsk{}}})
		if err != nil {
			return fmt.Errorf("ask %s for its ring: %w", from, err)
		}
		if err := n.adoptEncoded(resp.GetDocument().GetDocument()); err != nil {
			return err
		}
	}
	return n.notStale(epoch)
}

// notStale refuses an epoch before the present one.
func (n *Node) notStale(epoch uint64) error {
	if now := n.epoch(); epoch < now {
		n.count.StaleRings.Add(1)
		return refuse(FailedPrecondition, staleRing, "the ring is of epoch %d, node %s acts under %d", epoch, n.id, now)
	}
	return nil
}

func (n *Node) serve(ctx context.Context, from string, req *peerv1.Request) (*peerv1.Response, error) {
	switch of := req.GetOf().(type) { // these do not depend on the ring
	case *peerv1.Request_Document:
		done := &peerv1.DocumentDone{Document: ring.AppendDocument(nil, n.Document()), Topology: n.topologyFor(of.Document)}
		return &peerv1.Response{Of: &peerv1.Response_Document{Document: done}}, nil
	case *peerv1.Request_Inspect:
		done, err := n.inspect(ctx, of.Inspect)
		return &peerv1.Response{Of: &peerv1.Response_Inspect{Inspect: done}}, err
	case *peerv1.Request_Agree:
		done, err := n.serveAgree(of.Agree)
		return &peerv1.Response{Of: &peerv1.Response_Agree{Agree: done}}, err
	case *peerv1.Request_Learn:
		return &peerv1.Response{Of: &peerv1.Response_Learn{Learn: &peerv1.LearnDone{}}}, n.serveLearn(of.Learn)
	}
	if err := n.current(ctx, from, req.GetEpoch()); err != nil {
		return nil, err
	}
	if resp, err := n.serveCatchUp(ctx, from, req); resp != nil || err != nil {
		return resp, err
	}
	switch of := req.GetOf().(type) {
	case *peerv1.Request_Apply:
		err := n.serveApply(of.Apply, req.GetEpoch())
		return n.applied, err
	case *peerv1.Request_Read:
		done, err := n.serveRead(of.Read)
		return &peerv1.Response{Of: &peerv1.Response_Read{Read: done}}, err
	case *peerv1.Request_Repair:
		err := n.serveRepair(of.Repair)
		return &peerv1.Response{Of: &peerv1.Response_Repair{Repair: &peerv1.RepairDone{}}}, err
	case *peerv1.Request_Forward:
		done, err := n.serveForward(ctx, of.Forward)
		return &peerv1.Response{Of: &peerv1.Response_Forward{Forward: done}}, err
	case *peerv1.Request_Scan:
		if err := n.mine(of.Scan.GetReplica()); err != nil {
			return nil, err
		}
		done, err := n.serveScan(of.Scan)
		return &peerv1.Response{Of: &peerv1.Response_Scan{Scan: done}}, err
	}
	return nil, refuse(InvalidArgument, "UNKNOWN_REQUEST", "request of a kind that this version does not know")
}

// serveCatchUp answers what replicas ask each other to become level; nil where
// it is something else.
func (n *Node) serveCatchUp(ctx context.Context, from string, req *peerv1.Request) (*peerv1.Response, error) {
	switch of := req.GetOf().(type) {
	case *peerv1.Request_Recall:
		done, err := n.serveRecall(ctx, of.Recall)
		return &peerv1.Response{Of: &peerv1.Response_Recall{Recall: done}}, err
	case *peerv1.Request_Clocks:
		done, err := n.peers.serveClocks(from, of.Clocks)
		return &peerv1.Response{Of: &peerv1.Response_Clocks{Clocks: done}}, err
	case *peerv1.Request_Missing:
		done, err := n.serveMissing(ctx, of.Missing)
		return &peerv1.Response{Of: &peerv1.Response_Missing{Missing: done}}, err
	case *peerv1.Request_Snapshot:
		done, err := n.serveSnapshot(ctx, of.Snapshot)
		return &peerv1.Response{Of: &peerv1.Response_Snapshot{Snapshot: done}}, err
	case *peerv1.Request_Holds:
		done, err := n.serveHolds(ctx, of.Holds)
		return &peerv1.Response{Of: &peerv1.Response_Holds{Holds: done}}, err
	case *peerv1.Request_HandOver:
		done, err := n.serveHandOver(ctx, from, of.HandOver)
		return &peerv1.Response{Of: &peerv1.Response_HandOver{HandOver: done}}, err
	}
	return nil, nil
}

// mine refuses requests for partitions that this node does not own.
func (n *Node) mine(r *peerv1.Replica) error {
	if id := replicaID(r); !n.layout().holds(n.id, id) {
		return refuse(FailedPrecondition, "NOT_OWNER", "node %s does not own partition %s", n.id, id)
	}
	return nil
}

func decodeDeltas(encoded [][]byte) ([]*crdt.Delta, error) {
	if len(encoded) > maxDeltas {
		return nil, refuse(InvalidArgument, "TOO_MANY_EVENTS", "%d events in one message, at most %d are allowed", len(encoded), maxDeltas)
	}
	deltas := make([]*crdt.Delta, len(encoded))
	for i, b := range encoded {
		d, err := crdt.DecodeDelta(b)
		if err != nil {
			return nil, err
		}
		deltas[i] = d
	}
	return deltas, nil
}

// applied is the answer to all events that are taken.
func applied() *peerv1.Response {
	return &peerv1.Response{Of: &peerv1.Response_Apply{Apply: &peerv1.ApplyDone{}}}
}

func (n *Node) serveApply(req *peerv1.Apply, epoch uint64) error {
	deltas, err := decodeDeltas(req.GetDeltas())
	if err != nil {
		return err
	}
	n.fence.RLock() // until it is durable: see adopt
	defer n.fence.RUnlock()
	if err := n.notStale(epoch); err != nil {
		return err
	}
	if err := n.mine(req.GetReplica()); err != nil && !req.GetStandIn() {
		return err
	}
	id := replicaID(req.GetReplica())
	if len(n.layout().sets(id)) == 0 { // nor does anybody stand in for who must not have it
		return refuse(PermissionDenied, "RESIDENCY", "placement %08x is not kept in datacenter %s", id.Placement, n.dc)
	}
	c, err := n.store.Replica(id).ApplyAnswered(deltas, answersOf(req.GetResults()), req.GetAsync())
	if err == nil {
		err = c.Wait()
	}
	if err == nil {
		n.rights.took(id, deltas...)
	}
	return err
}

func (n *Node) serveRead(req *peerv1.Read) (*peerv1.ReadDone, error) {
	if err := n.mine(req.GetReplica()); err != nil {
		return nil, err
	}
	q := storage.Query{
		Key:   crdt.KeyID{Bucket: req.GetBucket(), Key: string(req.GetKey())},
		Under: string(req.GetUnder()), After: string(req.GetAfter()), Limit: int(req.GetLimit()),
	}
	if q.Limit > 0 {
		q.Bytes = pageBytes
	}
	if p := req.GetPart(); p != nil {
		q.Part = crdt.NewPart(elements(p.GetUnder()))
	}
	if req.GetDigestOnly() {
		q.Limit, q.Digest = 1, true
	}
	replica := n.store.Replica(replicaID(req.GetReplica()))
	recovering := n.recovery.lacks(replica.ID()) // before it is read
	a, err := replica.Read(q)
	if err != nil {
		return nil, err
	}
	done := &peerv1.ReadDone{Digest: a.State[:], More: a.More, Total: a.Total, Recovering: recovering}
	for _, k := range a.Present {
		done.Present = append(done.Present, v1.Kind(k))
	}
	if !req.GetDigestOnly() {
		done.Snapshot = crdt.AppendSnapshot(nil, &a.Snapshot)
	}
	if req.GetDurable() {
		err = replica.Barrier()
	}
	return done, err
}

func (n *Node) serveRepair(req *peerv1.Repair) error {
	if err := n.mine(req.GetReplica()); err != nil {
		return err
	}
	s, err := crdt.DecodeSnapshot(req.GetSnapshot())
	if err != nil {
		return err
	}
	key := crdt.KeyID{Bucket: req.GetBucket(), Key: string(req.GetKey())}
	n.ahead.note(replicaID(req.GetReplica()), &s.Clock)
	c, err := n.store.Replica(replicaID(req.GetReplica())).Repair([]crdt.KeyID{key}, s)
	if err != nil {
		return err
	}
	return c.Wait()
}

func (n *Node) serveMissing(ctx context.Context, req *peerv1.Missing) (*peerv1.MissingDone, error) {
	have, err := crdt.DecodeClock(req.GetClock())
	if err != nil {
		return nil, err
	}
	limit := min(int(req.GetMaxBytes()), maxMissing)
	replica := n.store.Replica(replicaID(req.GetReplica()))
	if req.GetSettle() {
		if err := replica.Barrier(); err != nil {
			return nil, err
		}
	}
	done := &peerv1.MissingDone{}
	read := func() (size int, err error) {
		m, err := replica.Missing(&have, limit)
		if err != nil {
			return 0, err
		}
		done.More, done.Trimmed, done.Clock = m.More, m.Trimmed, crdt.AppendClock(nil, &m.Clock)
		for _, d := range m.Deltas {
			done.Deltas = append(done.Deltas, crdt.AppendDelta(nil, d))
			size += len(done.GetDeltas()[len(done.GetDeltas())-1])
		}
		return size, nil
	}
	if !req.GetPaced() {
		_, err = read()
		return done, err
	}
	return done, n.moves.pace.page(ctx, time.Now, read)
}

func (n *Node) serveSnapshot(ctx context.Context, req *peerv1.SnapshotPage) (*peerv1.SnapshotDone, error) {
	limit := min(int(req.GetMaxBytes()), maxMissing)
	done := &peerv1.SnapshotDone{}
	err := n.moves.pace.page(ctx, time.Now, func() (size int, err error) {
		page, cursor, err := n.store.Replica(replicaID(req.GetReplica())).ReadPage(req.GetCursor(), limit)
		if err != nil {
			return 0, err
		}
		done.Page, done.Cursor = storage.AppendPage(nil, page), cursor
		return len(done.GetPage()), nil
	})
	return done, err
}

// serveForward coordinates for a node that owns no replica. A request is
// forwarded once: the two nodes may disagree about the owners, but not for ever.
func (n *Node) serveForward(ctx context.Context, f *peerv1.Forward) (*peerv1.ForwardDone, error) {
	switch of := f.GetOf().(type) {
	case *peerv1.Forward_Get:
		if err := n.ownsKey(of.Get.GetBucket(), of.Get.GetKey()); err != nil {
			return nil, err
		}
		resp, err := n.getAnywhere(ctx, of.Get)
		return &peerv1.ForwardDone{Of: &peerv1.ForwardDone_Get{Get: resp}}, err
	case *peerv1.Forward_Update:
		if err := n.ownsKey(of.Update.GetBucket(), of.Update.GetKey()); err != nil {
			return nil, err
		}
		t, err := n.locate(of.Update.GetBucket(), of.Update.GetKey())
		if err != nil {
			return nil, err
		}
		if err := n.open(); err != nil {
			return nil, err
		}
		if err := n.refuseSkewed(); err != nil {
			return nil, err
		}
		resp, err := n.update(ctx, t, of.Update)
		return &peerv1.ForwardDone{Of: &peerv1.ForwardDone_Update{Update: resp}}, n.explained(t, err)
	}
	return nil, refuse(InvalidArgument, "UNKNOWN_REQUEST", "forwarded request of a kind that this version does not know")
}

func (n *Node) ownsKey(bucketName string, key []byte) error {
	t, err := n.locate(bucketName, key)
	if err != nil {
		return err
	}
	return n.mine(wireID(t.id))
}
