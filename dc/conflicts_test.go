package dc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// conflictName is a conflict as these tests write it.
func conflictName(c *v1.ConflictsResponse) string {
	var parts []string
	for _, f := range c.GetField() {
		parts = append(parts, "."+string(f.GetName()))
	}
	for _, k := range c.GetKinds() {
		parts = append(parts, k.String())
	}
	for _, s := range c.GetSiblings() {
		parts = append(parts, string(s.GetValue()))
	}
	return string(c.GetKey()) + " " + strings.Join(parts, " ")
}

func listedOf(t *testing.T, n *Node, limit uint32) (out []string) {
	t.Helper()
	err := n.Conflicts(t.Context(), &v1.ConflictsRequest{Limit: limit}, func(c *v1.ConflictsResponse) error {
		out = append(out, conflictName(c))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// following follows the conflicts of a datacenter through one of its nodes.
type following struct {
	mu   sync.Mutex
	told []string
	end  func() error
}

func followConflicts(t *testing.T, n *Node) *following {
	t.Helper()
	f := &following{}
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- n.TailConflicts(ctx, &v1.ConflictsRequest{}, func() error { close(begun); return nil }, func(c *v1.ConflictsResponse) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.told = append(f.told, conflictName(c))
			return nil
		})
	}()
	<-begun
	f.end = func() error { cancel(); return <-ended }
	return f
}

func (f *following) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.told)
}

func sibling(key, value string) *v1.UpdateRequest {
	req := put(key, value)
	req.Kind = v1.Kind_KIND_MVREGISTER
	return req
}

func write(t *testing.T, n *Node, req *v1.UpdateRequest) {
	t.Helper()
	if _, err := n.Update(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// All three owners see every conflict: the tail and the list tell it once.
func TestConflictsAreToldOnceForAllOwners(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	write(t, nodes[0], sibling("before", "1"))
	write(t, nodes[0], sibling("before", "2"))
	eventually(t, "all know the first", func() bool { return counted(nodes) == 3 })
	f := followConflicts(t, nodes[1])
	for i := range 3 {
		if i < 2 { // of three, owners could see different pairs on the way
			write(t, nodes[i], sibling("k", strconv.Itoa(i)))
		}
		write(t, nodes[2-i], sibling(fmt.Sprint("other", i), "a"))
		write(t, nodes[i], sibling(fmt.Sprint("other", i), "b"))
	}
	eventually(t, "all have seen all", func() bool { return counted(nodes) == 15 && level(nodes) })
	eventually(t, "all is told", func() bool { return len(f.all()) >= 4 })
	if err := f.end(); !errors.Is(err, context.Canceled) {
		t.Errorf("the tail ended with %v", err)
	}
	told := f.all()
	slices.Sort(told)
	if got := strings.Join(told, ", "); got != "k 1 0, other0 b a, other1 b a, other2 b a" {
		t.Errorf("told: %s", got)
	}
	list := listedOf(t, nodes[2], 0)
	slices.Sort(list)
	if got := strings.Join(list, ", "); got != "before 2 1, k 1 0, other0 b a, other1 b a, other2 b a" {
		t.Errorf("listed: %s", got)
	}
	var status uint64
	for _, s := range nodes[0].Status(t.Context()).GetNodes() {
		status += s.GetConflicts() + 100*s.GetConflictsSeen()
	}
	if status != 15+100*15 {
		t.Errorf("status tells of %d now and %d seen", status%100, status/100)
	}
}

// counted is how many conflicts the nodes have counted together.
func counted(nodes []*Node) (sum uint64) {
	for _, n := range nodes {
		sum += n.Counters().Conflicts.Load()
	}
	return sum
}

// Pages of nodes that hold different partitions are joined in one order.
func TestConflictsComeInPagesFromAllNodes(t *testing.T) {
	_, nodes := startDC(t, 4, 2)
	const many = 1100 // more than a page of one node
	for i := range many {
		write(t, nodes[i%4], sibling(fmt.Sprint("k", i), "a"))
		write(t, nodes[i%4], sibling(fmt.Sprint("k", i), "b"))
	}
	all := listedOf(t, nodes[0], 0)
	if sorted := slices.Compact(slices.Sorted(slices.Values(all))); len(all) != many || len(sorted) != many {
		t.Errorf("%d conflicts, %d different ones", len(all), len(sorted))
	}
	for _, limit := range []uint32{1, 7, 1050} {
		if got := listedOf(t, nodes[3], limit); !slices.Equal(got, all[:limit]) {
			t.Errorf("limit %d: %d conflicts, or others", limit, len(got))
		}
	}
	stop := errors.New("enough")
	if err := nodes[0].Conflicts(t.Context(), &v1.ConflictsRequest{}, func(*v1.ConflictsResponse) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a receiver that is gone: %v", err)
	}
}

func TestTailCountsHowOftenAConflictArose(t *testing.T) {
	f := &tail{told: map[string]int{}, seen: map[string]int{}}
	c := &v1.ConflictsResponse{Key: []byte("k"), Kinds: []v1.Kind{v1.Kind_KIND_SET, v1.Kind_KIND_COUNTER}}
	for i, step := range []struct {
		node string
		want bool
	}{{"a", true}, {"b", false}, {"c", false}, {"b", true}, {"a", false}, {"a", true}} {
		if got := f.fresh(step.node, c); got != step.want {
			t.Errorf("step %d, node %s: %v", i, step.node, got)
		}
	}
	for i := range tailMemory + 10 {
		f.fresh("a", &v1.ConflictsResponse{Key: []byte(strconv.Itoa(i))})
	}
	if len(f.told) != tailMemory || len(f.order) != tailMemory {
		t.Errorf("%d, %d are remembered, want %d", len(f.told), len(f.order), tailMemory)
	}
}
