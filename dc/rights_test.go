package dc

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

func stock(by int64) *v1.UpdateRequest {
	req := incr("stock", by)
	req.Kind = v1.Kind_KIND_BCOUNTER
	return req
}

// rightsAt is what a node knows of the rights of each node.
func rightsAt(t *testing.T, n *Node) map[string]int64 {
	t.Helper()
	got, err := n.Get(t.Context(), get("stock"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, r := range got.GetRights() {
		out[r.GetNode()] += r.GetAmount()
	}
	return out
}

// moveAll is one round of every node, and of the links between datacenters.
func (f *ferry) moveAll(t *testing.T, w *testWall) {
	t.Helper()
	w.advance(askAgain)
	for _, n := range f.all() {
		n.rightsRound()
	}
	f.heal(t)
	for _, n := range f.all() {
		n.rightsRound()
	}
	f.heal(t)
}

func TestRightsComeBeforeTheyAreMissed(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "eu", "us")
	eu, us := f.nodes["eu"], f.nodes["us"]
	do(t, eu[0], stock(200))
	f.heal(t)
	_, err := us[0].Update(t.Context(), stock(-1))
	if reason(err) != "NO_RIGHTS" || !strings.Contains(err.Error(), "eu/eu-a (actor ") || !strings.Contains(err.Error(), " has 200. write in eu,") {
		t.Fatalf("before any came: %v", err)
	}
	f.moveAll(t, w)
	for i := range 190 {
		do(t, us[0], stock(-1))
		if i%2 == 1 {
			f.moveAll(t, w)
		}
	}
	if got := rightsAt(t, us[0]); got["eu-a"]+got["us-a"] != 10 || got["us-a"] == 0 {
		t.Errorf("rights after 190 of 200 were spent: %v", got)
	}
	target, err := eu[0].target("default", []byte("stock"))
	if err != nil {
		t.Fatal(err)
	}
	f.moveAll(t, w)
	before := eu[0].store.Replica(target.id).Clock()
	for range 10 {
		f.moveAll(t, w)
	}
	if after := eu[0].store.Replica(target.id).Clock(); !after.Equal(&before) {
		t.Errorf("rights go to and fro while nobody spends: %v, then %v", before, after)
	}
}

func TestRightsStayWhereTheyAreSpent(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "eu", "us")
	do(t, f.nodes["eu"][0], stock(40))
	f.heal(t)
	for range 8 { // both spend, in turn
		do(t, f.nodes["eu"][0], stock(-1))
		if _, err := f.nodes["us"][0].Update(t.Context(), stock(-1)); err != nil && reason(err) != "NO_RIGHTS" {
			t.Fatal(err)
		}
		f.moveAll(t, w)
	}
	got := rightsAt(t, f.nodes["us"][1])
	if got["eu-a"] < 8 || got["us-a"] < 8 || got["eu-a"]+got["us-a"] != 40-8-7 {
		t.Errorf("rights after each has spent: %v", got)
	}
}

func TestClosedNodeGivesItsRightsAway(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	do(t, nodes[0], stock(10))
	do(t, nodes[0], stock(-3))
	if err := nodes[0].Close(); err != nil {
		t.Fatal(err)
	}
	got := rightsAt(t, nodes[1])
	if got["a"] != 0 || got["b"]+got["c"] != 7 {
		t.Errorf("rights after a was closed: %v, want all 7 at b or c", got)
	}
	eventually(t, "who has them has heard of it", func() bool { return level(nodes[1:]) })
	do(t, nodes[1], stock(-7))
	if _, err := nodes[1].Update(t.Context(), stock(-1)); reason(err) != "NO_RIGHTS" || !strings.Contains(err.Error(), "nobody has any") {
		t.Errorf("below the bound: %v", err)
	}
}

func TestPresentActorIsTheOneHeardLast(t *testing.T) {
	k, id := newRightsKeeper(), storage.ReplicaID{Partition: 3}
	event := func(a crdt.Actor) *crdt.Delta {
		cell := crdt.CellID{KeyID: crdt.KeyID{Bucket: "b", Key: "k"}, Kind: crdt.BCounter}
		return &crdt.Delta{Actor: a, Lo: 1, Hi: 1, Changes: []crdt.Change{{ID: cell}}}
	}
	if a, ok := k.present(id, []crdt.Actor{5}); a != 5 || !ok {
		t.Errorf("of one: %s, %v", a, ok)
	}
	if a, ok := k.present(id, []crdt.Actor{5, 6}); ok {
		t.Errorf("of two that were not heard: %s", a)
	}
	k.took(id, event(6), event(5))
	if a, ok := k.present(id, []crdt.Actor{5, 6}); a != 5 || !ok {
		t.Errorf("after 5: %s, %v", a, ok)
	}
	k.took(id, event(6))
	if a, ok := k.present(id, []crdt.Actor{5, 6}); a != 6 || !ok {
		t.Errorf("after 6: %s, %v", a, ok)
	}
	c := counterKey{id, crdt.KeyID{Bucket: "b", Key: "k"}}
	now := time.UnixMilli(1_000_000)
	if !k.may(c, now) || k.may(c, now.Add(askAgain/2)) || !k.may(c, now.Add(askAgain)) {
		t.Error("a counter is asked for at most every so often")
	}
}
