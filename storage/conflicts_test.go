package storage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// Sorts of conflicts.
const (
	ofRegister = 1 << iota
	ofMVRegister
	ofField
	ofKinds
)

// conflictsOf reads all conflicts from cells, without the code under test: of
// which sort they are, by the id that the index should have.
func conflictsOf(cells []crdt.CellState) map[crdt.CellID]int {
	out := map[crdt.CellID]int{}
	kinds := map[crdt.KeyID]map[crdt.Kind]bool{}
	for _, cs := range cells {
		id := cs.ID
		if crdt.PresentCell(id, cs.Live) {
			if kinds[id.KeyID] == nil {
				kinds[id.KeyID] = map[crdt.Kind]bool{}
			}
			kinds[id.KeyID][id.Kind] = true
			if len(kinds[id.KeyID]) > 1 {
				out[crdt.CellID{KeyID: id.KeyID}] = ofKinds
			}
		}
		sort := map[crdt.Kind]int{crdt.Register: ofRegister, crdt.MVRegister: ofMVRegister, crdt.Map: ofField}[id.Kind]
		values := map[string]bool{}
		for _, e := range cs.Live { // a stamp of these years takes 8 bytes
			if sort > 0 {
				values[string(e.Payload[8:])] = true
			}
		}
		if len(values) > 1 {
			out[id] = sort
		}
	}
	return out
}

