package main

import (
	"fmt"

	"github.com/zeebo/xxh3"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

// actors names the replicas behind actors: the upper half of every actor that a
// node mints is a hash of the names of its datacenter and of itself.
type actors map[crdt.Actor]actorJSON

type actorJSON struct {
	ID   string `json:"id"`
	DC   string `json:"dc"` // empty where the topology knows no such node any more
	Node string `json:"node"`
}

// half is a half of an actor in bits.
const half = 32

// actorsOf knows the nodes of datacenters that tell their status.
func actorsOf(all []said[*pb.StatusResponse]) actors {
	out := actors{}
	for _, a := range all {
		for _, n := range a.answer.GetNodes() {
			sum := xxh3.HashString128(a.answer.GetDc() + "/" + n.GetId())
			out[crdt.Actor(sum.Hi>>half)] = actorJSON{DC: a.answer.GetDc(), Node: n.GetId()}
		}
	}
	return out
}

func (as actors) of(a crdt.Actor) actorJSON {
	out := as[a>>half]
	out.ID = a.String()
	return out
}

// String is dc/node and what tells the incarnations of its replica apart.
func (a actorJSON) String() string {
	if a.DC == "" {
		return a.ID
	}
	return fmt.Sprintf("%s/%s#%s", a.DC, a.Node, a.ID[len(a.ID)/2:])
}
