package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/godwitdb/godwit/internal/history"
)

// Result is how a datacenter bore being hurt.
type Result struct {
	Seed     uint64
	Took     time.Duration
	Report   *history.Report // of what was acknowledged
	Stale    *history.Report // of reads that missed what was acknowledged before
	Reads    int             // that were judged
	Faults   []Felt          // in the order of the table
	Quiet    time.Duration   // the 99th percentile of a write's latency while nothing was wrong
	Problems []string        // all other broken promises
}

// Felt is what clients felt of one kind of fault.
type Felt struct {
	Name    string
	Count   int
	MayFail bool          // requests: too few nodes are there, or one refuses
	Failed  int           // requests, after retries
	Unknown int           // likewise
	Broken  int           // of both, those that should have succeeded at another node
	First   string        // of the broken: what it was, and why it ended so
	Gap     time.Duration // the longest time during which nobody's write was acknowledged
	Slowest time.Duration // request
	Raised  time.Duration // during which more than one request of 100 took unusually long, in the worst case of this fault
}

// OK reports that no promise was broken.
func (r *Result) OK() bool {
	return r.Report.OK() && r.Stale.OK() && len(r.Problems) == 0
}

// judge stops the load, waits until all is quiet and compares.
func (r *run) judge(ctx context.Context, chosen []fault) (*Result, error) {
	records, err := r.load.finish()
	if err != nil {
		return nil, err
	}
	res := &Result{Seed: r.opts.Seed}
	problem := func(err error) {
		if err != nil {
			res.Problems = append(res.Problems, err.Error())
		}
	}
	problem(r.cluster.equal(ctx))
	problem(r.scan(ctx))
	if r.opts.Across && !r.long {
		problem(r.cluster.compared(ctx))
	}
	state, err := r.load.final(ctx)
	if err != nil {
		return nil, err
	}
	res.Report = history.Check(records, state)
	res.Stale, res.Reads = r.stale(records)
	for i := range r.windows {
		w := &r.windows[i]
		if w.err != nil {
			problem(fmt.Errorf("%s of %s: %w", w.fault.name, w.victim, w.err))
		}
	}
	problem(r.sameActors(records))
	res.measure(records, r.windows, chosen)
	if n := res.Report.Acked; n < r.opts.Acked {
		problem(fmt.Errorf("%d writes were acknowledged, too few: want %d", n, r.opts.Acked))
	}
	problem(r.cluster.close())
	res.Took = time.Since(r.began)
	return res, nil
}

// stale checks the reads of watchers.
func (r *run) stale(records []*history.Record) (*history.Report, int) {
	var watched []*history.Record
	reads := 0
	for _, rec := range records {
		if strings.HasPrefix(rec.Key, "watch/") {
			watched = append(watched, rec)
			if rec.Op == history.Get && rec.Outcome == history.OK {
				reads++
			}
		}
	}
	return history.CheckReads(watched, func(*history.Record) bool { return true }), reads
}

// sameActors reports nodes that minted under the same actor before and after
// they were killed.
func (r *run) sameActors(records []*history.Record) error {
	var errs []error
	for _, l := range r.lives {
		before, again := map[uint64]bool{}, 0
		for _, rec := range records {
			if rec.Outcome == history.OK && rec.Dot != nil && rec.Node == l.node && rec.Tries <= 1 && rec.Start < l.killed {
				before[rec.Dot.Actor] = true
			}
		}
		for _, rec := range records {
			if rec.Outcome == history.OK && rec.Dot != nil && rec.Node == l.node && rec.Tries <= 1 && rec.Start >= l.started && before[rec.Dot.Actor] {
				again++
			}
		}
		if again > 0 {
			errs = append(errs, fmt.Errorf("%s minted %d dots under actors of an earlier life", l.node, again))
		}
	}
	return errors.Join(errs...)
}

// measure tells what clients felt. An increment that is unknown breaks no
// promise: to carry it out once, all owners must be asked, and one is away.
func (r *Result) measure(records []*history.Record, windows []window, chosen []fault) {
	slices.SortFunc(records, func(a, b *history.Record) int { return cmp.Compare(a.End, b.End) })
	within := func(rec *history.Record) *window {
		for i := range windows {
			if w := &windows[i]; rec.Start <= w.end && rec.End >= w.hit {
				return w
			}
		}
		return nil
	}
	felt := map[string]*Felt{}
	for i := range chosen {
		felt[chosen[i].name] = &Felt{Name: chosen[i].name, MayFail: chosen[i].mayFail}
	}
	r.usual(records, func(rec *history.Record) bool {
		w := within(rec)
		if w != nil {
			felt[w.fault.name].count(rec)
		}
		return w == nil
	})
	for i := range windows {
		felt[windows[i].fault.name].feel(records, &windows[i], max(raisedBy*r.Quiet, 100*time.Millisecond))
	}
	for i := range chosen {
		f := felt[chosen[i].name]
		r.Faults = append(r.Faults, *f)
		if f.Count == 0 {
			r.Problems = append(r.Problems, f.Name+": it never happened")
		}
		if f.Broken > 0 && !f.MayFail {
			r.Problems = append(r.Problems, fmt.Sprintf("%s: %d requests did not succeed although only one node was hurt, first: %s", f.Name, f.Broken, f.First))
		}
	}
}

