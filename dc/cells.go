package dc

import (
	"context"
	"maps"
	"slices"
	"sync"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// cells tells what this node holds of a key, and who minted it.
func (n *Node) cells(req *v1.CellsRequest) (*v1.CellsResponse, error) {
	t, err := n.locate(req.GetBucket(), req.GetKey())
	if err != nil {
		return nil, err
	}
	if err := n.mine(wireID(t.id)); err != nil {
		return nil, err
	}
	a, err := n.store.Replica(t.id).Read(storage.Query{Key: t.key})
	if err != nil {
		return nil, err
	}
	resp := &v1.CellsResponse{Node: n.id, Snapshot: crdt.AppendSnapshot(nil, &a.Snapshot)}
	minted := map[crdt.Actor]bool{}
	for _, c := range a.Cells {
		for _, e := range c.Live {
			minted[e.Dot.Actor] = true
		}
	}
	for _, actor := range slices.Sorted(maps.Keys(minted)) {
		dcName, node := n.who(actor)
		resp.Actors = append(resp.Actors, &v1.ActorName{Actor: uint64(actor), Dc: dcName, Node: node})
	}
	return resp, nil
}

// Cells returns a key's cells, clock and residue, as one owner in this
// datacenter holds them, or as each does.
func (n *Node) Cells(ctx context.Context, req *v1.CellsRequest) (*v1.CellsResponse, error) {
	t, err := n.locate(req.GetBucket(), req.GetKey())
	if err != nil {
		return nil, err
	}
	q := &peerv1.Inspect{Of: &peerv1.Inspect_Cells{Cells: req}}
	if !req.GetEveryOwner() {
		done, err := n.atOwner(ctx, t.id, q)
		return done.GetCells(), err
	}
	var found []*v1.CellsResponse
	var missing []string
	var last error
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, owner := range n.owners(n.dc, t.id) {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
			defer cancel()
			done, err := n.inspectAt(ctx, owner, q)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				missing, last = append(missing, owner), err
			} else {
				found = append(found, done.GetCells())
			}
		})
	}
	asked.Wait()
	if len(found) == 0 {
		return nil, last
	}
	resp := found[0]
	resp.Others, resp.Missing = found[1:], slices.Sorted(slices.Values(missing))
	return resp, nil
}
