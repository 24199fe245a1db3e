package dc

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// maxMoment is the end of the year 9999, in milliseconds since 1970: no key
// expires later, unless it never does.
const maxMoment = 253402300799999

func (n *Node) now() time.Time { return n.opts.Storage.Wall() }

// lifetime is what a request, or else the bucket, says of the key's expiry.
func (n *Node) lifetime(t *target, req *v1.UpdateRequest, op *crdt.Op) error {
	now, ttl := uint64(n.now().UnixMilli()), req.GetTtlMs()
	op.KeepTTL = req.GetKeepTtl()
	switch {
	case op.At < 0 || op.At > maxMoment || ttl > maxMoment-now:
		return refuse(InvalidArgument, "BAD_TTL", "the key would expire after the year 9999; let it expire never")
	case ttl > 0 && (op.Code == crdt.OpDelete || op.Code == crdt.OpKeep || op.Code == crdt.OpExpire):
		return refuse(InvalidArgument, "BAD_TTL", "this operation writes no value, so it takes no ttl")
	case ttl > 0 && op.KeepTTL:
		return refuse(InvalidArgument, "BAD_TTL", "a ttl of its own, and keeping the one that is there: only one of them can be")
	case ttl > 0:
		op.At = int64(now + ttl)
	case t.bucket.TTL > 0 && writes(op.Code):
		op.At = int64(now) + t.bucket.TTL.Milliseconds()
	}
	return nil
}

// writes reports whether an operation gives the key something new, which the
// bucket's time to live is counted from.
func writes(code crdt.OpCode) bool {
	return code != crdt.OpDelete && code != crdt.OpRemove && code != crdt.OpDiscard && code != crdt.OpKeep && code != crdt.OpExpire
}

// observable is the cells that a client observes with an answer. Who saw but a
// part of a key has not seen the events that set its expiry.
func observable(a *storage.Answer, req *v1.GetRequest) []crdt.CellState {
	part := a.More || req.Element != nil || req.GetRange() != nil || len(req.GetPage()) > 0 || len(req.GetFields()) > 0
	if last := len(a.Cells) - 1; part && last >= 0 && a.Cells[last].ID.Kind == crdt.Expiry {
		return a.Cells[:last]
	}
	return a.Cells
}

// lastPath is where a page of a collection ends, empty where nothing of it is
// in the page. The expiry stands behind all kinds, and is in every page.
func lastPath(cells []crdt.CellState) string {
	for _, c := range slices.Backward(cells) {
		if c.ID.Kind.Collection() {
			return c.ID.Path
		}
	}
	return ""
}

const (
	sweepKeys   = 1000             // removed in one round of a node, at the most
	sweepAtOnce = 16               // of them
	sweepMargin = time.Second      // by which walls of a datacenter may differ
	sweepFar    = 5 * time.Second  // the same between datacenters, with what a lane may lag behind a beacon
	sweepOthers = 30 * time.Second // before a datacenter removes what another wrote
)

// sweep removes, again and again, what has expired. It is an ordinary event,
// minted by the first owner that is alive in the datacenter that wrote the
// expiry or, should that be away, in any.
func (n *Node) sweep() {
	tick := time.NewTicker(n.opts.SweepEvery)
	defer tick.Stop()
	for from := 0; ; {
		select {
		case <-tick.C:
			from = n.sweepRound(from)
		case <-n.ctx.Done():
			return
		}
	}
}

// sweepRound looks through the partitions for which this node speaks, from one
// of them on, and returns where the next round is to begin.
func (n *Node) sweepRound(from int) int {
	if _, unsure, bad := n.compareWalls(); unsure || bad {
		return from
	}
	led, heard := n.Remote().Led(), n.heardOut()
	var g errgroup.Group
	g.SetLimit(sweepAtOnce)
	left, at := sweepKeys, 0
	for ; at < len(led) && left > 0; at++ {
		giveWay()
		id := replicaOf(led[(from+at)%len(led)])
		until, ok := n.heardUntil(id, heard)
		if !ok {
			continue
		}
		keys, err := n.store.Replica(id).Expired(until, left)
		if err != nil {
			n.opts.Logger.Error("list what has expired", "replica", id.String(), "error", err)
			continue
		}
		for _, k := range keys {
			if dcName, _ := n.who(k.By); dcName != n.dc && k.At.After(until.Add(-sweepOthers)) {
				continue
			}
			left--
			g.Go(func() error { return n.sweepKey(id, k.Key, until) })
		}
	}
	if err := g.Wait(); err != nil && n.ctx.Err() == nil {
		n.opts.Logger.Debug("sweep", "error", err)
	}
	return (from + at) % max(len(led), 1)
}

// heardOut is the moment before which each datacenter that was heard at all has
// been heard out, and this one itself. It is worked out once for all replicas of
// a round, since that sorts the beacons of a minute: an earlier moment is safe.
func (n *Node) heardOut() map[string]time.Time {
	now := n.now()
	heard := map[string]time.Time{n.dc: now.Add(-sweepMargin)}
	if r := n.replicator(); r != nil {
		for _, l := range r.Lag() {
			if l.Newest >= 0 {
				heard[l.DC] = now.Add(-l.Newest - l.P99 - sweepFar)
			}
		}
	}
	return heard
}

// heardUntil is the moment before which every datacenter of a replica's
// placement has been heard out: an extension that was made there in time is
// here. False while one of them has not been heard at all, or has told of
// events that are still missing here.
func (n *Node) heardUntil(id storage.ReplicaID, heard map[string]time.Time) (time.Time, bool) {
	until := heard[n.dc]
	own := n.store.Replica(id).Durable()
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	for dcName := range n.placement(id.Placement).rings {
		if dcName == n.dc {
			continue
		}
		at, ok := heard[dcName]
		told := n.peers.at(id).dcs[dcName]
		if !ok || told == nil || !own.Covers(&told.clock) {
			return time.Time{}, false
		}
		if at.Before(until) {
			until = at
		}
	}
	return until, true
}

// sweepKey removes a key if it has expired by then. Co-owners are asked first,
// see coordinate: one of them may have taken an extension.
func (n *Node) sweepKey(id storage.ReplicaID, key crdt.KeyID, until time.Time) error {
	ctx, cancel := context.WithTimeout(n.ctx, n.opts.Timeout)
	defer cancel()
	op := &crdt.Op{Code: crdt.OpSweep, Now: until.UnixMilli()}
	_, err := n.coordinate(ctx, n.held(id, key), op, crdt.RequestID{}, leastQuorum)
	if err == nil {
		n.count.Swept.Add(1)
	}
	return err
}

// mutate is Mutate of a replica, after a look at the co-owners if the key seems
// to have expired: what is then removed of it must not be what they hold an
// extension of.
func (n *Node) mutate(ctx context.Context, t *target, m *storage.Mutation, w int) (*storage.Done, error) {
	replica := n.store.Replica(t.id)
	done, err := replica.Mutate(m)
	if !errors.Is(err, storage.ErrExpired) {
		return done, err
	}
	if err := n.look(ctx, t, w); err != nil {
		return nil, err
	}
	m.Looked = true
	return replica.Mutate(m)
}
