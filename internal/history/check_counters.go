package history

import (
	"fmt"
	"math"
	"strconv"
)

// maxSums bounds the exact check of a counter: the sums that subsets of its
// undecided increments can have.
const maxSums = 1 << 14

// CheckCounters reports counters that are not the sum of their acknowledged
// increments and of some of those that may have been applied: the unknown ones,
// and acknowledged ones that a reset or a delete may have observed. While these
// have few sums, the value must be one of them; else it must lie between the
// least and the greatest.
func CheckCounters(history []*Record, final State) *Report {
	r := &Report{}
	r.count(history)
	ops := group(history)
	for _, k := range final.keys(ops) {
		sums := sumsOf(ops[k])
		for dc := range final {
			got := final[dc][k].Integer
			found := Finding{DC: dc, Key: k, What: fmt.Sprintf("counter is %d, its increments make %v", got, sums)}
			switch {
			case got < sums.low:
				r.Lost = append(r.Lost, found)
			case got > sums.high, sums.exact != nil && !sums.exact[got]:
				r.Phantom = append(r.Phantom, found)
			}
		}
	}
	return r.sorted()
}

// sums is what a counter can be.
type sums struct {
	low, high int64
	exact     map[int64]bool // nil if there are too many
}

func (s sums) String() string {
	if s.low == s.high {
		return strconv.FormatInt(s.low, 10)
	}
	return fmt.Sprintf("%d to %d", s.low, s.high)
}

func sumsOf(w *writes) sums {
	s := sums{exact: map[int64]bool{0: true}}
	if w == nil {
		return s
	}
	cleared := lastOf(w.clears)
	certain := int64(0)
	for _, rec := range w.incrs {
		if rec.Outcome == OK && rec.Start > cleared {
			certain = plus(certain, rec.N)
			continue
		}
		s.low, s.high = plus(s.low, min(0, rec.N)), plus(s.high, max(0, rec.N))
		s.widen(rec.N)
	}
	s.low, s.high = plus(s.low, certain), plus(s.high, certain)
	shifted := make(map[int64]bool, len(s.exact))
	for n := range s.exact {
		shifted[plus(n, certain)] = true
	}
	if s.exact != nil {
		s.exact = shifted
	}
	return s
}

// widen adds an increment that was applied or not.
func (s *sums) widen(n int64) {
	if s.exact == nil || 2*len(s.exact) > maxSums {
		s.exact = nil
		return
	}
	more := make(map[int64]bool, 2*len(s.exact))
	for sum := range s.exact {
		more[sum], more[plus(sum, n)] = true, true
	}
	s.exact = more
}

// plus adds without leaving the range of an integer.
func plus(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
