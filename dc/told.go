package dc

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// What co-owners tell each other of their clocks, and what is known of theirs.

// roundTimeout is how long a peer may take to answer before it counts as away.
const roundTimeout = 2 * time.Second

// round tells a peer what changed and hears what differs. First says that the
// peer told of everything, after it was away or under a new epoch.
func (c *catchUp) round(ctx context.Context, peer string, l *layout, shared []storage.ReplicaID) (first bool, err error) {
	asking, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	c.mu.Lock()
	told, again := maps.Clone(c.told[peer]), c.told[peer] != nil && c.met[peer] == l.doc.Epoch
	c.mu.Unlock()
	req := &peerv1.Clocks{All: !again, Opening: c.opening, Once: c.forgot(peer)}
	req.TopologyHash, req.Level = c.n.levels.tell()
	sent := map[storage.ReplicaID]storage.State{}
	hashes := map[storage.ReplicaID]uint64{}
	for _, id := range shared {
		giveWay()
		state := c.n.store.Replica(id).State()
		if state.Clock.Empty() {
			continue
		}
		rc := c.tell(id, &state)
		hash := xxh3.HashSeed(rc.GetClock(), xxh3.HashSeed(rc.GetStable(), xxh3.HashSeed(rc.GetTrimmable(), xxh3.Hash(rc.GetRoot()))))
		if told[id] == hash {
			continue
		}
		sent[id], hashes[id] = state, hash
		req.Replicas = append(req.Replicas, rc)
	}
	// Even when nothing changed: the exchange is the heartbeat as well.
	before := c.n.moment()
	resp, err := c.n.call(asking, peer, &peerv1.Request{Epoch: l.doc.Epoch, Of: &peerv1.Request_Clocks{Clocks: req}})
	if err != nil {
		if !isStale(err) {
			c.lose(peer)
		}
		return false, err
	}
	c.n.walls.heard(peer, before, time.Unix(0, resp.GetClocks().GetWallNs()), c.n.moment(), c.n.recentWalls())
	c.n.levels.hear(peer, resp.GetClocks().GetTopologyHash(), resp.GetClocks().GetLevel())
	if c.reopened(peer, resp.GetClocks().GetOpening()) && again {
		return false, nil // everything is told anew in the next round
	}
	if err := c.took(peer, sent, hashes, resp.GetClocks()); err != nil {
		return false, err
	}
	c.n.recovery.remembers(peer, resp.GetClocks().GetOnce())
	if !again { // what was not named is empty at both
		c.toldAll(peer)
		c.mu.Lock()
		for _, id := range shared {
			if c.at(id).peers[peer] == nil {
				c.hear(peer, id, crdt.Clock{}, nil)
			}
		}
		c.met[peer] = l.doc.Epoch
		c.mu.Unlock()
	}
	return !again, nil
}

// reopened notes the opening of a peer. If it is another than before, the peer
// was started again and may hold less than it told: all of that is forgotten.
func (c *catchUp) reopened(peer string, opening uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opens[peer] == opening {
		return false
	}
	c.opens[peer] = opening
	c.keep(peer)
	delete(c.told, peer)
	delete(c.met, peer)
	for _, s := range c.known {
		delete(s.peers, peer)
	}
	return true
}

// took notes the answer to a round.
func (c *catchUp) took(peer string, sent map[storage.ReplicaID]storage.State, hashes map[storage.ReplicaID]uint64, done *peerv1.ClocksDone) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[peer] == nil {
		c.told[peer] = map[storage.ReplicaID]uint64{}
	}
	for id, hash := range hashes {
		s := sent[id]
		c.told[peer][id] = hash
		c.hear(peer, id, sent[id].Clock, rootOf(&s)) // unless it says otherwise below
	}
	for _, rc := range done.GetReplicas() {
		if err := c.note(peer, rc); err != nil {
			return err
		}
	}
	return nil
}

// note takes over a clock that a peer told. The caller holds the lock.
func (c *catchUp) note(peer string, rc *peerv1.ReplicaClock) error {
	clock, err := crdt.DecodeClock(rc.GetClock())
	if err != nil {
		return fmt.Errorf("clock of %s: %w", peer, err)
	}
	stable, err := crdt.DecodeClock(rc.GetStable())
	if len(rc.GetStable()) > 0 && err != nil {
		return fmt.Errorf("stable clock of %s: %w", peer, err)
	}
	id := replicaID(rc.GetReplica())
	c.hear(peer, id, clock, rc.GetRoot())
	trimmable, err := crdt.DecodeClock(rc.GetTrimmable())
	if len(rc.GetTrimmable()) > 0 && err != nil {
		return fmt.Errorf("trimmable clock of %s: %w", peer, err)
	}
	s := c.at(id)
	s.stable.Union(&stable)
	s.trimmable.Union(&stable) // only what it has besides is told
	s.trimmable.Union(&trimmable)
	return nil
}

