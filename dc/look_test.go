package dc

import (
	"slices"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

func setAdd(key string, elements ...string) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: byteSlices(elements)}}}
}

func setRemove(key string, elements ...string) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: byteSlices(elements)}}}
}

func mapFieldAdd(key, field string, elements ...string) *v1.UpdateRequest {
	return inMap(key, field, &v1.UpdateRequest{Kind: v1.Kind_KIND_SET, Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: byteSlices(elements)}}})
}

func inMap(key, field string, u *v1.UpdateRequest) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{
		Fields: []*v1.FieldUpdate{{Name: []byte(field), Update: u}},
	}}}
}

// missed starts a datacenter of three nodes that never catch up, of which the last
// has missed what the first took after all had the same.
func missed(t *testing.T, first, later *v1.UpdateRequest) (nodes []*Node) {
	t.Helper()
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	all := func(req *v1.UpdateRequest, c v1.Consistency) {
		t.Helper()
		req.Options = &v1.WriteOptions{Consistency: c}
		if _, err := nodes[0].Update(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if first != nil {
		all(first, v1.Consistency_CONSISTENCY_ALL)
	}
	w.setDown("c", true)
	all(later, v1.Consistency_CONSISTENCY_QUORUM)
	w.setDown("c", false)
	return nodes
}

// TestARemovalNoticesWhatItNames: an element, a member, a field and an element of a
// field that the coordinator has missed are removed all the same.
func TestARemovalNoticesWhatItNames(t *testing.T) {
	tests := []struct {
		name                 string
		first, later, remove *v1.UpdateRequest
	}{
		{"an element", setAdd("k", "old"), setAdd("k", "x"), setRemove("k", "x")},
		{"an element of a key that it has missed", nil, setAdd("k", "x"), setRemove("k", "x")},
		{"an element that it knows of an earlier add", setAdd("k", "x"), setAdd("k", "x"), setRemove("k", "x")},
		{"the second of two elements", setAdd("k", "a", "old"), setAdd("k", "x"), setRemove("k", "nobody", "x")},
		{"a field", mapFieldAdd("k", "old", "a"), mapFieldAdd("k", "f", "x"), &v1.UpdateRequest{
			Bucket: "default", Key: []byte("k"), Op: &v1.UpdateRequest_MapRemove{MapRemove: &v1.MapRemove{Fields: []*v1.FieldName{{Name: []byte("f")}}}},
		}},
		{"an element of a field", mapFieldAdd("k", "f", "a"), mapFieldAdd("k", "f", "x"), inMap("k", "f", &v1.UpdateRequest{
			Op: &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: byteSlices([]string{"x"})}},
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nodes := missed(t, tt.first, tt.later)
			resp, err := nodes[2].Update(t.Context(), tt.remove)
			if err != nil || resp.GetChanged() != 1 {
				t.Fatalf("removal at the node that missed it: %v, %v; want that it changes one", resp, err)
			}
			eventually(t, "all are level", func() bool { return level(nodes) })
			got, err := nodes[0].Get(t.Context(), get("k"))
			if v := got.GetValue(); slices.Contains(shown(v), "x") || err != nil && reason(err) != "NOT_FOUND" {
				t.Errorf("after it: %v, %v", v, err)
			}
		})
	}
}

// shown lists the elements of a set, or of the sets in a map.
func shown(v *v1.Value) (out []string) {
	for _, e := range v.GetSet().GetElements() {
		out = append(out, string(e))
	}
	for _, f := range v.GetMap().GetFields() {
		out = append(out, shown(f.GetValue())...)
	}
	return out
}

// TestARemovalIsNotHeldUpByWhatItDoesNotName: that replicas differ in other elements
// does not matter, and they are not carried along.
func TestARemovalIsNotHeldUpByWhatItDoesNotName(t *testing.T) {
	nodes := missed(t, setAdd("k", "x", "y"), setAdd("k", "z"))
	c := &nodes[2].count
	resp, err := nodes[2].Update(t.Context(), setRemove("k", "x"))
	if err != nil || resp.GetChanged() != 1 {
		t.Fatalf("removal: %v, %v", resp, err)
	}
	if got := c.PeerReads.Load(); got != 1 {
		t.Errorf("other nodes were asked %d times, want once", got)
	}
	if a, b := c.DigestMismatches.Load(), c.ReadRepairs.Load(); a != 0 || b != 0 {
		t.Errorf("%d digests differed and %d keys were repaired, want none", a, b)
	}
	eventually(t, "all are level", func() bool { return level(nodes) })
	if got, err := nodes[2].Get(t.Context(), get("k")); err != nil || !slices.Equal(shown(got.GetValue()), []string{"y", "z"}) {
		t.Errorf("after it: %v, %v; want y and z", got, err)
	}
}

// TestARemovalTakesTheKindFromOthers: what a removal that names no kind means
// follows from the kind of the key, be the element there or not: in an rwset it
// leaves a mark.
func TestARemovalTakesTheKindFromOthers(t *testing.T) {
	nodes := missed(t, nil, insert("k", "y"))
	resp, err := nodes[2].Update(t.Context(), setRemove("k", "x"))
	if err != nil || resp.GetKind() != v1.Kind_KIND_RWSET {
		t.Errorf("removal from a key that the node has missed: %v, %v; want an rwset", resp.GetKind(), err)
	}
}
