package loadtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/godwitdb/godwit/client"
)

// How probes are made and looked for.
const (
	probeKeys    = 4                     // of one datacenter, so that several partitions are probed
	maxWaiting   = 10_000                // probes of one pair that have not been seen
	maxProbes    = 200_000               // of one pair, that are kept for the phases
	probeTimeout = 2 * time.Second       // of one write or look
	lookEarly    = 2 * time.Millisecond  // before the link's delay is over
	lookOften    = time.Millisecond      // between looks around the time at which a probe is due
	lookLate     = 10 * time.Millisecond // ... once it is late
	lookLost     = 50 * time.Millisecond // ... and when something is broken
	lateAfter    = 250 * time.Millisecond
	lostAfter    = time.Second
)

// probe is a write that was acknowledged in one datacenter.
type probe struct {
	key    int
	seq    int64
	acked  time.Time
	missed time.Time // when the last look that did not find it began; acked before the first
	oneWay time.Duration
}

// seen is a probe that became visible.
type seen struct {
	acked      time.Time
	visible    time.Duration // from the acknowledgement to the end of the look that found it
	resolution time.Duration
	oneWay     time.Duration
}

// pair looks in one datacenter for what another one wrote.
type pair struct {
	prober   *prober
	from, to *site
	oneWay   func() (time.Duration, bool) // of the link now

	wake chan struct{}

	mu      sync.Mutex
	waiting []probe // in the order of their acknowledgement
	found   []seen
	fresh   int // of found: seen since the last slice of time
	dropped int
}

// prober writes numbers in every datacenter and looks for them in the others.
// The numbers under a key only grow and have one writer, so whoever sees one
// has seen all before it.
type prober struct {
	run   *run
	pairs []*pair

	stopWriting chan struct{}
	stopping    sync.Once
	writers     sync.WaitGroup
	lookers     sync.WaitGroup
	cancel      context.CancelFunc
}

// startProber begins to probe. finish ends it.
func startProber(r *run) *prober {
	p := &prober{run: r, stopWriting: make(chan struct{})}
	ctx, cancel := context.WithCancel(r.calls)
	p.cancel = cancel
	if r.opts.Probe <= 0 || len(r.sites) < 2 {
		return p
	}
	for _, from := range r.sites {
		var mine []*pair
		for _, to := range r.sites {
			if to == from {
				continue
			}
			pr := &pair{prober: p, from: from, to: to, wake: make(chan struct{}, 1)}
			pr.oneWay = func() (time.Duration, bool) { return r.links.oneWay(from.dc, to.dc) }
			mine = append(mine, pr)
			p.lookers.Go(func() { pr.look(ctx) })
		}
		p.pairs = append(p.pairs, mine...)
		p.writers.Go(func() { p.write(ctx, from, mine) })
	}
	return p
}

func (p *prober) key(dc string, i int) string {
	return fmt.Sprintf("%s:probe:%s:%d", p.run.opts.Name, dc, i)
}

// write writes a number each interval, until stopWriting.
func (p *prober) write(ctx context.Context, from *site, pairs []*pair) {
	// Datacenters do not write at the same moment.
	first := time.NewTimer(p.run.opts.Probe * time.Duration(from.index) / time.Duration(len(p.run.sites)))
	defer first.Stop()
	select {
	case <-first.C:
	case <-p.stopWriting:
		return
	}
	ticker := time.NewTicker(p.run.opts.Probe)
	defer ticker.Stop()
	opts := []client.CallOption{client.WithBucket(p.run.opts.Bucket), client.WithTimeout(probeTimeout)}
	for seq := int64(1); ; seq++ {
		key := int(seq % probeKeys)
		if _, err := from.client.Put(ctx, p.key(from.dc, key), []byte(strconv.FormatInt(seq, 10)), opts...); err == nil {
			acked := time.Now()
			for _, pr := range pairs {
				pr.expect(probe{key: key, seq: seq, acked: acked, missed: acked})
			}
		}
		select {
		case <-ticker.C:
		case <-p.stopWriting:
			return
		}
	}
}

// expect adds a probe to those that are looked for.
func (pr *pair) expect(b probe) {
	b.oneWay, _ = pr.oneWay()
	pr.mu.Lock()
	if len(pr.waiting) < maxWaiting {
		pr.waiting = append(pr.waiting, b)
	} else {
		pr.dropped++
	}
	pr.mu.Unlock()
	select {
	case pr.wake <- struct{}{}:
	default:
	}
}

