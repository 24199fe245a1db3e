package dc

import (
	"maps"
	"slices"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// A datacenter that joins is level once it has all that every other one had at a
// moment when all of them counted it in already: what they hold stable from then
// on is what it has as well. A fenced one is drained once every other datacenter
// has all that it had at a moment when it knew that it was fenced, and took no
// writes any more. Both are the same question, asked of each partition: does a
// write quorum here hold all that another datacenter had when both acted under
// the present topology?
//
// Whoever speaks for a partition answers it, and tells its peers. An answer stays
// true for as long as the topology is the same; under another one it is asked anew.
type levelling struct {
	n *Node

	mu    sync.Mutex
	hash  string                                      // of the topology that the rest is about
	began time.Time                                   // when this node began to act under it
	marks map[string]map[storage.ReplicaID]crdt.Clock // what another datacenter had, while it is not known to be here
	has   map[string]map[uint32][]byte                // by datacenter and placement: partitions, as peerv1.Level has them
	peers map[string]string                           // hashes of the topologies that other nodes of this datacenter act under
	whole map[string]replication.Notice               // what each other datacenter last told of all its nodes, see wholeNotice
	told  map[[2]string]replication.Notice            // how far datacenters are, by who tells and whom it is about
}

func newLevels(n *Node) *levelling {
	l := &levelling{n: n, peers: map[string]string{}, whole: map[string]replication.Notice{}, told: map[[2]string]replication.Notice{}}
	l.anew("")
	return l
}

func (l *levelling) anew(hash string) {
	l.hash, l.began = hash, l.n.now()
	l.marks, l.has = map[string]map[storage.ReplicaID]crdt.Clock{}, map[string]map[uint32][]byte{}
}

// present makes sure that what is known is about the present topology. The
// caller holds the lock.
func (l *levelling) present() *world {
	w := l.n.world()
	if w.hash != l.hash {
		l.anew(w.hash)
	}
	return w
}

// about lists the datacenters of which it is asked whether what they had is here.
// Without a link to one, those between have it: whatever was stable there, while
// it did not count this one in, they had before it did, see counted.
func (w *world) about(self string) []string {
	joining := w.topology.State(self) == topology.DCJoining
	var out []string
	for _, d := range w.topology.Datacenters {
		if _, linked := w.topology.Link(self, d.Name); linked && (d.State == topology.DCFenced || joining && d.State == topology.DCJoined) {
			out = append(out, d.Name)
		}
	}
	return out
}

// Compared implements replication.Local.
func (r Remote) Compared(dcName string, rs []replication.Replica) { r.n.levels.compared(dcName, rs) }

// compared notes what another datacenter has, after all that it had to report of
// some replicas has been heard.
func (l *levelling) compared(dcName string, rs []replication.Replica) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.present()
	if !slices.Contains(w.about(l.n.dc), dcName) || !l.acts(w, dcName) || w.topology.State(dcName) == topology.DCJoined && !l.counted(w) {
		return
	}
	if l.marks[dcName] == nil {
		l.marks[dcName] = map[storage.ReplicaID]crdt.Clock{}
	}
	for _, r := range rs {
		id := replicaOf(r)
		if _, marked := l.marks[dcName][id]; !marked && !l.done(dcName, id) {
			clock := l.n.peers.remoteClock(dcName, r)
			l.marks[dcName][id] = clock.Clone()
		}
	}
}

// acts reports whether all nodes of another datacenter act under the present
// topology: of one that is fenced those too that cannot be reached, for they may
// take writes as long as they do not know.
func (l *levelling) acts(w *world, dcName string) bool {
	told := string(l.whole[dcName].Content)
	if w.topology.State(dcName) == topology.DCFenced {
		return told == w.hash+wholeAll
	}
	return told == w.hash+wholeAll || told == w.hash+wholeLive
}

// counted reports whether all datacenters that have joined act under the present
// topology, those too to which no link leads.
func (l *levelling) counted(w *world) bool {
	for _, d := range w.topology.Datacenters {
		if d.Name != l.n.dc && d.State == topology.DCJoined && !l.acts(w, d.Name) {
			return false
		}
	}
	return true
}

func (l *levelling) done(dcName string, id storage.ReplicaID) bool {
	bits := l.has[dcName][id.Placement]
	at := int(id.Partition / 8)
	return at < len(bits) && bits[at]&(1<<(id.Partition%8)) != 0
}

// set notes that what a datacenter had of a replica is here.
func (l *levelling) set(dcName string, id storage.ReplicaID) {
	if l.has[dcName] == nil {
		l.has[dcName] = map[uint32][]byte{}
	}
	bits := l.has[dcName][id.Placement]
	if bits == nil {
		bits = make([]byte, (l.n.opts.Topology.Partitions+7)/8)
		l.has[dcName][id.Placement] = bits
	}
	bits[id.Partition/8] |= 1 << (id.Partition % 8)
}

