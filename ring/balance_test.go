package ring

import (
	"fmt"
	"math"
	"testing"
)

// fleet makes n members over the given number of racks with the given weights in turn.
func fleet(n, racks int, weights ...float64) []Member {
	out := make([]Member, n)
	for i := range out {
		out[i] = Member{ID: fmt.Sprintf("node-%04d", i), Rack: fmt.Sprintf("rack-%d", i%racks)}
		if len(weights) > 0 {
			out[i].Weight = weights[i%len(weights)]
		}
	}
	return out
}

func mustRing(t testing.TB, members []Member, partitions, replicas int) *Ring {
	t.Helper()
	r, err := New(members, Options{Partitions: partitions, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// imbalance is the greatest load in relation to the share.
func imbalance(r *Ring) float64 {
	worst := 0.0
	for _, s := range r.Shares() {
		worst = max(worst, float64(s.Replicas)/s.Want)
	}
	return worst
}

// overMinimum is the number of moves in relation to what the change of shares
// alone demands.
func overMinimum(from, to *Ring) float64 {
	old := make(map[string]float64)
	for _, s := range from.Shares() {
		old[s.Member.ID] = s.Want
	}
	least := 0.0
	for _, s := range to.Shares() {
		least += max(0, s.Want-old[s.Member.ID])
	}
	moves := 0
	for _, m := range Moves(from, to) {
		if m.To != "" {
			moves++
		}
	}
	return float64(moves) / math.Max(least, 1)
}

// TestBalance prints and bounds how evenly a ring is loaded and how much moves
// when it changes: at most 1.10 times the share of a node where all weights are
// equal and 1.15 where they differ, and 1.20 times as many moves as must be.
// Two sizes need more moves. There equal nodes have 20 to 21 replicas each, 1.10
// times which is 22, so that a node has room for hardly more than one.
func TestBalance(t *testing.T) {
	tests := []struct {
		nodes, partitions int
		equal, mixed      float64 // greatest mean number of moves in relation to the minimum
		long              bool
	}{
		{nodes: 3, partitions: 256, equal: 1.05, mixed: 1.05},
		{nodes: 4, partitions: 256, equal: 1.10, mixed: 1.10},
		{nodes: 5, partitions: 256, equal: 1.10, mixed: 1.20},
		{nodes: 6, partitions: 256, equal: 1.10, mixed: 1.20},
		{nodes: 9, partitions: 256, equal: 1.10, mixed: 1.20},
		{nodes: 20, partitions: 256, equal: 1.15, mixed: 1.20},
		{nodes: 37, partitions: 256, equal: 1.35, mixed: 1.20},
		{nodes: 50, partitions: 1024, equal: 1.15, mixed: 1.15},
		{nodes: 150, partitions: 1024, equal: 1.45, mixed: 1.20},
		{nodes: 100, partitions: 4096, equal: 1.10, mixed: 1.10},
		{nodes: 300, partitions: 16384, equal: 1.10, mixed: 1.10, long: true},
		{nodes: 1000, partitions: 16384, equal: 1.20, mixed: 1.15, long: true},
	}
	for _, tt := range tests {
		if tt.long && testing.Short() {
			continue
		}
		trials := 20
		if tt.partitions > 1024 {
			trials = 5
		}
		if tt.long {
			trials = 1
		}
		t.Run(fmt.Sprintf("equal/%d nodes/%d partitions", tt.nodes, tt.partitions), func(t *testing.T) {
			checkBalance(t, trials, tt.nodes, tt.partitions, nil, tt.equal)
		})
		t.Run(fmt.Sprintf("mixed/%d nodes/%d partitions", tt.nodes, tt.partitions), func(t *testing.T) {
			checkBalance(t, trials, tt.nodes, tt.partitions, []float64{1, 2, 1, 1.5, 4}, tt.mixed)
		})
	}
}

// The greatest loads of a node in relation to its share, where it has 20 replicas or more.
const (
	equalLoad = 1.10
	mixedLoad = 1.15
)

func checkBalance(t *testing.T, trials, nodes, partitions int, weights []float64, moves float64) {
	var even, uneven, join, leave, weight float64
	for trial := range trials {
		members := fleet(nodes+1, nodes+1, weights...)
		for i := range members {
			members[i].ID = fmt.Sprintf("%s-%d", members[i].ID, trial)
		}
		before := mustRing(t, members[:nodes], partitions, 3)
		joined := mustRing(t, members, partitions, 3)
		members[3%nodes].Weight = 2 * max(1, members[3%nodes].Weight)
		heavier := mustRing(t, members[:nodes], partitions, 3)
		if weights == nil {
			even = max(even, imbalance(before), imbalance(joined))
		} else {
			uneven = max(uneven, imbalance(before), imbalance(joined))
		}
		uneven = max(uneven, imbalance(heavier))
		join += overMinimum(before, joined) / float64(trials)
		leave += overMinimum(joined, before) / float64(trials)
		weight += overMinimum(before, heavier) / float64(trials)
	}
	t.Logf("max/mean load %.3f; moves over the minimum: join %.2f, leave %.2f, double weight %.2f", max(even, uneven), join, leave, weight)
	if even > equalLoad+1e-5 || uneven > mixedLoad+1e-5 {
		t.Errorf("a node has %.3f times its share at equal weights and %.3f at mixed ones, want at most %.2f and %.2f", even, uneven, equalLoad, mixedLoad)
	}
	if most := max(join, leave, weight); most > moves {
		t.Errorf("%.2f times as many moves as must be, want at most %.2f", most, moves)
	}
}
