package merkle

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func number(n uint64) Digest {
	return Sum(binary.BigEndian.AppendUint64(nil, n))
}

func TestDigestsArePinned(t *testing.T) {
	if got, want := Sum([]byte("godwit")).String(), "4e742747b6e58c2bf7f5faee46ed2d56"; got != want {
		t.Errorf("Sum(godwit) = %s, want %s", got, want)
	}
	tree := New(1024)
	tree.Toggle(5, number(1))
	tree.Toggle(700, number(2))
	if got, want := tree.Root().String(), "61b82af773e4f2136c643b2943bc4261"; got != want {
		t.Errorf("Root() = %s, want %s: trees of two versions would never be equal", got, want)
	}
}

func TestLeavesForIsTheSameEverywhere(t *testing.T) {
	for partitions, want := range map[int]int{
		0: 4096, 1: 4096, 64: 4096, 128: 2048, 256: 1024, 1024: 256, 4096: 64, 16384: 64, 1 << 20: 64, 300: 1024,
	} {
		if got := LeavesFor(partitions); got != want {
			t.Errorf("LeavesFor(%d) = %d, want %d", partitions, got, want)
		}
	}
}

func TestShape(t *testing.T) {
	tests := []struct {
		ask, leaves int
		width       []int
	}{
		{ask: -1, leaves: 32, width: []int{1, 32}},
		{ask: 32, leaves: 32, width: []int{1, 32}},
		{ask: 33, leaves: 64, width: []int{1, 2, 64}},
		{ask: 1024, leaves: 1024, width: []int{1, 32, 1024}},
		{ask: 4096, leaves: 4096, width: []int{1, 4, 128, 4096}},
		{ask: 1 << 30, leaves: 1 << 20, width: []int{1, 32, 1024, 32768, 1 << 20}},
	}
	for _, tt := range tests {
		tree := New(tt.ask)
		if tree.Len() != tt.leaves || !slices.Equal(tree.width, tt.width) {
			t.Errorf("New(%d) has %d leaves in levels %v, want %d in %v", tt.ask, tree.Len(), tree.width, tt.leaves, tt.width)
		}
	}
}

func TestLeafOfTakesTheBitsBelowThePartition(t *testing.T) {
	tree := New(1024)
	tests := []struct {
		hash uint64
		bits int
		want int
	}{
		{hash: 0, bits: 8, want: 0},
		{hash: 0xAB00_0000_0000_0000, bits: 8, want: 0},
		{hash: 0xABFF_C000_0000_0000, bits: 8, want: 1023},
		{hash: 0xAB80_3FFF_FFFF_FFFF, bits: 8, want: 512},
		{hash: 0xFFC0_0000_0000_0000, bits: 0, want: 1023},
	}
	for _, tt := range tests {
		if got := tree.LeafOf(tt.hash, tt.bits); got != tt.want {
			t.Errorf("LeafOf(%#x, %d) = %d, want %d", tt.hash, tt.bits, got, tt.want)
		}
	}
	first, last := tree.LeafRange(0xAB, 8, 512)
	if first != 0xAB80_0000_0000_0000 || last != 0xAB80_3FFF_FFFF_FFFF {
		t.Errorf("LeafRange(0xAB, 8, 512) = %#x to %#x", first, last)
	}
}

func TestEmptyIsZeroAtEveryDepth(t *testing.T) {
	tree := New(4096)
	if !tree.Root().IsZero() {
		t.Fatalf("root of an empty tree is %s", tree.Root())
	}
	tree.Toggle(77, number(1))
	if tree.Root().IsZero() {
		t.Fatal("root of a tree with content is zero")
	}
	for depth, index := range []int{0, 0, 2} {
		children, err := tree.Children(depth, index)
		if err != nil {
			t.Fatal(err)
		}
		full := 0
		for _, c := range children {
			if !c.IsZero() {
				full++
			}
		}
		if full != 1 {
			t.Errorf("depth %d: %d children have content, want 1", depth, full)
		}
	}
	tree.Toggle(77, number(1))
	if !tree.Root().IsZero() {
		t.Errorf("root is %s after all was taken out", tree.Root())
	}
	tree.Toggle(1, number(1))
	tree.Reset()
	if !tree.Root().IsZero() || !tree.Leaf(1).IsZero() {
		t.Error("Reset left something behind")
	}
}

