package ring

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
)

// crowd makes entries without seeds, each on a rack of its own.
func crowd(from, to int) []Entry {
	var out []Entry
	for i := from; i < to; i++ {
		out = append(out, Entry{ID: fmt.Sprintf("n%03d", i), Rack: strconv.Itoa(i), WeightMilli: 1000, Status: StatusActive})
	}
	return out
}

func mustChoose(t testing.TB, d *Document, entries []Entry) []Entry {
	t.Helper()
	out, err := ChooseSeeds(d, entries, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestChooseSeedsKnowsNoOrder(t *testing.T) {
	entries := crowd(0, 20)
	a := mustChoose(t, nil, entries)
	slices.Reverse(entries)
	if b := mustChoose(t, nil, entries); !slices.Equal(a, b) {
		t.Error("the order of the nodes matters")
	}
	seeds := make(map[uint64]bool)
	for _, e := range a {
		if e.Seed == 0 || seeds[e.Seed] {
			t.Errorf("node %s has seed %x, 0 or that of another", e.ID, e.Seed)
		}
		seeds[e.Seed] = true
	}
	if got, want := a[19].Seed, uint64(0xc69b_5f1a_cfc7_2b63); got != want {
		t.Errorf("seed of the last node = %#x, want %#x: nodes of two versions would make two documents of one topology", got, want)
	}
}

func TestChooseSeedsKeepsThoseThereAre(t *testing.T) {
	d := &Document{Members: mustChoose(t, nil, crowd(0, 4))}
	given := Entry{ID: "x", Rack: "x", Seed: 7}
	out := mustChoose(t, d, []Entry{given, {ID: "y", Rack: "y"}})
	if len(out) != 2 || out[0] != given || out[1].Seed == 0 {
		t.Errorf("ChooseSeeds = %+v, want x as it was and a seed for y", out)
	}
	if _, err := ChooseSeeds(nil, crowd(0, 1), Options{Partitions: 3}); err == nil {
		t.Error("ChooseSeeds for 3 partitions: no error")
	}
}

// Without a bound a permutation of any name would leave loads that vary by 5.9.
func TestChosenSeedsLeaveLoadsEven(t *testing.T) {
	r, err := New(owning(mustChoose(t, nil, crowd(0, 37))), Options{LoadBound: 4})
	if err != nil {
		t.Fatal(err)
	}
	variance := 0.0
	for _, s := range r.Shares() {
		variance += (float64(s.Replicas) - s.Want) * (float64(s.Replicas) - s.Want) / 37
	}
	if variance > 2 {
		t.Errorf("loads of 37 nodes vary by %.2f, want at most 2", variance)
	}
}

func TestChooseSeedsWithFewRacksAndAnyWeight(t *testing.T) {
	entries := crowd(0, 8)
	for i := range entries {
		entries[i].Rack = strconv.Itoa(i % 2)
		entries[i].WeightMilli = []uint32{1, 1000, 1_000_000}[i%3]
	}
	if r := mustRing(t, owning(mustChoose(t, nil, entries)), 256, 3); len(r.Owners(0)) != 3 {
		t.Errorf("Owners(0) = %q, want three", r.Owners(0))
	}
}

func TestReplaceMovesOnlyWhatTheOldNodeOwns(t *testing.T) {
	d, err := First(mustChoose(t, nil, crowd(0, 20)))
	if err != nil {
		t.Fatal(err)
	}
	now, next, err := mustApply(t, d, Replace("n007", Entry{ID: "new"})).Rings(Options{})
	if err != nil {
		t.Fatal(err)
	}
	moves := Moves(now, next)
	if got, want := len(moves), len(now.PartitionsOf("n007")); got != want {
		t.Errorf("%d moves, want %d", got, want)
	}
	for _, m := range moves {
		if m.From != "n007" || m.To != "new" {
			t.Errorf("%+v: want moves from n007 to new only", m)
		}
	}
}

func BenchmarkChooseSeeds(b *testing.B) {
	for _, n := range []struct{ nodes, partitions int }{{9, 256}, {1000, 16384}} {
		b.Run(fmt.Sprintf("%d nodes/%d partitions", n.nodes, n.partitions), func(b *testing.B) {
			entries := crowd(0, n.nodes)
			for b.Loop() {
				if _, err := ChooseSeeds(nil, entries, Options{Partitions: n.partitions}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
