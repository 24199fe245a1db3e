package dc

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

const (
	maxConflicts = 1000            // of one page of one node
	tailEvery    = time.Second / 5 // pause between two looks for conflicts that arose
	tailMemory   = 8192            // conflicts that a tail remembers to have told
)

// conflict puts one into the words of the API.
func conflict(c *storage.Conflict) *v1.ConflictsResponse {
	resp := &v1.ConflictsResponse{Bucket: c.ID.Bucket, Key: []byte(c.ID.Key), Kind: v1.Kind(c.ID.Kind)}
	if c.ID.Kind == crdt.NoKind {
		for _, k := range c.Kinds {
			resp.Kinds = append(resp.Kinds, v1.Kind(k))
		}
		return resp
	}
	v := c.Value()
	resp.Siblings = siblings(v.Siblings)
	for path := c.ID.Path; path != ""; {
		name, rest, ok := crdt.CutPath(path)
		if !ok || rest == "" {
			break
		}
		resp.Field = append(resp.Field, &v1.FieldName{Name: []byte(name), Kind: v1.Kind(rest[0])})
		path = rest[1:]
	}
	return resp
}

// conflicts lists a page of those on this node, in order of their positions.
func (n *Node) conflicts(req *peerv1.ConflictsAsk) (*peerv1.ConflictsPage, error) {
	out := &peerv1.ConflictsPage{}
	replicas := n.store.Replicas()
	slices.SortFunc(replicas, func(a, b *storage.Replica) int {
		x, y := a.ID(), b.ID()
		return cmp.Or(cmp.Compare(x.Placement, y.Placement), cmp.Compare(x.Partition, y.Partition))
	})
	limit := min(int(req.GetLimit()), maxConflicts)
	if limit == 0 {
		limit = maxConflicts
	}
	size := 0
	for _, r := range replicas {
		if r.Contested() == 0 {
			continue
		}
		if len(out.GetConflicts()) >= limit || size >= maxMissing {
			out.More = true
			break
		}
		list, more, err := r.Conflicts(storage.ConflictQuery{
			Bucket: req.GetBucket(), Behind: req.GetBehind(), Limit: limit - len(out.GetConflicts()), Bytes: maxMissing - size,
		})
		if err != nil {
			return nil, err
		}
		for i := range list {
			out.Conflicts = append(out.Conflicts, conflict(&list[i]))
			out.Positions = append(out.Positions, list[i].Position)
			size += list[i].Size()
		}
		if out.More = more; more {
			break
		}
	}
	return out, nil
}

