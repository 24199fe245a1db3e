package dc

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// Get reads one key from as many replicas as asked for. One sends its cells,
// the others a digest; where they differ, the answer is the join of all.
func (n *Node) Get(ctx context.Context, req *v1.GetRequest) (*v1.GetResponse, error) {
	if err := forClients(req.GetBucket()); err != nil {
		return nil, err
	}
	if err := n.open(); err != nil {
		return nil, err
	}
	return n.getAnywhere(ctx, req)
}

// getAnywhere is Get for every bucket.
func (n *Node) getAnywhere(ctx context.Context, req *v1.GetRequest) (*v1.GetResponse, error) {
	defer n.moves.pace.request(time.Now)()
	return underOneRing(ctx, func() (*v1.GetResponse, error) { return n.get(ctx, req) })
}

func (n *Node) get(ctx context.Context, req *v1.GetRequest) (*v1.GetResponse, error) {
	t, err := n.locate(req.GetBucket(), req.GetKey())
	if err != nil {
		return nil, err
	}
	t.strict = req.GetOptions().GetStrict()
	if !slices.Contains(t.owners, n.id) {
		return n.forwardGet(ctx, t, req)
	}
	n.count.Reads.Add(1)
	r, err := copies(req.GetOptions().GetConsistency(), req.GetOptions().GetR(), t.bucket.Read, len(t.owners))
	if err != nil {
		return nil, err
	}
	q, err := query(t, req)
	if err != nil {
		return nil, err
	}
	v, err := n.enter(ctx, t, req.GetOptions().GetSession())
	if err != nil {
		return nil, err
	}
	a, err := n.readFrom(ctx, t, q, r(len(t.owners)))
	if err != nil {
		return nil, err
	}
	resp, err := n.answer(t, a, req)
	if v != nil {
		seen, bad := v.leave(&a.Clock, a.Cells)
		if bad != nil {
			return nil, bad
		}
		if err != nil { // that a key is absent is something to have seen as well
			return nil, AsError(err).during(seen)
		}
		resp.Session = seen
	}
	if err != nil {
		return nil, err
	}
	resp.Answer = &v1.Answer{Copies: uint32(r(len(t.owners))), Replicas: uint32(len(t.owners)), Dc: n.dc, Node: n.id}
	return resp, nil
}

// readFrom reads a key, or a part of it, from r replicas.
func (n *Node) readFrom(ctx context.Context, t *target, q storage.Query, r int) (*storage.Answer, error) {
	if q.Order != nil {
		return n.readOrdered(ctx, t, q, r)
	}
	a, err := n.store.Replica(t.id).Read(q)
	if err != nil || r < 2 && !t.recovering {
		return a, err
	}
	equal, err := n.sameDigest(ctx, t, a.State[:], r-1, t.digest)
	if err != nil || equal {
		return a, err
	}
	return n.readAll(ctx, t, q, r)
}

// sameDigest asks `others` co-owners for the digest of a key or of a part of one, by
// what `of` makes, and reports whether all agree with mine. It asks more of them when
// some do not answer.
func (n *Node) sameDigest(ctx context.Context, t *target, mine []byte, others int, of func() *peerv1.Read) (bool, error) {
	got, err := n.ask(ctx, t, others, readClass, of)
	return err == nil && n.sameDigests(got, mine), err
}

// sameDigests reports whether all digests are the same as mine.
func (n *Node) sameDigests(theirs []readAnswer, mine []byte) bool {
	for _, d := range theirs {
		if !bytes.Equal(d.done.GetDigest(), mine) {
			n.count.DigestMismatches.Add(1)
			return false
		}
	}
	return true
}

// provenOf is how many of r answers of n owners must be of replicas that have all
// that they acknowledged: so many that, after the loss of a disk, none is read past that
// two had acknowledged.
func provenOf(r, n int) int { return min(r, n-1) }

// digest asks for the digest of the key.
func (t *target) digest() *peerv1.Read {
	return &peerv1.Read{Replica: wireID(t.id), Bucket: t.key.Bucket, Key: []byte(t.key.Key), DigestOnly: true}
}

type readAnswer struct {
	from string
	done *peerv1.ReadDone
}

// ask sends a read to co-owners, the healthiest first, until `want` have
// answered; one more where this replica is recovering and so does not count itself.
// Others that are recovering count where too few answer; in a strict read only beside
// all others.
// See gathering for what it does about those that do not answer.
func (n *Node) ask(ctx context.Context, t *target, want int, c class, read func() *peerv1.Read) ([]readAnswer, error) {
	others := slices.DeleteFunc(n.byHealth(t.owners), func(o string) bool { return o == n.id })
	if want > len(others) {
		return nil, refuse(Unavailable, "TOO_FEW_REPLICAS", "%d replicas asked for, %d exist", want+1, len(others)+1)
	}
	g := gathering{n: n, nodes: others, want: want, makesDo: true, least: want, class: c, final: stale, ask: func() *peerv1.Request {
		return &peerv1.Request{Of: &peerv1.Request_Read{Read: read()}}
	}}
	mine := 1
	if t.recovering {
		g.want, mine = want+1, 0
	}
	if t.strict {
		g.proven = provenOf(want+1, len(t.owners)) - mine
	}
	got, err := g.run(ctx)
	switch {
	case g.less:
		n.count.ReadsOfRecovering.Add(1)
	case len(got) == g.want:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("read %d replicas, %d answered: %w", want+1, len(got)+mine, ctx.Err())
	default:
		return nil, refuse(Unavailable, "TOO_FEW_REPLICAS", "%d of %d replicas answered that count (and %d that lost a disk and may not have all back), %d were asked for: %v",
			len(got)+mine, len(t.owners), len(g.spare)+1-mine, want+1, err)
	}
	answers := make([]readAnswer, len(got))
	for i, r := range got {
		if r.err != nil {
			return nil, r.err
		}
		answers[i] = readAnswer{r.from, r.resp.GetRead()}
	}
	return answers, nil
}

