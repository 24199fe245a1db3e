package dc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// Rights of a bcounter move ahead of need: an actor that runs low asks, by an
// event that all datacenters see, and the one that has the most gives half of
// what it has more. Both look only at counters that were changed since the last
// look. When a node is closed, it gives what it has to a co-owner; see
// docs/decisions/0007-rights-move-before-they-are-missed.md.

const (
	rightsKeys  = 100_000         // counters that are remembered; of more, those beyond go without
	rightsRound = 256             // counters looked at in one round
	rightsLow   = 4               // who has less than one part in so many of what another has asks for some
	askAgain    = 5 * time.Second // before a counter is asked for once more
	giveAtOnce  = 16              // counters handed over at the same time
	giveAway    = 5 * time.Second // for all that is handed over when a node is closed
)

// rightsKeeper remembers bcounters of this node's replicas, and by the order in
// which their events arrived which actor of each node is the present one.
type rightsKeeper struct {
	mu      sync.Mutex
	keys    map[counterKey]time.Time // when rights were last asked for
	touched map[counterKey]bool      // changed since the last look; true where a client here was the one
	heard   map[storage.ReplicaID]map[crdt.Actor]uint64
	events  uint64
}

type counterKey struct {
	id  storage.ReplicaID
	key crdt.KeyID
}

func newRightsKeeper() *rightsKeeper {
	return &rightsKeeper{
		keys: map[counterKey]time.Time{}, touched: map[counterKey]bool{}, heard: map[storage.ReplicaID]map[crdt.Actor]uint64{},
	}
}

// took notes events that were applied here, minted or taken from others.
func (k *rightsKeeper) took(id storage.ReplicaID, deltas ...*crdt.Delta) {
	for _, d := range deltas {
		for i := range d.Changes {
			if cell := &d.Changes[i].ID; cell.Kind == crdt.BCounter {
				k.note(counterKey{id, cell.KeyID}, d.Actor, false)
			}
		}
	}
}

// used notes that a client here uses a counter.
func (k *rightsKeeper) used(c counterKey) { k.note(c, 0, true) }

func (k *rightsKeeper) note(c counterKey, by crdt.Actor, wants bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if by != 0 {
		if k.heard[c.id] == nil {
			k.heard[c.id] = map[crdt.Actor]uint64{}
		}
		k.events++
		k.heard[c.id][by] = k.events
	}
	if _, known := k.keys[c]; !known {
		if len(k.keys) >= rightsKeys {
			return
		}
		k.keys[c] = time.Time{}
	}
	k.touched[c] = k.touched[c] || wants
}

// take returns counters that were changed since it last did, and of each
// whether a client here uses it.
func (k *rightsKeeper) take(limit int) map[counterKey]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[counterKey]bool{}
	for c, wants := range k.touched {
		if len(out) == limit {
			break
		}
		delete(k.touched, c)
		out[c] = wants
	}
	return out
}

// may reports whether a counter may be asked for now, at most so often.
func (k *rightsKeeper) may(c counterKey, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.keys[c]) < askAgain {
		k.touched[c] = true // to be looked at again
		return false
	}
	k.keys[c] = now
	return true
}