func (c *catchUp) hear(peer string, id storage.ReplicaID, clock crdt.Clock, root []byte) {
	s := c.at(id)
	h := s.peers[peer]
	if h == nil {
		h = &heard{}
		s.peers[peer] = h
	}
	h.now, h.told, h.root = clock.Clone(), clock.Clone(), root
	c.compare(peer, id, &clock)
}

// has notes that a peer has taken events durably.
func (c *catchUp) has(peer string, id storage.ReplicaID, deltas ...*crdt.Delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.at(id).peers[peer]
	if h == nil {
		return // it has yet to tell where it stands
	}
	for _, d := range deltas {
		h.now.AddRange(d.Actor, d.Lo, d.Hi)
	}
}

// copiesOf is the number of nodes of a set that are known to hold all these
// events durably.
func (c *catchUp) copiesOf(set []string, id storage.ReplicaID, deltas []*crdt.Delta) int {
	holds := func(clock *crdt.Clock) bool {
		return !slices.ContainsFunc(deltas, func(d *crdt.Delta) bool { return !clock.ContainsRange(d.Actor, d.Lo, d.Hi) })
	}
	got := 0
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, owner := range set {
		if owner == c.n.id {
			if own := c.n.store.Replica(id).Durable(); holds(&own) {
				got++
			}
		} else if h := c.at(id).peers[owner]; h != nil && holds(&h.now) {
			got++
		}
	}
	return got
}

// serveClocks is the other side of a round.
func (c *catchUp) serveClocks(from string, req *peerv1.Clocks) (*peerv1.ClocksDone, error) {
	done := &peerv1.ClocksDone{Opening: c.opening, WallNs: c.n.now().UnixNano()}
	done.TopologyHash, done.Level = c.n.levels.tell()
	c.n.levels.hear(from, req.GetTopologyHash(), req.GetLevel())
	c.reopened(from, req.GetOpening())
	named := map[storage.ReplicaID]bool{}
	for _, rc := range req.GetReplicas() {
		giveWay()
		if err := c.n.mine(rc.GetReplica()); err != nil {
			return nil, err
		}
		id := replicaID(rc.GetReplica())
		named[id] = true
		c.mu.Lock()
		err := c.note(from, rc)
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		state := c.n.store.Replica(id).State()
		if own := c.tell(id, &state); !bytes.Equal(own.GetClock(), rc.GetClock()) || !bytes.Equal(own.GetRoot(), rc.GetRoot()) {
			done.Replicas = append(done.Replicas, own)
		}
	}
	c.n.recovery.remembers(from, req.GetOnce())
	if !req.GetAll() {
		done.Once = c.forgot(from)
		return done, nil
	}
	c.toldAll(from)
	done.Once = c.forgot(from)
	for _, id := range c.shared(c.n.layout(), from) {
		if state := c.n.store.Replica(id).State(); !named[id] && !state.Clock.Empty() {
			done.Replicas = append(done.Replicas, c.tell(id, &state))
		}
	}
	return done, nil
}

func (c *catchUp) tell(id storage.ReplicaID, s *storage.State) *peerv1.ReplicaClock {
	stable, trimmable := c.common(id, &s.Clock)
	rc := &peerv1.ReplicaClock{
		Replica: wireID(id), Clock: crdt.AppendClock(nil, &s.Clock), Stable: crdt.AppendClock(nil, &stable), Root: rootOf(s),
	}
	if !stable.Covers(&trimmable) {
		rc.Trimmable = crdt.AppendClock(nil, &trimmable)
	}
	return rc
}

// rootOf is the root of a replica's tree, as it is told: nil while it is not
// that of the clock told with it.
func rootOf(s *storage.State) []byte {
	if !s.Ready || !s.Settled {
		return nil
	}
	return s.Root[:]
}

// heardOf reports whether a peer ever told where its replica stands.
func (c *catchUp) heardOf(peer string, id storage.ReplicaID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.known[id]
	return s != nil && s.peers[peer] != nil
}
