package ring

import "math/bits"

// slot is one replica in the fixed-point unit of shares.
const slot = 1 << 20

// claim is one taker of a total: it wants a part in proportion to its weight,
// but not less than lo nor more than hi.
type claim struct {
	weight uint64
	lo, hi uint64
}

// part is what the claim takes at a level, in units of total a unit of weight,
// with 20 bits after the point.
func (c claim) part(level uint64) uint64 {
	high, low := bits.Mul64(c.weight, level)
	if high>>20 != 0 {
		return c.hi
	}
	return min(max(high<<44|low>>20, c.lo), c.hi)
}

// divide returns the parts of a total: in proportion to the weights as far as
// the bounds allow. Parts are rounded down, so their sum may be a little less
// than the total; it differs by much only if the bounds leave no choice. It
// computes in whole numbers, because every processor must get the same.
func divide(total uint64, claims []claim) []uint64 {
	sum := func(level uint64) (n uint64) {
		for _, c := range claims {
			n += c.part(level)
		}
		return n
	}
	var level uint64 // the greatest at which the sum does not exceed the total
	for bit := uint64(1) << 62; bit > 0; bit >>= 1 {
		if sum(level|bit) <= total {
			level |= bit
		}
	}
	parts := make([]uint64, len(claims))
	for i, c := range claims {
		parts[i] = c.part(level)
	}
	return parts
}

// fairLoads returns the share of each member, in 1/slot of a replica: first
// racks divide all replicas by their weight, then the nodes of a rack its part.
// A node owns a partition at most once, and so does a rack while there are as
// many racks as owners; with fewer racks each owns every partition at least once.
func fairLoads(members []Member, rackOf []int, racks, partitions, replicas int) []uint64 {
	each := uint64(partitions) * slot
	inRack := make([]claim, racks)
	for i, m := range members {
		inRack[rackOf[i]].weight += milli(m.Weight)
		inRack[rackOf[i]].hi += each // as many as it has nodes
	}
	for i := range inRack {
		if racks >= replicas {
			inRack[i].hi = each
		} else {
			inRack[i].lo = each
			inRack[i].hi = min(inRack[i].hi, each*uint64(replicas-racks+1))
		}
	}
	parts := divide(each*uint64(replicas), inRack)
	out := make([]uint64, len(members))
	for rack, part := range parts {
		var nodes []int
		var claims []claim
		for i, m := range members {
			if rackOf[i] == rack {
				nodes = append(nodes, i)
				claims = append(claims, claim{weight: milli(m.Weight), hi: each})
			}
		}
		for j, share := range divide(part, claims) {
			out[nodes[j]] = share
		}
	}
	return out
}

// Shares differ from the first squared coefficient of variation on, fully from
// the second. One node of twice the weight among 20 makes 0.05, as many nodes of
// weight 2 as of weight 1 make 0.11.
const (
	nearlyEven = 0.05
	uneven     = 0.15
)

// unevenness tells how much shares differ, from 0, equal or nearly so, to 1. It
// rises gradually, so that one change of weight does not change what the load
// bound means to every node at once. The sums have no product that a processor
// may fuse with an addition, which would round otherwise.
func unevenness(shares []uint64) float64 {
	sum, squares := 0.0, 0.0
	for _, s := range shares {
		replicas := float64(s) / slot
		sum += replicas
		squares += float64(replicas * replicas)
	}
	variation := float64(len(shares))*squares/float64(sum*sum) - 1
	return min(1, max(0, (variation-nearlyEven)/(uneven-nearlyEven)))
}
