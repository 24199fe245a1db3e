package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/topology"
)

// part names one partition of one placement.
type part struct{ placement, partition uint32 }

func (p part) compare(o part) int {
	return cmp.Or(cmp.Compare(p.placement, o.placement), cmp.Compare(p.partition, o.partition))
}

// view is what one datacenter says of its replicas.
type view struct {
	dc       string
	replicas map[part][]*pb.ReplicaDigest
	clocks   clocks // per partition, what any of its replicas has seen
	missing  []string
	err      error
}

func viewOf(a said[*pb.VerifyResponse]) (view, error) {
	v := view{dc: a.dc, err: a.err, replicas: map[part][]*pb.ReplicaDigest{}, clocks: clocks{}, missing: a.answer.GetMissing()}
	for _, r := range a.answer.GetReplicas() {
		p := part{r.GetPlacement(), r.GetPartition()}
		v.replicas[p] = append(v.replicas[p], r)
		if len(r.GetClock()) == 0 {
			continue
		}
		c, err := crdt.DecodeClock(r.GetClock())
		if err != nil {
			return v, fmt.Errorf("read the clock of partition %d from %s: %w", p.partition, r.GetNode(), err)
		}
		v.clocks.add(p, &c)
	}
	return v, nil
}

// clocks holds a clock per partition.
type clocks map[part]*crdt.Clock

func (c clocks) add(p part, seen *crdt.Clock) {
	if c[p] == nil {
		c[p] = &crdt.Clock{}
	}
	c[p].Union(seen)
}

// message is c as a question carries it.
func (c clocks) message() []*pb.PartitionClock {
	var out []*pb.PartitionClock
	for _, p := range slices.SortedFunc(maps.Keys(c), part.compare) {
		out = append(out, &pb.PartitionClock{Placement: p.placement, Partition: p.partition, Clock: crdt.AppendClock(nil, c[p])})
	}
	return out
}

// union is everything that any datacenter has seen.
func union(views []view) clocks {
	out := clocks{}
	for _, v := range views {
		for p, c := range v.clocks {
			out.add(p, c)
		}
	}
	return out
}

// unseen counts the events that some datacenter of their placement lacks.
func unseen(views []view) uint64 {
	var sum uint64
	for p, all := range union(views) {
		common := all.Clone()
		for _, v := range views {
			if v.replicas[p] == nil {
				continue // it does not hold the placement
			}
			have := v.clocks[p]
			if have == nil {
				have = &crdt.Clock{}
			}
			common = crdt.Intersection(&common, have)
		}
		lacking := crdt.Difference(all, &common)
		sum += lacking.Count()
	}
	return sum
}

// comparison is the JSON of verify.
type comparison struct {
	Equal      bool         `json:"equal"`
	Since      *string      `json:"since"` // when a replica last changed; null if none ever did
	Partitions int          `json:"partitions"`
	Differing  []difference `json:"differing"`
	Pairs      []pairJSON   `json:"pairs"`

	differ int // partitions that differ
}

// difference says where and why replicas are not equal.
type difference struct {
	Partition *uint32  `json:"partition,omitempty"` // none: all that the datacenter holds
	Placement string   `json:"placement,omitempty"`
	DCs       []string `json:"dcs"`
	Reason    string   `json:"reason"`
}

type pairJSON struct {
	A           string `json:"a"`
	B           string `json:"b"`
	Equal       bool   `json:"equal"`
	ClockEqual  bool   `json:"clock_equal"`
	MerkleEqual bool   `json:"merkle_equal"`
}

// compare compares every replica of every partition.
func compare(views []view, name func(uint32) string) *comparison {
	c := &comparison{Differing: []difference{}, Pairs: []pairJSON{}}
	parts := map[part]bool{}
	var changed uint64
	for _, v := range views {
		for p, replicas := range v.replicas {
			parts[p] = true
			for _, r := range replicas {
				changed = max(changed, r.GetChangedUnixMs())
			}
		}
		if why := v.silence(); why != "" {
			c.Differing = append(c.Differing, difference{DCs: []string{v.dc}, Reason: why})
		}
	}
	if changed > 0 {
		text := time.UnixMilli(int64(changed)).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		c.Since = &text
	}
	for _, p := range slices.SortedFunc(maps.Keys(parts), part.compare) {
		if s := standing(views, p); !s.equal() {
			c.Differing = append(c.Differing, difference{&p.partition, name(p.placement), s.dcs, s.reason()})
			c.differ++
		}
	}
	for i := range views {
		for j := i + 1; j < len(views); j++ {
			c.Pairs = append(c.Pairs, comparePair(views[i], views[j], parts))
		}
	}
	c.Partitions, c.Equal = len(parts), len(c.Differing) == 0
	return c
}

// silence says why a datacenter's answer is not all of it.
func (v *view) silence() string {
	switch {
	case v.err != nil:
		return "no answer: " + v.err.Error()
	case len(v.missing) > 0:
		return "no answer from " + strings.Join(v.missing, " ")
	}
	return ""
}

// stand is how the replicas of one partition stand to each other.
type stand struct {
	clocks, roots bool // all equal
	waiting       []string
	dcs           []string
}

func (s *stand) equal() bool { return s.clocks && s.roots && len(s.waiting) == 0 }

func (s *stand) reason() string {
	var why []string
	if !s.clocks {
		why = append(why, "clocks differ")
	}
	if !s.roots {
		why = append(why, "Merkle roots differ")
	}
	return strings.Join(append(why, s.waiting...), "; ")
}

func standing(views []view, p part) *stand {
	s := &stand{clocks: true, roots: true}
	var first *pb.ReplicaDigest
	for _, v := range views {
		if v.replicas[p] != nil {
			s.dcs = append(s.dcs, v.dc)
		}
		for _, r := range v.replicas[p] {
			if first == nil {
				first = r
			}
			s.clocks = s.clocks && r.GetClockHash() == first.GetClockHash()
			s.roots = s.roots && string(r.GetMerkleRoot()) == string(first.GetMerkleRoot())
			if !r.GetReady() {
				s.waiting = append(s.waiting, r.GetNode()+" is not settled")
			}
			if r.GetResidue() > 0 {
				s.waiting = append(s.waiting, fmt.Sprintf("%s holds %d removals that wait", r.GetNode(), r.GetResidue()))
			}
		}
	}
	return s
}

func comparePair(a, b view, parts map[part]bool) pairJSON {
	out := pairJSON{A: a.dc, B: b.dc, Equal: true, ClockEqual: true, MerkleEqual: true}
	if a.silence()+b.silence() != "" {
		return pairJSON{A: a.dc, B: b.dc}
	}
	for p := range parts {
		if a.replicas[p] == nil || b.replicas[p] == nil {
			continue
		}
		s := standing([]view{a, b}, p)
		out.ClockEqual = out.ClockEqual && s.clocks
		out.MerkleEqual = out.MerkleEqual && s.roots
		out.Equal = out.Equal && s.equal()
	}
	return out
}

// placementName gives the name behind the number of a placement, where known.
func (s *session) placementName(id uint32) string {
	for _, name := range append(s.placements, topology.DefaultPlacement) {
		if topology.PlacementID(name) == id {
			return name
		}
	}
	return fmt.Sprintf("%08x", id)
}

// learnPlacements keeps the names of a topology's placements.
func (s *session) learnPlacements(t *topology.Topology) {
	for _, p := range t.Placements {
		if !slices.Contains(s.placements, p.Name) {
			s.placements = append(s.placements, p.Name)
		}
	}
}
