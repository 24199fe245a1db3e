package replication

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/godwitdb/godwit/crdt"
)

const (
	clocksTimeout  = 2 * time.Second
	missingTimeout = 10 * time.Second
	hurryFor       = 3 * time.Second        // after a peer came back or a gap was seen:
	hurryEvery     = 250 * time.Millisecond // ... look more often, and wait less for what is in flight
	askedAtOnce    = 4                      // candidates of one datacenter
	repairsAtOnce  = 16                     // of one datacenter: a question takes a round trip
	repairPages    = 64                     // of one repair, before it takes its turn again
	answerPages    = 16                     // of clocks, in one round
	repairRetryMin = 500 * time.Millisecond
	repairRetryMax = 30 * time.Second
)

// exchanger is what the askers of all datacenters share.
type exchanger struct {
	mu     sync.Mutex
	wakes  map[string]chan struct{}
	askers map[string]*asker

	turns turns // of comparisons
}

func (e *exchanger) init() {
	e.wakes, e.askers = map[string]chan struct{}{}, map[string]*asker{}
}

func (e *exchanger) wakeOf(dc string) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.wakes[dc]
	if c == nil {
		c = make(chan struct{}, 1)
		e.wakes[dc] = c
	}
	return c
}

// wakeAsker makes the asker of a datacenter hurry: something came back.
func (x *Replicator) wakeAsker(dc string) { poke(x.exchange.wakeOf(dc)) }

func (x *Replicator) peerUp(p Peer) {
	x.remote(p.DC).reconnects.Add(1)
	x.wakeAsker(p.DC)
}

// asker compares the clocks of the replicas that this node leads with one
// remote datacenter's, and asks for what is missing. What a remote clock shows
// is normally on its way in the lanes, so only what was shown a while ago and
// is still not here is asked for.
type asker struct {
	x     *Replicator
	dc    string
	wake  chan struct{}
	hurry time.Time // until when

	answered atomic.Int64 // when the datacenter last told something, in Unix nanoseconds

	mu    sync.Mutex
	known map[Replica]*known
	slots *semaphore.Weighted // repairs

	sweeps   sweeps
	verified verified
}

// known is what the remote datacenter last reported for a replica.
type known struct {
	hash   uint64
	tries  int        // candidates that did not answer: the next one is asked
	latest crdt.Clock // of the last report
	at     time.Time  // of the last report
	owed   bool       // mark is still to be compared with the own clock
	mark   crdt.Clock // of the oldest report that may not be here yet
	markAt time.Time

	repairing bool
	failures  int
	notBefore time.Time // after failures
}

func newAsker(ctx context.Context, x *Replicator, dc string) *asker {
	a := &asker{
		x: x, dc: dc, wake: x.exchange.wakeOf(dc), known: map[Replica]*known{},
		slots:  semaphore.NewWeighted(repairsAtOnce),
		sweeps: sweeps{life: ctx, queued: map[string][]*sweeping{}, running: map[string]bool{}},
	}
	a.answered.Store(time.Now().UnixNano())
	x.exchange.mu.Lock()
	defer x.exchange.mu.Unlock()
	x.exchange.askers[dc] = a
	return a
}

func (a *asker) run(ctx context.Context) {
	t := time.NewTimer(a.x.phase(a.x.opts.ExchangeEvery, "exchange "+a.dc))
	defer t.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake: // at once, but not without end
			a.hasten()
			t.Reset(max(hurryEvery-time.Since(last), 0))
			continue
		case <-t.C:
		}
		a.round(ctx)
		last = time.Now()
		if last.Before(a.hurry) {
			t.Reset(min(hurryEvery, a.x.opts.ExchangeEvery))
		} else {
			t.Reset(a.x.opts.ExchangeEvery)
		}
	}
}

// hasten makes the next rounds come soon and forgives past failures: those of an
// outage say nothing of what comes after it, and one more would be waited out for
// as long as the outage had been.
func (a *asker) hasten() {
	a.hurry = time.Now().Add(hurryFor)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range a.known {
		k.notBefore, k.failures = time.Time{}, 0
	}
}

// round asks for clocks, then for what has been missing for long enough.
func (a *asker) round(ctx context.Context) {
	led := a.led()
	g := errgroup.Group{}
	g.SetLimit(askedAtOnce)
	for node, asked := range a.byCandidate(led) {
		g.Go(func() error {
			if err := a.askClocks(ctx, Peer{a.dc, node}, asked); err != nil && ctx.Err() == nil {
				a.x.remote(a.dc).exchangeErrors.Add(1)
				a.x.opts.Logger.Debug("clocks not compared", "datacenter", a.dc, "node", node, "error", err)
				a.failed(asked)
			}
			return nil
		})
	}
	_ = g.Wait() // always nil
	grace := a.x.opts.InFlight
	if time.Now().Before(a.hurry) {
		grace = min(hurryEvery, grace)
	}
	for _, r := range led {
		a.check(ctx, r, grace)
	}
}

