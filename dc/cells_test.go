package dc

import (
	"slices"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

// Every owner tells what it holds itself; one that is away is named.
func TestCellsOfEveryOwner(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	all := put("k", "one")
	all.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	if _, err := nodes[0].Update(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", true)
	if _, err := nodes[1].Update(t.Context(), put("k", "two")); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	w.setDown("a", true)
	resp, err := nodes[2].Cells(t.Context(), &v1.CellsRequest{Bucket: "default", Key: []byte("k"), EveryOwner: true})
	if err != nil || len(resp.GetOthers()) != 1 || !slices.Equal(resp.GetMissing(), []string{"a"}) {
		t.Fatalf("%d others, %v missing, %v; want 1 and a", len(resp.GetOthers()), resp.GetMissing(), err)
	}
	want := map[string]string{"b": "two", "c": "one"}
	by := map[string]string{"b": "b", "c": "a"} // who minted what it holds
	for _, one := range append(resp.GetOthers(), resp) {
		s, err := crdt.DecodeSnapshot(one.GetSnapshot())
		if err != nil {
			t.Fatal(err)
		}
		v := crdt.ReadValue(crdt.Register, s.Cells)
		if got := string(v.Siblings[0].Value); got != want[one.GetNode()] {
			t.Errorf("%s holds %q, want %q", one.GetNode(), got, want[one.GetNode()])
		}
		actors := one.GetActors()
		if len(actors) != 1 || actors[0].GetDc() != "here" || actors[0].GetNode() != by[one.GetNode()] || actors[0].GetActor() != uint64(v.Siblings[0].Dot.Actor) {
			t.Errorf("%s names the actors %v, want one of %s", one.GetNode(), actors, by[one.GetNode()])
		}
	}
}
