package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// travelled is what a descent cost, in bytes of questions and answers.
type travelled struct {
	steps map[Step]int
	bytes map[Step]int
	keys  int
}

// descend joins src into dst down the trees, and calls between after every
// answer before it is taken.
func descend(t testing.TB, dst, src *Replica, maxBytes int, between func(Step)) travelled {
	t.Helper()
	out := travelled{map[Step]int{}, map[Step]int{}, 0}
	join := must(dst.BeginJoin())(t)
	defer join.Abandon()
	if err := join.Descend(); err != nil {
		t.Fatal(err)
	}
	for n := 0; !join.Whole(); n++ {
		if n > 10_000 {
			t.Fatal("the join does not end")
		}
		step, ask := join.Step()
		answer, err := src.Answer(ask, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if between != nil {
			between(step)
		}
		out.steps[step]++
		out.bytes[step] += len(ask) + len(answer)
		wait(t, must(join.Take(answer))(t))
	}
	out.keys = join.Differing()
	wait(t, must(join.Finish())(t))
	return out
}

// wantSame fails unless two replicas hold the same.
func wantSame(t testing.TB, a, b *Replica) {
	t.Helper()
	if x, y := scanAll(t, a), scanAll(t, b); !sameCells(x.cells, y.cells) {
		t.Fatalf("%d cells and %d, not the same", len(x.cells), len(y.cells))
	}
	if x, y := a.State(), b.State(); x.Root != y.Root || !x.Clock.Equal(&y.Clock) || x.Residue+y.Residue > 0 {
		t.Fatalf("%+v and %+v", x, y)
	}
	checkTree(t, a)
	checkTree(t, b)
}

func TestDescentBringsEverything(t *testing.T) {
	for _, maxBytes := range []int{1, 300, 1 << 20} {
		t.Run(strconv.Itoa(maxBytes), func(t *testing.T) {
			src, dst := openPeer(t, "n1"), openPeer(t, "n2")
			keys := keysOf(testID.Partition, "b", "k", 40)
			for i, k := range keys[:20] {
				mutate(t, src, k, assign(string(rune('a'+i))))
			}
			mutate(t, src, keys[20], insert("x", "y", "z"))
			mutate(t, src, keys[21], add(7))
			mutate(t, src, keys[0], del())
			mutate(t, dst, keys[30], assign("of the other"))
			mutate(t, dst, keys[21], add(4))
			descend(t, dst, src, maxBytes, nil)
			descend(t, src, dst, maxBytes, nil)
			wantSame(t, src, dst)
			if n := len(scanAll(t, src).cells); n != 24 {
				t.Errorf("%d cells, want 24", n)
			}
			mutate(t, dst, keys[20], remove("y"))
			mutate(t, dst, keys[3], del())
			mutate(t, src, keys[3], assign("newer"))
			mutate(t, src, keys[21], add(1))
			descend(t, src, dst, maxBytes, nil)
			descend(t, dst, src, maxBytes, nil)
			wantSame(t, src, dst)
		})
	}
}

// filled returns two replicas that hold the same keys.
func filled(t testing.TB, n int) (a, b *Replica, keys []crdt.KeyID) {
	t.Helper()
	a, b = openPeer(t, "n1"), openPeer(t, "n2")
	keys = keysOf(testID.Partition, "b", "k", n)
	var deltas []*crdt.Delta
	for i, k := range keys {
		done, err := a.Mutate(&Mutation{Key: k, Op: assign(fmt.Sprintf("value %d of a hundred bytes or so %060d", i, i)), Looked: true, Async: true})
		if err != nil {
			t.Fatal(err)
		}
		wait(t, done.Commit)
		if deltas = append(deltas, done.Delta); len(deltas) == 1000 {
			apply(t, b, deltas...)
			deltas = nil
		}
	}
	apply(t, b, deltas...)
	if err := a.Barrier(); err != nil {
		t.Fatal(err)
	}
	wantSame(t, a, b)
	return a, b, keys
}

func TestDescentCarriesOnlyWhatDiffers(t *testing.T) {
	src, dst, keys := filled(t, 4000)
	for _, k := range keys[:5] {
		mutate(t, src, k, assign("another"))
	}
	mutate(t, src, keys[5], del())
	got := descend(t, dst, src, 1<<20, nil)
	wantSame(t, src, dst)
	if got.keys != 6 {
		t.Errorf("%d keys were found to differ, want 6", got.keys)
	}
	if got.steps[StepTree] != src.tree.Depth() || got.steps[StepKeys] != 1 || got.steps[StepCells] != 1 || got.steps[StepPage] != 0 {
		t.Errorf("steps: %v, want one for each level, one for keys and one for cells", got.steps)
	}
	if n := got.bytes[StepTree] + got.bytes[StepKeys]; n > 4096 {
		t.Errorf("%d bytes of trees and digests for 6 keys of 4000, want at most 4096", n)
	}
	if n := got.bytes[StepCells]; n > 1024 {
		t.Errorf("%d bytes of cells for 6 short values, want at most 1024", n)
	}
}

func TestDescentTakesLeavesWholeWhereMostDiffers(t *testing.T) {
	src, dst, keys := filled(t, 4000)
	for _, k := range keys[:3000] {
		mutateAsync(t, src, k)
	}
	got := descend(t, dst, src, 1<<20, nil)
	wantSame(t, src, dst)
	if got.steps[StepKeys] != 0 || got.steps[StepPage] != 0 {
		t.Errorf("steps: %v, want neither keys nor pages", got.steps)
	}
}

func mutateAsync(t testing.TB, r *Replica, k crdt.KeyID) {
	t.Helper()
	done, err := r.Mutate(&Mutation{Key: k, Op: assign("another"), Looked: true, Async: true})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, done.Commit)
}

