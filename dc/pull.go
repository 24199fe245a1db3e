package dc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// pullAll asks a peer for what it had a round ago and this node still lacks. What
// is being compared with another datacenter's is left to a later round, without
// keeping the others waiting.
func (c *catchUp) pullAll(ctx context.Context, peer string, shared []storage.ReplicaID, first bool) error {
	for _, id := range shared {
		giveWay()
		if !c.heardOf(peer, id) {
			continue
		}
		clock := c.n.store.Replica(id).Durable()
		c.mu.Lock()
		h := c.at(id).peers[peer]
		if h == nil { // it was started again meanwhile
			c.mu.Unlock()
			continue
		}
		want := h.before
		if first {
			want = h.now.Clone()
		}
		h.before = h.now.Clone()
		c.mu.Unlock()
		if clock.Covers(&want) {
			if !c.differs(peer, id) {
				continue
			}
			c.n.count.TreeRepairs.Add(1)
			if err := c.takeWhole(ctx, peer, id); err != nil && !errors.Is(err, storage.ErrJoining) {
				return fmt.Errorf("join what differs at %s of %s: %w", peer, id, err)
			}
			continue
		}
		if err := c.pull(ctx, peer, id, &want); err != nil && !errors.Is(err, storage.ErrJoining) {
			return fmt.Errorf("catch up with %s on %s: %w", peer, id, err)
		}
	}
	return nil
}

// differs reports whether a peer's replica has had this one's clock for a while,
// but another tree. That is so after an event was lost that repair had carried
// the effect of to some replicas: no clock tells of it.
func (c *catchUp) differs(peer string, id storage.ReplicaID) bool {
	s := c.n.store.Replica(id).State()
	root := rootOf(&s)
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.at(id).peers[peer]
	if h == nil {
		return false
	}
	if root == nil || h.root == nil || bytes.Equal(root, h.root) || !s.Clock.Equal(&h.told) {
		h.unequal = time.Time{}
		return false
	}
	now := time.Now()
	if h.unequal.IsZero() {
		h.unequal = now
	}
	if now.Sub(h.unequal) < unequalRounds*c.n.opts.Exchange {
		return false
	}
	h.unequal = time.Time{}
	return true
}

// unequalRounds is for how many exchanges of clocks trees may differ at equal
// clocks before they are joined: a repair may be on its way.
const unequalRounds = 3

// lock waits for the turn to pull a replica; the caller calls unlock.
func (c *catchUp) lock(ctx context.Context, id storage.ReplicaID) (unlock func(), err error) {
	c.mu.Lock()
	turn := c.locks[id]
	if turn == nil {
		turn = make(chan struct{}, 1)
		c.locks[id] = turn
	}
	c.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pull brings a replica level with a peer's, which has told of `want`: from its
// log, or by a join of the whole partition where the log no longer reaches back.
func (c *catchUp) pull(ctx context.Context, peer string, id storage.ReplicaID, want *crdt.Clock) error {
	unlock, err := c.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	replica := c.n.store.Replica(id)
	for {
		clock := replica.Durable()
		if clock.Covers(want) { // another peer was asked meanwhile
			return nil
		}
		m, err := c.missing(ctx, peer, id, &clock)
		if err != nil {
			return err
		}
		deltas, err := decodeDeltas(m.GetDeltas())
		if err != nil {
			return err
		}
		commit, err := replica.Apply(deltas, false)
		if err == nil {
			err = commit.Wait()
		}
		c.n.count.PulledEvents.Add(uint64(len(deltas)))
		switch {
		case err != nil:
			return err
		case m.GetTrimmed():
			if late, err := tookMeanwhile(replica, m); late || err != nil {
				return err
			}
			return c.joinFrom(ctx, peer, id)
		case !m.GetMore():
			return nil
		}
	}
}

// tookMeanwhile reports whether a replica has all that a peer's clock tells of,
// whose log no longer reaches back. While the question was on its way the events
// came from elsewhere, everybody had them, and the log was rightly trimmed: there
// is nothing to join.
func tookMeanwhile(r *storage.Replica, m *peerv1.MissingDone) (bool, error) {
	theirs, err := crdt.DecodeClock(m.GetClock())
	if err != nil {
		return false, err
	}
	own := r.Durable()
	return own.Covers(&theirs), nil
}

// pullBytes is the size of one page that is taken from a peer: so little that a
// replica which takes it in keeps nobody waiting for long.
const pullBytes = 128 << 10

// missing asks a peer for events from its log.
func (c *catchUp) missing(ctx context.Context, peer string, id storage.ReplicaID, clock *crdt.Clock) (*peerv1.MissingDone, error) {
	ctx, cancel := context.WithTimeout(ctx, c.n.opts.Timeout)
	defer cancel()
	resp, err := c.n.call(ctx, peer, &peerv1.Request{Of: &peerv1.Request_Missing{Missing: &peerv1.Missing{
		Replica: wireID(id), Clock: crdt.AppendClock(nil, clock), MaxBytes: pullBytes, Paced: true,
	}}})
	if err != nil {
		return nil, err
	}
	size := 0
	for _, d := range resp.GetMissing().GetDeltas() {
		size += len(d)
	}
	c.n.count.PulledBytes.Add(uint64(size))
	return resp.GetMissing(), c.n.moves.took(ctx, size)
}

// takeWhole joins everything that a peer holds of a replica.
func (c *catchUp) takeWhole(ctx context.Context, peer string, id storage.ReplicaID) error {
	unlock, err := c.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	return c.joinFrom(ctx, peer, id)
}

func (c *catchUp) joinFrom(ctx context.Context, peer string, id storage.ReplicaID) error {
	c.n.count.Joins.Add(1)
	return c.n.join(ctx, id, func(ctx context.Context, cursor []byte) ([]byte, []byte, error) {
		return c.fetch(ctx, peer, id, cursor)
	})
}

func (c *catchUp) fetch(ctx context.Context, peer string, id storage.ReplicaID, cursor []byte) (page, next []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.n.opts.Timeout)
	defer cancel()
	resp, err := c.n.call(ctx, peer, &peerv1.Request{Of: &peerv1.Request_Snapshot{Snapshot: &peerv1.SnapshotPage{
		Replica: wireID(id), Cursor: cursor, MaxBytes: pullBytes,
	}}})
	if err != nil {
		return nil, nil, err
	}
	page, next = resp.GetSnapshot().GetPage(), resp.GetSnapshot().GetCursor()
	c.n.count.PulledBytes.Add(uint64(len(page)))
	return page, next, c.n.moves.took(ctx, len(page))
}

// join pulls what differs of a partition with fetch and joins it, a page at a
// time, while the replica goes on serving.
func (n *Node) join(ctx context.Context, id storage.ReplicaID, fetch func(ctx context.Context, cursor []byte) (page, next []byte, err error)) error {
	j, err := n.store.Replica(id).BeginJoin()
	if err != nil {
		return err
	}
	defer j.Abandon()
	for !j.Whole() {
		encoded, _, err := fetch(ctx, j.Ask())
		if err != nil {
			return err
		}
		page, err := storage.DecodePage(encoded)
		if err != nil {
			return err
		}
		n.ahead.note(id, &page.Clock)
		c, err := j.Page(page)
		if err == nil {
			err = c.Wait()
		}
		if err != nil {
			return err
		}
	}
	c, err := j.Finish()
	if err != nil {
		return err
	}
	return c.Wait()
}
