package gossip

import (
	"math"
	"testing"
	"time"
)

// heartbeats tells p of arrivals with these pauses between them and returns the
// moment of the last.
func heartbeats(p *Phi, pauses ...time.Duration) time.Time {
	at := time.UnixMilli(1_000_000)
	p.Heard(at)
	for _, d := range pauses {
		at = at.Add(d)
		p.Heard(at)
	}
	return at
}

func every(d time.Duration, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = d
	}
	return out
}

func TestPhi(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name   string
		pauses []time.Duration
		silent time.Duration
		want   float64
	}{
		{"nothing is suspicious about the mean pause", every(500*ms, 100), 500 * ms, 0.30103},
		{"three deviations late", every(500*ms, 100), 800 * ms, 2.8697},
		{"a second of silence is over the threshold of 8", every(500*ms, 100), 1070 * ms, 8.22},
		{"just heard", every(500*ms, 100), 0, 0},
		{"long dead", every(500*ms, 100), time.Minute, MaxPhi},
		{"bursts promise nothing about the next pause", every(100*time.Microsecond, 1000), 800 * ms, 2.8697},
		{"an outage is no sample", append(every(500*ms, 100), time.Hour), 800 * ms, 2.8697},
		{"irregular pauses are given more time", append(every(500*ms, 64), every(1500*ms, 64)...), 2000 * ms, 1.6430},
		{"one arrival counts from the promised pause", nil, 800 * ms, 2.8697},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPhi(PhiOptions{})
			at := heartbeats(p, tt.pauses...)
			if got := p.Phi(at.Add(tt.silent)); math.Abs(got-tt.want) > 0.01 {
				t.Errorf("Phi() = %.4f, want %.4f", got, tt.want)
			}
		})
	}
}

func TestPhiForgetsOldPauses(t *testing.T) {
	p := NewPhi(PhiOptions{Window: 10})
	at := heartbeats(p, append(every(2*time.Second, 10), every(500*time.Millisecond, 10)...)...)
	if got := p.Phi(at.Add(800 * time.Millisecond)); math.Abs(got-2.8697) > 0.01 {
		t.Errorf("Phi() = %.4f, want 2.8697 as if the long pauses had never been", got)
	}
}

func TestPhiKnowsNothingBeforeTheFirstArrival(t *testing.T) {
	p := NewPhi(PhiOptions{})
	now := time.UnixMilli(1_000_000)
	if got := p.Phi(now); got != 0 {
		t.Errorf("before anything was heard: %v, want 0", got)
	}
	at := heartbeats(p, every(500*time.Millisecond, 5)...)
	p.Forget()
	if got := p.Phi(at.Add(time.Hour)); got != 0 {
		t.Errorf("after Forget: %v, want 0", got)
	}
}

func TestPhiGrowsWithSilence(t *testing.T) {
	p := NewPhi(PhiOptions{})
	at := heartbeats(p, 510*time.Millisecond, 620*time.Millisecond, 490*time.Millisecond)
	last := -1.0
	for d := 500 * time.Millisecond; d < 3*time.Second; d += 50 * time.Millisecond {
		got := p.Phi(at.Add(d))
		if got < last || got == last && got < MaxPhi {
			t.Fatalf("Phi() = %v after %v, %v before", got, d, last)
		}
		last = got
	}
}