// TestDescentLeavesALargeLeafToPages: a set that fits into no answer.
func TestDescentLeavesALargeLeafToPages(t *testing.T) {
	src, dst, _ := filled(t, 200)
	for i := range 100 {
		mutate(t, src, testKey("set"), insert(fmt.Sprintf("an element of some length %050d", i)))
	}
	got := descend(t, dst, src, 2000, nil)
	wantSame(t, src, dst)
	if got.steps[StepPage] < 3 {
		t.Errorf("steps: %v, want several pages", got.steps)
	}
}

// late is an event on its way.
type late struct {
	to *Replica
	d  *crdt.Delta
}

// TestDescentUnderWrites changes both sides while they are compared: what
// arrives during the join is neither lost nor brought back.
func TestDescentUnderWrites(t *testing.T) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		a, b := openPeer(t, "n1"), openPeer(t, "n2")
		keys := keysOf(testID.Partition, "b", "k", 60)
		var lates []late
		write := func(r, other *Replica, p float64) {
			k := keys[rnd.IntN(len(keys))]
			op := [...]*crdt.Op{assign(strconv.Itoa(rnd.IntN(99))), insert(strconv.Itoa(rnd.IntN(5))), remove(strconv.Itoa(rnd.IntN(5))), del(), add(1)}[rnd.IntN(5)]
			done, err := r.Mutate(&Mutation{Key: k, Op: op, Looked: true})
			if err != nil || done == nil || done.Delta == nil {
				return // of another kind, or nothing to do
			}
			wait(t, done.Commit)
			if rnd.Float64() < p {
				lates = append(lates, late{other, done.Delta})
			}
		}
		for range 200 {
			write(a, b, 0.7)
			write(b, a, 0.7)
		}
		deliver := func(n int) {
			for ; n > 0 && len(lates) > 0; n-- {
				i := rnd.IntN(len(lates))
				apply(t, lates[i].to, lates[i].d)
				lates[i] = lates[len(lates)-1]
				lates = lates[:len(lates)-1]
			}
		}
		deliver(150)
		between := func(Step) {
			for range 5 {
				write(a, b, 1)
				write(b, a, 1)
			}
			deliver(12)
		}
		maxBytes := [...]int{1, 400, 1 << 20}[rnd.IntN(3)]
		descend(t, b, a, maxBytes, between)
		descend(t, a, b, maxBytes, between)
		deliver(1 << 20)
		descend(t, b, a, maxBytes, nil)
		descend(t, a, b, maxBytes, nil)
		wantSame(t, a, b)
	}
}

