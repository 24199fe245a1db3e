// Package plan tells how many nodes, disks, partitions, how much memory and WAN
// bandwidth a cluster of a size needs, and how evenly its ring would spread it.
//
// It owns the arithmetic. The figures of one node are inputs, with what was
// measured on godwit itself as defaults (docs/benchmarks.md); it measures
// nothing, and knows no prices.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/godwitdb/godwit/ring"
)

// Inputs are what a plan is made of. Zero fields take the default named beside
// them.
type Inputs struct {
	Keys      float64 `json:"keys"`       // required
	ValueSize float64 `json:"value_size"` // bytes; required
	KeySize   float64 `json:"key_size"`   // bytes; 32
	Reads     float64 `json:"reads"`      // a second over all datacenters
	Writes    float64 `json:"writes"`     // a second over all datacenters
	DCs       int     `json:"dcs"`        // required
	Replicas  int     `json:"replicas"`   // in each datacenter; 3

	Cores       int           `json:"cores"`        // of a node; 32
	Busy        float64       `json:"busy"`         // share of them that the load may take; 0.6
	ReadCPU     time.Duration `json:"read_cpu_ns"`  // of all nodes for one read; 170 µs
	WriteCPU    time.Duration `json:"write_cpu_ns"` // of all nodes of the datacenter that takes a write; 760 µs
	ApplyCPU    time.Duration `json:"apply_cpu_ns"` // of all nodes of each other datacenter; 990 µs
	Disk        float64       `json:"disk"`         // bytes of a node; 8 TB
	DiskFill    float64       `json:"disk_fill"`    // share of it that data may take; 0.6
	Space       float64       `json:"space"`        // bytes on disk for each byte of keys and values; 1.6
	NodeMemory  float64       `json:"node_memory"`  // bytes of a node; 128 GiB
	KeyMemory   float64       `json:"key_memory"`   // bytes of memory for each key of a node; 8
	BaseMemory  float64       `json:"base_memory"`  // bytes of a node beside keys and block cache; 2 GiB
	CacheShare  float64       `json:"cache_share"`  // of the live bytes of a node that the block cache holds; 0.02
	EventBytes  float64       `json:"event_bytes"`  // on the WAN for each write, beside key and value; 50
	Compression float64       `json:"compression"`  // bytes on the WAN for each byte of events; 1
	PerNode     int           `json:"per_node"`     // replicas of partitions that a node should hold; 64
}

// Limits of a plan.
const (
	maxNumber = 1e18
	maxDCs    = 64
)

// Defaults fills in what is not given.
func (in Inputs) Defaults() Inputs {
	in.KeySize = cmp.Or(in.KeySize, 32)
	in.Replicas = cmp.Or(in.Replicas, 3)
	in.Cores = cmp.Or(in.Cores, 32)
	in.Busy = cmp.Or(in.Busy, 0.6)
	in.ReadCPU = cmp.Or(in.ReadCPU, 170*time.Microsecond)
	in.WriteCPU = cmp.Or(in.WriteCPU, 760*time.Microsecond)
	in.ApplyCPU = cmp.Or(in.ApplyCPU, 990*time.Microsecond)
	in.Disk = cmp.Or(in.Disk, 8e12)
	in.DiskFill = cmp.Or(in.DiskFill, 0.6)
	in.Space = cmp.Or(in.Space, 1.6)
	in.NodeMemory = cmp.Or(in.NodeMemory, 128<<30)
	in.KeyMemory = cmp.Or(in.KeyMemory, 8)
	in.BaseMemory = cmp.Or(in.BaseMemory, 2<<30)
	in.CacheShare = cmp.Or(in.CacheShare, 0.02)
	in.EventBytes = cmp.Or(in.EventBytes, 50)
	in.Compression = cmp.Or(in.Compression, 1)
	in.PerNode = cmp.Or(in.PerNode, 64)
	return in
}

