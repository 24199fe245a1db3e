package main

import (
	"fmt"
	"slices"
	"strings"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/crdt"
)

// copied is what the owners of a key in one datacenter hold.
type copied struct {
	owners []ownerCopy // that answered, by name
	silent []string    // that did not
	joined *crdt.Snapshot
}

// ownerCopy is one replica's view of a key.
type ownerCopy struct {
	*crdt.Snapshot

	node  string
	live  map[crdt.CellID]crdt.Cell
	knows *crdt.Peer
}

func newOwnerCopy(node string, s *crdt.Snapshot) ownerCopy {
	o := ownerCopy{Snapshot: s, node: node, live: make(map[crdt.CellID]crdt.Cell, len(s.Cells)), knows: s.Peer()}
	for _, c := range s.Cells {
		o.live[c.ID] = c.Live
	}
	return o
}

// copies fetches a key's cells from every owner in every datacenter.
func (in *invocation) copies(dcs []member, k keyRef, names actors) ([]said[*copied], error) {
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	opts = append(opts, client.WithBucket(k.bucket))
	all := askAll(dcs, func(d member) (*pb.CellsResponse, error) { return d.EveryCells(in.ctx(), k.key, opts...) })
	out := make([]said[*copied], len(all))
	for i, a := range all {
		out[i] = said[*copied]{dc: a.dc, err: a.err}
		if a.err == nil {
			names.learn(a.answer)
			out[i].answer, out[i].err = copiedOf(a.answer)
		}
	}
	return out, nil
}

func copiedOf(resp *pb.CellsResponse) (*copied, error) {
	c := &copied{silent: resp.GetMissing()}
	for _, one := range append([]*pb.CellsResponse{resp}, resp.GetOthers()...) {
		s, err := crdt.DecodeSnapshot(one.GetSnapshot())
		if err != nil {
			return nil, fmt.Errorf("read what %s holds: %w", one.GetNode(), err)
		}
		c.owners = append(c.owners, newOwnerCopy(one.GetNode(), s))
	}
	slices.SortFunc(c.owners, func(a, b ownerCopy) int { return strings.Compare(a.node, b.node) })
	c.join()
	return c, nil
}

// join makes what a reader of all owners would see.
func (c *copied) join() {
	all := make([]*crdt.Snapshot, len(c.owners))
	for i, o := range c.owners {
		all[i] = o.Snapshot
	}
	c.joined = crdt.Merge(all...)
}
