package dc

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	"golang.org/x/sync/errgroup"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// levelRounds bounds how often a read asks one co-owner for what it missed.
const levelRounds = 4

// readOrdered reads a part of a zset by scores, from r replicas. Each of them
// could name the members that it would show, but where replicas differ those do
// not tell the answer: a member that is low with each of two replicas may be
// high in the join of both, because each holds increments that the other lacks.
// So the members are told from one index only, this replica's:
//
//   - Where the digests of r replicas agree, they hold the same cells, and the
//     index is that of the join.
//   - Where they differ, this replica takes over the events that the others
//     have and it lacks, which after a write on its way are few, and then its
//     index is asked. A write that was acknowledged before the read began is in
//     the clock of one of any r replicas, or R+W>N does not hold, so it is among
//     those events or was here already. What a replica holds ahead of its clock
//     is not brought, and not needed: no acknowledgement rests on it.
//   - Where that does not help, because a log was trimmed, too much is missing
//     or a co-owner is away, the whole zset is read from r replicas and joined.
func (n *Node) readOrdered(ctx context.Context, t *target, q storage.Query, r int) (*storage.Answer, error) {
	replica := n.store.Replica(t.id)
	a, err := replica.Read(q)
	if err != nil || r < 2 && !t.recovering {
		return a, err
	}
	theirs, err := n.ask(ctx, t, r-1, readClass, t.digest)
	if err != nil || n.sameDigests(theirs, a.State[:]) {
		return a, err
	}
	if n.levelWith(ctx, t, theirs) {
		return replica.Read(q)
	}
	q.Order, q.Limit, q.Bytes = nil, 0, 0
	return n.readAll(ctx, t, q, r)
}

// levelWith brings this replica to where co-owners are that answered; false when
// events of their logs were not enough for that.
func (n *Node) levelWith(ctx context.Context, t *target, theirs []readAnswer) bool {
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range theirs {
		g.Go(func() error { return n.takeMissing(ctx, t, a.from) })
	}
	return g.Wait() == nil
}

func (n *Node) takeMissing(ctx context.Context, t *target, peer string) error {
	replica := n.store.Replica(t.id)
	async := t.bucket.Durability == "async"
	for range levelRounds {
		clock := replica.Clock()
		// With async durability a peer has acknowledged what its log does not tell yet.
		resp, err := n.call(ctx, peer, &peerv1.Request{Of: &peerv1.Request_Missing{Missing: &peerv1.Missing{
			Replica: wireID(t.id), Clock: crdt.AppendClock(nil, &clock), MaxBytes: maxMissing / 2, Settle: async,
		}}})
		if err != nil {
			return err
		}
		m := resp.GetMissing()
		deltas, err := decodeDeltas(m.GetDeltas())
		if err != nil {
			return err
		}
		commit, err := replica.Apply(deltas, async)
		if err == nil {
			err = commit.Wait()
		}
		if err != nil || !m.GetTrimmed() && !m.GetMore() {
			return err
		}
		if m.GetTrimmed() {
			break
		}
	}
	return errNotLevel
}

// errNotLevel reports that the log of a co-owner does not bring a replica up to it.
var errNotLevel = errors.New("the log does not reach back, or too much is missing")

// order is the part of a zset that a request asks for.
func order(req *v1.GetRequest) (*storage.Order, error) {
	r := req.GetRange()
	o := &storage.Order{
		Start: r.GetStart(), Stop: r.GetStop(), Reverse: r.GetReverse(),
		ByScore: r.GetByScore(), Min: r.GetMin(), Max: r.GetMax(),
	}
	if req.Element != nil {
		member := string(req.GetElement())
		o.Member = &member
		return o, nil
	}
	page := req.GetPage()
	if len(page) == 0 {
		return o, nil
	}
	bad := refuse(InvalidArgument, "BAD_PAGE", "page token is damaged, or not of a range of a zset")
	rank, size := binary.Uvarint(page)
	if size <= 0 || len(page) < size+8 || rank > math.MaxInt64-1 {
		return nil, bad
	}
	score := math.Float64frombits(binary.BigEndian.Uint64(page[size:]))
	if math.IsNaN(score) {
		return nil, bad
	}
	o.Behind = &storage.Ranked{Member: string(page[size+8:]), Score: score, Rank: rank}
	return o, nil
}

// pageBehind is the token of the page that follows a member.
func pageBehind(m *storage.Ranked) []byte {
	b := binary.AppendUvarint(nil, m.Rank)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(m.Score))
	return append(b, m.Member...)
}

// rankedValue puts members of a zset into the words of the API.
func rankedValue(in []storage.Ranked, total uint64) *v1.Value {
	out := &v1.Members{Total: total}
	for i := range in {
		out.Members = append(out.Members, &v1.Member{Member: []byte(in[i].Member), Score: in[i].Score, Rank: in[i].Rank})
	}
	return &v1.Value{Of: &v1.Value_Zset{Zset: out}}
}

// ranked picks what an order selects out of all members, which are in order of
// their scores, and up to limit of it; more tells that there are others.
func ranked(all []crdt.Member, o *storage.Order, limit int) (out []storage.Ranked, more bool) {
	at := func(i int64) int64 {
		if i < 0 {
			return i + int64(len(all))
		}
		return i
	}
	size := 0
	for i := range all {
		m := &all[i]
		if o.Reverse {
			m = &all[len(all)-1-i]
		}
		in := int64(i) >= at(o.Start) && int64(i) <= at(o.Stop)
		switch {
		case o.Member != nil:
			in = m.Member == *o.Member
		case o.ByScore:
			in = m.Score >= o.Min && m.Score <= o.Max
		}
		if !in || o.Behind != nil && !stands(m, o) {
			continue
		}
		if len(out) == limit || size >= pageBytes {
			return out, true
		}
		size += len(m.Member)
		out = append(out, storage.Ranked{Member: m.Member, Score: m.Score, Rank: uint64(i)})
	}
	return out, false
}

// stands reports whether a member stands behind the last one of an earlier page.
func stands(m *crdt.Member, o *storage.Order) bool {
	b := o.Behind
	if m.Score != b.Score {
		return (m.Score > b.Score) != o.Reverse
	}
	return m.Member != b.Member && (m.Member > b.Member) != o.Reverse
}
