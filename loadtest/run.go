package loadtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/godwitdb/godwit/client"
)

// site is one datacenter of a run.
type site struct {
	dc     string
	index  int
	client *client.Client
	share  float64
	pace   *pace
	meters []*meter // by operation of the workload
}

// run is a run under way.
type run struct {
	opts    Options
	sites   []*site
	mix     *mix
	chooser *chooser
	padding []byte
	looking []client.CallOption // of probes
	links   *linkTable
	prober  *prober
	book    *book // nil unless the run is checked

	inserted  atomic.Uint64 // keys that there are, for inserts and latest
	preloaded uint64

	calls  context.Context // of operations in flight; ends when the run is given up
	giveUp context.CancelFunc
	stop   chan struct{} // closed: no operation begins any more
	ended  sync.Once

	origin   time.Time // the measured load begins
	faultsAt time.Time // the first fault; zero: none
	healedAt time.Time // the last heal that no fault follows; zero: none

	mu     sync.Mutex
	err    error // the first that makes the run worthless
	events []event
	stages string
}

// event is a fault that was carried out.
type event struct {
	FaultEvent

	at time.Time
}

// Run makes a load test and tells what it found. When ctx ends the load ends
// early, and what was measured so far is reported. The error is about the run
// itself: that operations failed, or that a check found something, is in the
// report.
func Run(ctx context.Context, o Options) (*Report, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	r, err := newRun(ctx, o)
	if err != nil {
		return nil, err
	}
	defer r.giveUp()
	if o.Check {
		file, done, err := o.openHistory()
		if err != nil {
			return nil, err
		}
		r.book = newBook(file)
		report, err := r.do(ctx)
		if e := done(); err == nil && e != nil {
			err = fmt.Errorf("close the history: %w", e)
		}
		return report, err
	}
	return r.do(ctx)
}

func newRun(ctx context.Context, o Options) (*run, error) {
	var telling sync.Mutex // faults are told beside the rest
	tell := o.Progress
	o.Progress = func(p Progress) {
		telling.Lock()
		defer telling.Unlock()
		tell(p)
	}
	r := &run{opts: o, stop: make(chan struct{})}
	// Operations in flight end by themselves when the load is interrupted.
	r.calls, r.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if r.mix, err = newMix(&o); err != nil {
		return nil, err
	}
	if r.chooser, err = newChooser(o.Workload.Distribution, o.Workload.Keys, o.Workload.Theta, o.Workload.Hot); err != nil {
		return nil, err
	}
	r.inserted.Store(o.Workload.Keys)
	r.padding = padding(rand.New(rand.NewPCG(o.Seed, 1)))
	r.looking = []client.CallOption{client.WithBucket(o.Bucket), client.WithTimeout(probeTimeout), client.WithConsistency(client.One)}
	var dcs []string
	for _, c := range o.Clients {
		dcs = append(dcs, c.DC())
	}
	for i, c := range o.Clients {
		s := &site{dc: c.DC(), index: i, client: c, share: o.Workload.shareOf(c.DC(), dcs)}
		for j, op := range o.Workload.Operations {
			s.meters = append(s.meters, newMeter(s.dc, op.Op, r.mix.actions[j].write))
		}
		r.sites = append(r.sites, s)
	}
	if r.links, err = newLinkTable(ctx, o.Cluster); err != nil {
		return nil, err
	}
	return r, nil
}

// key is the name of the i-th key of a kind.
func (r *run) key(kind string, i uint64) string {
	return r.opts.Name + ":" + kind + ":" + strconv.FormatUint(i, 10)
}

// now is the time of a history.
func (r *run) now() int64 {
	if r.book == nil {
		return 0
	}
	return r.book.recorder.Now()
}

// fail ends the run with an error.
func (r *run) fail(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.mu.Unlock()
	r.ended.Do(func() { close(r.stop) })
}

func (r *run) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// stage says what the run does beside its load.
func (r *run) stage(name string) {
	r.mu.Lock()
	r.stages = name
	r.mu.Unlock()
}

func (r *run) do(ctx context.Context) (*Report, error) {
	started := time.Now()
	machine := machineNow()
	r.stage("preload")
	r.origin = started.Add(maxDuration) // nothing is measured yet
	if err := r.preload(ctx); err != nil {
		return nil, err
	}
	r.origin = time.Now().Add(r.opts.Quiet + r.opts.Warmup)
	steps := stepsOf(r.opts.Faults, r.links.all())
	r.plan(steps)
	r.prober = startProber(r)
	defer r.prober.close()
	c := newCollector(r, sliceOf(r.opts.Quiet+r.opts.Warmup+r.opts.Duration))
	var background sync.WaitGroup
	over := make(chan struct{})
	background.Go(func() { c.collect(over) })
	background.Go(func() { r.tell(c, over) })
	interrupted := context.AfterFunc(ctx, func() { r.ended.Do(func() { close(r.stop) }) })
	defer interrupted()

	r.stage("")
	r.load(ctx, steps)
	ended := time.Now()
	if end := r.origin.Add(r.opts.Duration); ctx.Err() == nil && ended.Before(end) {
		ended = end // the last operation was due, and answered, a little earlier
	}
	r.stage("settle")
	r.prober.endWrites()
	settled := r.restore(ended, steps)
	convergence := r.converge(settled)
	close(over)
	background.Wait()
	if err := r.failed(); err != nil {
		return nil, err
	}
	report := r.report(started, ended, machine, c)
	if r.book != nil {
		r.stage("check")
		r.opts.Progress(Progress{T: time.Since(r.origin), Phase: "check"})
		check, err := r.judge(convergence)
		if err != nil {
			return report, err
		}
		report.Check = check
	}
	return report, nil
}

