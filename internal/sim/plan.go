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
	Nodes    []int // of each datacenter
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

// abroadNames are the faults that a plan of several datacenters can have besides.
var abroadNames = [...]string{
	"linkcut",    // two datacenters do not reach each other
	"linkoneway", // one does not reach the other
	"dccut",      // a datacenter reaches no other
	"flap",       // a link comes and goes every second
	"jitter",     // messages between datacenters take 100 to 300 ms, all the time
	"wanloss",    // ... are lost, doubled and overtaken, all the time
	"replay",     // all that an outbox keeps comes again
	"brokerwipe", // an outbox loses what it keeps
	"brokerfull", // an outbox takes nothing
	"away",       // a datacenter reaches no other until everything heals
	"dcskew",     // all clocks of a datacenter are an hour off, to the end
	"healcrash",  // nodes die while everything heals
}

// FaultNames lists the faults that a plan can have.
func FaultNames() []string { return faultNames[:] }

// AbroadNames lists those that a plan of several datacenters can have besides.
func AbroadNames() []string { return abroadNames[:] }

// NewPlan draws the plan of a seed: any of the faults, each with an even chance
// and those that cost data with a smaller one.
func NewPlan(seed uint64) Plan {
	rnd := rand.New(rand.NewPCG(seed, 1))
	p := Plan{Seed: seed, Nodes: []int{3 + rnd.IntN(3)}, Clients: 3 + rnd.IntN(3), Duration: time.Duration(5+rnd.IntN(8)) * time.Second}
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

// NewWorldPlan draws the plan of a seed for two or three datacenters: fewer faults
// inside them, and those between them.
func NewWorldPlan(seed uint64) Plan {
	rnd := rand.New(rand.NewPCG(seed, 2))
	p := Plan{Seed: seed, Clients: 4 + rnd.IntN(3), Duration: time.Duration(4+rnd.IntN(5)) * time.Second}
	for range 2 + rnd.IntN(2) {
		p.Nodes = append(p.Nodes, 1+rnd.IntN(3))
	}
	for _, f := range faultNames {
		chance := 20
		if f == "wipe" || f == "restore" || f == "blackout" {
			chance = 12
		}
		if rnd.IntN(100) < chance {
			p.Faults = append(p.Faults, f)
		}
	}
	for _, f := range abroadNames {
		if rnd.IntN(100) < 35 {
			p.Faults = append(p.Faults, f)
		}
	}
	return p
}

// partitions is in how many the keys fall.
func (p Plan) partitions() int {
	if len(p.Nodes) > 1 {
		return 4
	}
	return 0 // as many as is usual
}

func (p Plan) has(fault string) bool { return slices.Contains(p.Faults, fault) }

// losesData reports whether replicas may lose what they acknowledged.
func (p Plan) losesData() bool { return p.has("wipe") || p.has("restore") }

// String names what is enabled.
func (p Plan) String() string {
	return strings.Join(append([]string{}, p.Faults...), " ")
}
