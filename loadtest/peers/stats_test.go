package main

import (
	"errors"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	tests := []struct {
		name string
		of   []float64
		want spread
	}{
		{"none", nil, spread{}},
		{"one", []float64{7}, spread{7, 7, 7}},
		{"three in any order", []float64{9, 1, 4}, spread{4, 1, 9}},
		{"four: the mean of the middle", []float64{8, 1, 2, 4}, spread{3, 1, 8}},
	}
	for _, tt := range tests {
		if got := spreadOf(tt.of); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// rated returns samples of one second with so many operations.
func rated(ops ...int64) []sample {
	var out []sample
	for _, n := range ops {
		out = append(out, sample{ops: n, took: time.Second, times: newTimes()})
	}
	return out
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	// The third round was slow for both: what counts is that one was twice as fast.
	if got, want := ratios(rated(200, 300, 20), rated(100, 100, 10)), (spread{2, 2, 3}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := ratios(rated(200, 0, 40), rated(100, 100, 0)), (spread{2, 2, 2}); got != want {
		t.Errorf("rounds without an operation: got %v, want %v", got, want)
	}
	if got := ratios(nil, rated(1)); got != (spread{}) {
		t.Errorf("no rounds: got %v", got)
	}
}

func TestEqualRates(t *testing.T) {
	for median, want := range map[float64]bool{1: true, 1.29: true, 1.3: false, 0.77: true, 0.76: false, 4: false} {
		if got := (spread{median: median}).equal(); got != want {
			t.Errorf("a ratio of %v is equal: %v, want %v", median, got, want)
		}
	}
}

func TestRow(t *testing.T) {
	r := row{samples: rated(100, 400, 200)}
	for i, cpu := range []string{"5ms", "20ms", "8ms"} { // 50, 50 and 40 µs each
		r.samples[i].cpu, _ = time.ParseDuration(cpu)
		r.samples[i].client = time.Duration(r.samples[i].ops) * time.Microsecond
		for range 33 {
			record(r.samples[i].times, time.Duration(i+1)*time.Millisecond)
		}
	}
	record(r.samples[0].times, 100*time.Millisecond)
	r.samples[1].faults = faults{errors: 2, first: errors.New("refused")}
	r.samples[2].faults = faults{lost: 1, first: errors.New("gone")}
	if got, want := r.rates(), (spread{200, 100, 400}); got != want {
		t.Errorf("rates %v, want %v", got, want)
	}
	if servers, clients := r.perOp(); servers != 50*time.Microsecond || clients != time.Microsecond {
		t.Errorf("CPU of an operation %v and %v, want 50 µs and 1 µs", servers, clients)
	}
	near := func(p float64, want time.Duration) {
		t.Helper()
		if got := r.at(p); got < want*99/100 || got > want*101/100 {
			t.Errorf("p%v is %v, want %v within a hundredth", p, got, want)
		}
	}
	near(50, 2*time.Millisecond)
	near(99, 3*time.Millisecond)
	near(100, 100*time.Millisecond)
	if f := r.faults(); f.errors != 2 || f.lost != 1 || f.first.Error() != "refused" {
		t.Errorf("faults %+v, want 2 errors, 1 lost, the first refused", f)
	}
}

func TestNothingMeasured(t *testing.T) {
	r := row{samples: rated(0)}
	if servers, clients := r.perOp(); servers != 0 || clients != 0 || r.rates() != (spread{}) || r.at(99) != 0 {
		t.Error("a round without operations has figures")
	}
	if got := (&sample{}).rate(); got != 0 {
		t.Errorf("a measurement that took no time has a rate of %v", got)
	}
}

func TestTimesOutOfRange(t *testing.T) {
	h := newTimes()
	record(h, 0)
	record(h, time.Hour)
	if h.TotalCount() != 2 || h.Min() != 1 || h.Max() < 59_000_000 {
		t.Errorf("counted %d from %d to %d µs, want both ends of the range", h.TotalCount(), h.Min(), h.Max())
	}
}