// load waits out the quiet, then lets every worker work, until the end.
func (r *run) load(ctx context.Context, steps []step) {
	if !r.waitUntil(r.origin.Add(-r.opts.Warmup)) {
		return
	}
	begin := time.Now()
	end := r.origin.Add(r.opts.Duration)
	var workers sync.WaitGroup
	for _, s := range r.sites {
		s.pace = &pace{begin: begin, end: end, rate: r.opts.Rate * s.share}
		if s.share == 0 {
			continue
		}
		n := max(1, int(float64(r.opts.Concurrency)*s.share+0.5))
		for i := range n {
			w := newWorker(r, s, i)
			workers.Go(w.loop)
		}
	}
	var faults sync.WaitGroup
	faults.Go(func() { r.carryOut(ctx, steps) })
	workers.Wait()
	r.ended.Do(func() { close(r.stop) })
	faults.Wait()
}

// waitUntil waits, and tells whether it did: it ends early with the load.
func (r *run) waitUntil(at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stop:
		return false
	}
}

// preloadBatch is how many keys are put with a request.
const preloadBatch = 64

// preload puts the registers that the workload reads, in the first datacenter,
// the most popular ones first.
func (r *run) preload(ctx context.Context) error {
	reads := false
	for _, op := range r.opts.Workload.Operations {
		reads = reads || op.Op == "read" || op.Op == "rmw"
	}
	if !reads || r.opts.Preload == 0 {
		return nil
	}
	first := uint64(0)
	if r.opts.Workload.Distribution == Latest { // the last ones are the popular ones
		first = r.opts.Workload.Keys - uint64(r.opts.Preload)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	var done atomic.Int64
	for from := int64(0); from < r.opts.Preload; from += preloadBatch {
		g.Go(func() error {
			n := min(preloadBatch, r.opts.Preload-from)
			if err := r.putMany(ctx, first+uint64(from), int(n)); err != nil {
				return fmt.Errorf("preload: %w", err)
			}
			done.Add(n)
			r.preloading(done.Load())
			return nil
		})
	}
	r.preloaded = uint64(r.opts.Preload)
	return g.Wait()
}

// carryOut carries out faults at their times.
func (r *run) carryOut(ctx context.Context, steps []step) {
	for _, s := range steps {
		if s.at >= r.opts.Duration || !r.waitUntil(r.origin.Add(s.at)) {
			return
		}
		r.carry(ctx, s)
	}
}

// faultTimeout bounds one change.
const faultTimeout = 20 * time.Second

func (r *run) carry(ctx context.Context, s step) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), faultTimeout)
	defer cancel()
	at := time.Now()
	err := s.apply(ctx, r.opts.Cluster)
	r.links.refresh(ctx)
	if s.text == "" && err == nil {
		return
	}
	e := event{at: at, FaultEvent: FaultEvent{T: at.Sub(r.origin).Seconds(), What: s.text, Heal: s.heal}}
	if err != nil {
		e.Error = err.Error()
	}
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	r.opts.Progress(Progress{T: at.Sub(r.origin), Phase: PhaseFault, Fault: e.What})
}

// restore heals what faults have left, and returns the moment from which the
// datacenters could become equal.
func (r *run) restore(ended time.Time, steps []step) time.Time {
	if len(steps) == 0 {
		return ended
	}
	r.mu.Lock()
	healed := len(r.events) > 0 && r.events[len(r.events)-1].Heal && r.events[len(r.events)-1].Error == ""
	r.mu.Unlock()
	last := Fault{What: FaultHeal}
	text := "heal " + last.String()[len("heal "):] + " (end of load)"
	if healed && steps[len(steps)-1].at < r.opts.Duration {
		text = "" // nothing to tell, but nothing to lose either
	}
	ctx, cancel := context.WithTimeout(r.calls, restoreWithin)
	defer cancel()
	at := time.Now()
	r.carry(ctx, step{text: text, heal: true, apply: func(ctx context.Context, c Cluster) error {
		errs := []error{last.end(ctx, c, r.links.all())}
		for node := range killed(r.opts.Faults) {
			errs = append(errs, c.StartNode(ctx, node))
		}
		return errors.Join(errs...)
	}})
	if text == "" {
		return ended
	}
	return at
}

func killed(faults []Fault) map[string]bool {
	out := map[string]bool{}
	for i := range faults {
		if faults[i].What == FaultKill {
			out[faults[i].Node] = true
		}
	}
	return out
}
