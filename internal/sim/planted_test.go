package sim

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPlanted runs seeds of a cluster with a bug, until one of them notices it:
// the test of the test. More bugs are planted by make mutants.
func TestPlanted(t *testing.T) {
	if inMutant() {
		t.Skip("another bug is planted already")
	}
	tests := []struct {
		name   string
		faults []string
		plant  Change
		want   string // in what is found
		seeds  uint64
	}{
		{
			name: "syncs do nothing", faults: []string{"power", "blackout"},
			plant: func(o *Options) { o.LyingDisk = true }, want: "lost:", seeds: 20,
		},
		{
			name: "actors of earlier lives come again", faults: []string{"wipe", "restore", "oneway"},
			plant: func(o *Options) { o.SameActors = true }, want: "reused:", seeds: 20,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := uint64(1); seed <= tt.seeds; seed++ {
				p := Plan{Seed: seed, Nodes: []int{3}, Clients: 5, Faults: tt.faults, Duration: 6 * time.Second}
				found := strings.Join(one(t, p, tt.plant).Failures, "\n")
				if strings.Contains(found, tt.want) {
					t.Logf("noticed by seed %d", seed)
					return
				}
			}
			t.Errorf("%d seeds did not notice it", tt.seeds)
		})
	}
}

// TestNothingIsFoundWithoutFaults: a calm cluster answers everything at once.
func TestNothingIsFoundWithoutFaults(t *testing.T) {
	res := one(t, Plan{Seed: 1, Nodes: []int{4}, Clients: 4, Duration: 4 * time.Second})
	if len(res.Failures) > 0 {
		t.Error(res)
	}
	if res.Report.Acked < 50 || res.Report.Unknown+res.Report.Failed > 0 || res.Healed > 5*time.Second {
		t.Errorf("%v: %v", res, res.Report)
	}
}

// TestNothingIsFoundInACalmWorld: of datacenters that reach each other each
// answers everything at once.
func TestNothingIsFoundInACalmWorld(t *testing.T) {
	res := one(t, Plan{Seed: 1, Nodes: []int{3, 1, 2}, Clients: 6, Duration: 4 * time.Second})
	if len(res.Failures) > 0 {
		t.Error(res)
	}
	if res.Report.Acked < 80 || res.Report.Unknown+res.Report.Failed > 0 || res.Healed > 5*time.Second {
		t.Errorf("%v: %v", res, res.Report)
	}
}

// TestPlansDiffer: each fault is drawn by some seed, and none by all.
func TestPlansDiffer(t *testing.T) {
	for _, tt := range []struct {
		kind   string
		plan   func(seed uint64) Plan
		faults []string
	}{
		{"one datacenter", NewPlan, FaultNames()},
		{"several", NewWorldPlan, slices.Concat(FaultNames(), AbroadNames())},
	} {
		count := map[string]int{}
		for seed := range uint64(200) {
			for _, f := range tt.plan(seed).Faults {
				count[f]++
			}
		}
		for _, f := range tt.faults {
			if count[f] < 15 || count[f] > 140 {
				t.Errorf("%s: %s is drawn by %d of 200 seeds", tt.kind, f, count[f])
			}
		}
	}
}