func (in *Inputs) check() error {
	var errs []error
	between := func(name string, v, least, most float64) {
		if !(v >= least && v <= most) {
			errs = append(errs, fmt.Errorf("plan: %s %v is not between %v and %v", name, v, least, most))
		}
	}
	between("keys", in.Keys, 1, maxNumber)
	between("value size", in.ValueSize, 0, 1<<20)
	between("key size", in.KeySize, 1, 1<<10)
	between("reads", in.Reads, 0, maxNumber)
	between("writes", in.Writes, 0, maxNumber)
	between("datacenters", float64(in.DCs), 1, maxDCs)
	between("replicas", float64(in.Replicas), 1, ring.MaxReplicas)
	between("cores", float64(in.Cores), 1, 4096)
	between("busy", in.Busy, 0.01, 1)
	between("disk", in.Disk, 1, maxNumber)
	between("disk fill", in.DiskFill, 0.01, 1)
	between("space", in.Space, 0.01, 100)
	between("memory of a node", in.NodeMemory, 1, maxNumber)
	between("compression", in.Compression, 0.001, 10)
	between("replicas of a node", float64(in.PerNode), 1, 4096)
	for _, d := range []time.Duration{in.ReadCPU, in.WriteCPU, in.ApplyCPU} {
		between("CPU of an operation in seconds", d.Seconds(), 1e-9, 10)
	}
	return errors.Join(errs...)
}

// Plan is what a cluster needs.
type Plan struct {
	Inputs Inputs `json:"inputs"`

	NodesPerDC int    `json:"nodes_per_dc"`
	Nodes      int    `json:"nodes"`
	Because    string `json:"because"` // cpu, disk, memory or replicas
	ForCPU     int    `json:"nodes_for_cpu"`
	ForDisk    int    `json:"nodes_for_disk"`
	ForMemory  int    `json:"nodes_for_memory"`
	Partitions int    `json:"partitions"`

	LiveBytes     float64 `json:"live_bytes"`       // keys and values, once
	DiskPerNode   float64 `json:"disk_per_node"`    // bytes in use
	DiskPerDC     float64 `json:"disk_per_dc"`      // bytes in use
	CoresPerDC    float64 `json:"cores_per_dc"`     // kept busy
	MemoryPerNode float64 `json:"memory_per_node"`  // bytes
	CachePerNode  float64 `json:"cache_per_node"`   // bytes of it, for blocks
	WriteBytes    float64 `json:"disk_write_bytes"` // a second and node, WAL alone
	WANPerPair    float64 `json:"wan_per_pair"`     // bytes a second, one way
	WANPerDC      float64 `json:"wan_per_dc"`       // bytes a second out of it, and into it
	CutHour       float64 `json:"log_per_cut_hour"` // bytes a node keeps for each hour a datacenter is away

	Ring Ring `json:"ring"`
}

// Ring is how evenly the ring of a datacenter would spread the partitions.
type Ring struct {
	Least    int     `json:"least"` // replicas on the node with the fewest
	Mean     float64 `json:"mean"`
	Most     int     `json:"most"`
	Over     float64 `json:"over"`      // most / mean
	Racks    int     `json:"racks"`     // that were assumed
	OneRack  int     `json:"one_rack"`  // partitions with two owners on one rack
	Moved    float64 `json:"moved"`     // share of replicas that move when a node joins on each rack
	NewShare float64 `json:"new_share"` // what those nodes would hold if all held the same
}