// led lists the replicas to compare, in order, and forgets all others.
func (a *asker) led() []Replica {
	led := a.ledNow()
	a.mu.Lock()
	defer a.mu.Unlock()
	for r, k := range a.known {
		if _, ok := slices.BinarySearchFunc(led, r, Replica.compare); !ok && !k.repairing {
			delete(a.known, r)
		}
	}
	for _, r := range led {
		if a.known[r] == nil {
			a.known[r] = &known{}
		}
	}
	return led
}

func (a *asker) byCandidate(led []Replica) map[string][]Replica {
	out := map[string][]Replica{}
	for _, r := range led {
		if node := a.candidate(r); node != "" {
			out[node] = append(out[node], r)
		}
	}
	return out
}

// candidate is the node to ask about r, "" when there is none.
func (a *asker) candidate(r Replica) string {
	nodes := a.x.opts.Local.Candidates(a.dc, r)
	if len(nodes) == 0 {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return nodes[a.known[r].tries%len(nodes)]
}

// failed makes the next candidates of these replicas be asked.
func (a *asker) failed(rs []Replica) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range rs {
		a.known[r].tries++
	}
}

func (a *asker) askClocks(ctx context.Context, to Peer, asked []Replica) error {
	for part := range slices.Chunk(asked, maxAsked) {
		for range answerPages {
			more, err := a.askSome(ctx, to, part)
			if err != nil {
				return err
			}
			if !more {
				a.compared(part)
				break
			}
		}
	}
	return nil
}

// compared tells of replicas that were just asked about, but for those of which
// nothing was ever reported: whoever was asked may not share them.
func (a *asker) compared(rs []Replica) {
	a.mu.Lock()
	told := slices.DeleteFunc(slices.Clone(rs), func(r Replica) bool { return a.known[r] == nil || a.known[r].at.IsZero() })
	a.mu.Unlock()
	a.x.opts.Local.Compared(a.dc, told)
}

func (a *asker) askSome(ctx context.Context, to Peer, asked []Replica) (more bool, err error) {
	q := query{kind: askClocks, of: a.deafTo()}
	a.mu.Lock()
	for _, r := range asked {
		q.clocks = append(q.clocks, clockHash{r, a.known[r].hash})
	}
	a.mu.Unlock()
	raw, err := a.request(ctx, to, &q, clocksTimeout)
	if err != nil {
		return false, err
	}
	reports, more, err := decodeReports(raw)
	if err != nil {
		return false, err
	}
	a.answered.Store(time.Now().UnixNano())
	for i := range reports {
		c := &reports[i]
		if _, ok := slices.BinarySearchFunc(asked, c.replica, Replica.compare); !ok {
			return false, fmt.Errorf("%w: report that was not asked for", ErrMalformed)
		}
		a.heard(c)
		a.x.opts.Local.Heard(a.dc, c.replica, c.clock, c.least)
		a.heardOf(c, q.of)
	}
	return more && len(reports) > 0, nil
}

func (a *asker) heard(c *clockReport) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[c.replica]
	k.hash, k.latest, k.at = c.hash(), c.clock, time.Now()
	if !k.owed {
		k.owed, k.mark, k.markAt = true, k.latest, k.at
	}
}

// check compares the own clock with what was reported at least grace ago, and
// starts a repair where something is missing. What no stream brings is asked for
// at once.
func (a *asker) check(ctx context.Context, r Replica, grace time.Duration) {
	if a.due(r, 0) && a.unstreamed(r) {
		grace = 0
	}
	for a.due(r, grace) {
		clock, _, err := a.x.opts.Local.Standing(r)
		if err != nil {
			return // no longer this node's
		}
		if !a.covered(r, &clock) {
			a.startRepair(ctx, r)
			return
		}
	}
}

func (a *asker) due(r Replica, grace time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, now := a.known[r], time.Now()
	return k.owed && !k.repairing && now.Sub(k.markAt) >= grace && !now.Before(k.notBefore)
}

// covered reports whether the own clock has what the mark shows, and if so
// moves the mark to the latest report.
func (a *asker) covered(r Replica, own *crdt.Clock) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[r]
	if k == nil {
		return true // forgotten meanwhile
	}
	if !own.Covers(&k.mark) {
		return false
	}
	k.failures = 0
	if own.Covers(&k.latest) {
		k.owed, k.mark = false, crdt.Clock{}
	} else {
		k.mark, k.markAt = k.latest, k.at
	}
	return true
}

func (a *asker) request(ctx context.Context, to Peer, q *query, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := a.x.opts.Link.Request(ctx, to, a.x.packer.pack(q.encode()))
	if err != nil {
		return nil, err
	}
	return a.x.packer.unpack(answer)
}
