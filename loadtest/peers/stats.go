package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// equalWithin is how far apart two rates must be to count as different: on
// machines with neighbours anything less is chance.
const equalWithin = 1.3

// sample is one measurement: one way of asking one system in one round.
type sample struct {
	ops    int64         // that succeeded
	took   time.Duration // of the measurement
	times  *hdrhistogram.Histogram
	cpu    time.Duration // of the system's servers; -1 unknown
	client time.Duration // CPU of this process
	faults faults
}

// faults are what went wrong in a measurement.
type faults struct {
	errors int64 // calls that returned one
	wrong  int64 // reads that showed what the key cannot hold
	late   int64 // of a sample read after the writes: right only when asked again
	lost   int64 // of that sample: never right
	read   int64 // how many were in the sample
	first  error // of all these; nil if nothing went wrong
}

func (f *faults) add(o faults) {
	f.errors += o.errors
	f.wrong += o.wrong
	f.late += o.late
	f.lost += o.lost
	f.read += o.read
	if f.first == nil {
		f.first = o.first
	}
}

// rate is operations a second.
func (s *sample) rate() float64 {
	if s.took <= 0 {
		return 0
	}
	return float64(s.ops) / s.took.Seconds()
}

// perOp is the servers' CPU for one operation, and that of this process.
func (s *sample) perOp() (servers, client time.Duration) {
	if s.ops == 0 {
		return 0, 0
	}
	return s.cpu / time.Duration(s.ops), s.client / time.Duration(s.ops)
}

// spread is the middle of some figures and the least and the greatest.
type spread struct{ median, least, most float64 }

// spreadOf returns the spread of figures; of an even number the median is the
// mean of the two in the middle. The zero spread is that of none.
func spreadOf(v []float64) spread {
	if len(v) == 0 {
		return spread{}
	}
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return spread{median: (v[(n-1)/2] + v[n/2]) / 2, least: v[0], most: v[n-1]}
}

// ratios divides the rates of one system by those of another, round by round:
// what slows a round down slows both. Rounds in which either has none are left
// out.
func ratios(over, under []sample) spread {
	var v []float64
	for i := range min(len(over), len(under)) {
		if a, b := over[i].rate(), under[i].rate(); a > 0 && b > 0 {
			v = append(v, a/b)
		}
	}
	return spreadOf(v)
}

// equal tells whether a ratio is too near to one to mean anything.
func (s spread) equal() bool { return s.median < equalWithin && s.median > 1/equalWithin }

// row is what the rounds say of one way of asking one system.
type row struct {
	turn    turn
	samples []sample // by round
}

func (r *row) rates() spread {
	var v []float64
	for i := range r.samples {
		v = append(v, r.samples[i].rate())
	}
	return spreadOf(v)
}

// perOp is the median over the rounds.
func (r *row) perOp() (servers, client time.Duration) {
	var s, c []float64
	for i := range r.samples {
		server, client := r.samples[i].perOp()
		s, c = append(s, float64(server)), append(c, float64(client))
	}
	return time.Duration(spreadOf(s).median), time.Duration(spreadOf(c).median)
}

// at is the time that p of 100 operations of all rounds did not exceed.
func (r *row) at(p float64) time.Duration {
	all := newTimes()
	for i := range r.samples {
		all.Merge(r.samples[i].times)
	}
	return time.Duration(all.ValueAtQuantile(p)) * time.Microsecond
}

func (r *row) faults() faults {
	var f faults
	for i := range r.samples {
		f.add(r.samples[i].faults)
	}
	return f
}

// newTimes returns an empty histogram of microseconds up to a minute, each
// within a hundredth.
func newTimes() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Minute.Microseconds(), 2)
}

// record counts the time of an operation; one out of range as the nearest in it.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue())) // it is in range
}

// byTurn sorts rows as tables have them: by concurrency, workload and the order
// in which systems were named.
func byTurn(a, b row) int {
	return cmp.Or(cmp.Compare(a.turn.concurrency, b.turn.concurrency), cmp.Compare(a.turn.order, b.turn.order))
}
