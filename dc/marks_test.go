package dc

import (
	"fmt"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

func insert(key string, elements ...string) *v1.UpdateRequest {
	var e [][]byte
	for _, x := range elements {
		e = append(e, []byte(x))
	}
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Kind: v1.Kind_KIND_RWSET, Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: e}}}
}

func removeFrom(key string, elements ...string) *v1.UpdateRequest {
	var e [][]byte
	for _, x := range elements {
		e = append(e, []byte(x))
	}
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Kind: v1.Kind_KIND_RWSET, Op: &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: e}}}
}

func switchTo(key string, on bool) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Kind: v1.Kind_KIND_DWFLAG, Op: &v1.UpdateRequest_FlagSet{FlagSet: &v1.FlagSet{On: on}}}
}

// cellsOf counts the cells that a node holds of a key.
func cellsOf(t *testing.T, n *Node, key string) int {
	t.Helper()
	target, err := n.target("default", []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	a, err := n.store.Replica(target.id).Read(storage.Query{Key: target.key})
	if err != nil {
		t.Fatal(err)
	}
	return len(a.Cells)
}

// dropAll is one round of every node.
func (f *ferry) dropAll(t *testing.T) {
	t.Helper()
	f.tell(t)
	for _, n := range f.all() {
		n.dropRound(0)
	}
}

func (f *ferry) empty(t *testing.T, keys ...string) bool {
	t.Helper()
	for _, n := range f.all() {
		for _, key := range keys {
			if cellsOf(t, n, key) > 0 {
				return false
			}
		}
	}
	return level(f.all())
}

func TestRemovedElementsLeaveNothing(t *testing.T) {
	f, _ := startFerried(t, newTestWall(), "eu", "us")
	eu, us := f.nodes["eu"], f.nodes["us"]
	for batch := range 4 {
		var some []string
		for i := range 150 {
			some = append(some, fmt.Sprintf("e%d", 150*batch+i))
		}
		do(t, eu[batch%3], insert("s", some...))
		do(t, eu[(batch+1)%3], removeFrom("s", some...))
	}
	do(t, us[0], switchTo("off", false))
	if cellsOf(t, eu[0], "s") != 600 {
		t.Fatalf("%d cells after 600 removals, want a mark each", cellsOf(t, eu[0], "s"))
	}
	eventually(t, "the marks are gone everywhere", func() bool {
		f.dropAll(t)
		return f.empty(t, "s", "off")
	})
	for _, n := range f.all() {
		if some, err := n.store.Replica(storage.ReplicaID{}).HasMarks(); some || err != nil {
			t.Errorf("%s: marks in the index: %v, %v", n.id, some, err)
		}
	}
}

func TestRemovesWinUntilEveryoneHasSeenThem(t *testing.T) {
	f, _ := startFerried(t, newTestWall(), "eu", "us")
	eu, us := f.nodes["eu"], f.nodes["us"]
	do(t, eu[0], insert("s", "x"))
	f.heal(t)
	f.mu.Lock()
	f.cut = true
	f.mu.Unlock()
	do(t, us[0], insert("s", "x", "y"))
	do(t, eu[0], removeFrom("s", "x", "z"))
	eventually(t, "every node here has the marks", func() bool { return cellsOf(t, eu[1], "s") == 2 && cellsOf(t, eu[2], "s") == 2 })
	for range 5 {
		f.dropAll(t)
	}
	if got := cellsOf(t, eu[1], "s"); got != 2 {
		t.Fatalf("%d cells while the other datacenter has not seen the removals, want 2 marks", got)
	}
	f.heal(t)
	eventually(t, "the marks and what lost to them are gone", func() bool {
		f.dropAll(t)
		return cellsOf(t, eu[0], "s") == 1 && cellsOf(t, us[2], "s") == 1 && level(f.all())
	})
	for _, n := range f.all() {
		got, err := n.Get(t.Context(), get("s"))
		if err != nil || fmt.Sprintf("%s", got.GetValue().GetSet().GetElements()) != "[y]" {
			t.Errorf("%s: %v, %v, want y: x was removed at the same time", n.id, got, err)
		}
	}
	do(t, us[0], insert("s", "x"))
	f.heal(t)
	if got, err := eu[0].Get(t.Context(), get("s")); err != nil || len(got.GetValue().GetSet().GetElements()) != 2 {
		t.Errorf("after it was added again: %v, %v", got, err)
	}
}

// A receipt is no clock: that a co-owner took the mark does not say what it had
// minted before.
func TestReceiptsSettleNothing(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	c, id := newCatchUp(nodes[0]), storage.ReplicaID{Placement: nodes[0].Remote().Led()[0].Placement}
	var told crdt.Clock
	told.Add(crdt.Dot{Actor: 1, Seq: 1})
	own := told.Clone()
	own.Add(crdt.Dot{Actor: 2, Seq: 1})
	for _, peer := range []string{"b", "c"} {
		c.hear(peer, id, told, nil)
		c.has(peer, id, &crdt.Delta{Actor: 2, Lo: 1, Hi: 1})
	}
	if settled, _ := c.settled(id, &own, time.Now()); !settled.Equal(&told) {
		t.Errorf("settled: %v, want what was told, %v", settled, told)
	}
	for _, peer := range []string{"b", "c"} {
		c.hear(peer, id, own, nil)
	}
	if settled, _ := c.settled(id, &own, time.Now()); !settled.Equal(&own) {
		t.Errorf("settled: %v, want %v", settled, own)
	}
}
