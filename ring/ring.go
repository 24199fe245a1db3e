// Package ring owns the way from a key to the nodes that hold it: key, hash,
// partition, owners; what moves when the nodes change; and the ring document,
// in which the nodes of a datacenter agree on who they are.
//
// A Ring is a pure function of its members: every node that knows the same
// members computes the same owners, on any machine, in any order of input. The
// package does no I/O, reads no clock, and knows neither who is alive nor what
// a partition holds.
//
// # How owners are chosen
//
// Every node has one virtual node on every partition. How far away it lies is a
// matter of the node's own pseudo-random permutation of the partitions and its
// share: the k-th partition of the permutation is the k-th nearest. Owners of a
// partition are the nearest N, on distinct racks while racks last, passing over
// nodes that have as much as the load bound allows.
//
// Three things make the moves few and the loads even. Distances of a node are
// evenly spaced rather than drawn at random, so it has the same number of near
// partitions as any other of its weight, which takes two thirds of the variance
// away at N = 3 and leaves little for the load bound to do. Where the bound does
// bite, virtual nodes are taken nearest first over the whole ring, which is the
// stable matching of partitions and nodes: it does not depend on an order of
// processing, and a change travels along a short chain only. And distances are
// scaled as in Pareto order sampling, so that a node is chosen in proportion to
// its weight also when the weight is large.
//
// A permutation comes from a seed that is part of the member. For a node that
// joins, ChooseSeeds takes the one that leaves loads most even, so that the load
// bound has little to correct: what it corrects moves when the members change.
//
// Sources: Karger et al., Consistent Hashing and Random Trees, STOC 1997;
// Thaler and Ravishankar, Using Name-Based Mappings to Increase Hit Rates,
// IEEE/ACM Transactions on Networking 6(1), 1998 (the nearest of all nodes);
// Eisenbud et al., Maglev, NSDI 2016 (a permutation for each node); Mirrokni,
// Thorup, Zadimoghaddam, Consistent Hashing with Bounded Loads, SODA 2018;
// Rosén, On Sampling with Probability Proportional to Size, Journal of
// Statistical Planning and Inference 62, 1997 (Pareto order sampling).
package ring

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"
)

// The limits of a ring.
const (
	// MaxPartitions is the greatest number of partitions.
	MaxPartitions = 1 << 16
	// MaxReplicas is the greatest number of owners of a partition.
	MaxReplicas = 16
	// MaxMembers is the greatest number of nodes.
	MaxMembers = 4096
	// MaxWeight is the greatest weight of a node.
	MaxWeight = 1000.0
	// MinWeight is the least weight of a node, and the step between weights.
	MinWeight = 0.001
)

// ErrInvalid reports members or options of which no ring can be made.
var ErrInvalid = errors.New("ring: invalid")

// KeyHash returns the place of a key in the 64-bit key-hash space: the XXH3 of
// the bucket's length as a varint, the bucket, and the key. It is the same for
// ever: data on disk is ordered by it.
func KeyHash(bucket string, key []byte) uint64 {
	var buf [1 + 64 + 1024]byte // the longest bucket and key; longer ones allocate
	b := binary.AppendUvarint(buf[:0], uint64(len(bucket)))
	b = append(b, bucket...)
	return xxh3.Hash(append(b, key...))
}

// PartitionOf returns the partition that holds a key hash: the top bits of it.
// The number of partitions is a power of two.
func PartitionOf(hash uint64, partitions int) int {
	return int(hash >> (64 - PartitionBits(partitions)))
}

// PartitionBits returns how many bits of a key hash name its partition.
func PartitionBits(partitions int) int { return bits.Len(uint(max(partitions, 1))) - 1 }

// Member is one node as the ring sees it.
type Member struct {
	ID     string  // name of the node, unique in its datacenter; required
	Rack   string  // nodes of one rack fail together; all without one are one rack
	Weight float64 // how much it holds in relation to others; 0 means 1
	Seed   uint64  // of its permutation of the partitions; 0 means the hash of the ID
}

// seed returns the seed of the permutation, also where it comes from the ID.
func (m Member) seed() uint64 { return cmp.Or(m.Seed, xxh3.HashString(m.ID)) }

// Options configures New. Zero fields take the default named beside them.
type Options struct {
	Partitions int // number of partitions, a power of two up to MaxPartitions; 256
	Replicas   int // owners of a partition, up to MaxReplicas; 3
	// LoadBound is the greatest load of a node in relation to its share, 1.01 to
	// 4; 1.10. Where shares differ, or are below 20 replicas, up to 0.05 is added.
	LoadBound float64
}

func (o Options) withDefaults() (Options, error) {
	o.Partitions = cmp.Or(o.Partitions, 256)
	o.Replicas = cmp.Or(o.Replicas, 3)
	o.LoadBound = cmp.Or(o.LoadBound, 1.10)
	var errs []error
	if o.Partitions < 1 || o.Partitions > MaxPartitions || o.Partitions&(o.Partitions-1) != 0 {
		errs = append(errs, fmt.Errorf("%w: %d partitions: want a power of two, at most %d", ErrInvalid, o.Partitions, MaxPartitions))
	}
	if o.Replicas < 1 || o.Replicas > MaxReplicas {
		errs = append(errs, fmt.Errorf("%w: %d replicas: want 1 to %d", ErrInvalid, o.Replicas, MaxReplicas))
	}
	if !(o.LoadBound >= 1.01 && o.LoadBound <= 4) { // also catches NaN
		errs = append(errs, fmt.Errorf("%w: load bound %v: want 1.01 to 4", ErrInvalid, o.LoadBound))
	}
	return o, errors.Join(errs...)
}

