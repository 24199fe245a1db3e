package ring

import (
	"cmp"
	"math"
	"slices"

	"github.com/zeebo/xxh3"
)

// A node that joins gets the best of seedTries permutations, or of as many as
// together have seedVisits partitions that are the node's own share: a large
// share is even enough after few. Twice as many save a few moves in a hundred.
const (
	seedTries  = 256
	seedVisits = 16384
)

// ChooseSeeds returns the entries of nodes that shall join a document, in the
// order of their IDs and with a seed for each that has none: of seedTries the
// one that leaves loads most even as far as permutations alone decide. What the
// load bound need not correct does not move when nodes come and go. It is a pure
// function of what is passed. Without a document the nodes are the first ones;
// o gives partitions and replicas.
//
// Source of the idea: several choices at the time of insertion in place of one,
// Azar, Broder, Karlin, Upfal, Balanced Allocations, STOC 1994.
func ChooseSeeds(d *Document, entries []Entry, o Options) ([]Entry, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var present []Entry
	if d != nil {
		present = d.latest()
	}
	racks := make(map[string]bool)
	for _, e := range slices.Concat(present, entries) {
		racks[e.Rack] = true
	}
	s := &seating{
		partitions: o.Partitions, replicas: o.Replicas, racks: len(racks) >= o.Replicas,
		used: map[uint64]bool{0: true}, seats: make([][]seat, o.Partitions),
		limit: slices.Repeat([]uint64{none}, o.Partitions), reach: none,
	}
	for _, e := range present {
		s.used[e.seed()] = true
		if e.Status == StatusActive {
			s.add(e)
		}
	}
	out := sorted(entries)
	for i := range out {
		if out[i].Seed == 0 {
			out[i].Seed = s.best(out[i])
		}
		s.used[out[i].Seed] = true
		s.add(out[i])
	}
	return out, nil
}

// seating follows how many partitions each node owns where there is no bound.
type seating struct {
	partitions, replicas int
	used                 map[uint64]bool // seeds, also of nodes that own nothing
	nodes                []seated
	weights              uint64   // sum over the nodes
	racks                bool     // owners are on distinct racks; with too few racks they are not told apart here
	seats                [][]seat // the owners of each partition, nearest first
	limit                []uint64 // distance of the farthest seat of each partition; none while it is short of owners
	reach                uint64   // the greatest limit
	lost                 []int    // of each node, while a seed is tried
}

type seated struct {
	weight uint64
	rack   string
	load   int
}

// none is farther than any distance.
const none = math.MaxUint64

// seat is what one node has on one partition: how near it lies, in fixed point,
// because all machines must choose alike.
type seat struct {
	node     int
	distance uint64
}

// best returns the seed for a node that adds least unevenness.
func (s *seating) best(e Entry) uint64 {
	var best uint64
	least := int64(0)
	name := xxh3.HashString(e.ID)
	weight := weightOf(e)
	share := uint64(s.replicas*s.partitions) * weight / (s.weights + weight)
	tries := min(seedTries, seedVisits/max(share, 1))
	for try := uint64(0); try < tries || best == 0; try++ {
		seed := name
		if try > 0 {
			seed = mix(name + try)
		}
		if s.used[seed] {
			continue
		}
		e.Seed = seed
		if cost := s.unevennessWith(e); best == 0 || cost < least {
			best, least = seed, cost
		}
	}
	return best
}

// unevennessWith is by how much the sum of squared deviations from the shares
// grows if a node is added, each in relation to its share.
func (s *seating) unevennessWith(e Entry) int64 {
	weight := weightOf(e)
	weights := s.weights + weight
	own := 0
	s.visit(e, func(_ int, _ uint64, loser int) {
		own++
		if loser >= 0 {
			s.lost[loser]++
		}
	})
	cost := s.deviation(own, weight, weights)
	for i, n := range s.lost {
		if n > 0 {
			node := s.nodes[i]
			cost += s.deviation(node.load-n, node.weight, weights) - s.deviation(node.load, node.weight, weights)
			s.lost[i] = 0
		}
	}
	return cost
}

// deviation is (load-share)²/share, in 1/1024 of a replica.
func (s *seating) deviation(load int, weight, weights uint64) int64 {
	const unit = 1024
	all := uint64(s.partitions) * unit // a node owns a partition once at most
	share := max(1, int64(min(uint64(s.replicas)*all*weight/weights, all)))
	d := int64(load)*unit - share
	return d * d / share
}

// add gives a node its seats.
func (s *seating) add(e Entry) {
	node := len(s.nodes)
	s.nodes = append(s.nodes, seated{weight: weightOf(e), rack: e.Rack})
	s.weights += weightOf(e)
	s.lost = append(s.lost, 0)
	s.visit(e, func(partition int, distance uint64, loser int) {
		s.nodes[node].load++
		list := s.seats[partition]
		if loser >= 0 {
			s.nodes[loser].load--
			list = slices.DeleteFunc(list, func(x seat) bool { return x.node == loser })
		}
		at, _ := slices.BinarySearchFunc(list, distance, func(x seat, d uint64) int { return cmp.Compare(x.distance, d) })
		list = slices.Insert(list, at, seat{node: node, distance: distance})
		s.seats[partition] = list
		if len(list) == s.replicas {
			s.limit[partition] = list[len(list)-1].distance
		}
	})
	s.reach = slices.Max(s.limit)
}

// visit calls f for each partition of which a node becomes an owner, with the
// node that it drives out, or -1. Distances are in proportion to the rank and
// the weight, which is what Pareto order sampling means for small shares.
func (s *seating) visit(e Entry, f func(partition int, distance uint64, loser int)) {
	keys, bits, weight := roundKeys(e.seed()), PartitionBits(s.partitions), weightOf(e)
	for rank := range uint64(s.partitions) {
		distance := (2*rank + 1) << 24 / weight
		if distance > s.reach {
			return
		}
		partition := permute(rank, keys, bits)
		if distance >= s.limit[partition] {
			continue
		}
		if loser, ok := s.loser(partition, distance, e.Rack); ok {
			f(partition, distance, loser)
		}
	}
}

// loser tells whether a node nearer than the limit becomes an owner, and which
// owner is one no more, or -1.
func (s *seating) loser(partition int, distance uint64, rack string) (int, bool) {
	list := s.seats[partition]
	for _, x := range list {
		if s.racks && s.nodes[x.node].rack == rack {
			return x.node, distance < x.distance
		}
	}
	if len(list) < s.replicas {
		return -1, true
	}
	return list[len(list)-1].node, true
}

// weightOf is the weight of a node, also of one that joins without.
func weightOf(e Entry) uint64 { return uint64(cmp.Or(e.WeightMilli, 1000)) }
