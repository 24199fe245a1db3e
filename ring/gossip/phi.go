package gossip

import (
	"cmp"
	"math"
	"sync"
	"time"
)

// PhiOptions configures NewPhi. Zero fields take the default named beside them.
type PhiOptions struct {
	// Every is how long a healthy peer is silent at the most: the pause between
	// its heartbeats when it has nothing else to say; 500 ms.
	Every time.Duration
	// Deviation is the least standard deviation that pauses are taken to have,
	// so that a peer of clockwork regularity may be late once; a fifth of Every.
	Deviation time.Duration
	// Longest is the longest pause that counts as a sample. What lasts longer
	// was an outage and says nothing about the next pause; 6 times Every.
	Longest time.Duration
	Window  int // pauses that are remembered; 128
}

func (o PhiOptions) withDefaults() PhiOptions {
	o.Every = cmp.Or(o.Every, 500*time.Millisecond)
	o.Deviation = cmp.Or(o.Deviation, o.Every/5)
	o.Longest = cmp.Or(o.Longest, 6*o.Every)
	o.Window = max(cmp.Or(o.Window, 128), 2)
	return o
}

// MaxPhi is the most that a Phi ever tells: beyond it the chance of an arrival
// can no longer be told from none.
const MaxPhi = 100

// Phi is a phi-accrual failure detector for one peer: it turns "how long since
// anything was heard" into the suspicion phi, where a peer that is passed over
// at phi is wrongly passed over with a chance of about 10 to the power of -phi.
//
// Pauses shorter than Every count as Every: under load frames follow each other
// within microseconds, which promises nothing about the pause after the load.
//
// Safe for concurrent use. Source: Hayashibara, Défago, Yared, Katayama, "The φ
// accrual failure detector", SRDS 2004, with normally distributed pauses.
type Phi struct {
	opts PhiOptions

	mu      sync.Mutex
	heard   time.Time // of the last arrival; zero before the first
	pauses  []float64 // seconds, a ring
	next    int       // of pauses, what is replaced next
	sum, sq float64   // of pauses and of their squares
}

// NewPhi makes a detector that has heard nothing yet.
func NewPhi(o PhiOptions) *Phi { return &Phi{opts: o.withDefaults()} }

// Heard notes that something arrived at a moment, which may not be before that
// of the call before.
func (p *Phi) Heard(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := at.Sub(p.heard)
	first := p.heard.IsZero()
	p.heard = at
	if first || pause < 0 || pause > p.opts.Longest {
		return
	}
	p.note(max(pause, p.opts.Every).Seconds())
}

func (p *Phi) note(pause float64) {
	if len(p.pauses) < p.opts.Window {
		p.pauses = append(p.pauses, pause)
	} else {
		old := p.pauses[p.next]
		p.sum, p.sq = p.sum-old, p.sq-old*old
		p.pauses[p.next] = pause
		p.next = (p.next + 1) % p.opts.Window
	}
	p.sum, p.sq = p.sum+pause, p.sq+pause*pause
}

// Forget drops the last arrival, as after a connection that ended on purpose,
// and keeps what is known of pauses. Phi is 0 until the next arrival.
func (p *Phi) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = time.Time{}
}

// Phi is the suspicion at a moment: 0 before the first arrival and right after
// one, MaxPhi at the most.
func (p *Phi) Phi(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard.IsZero() {
		return 0
	}
	mean, deviation := p.opts.Every.Seconds(), p.opts.Deviation.Seconds()
	if n := float64(len(p.pauses)); n > 0 {
		mean = p.sum / n
		deviation = max(deviation, math.Sqrt(max(p.sq/n-mean*mean, 0)))
	}
	z := (now.Sub(p.heard).Seconds() - mean) / deviation
	later := math.Erfc(z/math.Sqrt2) / 2 // the chance that it would still come
	if later <= 0 {
		return MaxPhi
	}
	return min(max(-math.Log10(later), 0), MaxPhi)
}
