package dc

import (
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

func TestReadRepairsWhatItFindsBehind(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 3*time.Second) // catch-up comes too late
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	all := get("k")
	all.Options = &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	if got, err := nodes[0].Get(t.Context(), all); err != nil || string(got.GetValue().GetBytes()) != "v" {
		t.Fatalf("Get() = %v, %v", got, err)
	}
	c := nodes[0].Counters()
	eventually(t, "the replica that was behind is repaired", func() bool { return c.RepairedReplicas.Load() == 1 })
	if got := c.DigestMismatches.Load(); got != 1 {
		t.Errorf("DigestMismatches = %d, want 1", got)
	}
	if got := c.ReadRepairs.Load(); got != 1 {
		t.Errorf("ReadRepairs = %d, want 1", got)
	}
	one := get("k")
	one.Options = &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ONE}
	before := nodes[2].Counters().PeerReads.Load()
	if got, err := nodes[2].Get(t.Context(), one); err != nil || string(got.GetValue().GetBytes()) != "v" {
		t.Errorf("at the replica that was behind: %v, %v", got, err)
	}
	if got := nodes[2].Counters().PeerReads.Load() - before; got != 0 {
		t.Errorf("a read of one at an owner asked %d other nodes", got)
	}
	if _, err := nodes[0].Get(t.Context(), all); err != nil || c.DigestMismatches.Load() != 1 {
		t.Errorf("the next read: %v, %d mismatches, want none more", err, c.DigestMismatches.Load())
	}
}
