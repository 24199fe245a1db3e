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
	lookEvery   = time.Second
)

func sliceOf(total time.Duration) time.Duration {
	width := max(leastSlice, total/slicesOfRun)
	return width.Round(100 * time.Millisecond)
}

// collector turns what meters and probes see into series, slice after slice. It
// looks at them about once a second, for progress, so a slice of a long run is
// put together from several looks.
type collector struct {
	run   *run
	every time.Duration
	looks int // for each slice

	mu    sync.Mutex
	ops   [][]course // by site, then by operation
	sites []course
	pairs []Series
	last  Progress

	since  time.Time // what follows was measured since then, and is not in last yet
	recent *histogram
	counts []int64 // by site
	errors int64
}

// course is a series under way.
type course struct {
	Series

	slice  *histogram // since the last point
	errors int64
}

// end ends a slice at a time.
func (c *course) end(t float64) {
	p := pointOf(c.slice, c.errors)
	p.T = t
	if len(c.Points) < maxPoints {
		c.Points = append(c.Points, p)
	}
	c.slice.reset()
	c.errors = 0
}

func newCollector(r *run, every time.Duration) *collector {
	c := &collector{
		run: r, every: every, looks: int((every + lookEvery - 1) / lookEvery),
		since: time.Now(), recent: newBucket(), counts: make([]int64, len(r.sites)),
	}
	for _, s := range r.sites {
		var ops []course
		for _, m := range s.meters {
			ops = append(ops, course{Series: Series{DC: m.dc, Op: m.op}, slice: newBucket()})
		}
		c.ops = append(c.ops, ops)
		c.sites = append(c.sites, course{Series: Series{DC: s.dc}, slice: newBucket()})
	}
	for _, p := range r.prober.pairs {
		c.pairs = append(c.pairs, Series{DC: p.from.dc, To: p.to.dc})
	}
	return c
}

// collect takes slices until stop.
func (c *collector) collect(stop <-chan struct{}) {
	look := c.every / time.Duration(c.looks)
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case now := <-ticker.C:
			c.look(now)
			if n%c.looks == 0 {
				c.end(now)
			}
		case <-stop:
			now := time.Now()
			c.look(now)
			c.end(now)
			return
		}
	}
}

// look takes over what was measured since the last time.
func (c *collector) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.run.sites {
		site := &c.sites[i]
		for j, m := range s.meters {
			op := &c.ops[i][j]
			answered, errors := m.rotate(op.slice, site.slice, c.recent)
			op.errors += errors
			site.errors += errors
			c.errors += errors
			c.counts[i] += answered
		}
	}
	c.last.T, c.last.Phase = now.Sub(c.run.origin), c.run.phaseOf(now)
	// Shorter times tell more of the scheduler than of the cluster.
	if while := now.Sub(c.since); while > lookEvery*9/10 {
		c.tally(while)
		c.since = now
	}
	c.last.Behind, c.last.BehindPair = 0, ""
	for _, p := range c.run.prober.pairs {
		if behind := p.behind(now); behind > c.last.Behind {
			c.last.Behind, c.last.BehindPair = behind, p.from.dc+"→"+p.to.dc
		}
	}
}

// tally makes progress of what was measured in a while.
func (c *collector) tally(while time.Duration) {
	p := pointOf(c.recent, c.errors)
	c.last.Rate, c.last.P50, c.last.P99, c.last.Errors = float64(p.Count)/while.Seconds(), p.P50, p.P99, p.Errors
	c.last.Rates = nil // the last ones are with whoever was told
	for i, n := range c.counts {
		c.last.Rates = append(c.last.Rates, float64(n)/while.Seconds())
		c.counts[i] = 0
	}
	c.recent.reset()
	c.errors = 0
}

// end ends a slice.
func (c *collector) end(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := float64(now.Sub(c.run.origin).Milliseconds()) / 1000
	for i := range c.sites {
		c.sites[i].end(t)
		for j := range c.ops[i] {
			c.ops[i][j].end(t)
		}
	}
	for i, p := range c.run.prober.pairs {
		point := p.rotate(now)
		point.T = t
		if len(c.pairs[i].Points) < maxPoints {
			c.pairs[i].Points = append(c.pairs[i].Points, point)
		}
	}
}

// series are all of them.
func (c *collector) series() []Series {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Series
	for _, all := range append([][]course{c.sites}, c.ops...) {
		for i := range all {
			out = append(out, all[i].Series)
		}
	}
	return append(out, c.pairs...)
}

// progress is what the last look found.
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
	Errors     int64         // in the last second or so
	P50, P99   float64       // milliseconds
	Behind     time.Duration // of the pair that is furthest behind
	BehindPair string
	Fault      string // that was just carried out
}
