package dc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// spread is events of one partition on their way to everybody who must hold
// them: every set of owners, and stand-ins for owners that are away. It outlives
// the request: what is still on its way when the answer is out arrives later.
type spread struct {
	n       *Node
	id      storage.ReplicaID
	deltas  []*crdt.Delta
	encoded [][]byte
	results []*peerv1.RequestResult // of the requests among the events, where they are known
	asks    []byte                  // a clock: instead of being given events, nodes are asked whether they hold those of it
	async   bool                    // a copy need not be on disk
	strict  bool                    // no stand-ins

	mu    sync.Mutex
	nodes []taker // that were asked, or hold the events
	room  [3]taker
	news  chan struct{} // holds a token when any of it has changed
}

// taker is what became of the events at one node.
type taker struct {
	node  string
	owner string // in whose place the node stands in; "" where it does not
	state takerState
}

type takerState uint8

const (
	notAsked  takerState = iota // or it refused for its ring, and is to be asked again
	isAsked                     // its answer is out
	hasFailed                   // it could not be reached, or refused
	hasIt                       // it holds the events
)

// newSpread prepares to spread events; encoded are the deltas as they travel.
func (n *Node) newSpread(id storage.ReplicaID, deltas []*crdt.Delta, encoded [][]byte) *spread {
	s := &spread{n: n, id: id, deltas: deltas, encoded: encoded, news: make(chan struct{}, 1)}
	s.nodes = s.room[:0]
	return s
}

// at finds what became of the events at a node. What it returns is good until the
// next call. The caller holds the lock.
func (s *spread) at(node string) *taker {
	for i := range s.nodes {
		if s.nodes[i].node == node {
			return &s.nodes[i]
		}
	}
	s.nodes = append(s.nodes, taker{node: node})
	return &s.nodes[len(s.nodes)-1]
}

// copied notes that a node holds the events, such as this one.
func (s *spread) copied(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at(node).state = hasIt
}

// send sends the events to all owners under a layout that neither hold them nor
// have been asked. It takes a stand-in at once for an owner that is away.
func (s *spread) send(ctx context.Context, l *layout) {
	var room [4]string
	to := room[:0]
	s.mu.Lock()
	for _, node := range l.holders(s.id) {
		if node == s.n.id {
			continue
		}
		if t := s.at(node); t.state == notAsked {
			t.state = isAsked
			to = append(to, node)
		}
	}
	s.mu.Unlock()
	for _, node := range to {
		s.give(ctx, l, node, false)
		if !s.n.alive(node) {
			s.standIn(ctx, l, node)
		}
	}
}

// give sends the events to one node.
func (s *spread) give(ctx context.Context, l *layout, node string, standIn bool) {
	req := &peerv1.Request{Epoch: l.doc.Epoch, TimeoutMs: s.n.left(ctx), Of: &peerv1.Request_Apply{Apply: &peerv1.Apply{
		Replica: wireID(s.id), Deltas: s.encoded, Async: s.async, StandIn: standIn, Results: s.results,
	}}}
	if s.asks != nil {
		req.Of = &peerv1.Request_Holds{Holds: &peerv1.Holds{Replica: wireID(s.id), Clock: s.asks}}
	}
	s.n.send(node, req, time.Time{}, func(resp *peerv1.Response, err error) {
		if s.asks != nil && err == nil && !resp.GetHolds().GetHeld() {
			err = errNotHeld
		}
		s.answered(ctx, l, node, standIn, err)
	})
}

// errNotHeld reports a node that does not hold the events it was asked for.
var errNotHeld = errors.New("the node does not hold the events")

