package dc

import (
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// TestWriteWhoseTimeIsOverIsNotForwarded: what was to be begun by now is refused
// by owners, and by nodes that would hand it to one: who asked has gone on, and may
// have written what comes next.
func TestWriteWhoseTimeIsOverIsNotForwarded(t *testing.T) {
	w, nodes := startDC(t, 5, 3)
	ctx := BeginBy(t.Context(), time.Now())
	refused := func(when string, away *Node) {
		for _, n := range nodes {
			if n == away {
				continue
			}
			if _, err := n.Update(ctx, put("k", "late")); AsError(err).Reason != notBegun {
				t.Errorf("%s: node %s: %v, want %s", when, n.ID(), err, notBegun)
			}
		}
	}
	refused("all are up", nil)
	for _, n := range nodes { // also one that would be asked last
		w.setDown(n.ID(), true)
		refused(n.ID()+" is down", n)
		w.setDown(n.ID(), false)
	}
	all := get("k")
	all.Options = &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	if got, err := nodes[0].Get(t.Context(), all); AsError(err).Code != NotFound {
		t.Errorf("read %v, %v; want nothing", got, err)
	}
}
