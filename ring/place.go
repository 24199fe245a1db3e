package ring

import (
	"container/heap"
	"math"
	"slices"
)

// placement chooses owners. It lives only while New runs.
type placement struct {
	ring     *Ring
	replicas int // min of the option and the members
	rackOf   []int
	room     []int // replicas that each member may still take
	left     []int // owners of each partition that may still be on a rack already used
	missing  int   // owners still to be found, over all partitions
	nodes    []walk
}

// place fills in want, owners and load of a ring.
func place(r *Ring) {
	r.owners = make([][]int32, r.opts.Partitions)
	r.load = make([]int, len(r.members))
	if len(r.members) == 0 {
		return
	}
	p := newPlacement(r)
	p.takeNearest()
	p.makeRoom()
	p.exceed()
}

func newPlacement(r *Ring) *placement {
	n, partitions := len(r.members), r.opts.Partitions
	p := &placement{
		ring: r, replicas: min(r.opts.Replicas, n),
		rackOf: make([]int, n), room: make([]int, n), nodes: make([]walk, n), left: make([]int, partitions),
	}
	names := make(map[string]int)
	for i, m := range r.members {
		rack, known := names[m.Rack]
		if !known {
			rack = len(names)
			names[m.Rack] = rack
		}
		p.rackOf[i] = rack
	}
	p.missing = partitions * p.replicas
	for i := range p.left {
		p.left[i] = p.replicas - min(p.replicas, len(names))
	}
	r.want = fairLoads(r.members, p.rackOf, len(names), partitions, p.replicas)
	uneven := unevenness(r.want)
	for i, m := range r.members {
		p.room[i] = capacity(r.want[i], r.opts.LoadBound, uneven, partitions)
		p.nodes[i] = newWalk(m.seed(), i, partitions, r.want[i])
	}
	backing := make([]int32, 0, p.missing)
	for i := range r.owners {
		r.owners[i] = backing[i*p.replicas : i*p.replicas : (i+1)*p.replicas]
	}
	return p
}

// What the load bound leaves above a share of 20 replicas is one or two
// replicas, and a node without slack passes on every change of its neighbours.
// Hence some nodes get extraSlack more than the bound: those with a share of
// less than smallShare replicas, and where shares differ all nodes, though none
// more than extraReplicas, because a large share has slack enough.
const (
	smallShare    = 20
	extraSlack    = 0.05
	extraReplicas = 2
)

// capacity is the greatest load of a node: its share times the bound and what
// it gets in addition, but at least its share rounded up. The bound of a node
// must not follow its share in smaller steps than whole replicas: with caps that
// fall a little with every node that joins, more moves, not less.
func capacity(want uint64, bound, uneven float64, partitions int) int {
	share := float64(want) / slot
	extra := uneven * min(extraSlack, extraReplicas/share)
	if share < smallShare {
		extra = extraSlack
	}
	atLeast := int(math.Ceil(share - 0.001))      // shares are rounded down a little
	most := int(share * (bound + float64(extra))) // the conversion forbids to fuse, so that all processors round alike
	return min(partitions, max(atLeast, most))
}

// takeNearest lets every virtual node, nearest first over the whole ring, own
// its partition if it may. A node without room takes part no more.
func (p *placement) takeNearest() {
	h := walks(p.nodes)
	heap.Init(&h)
	for len(h) > 0 && p.missing > 0 {
		w := &h[0]
		if partition := w.partition(); p.mayOwn(w.node, partition) {
			p.own(w.node, partition)
		}
		if p.room[w.node] == 0 || !w.next() {
			heap.Pop(&h)
			continue
		}
		heap.Fix(&h, 0)
	}
}

// mayOwn tells whether a node may become an owner of a partition, its load aside.
func (p *placement) mayOwn(node, partition int) bool {
	owners := p.ring.owners[partition]
	if len(owners) == p.replicas {
		return false
	}
	used := false
	for _, o := range owners {
		if int(o) == node {
			return false
		}
		used = used || p.rackOf[o] == p.rackOf[node]
	}
	return !used || p.left[partition] > 0
}

func (p *placement) rackUsed(node, partition int) bool {
	return slices.ContainsFunc(p.ring.owners[partition], func(o int32) bool { return p.rackOf[o] == p.rackOf[node] })
}

func (p *placement) own(node, partition int) {
	if p.rackUsed(node, partition) {
		p.left[partition]--
	}
	p.ring.owners[partition] = append(p.ring.owners[partition], int32(node))
	p.ring.load[node]++
	p.room[node]--
	p.missing--
}

// makeRoom serves partitions that are short of owners because every node that
// may own them is full: such a node hands one of its partitions to a node with
// room. This happens with few nodes or few racks only.
func (p *placement) makeRoom() {
	for partition := range p.ring.owners {
		for len(p.ring.owners[partition]) < p.replicas && p.swapInto(partition) {
			continue
		}
	}
}

