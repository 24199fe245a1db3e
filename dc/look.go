package dc

import (
	"context"
	"fmt"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// lookFirst joins what other replicas hold of a key before something is
// removed from it without a context, or kept: an acknowledged delete that is
// coordinated by a replica which missed the put must not do nothing, nor a put
// that is to keep the ttl lose it.
func (n *Node) lookFirst(ctx context.Context, t *target, op *crdt.Op, w int) error {
	part, removes := op.Removal()
	if !removes || op.Context != nil {
		return nil
	}
	if part != nil {
		return n.lookAt(ctx, t, part, w)
	}
	return n.look(ctx, t, w)
}

// look joins what a quorum of replicas hold of a key, for a write to w of them that
// follows. What that makes durable here is durable with it: the client waits for
// the disk as often as with any other write.
func (n *Node) look(ctx context.Context, t *target, w int) error {
	if w < 2 {
		return nil
	}
	q := storage.Query{Key: t.key, Limit: 1}
	mine, err := n.store.Replica(t.id).Read(q)
	if err != nil {
		return err
	}
	r := len(t.owners)/2 + 1
	equal, err := n.sameDigest(ctx, t, mine.State[:], r-1, t.digest)
	if err != nil || equal {
		return err
	}
	_, err = n.joinAll(ctx, t, storage.Query{Key: t.key}, r, n.store.Replica(t.id).RepairFirst)
	return err
}

// lookAt is look at a part of a key: at the elements, members or fields that are to
// be removed. Others may differ, and they do while the key is being written.
//
// That is enough, because a removal without a context removes the dots that live in
// the cells it names, and nothing that lives in other cells changes which these are;
// and it is sound, because rule 3 joins each cell by itself: it needs the clock of
// whoever was read and all of that cell, at one instant, and it takes over no clock.
// So what is not joined now is as it would be if nobody had looked, and comes with
// its own events. Only which kinds there are is asked of the whole key: the kind of
// an operation that names none follows from that. Where replicas differ in it all of
// the key is joined, as it is before a delete.
func (n *Node) lookAt(ctx context.Context, t *target, part *crdt.Part, w int) error {
	if w < 2 {
		return nil
	}
	replica := n.store.Replica(t.id)
	mine, err := replica.Read(storage.Query{Key: t.key, Part: part})
	if err != nil {
		return err
	}
	others := len(t.owners) / 2
	same, err := n.sameDigest(ctx, t, mine.State[:], others, func() *peerv1.Read {
		read := partOf(t, part)
		read.DigestOnly, read.Durable = true, false
		return read
	})
	if err != nil || same {
		return err
	}
	theirs, err := n.ask(ctx, t, others, durableClass, func() *peerv1.Read { return partOf(t, part) })
	if err != nil {
		return err
	}
	pages := []*crdt.Snapshot{&mine.Snapshot}
	for _, a := range theirs {
		if !sameKinds(mine.Present, a.done) {
			return n.look(ctx, t, w)
		}
		s, err := crdt.DecodeSnapshot(a.done.GetSnapshot())
		if err != nil {
			return fmt.Errorf("answer of %s: %w", a.from, err)
		}
		pages = append(pages, s)
	}
	joined := crdt.Merge(pages...)
	if sameState(pages[0], joined) {
		return nil
	}
	n.count.ReadRepairs.Add(1)
	n.ahead.note(t.id, &joined.Clock)
	c, err := replica.RepairCells(cellsToJoin(joined, pages[0]), joined)
	if err == nil {
		err = c.Wait()
	}
	if err == nil {
		n.count.RepairedReplicas.Add(1)
	}
	return err
}

func partOf(t *target, part *crdt.Part) *peerv1.Read {
	wire := &peerv1.Part{}
	for _, path := range part.Under {
		wire.Under = append(wire.Under, []byte(path))
	}
	return &peerv1.Read{Replica: wireID(t.id), Bucket: t.key.Bucket, Key: []byte(t.key.Key), Part: wire, Durable: true}
}

// sameKinds reports whether another replica has collections of the same kinds under
// a key; both tell them in order.
func sameKinds(mine []crdt.Kind, theirs *peerv1.ReadDone) bool {
	if len(mine) != len(theirs.GetPresent()) {
		return false
	}
	for i, k := range theirs.GetPresent() {
		if crdt.Kind(k) != mine[i] {
			return false
		}
	}
	return true
}

// cellsToJoin lists the cells of a join, and with nothing in them those that were there
// before and of which nothing is left.
func cellsToJoin(joined, before *crdt.Snapshot) []crdt.CellState {
	out := joined.Cells
	left := map[crdt.CellID]bool{}
	for i := range joined.Cells {
		left[joined.Cells[i].ID] = true
	}
	for i := range before.Cells {
		if id := before.Cells[i].ID; !left[id] {
			out = append(out, crdt.CellState{ID: id})
		}
	}
	return out
}
