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
// when it changes. With 50 replicas a node or more hardly more moves than must;
// with 20, where the load bound leaves two replicas of slack, up to half as much again.
func TestBalance(t *testing.T) {
	tests := []struct {
		nodes, partitions int
		load, mixedLoad   float64 // greatest load in relation to the share
		moves             float64 // greatest mean number of moves in relation to the minimum
		long              bool
	}{
		{nodes: 3, partitions: 256, load: 1.10, mixedLoad: 1.10, moves: 1.05},
		{nodes: 4, partitions: 256, load: 1.10, mixedLoad: 1.10, moves: 1.15},
		{nodes: 5, partitions: 256, load: 1.10, mixedLoad: 1.10, moves: 1.20},
		{nodes: 6, partitions: 256, load: 1.10, mixedLoad: 1.10, moves: 1.20},
		{nodes: 9, partitions: 256, load: 1.10, mixedLoad: 1.10, moves: 1.25},
		{nodes: 20, partitions: 256, load: 1.10, mixedLoad: 1.15, moves: 1.25},
		{nodes: 37, partitions: 256, load: 1.10, mixedLoad: 1.15, moves: 1.50},
		{nodes: 50, partitions: 1024, load: 1.10, mixedLoad: 1.15, moves: 1.20},
		{nodes: 150, partitions: 1024, load: 1.10, mixedLoad: 1.15, moves: 1.50},
		{nodes: 100, partitions: 4096, load: 1.10, mixedLoad: 1.15, moves: 1.20},
		{nodes: 300, partitions: 16384, load: 1.10, mixedLoad: 1.15, moves: 1.20, long: true},
		{nodes: 1000, partitions: 16384, load: 1.10, mixedLoad: 1.15, moves: 1.25, long: true},
	}
	for _, tt := range tests {
		if tt.long && testing.Short() {
			continue
		}
		trials := 10
		if tt.long {
			trials = 1
		}
		for name, weights := range map[string][]float64{"equal": nil, "mixed": {1, 2, 1, 1.5, 4}} {
			t.Run(fmt.Sprintf("%s/%d nodes/%d partitions", name, tt.nodes, tt.partitions), func(t *testing.T) {
				load := tt.load
				if weights != nil {
					load = tt.mixedLoad
				}
				checkBalance(t, trials, tt.nodes, tt.partitions, weights, load, tt.moves)
			})
		}
	}
}

func checkBalance(t *testing.T, trials, nodes, partitions int, weights []float64, load, moves float64) {
	var worst, join, leave, weight float64
	for trial := range trials {
		members := fleet(nodes+1, nodes+1, weights...)
		for i := range members {
			members[i].ID = fmt.Sprintf("%s-%d", members[i].ID, trial)
		}
		before := mustRing(t, members[:nodes], partitions, 3)
		joined := mustRing(t, members, partitions, 3)
		members[3%nodes].Weight = 2 * max(1, members[3%nodes].Weight)
		heavier := mustRing(t, members[:nodes], partitions, 3)
		worst = max(worst, imbalance(before), imbalance(joined), imbalance(heavier))
		join += overMinimum(before, joined) / float64(trials)
		leave += overMinimum(joined, before) / float64(trials)
		weight += overMinimum(before, heavier) / float64(trials)
	}
	t.Logf("max/mean load %.3f; moves over the minimum: join %.2f, leave %.2f, double weight %.2f", worst, join, leave, weight)
	if worst > load+1e-5 {
		t.Errorf("a node has %.3f times its share, want at most %.3f", worst, load)
	}
	if most := max(join, leave, weight); most > moves {
		t.Errorf("%.2f times as many moves as must be, want at most %.2f", most, moves)
	}
}
