package dc

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
)

// A write may ask to be held by other datacenters too before it is answered
// (acks_dc). It is done and durable here by then, and travels as any other: this
// only waits, by asking each of them whether a write quorum of its replicas holds
// it. So a time that runs out changes nothing about the write; the answer says
// which datacenters are known to hold it.

const (
	holdsFirst = time.Millisecond      // first pause between two looks at the own clock
	holdsMost  = 20 * time.Millisecond // and the longest, also between two questions
)

// abroadAsker asks other datacenters. The Replicator is one, if there is any.
type abroadAsker interface {
	Holds(ctx context.Context, dc string, r replication.Replica, clock *crdt.Clock) (bool, error)
}

// acksWanted is the number of other datacenters that a write waits for. It
// refuses more than there are, before anything is done.
func (n *Node) acksWanted(t *target, req *v1.UpdateRequest) (int, error) {
	want := req.GetOptions().GetAcksDc()
	if others := len(t.bucket.placement.rings); int64(want) > int64(others) {
		return 0, refuse(InvalidArgument, "TOO_MANY_DATACENTERS", "%d other datacenters asked for, bucket %q is kept in %d", want, t.key.Bucket, others).
			with("datacenters", strconv.Itoa(others))
	}
	return int(want), nil
}

// awaitAbroad waits until so many other datacenters hold what a write left here,
// or its time is nearly up, and notes in the answer which do.
func (n *Node) awaitAbroad(ctx context.Context, t *target, want int, resp *v1.UpdateResponse) {
	if want == 0 {
		return
	}
	resp.Answer.DcsWanted = uint32(want)
	asker, ok := n.replicator().(abroadAsker)
	if !ok {
		return
	}
	clock := n.leftBy(t, resp)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(n.left(ctx))*time.Millisecond*9/10) // the answer is to arrive in time
	defer cancel()
	others := slices.Sorted(maps.Keys(t.bucket.placement.rings))
	held := make(chan string, len(others))
	for _, dcName := range others {
		go func() {
			if !n.untilHeld(ctx, asker, dcName, t.id, clock) {
				dcName = ""
			}
			held <- dcName
		}()
	}
	for left := len(others); left > 0 && len(resp.GetAnswer().GetDcs()) < want; left-- {
		select {
		case dcName := <-held:
			if dcName != "" {
				resp.Answer.Dcs = append(resp.Answer.Dcs, dcName)
			}
		case <-ctx.Done():
			left = 0
		}
	}
	slices.Sort(resp.Answer.Dcs)
	if len(resp.GetAnswer().GetDcs()) < want {
		n.count.AcksShort.Add(1)
	}
}

// leftBy is the events that a write asks others to hold: its own or, where there
// was nothing to change, what made that so.
func (n *Node) leftBy(t *target, resp *v1.UpdateResponse) *crdt.Clock {
	var clock crdt.Clock
	if d := resp.GetDot(); d != nil {
		clock.Add(crdt.Dot{Actor: crdt.Actor(d.GetActor()), Seq: d.GetSeq()})
		return &clock
	}
	replica := n.store.Replica(t.id)
	own := replica.Durable()
	clock = crdt.Difference(&own, n.stableOf(replica))
	return &clock
}

// untilHeld asks a datacenter until it holds the events, or ctx ends.
func (n *Node) untilHeld(ctx context.Context, asker abroadAsker, dcName string, id storage.ReplicaID, clock *crdt.Clock) bool {
	for ctx.Err() == nil {
		n.count.AcksAsked.Add(1)
		held, err := asker.Holds(ctx, dcName, replication.Replica(id), clock)
		if held {
			return true
		}
		if err != nil {
			n.opts.Logger.Debug("ask whether a write has arrived", "datacenter", dcName, "error", err)
		}
		rest(ctx, holdsMost)
	}
	return false
}

// Holds tells another datacenter whether a write quorum of this one's replicas
// holds events durably: once it does, or when ctx ends.
func (r Remote) Holds(ctx context.Context, id replication.Replica, clock *crdt.Clock) bool {
	n, sid := r.n, replicaOf(id)
	l := n.layout()
	holders := l.holders(sid)
	if len(holders) == 0 {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan string, len(holders))
	for _, node := range holders {
		go func() {
			if !n.heldAt(ctx, node, sid, clock) {
				node = ""
			}
			answers <- node
		}()
	}
	held := map[string]bool{}
	for range holders {
		held[<-answers] = true
		enough := func(set []string) bool {
			got := 0
			for _, node := range set {
				if held[node] {
					got++
				}
			}
			return got >= leastQuorum(len(set))
		}
		if !slices.ContainsFunc(l.sets(sid), func(set []string) bool { return !enough(set) }) {
			return true
		}
	}
	return false
}

// heldAt asks one owner, which may be this node.
func (n *Node) heldAt(ctx context.Context, node string, id storage.ReplicaID, clock *crdt.Clock) bool {
	if node == n.id {
		return n.untilDurable(ctx, id, clock)
	}
	resp, err := n.call(ctx, node, &peerv1.Request{Of: &peerv1.Request_Holds{Holds: &peerv1.Holds{
		Replica: wireID(id), Clock: crdt.AppendClock(nil, clock),
	}}})
	return err == nil && resp.GetHolds().GetHeld()
}

func (n *Node) serveHolds(ctx context.Context, req *peerv1.Holds) (*peerv1.HoldsDone, error) {
	if err := n.mine(req.GetReplica()); err != nil {
		return nil, err
	}
	clock, err := crdt.DecodeClock(req.GetClock())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(n.left(ctx))*time.Millisecond*9/10)
	defer cancel()
	return &peerv1.HoldsDone{Held: n.untilDurable(ctx, replicaID(req.GetReplica()), &clock)}, nil
}

// untilDurable waits until this node's replica holds events durably.
func (n *Node) untilDurable(ctx context.Context, id storage.ReplicaID, clock *crdt.Clock) bool {
	replica := n.store.Replica(id)
	for pause := holdsFirst; ; pause = min(2*pause, holdsMost) {
		if holds(replica, clock) {
			return true
		}
		if c := replica.Clock(); c.Covers(clock) && replica.Barrier() == nil {
			return true
		}
		if !rest(ctx, pause) {
			return false
		}
	}
}

// rest waits, and reports whether ctx is still alive.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
