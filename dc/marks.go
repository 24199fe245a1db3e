package dc

import (
	"context"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
)

// settling is what of a partition is settled: had by every replica at a moment
// of which the own replica has everything. See crdt.Settling. Each datacenter
// tells the others what is settled in it, with a clock that covers what its
// replicas had; where the own clock covers that clock as well, it is settled
// everywhere. A guest mints nothing, so it need not be asked.
type settling struct {
	here, everywhere crdt.Settling
	// What was settled everywhere up to a minute ago, and since when.
	aged, young crdt.Clock
	since       time.Time
}

const settleAgain = 30 * time.Second // before newer clocks are looked at, and before marks of another datacenter are dropped

// anew is for a new layout: clocks count that are told from now on. The caller
// holds the lock.
func (s *settling) anew(peers map[string]*heard) {
	for _, h := range peers {
		h.told = crdt.Clock{}
	}
	s.here.Forget()
	s.everywhere.Forget()
}

// toldHere is what the owners of a partition in this datacenter told; false
// while one has not. The caller holds the lock.
func (c *catchUp) toldHere(id storage.ReplicaID, own *crdt.Clock) (crdt.Told, bool) {
	all := crdt.Told{Common: own.Clone(), Any: own.Clone()}
	for _, owner := range c.n.layout().holders(id) {
		if owner == c.n.id {
			continue
		}
		h := c.at(id).peers[owner]
		if h == nil || h.told.Empty() {
			return all, false
		}
		all.Add(&crdt.Told{Common: h.told, Any: h.told})
	}
	return all, true
}

// settledHere is what is settled in this datacenter. The caller holds the lock
// and does not change it.
func (c *catchUp) settledHere(id storage.ReplicaID, own *crdt.Clock) *crdt.Clock {
	return c.at(id).here.Advance(own, func() (crdt.Told, bool) { return c.toldHere(id, own) })
}

// settled is what is settled everywhere, now and since a while. The clocks belong to the caller.
func (c *catchUp) settled(id storage.ReplicaID, own *crdt.Clock, now time.Time) (settled, aged crdt.Clock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.at(id)
	if now.Sub(s.since) > settleAgain {
		s.since = now
		s.here.Forget()
		s.everywhere.Forget()
		s.aged, s.young = s.young, crdt.Clock{}
	}
	done := s.everywhere.Advance(own, func() (crdt.Told, bool) {
		all, ok := c.toldHere(id, own)
		for dcName := range c.n.placement(id.Placement).rings {
			if dcName == c.n.dc || !ok {
				continue
			}
			r := s.dcs[dcName]
			if r == nil {
				return all, false
			}
			all.Add(&crdt.Told{Common: r.least, Any: r.clock})
		}
		return all, ok
	})
	if s.young.Empty() {
		s.young = done.Clone()
	}
	return done.Clone(), s.aged.Clone()
}

const (
	markCells  = 256 // of which marks are dropped in one event
	markEvents = 64  // of a node in one round
)

// dropMarks drops, again and again, marks of removals that are of no use any
// more. It is an ordinary event, minted by the first owner that is alive in the
// datacenter that made the mark or, should that leave it, in any.
func (n *Node) dropMarks() {
	tick := time.NewTicker(n.opts.SweepEvery)
	defer tick.Stop()
	for from := 0; ; {
		select {
		case <-tick.C:
			from = n.dropRound(from)
		case <-n.ctx.Done():
			return
		}
	}
}

// dropRound looks through the partitions for which this node speaks, from one
// of them on, and returns where the next round is to begin.
func (n *Node) dropRound(from int) int {
	led := n.Remote().Led()
	left, at := markEvents, 0
	for ; at < len(led) && left > 0 && n.ctx.Err() == nil; at++ {
		giveWay()
		id := replicaOf(led[(from+at)%len(led)])
		minted, err := n.dropMarksOf(id, left)
		if err != nil && n.ctx.Err() == nil {
			n.opts.Logger.Error("drop marks of removals", "replica", id.String(), "error", err)
		}
		left -= minted
	}
	return (from + at) % max(len(led), 1)
}

// dropMarksOf drops what is settled of one replica, with so many events at the
// most, and returns how many it took.
func (n *Node) dropMarksOf(id storage.ReplicaID, limit int) (minted int, err error) {
	r := n.store.Replica(id)
	if some, err := r.HasMarks(); !some || err != nil {
		return 0, err
	}
	own := r.Durable()
	settled, aged := n.peers.settled(id, &own, n.now())
	local := map[crdt.Actor]bool{}
	ours := func(a crdt.Actor) bool {
		is, known := local[a]
		if !known {
			dcName, _ := n.who(a)
			is = dcName == n.dc
			local[a] = is
		}
		return is
	}
	minted, err = n.dropMarksBy(r, &settled, ours, limit)
	if err != nil || aged.Empty() {
		return minted, err
	}
	more, err := n.dropMarksBy(r, &aged, func(a crdt.Actor) bool { return !ours(a) }, limit-minted)
	return minted + more, err
}

func (n *Node) dropMarksBy(r *storage.Replica, settled *crdt.Clock, by func(crdt.Actor) bool, limit int) (minted int, err error) {
	var at []byte
	for minted < limit {
		done, next, err := r.DropMarks(settled, by, at, markCells)
		if err != nil {
			return minted, err
		}
		if done != nil {
			minted++
			if err := n.publish(r.ID(), done); err != nil {
				return minted, err
			}
		}
		if at = next; at == nil {
			break
		}
	}
	return minted, nil
}

// publish gives an event that this node minted of itself to the co-owners and
// to other datacenters, once it is durable here. Who misses it catches up.
func (n *Node) publish(id storage.ReplicaID, done *storage.Done) error {
	if err := done.Commit.Wait(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, roundTimeout)
	defer cancel()
	s := n.newSpread(id, []*crdt.Delta{done.Delta}, [][]byte{crdt.AppendDelta(nil, done.Delta)})
	s.strict = true
	s.copied(n.id)
	s.send(ctx, n.layout())
	if r := n.replicator(); r != nil {
		r.Notify(replication.Replica(id), done.Delta)
	}
	s.wait(ctx, leastQuorum)
	return nil
}