// present picks of a node's actors the one that was heard last.
func (k *rightsKeeper) present(id storage.ReplicaID, actors []crdt.Actor) (last crdt.Actor, ok bool) {
	if len(actors) == 1 {
		return actors[0], true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	at := uint64(0)
	for _, a := range actors {
		if n := k.heard[id][a]; n > at {
			at, last = n, a
		}
	}
	return last, at > 0
}

// moveRights lets rights move, again and again, to where they run low.
func (n *Node) moveRights() {
	tick := time.NewTicker(n.opts.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.rightsRound()
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) rightsRound() {
	for c, wants := range n.rights.take(rightsRound) {
		if err := n.balance(n.ctx, c, wants); err != nil && n.ctx.Err() == nil {
			n.opts.Logger.Debug("move rights", "key", c.key.Key, "error", err)
		}
	}
}

// shares lists the rights in a counter, and this node's own among them.
func (n *Node) shares(c counterKey) (all []crdt.Share, own crdt.Share, err error) {
	r := n.store.Replica(c.id)
	actor, minted := r.Actor()
	a, err := r.Read(storage.Query{Key: c.key, Limit: 1})
	if err != nil {
		return nil, own, err
	}
	own.Actor = actor
	for _, cs := range a.Cells {
		if cs.ID.Kind == crdt.BCounter {
			all = crdt.Shares(cs.Live)
		}
	}
	for _, s := range all {
		if minted && s.Actor == actor {
			own = s
		}
	}
	return all, own, nil
}

// balance asks for rights where this node has few and its clients want some, and
// gives where it has the most and another asks. After a gift both have the
// same, a fourth of that is where asking begins, and who does not spend does
// not ask, so rights do not go to and fro.
func (n *Node) balance(ctx context.Context, c counterKey, wants bool) error {
	all, own, err := n.shares(c)
	if err != nil || own.Actor == 0 {
		return err
	}
	most := own
	for _, s := range all {
		if s.Amount > most.Amount {
			most = s
		}
	}
	if most.Actor != own.Actor {
		if !wants || own.Asks > 0 || !runsLow(own.Amount, most.Amount) || !n.rights.may(c, n.now()) {
			return nil
		}
		return n.move(ctx, c, &crdt.Op{Code: crdt.OpAsk, Kind: crdt.BCounter, N: halfWay(own.Amount, most.Amount)})
	}
	left := own.Amount
	for _, s := range all {
		if s.Actor == own.Actor || s.Asks == 0 || !runsLow(s.Amount, left) || n.superseded(c.id, s.Actor, all) {
			continue
		}
		give := int64(min(s.Asks, uint64(halfWay(s.Amount, left))))
		if err := n.move(ctx, c, &crdt.Op{Code: crdt.OpTransfer, Kind: crdt.BCounter, N: give, To: s.Actor}); err != nil {
			return err
		}
		left -= give
	}
	return nil
}

// runsLow reports whether who has few is to get some of what another has.
func runsLow(few, many int64) bool { return few < many && few < (many+rightsLow-1)/rightsLow }

// halfWay is what makes few as much as many, or one more: it is at least one.
func halfWay(few, many int64) int64 { return (many-few)/2 + (many-few)%2 }

// superseded reports whether another actor of the same node was heard of later.
func (n *Node) superseded(id storage.ReplicaID, a crdt.Actor, all []crdt.Share) bool {
	var same []crdt.Actor
	for _, s := range all {
		if s.Actor>>32 == a>>32 {
			same = append(same, s.Actor)
		}
	}
	last, ok := n.rights.present(id, same)
	return !ok || last != a
}

// move mints an event of rights here, with a quorum of copies.
func (n *Node) move(ctx context.Context, c counterKey, op *crdt.Op) error {
	t, err := n.target(c.key.Bucket, []byte(c.key.Key))
	if err != nil || !slices.Contains(t.owners, n.id) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	_, err = n.coordinate(ctx, t, op, crdt.RequestID{}, leastQuorum)
	return err
}

// GiveRightsAway gives the rights that this node's replicas hold to co-owners
// that are alive. It is for a node that is about to be closed, while it reaches
// its peers: the actors of the next start are others. It takes a few seconds
// at the most, and what it cannot give away stays with actors that are closed.
func (n *Node) GiveRightsAway() {
	ctx, cancel := context.WithTimeout(context.Background(), giveAway)
	defer cancel()
	n.rights.mu.Lock()
	keys := make([]counterKey, 0, len(n.rights.keys))
	for c := range n.rights.keys {
		keys = append(keys, c)
	}
	n.rights.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(giveAtOnce)
	for _, c := range keys {
		g.Go(func() error {
			if err := n.handRights(ctx, c); err != nil {
				n.opts.Logger.Warn("rights stay with an actor that is closed", "bucket", c.key.Bucket, "key", c.key.Key, "error", err)
			}
			return nil
		})
	}
	_ = g.Wait() // it has no errors
}

func (n *Node) handRights(ctx context.Context, c counterKey) error {
	_, own, err := n.shares(c)
	if err != nil || own.Amount <= 0 {
		return err
	}
	t, err := n.target(c.key.Bucket, []byte(c.key.Key))
	if err != nil {
		return err
	}
	err = errors.New("no co-owner of its partition is alive")
	for _, owner := range t.owners {
		if owner == n.id || !n.alive(owner) {
			continue
		}
		var to crdt.Actor
		if to, err = n.presentActor(ctx, owner, c.key); err != nil {
			continue
		}
		return n.move(ctx, c, &crdt.Op{Code: crdt.OpTransfer, Kind: crdt.BCounter, N: own.Amount, To: to})
	}
	return err
}

// presentActor has a co-owner add nothing to a counter: the event names the
// actor that is open there now.
func (n *Node) presentActor(ctx context.Context, owner string, key crdt.KeyID) (crdt.Actor, error) {
	req := &v1.UpdateRequest{
		Bucket: key.Bucket, Key: []byte(key.Key), Kind: v1.Kind_KIND_BCOUNTER,
		Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{}},
	}
	resp, err := n.call(ctx, owner, &peerv1.Request{Epoch: n.epoch(), Of: &peerv1.Request_Forward{Forward: &peerv1.Forward{Of: &peerv1.Forward_Update{Update: req}}}})
	if err != nil {
		return 0, fmt.Errorf("ask %s for its actor: %w", owner, err)
	}
	actor := crdt.Actor(resp.GetForward().GetUpdate().GetDot().GetActor())
	if name, node := n.who(actor); name != n.dc || node != owner {
		return 0, fmt.Errorf("%s answered with the actor %s of %s/%s", owner, actor, name, node)
	}
	return actor, nil
}

// watchRights notes that a client spends rights of a counter, or wants to.
func (n *Node) watchRights(t *target, op *crdt.Op, resp *v1.UpdateResponse, err error) {
	short := errors.Is(err, crdt.ErrNoRights)
	if short || op.Code == crdt.OpAdd && op.N < 0 && resp.GetKind() == v1.Kind_KIND_BCOUNTER {
		n.rights.used(counterKey{t.id, t.key})
	}
}

// explained is an error with more to say of rights that are missing.
func (n *Node) explained(t *target, err error) error {
	if short, ok := errors.AsType[*crdt.RightsError](err); ok {
		return n.explainRights(t, short)
	}
	return err
}

// explainRights says of an operation that lacks rights who has them, and what can be done.
func (n *Node) explainRights(t *target, short *crdt.RightsError) *Error {
	all, _, err := n.shares(counterKey{t.id, t.key})
	var have []string
	most, where := int64(0), ""
	for _, s := range all {
		name, node := n.who(s.Actor)
		if err == nil && s.Amount > 0 {
			have = append(have, fmt.Sprintf("%s/%s (actor %s) has %d", name, node, s.Actor, s.Amount))
		}
		if s.Amount > most {
			most, where = s.Amount, name
		}
	}
	way := "nobody has any: add to the counter first"
	switch {
	case len(have) > 0 && where == n.dc && most >= int64(min(short.Need, math.MaxInt64)):
		way = "that replica is away or closed; rights of a closed actor cannot be spent, add to the counter or wait for the replica"
	case len(have) > 0:
		way = fmt.Sprintf("write in %s, transfer some from there with `rights %s --transfer N --to %s --dc %s`, or add to the counter", where, t.key.Key, n.dc, where)
	}
	return refuse(FailedPrecondition, "NO_RIGHTS", "%s: %d are needed, replica %s/%s (actor %s) has %d; others: %s. %s",
		crdt.ErrNoRights, short.Need, n.dc, n.id, short.Actor, short.Have, cmp.Or(strings.Join(have, ", "), "none"), way).
		with("need", strconv.FormatUint(short.Need, 10)).with("have", strconv.FormatInt(short.Have, 10)).with("elsewhere", strconv.FormatInt(short.Elsewhere, 10))
}
