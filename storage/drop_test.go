package storage

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
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

// TestAheadIsWhatEventsDoNotTell: a stand-in that took an event which removes what
// it never had holds nothing that its clock does not tell of. One that was
// repaired, took what lives beside an event, or was opened again, may.
func TestAheadIsWhatEventsDoNotTell(t *testing.T) {
	owner := open(t, testOptions(vfs.NewMem(), newWall())).Replica(testID)
	key := testKey("k")
	first := mutate(t, owner, key, assign("v1"))
	second := mutate(t, owner, key, assign("v2"))
	if len(second.Delta.Changes) != 1 || len(second.Delta.Changes[0].Removes) != 1 || second.Delta.Changes[0].Removes[0] != first.Dot {
		t.Fatalf("the second event is %+v, want one that removes what the first put", second.Delta)
	}
	beyond := *second.Delta // as from a log: with what lives beside it
	beyond.Changes = []crdt.Change{second.Delta.Changes[0]}
	beyond.Changes[0].Removes = nil
	beyond.Changes[0].Puts = append(append([]crdt.Entry(nil), first.Delta.Changes[0].Puts...), second.Delta.Changes[0].Puts...)
	tests := []struct {
		name string
		take func(t *testing.T, r *Replica)
		want bool
	}{
		{"an event that removes what never came", func(t *testing.T, r *Replica) { apply(t, r, second.Delta) }, false},
		{"what lives beside an event", func(t *testing.T, r *Replica) { apply(t, r, &beyond) }, true},
		{"repair", func(t *testing.T, r *Replica) {
			c := first.Delta.Changes[0]
			wait(t, must(r.Repair([]crdt.KeyID{key}, &crdt.Snapshot{Cells: []crdt.CellState{{ID: c.ID, Live: c.Puts}}}))(t))
		}, true},
		{"repair, and then a drop", func(t *testing.T, r *Replica) {
			c := first.Delta.Changes[0]
			wait(t, must(r.Repair([]crdt.KeyID{key}, &crdt.Snapshot{Cells: []crdt.CellState{{ID: c.ID, Live: c.Puts}}}))(t))
			if dropped, err := r.Drop(r.Generation()); !dropped || err != nil {
				t.Fatalf("drop: %t, %v", dropped, err)
			}
			apply(t, r, second.Delta)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			guest := open(t, testOptions(vfs.NewMem(), newWall())).Replica(testID)
			tt.take(t, guest)
			if got := must(guest.Ahead())(t); got != tt.want {
				t.Errorf("Ahead() = %t, want %t", got, tt.want)
			}
		})
	}
	t.Run("a store that was opened again cannot tell", func(t *testing.T) {
		o := testOptions(vfs.NewMem(), newWall())
		s := open(t, o)
		apply(t, s.Replica(testID), second.Delta)
		shut(t, s)
		if !must(open(t, o).Replica(testID).Ahead())(t) {
			t.Error("Ahead() = false, want true: the residue may be of a repair")
		}
	})
}
