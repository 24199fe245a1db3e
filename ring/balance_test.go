package ring

import (
	"fmt"
	"math"
	"slices"
	"strconv"
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
// Nodes have chosen seeds, as those of a document have. 36 and 120 nodes are
// sizes at which the bound of all nodes falls by a whole replica with the next one.
func TestBalance(t *testing.T) {
	tests := []struct {
		nodes, partitions int
		moves             float64 // greatest mean number of moves in relation to the minimum
		long              bool
	}{
		{nodes: 3, partitions: 256, moves: 1.05},
		{nodes: 4, partitions: 256, moves: 1.10},
		{nodes: 5, partitions: 256, moves: 1.20},
		{nodes: 6, partitions: 256, moves: 1.20},
		{nodes: 9, partitions: 256, moves: 1.20},
		{nodes: 20, partitions: 256, moves: 1.20},
		{nodes: 36, partitions: 256, moves: 1.20},
		{nodes: 37, partitions: 256, moves: 1.20},
		{nodes: 50, partitions: 1024, moves: 1.20},
		{nodes: 120, partitions: 1024, moves: 1.20},
		{nodes: 150, partitions: 1024, moves: 1.20},
		{nodes: 100, partitions: 4096, moves: 1.20},
		{nodes: 300, partitions: 16384, moves: 1.20, long: true},
		{nodes: 1000, partitions: 16384, moves: 1.20, long: true},
	}
	for _, tt := range tests {
		if tt.long && testing.Short() {
			continue
		}
		trials := 6
		if tt.partitions > 256 {
			trials = max(1, 2*1024/tt.partitions)
		}
		t.Run(fmt.Sprintf("equal/%d nodes/%d partitions", tt.nodes, tt.partitions), func(t *testing.T) {
			checkBalance(t, trials, tt.nodes, tt.partitions, []uint32{1000}, tt.moves)
		})
		t.Run(fmt.Sprintf("mixed/%d nodes/%d partitions", tt.nodes, tt.partitions), func(t *testing.T) {
			checkBalance(t, trials, tt.nodes, tt.partitions, []uint32{1000, 2000, 1000, 1500, 4000}, tt.moves)
		})
	}
}

// TestFirstOwners looks at who comes first: clients send writes there. Where all
// nodes own everything nothing else is left to tell them apart.
func TestFirstOwners(t *testing.T) {
	const partitions, trials = 256, 20
	for nodes := 2; nodes <= 9; nodes++ {
		t.Run(strconv.Itoa(nodes), func(t *testing.T) {
			for trial := range trials {
				members := fleet(nodes, nodes)
				for i := range members {
					members[i].ID = fmt.Sprintf("node-%d-%d", trial, i)
				}
				r, first := mustRing(t, members, partitions, 3), map[string]int{}
				for p := range partitions {
					first[r.Owners(p)[0]]++
				}
				for _, m := range members {
					if share := float64(first[m.ID]*nodes) / partitions; share < 0.5 || share > 1.6 {
						t.Errorf("%s is the first of %d partitions, %.2f of its share", m.ID, first[m.ID], share)
					}
				}
			}
		})
	}
}

// chosen gives the first nodes seeds, and then the next one.
func chosen(t testing.TB, entries []Entry, next Entry, o Options) []Entry {
	t.Helper()
	first, err := ChooseSeeds(nil, entries, o)
	if err != nil {
		t.Fatal(err)
	}
	more, err := ChooseSeeds(&Document{Members: first}, []Entry{next}, o)
	if err != nil {
		t.Fatal(err)
	}
	return append(first, more...)
}

// The greatest loads of a node in relation to its share, where it has 20 replicas or more.
const (
	equalLoad = 1.10
	mixedLoad = 1.15
)

func checkBalance(t *testing.T, trials, nodes, partitions int, weights []uint32, moves float64) {
	const each = 3
	bound := mixedLoad
	if len(weights) == 1 {
		bound = equalLoad
	}
	var largest, heaviest, join, leave, weight float64
	o := Options{Partitions: partitions, Replicas: 3}
	ringOf := func(entries ...Entry) *Ring { return mustRing(t, owning(entries), partitions, 3) }
	for trial := range trials {
		entries := make([]Entry, nodes+1)
		for i := range entries {
			entries[i] = Entry{ID: fmt.Sprintf("%04d-%d", i, trial), Rack: strconv.Itoa(i), WeightMilli: weights[i%len(weights)], Status: StatusActive}
		}
		entries = chosen(t, entries[:nodes], entries[nodes], o)
		before, joined := ringOf(entries[:nodes]...), ringOf(entries...)
		largest = max(largest, imbalance(before), imbalance(joined))
		join += overMinimum(before, joined) / float64(trials)
		for i := range each { // of these nodes each leaves, or gets twice the weight
			n := (trial + i*nodes/each) % nodes
			left := ringOf(slices.Delete(slices.Clone(entries[:nodes]), n, n+1)...)
			largest = max(largest, imbalance(left))
			leave += overMinimum(before, left) / float64(each*trials)
			changed := slices.Clone(entries[:nodes])
			changed[n].WeightMilli *= 2
			heavier := ringOf(changed...)
			heaviest = max(heaviest, imbalance(heavier))
			weight += overMinimum(before, heavier) / float64(each*trials)
		}
	}
	t.Logf("max/mean load %.3f, %.3f with one node of double weight; moves over the minimum: join %.2f, leave %.2f, double weight %.2f", largest, heaviest, join, leave, weight)
	if largest > bound+1e-5 || heaviest > mixedLoad+1e-5 {
		t.Errorf("a node has %.3f times its share, and %.3f with one of double weight, want at most %.2f and %.2f", largest, heaviest, bound, mixedLoad)
	}
	if most := max(join, leave, weight); most > moves {
		t.Errorf("%.2f times as many moves as must be, want at most %.2f", most, moves)
	}
}
