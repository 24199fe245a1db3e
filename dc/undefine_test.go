package dc

import (
	"testing"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// A key is counted when it is removed, and not once more when a co-owner that has
// not heard of that lists it again.
func TestEmptyingCountsAKeyOnce(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	req := put("k", "v")
	if _, err := nodes[0].Update(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	var told []uint64
	e := &emptying{n: nodes[0], name: req.GetBucket(), force: true, emit: func(r *v1.DeleteBucketResponse) error {
		told = append(told, r.GetRemoved())
		return nil
	}}
	for range 2 {
		if err := e.remove(t.Context(), [][]byte{[]byte("k")}); err != nil {
			t.Fatal(err)
		}
	}
	if len(told) != 2 || told[0] != 1 || told[1] != 1 {
		t.Errorf("told %v, want 1 key and still 1", told)
	}
}
