package storage

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

func scrubbed(t *testing.T, r *Replica) Scrubbed {
	t.Helper()
	return must(r.Scrub(func(int) error { return nil }))(t)
}

func TestScrub(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 20)
	for i, k := range keys[:10] {
		mutate(t, r, k, assign(strings.Repeat("v", 100*i)))
	}
	mutate(t, r, keys[10], insert("x", "y", "z"))
	mutate(t, r, keys[11], add(7))
	if got := scrubbed(t, r); got.Wrong != nil || got.Records < 15 || got.Bytes < 4500 || got.Ahead != nil {
		t.Fatalf("scrub of a sound replica: %+v", got)
	}

	ahead := crdt.CellState{
		ID:   crdt.CellID{KeyID: keys[12], Kind: crdt.Set, Path: crdt.PathOf("e")},
		Live: crdt.Cell{{Dot: crdt.Dot{Actor: 99, Seq: 1}}},
	}
	wait(t, must(r.Repair([]crdt.KeyID{keys[12]}, &crdt.Snapshot{Cells: []crdt.CellState{ahead}}))(t))
	if r.AheadSince().IsZero() {
		t.Error("a repair ahead of the clock is not noted")
	}
	if got := scrubbed(t, r); got.Wrong != nil || len(got.Ahead) != 1 || got.Ahead[0] != keys[12] {
		t.Errorf("scrub of a replica that is ahead of its clock at one key: %+v", got)
	}
	done := must(r.Remint([]crdt.KeyID{keys[12]}, func(a crdt.Actor) bool { return a == 99 }))(t)
	wait(t, done.Commit)
	if got := scrubbed(t, r); got.Ahead != nil || !r.AheadSince().IsZero() {
		t.Errorf("after it was minted again: %+v, ahead since %v", got, r.AheadSince())
	}

	stop := errors.New("stop")
	mutate(t, r, keys[13], assign(strings.Repeat("v", 100_000)))
	if _, err := r.Scrub(func(int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("scrub that is stopped: %v", err)
	}
}

// What is changed behind the one door is found.
func TestScrubFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(s *Store, hash uint64, key crdt.KeyID) error{
		"a cell that is gone": func(s *Store, hash uint64, key crdt.KeyID) error {
			return s.db.Delete(cellKey(testID.Placement, hash, crdt.CellID{KeyID: key, Kind: crdt.Set, Path: crdt.PathOf("x")}), pebble.Sync)
		},
		"a header that is gone": func(s *Store, hash uint64, key crdt.KeyID) error {
			return s.db.Delete(headKey(tableData, testID.Placement, hash, crdt.CellID{KeyID: key, Kind: crdt.Set}), pebble.Sync)
		},
		"a cell that cannot be decoded": func(s *Store, hash uint64, key crdt.KeyID) error {
			return s.db.Set(cellKey(testID.Placement, hash, crdt.CellID{KeyID: key, Kind: crdt.Set, Path: crdt.PathOf("x")}), []byte{0xff, 0xff}, pebble.Sync)
		},
		"a key that nobody wrote": func(s *Store, hash uint64, key crdt.KeyID) error {
			value := crdt.AppendCell(nil, crdt.Cell{{Dot: crdt.Dot{Actor: 1, Seq: 1}, Payload: []byte{1, 'v'}}})
			return s.db.Set(cellKey(testID.Placement, hash, crdt.CellID{KeyID: key, Kind: crdt.Register}), value, pebble.Sync)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := openMem(t)
			r := s.Replica(testID)
			key := keysOf(testID.Partition, "b", "k", 1)[0]
			mutate(t, r, key, insert("x", "y", "z"))
			if err := damage(s, keyHash(key.Bucket, []byte(key.Key)), key); err != nil {
				t.Fatal(err)
			}
			if got := scrubbed(t, r); got.Wrong == nil {
				t.Errorf("scrub found nothing: %+v", got)
			}
		})
	}
}
