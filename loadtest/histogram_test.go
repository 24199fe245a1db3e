package loadtest

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Every quantile is within a thousandth of that of the sorted numbers, and
// never below it.
func TestHistogramIsNearTheTruth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	h := newHistogram(10, mostMicros)
	var all []int64
	for range 20_000 {
		v := int64(r.ExpFloat64() * 5000)
		if r.IntN(100) == 0 {
			v *= 1000
		}
		v = min(v, mostMicros)
		h.add(v)
		all = append(all, v)
	}
	slices.Sort(all)
	for _, tt := range []struct {
		p float64
		i int
	}{{0, 0}, {50, 9_999}, {90, 17_999}, {99, 19_799}, {99.9, 19_979}, {100, 19_999}} {
		want, got := all[tt.i], h.at(tt.p)
		if got < want || float64(got) > float64(want)*1.001+1 {
			t.Errorf("p%v is %d, the numbers have %d", tt.p, got, want)
		}
	}
}

func TestHistogramSteps(t *testing.T) {
	h := newHistogram(7, mostMicros)
	for _, v := range []int64{0, 1, 127, 128, 255, 256, 257, 1000, 65_535, 65_536, mostMicros} {
		i := h.index(v)
		if last := h.last(i); last < v || float64(last-v) > float64(v)/128 {
			t.Errorf("%d is in a step that ends at %d", v, last)
		}
		if i > 0 && h.last(i-1) >= v {
			t.Errorf("%d is in step %d, and the one before ends at %d", v, i, h.last(i-1))
		}
	}
}

func TestHistogramAtItsEdges(t *testing.T) {
	h := newHistogram(7, 1000)
	if h.at(50) != 0 {
		t.Error("an empty histogram has a median")
	}
	h.add(-5)
	h.add(5000)
	if h.at(0) != 0 || h.at(100) != 1000 || h.n != 2 {
		t.Errorf("from %d to %d, %d numbers; want 0 to 1000, 2", h.at(0), h.at(100), h.n)
	}
	o := newHistogram(7, 1000)
	o.add(7)
	o.merge(h)
	if o.n != 3 || o.at(50) != 7 || o.greatest != 1000 {
		t.Errorf("merged: %d numbers, median %d, most %d", o.n, o.at(50), o.greatest)
	}
	o.reset()
	if o.n != 0 || o.at(100) != 0 {
		t.Error("reset left something")
	}
}