// Conflicts calls fn for what waits for a decision in this datacenter: registers
// that hold concurrent values, also within maps, and keys of several kinds. Each
// comes once, however many nodes hold it, in the order of key hashes, which is
// the same in every datacenter. Limit 0 means all. An error of fn ends it.
func (n *Node) Conflicts(ctx context.Context, req *v1.ConflictsRequest, fn func(*v1.ConflictsResponse) error) error {
	left := int(req.GetLimit())
	ask := &peerv1.ConflictsAsk{Bucket: req.GetBucket(), Limit: uint32(min(left, maxConflicts))}
	for more := true; more; {
		var page []positioned
		page, more = n.conflictsPage(ctx, ask)
		for _, c := range page {
			if err := fn(c.conflict); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
			ask.Behind = c.at
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if more = more && len(page) > 0; more && left > 0 {
			ask.Limit = uint32(min(left, maxConflicts))
		}
	}
	return nil
}

// positioned is a conflict at its place in the listing.
type positioned struct {
	at       []byte
	conflict *v1.ConflictsResponse
}

// conflictsPage joins the pages of all nodes, as far as every one of them tells.
func (n *Node) conflictsPage(ctx context.Context, ask *peerv1.ConflictsAsk) (page []positioned, more bool) {
	found := map[string]*v1.ConflictsResponse{}
	var end []byte // behind it, a node may have some that it has not told
	q := &peerv1.Inspect{Of: &peerv1.Inspect_Conflicts{Conflicts: ask}}
	n.everywhere(ctx, n.opts.Timeout, q, func(_ string, a *peerv1.InspectDone) {
		p := a.GetConflicts()
		at := p.GetPositions()
		if len(at) != len(p.GetConflicts()) {
			return
		}
		for i, c := range p.GetConflicts() {
			if have := found[string(at[i])]; have == nil || len(have.GetSiblings()) < len(c.GetSiblings()) {
				found[string(at[i])] = c
			}
		}
		if p.GetMore() && len(at) > 0 {
			if last := at[len(at)-1]; !more || bytes.Compare(last, end) < 0 {
				end = last
			}
			more = true
		}
	})
	for at, c := range found {
		if !more || at <= string(end) {
			page = append(page, positioned{[]byte(at), c})
		}
	}
	slices.SortFunc(page, func(a, b positioned) int { return bytes.Compare(a.at, b.at) })
	return page, more
}

// opening names this opening of the node, for lists that do not outlive it.
func (n *Node) opening() uint64 { return uint64(n.started.UnixNano()) }

// arisen lists conflicts that arose on this node behind a place.
func (n *Node) arisen(req *peerv1.Arisen) *peerv1.ArisenDone {
	done := &peerv1.ArisenDone{Opening: n.opening()}
	if req.GetOpening() == 0 {
		done.Last = n.store.ArisenCount()
		return done
	}
	behind := req.GetAfter()
	if req.GetOpening() != done.GetOpening() {
		behind = 0 // all of this opening's are news
	}
	var list []storage.Conflict
	list, done.Last = n.store.Arisen(behind, maxMissing)
	for i := range list {
		if b := req.GetBucket(); b == "" || b == list[i].ID.Bucket {
			done.Conflicts = append(done.Conflicts, conflict(&list[i]))
		}
	}
	return done
}

// TailConflicts calls fn for every conflict that arises in this datacenter from
// now on, once however many nodes see it, until ctx ends or fn returns an error.
// It calls begun when nothing that arises later can be missed, but on nodes that
// do not answer: of those, what arises before they do is not told. Each node
// remembers the last 1,024. A conflict that is told may have been settled since,
// and on a node that crashes, be gone with what was not yet durable.
func (n *Node) TailConflicts(ctx context.Context, req *v1.ConflictsRequest, begun func() error, fn func(*v1.ConflictsResponse) error) error {
	t := &tail{places: map[string]*peerv1.Arisen{}, told: map[string]int{}, seen: map[string]int{}}
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for {
		var failed error
		ask := func(node string) *peerv1.Inspect {
			at := t.places[node]
			if at == nil {
				at = &peerv1.Arisen{Bucket: req.GetBucket()}
			}
			return &peerv1.Inspect{Of: &peerv1.Inspect_Arisen{Arisen: at}}
		}
		n.eachNode(ctx, inspectTimeout, ask, func(node string, a *peerv1.InspectDone) {
			done := a.GetArisen()
			for _, c := range done.GetConflicts() {
				if t.fresh(node, c) && failed == nil {
					failed = fn(c)
				}
			}
			t.places[node] = &peerv1.Arisen{Bucket: req.GetBucket(), Opening: done.GetOpening(), After: done.GetLast()}
		})
		if failed == nil && begun != nil {
			failed, begun = begun(), nil
		}
		if failed != nil {
			return failed
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tail follows the lists of all nodes.
type tail struct {
	places map[string]*peerv1.Arisen // what to ask each node next
	told   map[string]int            // how often a conflict was told
	seen   map[string]int            // how often it arose at a node
	order  []string                  // of the conflicts in told, the oldest first
}

// fresh reports whether a conflict that arose at a node is to be told: no other
// node has seen it as often.
func (t *tail) fresh(node string, c *v1.ConflictsResponse) bool {
	id := identity(c)
	if t.told[id] == 0 {
		t.order = append(t.order, id)
	}
	at := node + "\x00" + id
	t.seen[at]++
	if t.seen[at] <= t.told[id] {
		return false
	}
	t.told[id]++
	for ; len(t.order) > tailMemory; t.order = t.order[1:] {
		delete(t.told, t.order[0])
		for node := range t.places {
			delete(t.seen, node+"\x00"+t.order[0])
		}
	}
	return true
}

// identity names a conflict: its key, and the field, dots or kinds.
func identity(c *v1.ConflictsResponse) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %d %v", c.GetBucket(), c.GetKey(), c.GetKind(), c.GetKinds())
	for _, f := range c.GetField() {
		fmt.Fprintf(&b, " %q %d", f.GetName(), f.GetKind())
	}
	for _, s := range c.GetSiblings() {
		fmt.Fprintf(&b, " %x:%x", s.GetDot().GetActor(), s.GetDot().GetSeq())
	}
	return b.String()
}
