package dc

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

// ownerOf is a node that owns a key of the default bucket.
func ownerOf(t *testing.T, nodes []*Node, key string) *Node {
	t.Helper()
	to, err := nodes[0].locate("default", []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nodes, func(n *Node) bool { return slices.Contains(to.owners, n.id) })
	return nodes[i]
}

// TestIncrementsAreCarriedOutTogether has many clients add to one counter at one
// owner: none is lost, none counts twice, every one is answered with a total of its
// own, and some shared a commit.
func TestIncrementsAreCarriedOutTogether(t *testing.T) {
	const clients, each = 12, 20
	_, nodes := startDC(t, 3, 3)
	n := ownerOf(t, nodes, "hot")
	var mu sync.Mutex
	totals, dots := map[int64]int{}, map[string]int{}
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := range each {
				req := incr("hot", 1)
				req.Options = &v1.WriteOptions{RequestId: newID(time.Now(), byte(c*each+i))}
				for try := range 2 { // the second is a repeat, which must not count
					resp, err := n.Update(t.Context(), req)
					if err != nil {
						t.Errorf("try %d: %v", try, err)
						return
					}
					if resp.GetRepeated() != (try == 1) {
						t.Errorf("try %d: repeated is %v", try, resp.GetRepeated())
					}
					mu.Lock()
					totals[resp.GetValue().GetInteger()]++
					dots[fmt.Sprint(resp.GetDot())]++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	for want := int64(1); want <= clients*each; want++ {
		if totals[want] != 2 {
			t.Errorf("%d answers tell the total %d, want an increment and its repeat", totals[want], want)
		}
	}
	for _, node := range nodes {
		got, err := node.Get(t.Context(), get("hot"))
		if err != nil || got.GetValue().GetInteger() != clients*each {
			t.Errorf("%s reads %d, %v; want %d", node.id, got.GetValue().GetInteger(), err, clients*each)
		}
	}
	if n.Counters().IncrementsJoined.Load() == 0 {
		t.Error("no increments were carried out together")
	}
	eventually(t, "the replicas are level", func() bool { return level(nodes) })
}

// TestIncrementsFailTogether shows that increments of one commit that cannot reach
// enough copies all fail as indeterminate, and that the next are not kept waiting.
func TestIncrementsFailTogether(t *testing.T) {
	w, nodes := startDC(t, 3, 3)
	n := ownerOf(t, nodes, "hot")
	to, err := n.locate("default", []byte("hot"))
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range nodes {
		w.setDown(other.id, other != n)
	}
	group := make([]*member, 3)
	for i := range group {
		group[i] = &member{op: &crdt.Op{Code: crdt.OpAdd, N: 1}, over: make(chan struct{})}
	}
	n.coordinateAll(t.Context(), to, group, func(int) int { return 2 }, func() {})
	for i, m := range group {
		<-m.over
		if reason(m.err) != "WRITE_INDETERMINATE" || m.resp != nil {
			t.Errorf("increment %d: %v, %v; want WRITE_INDETERMINATE", i, m.resp, m.err)
		}
	}
	for _, other := range nodes {
		w.setDown(other.id, false)
	}
	eventually(t, "an increment succeeds", func() bool {
		resp, err := n.Update(t.Context(), incr("hot", 1))
		return err == nil && resp.GetValue().GetInteger() >= 4 // the three are not taken back
	})
}

func TestWaitingIncrementLeavesWithItsCaller(t *testing.T) {
	var c together
	of := crowd{key: crdt.KeyID{Bucket: "b", Key: "k"}}
	first, second, third := &member{turn: make(chan struct{})}, &member{turn: make(chan struct{})}, &member{turn: make(chan struct{})}
	if c.enter(of, first) || !c.enter(of, second) || !c.enter(of, third) {
		t.Fatal("the first waits, or another does not")
	}
	if !c.leave(of, second) || c.leave(of, second) {
		t.Error("one that waits cannot leave, or leaves twice")
	}
	if got := c.take(of, first); len(got) != 2 || got[1] != third {
		t.Errorf("%d are carried out, want the first and the third", len(got))
	}
	if c.leave(of, third) {
		t.Error("one that is under way can leave")
	}
	c.pass(of)
	if len(c.queues) != 0 {
		t.Error("nobody is left, and the counter is still busy")
	}
	if c.enter(of, first) {
		t.Error("the next waits for nobody, but waits")
	}
	c.enter(of, second)
	c.pass(of)
	<-second.turn
}
