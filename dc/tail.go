package dc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// Limits of one question of a watch to an owner.
const (
	tailMost   = 10 * time.Second       // the longest that it waits
	tailMoved  = time.Second            // after which clocks are told that moved without a change to tell
	tailBehind = 250 * time.Millisecond // after which an owner that lacks what was told says so
	tailPause  = 2 * time.Millisecond   // between two times that those who wait are woken
	tailBytes  = 1 << 20                // of an answer, about
	tailHard   = 4 << 20                // past which changes go without their values
	tailKeys   = 1000                   // of one part
	tailLog    = 256 << 10              // bytes of the log that are read for one part
)

// tailing is a question in service.
type tailing struct {
	n     *Node
	req   *peerv1.Tail
	parts []*tailPart
	left  int // bytes of the answer
	done  *peerv1.TailDone
}

type tailPart struct {
	replica *storage.Replica
	clock   *crdt.Clock // nil: only the clock is asked for
	seen    crdt.Clock
	list    bool
	after   []byte
	moved   bool // clock is beyond that of the question
	behind  bool
}

func (n *Node) openTail(req *peerv1.Tail) (*tailing, error) {
	t := &tailing{n: n, req: req, left: tailBytes, done: &peerv1.TailDone{}}
	if most := req.GetMaxBytes(); most > 0 && most < tailBytes {
		t.left = int(most)
	}
	if len(req.GetParts()) > n.opts.Topology.Partitions {
		return nil, refuse(InvalidArgument, "MALFORMED", "question about %d partitions of %d", len(req.GetParts()), n.opts.Topology.Partitions)
	}
	for _, p := range req.GetParts() {
		if err := n.mine(p.GetReplica()); err != nil {
			return nil, err
		}
		part := &tailPart{replica: n.store.Replica(replicaID(p.GetReplica())), list: p.GetList(), after: p.GetAfter()}
		if p.Clock != nil {
			c, err := crdt.DecodeClock(p.GetClock())
			if err != nil {
				return nil, err
			}
			part.clock = &c
		}
		if len(p.GetSeen()) > 0 {
			var err error
			if part.seen, err = crdt.DecodeClock(p.GetSeen()); err != nil {
				return nil, err
			}
		}
		t.parts = append(t.parts, part)
	}
	return t, nil
}

// serveWatch answers a question of another node's watch.
func (n *Node) serveWatch(ctx context.Context, from string, req *peerv1.Request) (*peerv1.Response, error) {
	if err := n.current(ctx, from, req.GetEpoch()); err != nil {
		return nil, err
	}
	done, err := n.serveTail(ctx, req.GetTail())
	return &peerv1.Response{Of: &peerv1.Response_Tail{Tail: done}}, err
}

// serveTail answers a question of a watch.
func (n *Node) serveTail(ctx context.Context, req *peerv1.Tail) (*peerv1.TailDone, error) {
	t, err := n.openTail(req)
	if err != nil {
		return nil, err
	}
	w := n.tails.join(t.parts)
	defer n.tails.leave(w)
	began := time.Now()
	wait := min(time.Duration(req.GetWaitMs())*time.Millisecond, tailMost)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for changed := t.parts; ; changed = n.tails.take(w, t.parts) {
		if err := t.look(changed); err != nil {
			return nil, err
		}
		if len(t.done.GetParts()) > 0 {
			t.rest()
			return t.done, nil
		}
		timer.Reset(t.patience(wait) - time.Since(began))
		select {
		case <-w.ready:
		case <-timer.C:
			t.rest()
			return t.done, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.ctx.Done():
			return nil, storage.ErrClosed
		}
	}
}

// patience is how long the question waits for something to tell.
func (t *tailing) patience(wait time.Duration) time.Duration {
	for _, p := range t.parts {
		switch {
		case p.behind:
			return min(wait, tailBehind)
		case p.moved:
			wait = min(wait, tailMoved)
		}
	}
	return wait
}

// rest tells of the parts of which nothing was told yet and which moved, or
// which this node does not hold.
func (t *tailing) rest() {
	told := map[storage.ReplicaID]bool{}
	for _, d := range t.done.GetParts() {
		told[replicaID(d.GetReplica())] = true
	}
	for _, p := range t.parts {
		switch id := p.replica.ID(); {
		case told[id]:
		case p.behind:
			t.done.Parts = append(t.done.Parts, &peerv1.TailPartDone{Replica: wireID(id), Behind: true})
		case p.moved:
			t.done.Parts = append(t.done.Parts, &peerv1.TailPartDone{Replica: wireID(id), Clock: crdt.AppendClock(nil, p.clock)})
		}
	}
}

// look tells what there is to tell of parts, as far as there is room.
func (t *tailing) look(parts []*tailPart) error {
	for _, p := range parts {
		if t.left <= 0 {
			t.done.More = true
			return nil
		}
		done, err := t.part(p)
		if err != nil {
			return err
		}
		if done == nil {
			continue
		}
		done.Replica = wireID(p.replica.ID())
		t.left -= proto.Size(done)
		t.done.Parts = append(t.done.Parts, done)
	}
	return nil
}