// TestDescentGoesOn: a join that broke off is forgotten, and the next one takes
// only what is still not here.
func TestDescentGoesOn(t *testing.T) {
	src, dst, keys := filled(t, 3000)
	for _, k := range keys[:400] {
		mutateAsync(t, src, k)
	}
	join := must(dst.BeginJoin())(t)
	if err := join.Descend(); err != nil {
		t.Fatal(err)
	}
	for cells := 0; cells < 3; {
		step, ask := join.Step()
		if step == StepCells {
			cells++
		}
		wait(t, must(join.Take(must(src.Answer(ask, 4000))(t)))(t))
	}
	join.Abandon()
	left := descend(t, dst, src, 1<<20, nil)
	wantSame(t, src, dst)
	if left.keys > 200 || left.keys < 120 {
		t.Errorf("%d keys differ after a join of 400 that broke off, want 120 to 200", left.keys)
	}
}

func TestDescentRefusesAReplicaThatWasDropped(t *testing.T) {
	src, dst, keys := filled(t, 50)
	mutate(t, src, keys[0], assign("another"))
	join := must(dst.BeginJoin())(t)
	defer join.Abandon()
	if err := join.Descend(); err != nil {
		t.Fatal(err)
	}
	_, ask := join.Step()
	wait(t, must(join.Take(must(src.Answer(ask, 1<<20))(t)))(t))
	if dropped, err := src.Drop(src.Generation()); !dropped || err != nil {
		t.Fatalf("not dropped: %v", err)
	}
	_, ask = join.Step()
	if _, err := src.Answer(ask, 1<<20); !errors.Is(err, ErrDropped) {
		t.Errorf("a replica that was dropped answers %v, want ErrDropped", err)
	}
}

// TestDescentTakesResidue is amendment 1: where digests are equal but a removal
// waits at the peer, the removal must come.
func TestDescentTakesResidue(t *testing.T) {
	a, b, c := openPeer(t, "n1"), openPeer(t, "n2"), openPeer(t, "n3")
	key := testKey("k")
	put := mutate(t, c, key, assign("v")).Delta
	gone := mutate(t, c, key, del()).Delta
	apply(t, a, gone) // before what it removes
	if n := a.State().Residue; n != 1 {
		t.Fatalf("%d removals wait, want 1", n)
	}
	descend(t, b, a, 1<<20, nil)
	apply(t, b, put)
	apply(t, a, put)
	if n := len(scanAll(t, b).cells); n != 0 {
		t.Errorf("%d cells: what was deleted came back", n)
	}
	wantSame(t, a, b)
}

func FuzzAnswer(f *testing.F) {
	w := newWall()
	s, err := Open(testOptions(vfs.NewMem(), w))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { shut(f, s) })
	r := s.Replica(testID)
	mutate(f, r, testKey("k"), assign("v"))
	f.Add((&stepAsk{step: StepTree, nodes: []int{0}}).encode())
	f.Add((&stepAsk{step: StepKeys, nodes: []int{0, 5, 9}}).encode())
	f.Add((&stepAsk{step: StepCells, wants: []leafWant{{leaf: 3}, {leaf: 4, hashes: []uint64{1, 2}}}}).encode())
	f.Add((&stepAsk{step: StepPage}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := decodeAsk(b, r.tree.Len()); err == nil && string(q.encode()) != string(b) {
			t.Errorf("decoded %x, encoded %x", b, q.encode())
		}
		_, _ = r.Answer(b, 1<<10)
	})
}
