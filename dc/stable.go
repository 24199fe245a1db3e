package dc

import (
	"runtime"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// least is what all replicas of a partition in this datacenter are known to
// have, as far as their durable clocks were last heard. The caller holds the lock.
func (c *catchUp) least(id storage.ReplicaID, own *crdt.Clock) crdt.Clock {
	least := own.Clone()
	for _, owner := range c.n.layout().holders(id) {
		if owner == c.n.id {
			continue
		}
		h := c.at(id).peers[owner]
		if h == nil {
			return crdt.Clock{}
		}
		least = crdt.Intersection(&least, &h.now)
	}
	return least
}

// stable is what every replica of a partition in every datacenter is known to
// have, fenced ones too. It only grows, so what was once computed or told stays true.
func (c *catchUp) stable(id storage.ReplicaID, own *crdt.Clock) crdt.Clock {
	stable, _ := c.common(id, own)
	return stable
}

// trimmable is what nobody needs this node's log for: what is stable, where
// datacenters that are fenced do not count. What it lets go of they take over by
// trees when they are back.
func (c *catchUp) trimmable(id storage.ReplicaID, own *crdt.Clock) crdt.Clock {
	_, trimmable := c.common(id, own)
	return trimmable
}

// common is what is stable, and what is trimmable.
func (c *catchUp) common(id storage.ReplicaID, own *crdt.Clock) (stable, trimmable crdt.Clock) {
	w := c.n.world()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.at(id)
	all := c.least(id, own)
	most := all.Clone()
	for dcName := range c.n.placement(id.Placement).rings {
		if dcName == c.n.dc {
			continue
		}
		var least crdt.Clock
		if r := s.dcs[dcName]; r != nil {
			least = r.least
		}
		all = crdt.Intersection(&all, &least)
		if !w.fenced[dcName] {
			most = crdt.Intersection(&most, &least)
		}
	}
	s.stable.Union(&all)
	if len(w.fenced) == 0 {
		s.trimmable.Union(&all)
	} else {
		s.trimmable.Union(&most)
	}
	return s.stable.Clone(), s.trimmable.Clone()
}

// trimmableOf is what is trimmable of a replica that this node owns, else nothing.
func (n *Node) trimmableOf(r *storage.Replica) *crdt.Clock {
	var trimmable crdt.Clock
	if own := r.Durable(); n.layout().holds(n.id, r.ID()) {
		trimmable = n.peers.trimmable(r.ID(), &own)
	}
	return &trimmable
}

// stableOf is what is stable of a replica that this node owns, else nothing.
func (n *Node) stableOf(r *storage.Replica) *crdt.Clock {
	var stable crdt.Clock
	if own := r.Durable(); n.layout().holds(n.id, r.ID()) {
		stable = n.peers.stable(r.ID(), &own)
	}
	return &stable
}

// giveWay lets those go first who wait for a processor: most of them serve
// clients. Loops over all replicas call it for each, or they would have a
// processor for the 10 ms that the scheduler gives of itself.
func giveWay() { runtime.Gosched() }

const (
	trimEvery  = 2 * time.Second // pause between two looks at what may be trimmed
	trimSlowly = 30              // rounds between two looks at what only age or bytes say
)

// trim deletes log entries and request ids that nobody needs any more.
func (n *Node) trim() {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	done := map[storage.ReplicaID]uint64{}
	for round := 0; ; round++ {
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
		for _, r := range n.store.Replicas() {
			giveWay()
			own := r.Durable()
			if !n.layout().holds(n.id, r.ID()) || own.Empty() {
				continue
			}
			trimmable := n.peers.trimmable(r.ID(), &own)
			hash := storage.ClockHash(&trimmable)
			slow := round%trimSlowly == trimSlowly-1 || n.store.LogTight()
			if done[r.ID()] == hash && !slow {
				continue
			}
			done[r.ID()] = hash
			n.trimReplica(r, &trimmable, slow)
		}
	}
}

func (n *Node) trimReplica(r *storage.Replica, trimmable *crdt.Clock, slow bool) {
	_, forced, err := r.Trim(trimmable)
	if err == nil && slow {
		err = r.TrimRequests()
	}
	if err != nil {
		n.opts.Logger.Error("trim", "replica", r.ID().String(), "error", err)
	}
	if forced > 0 {
		n.opts.Logger.Warn("log trimmed before everybody has it; what it held is owed to a join", "replica", r.ID().String(), "entries", forced)
	}
}
