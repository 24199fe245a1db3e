package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Plan is what a seed stands for: the size of the cluster, the faults, and how
// long there are any.
type Plan struct {
	Seed     uint64
	Nodes    int
	Clients  int
	Faults   []string
	Duration time.Duration // of the faults
}

// faults are all that can be enabled, in a fixed order: a seed depends on it.
// Those that change nothing while a run goes on are marked.
var faultNames = [...]string{
	"power",    // a machine loses its power: what was not synced is gone
	"crash",    // a process ends: all that it wrote is there
	"blackout", // all machines lose their power at once
	"freeze",   // a process stands still
	"cut",      // two nodes do not reach each other
	"oneway",   // one does not reach the other
	"isolate",  // a group of nodes reaches nobody outside
	"slow",     // a node's messages are late
	"skew",     // a wall clock jumps by up to an hour
	"wipe",     // a machine loses its disk
	"restore",  // an older copy of a disk comes back
	"loss",     // messages are lost, doubled and overtaken, all the time
	"slowdisk", // syncs take long
	"smalllog", // logs are trimmed long before all have what they hold, all the time
	"async",    // a bucket that is acknowledged before it is durable, all the time
}

// FaultNames lists the faults that a plan can have.
func FaultNames() []string { return faultNames[:] }

// NewPlan draws the plan of a seed: any of the faults, each with an even chance
// and those that cost data with a smaller one.
func NewPlan(seed uint64) Plan {
	rnd := rand.New(rand.NewPCG(seed, 1))
	p := Plan{Seed: seed, Nodes: 3 + rnd.IntN(3), Clients: 3 + rnd.IntN(3), Duration: time.Duration(5+rnd.IntN(8)) * time.Second}
	for _, f := range faultNames {
		chance := 45
		if f == "wipe" || f == "restore" || f == "blackout" {
			chance = 22
		}
		if rnd.IntN(100) < chance {
			p.Faults = append(p.Faults, f)
		}
	}
	return p
}

func (p Plan) has(fault string) bool { return slices.Contains(p.Faults, fault) }

// losesData reports whether replicas may lose what they acknowledged.
func (p Plan) losesData() bool { return p.has("wipe") || p.has("restore") }

// String names what is enabled.
func (p Plan) String() string {
	return strings.Join(append([]string{}, p.Faults...), " ")
}