// readAll reads a key from r replicas, joins what they hold and repairs those
// that lagged. Only what is durable takes part: an answer that a crash could
// take back must not be given to another replica.
func (n *Node) readAll(ctx context.Context, t *target, q storage.Query, r int) (*storage.Answer, error) {
	return n.joinAll(ctx, t, q, r, n.store.Replica(t.id).Repair)
}

// repairing is how this replica takes the join over, see storage.Replica.Repair.
type repairing func([]crdt.KeyID, *crdt.Snapshot) (*storage.Commit, error)

// joinAll is readAll.
func (n *Node) joinAll(ctx context.Context, t *target, q storage.Query, r int, take repairing) (*storage.Answer, error) {
	replica := n.store.Replica(t.id)
	mine, err := replica.Read(q)
	if err != nil {
		return nil, err
	}
	durable := make(chan error, 1)
	go func() { durable <- replica.Barrier() }() // while the others are asked
	theirs, err := n.ask(ctx, t, r-1, durableClass, func() *peerv1.Read {
		return &peerv1.Read{
			Replica: wireID(t.id), Bucket: t.key.Bucket, Key: []byte(t.key.Key), Under: []byte(q.Under),
			After: []byte(q.After), Limit: uint32(q.Limit), Durable: true,
		}
	})
	if err := cmp.Or(<-durable, err); err != nil {
		return nil, err
	}
	pages := []*crdt.Snapshot{&mine.Snapshot}
	out := &storage.Answer{Present: mine.Present, Total: mine.Total, More: mine.More}
	whole := !mine.More && q.After == "" && q.Under == ""
	for _, a := range theirs {
		s, err := crdt.DecodeSnapshot(a.done.GetSnapshot())
		if err != nil {
			return nil, fmt.Errorf("answer of %s: %w", a.from, err)
		}
		pages = append(pages, s)
		out.Total = max(out.Total, a.done.GetTotal())
		for _, k := range a.done.GetPresent() {
			if !slices.Contains(out.Present, crdt.Kind(k)) {
				out.Present = append(out.Present, crdt.Kind(k))
			}
		}
		out.More = out.More || a.done.GetMore()
		whole = whole && !a.done.GetMore()
	}
	if out.More {
		out.End = cutToCommon(pages, mine.More, theirs)
	}
	out.Snapshot = *crdt.Merge(pages...)
	if whole {
		out.Present = nil // the joined cells tell
		n.repair(t, take, &out.Snapshot, pages, theirs)
	}
	return out, nil
}

// cutToCommon drops what lies behind the end of the shortest page: of that,
// not every replica has told. It returns that end, which is where the next page
// begins, also when the join leaves nothing before it.
func cutToCommon(pages []*crdt.Snapshot, mineMore bool, theirs []readAnswer) (end string) {
	for i, p := range pages {
		more := mineMore
		if i > 0 {
			more = theirs[i-1].done.GetMore()
		}
		if last := lastPath(p.Cells); more && last != "" && (end == "" || last < end) {
			end = last
		}
	}
	for _, p := range pages {
		p.Cells = slices.DeleteFunc(p.Cells, func(c crdt.CellState) bool { return end != "" && c.ID.Path > end })
	}
	return end
}

// repair gives the join to every replica that took part and lacks something of
// it. It goes on after the answer is out; catch-up does the same work if it fails.
func (n *Node) repair(t *target, take repairing, joined *crdt.Snapshot, pages []*crdt.Snapshot, theirs []readAnswer) {
	behind := make([]bool, len(pages))
	for i, p := range pages {
		behind[i] = !sameState(p, joined)
	}
	if !slices.Contains(behind, true) {
		return // they became equal while they were read
	}
	n.count.ReadRepairs.Add(1)
	if behind[0] {
		n.ahead.note(t.id, &joined.Clock)
		if c, err := take([]crdt.KeyID{t.key}, joined); err != nil {
			n.opts.Logger.Warn("read repair", "replica", t.id.String(), "error", err)
		} else if err := c.Wait(); err != nil {
			n.opts.Logger.Warn("read repair", "replica", t.id.String(), "error", err)
		} else {
			n.count.RepairedReplicas.Add(1)
		}
	}
	encoded := crdt.AppendSnapshot(nil, joined)
	for i, a := range theirs {
		if !behind[i+1] {
			continue
		}
		req := &peerv1.Request{TimeoutMs: uint64(n.opts.Timeout.Milliseconds()), Of: &peerv1.Request_Repair{Repair: &peerv1.Repair{
			Replica: wireID(t.id), Bucket: t.key.Bucket, Key: []byte(t.key.Key), Snapshot: encoded,
		}}}
		n.send(a.from, req, time.Time{}, func(_ *peerv1.Response, err error) {
			if err == nil {
				n.count.RepairedReplicas.Add(1)
			}
		})
	}
}

// sameState reports whether a replica's page already holds the join, and waits
// for the same removals.
func sameState(p, joined *crdt.Snapshot) bool {
	a, b := crdt.Snapshot{Residue: p.Residue, Cells: p.Cells}, crdt.Snapshot{Residue: joined.Residue, Cells: joined.Cells}
	return bytes.Equal(crdt.AppendSnapshot(nil, &a), crdt.AppendSnapshot(nil, &b))
}