// Make makes a plan.
func Make(in Inputs) (*Plan, error) {
	in = in.Defaults()
	if err := in.check(); err != nil {
		return nil, err
	}
	p := &Plan{Inputs: in}
	dcs := float64(in.DCs)
	record := in.KeySize + in.ValueSize
	p.LiveBytes = in.Keys * record
	p.DiskPerDC = p.LiveBytes * float64(in.Replicas) * in.Space
	own := in.Writes / dcs
	p.CoresPerDC = in.Reads/dcs*in.ReadCPU.Seconds() + own*in.WriteCPU.Seconds() + (in.Writes-own)*in.ApplyCPU.Seconds()
	p.ForCPU = ceil(p.CoresPerDC / (float64(in.Cores) * in.Busy))
	p.ForDisk = ceil(p.DiskPerDC / (in.Disk * in.DiskFill))
	perKey := in.Keys * float64(in.Replicas) * (in.KeyMemory + record*in.CacheShare)
	if in.NodeMemory <= in.BaseMemory {
		return nil, fmt.Errorf("plan: a node has %.0f bytes of memory, and needs %.0f before it holds a key", in.NodeMemory, in.BaseMemory)
	}
	p.ForMemory = ceil(perKey / (in.NodeMemory - in.BaseMemory))
	p.NodesPerDC, p.Because = in.Replicas, "replicas"
	for _, need := range []struct {
		n    int
		name string
	}{{p.ForMemory, "memory"}, {p.ForDisk, "disk"}, {p.ForCPU, "cpu"}} {
		if need.n > p.NodesPerDC {
			p.NodesPerDC, p.Because = need.n, need.name
		}
	}
	// As many nodes on each rack: owners of a partition are on distinct ones.
	p.NodesPerDC = (p.NodesPerDC + racks - 1) / racks * racks
	if p.NodesPerDC > ring.MaxMembers {
		return nil, fmt.Errorf("plan: %d nodes in a datacenter (for %s), a ring has at most %d: give larger nodes or more datacenters",
			p.NodesPerDC, p.Because, ring.MaxMembers)
	}
	nodes := float64(p.NodesPerDC)
	p.Nodes = p.NodesPerDC * in.DCs
	p.Partitions = partitions(p.NodesPerDC, in.Replicas, in.PerNode)
	p.DiskPerNode = p.DiskPerDC / nodes
	p.CachePerNode = in.Keys * float64(in.Replicas) * record * in.CacheShare / nodes
	p.MemoryPerNode = in.BaseMemory + perKey/nodes
	event := (record + in.EventBytes) * in.Compression
	p.WriteBytes = in.Writes * (record + in.EventBytes) * float64(in.Replicas) / nodes
	if in.DCs > 1 {
		p.WANPerPair = own * event
		p.WANPerDC = p.WANPerPair * (dcs - 1)
	}
	// The log holds keys and paths; payloads come from the live cells.
	p.CutHour = in.Writes * (in.KeySize + in.EventBytes) * float64(in.Replicas) / nodes * time.Hour.Seconds()
	return p, p.simulate()
}

func ceil(f float64) int { return int(math.Ceil(min(f, math.MaxInt32))) }

// partitions is the least power of two that gives each node so many replicas.
func partitions(nodes, replicas, perNode int) int {
	want := max(256, (nodes*perNode+replicas-1)/replicas)
	return min(1<<bits.Len(uint(want-1)), ring.MaxPartitions)
}

// racks is how many racks the simulation gives a datacenter.
const racks = 3

func (p *Plan) simulate() error {
	o := ring.Options{Partitions: p.Partitions, Replicas: p.Inputs.Replicas}
	before, err := ring.New(members(p.NodesPerDC), o)
	if err != nil {
		return fmt.Errorf("plan: simulate the ring: %w", err)
	}
	after, err := ring.New(members(p.NodesPerDC+racks), o)
	if err != nil {
		return fmt.Errorf("plan: simulate more nodes: %w", err)
	}
	rackOf := map[string]string{}
	loads := map[string]int{}
	for _, m := range before.Members() {
		rackOf[m.ID], loads[m.ID] = m.Rack, 0
	}
	r := Ring{Racks: min(racks, p.NodesPerDC), Least: math.MaxInt}
	moved, total := 0, 0
	for i := range p.Partitions {
		owners := before.Owners(i)
		here, seen := map[string]bool{}, map[string]bool{}
		shared := false
		for _, id := range owners {
			loads[id]++
			total++
			here[id] = true
			shared = shared || seen[rackOf[id]]
			seen[rackOf[id]] = true
		}
		if shared {
			r.OneRack++
		}
		for _, id := range after.Owners(i) {
			if !here[id] {
				moved++
			}
		}
	}
	for _, n := range loads {
		r.Least, r.Most = min(r.Least, n), max(r.Most, n)
	}
	r.Mean = float64(total) / float64(p.NodesPerDC)
	r.Over = float64(r.Most) / r.Mean
	r.Moved = float64(moved) / float64(total)
	r.NewShare = racks / float64(p.NodesPerDC+racks)
	p.Ring = r
	return nil
}

func members(n int) []ring.Member {
	out := make([]ring.Member, n)
	for i := range out {
		out[i] = ring.Member{ID: fmt.Sprintf("node-%04d", i), Rack: fmt.Sprintf("rack-%d", i%racks)}
	}
	return out
}