// look looks for probes, one key after the other, until ctx ends.
func (pr *pair) look(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	last := -1
	for {
		key, wait := pr.next(last, time.Now())
		if key < 0 {
			select {
			case <-pr.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		last = key
		began := time.Now()
		v, err := pr.to.client.Get(ctx, pr.prober.key(pr.from.dc, key), pr.prober.run.looking...)
		if ctx.Err() != nil {
			return
		}
		seq := int64(0)
		switch {
		case client.IsNotFound(err):
		case err != nil:
			continue // it tells nothing
		default:
			seq, _ = strconv.ParseInt(string(v.Bytes), 10, 64) // 0 if someone else wrote it
		}
		pr.saw(key, seq, began, time.Now())
	}
}

// next is the key to look at and how long to wait before; -1: none. Keys take
// turns, beginning behind the last.
func (pr *pair) next(last int, now time.Time) (key int, wait time.Duration) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if len(pr.waiting) == 0 {
		return -1, 0
	}
	oldest := pr.waiting[0]
	due := oldest.acked.Add(oldest.oneWay - lookEarly)
	if now.Before(due) {
		return oldest.key, due.Sub(now)
	}
	wait = lookOften
	switch age := now.Sub(due); {
	case oldest.missed.Equal(oldest.acked) && last != oldest.key:
		wait = 0
	case age > lostAfter:
		wait = lookLost
	case age > lateAfter:
		wait = lookLate
	}
	key, best := oldest.key, probeKeys
	for _, b := range pr.waiting[:min(len(pr.waiting), probeKeys)] {
		turn := (b.key - last - 1 + 2*probeKeys) % probeKeys
		if turn < best && !now.Before(b.acked.Add(b.oneWay-lookEarly)) {
			key, best = b.key, turn
		}
	}
	return key, wait
}

// saw notes that a look found a number under a key.
func (pr *pair) saw(key int, seq int64, began, end time.Time) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	kept := pr.waiting[:0]
	for _, b := range pr.waiting {
		switch {
		case b.key != key || b.acked.After(began) && b.seq > seq:
		case b.seq > seq:
			b.missed = began
		default:
			if len(pr.found) < maxProbes {
				pr.found = append(pr.found, seen{
					acked: b.acked, visible: max(0, end.Sub(b.acked)), resolution: max(0, end.Sub(b.missed)), oneWay: b.oneWay,
				})
				pr.fresh++
			} else {
				pr.dropped++
			}
			continue
		}
		kept = append(kept, b)
	}
	pr.waiting = kept
}

// rotate ends a slice of time and returns its point.
func (pr *pair) rotate(now time.Time) Point {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	p := Point{Count: int64(pr.fresh)}
	var times []time.Duration
	for _, s := range pr.found[len(pr.found)-pr.fresh:] {
		times = append(times, s.visible)
		p.Max = max(p.Max, durationMS(s.visible))
	}
	slices.Sort(times)
	if len(times) > 0 {
		p.P50 = durationMS(times[len(times)/2])
	}
	if len(pr.waiting) > 0 {
		p.Max = max(p.Max, durationMS(now.Sub(pr.waiting[0].acked)))
	}
	pr.fresh = 0
	return p
}

// behind is how long the oldest probe that is looked for has been so, or how
// long the one that was found last took, if that was longer.
func (pr *pair) behind(now time.Time) time.Duration {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	behind := time.Duration(0)
	if n := len(pr.found); n > 0 {
		behind = pr.found[n-1].visible
	}
	if len(pr.waiting) > 0 {
		behind = max(behind, now.Sub(pr.waiting[0].acked))
	}
	return behind
}

// endWrites ends the writing; looking goes on.
func (p *prober) endWrites() {
	p.stopping.Do(func() { close(p.stopWriting) })
	p.writers.Wait()
}

// drained tells whether every probe was seen.
func (p *prober) drained() bool {
	for _, pr := range p.pairs {
		pr.mu.Lock()
		n := len(pr.waiting)
		pr.mu.Unlock()
		if n > 0 {
			return false
		}
	}
	return true
}

// close ends the probing.
func (p *prober) close() {
	p.cancel()
	p.endWrites()
	p.lookers.Wait()
}

// result is what the probes of a pair found. phase names the phase of a moment,
// or "" for none.
func (pr *pair) result(phase func(time.Time) string) PairResult {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	out := PairResult{From: pr.from.dc, To: pr.to.dc, Unseen: len(pr.waiting), Phases: map[string]PhaseResult{}}
	d, known := pr.oneWay()
	if known {
		out.OneWayMS = new(durationMS(d))
	}
	by := map[string]*tally{}
	all := newTally()
	resolution := newTotal()
	for _, s := range pr.found {
		name := phase(s.acked)
		if name == "" {
			continue
		}
		if by[name] == nil {
			by[name] = newTally()
		}
		by[name].add(s)
		all.add(s)
		observe(resolution, s.resolution)
	}
	for name, t := range by {
		out.Phases[name] = t.result()
	}
	usual := cmp.Or(by[PhaseLoad], by[PhaseAfter], all).result()
	out.Visible, out.Excess = usual.Visible, usual.Excess
	q := quantiles(resolution)
	out.ResolutionMS = Excess{P50: q.P50, P99: q.P99}
	return out
}

// tally are the probes of one phase.
type tally struct{ visible, excess *histogram }

func newTally() *tally { return &tally{newTotal(), newTotal()} }

func (t *tally) add(s seen) {
	observe(t.visible, s.visible)
	observe(t.excess, s.visible-s.oneWay)
}

func (t *tally) result() PhaseResult {
	v, e := quantiles(t.visible), quantiles(t.excess)
	return PhaseResult{
		Probes:  int(t.visible.n),
		Visible: Visible{P50: v.P50, P99: v.P99, Max: v.Max},
		Excess:  Excess{P50: e.P50, P99: e.P99},
	}
}

// caughtUp is how long after a moment the last probe that was acknowledged
// before it became visible; false while one of them is still looked for.
func (p *prober) caughtUp(at time.Time) (time.Duration, bool) {
	last := time.Duration(0)
	for _, pr := range p.pairs {
		pr.mu.Lock()
		waiting := len(pr.waiting) > 0 && pr.waiting[0].acked.Before(at)
		for _, s := range pr.found {
			if s.acked.Before(at) {
				last = max(last, s.acked.Add(s.visible).Sub(at))
			}
		}
		pr.mu.Unlock()
		if waiting {
			return 0, false
		}
	}
	return last, len(p.pairs) > 0
}
