package dc

import (
	"context"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

// A request that is tried again is carried out once. Where a replica remembers
// its id, from its own event or from that of a co-owner, the answer is that of
// the first time. Where it does not and the request says that it is a repeat, the
// other owners are asked: one that knows the id answers; one that does not will
// not carry out an earlier try that is still under way. Only if none knows it and
// all have said so is it carried out, else nobody can tell what became of it.

const (
	recallFor  = 2 * time.Minute // how long a recalled id is refused: longer than any request lasts
	recallMost = 1 << 16         // ids that are refused at a time
)

// requests are those with an id that are under way at this node, and the ids of
// which an earlier try is no longer to be carried out. The zero value is ready.
type requests struct {
	mu       sync.Mutex
	running  map[crdt.RequestID]*underWay
	recalled map[crdt.RequestID]recalled
	events   uint64 // counts recalls, which puts them in order
}

type underWay struct {
	tries int
	over  chan struct{} // closed when the last of them has ended
}

type recalled struct {
	at    time.Time
	event uint64
}

// now is the number of the last recall.
func (r *requests) now() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}

// begin lets a request be carried out unless it was recalled after the moment
// since, of now; end is to be called when its event is made.
func (r *requests) begin(id crdt.RequestID, since uint64) (end func(), ok bool) {
	if id == (crdt.RequestID{}) {
		return func() {}, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recalled[id].event > since {
		return nil, false
	}
	if r.running == nil {
		r.running = map[crdt.RequestID]*underWay{}
	}
	u := r.running[id]
	if u == nil {
		u = &underWay{over: make(chan struct{})}
		r.running[id] = u
	}
	u.tries++
	return func() { r.end(id, u) }, true
}

func (r *requests) end(id crdt.RequestID, u *underWay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.tries--; u.tries == 0 {
		close(u.over)
		delete(r.running, id)
	}
}

// recall keeps tries that have not begun from being carried out, and returns
// what is to be waited for before it is known whether one was; false when too
// many are recalled already.
func (r *requests) recall(id crdt.RequestID, now time.Time) (over <-chan struct{}, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recalled == nil {
		r.recalled = map[crdt.RequestID]recalled{}
	}
	if len(r.recalled) >= recallMost {
		for old, at := range r.recalled {
			if now.Sub(at.at) > recallFor {
				delete(r.recalled, old)
			}
		}
		if len(r.recalled) >= recallMost {
			return nil, false
		}
	}
	r.events++
	r.recalled[id] = recalled{now, r.events}
	if u := r.running[id]; u != nil {
		return u.over, true
	}
	done := make(chan struct{})
	close(done)
	return done, true
}

// recall looks for what a request was answered with that may have been carried
// out before. If nobody knows it, it may be carried out here.
func (n *Node) recall(ctx context.Context, t *target, req *v1.UpdateRequest, id crdt.RequestID) (resp *v1.UpdateResponse, known bool, err error) {
	if id == (crdt.RequestID{}) {
		return nil, false, refuse(InvalidArgument, "BAD_REQUEST_ID", "a repeat names the request id of the first try")
	}
	t.recalls = n.requests.now()
	if here, err := n.store.Replica(t.id).Knows(id); here || err != nil {
		return nil, false, err // from its record
	}
	owner, err := n.whoKnows(ctx, t, id)
	if owner == "" || err != nil {
		return nil, false, err
	}
	answer, err := n.call(ctx, owner, forwardedUpdate(req))
	return answer.GetForward().GetUpdate(), true, err
}

// whoKnows names an owner that knows a request, "" if none of them does.
func (n *Node) whoKnows(ctx context.Context, t *target, id crdt.RequestID) (string, error) {
	n.count.RepeatLooks.Add(1)
	type answer struct {
		from  string
		known bool
		err   error
	}
	ch := make(chan answer, len(t.owners))
	asked := 0
	for _, owner := range t.owners {
		if owner == n.id {
			continue
		}
		asked++
		if n.suspected(owner) {
			ch <- answer{owner, false, errSilentNode}
			continue
		}
		req := &peerv1.Request{TimeoutMs: n.left(ctx), Of: &peerv1.Request_Recall{Recall: &peerv1.Recall{Replica: wireID(t.id), RequestId: id[:]}}}
		n.send(owner, req, time.Time{}, func(resp *peerv1.Response, err error) {
			ch <- answer{owner, resp.GetRecall().GetKnown(), err}
		})
	}
	var failed error
	for range asked {
		select {
		case a := <-ch:
			switch {
			case a.known:
				return a.from, nil
			case isStale(a.err):
				return "", a.err
			case a.err != nil:
				failed = a.err
			}
		case <-ctx.Done():
			failed = ctx.Err()
		}
	}
	if failed != nil {
		n.count.RepeatsUnsettled.Add(1)
		return "", refuse(Unavailable, "WRITE_INDETERMINATE", "not all owners can tell whether the request was carried out before: %v; try again with the same request id", failed)
	}
	return "", nil
}

// serveRecall is the other side of whoKnows.
func (n *Node) serveRecall(ctx context.Context, req *peerv1.Recall) (*peerv1.RecallDone, error) {
	if err := n.mine(req.GetReplica()); err != nil {
		return nil, err
	}
	id, err := requestID(req.GetRequestId())
	if err != nil {
		return nil, err
	}
	over, ok := n.requests.recall(id, time.Now())
	if !ok {
		return nil, refuse(ResourceExhausted, "OVERLOADED", "%d requests are recalled already", recallMost)
	}
	select {
	case <-over:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	known, err := n.store.Replica(replicaID(req.GetReplica())).Knows(id)
	return &peerv1.RecallDone{Known: known}, err
}

// resultsOf and answersOf carry what a request was answered with to those that
// get its event.
func resultsOf(id crdt.RequestID, r *crdt.Result) []*peerv1.RequestResult {
	if id == (crdt.RequestID{}) {
		return nil
	}
	return []*peerv1.RequestResult{{
		RequestId: id[:], Kind: v1.Kind(r.Kind), Changed: uint64(max(r.Changed, 0)), Total: r.Total, Score: r.Score,
	}}
}

func answersOf(results []*peerv1.RequestResult) map[crdt.RequestID]crdt.Result {
	if len(results) == 0 {
		return nil
	}
	out := make(map[crdt.RequestID]crdt.Result, len(results))
	for _, r := range results {
		if id, err := requestID(r.GetRequestId()); err == nil {
			out[id] = crdt.Result{Kind: crdt.Kind(r.GetKind()), Changed: int(r.GetChanged()), Total: r.GetTotal(), Score: r.GetScore()}
		}
	}
	return out
}
