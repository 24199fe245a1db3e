package loadtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/godwitdb/godwit/client"
)

// Limits of a run.
const (
	maxConcurrency  = 65_536
	maxRate         = 10_000_000
	maxDuration     = 24 * time.Hour
	defaultPreload  = 10_000
	closedWorkers   = 32
	openWorkers     = 64 // of each datacenter
	defaultDuration = 30 * time.Second
)

// Options configures Run. Zero fields take the default named beside them.
type Options struct {
	Clients     []*client.Client // required: one for each datacenter, with a DC label of its own
	Cluster     Cluster          // no faults, delays unknown, equality judged by what keys hold
	ClusterName string           // for the report
	Workload    Workload         // required
	Faults      []Fault

	Rate        float64       // operations a second over all datacenters, an open loop; 0: a closed loop
	Concurrency int           // operations at once over all datacenters; 32, or 64 for each in an open loop
	Duration    time.Duration // of the measured load; 30 s
	Warmup      time.Duration // of load before that; a tenth of Duration, at most 5 s; negative: none
	Quiet       time.Duration // of probes alone before that; a tenth of Duration, at most 3 s; negative: none
	Probe       time.Duration // between probes of a datacenter; 100 ms; negative: none
	Settle      time.Duration // longest wait for equality in the end; 60 s
	Preload     int64         // keys put before reads; the lesser of Keys and 10,000; negative: none

	Check       bool   // keep a history and judge it
	HistoryFile string // where it stays; removed after the check

	Bucket      string        // "default"
	Name        string        // in keys and values; with Check unique to the run; "load"
	Timeout     time.Duration // of one operation; 5 s
	Seed        uint64        // of every choice; one as good as any
	AcksDC      int           // other datacenters that a write waits for; those that do not come in time fail it
	CallOptions []client.CallOption
	Progress    func(Progress) // told about once a second; from one goroutine at a time
	Version     string         // for the report
}

func (o Options) withDefaults() Options {
	o.Workload = o.Workload.withDefaults()
	o.Duration = cmp.Or(o.Duration, defaultDuration)
	o.Warmup = max(0, cmp.Or(o.Warmup, min(5*time.Second, o.Duration/10)))
	o.Quiet = max(0, cmp.Or(o.Quiet, min(3*time.Second, o.Duration/10)))
	o.Probe = max(0, cmp.Or(o.Probe, 100*time.Millisecond))
	o.Settle = cmp.Or(o.Settle, time.Minute)
	if o.Preload == 0 {
		o.Preload = int64(min(defaultPreload, o.Workload.Keys))
	}
	o.Preload = max(0, min(o.Preload, int64(o.Workload.Keys)))
	if o.Concurrency == 0 {
		o.Concurrency = closedWorkers
		if o.Rate > 0 {
			o.Concurrency = openWorkers * max(1, len(o.Clients))
		}
	}
	o.Bucket = cmp.Or(o.Bucket, "default")
	o.Name = cmp.Or(o.Name, "load")
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	o.Seed = cmp.Or(o.Seed, uint64(time.Now().UnixNano()))
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}

// Validate reports everything that is wrong with options for a run at datacenters of
// these names, so that it can be told before clusters are started.
func (o Options) Validate(dcs []string) error {
	o = o.withDefaults()
	return errors.Join(o.problems(dcs)...)
}

// ErrOptions reports options with which no run can be made.
var ErrOptions = errors.New("loadtest")

func wrongOption(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...)
}

// check is problems of a run that is about to begin.
func (o *Options) check() error {
	var errs []error
	var dcs []string
	if len(o.Clients) == 0 {
		errs = append(errs, wrongOption("no clients: give one for each datacenter"))
	}
	for _, c := range o.Clients {
		if c.DC() == "" || slices.Contains(dcs, c.DC()) {
			errs = append(errs, wrongOption("datacenter label %q is empty or given to two clients", c.DC()))
		}
		dcs = append(dcs, c.DC())
	}
	if len(o.Faults) > 0 && o.Cluster == nil {
		errs = append(errs, wrongOption("faults need a cluster that carries them out"))
	}
	return errors.Join(append(errs, o.problems(dcs)...)...)
}

func (o *Options) problems(dcs []string) []error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, wrongOption(format, args...)) }
	if !(o.Rate >= 0 && o.Rate <= maxRate) { // NaN is neither
		wrong("rate %v is not between 0 and %d", o.Rate, maxRate)
	}
	if o.Concurrency < 1 || o.Concurrency > maxConcurrency {
		wrong("concurrency %d is not between 1 and %d", o.Concurrency, maxConcurrency)
	}
	if o.Duration < leastSlice || o.Duration > maxDuration || o.Warmup > maxDuration || o.Quiet > maxDuration {
		wrong("a duration of %v is not between %v and %v", o.Duration, leastSlice, maxDuration)
	}
	if o.Settle < 0 || o.Timeout < 0 {
		wrong("negative Settle or Timeout")
	}
	if o.Check && o.Workload.TTL > 0 {
		wrong("a workload with a ttl cannot be checked: what expires looks as if it were lost")
	}
	if o.AcksDC < 0 || len(dcs) > 0 && o.AcksDC >= len(dcs) {
		wrong("writes cannot wait for %d other datacenters of %d", o.AcksDC, len(dcs))
	}
	if err := o.Workload.Check(); err != nil {
		wrong("%w", err)
	} else if len(dcs) > 0 {
		if err := o.Workload.sharesKnown(dcs); err != nil {
			wrong("%w", err)
		}
	}
	return errs
}

// openHistory is the file that a history is written to, and what removes it.
func (o *Options) openHistory() (*os.File, func() error, error) {
	if o.HistoryFile != "" {
		f, err := os.Create(o.HistoryFile)
		if err != nil {
			return nil, nil, fmt.Errorf("keep a history: %w", err)
		}
		return f, f.Close, nil
	}
	f, err := os.CreateTemp("", "godwit-history-*.jsonl")
	if err != nil {
		return nil, nil, fmt.Errorf("keep a history: %w", err)
	}
	return f, func() error { return errors.Join(f.Close(), os.Remove(f.Name())) }, nil
}
