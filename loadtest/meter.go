package loadtest

import (
	"sync"
	"time"

	"github.com/godwitdb/godwit/client"
)

// What histograms hold, in microseconds.
const (
	mostMicros = 120_000_000
	totalBits  = 10 // a thousandth
	sliceBits  = 7  // a hundredth
	maxReasons = 16 // of errors that are told apart
)

func newTotal() *histogram  { return newHistogram(totalBits, mostMicros) }
func newBucket() *histogram { return newHistogram(sliceBits, mostMicros) }

// observe adds a time to a histogram.
func observe(h *histogram, d time.Duration) { h.add(d.Microseconds()) }

// meter measures one operation at one datacenter. Safe for concurrent use.
type meter struct {
	dc, op string
	write  bool

	mu      sync.Mutex
	latency *histogram // since they were due, of those that were answered
	service *histogram // since they were begun
	misses  int64
	errors  int64
	reasons map[string]int64

	bucket       *histogram // of the slice of time under way
	bucketErrors int64
}

func newMeter(dc, op string, write bool) *meter {
	return &meter{dc: dc, op: op, write: write, latency: newTotal(), service: newTotal(), bucket: newBucket(), reasons: map[string]int64{}}
}

// add notes an operation that ended. What was due before the run measures goes
// into slices of time only.
func (m *meter) add(due, began, end time.Time, err error, r *run) {
	missed := client.IsNotFound(err)
	failed := err != nil && !missed
	m.mu.Lock()
	defer m.mu.Unlock()
	measured := !due.Before(r.origin)
	if failed {
		m.bucketErrors++
		if measured {
			m.errors++
			m.reason(err)
		}
		return
	}
	observe(m.bucket, end.Sub(due))
	if !measured {
		return
	}
	if missed {
		m.misses++
	}
	observe(m.latency, end.Sub(due))
	observe(m.service, end.Sub(began))
}

func (m *meter) reason(err error) {
	name := client.ReasonOf(err)
	if name == "" {
		name = client.CodeOf(err).String()
	}
	if _, known := m.reasons[name]; !known && len(m.reasons) >= maxReasons {
		name = "other"
	}
	m.reasons[name]++
}

// rotate adds what was measured since the last time to each of into, and tells
// how many operations that were, and how many more failed.
func (m *meter) rotate(into ...*histogram) (answered, failed int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range into {
		h.merge(m.bucket)
	}
	answered, failed = m.bucket.n, m.bucketErrors
	m.bucket.reset()
	m.bucketErrors = 0
	return answered, failed
}

func pointOf(h *histogram, errors int64) Point {
	p := Point{Count: h.n, Errors: errors}
	if p.Count > 0 {
		p.P50, p.P99, p.Max = msOf(h.at(50)), msOf(h.at(99)), msOf(h.greatest)
	}
	return p
}

// msOf is a number of microseconds in milliseconds, rounded to microseconds.
func msOf(micros int64) float64 { return float64(micros) / 1000 }

// durationMS is a duration in milliseconds, rounded to microseconds.
func durationMS(d time.Duration) float64 { return msOf(d.Microseconds()) }

// quantiles of a histogram; all 0 if it is empty.
func quantiles(h *histogram) Latency {
	if h.n == 0 {
		return Latency{}
	}
	at := func(p float64) float64 { return msOf(h.at(p)) }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: msOf(h.greatest)}
}

// curve is a histogram as a line: the latency at percentiles that lie ever
// nearer to 100.
func curve(h *histogram) [][2]float64 {
	if h.n == 0 {
		return nil
	}
	var out [][2]float64
	for _, p := range []float64{0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 99.995, 99.999} {
		if (100-p)/100*float64(h.n) < 1 {
			break
		}
		out = append(out, [2]float64{p, msOf(h.at(p))})
	}
	return append(out, [2]float64{100, msOf(h.greatest)})
}

// result is what was measured in so many seconds.
func (m *meter) result(seconds float64) OperationResult {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.latency.n
	r := OperationResult{
		DC: m.dc, Op: m.op, Write: m.write, Count: n, Errors: m.errors, Misses: m.misses,
		Latency: quantiles(m.latency), Service: quantiles(m.service), Curve: curve(m.latency), Reasons: m.reasons,
	}
	if seconds > 0 {
		r.Rate = float64(n) / seconds
	}
	return r
}
