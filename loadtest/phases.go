package loadtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
)

// plan notes when faults begin and end.
func (r *run) plan(steps []step) {
	if len(steps) == 0 {
		return
	}
	r.faultsAt = r.origin.Add(steps[0].at)
	if last := steps[len(steps)-1]; last.heal && last.at < r.opts.Duration {
		r.healedAt = r.origin.Add(last.at)
	}
}

// phaseOf names the phase of a moment, "warm-up" included.
func (r *run) phaseOf(at time.Time) string {
	switch {
	case at.Before(r.origin.Add(-r.opts.Warmup)):
		return PhaseQuiet
	case at.Before(r.origin):
		return "warm-up"
	case r.faultsAt.IsZero() || at.Before(r.faultsAt):
		return PhaseLoad
	case r.healedAt.IsZero() || at.Before(r.healedAt):
		return PhaseFault
	}
	return PhaseAfter
}

// measuredPhase is phaseOf for what is measured: "" for the warm-up.
func (r *run) measuredPhase(at time.Time) string {
	if p := r.phaseOf(at); p != "warm-up" {
		return p
	}
	return ""
}

// tellEvery is the pause between two reports of progress.
const tellEvery = time.Second

// tell reports progress until over.
func (r *run) tell(c *collector, over <-chan struct{}) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p := c.progress()
			r.mu.Lock()
			p.Phase = cmp.Or(r.stages, p.Phase)
			r.mu.Unlock()
			r.opts.Progress(p)
		case <-over:
			return
		}
	}
}

func (r *run) preloading(done int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done*10/r.opts.Preload != (done-preloadBatch)*10/r.opts.Preload {
		r.opts.Progress(Progress{Phase: fmt.Sprintf("preload %d of %d keys", done, r.opts.Preload)})
	}
}

// putMany puts registers, and records them.
func (r *run) putMany(ctx context.Context, first uint64, n int) error {
	s := r.sites[0]
	random := rand.New(rand.NewPCG(r.opts.Seed, first))
	var ops []client.Op
	var recs []*history.Record
	for i := range n {
		key := r.key(kindRegister, first+uint64(i))
		id := r.opts.Name + "/preload/" + strconv.FormatUint(first+uint64(i), 10)
		ops = append(ops, client.PutOp(key, r.padded(id, r.opts.Workload.ValueSize.Max, random)))
		recs = append(recs, &history.Record{
			Start: r.now(), Client: "preload", DC: s.dc, Bucket: r.opts.Bucket, Op: history.Put, Key: key, Arg: []string{id},
		})
	}
	results, err := s.client.BatchUpdate(ctx, ops, client.WithBucket(r.opts.Bucket), client.WithTimeout(preloadTimeout))
	if err != nil {
		return err
	}
	for i, res := range results {
		recs[i].End, recs[i].Outcome = r.now(), history.Outcome(client.OutcomeOf(res.Err).String())
		if res.Err != nil {
			return res.Err
		}
		recs[i].Tries = res.Result.Tries
		if d := res.Result.Dot; r.book != nil && d != (client.Dot{}) {
			recs[i].Dot = &history.Dot{Actor: d.Actor, Seq: d.Seq}
		}
		if r.book == nil {
			continue
		}
		if err := r.book.record(recs[i]); err != nil {
			return err
		}
	}
	return nil
}

// preloadTimeout bounds one request of the preload.
const preloadTimeout = 30 * time.Second

// report puts together what was measured.
func (r *run) report(started, ended time.Time, machine Machine, c *collector) *Report {
	o := &r.opts
	end := r.origin.Add(o.Duration)
	if ended.Before(end) {
		end = ended
	}
	seconds := max(0, end.Sub(r.origin).Seconds())
	out := &Report{
		Format: reportFormat, Version: o.Version, Started: started.UTC().Truncate(time.Millisecond), Workload: o.Workload.Name,
		Settings: r.settings(), Machine: machine, Seconds: seconds, Slice: c.every.Seconds(), Series: c.series(),
		Operations: []OperationResult{}, Pairs: []PairResult{}, Faults: []FaultEvent{},
	}
	errs := r.reportOperations(out, ended)
	lost := 0
	for _, p := range r.prober.pairs {
		out.Pairs = append(out.Pairs, p.result(r.measuredPhase))
		lost += p.dropped
	}
	r.reportFaults(out)
	if out.Late > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf(
			"%d operations were due and not begun by the end: the cluster or this machine is slower than --rate %v", out.Late, o.Rate))
	}
	if errs > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%d operations failed: error_reasons tell why", errs))
	}
	if lost > 0 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%d probes too many were not measured", lost))
	}
	if time.Now().Before(r.origin) || seconds == 0 {
		out.Warnings = append(out.Warnings, "interrupted before the load began")
	} else if ended.Before(r.origin.Add(o.Duration)) {
		out.Warnings = append(out.Warnings, "interrupted before the end")
	}
	return out
}

// reportOperations adds what the meters measured, and returns how many
// operations failed.
func (r *run) reportOperations(out *Report, ended time.Time) (errs int64) {
	for _, s := range r.sites {
		if s.pace != nil {
			out.Late += s.pace.late(ended)
		}
		for _, m := range s.meters {
			res := m.result(out.Seconds)
			if s.share == 0 && res.Count+res.Errors == 0 {
				continue
			}
			out.Operations = append(out.Operations, res)
			out.Rate += res.Rate
			errs += res.Errors
		}
	}
	return errs
}

// reportFaults adds the faults, and after each that heals when all was seen.
func (r *run) reportFaults(out *Report) {
	for _, e := range r.events {
		if e.Heal {
			if d, ok := r.prober.caughtUp(e.at); ok {
				e.CaughtUpMS = new(durationMS(d))
			}
		}
		out.Faults = append(out.Faults, e.FaultEvent)
		if e.Error != "" {
			out.Warnings = append(out.Warnings, fmt.Sprintf("fault %q was not carried out: %s", e.What, e.Error))
		}
	}
}

func (r *run) settings() Settings {
	o := &r.opts
	s := Settings{
		Loop: "closed", Rate: o.Rate, Concurrency: o.Concurrency,
		DurationMS: durationMS(o.Duration), WarmupMS: durationMS(o.Warmup), QuietMS: durationMS(o.Quiet), ProbeMS: durationMS(o.Probe),
		Keys: o.Workload.Keys, Preloaded: r.preloaded, Distribution: o.Workload.Distribution, ValueSize: o.Workload.ValueSize.String(),
		Consistency: cmp.Or(o.Workload.Consistency, "bucket's"), Bucket: o.Bucket, TTLMS: durationMS(o.Workload.TTL),
		Operations: map[string]float64{}, Shares: map[string]float64{}, Cluster: o.ClusterName, Seed: o.Seed,
	}
	if o.Rate > 0 {
		s.Loop = "open"
	}
	for _, op := range o.Workload.Operations {
		s.Operations[op.Op] = op.Weight
	}
	for _, site := range r.sites {
		s.Datacenters = append(s.Datacenters, site.dc)
		s.Shares[site.dc] = site.share
	}
	return s
}

// machineNow tells where this process runs, as far as the system says.
func machineNow() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		words := strings.Fields(string(text))
		m.LoadAvg = strings.Join(words[:min(3, len(words))], " ")
	}
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m
	}
	for line := range bytes.Lines(text) {
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}