// Ring says which nodes own which partition. It is immutable and safe for
// concurrent use. Make one with New.
type Ring struct {
	opts    Options
	members []Member // in the order of their IDs
	want    []uint64 // fair load of each, in 1/slot of a replica
	owners  [][]int32
	load    []int
	names   [][]string // owners by name, one backing array
}

// Share is the load of one node: the replicas that it owns.
type Share struct {
	Member   Member
	Want     float64 // its fair number of replicas, after what no placement can honour
	Replicas int     // the number that it owns
	// Ideal is the number of replicas in proportion to the weight alone. It
	// exceeds Want when no placement can honour the weight: a node cannot own a
	// partition twice, nor a rack one when there are others enough.
	Ideal float64
}

// New computes the ring of the members, whose order does not matter. All that
// is wrong is reported at once, as ErrInvalid. Without members the ring is
// empty and every partition has no owner.
func New(members []Member, o Options) (*Ring, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	members, err = checkMembers(members)
	if err != nil {
		return nil, err
	}
	r := &Ring{opts: o, members: members}
	place(r)
	total := 0
	for _, list := range r.owners {
		total += len(list)
	}
	backing := make([]string, 0, total)
	r.names = make([][]string, o.Partitions)
	for p, list := range r.owners {
		first := len(backing)
		for _, n := range list {
			backing = append(backing, members[n].ID)
		}
		r.names[p] = backing[first:len(backing):len(backing)]
	}
	return r, nil
}

// checkMembers returns a sorted copy with weights filled in.
func checkMembers(members []Member) ([]Member, error) {
	if len(members) > MaxMembers {
		return nil, fmt.Errorf("%w: %d members, want at most %d", ErrInvalid, len(members), MaxMembers)
	}
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	var errs []error
	for i := range members {
		m := &members[i]
		m.Weight = cmp.Or(m.Weight, 1)
		if m.ID == "" {
			errs = append(errs, fmt.Errorf("%w: a member has no id", ErrInvalid))
		}
		if i > 0 && m.ID == members[i-1].ID {
			errs = append(errs, fmt.Errorf("%w: member %q appears twice", ErrInvalid, m.ID))
		}
		if !(m.Weight >= MinWeight && m.Weight <= MaxWeight) {
			errs = append(errs, fmt.Errorf("%w: member %q has weight %v: want %v to %v", ErrInvalid, m.ID, m.Weight, MinWeight, MaxWeight))
		}
	}
	return members, errors.Join(errs...)
}

// Partitions returns the number of partitions.
func (r *Ring) Partitions() int { return r.opts.Partitions }

// Replicas returns the number of owners that a partition should have. It has
// fewer if there are fewer members.
func (r *Ring) Replicas() int { return r.opts.Replicas }

// Members returns a copy of the members in the order of their IDs.
func (r *Ring) Members() []Member { return slices.Clone(r.members) }

// Owners returns the owners of a partition, nearest first, and nil for a
// partition that does not exist. The slice belongs to the ring: do not change it.
func (r *Ring) Owners(partition int) []string {
	if partition < 0 || partition >= len(r.names) {
		return nil
	}
	return r.names[partition]
}

// OwnersOf returns the owners of a key, as Owners does.
func (r *Ring) OwnersOf(bucket string, key []byte) []string {
	return r.names[PartitionOf(KeyHash(bucket, key), r.opts.Partitions)]
}

// PartitionsOf returns the partitions that a node owns, in ascending order, and
// nil for a node that is not a member.
func (r *Ring) PartitionsOf(id string) []int {
	n, found := slices.BinarySearchFunc(r.members, id, func(m Member, id string) int { return cmp.Compare(m.ID, id) })
	if !found {
		return nil
	}
	out := make([]int, 0, r.load[n])
	for p, list := range r.owners {
		if slices.Contains(list, int32(n)) {
			out = append(out, p)
		}
	}
	return out
}

// Shares returns the load of every member, in the order of their IDs.
func (r *Ring) Shares() []Share {
	weights := 0.0
	for _, m := range r.members {
		weights += m.Weight
	}
	slots := float64(r.opts.Partitions * min(r.opts.Replicas, len(r.members)))
	out := make([]Share, len(r.members))
	for i, m := range r.members {
		out[i] = Share{
			Member: m, Want: float64(r.want[i]) / slot, Replicas: r.load[i],
			Ideal: slots * m.Weight / weights,
		}
	}
	return out
}

// Hash returns a fingerprint of the owners of all partitions: two nodes with
// equal hashes agree on the ring.
func (r *Ring) Hash() uint64 {
	h := xxh3.New()
	var size [4]byte
	for _, list := range r.names {
		binary.BigEndian.PutUint32(size[:], uint32(len(list)))
		_, _ = h.Write(size[:]) // a hash never fails
		for _, id := range list {
			binary.BigEndian.PutUint32(size[:], uint32(len(id)))
			_, _ = h.Write(size[:])
			_, _ = h.WriteString(id)
		}
	}
	return h.Sum64()
}

// milli returns a weight as a whole number of steps, because sums of whole
// numbers are the same on every processor.
func milli(weight float64) uint64 { return max(1, uint64(math.Round(weight*1000))) }