// usual looks at the requests while nothing was wrong.
func (r *Result) usual(records []*history.Record, quiet func(*history.Record) bool) {
	var took []time.Duration
	for _, rec := range records {
		if !quiet(rec) {
			continue
		}
		if rec.Outcome != history.OK {
			r.Problems = append(r.Problems, fmt.Sprintf("a request is %s while nothing is wrong: %s", rec.Outcome, rec.Error))
		}
		took = append(took, time.Duration(rec.End-rec.Start))
	}
	if slices.Sort(took); len(took) > 0 {
		r.Quiet = took[len(took)*99/100]
	}
}

func (f *Felt) count(rec *history.Record) {
	switch rec.Outcome {
	case history.OK:
	case history.Failed:
		f.Failed++
	case history.Unknown:
		f.Unknown++
	}
	if rec.Outcome == history.Failed || rec.Outcome == history.Unknown && rec.Op != history.Incr {
		if f.Broken++; f.First == "" {
			f.First = fmt.Sprintf("%s of %s is %s after %v: %s", rec.Op, rec.Key, rec.Outcome, time.Duration(rec.End-rec.Start).Round(time.Millisecond), rec.Error)
		}
	}
	f.Slowest = max(f.Slowest, time.Duration(rec.End-rec.Start))
}

// feel measures one window. The records are in the order of their ends.
func (f *Felt) feel(records []*history.Record, w *window, high time.Duration) {
	f.Count++
	last := w.hit
	for _, rec := range records {
		if rec.End < w.hit || rec.End > w.end || rec.Outcome != history.OK {
			continue
		}
		if rec.Op != history.Get {
			f.Gap = max(f.Gap, time.Duration(rec.End-last))
			last = rec.End
		}
	}
	f.Gap = max(f.Gap, time.Duration(w.end-last))
	f.Raised = max(f.Raised, raised(records, w, high))
}

// A latency is raised that is so many times the usual one; a slot of time is that
// more than one in 100 of the requests which began in it have.
const (
	raisedBy   = 3
	raisedSlot = 250 * time.Millisecond
)

// raised is for how long, all slots of a window taken together, latency was.
// Nobody begins a request where all clients wait.
func raised(records []*history.Record, w *window, high time.Duration) time.Duration {
	slots := make([]struct{ all, slow int }, (w.end-w.hit)/int64(raisedSlot))
	for _, rec := range records {
		i := (rec.Start - w.hit) / int64(raisedSlot)
		if rec.Start < w.hit || i >= int64(len(slots)) || rec.Op == history.Incr && rec.Outcome != history.OK {
			continue
		}
		slots[i].all++
		if time.Duration(rec.End-rec.Start) > high {
			slots[i].slow++
		}
	}
	n := 0
	for _, s := range slots {
		if s.slow*100 > s.all || s.all == 0 {
			n++
		}
	}
	return time.Duration(n) * raisedSlot
}

// worst is the longest time without a write in which no quorum was away, and in
// which one was.
func (r *Result) worst() (one, more time.Duration) {
	for _, f := range r.Faults {
		if f.MayFail {
			more = max(more, f.Gap)
		} else {
			one = max(one, f.Gap)
		}
	}
	return one, more
}

// shown is how many problems are written out.
const shown = 20

// String is the table, what was found, and what is wrong.
func (r *Result) String() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "FAULT\tCOUNT\tFAILED\tUNKNOWN\tNO WRITES\tSLOWEST\tRAISED\t")
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	for _, f := range r.Faults {
		name := f.Name
		if f.MayFail {
			name += " *"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%v\t%v\t%v\t\n", name, f.Count, f.Failed, f.Unknown, round(f.Gap), round(f.Slowest), round(f.Raised))
	}
	_ = table.Flush() // to memory
	fmt.Fprintf(&b, "* requests may fail: too few nodes are there for a quorum\n")
	fmt.Fprintf(&b, "an increment whose node is gone in the middle stays unknown until every owner can tell whether it was carried out\n\n")
	fmt.Fprintf(&b, "seed %d, %v; 99 of 100 requests took at most %v while nothing was wrong\n", r.Seed, r.Took.Round(time.Second), r.Quiet.Round(10*time.Microsecond))
	fmt.Fprintf(&b, "%v\n", r.Report)
	one, more := r.worst()
	fmt.Fprintf(&b, "worst unavailability: %v with one node hurt, %v with too few for a quorum\n", round(one), round(more))
	fmt.Fprintf(&b, "%d reads: %d missed what was acknowledged before, %d saw what was not there\n", r.Reads, len(r.Stale.Lost), len(r.Stale.Phantom))
	for i, f := range slices.Concat(r.Stale.Lost, r.Stale.Phantom) {
		if i < shown {
			fmt.Fprintf(&b, "stale: %v\n", f)
		}
	}
	for i, p := range r.Problems {
		if i < shown {
			fmt.Fprintf(&b, "wrong: %s\n", p)
		}
	}
	if n := len(r.Problems); n > shown {
		fmt.Fprintf(&b, "wrong: ... and %d more\n", n-shown)
	}
	return b.String()
}
