package dc

import (
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
// have. It only grows, so what was once computed or told stays true.
func (c *catchUp) stable(id storage.ReplicaID, own *crdt.Clock) crdt.Clock {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.at(id)
	all := c.least(id, own)
	for dcName := range c.n.placement(id.Placement).rings {
		if dcName == c.n.dc {
			continue
		}
		if r := s.dcs[dcName]; r != nil {
			all = crdt.Intersection(&all, &r.least)
		} else {
			all = crdt.Clock{}
		}
	}
	s.stable.Union(&all)
	return s.stable.Clone()
}

// stableOf is what is stable of a replica that this node owns, else nothing.
func (n *Node) stableOf(r *storage.Replica) *crdt.Clock {
	var stable crdt.Clock
	if own := r.Durable(); n.layout().holds(n.id, r.ID()) {
		stable = n.peers.stable(r.ID(), &own)
	}
	return &stable
}

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
			own := r.Durable()
			if !n.layout().holds(n.id, r.ID()) || own.Empty() {
				continue
			}
			stable := n.peers.stable(r.ID(), &own)
			hash := storage.ClockHash(&stable)
			slow := round%trimSlowly == trimSlowly-1 || n.store.LogTight()
			if done[r.ID()] == hash && !slow {
				continue
			}
			done[r.ID()] = hash
			n.trimReplica(r, &stable, slow)
		}
	}
}

func (n *Node) trimReplica(r *storage.Replica, stable *crdt.Clock, slow bool) {
	_, forced, err := r.Trim(stable)
	if err == nil && slow {
		err = r.TrimRequests()
	}
	if err != nil {
		n.opts.Logger.Error("trim", "replica", r.ID().String(), "error", err)
	}
	if forced > 0 {
		n.opts.Logger.Warn("log trimmed before stable; what it held is owed to a join", "replica", r.ID().String(), "entries", forced)
	}
}
