package sim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/history"
)

// healLimit is how long replicas may take to become equal, in virtual time.
const healLimit = 90 * time.Second

// run is one seed.
type run struct {
	plan    Plan
	cluster *Cluster
	ended   atomic.Bool
	asked   sync.WaitGroup // requests that nodes have not carried out, also those that clients no longer wait for

	mu      sync.Mutex
	history []*history.Record
	promise map[*history.Record]strength
	gone    []history.Key // values that are deleted for ever: of key Bucket, the value Key
	counts  map[string]int
}

// Result is what became of a seed.
type Result struct {
	Plan     Plan
	Failures []string // broken promises; none is what is hoped for
	Records  []*history.Record
	Healed   time.Duration // virtual time until all replicas were equal
	Harm     map[string]int
	Messages int
	Trimmed  int // answers that a log no longer reached back to what a replica lacked
	Compared int // comparisons of a partition with another datacenter
	Report   *history.Report
}

// String is a line of figures and a line for each failure.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %v nodes, faults [%s], %v; %d operations, %d messages, equal after %v",
		r.Plan.Seed, r.Plan.Nodes, r.Plan, r.Harm, len(r.Records), r.Messages, r.Healed)
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "\n  %s", f)
	}
	return b.String()
}

// Change lets a test alter the options of a cluster before it starts.
type Change func(*Options)

// Run carries out a plan. It must be called inside a bubble of its own.
func Run(p Plan, logger *slog.Logger, change ...Change) *Result {
	o := Options{Seed: p.Seed, Nodes: p.Nodes, Partitions: p.partitions(), Logger: logger, Orphans: p.losesData()}
	if p.has("smalllog") {
		o.LogBytes = 1
	}
	for _, c := range change {
		c(&o)
	}
	r := &run{plan: p, cluster: New(o), promise: map[*history.Record]strength{}, counts: map[string]int{}}
	defer r.cluster.Close()
	m := &nemesis{run: r, backup: map[*Node]*vfs.MemFS{}, done: map[string]int{}}
	var work sync.WaitGroup
	for i := range p.Clients {
		c := &client{run: r, home: r.cluster.DCs[i%len(r.cluster.DCs)], name: fmt.Sprintf("c%d", i+1), rnd: rand.New(rand.NewPCG(p.Seed, 100+uint64(i)))}
		work.Go(c.work)
	}
	work.Go(m.harass)
	pause(p.Duration)
	r.ended.Store(true)
	work.Wait()
	m.overflow()
	r.cluster.heal()
	m.goOn()
	r.asked.Wait()
	r.cluster.net.settle() // else what is late comes after the judgement

	res := &Result{Plan: p, Harm: m.done}
	var why string
	if res.Healed, why = r.cluster.converge(healLimit); why != "" {
		r.cluster.watch.fail("not equal %v after the faults: %s", res.Healed, why)
	}
	r.judge(res)
	return res
}

// over reports whether clients and faults are to end.
func (r *run) over() bool { return r.ended.Load() }

func (r *run) note(rec *history.Record, s strength) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, rec)
	r.promise[rec] = s
	r.counts[string(rec.Outcome)]++
}

func (r *run) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

func (r *run) mustBeGone(key, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = append(r.gone, history.Key{Bucket: key, Key: value})
}

// judge holds what clients were told against what is there.
func (r *run) judge(res *Result) {
	w := r.cluster.watch
	res.Records = r.history
	for _, rec := range r.history {
		if err := rec.Check(); err != nil {
			w.fail("record: %v", err)
		}
		if rec.Dot != nil {
			w.ledger.Saw(*rec.Dot, history.Key{Bucket: rec.Bucket, Key: rec.Key}, "client", rec.Client)
		}
	}
	final, err := r.final()
	if err != nil {
		w.fail("read what is there in the end: %v", err)
	}
	weak := r.weakened()
	report := history.Check(weak, final)
	found := []string{}
	if !report.OK() {
		found = append(found, report.String())
	}
	found = append(found, r.quorums(final)...)
	if l := w.ledger.Report(); !l.OK() {
		found = append(found, "dots: "+l.String())
	}
	for _, g := range r.gone {
		for name, values := range final {
			if v := values[history.Key{Bucket: bucketSync, Key: g.Bucket}]; slices.Contains(v.Live, g.Key) {
				found = append(found, fmt.Sprintf("value %s of %s is back in %s: it was deleted by name", g.Key, g.Bucket, name))
			}
		}
	}
	messages, trimmed, compared := w.counts()
	if trimmed > 0 && !r.plan.losesData() && !r.plan.has("smalllog") {
		found = append(found, fmt.Sprintf("%d times a log had been trimmed of what a replica lacked", trimmed))
	}
	res.Messages, res.Trimmed, res.Compared, res.Report = messages, trimmed, compared, report
	res.Failures = append(w.failed(), found...)
}

// quorums holds what quorums promise against what was read: strong reads and
// deletes of a datacenter see the strong writes that it acknowledged before, and
// of those of another one they may see any.
func (r *run) quorums(final history.State) (found []string) {
	for _, d := range r.cluster.DCs {
		isStrong := func(rec *history.Record) bool { return r.promise[rec] == strong && rec.DC == d.Name }
		for name, part := range map[string]*history.Report{
			"reads": history.CheckReads(r.history, isStrong), "deletes": history.CheckDeletes(r.history, final, isStrong),
		} {
			if !part.OK() {
				found = append(found, fmt.Sprintf("%s in %s: %s", name, d.Name, part))
			}
		}
	}
	return found
}

// weakened is the history as it binds a cluster whose replicas lose data: what
// one replica acknowledged may then be gone.
func (r *run) weakened() []*history.Record {
	if !r.plan.losesData() {
		return r.history
	}
	out := slices.Clone(r.history)
	for i, rec := range out {
		if rec.Outcome == history.OK && r.promise[rec] == weak {
			c := *rec
			c.Outcome, c.Dot = history.Unknown, nil
			out[i] = &c
		}
	}
	return out
}

// final reads every key of the histories, in every datacenter from all replicas.
func (r *run) final() (history.State, error) {
	out := history.State{}
	for _, d := range r.cluster.DCs {
		values, err := d.final()
		if err != nil {
			return nil, err
		}
		out[d.Name] = values
	}
	return out, nil
}

func (d *DC) final() (map[history.Key]history.Value, error) {
	values := map[history.Key]history.Value{}
	for _, kind := range []string{"counter", "register", "set"} {
		for i := range keysOfKind {
			key := fmt.Sprintf("%s-%d", kind, i)
			l := d.Nodes[0].current()
			if l == nil {
				return nil, fmt.Errorf("%s is down", d.Nodes[0])
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			got, err := l.dc.Get(ctx, &v1.GetRequest{
				Bucket: bucketSync, Key: []byte(key), Options: &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ALL},
			})
			cancel()
			if err != nil && dc.AsError(err).Reason != "NOT_FOUND" {
				return nil, fmt.Errorf("key %s: %w", key, err)
			}
			values[history.Key{Bucket: bucketSync, Key: key}] = valueOf(got)
		}
	}
	return values, nil
}