func (p *placement) swapInto(partition int) bool {
	for _, full := range p.byHash(partition) {
		if !p.mayOwn(full, partition) {
			continue
		}
		for _, other := range p.byHash(partition) {
			if p.room[other] > 0 && p.handOver(full, other) {
				p.own(full, partition)
				return true
			}
		}
	}
	return false
}

// handOver moves one partition from a full node to one with room, if there is
// one that the other may take.
func (p *placement) handOver(full, other int) bool {
	for q, owners := range p.ring.owners {
		i := slices.Index(owners, int32(full))
		if i < 0 || slices.Contains(owners, int32(other)) {
			continue
		}
		if p.rackOf[full] != p.rackOf[other] && p.rackUsed(other, q) {
			continue
		}
		owners[i] = int32(other)
		p.ring.load[full]--
		p.ring.load[other]++
		p.room[full]++
		p.room[other]--
		return true
	}
	return false
}

// exceed completes what is still short. Distinct racks are kept in preference
// to the load bound, and the number of owners in preference to both.
func (p *placement) exceed() {
	for partition, owners := range p.ring.owners {
		if len(owners) == p.replicas {
			continue
		}
		for _, keepRacks := range []bool{true, false} {
			for _, node := range p.byHash(partition) {
				if !keepRacks && !slices.Contains(p.ring.owners[partition], int32(node)) {
					p.left[partition] = 1
				}
				if p.mayOwn(node, partition) {
					p.own(node, partition)
				}
			}
		}
	}
}

// byHash returns all nodes in an order that depends on the partition.
func (p *placement) byHash(partition int) []int {
	out := make([]int, len(p.rackOf))
	for i := range out {
		out[i] = i
	}
	key := func(n int) uint64 { return mix(p.ring.members[n].seed() ^ mix(uint64(partition))) }
	slices.SortFunc(out, func(a, b int) int {
		if ka, kb := key(a), key(b); ka < kb {
			return -1
		} else if ka > kb {
			return 1
		}
		return 0
	})
	return out
}

// walk goes over the virtual nodes of one node, nearest first.
type walk struct {
	node     int
	seed     uint64
	bits     int
	rank     uint64
	scale    float64 // (1-share)/share, where share is a part of the partitions
	distance float64
	tie      uint64
}

// leastScale is the scale of a node that owns a part of everything: less than that
// of any other, and not 0, or only chance would tell which of its partitions are near.
const leastScale = 0x1p-40

func newWalk(seed uint64, node, partitions int, want uint64) walk {
	each := uint64(partitions) * slot
	w := walk{node: node, seed: seed, bits: PartitionBits(partitions)}
	w.scale = max(float64(each-min(want, each))/float64(max(want, 1)), leastScale)
	w.measure()
	return w
}

// partition returns where the virtual node lies: a permutation of the
// partitions that depends on the node's seed alone.
func (w *walk) partition() int { return permute(w.rank, roundKeys(w.seed), w.bits) }

func roundKeys(seed uint64) (keys [4]uint64) {
	for round := range keys {
		keys[round] = mix(seed + uint64(round)*0x9E3779B97F4A7C15)
	}
	return keys
}

// permute is a permutation of the numbers of that many bits. Each round is a
// bijection of them.
func permute(x uint64, keys [4]uint64, bits int) int {
	mask := uint64(1)<<bits - 1
	half := (bits + 1) / 2
	for _, k := range keys {
		x = (x + k>>8) & mask
		x = x * (k | 1) & mask
		x ^= x >> half
	}
	return int(x)
}

// measure sets the distance of the virtual node at hand: the ranking variable
// of Pareto order sampling, u/(1-u) divided by that of the share, with u evenly
// spaced. There is no addition after a multiplication, so that no processor
// fuses the two and rounds otherwise.
func (w *walk) measure() {
	n := uint64(1) << w.bits
	w.distance = float64(2*w.rank+1) * w.scale / float64(2*n-2*w.rank-1)
	w.tie = mix(w.seed ^ mix(w.rank))
}

// next goes on to the next virtual node and tells whether there is one.
func (w *walk) next() bool {
	w.rank++
	if w.rank>>w.bits != 0 {
		return false
	}
	w.measure()
	return true
}

// walks is a heap of walks, nearest virtual node first.
type walks []walk

func (h walks) Len() int { return len(h) }

func (h walks) Less(i, j int) bool {
	a, b := &h[i], &h[j]
	if a.distance != b.distance {
		return a.distance < b.distance
	}
	if a.tie != b.tie {
		return a.tie < b.tie
	}
	return a.node < b.node // nodes are in the order of their IDs
}

func (h walks) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is there for heap.Interface; nothing is ever pushed.
func (h *walks) Push(any) {}

func (h *walks) Pop() any {
	*h = (*h)[:len(*h)-1]
	return nil
}

// mix is the finalizer of SplitMix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}
