package loadtest

import (
	"math"
	"math/bits"
)

// histogram counts whole numbers from 0 to most, in steps that grow with the
// numbers: within 1/2^precision of each is all that it tells apart. The form is
// that of HdrHistogram (Tene 2012): linear below, then as many steps for every
// power of two. Not safe for concurrent use.
type histogram struct {
	precision int
	most      int64
	counts    []int64
	n         int64
	greatest  int64
}

func newHistogram(precision int, most int64) *histogram {
	h := &histogram{precision: precision, most: most}
	h.counts = make([]int64, h.index(most)+1)
	return h
}

// index is the step that a number falls into.
func (h *histogram) index(v int64) int {
	shift := max(0, bits.Len64(uint64(v))-h.precision-1)
	return shift<<h.precision + int(v>>shift)
}

// last is the greatest number of a step.
func (h *histogram) last(index int) int64 {
	shift := max(0, index>>h.precision-1)
	return (int64(index-shift<<h.precision)+1)<<shift - 1
}

// add counts a number; one out of range counts as the nearest in it.
func (h *histogram) add(v int64) {
	v = min(max(v, 0), h.most)
	h.counts[h.index(v)]++
	h.n++
	h.greatest = max(h.greatest, v)
}

// merge adds what another histogram of the same form counted.
func (h *histogram) merge(o *histogram) {
	if o.n == 0 {
		return
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n += o.n
	h.greatest = max(h.greatest, o.greatest)
}

func (h *histogram) reset() {
	if h.n > 0 {
		clear(h.counts)
	}
	h.n, h.greatest = 0, 0
}

// at is the number that p of 100 are not above; 0 of an empty histogram.
func (h *histogram) at(p float64) int64 {
	if h.n == 0 {
		return 0
	}
	want := max(1, int64(math.Ceil(p/100*float64(h.n))))
	sum := int64(0)
	for i, n := range h.counts {
		if sum += n; sum >= want {
			return min(h.last(i), h.greatest)
		}
	}
	return h.greatest
}
