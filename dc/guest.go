package dc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// A guest is a replica on a node that does not own its partition: of a stand-in,
// which took events for an owner that was away, or of an owner of before. Both
// are handed over in the same way. The node tells every owner what the guest
// holds, an owner takes what it lacks from there, and once all of them cover it,
// the guest is dropped.

const handOvers = 4 // at once

// hostGuests hands over, again and again, what this node holds and does not own.
func (n *Node) hostGuests() {
	tick := time.NewTicker(n.opts.Exchange)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.handOverAll()
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) handOverAll() {
	var g errgroup.Group
	g.SetLimit(handOvers)
	for _, r := range n.guests() {
		g.Go(func() error {
			dropped, err := n.handOver(r)
			if err != nil && n.ctx.Err() == nil {
				n.opts.Logger.Debug("hand over", "replica", r.ID().String(), "error", err)
			}
			if dropped {
				n.count.HandedOver.Add(1)
			}
			return nil
		})
	}
	_ = g.Wait() // it has no errors
}

// guests lists the replicas that this node holds and does not own.
func (n *Node) guests() []*storage.Replica {
	l := n.layout()
	var out []*storage.Replica
	for _, r := range n.store.Replicas() {
		if !l.holds(n.id, r.ID()) && !r.Empty() {
			out = append(out, r)
		}
	}
	return out
}

// handOver makes sure that every owner holds what a guest holds, and then drops
// it. It reports false while an owner is away or behind, or when the guest
// changed meanwhile.
func (n *Node) handOver(r *storage.Replica) (dropped bool, err error) {
	l := n.layout()
	owners := l.holders(r.ID())
	if len(owners) == 0 || slices.ContainsFunc(owners, func(o string) bool { return !n.alive(o) }) {
		return false, nil
	}
	generation := r.Generation()
	if err := r.Barrier(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(n.ctx, n.opts.Timeout)
	defer cancel()
	if covered, err := n.offer(ctx, l, r, false); !covered || err != nil {
		return false, err
	}
	ahead, err := r.Ahead()
	if err != nil {
		return false, err
	}
	if ahead {
		if covered, err := n.offer(ctx, l, r, true); !covered || err != nil {
			return false, err
		}
	}
	// Under the fence no stand-in write is under way, and the owners stay who they are.
	n.fence.Lock()
	defer n.fence.Unlock()
	if n.layout() != l {
		return false, nil
	}
	return r.Drop(generation)
}

// offer tells every owner what a guest holds, and reports whether all of them
// cover it afterwards.
func (n *Node) offer(ctx context.Context, l *layout, r *storage.Replica, whole bool) (covered bool, err error) {
	clock := r.Durable()
	req := &peerv1.HandOver{Replica: wireID(r.ID()), Clock: crdt.AppendClock(nil, &clock), Whole: whole}
	for _, owner := range l.holders(r.ID()) {
		resp, err := n.call(ctx, owner, &peerv1.Request{Epoch: l.doc.Epoch, Of: &peerv1.Request_HandOver{HandOver: req}})
		if err != nil {
			return false, fmt.Errorf("offer it to %s: %w", owner, err)
		}
		theirs, err := crdt.DecodeClock(resp.GetHandOver().GetClock())
		if err != nil {
			return false, fmt.Errorf("clock of %s: %w", owner, err)
		}
		if !theirs.Covers(&clock) {
			return false, nil
		}
	}
	return true, nil
}

// serveHandOver takes what this owner lacks from a node that holds it as a guest.
func (n *Node) serveHandOver(ctx context.Context, from string, req *peerv1.HandOver) (*peerv1.HandOverDone, error) {
	if err := n.mine(req.GetReplica()); err != nil {
		return nil, err
	}
	clock, err := crdt.DecodeClock(req.GetClock())
	if err != nil {
		return nil, err
	}
	id := replicaID(req.GetReplica())
	if req.GetWhole() {
		err = n.peers.takeWhole(ctx, from, id)
	} else if own := n.store.Replica(id).Durable(); !own.Covers(&clock) {
		err = n.peers.pull(ctx, from, id, &clock)
	}
	if err != nil {
		return nil, err
	}
	own := n.store.Replica(id).Durable()
	return &peerv1.HandOverDone{Clock: crdt.AppendClock(nil, &own)}, nil
}

// takeAsStandIn keeps events of a partition that this node does not own.
func (n *Node) takeAsStandIn(id storage.ReplicaID, deltas []*crdt.Delta, async bool) error {
	n.fence.RLock()
	defer n.fence.RUnlock()
	c, err := n.store.Replica(id).Apply(deltas, async)
	if err != nil {
		return err
	}
	return c.Wait()
}