func TestNodesThatDoNotExist(t *testing.T) {
	tree := New(4096)
	for _, at := range [][2]int{{-1, 0}, {3, 0}, {0, 1}, {1, 4}, {2, 128}, {2, -1}, {1 << 40, 0}} {
		if _, err := tree.Children(at[0], at[1]); !errors.Is(err, ErrNoSuchNode) {
			t.Errorf("Children(%d, %d): %v, want ErrNoSuchNode", at[0], at[1], err)
		}
		if _, err := tree.Pull(at[0], []int{at[1]}); !errors.Is(err, ErrNoSuchNode) {
			t.Errorf("Pull(%d, %d): %v, want ErrNoSuchNode", at[0], at[1], err)
		}
	}
	if _, err := tree.Pull(1, make([]int, 5)); !errors.Is(err, ErrNoSuchNode) {
		t.Errorf("pulling 5 nodes of a level of 4: %v, want ErrNoSuchNode", err)
	}
}

func TestDiffRefusesAnotherShape(t *testing.T) {
	if _, _, err := Diff(New(64), New(1024).Pull, 0); !errors.Is(err, ErrShape) {
		t.Errorf("Diff of 64 and 1024 leaves: %v, want ErrShape", err)
	}
	none := func(int, []int) ([][]Digest, error) { return nil, nil }
	if _, _, err := Diff(New(64), none, 0); !errors.Is(err, ErrShape) {
		t.Errorf("Diff with an empty answer: %v, want ErrShape", err)
	}
	away := errors.New("away")
	if _, _, err := Diff(New(64), func(int, []int) ([][]Digest, error) { return nil, away }, 0); !errors.Is(err, away) {
		t.Errorf("Diff with a remote that is away: %v", err)
	}
}

func TestDiffIsBounded(t *testing.T) {
	a, b := New(4096), New(4096)
	for i := range 4096 {
		b.Toggle(i, number(uint64(i)))
	}
	calls := 0
	pull := func(depth int, nodes []int) ([][]Digest, error) {
		calls++
		if len(nodes) > 3 {
			t.Errorf("asked for %d nodes at depth %d, want at most 3", len(nodes), depth)
		}
		return b.Pull(depth, nodes)
	}
	leaves, more, err := Diff(a, pull, 3)
	if err != nil || !more || !slices.Equal(leaves, []int{0, 1, 2}) || calls != 3 {
		t.Errorf("Diff = %v, more %t, %v in %d calls; want 0 1 2, more, in 3 calls", leaves, more, err, calls)
	}
}

// TestAnyOrder holds the three laws of a leaf: the order of toggles does not
// matter, toggling twice is nothing, and when roots are asked for does not matter.
func TestAnyOrder(t *testing.T) {
	type toggle struct {
		leaf int
		d    Digest
	}
	rapid.Check(t, func(t *rapid.T) {
		leaves := rapid.SampledFrom([]int{32, 64, 1024, 4096}).Draw(t, "leaves")
		toggles := rapid.SliceOf(rapid.Custom(func(t *rapid.T) toggle {
			return toggle{rapid.IntRange(0, leaves-1).Draw(t, "leaf"), number(rapid.Uint64Range(0, 9).Draw(t, "record"))}
		})).Draw(t, "toggles")
		a, b := New(leaves), New(leaves)
		want := make([]Digest, leaves)
		for _, x := range toggles {
			a.Toggle(x.leaf, x.d)
			want[x.leaf].XOR(x.d)
			if rapid.Bool().Draw(t, "ask") {
				a.Root()
			}
		}
		twice := rapid.IntRange(0, leaves-1).Draw(t, "twice")
		b.Toggle(twice, number(99))
		for _, x := range rapid.Permutation(toggles).Draw(t, "order") {
			b.Toggle(x.leaf, x.d)
		}
		b.Toggle(twice, number(99))
		if a.Root() != b.Root() {
			t.Fatalf("roots differ: %s and %s", a.Root(), b.Root())
		}
		if !slices.Equal(a.Leaves(), want) || !slices.Equal(b.Leaves(), want) {
			t.Fatal("a leaf is not the XOR of what was toggled")
		}
	})
}

func TestDiffFindsExactlyTheChangedLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{32, 64, 2048, 4096}).Draw(t, "leaves")
		leaf := rapid.IntRange(0, n-1)
		a := New(n)
		for i, l := range rapid.SliceOf(leaf).Draw(t, "common") {
			a.Toggle(l, number(uint64(i)))
		}
		if rapid.Bool().Draw(t, "ask") {
			a.Root()
		}
		b := a.Clone()
		changed := rapid.SliceOfDistinct(leaf, rapid.ID[int]).Draw(t, "changed")
		for i, l := range changed {
			side := a
			if i%2 == 0 {
				side = b
			}
			side.Toggle(l, number(1_000_000+uint64(i)))
		}
		slices.Sort(changed)
		got, more, err := Diff(a, b.Pull, 0)
		if err != nil || more || !slices.Equal(got, changed) {
			t.Fatalf("Diff = %v, more %t, %v, want %v", got, more, err, changed)
		}
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		got, more, err = Diff(a, b.Pull, limit)
		if err != nil || more != (len(changed) > limit) || !slices.Equal(got, changed[:min(limit, len(changed))]) {
			t.Fatalf("Diff with limit %d = %v, more %t, %v, want the first of %v", limit, got, more, err, changed)
		}
	})
}

func TestCloneIsIndependent(t *testing.T) {
	a := New(1024)
	a.Toggle(3, number(1))
	b := a.Clone()
	b.Toggle(3, number(2))
	b.Toggle(900, number(2))
	if got, _, err := Diff(a, b.Pull, 0); err != nil || !slices.Equal(got, []int{3, 900}) {
		t.Errorf("Diff of a tree and its changed clone = %v, %v", got, err)
	}
	if a.Leaf(3) != number(1) || a.Root() == b.Root() {
		t.Error("changing the clone changed the tree")
	}
}

func TestToggleDoesNotAllocate(t *testing.T) {
	tree, d := New(1024), number(1)
	tree.Toggle(9, d)
	if n := testing.AllocsPerRun(100, func() { tree.Toggle(9, d); tree.Root() }); n != 0 {
		t.Errorf("Toggle and Root allocate %v times", n)
	}
}

func TestEmptyTreeIsSmall(t *testing.T) {
	const trees = 1000
	var before, after runtime.MemStats
	keep := make([]*Tree, trees)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range keep {
		keep[i] = New(4096)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / trees; each > 1024 {
		t.Errorf("an empty tree takes %d bytes, want at most 1024", each)
	}
	runtime.KeepAlive(keep)
}

func BenchmarkToggle(b *testing.B) {
	tree, d := New(1024), number(1)
	rng := rand.New(rand.NewPCG(1, 2))
	leaves := make([]int, 4096)
	for i := range leaves {
		leaves[i] = rng.IntN(1024)
	}
	i := 0
	for b.Loop() {
		tree.Toggle(leaves[i&4095], d)
		i++
	}
}

func BenchmarkRootAfterOneToggle(b *testing.B) {
	tree, d := New(1024), number(1)
	for b.Loop() {
		tree.Toggle(512, d)
		tree.Root()
	}
}

func BenchmarkRootAfterAllToggled(b *testing.B) {
	tree, d := New(1024), number(1)
	for b.Loop() {
		for leaf := range tree.Len() {
			tree.Toggle(leaf, d)
		}
		tree.Root()
	}
}
