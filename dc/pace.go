package dc

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pace keeps what nodes take from each other, to catch up or to become owners,
// from being felt by clients. The node that is asked for a page, which is most
// likely one that serves clients as well, waits between two pages for as long as
// the last one took; and longer, for as long as requests of clients take longer
// than they did while nobody asked for pages. Where nobody else asks for
// anything pages are not delayed. Safe for concurrent use.
type pace struct {
	turn chan struct{} // one page at a time is made while clients are served

	mu     sync.Mutex
	recent [paceSample]time.Duration // how long the last requests took
	at     int                       // place of the next in recent
	filled int                       // how many of recent there are
	last   time.Time                 // a request ended
	paged  time.Time                 // a page was made
	quiet  time.Duration             // paceShare of recent while no pages were made; 0: not known
	factor float64                   // of the time that a page took: the pause after it
}

const (
	paceSample  = 128 // requests that latency is judged by
	paceShare   = 0.9 // of them are as fast as what is compared
	paceRecent  = time.Second
	paceSlower  = 1.5                    // times what is usual is slower
	paceGrace   = 2 * time.Millisecond   // more than that: what a clock and a scheduler add
	paceSlowest = 150 * time.Millisecond // pause after one page, at the most: a move comes to its end in any case
	paceFactor  = 32.0                   // the most
	paceBytes   = 16 << 10               // a smaller page is not felt
)

func newPace() *pace { return &pace{turn: make(chan struct{}, 1), factor: 1} }

// request notes that a client's request begins; the caller calls done at its end.
func (p *pace) request(now func() time.Time) (done func()) {
	began := now()
	return func() { p.took(now().Sub(began), now()) }
}

func (p *pace) took(d time.Duration, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent[p.at] = d
	p.at, p.filled = (p.at+1)%paceSample, min(p.filled+1, paceSample)
	p.last = now
	if p.at == 0 && now.Sub(p.paged) > 2*paceRecent { // a sample without any page
		p.quiet = p.share()
	}
}

// share is how long the paceShare of the last requests took at the most.
func (p *pace) share() time.Duration {
	if p.filled == 0 {
		return 0
	}
	sorted := slices.Clone(p.recent[:p.filled])
	slices.Sort(sorted)
	return sorted[int(float64(len(sorted)-1)*paceShare)]
}

// page makes a page for another node, when it is its turn. Read returns its bytes.
func (p *pace) page(ctx context.Context, now func() time.Time, read func() (bytes int, err error)) error {
	if !p.served(now()) {
		bytes, err := read()
		p.note(bytes, now())
		return err
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	began := now()
	bytes, err := read()
	if err != nil || bytes < paceBytes {
		return err
	}
	wait := p.pause(now().Sub(began), now())
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// served reports whether clients asked for something a moment ago.
func (p *pace) served(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.last.IsZero() && now.Sub(p.last) < paceRecent
}

// note notes a page that was made without a pause.
func (p *pace) note(bytes int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes >= paceBytes {
		p.paged = now
	}
}

// pause is for how long no page is made after one that took so long. It grows
// fast where clients wait longer than usual, and shrinks slowly where they do not.
func (p *pace) pause(page time.Duration, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paged = now
	if limit := time.Duration(float64(p.quiet)*paceSlower) + paceGrace; p.quiet > 0 && p.share() > limit {
		p.factor = min(p.factor*2, paceFactor)
	} else {
		p.factor = max(p.factor*0.9, 1)
	}
	return min(time.Duration(float64(page)*p.factor), paceSlowest)
}
