package gossip

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/godwitdb/godwit/ring"
)

// State is what this node believes of a peer.
type State uint8

const (
	// StateAlive is a peer that answers, or of which others say so.
	StateAlive State = iota + 1
	// StateSuspect is a peer that did not answer this node's last probe, not by
	// way of others either. It is still a member and may prove it.
	StateSuspect
	// StateDead is a peer that has not answered for so long that it counts as
	// gone. It may come back.
	StateDead
	// StateLeft is a peer that said farewell. It may come back.
	StateLeft
)

// String returns the state as an operator reads it.
func (s State) String() string {
	switch s {
	case StateAlive:
		return "alive"
	case StateSuspect:
		return "suspect"
	case StateDead:
		return "dead"
	case StateLeft:
		return "left"
	default:
		return "unknown"
	}
}

// Present tells whether the peer counts as a member: alive or suspect.
func (s State) Present() bool { return s == StateAlive || s == StateSuspect }

// Peer is one node of the datacenter as gossip knows it. One that is gone is
// remembered until this node ends or there are ring.MaxMembers others.
type Peer struct {
	ID    string
	Addr  string // host:port of its gossip
	Meta  map[string]string
	State State
	Since time.Time // when this node came to believe the state
}

// leavingLasts is how long a peer that said farewell may still answer.
const leavingLasts = 20 * time.Second

var errTooManyPeers = errors.New("as many members as there may be")

// peers is the table of all peers. The library calls into it while it holds
// its own lock, so it never calls out. Safe for concurrent use.
type peers struct {
	self string

	mu      sync.Mutex
	byID    map[string]*Peer
	changed chan struct{} // closed at the next change
}

func newPeers(self string) *peers {
	return &peers{self: self, byID: make(map[string]*Peer), changed: make(chan struct{})}
}

func (p *peers) list() []Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Peer, 0, len(p.byID))
	for _, peer := range p.byID {
		c := *peer
		c.Meta = maps.Clone(peer.Meta)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (p *peers) find(id string) (Peer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, ok := p.byID[id]
	if !ok {
		return Peer{}, false
	}
	c := *peer
	c.Meta = maps.Clone(peer.Meta)
	return c, true
}

func (p *peers) changes() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func (p *peers) announce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.announceLocked()
}

func (p *peers) announceLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// admit tells whether there is room for a peer, and makes it by forgetting
// the one that has been gone for the longest time.
func (p *peers) admit(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.byID[id]; known || len(p.byID) < ring.MaxMembers {
		return nil
	}
	var oldest *Peer
	for _, peer := range p.byID {
		if !peer.State.Present() && (oldest == nil || peer.Since.Before(oldest.Since)) {
			oldest = peer
		}
	}
	if oldest == nil {
		return errTooManyPeers
	}
	delete(p.byID, oldest.ID)
	return nil
}

// here notes that a peer is alive.
func (p *peers) here(n *memberlist.Node) {
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		meta = nil // cannot be: NotifyAlive has refused it
	}
	peer := Peer{ID: n.Name, Addr: n.Address(), Meta: meta, State: StateAlive, Since: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, known := p.byID[peer.ID]; known && have.State == StateAlive {
		peer.Since = have.Since
	}
	p.byID[peer.ID] = &peer
	p.announceLocked()
}

// set moves a peer to a state if it is in one of the given ones.
func (p *peers) set(id string, to State, from ...State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, known := p.byID[id]
	if !known || !slices.Contains(from, peer.State) {
		return
	}
	peer.State, peer.Since = to, time.Now()
	p.announceLocked()
}

// gone notes that the library has given a peer up. It does not tell whether the
// peer said farewell: that comes separately, before or after.
func (p *peers) gone(id string) {
	if id == p.self { // only Close makes it say so of itself
		p.set(id, StateLeft, StateAlive, StateSuspect)
		return
	}
	p.set(id, StateDead, StateAlive, StateSuspect)
}

func (p *peers) farewell(id string) { p.set(id, StateLeft, StateAlive, StateSuspect, StateDead) }
func (p *peers) suspect(id string)  { p.set(id, StateSuspect, StateAlive) }

// answered notes that a peer answered a probe. The library probes members only,
// so one that is taken for gone has come back so fast that the library did not
// notice; but one that is just leaving may still answer.
func (p *peers) answered(id string) {
	p.mu.Lock()
	peer, known := p.byID[id]
	suspected := known && peer.State == StateSuspect
	back := known && !peer.State.Present() && time.Since(peer.Since) > leavingLasts
	p.mu.Unlock()
	if suspected || back {
		p.set(id, StateAlive, StateSuspect, StateDead, StateLeft)
	}
}
