package storage

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPagesOfADroppedReplicaAreRefused: pages that lack what their clock
// contains would be taken for deletes by whoever joins them.
func TestPagesOfADroppedReplicaAreRefused(t *testing.T) {
	r := open(t, testOptions(vfs.NewMem(), newWall())).Replica(testID)
	for _, k := range keysOf(testID.Partition, "b", "k", 3) {
		mutate(t, r, k, assign("v"))
	}
	page, next, err := r.ReadPage(nil, 1)
	if err != nil || len(page.Cells) != 1 || next == nil {
		t.Fatalf("first page: %v, %v", page, err)
	}
	if dropped, err := r.Drop(r.Generation()); !dropped || err != nil {
		t.Fatalf("drop: %t, %v", dropped, err)
	}
	if page, _, err := r.ReadPage(next, 1); !errors.Is(err, ErrDropped) {
		t.Errorf("second page after the drop: %v, %v, want ErrDropped", page, err)
	}
	mutate(t, r, testKey("k"), assign("later"))
	if page, _, err := r.ReadPage(next, 1); !errors.Is(err, ErrDropped) {
		t.Errorf("second page after a new beginning: %v, %v, want ErrDropped", page, err)
	}
	if page, _, err := r.ReadPage(nil, 1<<20); err != nil || len(page.Cells) != 1 {
		t.Errorf("from the start: %v, %v, want one cell", page, err)
	}
}
