package sim

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwitdb/godwit/internal/history"
)

var (
	seeds = flag.Int("seeds", 0, "how many seeds to run of each kind; 200 of one datacenter and 100 of several, or 10 and 5 with -short")
	from  = flag.Uint64("from", 1, "the first seed")
	again = flag.Int("again", 1, "how often to run each seed")
	dump  = flag.String("dump", "", "write the history of a seed that fails to this file")
	loud  = flag.Bool("loud", false, "print what nodes log, and a line for each seed")
)

// one runs a seed in a bubble of its own.
func one(t *testing.T, p Plan, change ...Change) (res *Result) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	if *loud {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	synctest.Test(t, func(*testing.T) { res = Run(p, logger, change...) })
	return res
}

// TestSwarm runs seeds: each draws a datacenter, a few faults and what clients do.
func TestSwarm(t *testing.T) { swarm(t, "TestSwarm", NewPlan, 200) }

// TestWorlds is TestSwarm for several datacenters.
func TestWorlds(t *testing.T) { swarm(t, "TestWorlds", NewWorldPlan, 100) }

// swarm runs as many seeds as the flags say, or else so many.
func swarm(t *testing.T, name string, plan func(seed uint64) Plan, n int) {
	switch {
	case *seeds > 0:
		n = *seeds
	case testing.Short():
		n /= 20
	}
	all := t
	for seed := *from; seed < *from+uint64(n); seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel() // a bubble hardly uses more than one processor
			if inMutant() && all.Failed() {
				return // one is enough
			}
			for range *again {
				began := time.Now()
				res := one(t, plan(seed))
				if *loud {
					t.Logf("%v: %v", time.Since(began).Round(time.Millisecond), res)
				}
				if len(res.Failures) > 0 {
					writeHistory(t, res)
					t.Errorf("%v\nrun it again: go test ./internal/sim -run %s -from %d -seeds 1 -again 20", res, name, seed)
				}
			}
		})
	}
}

// inMutant reports whether package mutants has planted a bug.
func inMutant() bool { return os.Getenv("GODWIT_MUTANT") != "" }

// writeHistory keeps what clients did and were told, as a JSON object a line.
func writeHistory(t *testing.T, res *Result) {
	t.Helper()
	if *dump == "" {
		return
	}
	f, err := os.Create(*dump)
	if err != nil {
		t.Fatal(err)
	}
	rec := history.NewRecorder(f)
	for _, r := range res.Records {
		if err := rec.Record(r); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(rec.Flush(), f.Close()); err != nil {
		t.Error(err)
	}
}