func (s *spread) answered(ctx context.Context, l *layout, node string, standIn bool, err error) {
	if err == nil && !s.async && !standIn {
		s.n.peers.has(node, s.id, s.deltas...)
	}
	s.mu.Lock()
	t := s.at(node)
	switch {
	case err == nil:
		t.state = hasIt
	case t.state == hasIt: // it was asked twice
	case isStale(err): // it is asked again under the new layout
		t.state = notAsked
	default:
		t.state = hasFailed
	}
	away := t.state == hasFailed && !standIn
	s.mu.Unlock()
	if away {
		s.standIn(ctx, l, node)
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// standIn finds a node that holds the events in an owner's place, if there is
// one and the request allows it.
func (s *spread) standIn(ctx context.Context, l *layout, owner string) {
	if s.strict || ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	node := ""
	if s.at(owner).state != hasIt && !s.stoodFor(owner) {
		node = s.candidate(l)
	}
	if node != "" {
		t := s.at(node)
		t.owner, t.state = owner, isAsked
	}
	s.mu.Unlock()
	if node == "" {
		return
	}
	s.n.count.StandIns.Add(1)
	if node != s.n.id {
		s.give(ctx, l, node, true)
		return
	}
	go func() { // this node coordinates, or forwards for another datacenter, and owns nothing of the partition
		s.answered(ctx, l, node, true, s.n.takeAsStandIn(s.id, s.deltas, s.async))
	}()
}

// stoodFor reports whether somebody stands in for an owner. The caller holds the lock.
func (s *spread) stoodFor(owner string) bool {
	return slices.ContainsFunc(s.nodes, func(t taker) bool { return t.owner == owner && t.state != hasFailed })
}

// candidate picks a node that is alive and owns nothing of the partition: the
// same for every write to it while the same nodes are alive, so that few nodes
// hold the partition. The caller holds the lock.
func (s *spread) candidate(l *layout) string {
	best, bestRank := "", uint64(0)
	for _, node := range l.nodes {
		if l.holds(node, s.id) || !s.n.alive(node) {
			continue
		}
		if t := s.at(node); t.owner != "" || t.state == hasIt {
			continue
		}
		if rank := xxh3.HashStringSeed(node, uint64(s.id.Placement)<<32|uint64(s.id.Partition)); best == "" || rank > bestRank {
			best, bestRank = node, rank
		}
	}
	return best
}

// wait returns once every set of owners holds as many copies as want says for
// its size, or once that can no longer be, or ctx ends. An answer counts only
// if no other layout was adopted meanwhile: else the events go to the owners
// under that as well.
func (s *spread) wait(ctx context.Context, want func(owners int) int) (enough bool) {
	late := time.NewTimer(s.n.opts.StandInAfter)
	defer late.Stop()
	l := s.n.layout()
	for {
		s.send(ctx, l)
		enough, over := s.look(l, want)
		if now := s.n.layout(); now != l {
			l = now
			continue
		}
		if enough || over {
			return enough
		}
		select {
		case <-s.news:
		case <-late.C:
			for _, owner := range l.holders(s.id) {
				s.standIn(ctx, l, owner)
			}
		case <-ctx.Done():
			return false
		}
	}
}

// look tells whether every set has its copies, and whether nobody is left who
// could still answer.
func (s *spread) look(l *layout, want func(owners int) int) (enough, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, set := range l.sets(s.id) {
		if copies, _ := s.count(set); copies < want(len(set)) {
			return false, !slices.ContainsFunc(s.nodes, func(t taker) bool { return t.state == isAsked })
		}
	}
	return true, false
}

// count is the copies that a set of owners has, and how many of them are with
// stand-ins. The caller holds the lock.
func (s *spread) count(set []string) (copies, standIns int) {
	for _, owner := range set {
		if s.at(owner).state == hasIt {
			copies++
		}
	}
	for _, t := range s.nodes {
		if t.owner != "" && t.state == hasIt && slices.Contains(set, t.owner) && s.at(t.owner).state != hasIt {
			copies++
			standIns++
		}
	}
	return copies, standIns
}

// copies is count for the owners that are read from.
func (s *spread) copies() (copies, standIns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count(s.n.layout().readers(s.id))
}