// checkConflicts holds the index of conflicts against the cells of the model,
// and returns the sorts of what is there.
func (p *pair) checkConflicts(t testing.TB) (sorts int) {
	t.Helper()
	want := conflictsOf(p.model.cells.All())
	got := map[crdt.CellID]bool{}
	err := p.store.each([]byte{tableConflict}, after([]byte{tableConflict}), func(k, _ []byte) error {
		got[must(parseSide(k))(t).id] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	many := 0
	for id, sort := range want {
		if !got[id] {
			t.Fatalf("%v has a conflict, the index lacks it", id)
		}
		if sort == ofKinds {
			many++
		}
		sorts |= sort
	}
	if n := p.r.Contested(); len(got) != len(want) || n != len(want) || p.r.manyKinds != many {
		t.Fatalf("the index has %d conflicts, counts %d, %d of them of kinds; there are %d, %d", len(got), n, p.r.manyKinds, len(want), many)
	}
	for _, c := range must2(p.r.Conflicts(ConflictQuery{}))(t) {
		if _, ok := want[c.ID]; !ok || c.ID.Kind == crdt.NoKind && len(c.Kinds) < 2 || c.ID.Kind != crdt.NoKind && len(c.Live) < 2 {
			t.Fatalf("listed %+v", c)
		}
		delete(want, c.ID)
	}
	for id := range want {
		if !must(p.r.Read(Query{Key: id.KeyID, Limit: 1}))(t).Expired(p.opts.Wall()) {
			t.Fatalf("%v has not expired and is not listed", id)
		}
	}
	return sorts
}

// must2 passes on a list that may not fail here.
func must2(list []Conflict, _ bool, err error) func(t testing.TB) []Conflict { return must(list, err) }

// listedConflicts tells what is listed, in order of names.
func listedConflicts(t testing.TB, r *Replica, q ConflictQuery) (out []string) {
	t.Helper()
	for _, c := range must2(r.Conflicts(q))(t) {
		out = append(out, told(&c))
	}
	slices.Sort(out)
	return out
}

// told is a conflict as these tests write it: key, kind, path, values or kinds.
func told(c *Conflict) string {
	v := c.Value()
	var values []string
	for _, s := range v.Siblings {
		values = append(values, string(s.Value))
	}
	for _, k := range c.Kinds {
		values = append(values, k.String())
	}
	return fmt.Sprintf("%s %s %q %s", c.ID.Key, c.ID.Kind, c.ID.Path, strings.Join(values, "|"))
}

func assignMV(value string) *crdt.Op {
	return &crdt.Op{Code: crdt.OpAssign, Kind: crdt.MVRegister, Value: []byte(value)}
}

// fieldOp changes field "f" of the map "m" within a map.
func fieldOp(op crdt.Op) *crdt.Op {
	inner := crdt.Op{Code: crdt.OpUpdate, Kind: crdt.Map, Fields: []crdt.FieldOp{{Name: "f", Op: op}}}
	return &crdt.Op{Code: crdt.OpUpdate, Kind: crdt.Map, Fields: []crdt.FieldOp{{Name: "m", Op: inner}}}
}

const innerField = "m\x00\x01\x0bf\x00\x01\x01" // m, a map; f, a register

func TestConflictsOfEverySort(t *testing.T) {
	s, _ := openMem(t)
	r, peer := s.Replica(testID), openPeer(t, "n2")
	keys := keysOf(testID.Partition, "b", "k", 6)
	for i, pairs := range [][2]*crdt.Op{
		{assign("here"), assign("there")},
		{assignMV("here"), assignMV("there")},
		{fieldOp(*assign("here")), fieldOp(*assign("there"))},
		{insert("e"), assign("there")},
		{assign("same"), assign("same")},
		{insert("e"), insert("f")},
	} {
		mutate(t, r, keys[i], pairs[0])
		mutate(t, peer, keys[i], pairs[1])
	}
	if got := listedConflicts(t, r, ConflictQuery{}); len(got) != 0 || r.Contested() != 0 || s.ArisenCount() != 0 {
		t.Errorf("before they met: %v", got)
	}
	catchUp(t, r, peer, 1<<20)
	want := []string{
		keys[0].Key + ` register "" here|there`,
		keys[1].Key + ` mvregister "" here|there`,
		fmt.Sprintf("%s map %q here|there", keys[2].Key, innerField),
		keys[3].Key + ` none "" register|set`,
	}
	slices.Sort(want)
	if got := listedConflicts(t, r, ConflictQuery{Bucket: "b"}); !slices.Equal(got, want) {
		t.Errorf("after they met: %v\nwant %v", got, want)
	}
	arose, last := s.Arisen(0, 1<<20)
	var got []string
	for _, c := range arose {
		got = append(got, told(&c))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) || last != 4 || s.ArisenCount() != 4 {
		t.Errorf("up to %d arose: %v\nwant %v", last, got, want)
	}
	if again, last := s.Arisen(4, 1<<20); len(again) != 0 || last != 4 {
		t.Errorf("behind the last: %v up to %d", again, last)
	}
	if got := listedConflicts(t, r, ConflictQuery{Bucket: "other"}); len(got) != 0 {
		t.Errorf("another bucket: %v", got)
	}

	v := must(r.Read(Query{Key: keys[1]}))(t)
	c := crdt.ObservedContext(v.Cells, &v.Clock)
	seen := assignMV("settled")
	seen.Context = &c
	mutate(t, r, keys[1], seen)
	mutate(t, r, keys[0], assign("settled"))
	mutate(t, r, keys[2], fieldOp(*assign("settled")))
	mutate(t, r, keys[3], &crdt.Op{Code: crdt.OpRemove, Kind: crdt.Set, Elements: []string{"e"}})
	for _, at := range []*Replica{r, peer} {
		catchUp(t, peer, r, 1<<20)
		if got := listedConflicts(t, at, ConflictQuery{}); len(got) != 0 || at.Contested() != 0 || at.manyKinds != 0 {
			t.Errorf("after writes that had seen them: %v, %d counted", got, at.Contested())
		}
	}
	if n := s.ArisenCount(); n != 4 {
		t.Errorf("settling made %d conflicts", n-4)
	}
}

// A blind write to an mvregister with two values makes a third; one to a
// register settles it.
func TestConflictsThatGrowAriseAgain(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("mv")
	for i, want := range []uint64{0, 1, 2} {
		mutate(t, r, key, assignMV(strconv.Itoa(i)))
		if n := s.ArisenCount(); n != want || r.Contested() != min(i, 1) {
			t.Errorf("after %d writes %d arose, %d are there", i+1, n, r.Contested())
		}
	}
}

// A join tells of no conflict that it brought whole, and of one that it made.
func TestJoinsTellOnlyOfWhatTheyMade(t *testing.T) {
	s, _ := openMem(t)
	r, peer := s.Replica(testID), openPeer(t, "n2")
	keys := keysOf(testID.Partition, "b", "k", 2)
	mutate(t, peer, keys[0], assignMV("1"))
	mutate(t, peer, keys[0], assignMV("2"))
	mutate(t, peer, keys[1], assignMV("there"))
	mutate(t, r, keys[1], assignMV("here"))
	for _, key := range keys {
		a := must(peer.Read(Query{Key: key}))(t)
		wait(t, must(r.Repair([]crdt.KeyID{key}, &a.Snapshot))(t))
	}
	arose, _ := s.Arisen(0, 1<<20)
	if r.Contested() != 2 || len(arose) != 1 || arose[0].ID.KeyID != keys[1] {
		t.Errorf("%d conflicts are there, arisen: %v", r.Contested(), arose)
	}
}

func TestConflictsComeInPages(t *testing.T) {
	s, _ := openMem(t)
	var all []string
	for p := range uint32(testPartitions) {
		r := s.Replica(ReplicaID{testID.Placement, p})
		for _, k := range keysOf(p, "b", "k", 5) {
			mutate(t, r, k, assignMV("1"))
			mutate(t, r, k, assignMV("2"))
			all = append(all, k.Key)
		}
	}
	for _, q := range []ConflictQuery{{Limit: 2}, {Bytes: 1}, {}} {
		var got []string
		var last []byte
		pages := 0
		for p := range uint32(testPartitions) {
			for more := true; more; pages++ {
				var list []Conflict
				var err error
				q.Behind = last
				if list, more, err = s.Replica(ReplicaID{testID.Placement, p}).Conflicts(q); err != nil {
					t.Fatal(err)
				}
				for _, c := range list {
					if string(c.Position) <= string(last) {
						t.Errorf("%x comes behind %x", c.Position, last)
					}
					got, last = append(got, c.ID.Key), c.Position
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, slices.Sorted(slices.Values(all))) {
			t.Errorf("%+v: %v in %d pages", q, got, pages)
		}
		if q.Limit == 2 && pages != 12 || q.Bytes == 1 && pages != 20 {
			t.Errorf("%+v: %d pages", q, pages)
		}
	}
	first, _, _ := s.Replica(ReplicaID{testID.Placement, 0}).Conflicts(ConflictQuery{})
	if list, more, err := s.Replica(ReplicaID{testID.Placement, 0}).Conflicts(ConflictQuery{Behind: must2(s.Replica(testID).Conflicts(ConflictQuery{}))(t)[0].Position}); len(list) != 0 || more || err != nil {
		t.Errorf("behind the partition: %v", list)
	}
	if list := must2(s.Replica(testID).Conflicts(ConflictQuery{Behind: first[0].Position}))(t); len(list) != 5 {
		t.Errorf("before the partition: %v", list)
	}
}

// TestIndexOfConflictsIsMadeForOldDatabases opens one that indexed less, and
// wrong, as the first version did.
func TestIndexOfConflictsIsMadeForOldDatabases(t *testing.T) {
	o := testOptions(vfs.NewMem(), newWall())
	s := must(Open(o))(t)
	r, peer := s.Replica(testID), openPeer(t, "n2")
	keys := keysOf(testID.Partition, "b", "k", 4)
	mutate(t, r, keys[0], fieldOp(*assign("here")))
	mutate(t, peer, keys[0], fieldOp(*assign("there")))
	mutate(t, r, keys[1], insert("e"))
	mutate(t, peer, keys[1], assign("there"))
	mutate(t, r, keys[2], assignMV("1"))
	mutate(t, r, keys[2], assignMV("2"))
	mutate(t, r, keys[3], assign("same"))
	mutate(t, peer, keys[3], assign("same"))
	catchUp(t, r, peer, 1<<20)
	want := listedConflicts(t, r, ConflictQuery{})
	if len(want) != 3 {
		t.Fatalf("conflicts: %v", want)
	}
	err := s.db.DeleteRange([]byte{tableConflict}, after([]byte{tableConflict}), pebble.Sync)
	if err == nil {
		err = s.db.Set(headKey(tableConflict, testID.Placement, keyHash("b", []byte(keys[3].Key)), crdt.CellID{KeyID: keys[3], Kind: crdt.Register}), nil, pebble.Sync)
	}
	if err == nil {
		err = s.db.Delete(conflictsKey, pebble.Sync)
	}
	if err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	for range 2 {
		s = must(Open(o))(t)
		r = s.Replica(testID)
		if got := listedConflicts(t, r, ConflictQuery{}); !slices.Equal(got, want) || r.Contested() != 3 || r.manyKinds != 1 || s.ArisenCount() != 0 {
			t.Errorf("%d conflicts, %d of kinds: %v\nwant %v", r.Contested(), r.manyKinds, got, want)
		}
		shut(t, s)
	}
}

func TestConflictsGoWithTheirReplica(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("mv")
	mutate(t, r, key, assignMV("1"))
	mutate(t, r, key, assignMV("2"))
	awaitTree(t, r)
	if dropped, err := r.Drop(r.Generation()); !dropped || err != nil {
		t.Fatal(dropped, err)
	}
	if got := listedConflicts(t, r, ConflictQuery{}); len(got) != 0 || r.Contested() != 0 {
		t.Errorf("%v, %d counted", got, r.Contested())
	}
}

func TestArisenIsBounded(t *testing.T) {
	var s Store
	for i := range 1500 {
		s.arisen.add(Conflict{ID: crdt.CellID{KeyID: crdt.KeyID{Key: strconv.Itoa(i)}}})
	}
	list, last := s.Arisen(0, 1<<30)
	if len(list) != 1024 || last != 1500 || list[0].ID.Key != "476" || list[1023].ID.Key != "1499" {
		t.Fatalf("%d up to %d, from %q", len(list), last, list[0].ID.Key)
	}
	if list, last := s.Arisen(1499, 1<<30); len(list) != 1 || last != 1500 || list[0].ID.Key != "1499" {
		t.Errorf("behind 1499: %v up to %d", list, last)
	}
	if list, last := s.Arisen(0, 1); len(list) != 1 || last != 477 {
		t.Errorf("a page of a byte: %d up to %d", len(list), last)
	}
	payload := make([]byte, 3<<20)
	for i := range 3 {
		s.arisen.add(Conflict{ID: crdt.CellID{KeyID: crdt.KeyID{Key: fmt.Sprint("big", i)}}, Live: crdt.Cell{{Payload: payload}}})
	}
	if list, last := s.Arisen(0, 1<<30); len(list) != 1 || last != 1503 || list[0].ID.Key != "big2" {
		t.Errorf("%d large ones up to %d", len(list), last)
	}
}
