package loadtest

import (
	"sync"
	"time"
)

// Slices of time: about this many for a run, none shorter than the least.
const (
	slicesOfRun = 150
	leastSlice  = 100 * time.Millisecond
	maxPoints   = 4096 // of one series; later ones are left out
)

func sliceOf(total time.Duration) time.Duration {
	width := max(leastSlice, total/slicesOfRun)
	return width.Round(100 * time.Millisecond)
}

// collector turns what meters and probes see into series, slice after slice.
type collector struct {
	run   *run
	every time.Duration

	mu    sync.Mutex
	ops   [][]Series // by site, then by operation
	sites []Series
	pairs []Series
	last  Progress
}

func newCollector(r *run, every time.Duration) *collector {
	c := &collector{run: r, every: every}
	for _, s := range r.sites {
		var ops []Series
		for _, m := range s.meters {
			ops = append(ops, Series{DC: m.dc, Op: m.op})
		}
		c.ops = append(c.ops, ops)
		c.sites = append(c.sites, Series{DC: s.dc})
	}
	for _, p := range r.prober.pairs {
		c.pairs = append(c.pairs, Series{DC: p.from.dc, To: p.to.dc})
	}
	return c
}

// collect takes slices until stop.
func (c *collector) collect(stop <-chan struct{}) {
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			c.rotate(now)
		case <-stop:
			c.rotate(time.Now())
			return
		}
	}
}

// rotate ends a slice.
func (c *collector) rotate(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := float64(now.Sub(c.run.origin).Milliseconds()) / 1000
	add := func(s *Series, p Point) {
		p.T = t
		if len(s.Points) < maxPoints {
			s.Points = append(s.Points, p)
		}
	}
	progress := Progress{T: now.Sub(c.run.origin), Phase: c.run.phaseOf(now)}
	everything := newBucket()
	for i, s := range c.run.sites {
		sum, errors := newBucket(), int64(0)
		for j, m := range s.meters {
			p := m.rotate(sum)
			errors += p.Errors
			add(&c.ops[i][j], p)
		}
		add(&c.sites[i], pointOf(sum, errors))
		everything.merge(sum)
		progress.Errors += errors
		progress.Rates = append(progress.Rates, float64(sum.n)/c.every.Seconds())
	}
	for i, p := range c.run.prober.pairs {
		point := p.rotate(now)
		add(&c.pairs[i], point)
		if behind := time.Duration(point.Max * float64(time.Millisecond)); behind > progress.Behind {
			progress.Behind, progress.BehindPair = behind, p.from.dc+"→"+p.to.dc
		}
	}
	p := pointOf(everything, 0)
	progress.Rate, progress.P50, progress.P99 = float64(p.Count)/c.every.Seconds(), p.P50, p.P99
	c.last = progress
}

// series are all of them.
func (c *collector) series() []Series {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := append([]Series(nil), c.sites...)
	for _, ops := range c.ops {
		out = append(out, ops...)
	}
	return append(out, c.pairs...)
}

// progress is the slice that ended last.
func (c *collector) progress() Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Progress is how a run is doing.
type Progress struct {
	T          time.Duration // since the load began; negative before
	Phase      string        // preload, quiet, warm-up, load, fault, after, settle, check
	Rate       float64       // operations a second
	Rates      []float64     // by datacenter
	Errors     int64         // in the last slice of time
	P50, P99   float64       // milliseconds
	Behind     time.Duration // of the pair that is furthest behind
	BehindPair string
	Fault      string // that was just carried out
}