// look holds what other datacenters had against what is here by now.
func (l *levelling) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.present()
	for dcName, marks := range l.marks {
		for id, mark := range marks {
			if l.n.peers.quorumCovers(id, &mark) {
				l.set(dcName, id)
				delete(marks, id)
			}
		}
	}
}

// quorumCovers reports whether a write quorum of a partition's owners is known to
// hold all of a clock durably.
func (c *catchUp) quorumCovers(id storage.ReplicaID, clock *crdt.Clock) bool {
	holders := c.n.layout().holders(id)
	have := 0
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, owner := range holders {
		if owner == c.n.id {
			if own := c.n.store.Replica(id).Durable(); own.Covers(clock) {
				have++
			}
		} else if h := c.at(id).peers[owner]; h != nil && h.now.Covers(clock) {
			have++
		}
	}
	return have > 0 && have >= leastQuorum(len(holders))
}

// tell is what a peer is told, with the hash of the topology that it is about.
func (l *levelling) tell() (hash string, level []*peerv1.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.present()
	for dcName, of := range l.has {
		for placement, bits := range of {
			level = append(level, &peerv1.Level{Dc: dcName, Placement: placement, Partitions: slices.Clone(bits)})
		}
	}
	return w.hash, level
}

// hear takes up what a peer told.
func (l *levelling) hear(peer, hash string, level []*peerv1.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.present()
	l.peers[peer] = hash
	if hash != w.hash {
		return
	}
	about := w.about(l.n.dc)
	for _, of := range level {
		if w.placements[of.GetPlacement()] == nil || !slices.Contains(about, of.GetDc()) {
			continue
		}
		for i := range min(l.n.opts.Topology.Partitions, 8*len(of.GetPartitions())) {
			if of.GetPartitions()[i/8]&(1<<(i%8)) != 0 {
				l.set(of.GetDc(), storage.ReplicaID{Placement: of.GetPlacement(), Partition: uint32(i)})
			}
		}
	}
}

// caught is how many partitions, and of how many, are level: those of this
// datacenter with every other one, if that is what it is about, else those that
// it shares with another one with that. The caller holds the lock.
func (l *levelling) caught(w *world, about string) (done, all uint32) {
	others := []string{about}
	if about == l.n.dc {
		others = w.about(l.n.dc)
	}
	for _, p := range w.placements {
		var with []string
		for _, o := range others {
			if p.rings[o] != nil && (about != l.n.dc || w.topology.State(o) == topology.DCJoined) {
				with = append(with, o)
			}
		}
		if p.replicas == 0 || len(with) == 0 && about != l.n.dc {
			continue
		}
		for i := range l.n.opts.Topology.Partitions {
			id := storage.ReplicaID{Placement: p.id, Partition: uint32(i)}
			all++
			if !slices.ContainsFunc(with, func(o string) bool { return !l.done(o, id) }) {
				done++
			}
		}
	}
	return done, all
}

// follow looks, again and again, how far this datacenter is, and lets it join
// when it is level.
func (l *levelling) follow() {
	tick := time.NewTicker(l.n.opts.Exchange)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.n.ctx.Done():
			return
		}
		w := l.n.world()
		if len(w.about(l.n.dc)) == 0 && w.topology.State(l.n.dc) != topology.DCJoining {
			continue
		}
		l.look()
		l.note()
		l.join()
	}
}

// note makes how far this datacenter is known to others.
func (l *levelling) note() {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.present()
	about := w.about(l.n.dc)
	if w.topology.State(l.n.dc) == topology.DCJoining {
		about = append(about, l.n.dc)
	}
	for _, dcName := range about {
		done, all := l.caught(w, dcName)
		l.keep([2]string{l.n.dc, dcName}, levelNotice(w, l.n.dc, dcName, done, all))
	}
}

// join makes this datacenter one that has joined, once it is level. The first
// node that is alive does it, and no harm is done if two think they are.
func (l *levelling) join() {
	n := l.n
	w := n.world()
	if w.topology.State(n.dc) != topology.DCJoining || !n.moves.speaks(n.layout()) {
		return
	}
	l.mu.Lock()
	done, all := l.caught(l.present(), n.dc)
	hash := l.hash
	l.mu.Unlock()
	if done < all || hash != w.hash || w.others(topology.DCJoined, n.dc) == 0 {
		return
	}
	if err := n.joined(w); err != nil && n.ctx.Err() == nil {
		n.opts.Logger.Warn("datacenter is level, and not joined yet", "error", err)
	}
}

// others counts the other datacenters of a state.
func (w *world) others(s topology.State, self string) (count int) {
	for _, d := range w.topology.Datacenters {
		if d.Name != self && d.State == s {
			count++
		}
	}
	return count
}

// known lists what is told of how far datacenters are.
func (l *levelling) known() []replication.Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Collect(maps.Values(l.told))
	return append(out, slices.Collect(maps.Values(l.whole))...)
}
