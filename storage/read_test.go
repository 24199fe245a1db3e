package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

func elementsOf(a *Answer) (out []string) {
	for _, c := range a.Cells {
		if e, _, ok := crdt.CutPath(c.ID.Path); ok {
			out = append(out, e)
		}
	}
	return out
}

// TestHeadersFollowEveryChange holds counts and digests against the cells
// after random adds and removes, of which several end in one batch.
func TestHeadersFollowEveryChange(t *testing.T) {
	s, _ := openMem(t)
	r, peer := s.Replica(testID), openPeer(t, "n2")
	rnd := rand.New(rand.NewPCG(1, 2))
	sets := keysOf(testID.Partition, "b", "s", 3)
	element := func() string { return fmt.Sprintf("e%d", rnd.IntN(40)) }
	for i := range 300 {
		at, other := r, peer
		if rnd.IntN(2) == 0 {
			at, other = peer, r
		}
		op := insert(element(), element(), element())
		switch rnd.IntN(12) {
		case 0:
			op = del()
		case 1, 2, 3, 4:
			op = remove(element(), element())
		}
		mutate(t, at, sets[rnd.IntN(3)], op)
		if rnd.IntN(5) == 0 {
			apply(t, other, must(at.Missing(durable(other), 1<<20))(t).Deltas...)
		}
		if i%20 == 0 {
			checkTree(t, r)
			checkTree(t, peer)
		}
	}
	catchUp(t, r, peer, 1<<20)
	catchUp(t, peer, r, 1<<20)
	for _, k := range sets {
		a, b := must(r.Read(Query{Key: k}))(t), must(peer.Read(Query{Key: k}))(t)
		if a.State != b.State || a.Total != b.Total || a.Total != uint64(len(a.Cells)) {
			t.Errorf("%s: %d of %d cells, digest %s; the peer %d, %s", k.Key, len(a.Cells), a.Total, a.State, b.Total, b.State)
		}
		mutate(t, r, k, del())
	}
	if n := records(t, s, tableData); n != 0 || r.State().Keys != 0 || !r.State().Root.IsZero() {
		t.Errorf("%d records, %d keys, root %s after everything was deleted", n, r.State().Keys, r.State().Root)
	}
}

func TestLargeSetIsReadInPages(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	k := testKey("s")
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf("e%04d", i))
	}
	mutate(t, r, k, insert(want...))
	var got []string
	after, pages := "", 0
	for more := true; more; pages++ {
		a := must(r.Read(Query{Key: k, Limit: 300, After: after}))(t)
		if a.Total != 1000 || len(a.Cells) > 300 {
			t.Fatalf("page %d: %d cells of %d", pages, len(a.Cells), a.Total)
		}
		got = append(got, elementsOf(a)...)
		after, more = a.Cells[len(a.Cells)-1].ID.Path, a.More
	}
	if !slices.Equal(got, want) || pages != 4 {
		t.Errorf("%d elements in %d pages, want 1,000 in 4", len(got), pages)
	}
	if a := must(r.Read(Query{Key: k, Limit: 1000}))(t); a.More || len(a.Cells) != 1000 {
		t.Errorf("a limit of exactly all: %d cells, more %t", len(a.Cells), a.More)
	}
	all := must(r.Read(Query{Key: k}))(t)
	for element, has := range map[string]bool{"e0000": true, "e0500": true, "e0999": true, "e05": false, "e9999": false, "": false} {
		a := must(r.Read(Query{Key: k, Under: crdt.PathOf(element)}))(t)
		if len(a.Cells) > 1 || len(a.Cells) == 1 != has || a.More || a.Total != 1000 || a.State != all.State {
			t.Errorf("element %q: %v of %d, more %t", element, elementsOf(a), a.Total, a.More)
		}
	}
}

