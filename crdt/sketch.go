package crdt

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// A sketch is a HyperLogLog: of all elements that were observed, each register
// keeps the greatest rank among those that fall to it. Merging takes the greater
// of each. The zero sketch has observed nothing. The standard error of its
// estimate is 1.04/sqrt(registers), or 0.81 %.
// Sources: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a
// near-optimal cardinality estimation algorithm" (AofA 2007); Ertl, "New
// cardinality estimation algorithms for HyperLogLog sketches" (arXiv 1702.01284).
type sketch [registers]uint8

const (
	indexBits = 14
	registers = 1 << indexBits
	rankBits  = 6
	maxRank   = 64 - indexBits + 1

	// The first byte of a payload. A sparse one goes on with a varint for each
	// register that is not zero, (registers left out << rankBits | rank); a dense
	// one with all registers of rankBits each. The shorter of the two is used,
	// dense where they are equal.
	sparseTag = 0
	denseTag  = 1

	denseBytes = registers * rankBits / 8
)

// sketchHash is stored for ever in what it did to sketches: it never changes.
func sketchHash(element string) uint64 { return xxh3.HashString(element) }

// observe takes an element in and reports whether the sketch has changed.
func (s *sketch) observe(element string) bool {
	h := sketchHash(element)
	i := h >> (64 - indexBits)
	rank := uint8(bits.LeadingZeros64(h<<indexBits|1<<(indexBits-1)) + 1)
	if rank <= s[i] {
		return false
	}
	s[i] = rank
	return true
}

// merge takes the greater of each register.
func (s *sketch) merge(i int, rank uint8) { s[i] = max(s[i], rank) }

// encode is canonical: one sketch, one encoding.
func (s *sketch) encode() []byte {
	b := append(make([]byte, 0, 64), sparseTag)
	next := 0
	for i, rank := range s {
		if rank == 0 {
			continue
		}
		if b = binary.AppendUvarint(b, sparseCode(i-next, rank)); len(b) > denseBytes {
			return s.encodeDense()
		}
		next = i + 1
	}
	return b
}

func sparseCode(gap int, rank uint8) uint64 { return uint64(gap)<<rankBits | uint64(rank) }

func (s *sketch) encodeDense() []byte {
	b := append(make([]byte, 0, 1+denseBytes), denseTag)
	for i := 0; i < registers; i += 4 { // four registers fill three bytes
		word := uint32(s[i])<<18 | uint32(s[i+1])<<12 | uint32(s[i+2])<<6 | uint32(s[i+3])
		b = append(b, byte(word>>16), byte(word>>8), byte(word))
	}
	return b
}

// eachRegister calls fn for the registers of a payload that are not zero, in
// order. It refuses what encode does not make, and may have called fn by then.
// It keeps no memory, for payloads come from strangers.
func eachRegister(payload []byte, fn func(i int, rank uint8)) error {
	r := reader{b: payload}
	switch tag := r.byte("sketch"); {
	case r.err != nil:
	case tag == sparseTag:
		r.sparse(fn)
	case tag == denseTag:
		r.dense(fn)
	default:
		r.fail("unknown form of a sketch")
	}
	return r.done("sketch")
}

func (r *reader) sparse(fn func(i int, rank uint8)) {
	if r.left() == 0 {
		r.fail("sketch that has observed nothing")
	}
	if r.left() >= denseBytes {
		r.fail("sparse sketch that is shorter dense")
	}
	for next := uint64(0); r.left() > 0; next++ {
		code := r.uvarint("register")
		rank := uint8(code & (1<<rankBits - 1))
		if next += code >> rankBits; next >= registers || rank == 0 || rank > maxRank {
			r.fail("register is out of bounds")
			return
		}
		fn(int(next), rank)
	}
}

func (r *reader) dense(fn func(i int, rank uint8)) {
	if r.left() != denseBytes {
		r.fail("dense sketch of a wrong length")
		return
	}
	packed, sparse, next := r.b[r.at:], 0, 0
	for i := range registers {
		at := i / 4 * 3
		word := uint32(packed[at])<<16 | uint32(packed[at+1])<<8 | uint32(packed[at+2])
		rank := uint8(word >> (rankBits * (3 - i%4)) & (1<<rankBits - 1))
		if rank == 0 {
			continue
		}
		if rank > maxRank {
			r.fail("register is out of bounds")
			return
		}
		sparse += (bits.Len64(sparseCode(i-next, rank)) + 6) / 7
		next = i + 1
		fn(i, rank)
	}
	if r.at = len(r.b); sparse < denseBytes {
		r.fail("dense sketch that is shorter sparse")
	}
}

// estimate is how many different elements were observed: Ertl's improved raw
// estimator (algorithm 6), which needs neither a table nor a switch between
// small and large, and is all but exact while elements are few.
func (s *sketch) estimate() uint64 {
	var count [maxRank + 1]int
	for _, rank := range s {
		count[rank]++
	}
	const m = float64(registers)
	if count[0] == registers {
		return 0
	}
	z := m * tau(1-float64(count[maxRank])/m)
	for k := maxRank - 1; k >= 1; k-- {
		z = 0.5 * (z + float64(count[k]))
	}
	z += float64(m * sigma(float64(count[0])/m)) // a conversion keeps every machine from fusing the two
	return uint64(math.Round(min(m*m/(2*math.Ln2)/z, 1<<63)))
}

// sigma is x + the sum of x^(2^k) * 2^(k-1) over k from 1.
func sigma(x float64) float64 {
	y, z := 1.0, x
	for {
		x *= x
		before := z
		z += float64(x * y)
		y += y
		if z == before {
			return z
		}
	}
}

// tau is (1 - x - the sum of (1-x^(2^-k))^2 * 2^-k over k from 1) / 3.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		before := z
		y *= 0.5
		z -= float64((1-x)*(1-x)) * y
		if z == before {
			return z / 3
		}
	}
}
