package plan_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/loadtest/plan"
)

// The numbers are worked out by hand from round inputs.
func TestPlanOfRoundNumbers(t *testing.T) {
	p, err := plan.Make(plan.Inputs{
		Keys: 1e9, KeySize: 24, ValueSize: 1000, Reads: 300_000, Writes: 30_000, DCs: 3, Replicas: 3,
		Cores: 10, Busy: 0.5, ReadCPU: 100 * time.Microsecond, WriteCPU: 1 * time.Millisecond, ApplyCPU: 2 * time.Millisecond,
		Disk: 1e12, DiskFill: 0.5, Space: 2, NodeMemory: 64e9, BaseMemory: 4e9, KeyMemory: 10, CacheShare: 0.01, EventBytes: 176, Compression: 0.5,
		PerNode: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	// 1,024 bytes a record; 10 cores for reads, 10 for own writes, 40 for those of
	// the others; 60 busy of 5 a node make 12.
	for _, tt := range []struct {
		what      string
		got, want float64
	}{
		{"live bytes", p.LiveBytes, 1.024e12},
		{"cores of a datacenter", p.CoresPerDC, 60},
		{"nodes for CPU", float64(p.ForCPU), 12},
		{"bytes of a datacenter", p.DiskPerDC, 6.144e12},
		{"nodes for disk", float64(p.ForDisk), 13},
		{"nodes for memory", float64(p.ForMemory), 2},        // 3e9 x 20.24 = 60.72e9 of 60e9
		{"nodes of a datacenter", float64(p.NodesPerDC), 15}, // as many on each of three racks,
		{"nodes", float64(p.Nodes), 45},
		{"partitions", float64(p.Partitions), 512}, // 15 x 64 / 3 = 320
		{"WAN of a pair", p.WANPerPair, 6e6},       // 10,000 x 1,200 / 2
		{"WAN of a datacenter", p.WANPerDC, 12e6},
	} {
		if math.Abs(tt.got-tt.want) > tt.want*1e-9 {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	if p.Because != "disk" {
		t.Errorf("because of %s, want disk", p.Because)
	}
	r := p.Ring
	if math.Abs(r.Mean-512*3/15.0) > 1e-9 || r.Over > 1.10 || r.Over < 1 || r.Least > r.Most || r.OneRack != 0 {
		t.Errorf("ring %+v", r)
	}
	if r.Moved < r.NewShare*0.8 || r.Moved > r.NewShare*1.2 {
		t.Errorf("more nodes move %.4f, their share is %.4f", r.Moved, r.NewShare)
	}
}

func TestOneDatacenterNeedsNoWAN(t *testing.T) {
	p, err := plan.Make(plan.Inputs{Keys: 10, ValueSize: 10, Writes: 1000, DCs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if p.WANPerDC != 0 || p.NodesPerDC != 3 || p.Because != "replicas" || p.Partitions != 256 {
		t.Errorf("plan %+v", p)
	}
}

func TestBadInputs(t *testing.T) {
	_, err := plan.Make(plan.Inputs{Keys: math.NaN(), ValueSize: -1, DCs: 0, Replicas: 99, Busy: 2})
	for _, want := range []string{"keys", "value size", "datacenters", "replicas", "busy"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Make() = %v, want %q in it", err, want)
		}
	}
	_, err = plan.Make(plan.Inputs{Keys: 1e15, ValueSize: 1000, DCs: 3})
	if err == nil || !strings.Contains(err.Error(), "a ring has at most 4096") {
		t.Errorf("Make() = %v, want too many nodes", err)
	}
}
