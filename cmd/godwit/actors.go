package main

import (
	"fmt"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

// actors names the replicas behind actors, as nodes tell them with cells.
type actors map[crdt.Actor]actorJSON

type actorJSON struct {
	ID   string `json:"id"`
	DC   string `json:"dc"` // empty where the topology knows no such node any more
	Node string `json:"node"`
}

// learn takes over the names in an answer.
func (as actors) learn(resp *pb.CellsResponse) {
	for _, a := range resp.GetActors() {
		if a.GetNode() != "" {
			as[crdt.Actor(a.GetActor())] = actorJSON{DC: a.GetDc(), Node: a.GetNode()}
		}
	}
	for _, other := range resp.GetOthers() {
		as.learn(other)
	}
}

func (as actors) of(a crdt.Actor) actorJSON {
	out := as[a]
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
