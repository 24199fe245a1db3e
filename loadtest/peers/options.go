package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a run.
const (
	maxKeys        = 10_000_000
	minValue       = 16 // bytes: the key's number and the put's
	maxValue       = 1 << 20
	maxConcurrency = 4096
	maxRounds      = 99
	maxSeconds     = 600
)

// options are what a run may be told; parseOptions has the defaults.
type options struct {
	rounds      int
	each        time.Duration // of every measurement
	warmup      time.Duration // of load before it
	keys        int
	value       int // bytes
	concurrency []int
	systems     []string // beside godwit
	workloads   []workload
	markdown    bool              // tables for docs/benchmarks.md
	dir         string            // where a new directory of data is made
	keep        bool              // leave that directory
	perClient   int               // goroutines that share a client of etcd or of NATS
	binaries    map[string]string // of servers by their system; the others are looked for in PATH
}

// peerNames are the systems that godwit is compared with, in the order of tables.
func peerNames() []string { return []string{etcdName, natsName, redisName} }

func workloads() []workload { return []workload{put, get, incr} }

// clients is how many clients of etcd or NATS so many goroutines share.
func (o *options) clients(goroutines int) int {
	return (goroutines + o.perClient - 1) / o.perClient
}

// check reports everything that is wrong with o.
func (o *options) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	within := func(name string, v, least, most int) {
		if v < least || v > most {
			wrong("-%s %d is not between %d and %d", name, v, least, most)
		}
	}
	within("rounds", o.rounds, 1, maxRounds)
	within("value", o.value, minValue, maxValue)
	within("per-client", o.perClient, 1, maxConcurrency)
	within("seconds", int(o.each/time.Second), 1, maxSeconds)
	if o.warmup < 0 || o.warmup > maxSeconds*time.Second {
		wrong("-warmup %v is not between 0 and %d s", o.warmup, maxSeconds)
	}
	most := 1
	for i, c := range o.concurrency {
		within("concurrency", c, 1, maxConcurrency)
		if most = max(most, c); slices.Contains(o.concurrency[:i], c) {
			wrong("-concurrency names %d twice", c)
		}
	}
	// Each goroutine has keys of its own to put.
	within("keys", o.keys, most, maxKeys)
	for i, s := range o.systems {
		if !slices.Contains(peerNames(), s) {
			wrong("-systems: no system %q: there are %s", s, strings.Join(peerNames(), ", "))
		} else if slices.Contains(o.systems[:i], s) {
			wrong("-systems names %s twice", s)
		}
	}
	for i, w := range o.workloads {
		if !slices.Contains(workloads(), w) {
			wrong("-workloads: no workload %q: there are put, get, incr", w)
		} else if slices.Contains(o.workloads[:i], w) {
			wrong("-workloads names %s twice", w)
		}
	}
	return errors.Join(errs...)
}

// parseOptions reads the arguments of the command. Usage goes to errs; the error
// is flag.ErrHelp when nothing but it was asked for.
func parseOptions(args []string, errs io.Writer) (options, error) {
	f := flag.NewFlagSet("bench-peers", flag.ContinueOnError)
	f.SetOutput(errs)
	o := options{binaries: map[string]string{}}
	rounds := f.Int("rounds", 3, "`number` of rounds; a round measures every system once")
	seconds := f.Int("seconds", 5, "`seconds` of each measurement")
	warmup := f.Duration("warmup", time.Second, "`time` of load before each measurement")
	keys := f.Int("keys", 100_000, "`number` of keys, chosen uniformly")
	value := f.Int("value", 128, "`bytes` of a value")
	f.IntVar(&o.perClient, "per-client", 16, "`number` of goroutines that share a client of etcd or of NATS")
	concurrency := f.String("concurrency", "64,256", "`numbers` of goroutines")
	systems := f.String("systems", strings.Join(peerNames(), ","), "`names` of the systems beside godwit; none for godwit alone")
	loads := f.String("workloads", "put,get,incr", "`names` of the workloads")
	f.BoolVar(&o.markdown, "markdown", false, "print tables in Markdown")
	f.StringVar(&o.dir, "dir", os.TempDir(), "`directory` in which a new one for all data is made; it must be on a disk")
	f.BoolVar(&o.keep, "keep", false, "leave data and logs where they are")
	for _, name := range append([]string{godwitName}, peerNames()...) {
		usual := binaryName(name)
		f.Func(name, "`file` of "+usual+" (default: as found in PATH)", func(file string) error {
			abs, err := filepath.Abs(file)
			o.binaries[name] = abs
			return err
		})
	}
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("no argument was expected, got %q", f.Arg(0))
	}
	counts, err := numbers(*concurrency)
	if err != nil {
		return o, err
	}
	o.rounds, o.each, o.warmup, o.keys, o.value = *rounds, time.Duration(*seconds)*time.Second, *warmup, *keys, *value
	o.concurrency, o.systems = counts, list(*systems)
	o.workloads = []workload{}
	for _, w := range list(*loads) {
		o.workloads = append(o.workloads, workload(w))
	}
	if len(o.workloads) == 0 || len(o.concurrency) == 0 {
		return o, errors.New("-workloads and -concurrency name at least one each")
	}
	return o, o.check()
}

// list cuts a list at its commas; never nil.
func list(s string) []string {
	out := []string{}
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func numbers(s string) ([]int, error) {
	out := []int{}
	for _, p := range list(s) {
		n, err := strconv.Atoi(p)
		if err != nil {
			return nil, fmt.Errorf("-concurrency %q: want numbers with commas between them, such as 64,256", s)
		}
		out = append(out, n)
	}
	return out, nil
}
