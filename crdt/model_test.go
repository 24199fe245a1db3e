package crdt

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var (
	modelSeeds = flag.Uint64("seeds", 0, "histories of TestModel; 20,000, or 3,000 with -short")
	modelFirst = flag.Uint64("seed", 0, "the first history of TestModel")
)

// TestModel plays random histories of a partition on the real types: events
// late, twice and out of order, coalesced and relayed, repairs, transfers that
// break off, logs trimmed, replicas lost, moved and restored. After each, the
// replicas heal by comparing clocks, as nodes do, and must be equal and hold
// what an oracle that knows no rules says.
func TestModel(t *testing.T) {
	n := *modelSeeds
	switch {
	case n > 0:
	case os.Getenv("GODWIT_MUTANT") != "": // a planted bug must show soon
		n = 5_000
	case testing.Short():
		n = 3_000
	default:
		n = 20_000
	}
	counted := map[string]int{}
	for seed := *modelFirst; seed < *modelFirst+n; seed++ {
		w := newWorld(seed)
		if err := w.run(counted); err != nil {
			t.Fatalf("history %d (again with -run TestModel -seed %d -seeds 1): %v\n%s", seed, seed, err, strings.Join(w.trace, "\n"))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counted)) {
		t.Logf("%s: %d", what, counted[what])
	}
}