// part is what there is to tell of one part, nil for nothing.
func (t *tailing) part(p *tailPart) (*peerv1.TailPartDone, error) {
	durable := p.replica.Durable()
	if p.behind = !durable.Covers(&p.seen); p.behind {
		return nil, nil
	}
	switch {
	case p.list:
		return t.listed(p, &durable)
	case p.clock == nil:
		return &peerv1.TailPartDone{Clock: crdt.AppendClock(nil, &durable)}, nil
	}
	q := storage.TouchQuery{Have: p.clock, Bucket: t.req.GetBucket(), Prefix: string(t.req.GetPrefix()), Keys: tailKeys, Bytes: tailLog}
	for {
		got, err := p.replica.Touched(q)
		switch {
		case err != nil:
			return nil, err
		case got.Behind:
			p.behind = true
			return nil, nil
		case got.Trimmed:
			return &peerv1.TailPartDone{Trimmed: true}, nil
		case len(got.Keys) == 0 && !got.More:
			p.moved = p.moved || !got.Clock.Equal(p.clock)
			p.clock = &got.Clock
			return nil, nil
		}
		done := &peerv1.TailPartDone{Clock: crdt.AppendClock(nil, &got.Clock), More: got.More}
		told, err := t.tell(p, done, got.Keys, false)
		if err == nil && told < len(got.Keys) && told < q.Keys {
			q.Keys = told // the clock is to tell of no more keys than the answer does
			continue
		}
		if err == nil && told < len(got.Keys) { // one event touched them all
			done.Changes = nil
			_, err = t.tell(p, done, got.Keys, true)
		}
		return done, err
	}
}

// listed tells of keys that are there.
func (t *tailing) listed(p *tailPart, durable *crdt.Clock) (*peerv1.TailPartDone, error) {
	items, more, err := p.replica.Scan(t.req.GetBucket(), string(t.req.GetPrefix()), p.after, tailKeys)
	if err != nil {
		return nil, err
	}
	done := &peerv1.TailPartDone{More: more}
	if len(p.after) == 0 {
		done.Clock = crdt.AppendClock(nil, durable)
	}
	last := map[string]int{} // a key of several kinds is listed several times
	var keys []storage.Touch
	for i, it := range items {
		if _, known := last[it.Key.Key]; !known {
			keys = append(keys, storage.Touch{Key: it.Key.Key})
		}
		last[it.Key.Key] = i
	}
	told, err := t.tell(p, done, keys, false)
	if err != nil || told == 0 {
		return done, err
	}
	done.More = more || told < len(keys)
	if done.GetMore() {
		done.After = items[last[keys[told-1].Key]].Position
	}
	return done, nil
}

// tell puts into done what keys hold: all, or as many as there is room for and
// one at the least. It tells how many. What it tells is durable.
func (t *tailing) tell(p *tailPart, done *peerv1.TailPartDone, keys []storage.Touch, all bool) (told int, err error) {
	var clock crdt.Clock
	var cells []crdt.CellState
	size := 0
	for _, k := range keys {
		if told > 0 && size >= t.left && !all {
			break
		}
		ch, a, err := t.change(p, k)
		if err != nil {
			return 0, err
		}
		if size += proto.Size(ch); size > tailHard {
			size -= proto.Size(ch.GetValue())
			ch.Value = nil
		}
		clock = a.Clock // which contains those before it
		for _, c := range a.Cells {
			cells = append(cells, crdt.CellState{Live: c.Live})
		}
		done.Changes = append(done.Changes, ch)
		told++
	}
	if told == 0 || told < len(keys) && !p.list { // nothing, or it is asked again
		return told, nil
	}
	if err := p.replica.Barrier(); err != nil {
		return 0, err
	}
	s, err := (&visit{n: t.n, t: &target{id: p.replica.ID()}}).leave(&clock, cells)
	if err != nil {
		return 0, err
	}
	if len(s.GetTokens()) > 0 {
		done.Token, done.Truncated = s.GetTokens()[0], s.GetTruncated()
	}
	if seen := crdt.AppendClock(nil, &clock); !slices.Equal(seen, done.GetClock()) {
		done.Seen = seen
	}
	return told, nil
}

// change says what a key is now.
func (t *tailing) change(p *tailPart, k storage.Touch) (*v1.Change, *storage.Answer, error) {
	key := crdt.KeyID{Bucket: t.req.GetBucket(), Key: k.Key}
	at := &target{key: key, id: p.replica.ID()}
	req := &v1.GetRequest{Bucket: key.Bucket, Key: []byte(key.Key)}
	if !t.req.GetValues() {
		req.Limit = 1
	}
	q, err := query(at, req)
	if err != nil {
		return nil, nil, err
	}
	a, err := p.replica.Read(q)
	if err != nil {
		return nil, nil, err
	}
	ch := &v1.Change{Key: req.GetKey()}
	if k.By != 0 {
		ch.Dc, ch.Node = t.n.who(k.By)
	}
	value, err := t.n.answer(at, a, req)
	switch {
	case err == nil:
		ch.Kind = value.GetKind()
		if t.req.GetValues() {
			ch.Value = value
		}
	case AsError(err).Code == NotFound:
		ch.Deleted = true
	case AsError(err).Code == FailedPrecondition:
		ch.KindConflict = true
	default:
		return nil, nil, err
	}
	return ch, a, nil
}