// TestKindsOfOneKey: a key created under two kinds at once keeps both, and a
// limit counts for the collection only.
func TestKindsOfOneKey(t *testing.T) {
	s, _ := openMem(t)
	r, peer := s.Replica(testID), openPeer(t, "n2")
	k := testKey("k")
	mutate(t, r, k, insert("a", "b", "c"))
	mutate(t, peer, k, assign("v"))
	catchUp(t, r, peer, 1<<20)
	a := must(r.Read(Query{Key: k, Limit: 2}))(t)
	kinds, cells := a.Kinds()
	if !slices.Equal(kinds, []crdt.Kind{crdt.Register, crdt.Set}) || len(cells[crdt.Set]) != 2 || !a.More || a.Total != 3 {
		t.Errorf("kinds %v, %d elements of %d, more %t", kinds, len(cells[crdt.Set]), a.Total, a.More)
	}
	items, more, err := r.Scan("b", "", nil, 1)
	if err != nil || len(items) != 1 || items[0].Kind != crdt.Register || !more {
		t.Fatalf("%v, %t, %v", items, more, err)
	}
	items, more, err = r.Scan("b", "", items[0].Position, 10)
	if err != nil || len(items) != 1 || items[0].Kind != crdt.Set || more {
		t.Fatalf("behind the register: %v, %t, %v", items, more, err)
	}
	mutate(t, r, k, del())
	if a := must(r.Read(Query{Key: k}))(t); len(a.Cells) != 0 || a.Total != 0 || !a.State.IsZero() {
		t.Errorf("after the delete: %+v", a)
	}
}

func TestScanPagesInOrderOfHashes(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	want := map[crdt.KeyID]bool{}
	for _, k := range keysOf(testID.Partition, "b", "user/", 50) {
		mutate(t, r, k, assign("v"))
		want[k] = true
	}
	for _, k := range keysOf(testID.Partition, "b", "other/", 10) {
		mutate(t, r, k, insert("x", "y"))
	}
	for _, k := range keysOf(testID.Partition, "c", "user/", 10) {
		mutate(t, r, k, assign("v"))
	}
	gone := keysOf(testID.Partition, "b", "user/c", 3)
	for _, k := range gone {
		mutate(t, r, k, add(1))
		mutate(t, r, k, del())
	}
	for _, limit := range []int{1, 7, 50, 1000} {
		var behind []byte
		seen := map[crdt.KeyID]bool{}
		for more := true; more; {
			var items []Item
			var err error
			if items, more, err = r.Scan("b", "user/", behind, limit); err != nil {
				t.Fatal(err)
			}
			if len(items) > limit || more && len(items) < limit {
				t.Fatalf("limit %d: %d items, more %t", limit, len(items), more)
			}
			for _, i := range items {
				if seen[i.Key] || !want[i.Key] || bytes.Compare(i.Position, behind) <= 0 {
					t.Fatalf("limit %d: %v again, unasked or out of order", limit, i.Key)
				}
				seen[i.Key], behind = true, i.Position
			}
		}
		if len(seen) != 50 {
			t.Errorf("limit %d: %d keys, want 50", limit, len(seen))
		}
	}
	if items, _, _ := r.Scan("", "", nil, 1000); len(items) != 70 {
		t.Errorf("all buckets: %d keys, want 70", len(items))
	}
}

// TestLeavesListTheirKeys: the digests of a leaf's keys make the leaf.
func TestLeavesListTheirKeys(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	for i, k := range keysOf(testID.Partition, "b", "k", 60) {
		op := assign("v")
		if i%3 == 0 {
			op = insert("a", "b")
		}
		mutate(t, r, k, op)
	}
	leaves, ready := r.Leaves()
	if !ready || len(leaves) != 4096 || r.TreeLeaves() != 4096 {
		t.Fatalf("%d leaves, ready %t", len(leaves), ready)
	}
	var full []int
	for i, d := range leaves {
		if !d.IsZero() {
			full = append(full, i)
		}
		var sum merkle.Digest
		for _, item := range must(r.KeysOf([]int{i}))(t) {
			sum.XOR(item.Digest)
		}
		if sum != d {
			t.Fatalf("leaf %d is %s, its keys make %s", i, d, sum)
		}
	}
	if items := must(r.KeysOf(full))(t); len(items) != 60 {
		t.Errorf("%d keys in all leaves, want 60", len(items))
	}
}

// TestAddDoesNotReadTheSet: what an add allocates, and so reads, does not grow
// with the set.
func TestAddDoesNotReadTheSet(t *testing.T) {
	s, _ := openMem(t)
	r, k := s.Replica(testID), testKey("s")
	elements := make([]string, 2000)
	for i := range elements {
		elements[i] = fmt.Sprintf("e%04d", i)
	}
	mutate(t, r, k, insert(elements...))
	n := 0
	allocations := testing.AllocsPerRun(20, func() {
		n++
		mutate(t, r, k, insert(fmt.Sprintf("new%d", n)))
	})
	if allocations > 300 {
		t.Errorf("an add to 2,000 elements makes %.0f allocations, want about 50", allocations)
	}
}
