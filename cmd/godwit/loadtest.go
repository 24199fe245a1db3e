package main

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/loadtest"
)

func (s *session) loadtestCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name: "loadtest", Category: categoryMeasure, Usage: "drive load at every datacenter and tell what regions feel",
			Subcommands: []*cli.Command{s.loadtestRun(), s.loadtestCompare()},
		},
		s.planCommand(),
	}
}

func (s *session) loadtestRun() *cli.Command {
	return s.leaf(spec{
		name: "run", usage: "run a workload, and write what it found; exit 7 if --check finds a broken promise",
		flags: clusterFlags(
			&cli.StringFlag{Name: "workload", Usage: "`NAME` (" + strings.Join(loadtest.PresetNames(), ", ") + ") or a YAML file"},
			&cli.Float64Flag{Name: "rate", Usage: "operations a second over all datacenters, whoever is slow (an open loop); without it as many as --concurrency allows"},
			&cli.IntFlag{Name: "concurrency", Usage: "operations at once over all datacenters (default: 32; with --rate 64 a datacenter)"},
			&cli.DurationFlag{Name: "duration", Value: 30 * time.Second, Usage: "of the measured load"},
			&cli.DurationFlag{Name: "warmup", Usage: "load before that (default: a tenth of it, at most 5s; negative: none)"},
			&cli.DurationFlag{Name: "quiet", Usage: "probes without load before that (default: a tenth, at most 3s; negative: none)"},
			&cli.DurationFlag{Name: "probe", Value: 100 * time.Millisecond, Usage: "between probes from each datacenter to the others; negative: none"},
			&cli.StringFlag{Name: "emulate", Usage: "start a cluster of its own behind an emulated WAN: 2dc, 3dc or a topology `FILE`"},
			&cli.IntFlag{Name: "nodes", Value: 3, Usage: "of each emulated datacenter"},
			&cli.BoolFlag{Name: "memory", Usage: "keep the data of emulated nodes in memory"},
			&cli.StringFlag{Name: "rtt", Value: "preset", Usage: "round trips between datacenters: use1-euw1=76ms,... of --emulate, or to count the excess over where links are real"},
			&cli.PathFlag{Name: "faults", Usage: "`FILE` of faults and their times"},
			&cli.Uint64Flag{Name: "keys", Usage: "`N` keys of each kind (default: the workload's)"},
			&cli.StringFlag{Name: "value-size", Usage: "`SIZE` of values, such as 128 or 100-2KiB"},
			&cli.StringFlag{Name: "dist", Usage: "keys are chosen: zipfian, uniform, latest or hot"},
			&cli.Float64Flag{Name: "theta", Usage: "exponent of zipfian and latest"},
			&cli.Int64Flag{Name: "preload", Usage: "keys put before those that read (default: all, at most 10000; negative: none)"},
			&cli.IntFlag{Name: "acks-dc", Usage: "writes wait until `N` other datacenters hold them"},
			&cli.StringFlag{Name: "transport", Value: "pipelined", Usage: "of the client: pipelined or unary"},
			&cli.BoolFlag{Name: "check", Usage: "keep a history and judge what was acknowledged, lost, made up, and when all was equal"},
			&cli.PathFlag{Name: "history", Usage: "keep the history of --check in `FILE`"},
			&cli.DurationFlag{Name: "settle", Value: time.Minute, Usage: "longest wait for equality in the end"},
			&cli.Uint64Flag{Name: "seed", Usage: "of every choice"},
			&cli.PathFlag{Name: "out", Usage: "write a page of HTML to `FILE`"},
			&cli.PathFlag{Name: "json", Usage: "write a report in JSON to `FILE`"},
			&cli.PathFlag{Name: "markdown", Usage: "write tables in Markdown to `FILE`"},
		),
		run: runLoadtest,
	})
}

func runLoadtest(in *invocation) error {
	o, err := loadtestOptions(in)
	if err != nil {
		return err
	}
	test := &loadTest{in: in, opts: o}
	if test.transport, err = transportOf(in); err != nil {
		return err
	}
	if err := checkOutputs(in); err != nil {
		return err
	}
	if what := in.String("emulate"); what != "" {
		if err := test.emulate(what); err != nil {
			return err
		}
	} else if err := test.find(); err != nil {
		return err
	}
	report, err := test.run()
	if e := test.close(); err == nil && e != nil {
		err = e
	}
	if report != nil {
		err = errors.Join(err, test.write(report))
	}
	switch {
	case errors.Is(err, loadtest.ErrOptions):
		return usagef("%s", err)
	case err != nil:
		return err
	case !report.Check.OK():
		return checkFailed()
	}
	return nil
}

// loadtestOptions are what the flags say, files read.
func loadtestOptions(in *invocation) (loadtest.Options, error) {
	o := loadtest.Options{
		Rate: in.Float64("rate"), Concurrency: in.Int("concurrency"), Duration: in.Duration("duration"), Warmup: in.Duration("warmup"),
		Quiet: in.Duration("quiet"), Probe: in.Duration("probe"), Settle: in.Duration("settle"), Preload: in.Int64("preload"),
		Check: in.Bool("check"), HistoryFile: in.Path("history"), Bucket: in.bucket(), Timeout: in.Duration("timeout"),
		Seed: in.Uint64("seed"), AcksDC: in.Int("acks-dc"), Version: in.s.version, ClusterName: "given",
	}
	if _, err := in.options(); err != nil {
		return o, err
	}
	if in.Bool("strict") {
		o.CallOptions = append(o.CallOptions, client.WithStrict())
	}
	o.CallOptions = append(o.CallOptions, client.WithR(int(in.Uint("r"))), client.WithW(int(in.Uint("w"))))
	if err := in.notZero("rate", "concurrency", "duration", "probe", "settle", "theta", "preload"); err != nil {
		return o, err
	}
	if o.HistoryFile != "" && !o.Check {
		return o, usagef("--history belongs to --check")
	}
	if o.Check {
		o.Name = "load-" + strconv.FormatInt(in.s.now().UnixNano(), 36)
	}
	var err error
	if o.Workload, err = workloadOf(in); err != nil {
		return o, err
	}
	if err := o.Workload.Check(); err != nil {
		return o, usagef("%s", err)
	}
	file := in.Path("faults")
	if file == "" {
		return o, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return o, usagef("--faults: %s", err)
	}
	if o.Faults, err = loadtest.ParseFaults(file, text); err != nil {
		return o, usagef("%s", err)
	}
	return o, nil
}

// notZero refuses flags of numbers and times that were given as 0, which fields of
// options take for their default.
func (in *invocation) notZero(flags ...string) error {
	for _, flag := range flags {
		if text := in.String(flag); in.IsSet(flag) && (text == "0" || text == "-0" || text == "0s") {
			return usagef("--%s 0: give more than 0, or leave the flag away", flag)
		}
	}
	return nil
}

func transportOf(in *invocation) (client.Transport, error) {
	switch name := in.String("transport"); name {
	case "pipelined":
		return client.Pipelined, nil
	case "unary":
		return client.Unary, nil
	default:
		return 0, usagef("--transport %q is neither pipelined nor unary", name)
	}
}

func workloadOf(in *invocation) (loadtest.Workload, error) {
	name := in.String("workload")
	if name == "" {
		return loadtest.Workload{}, usagef("give --workload: one of %s, or a YAML file", strings.Join(loadtest.PresetNames(), ", "))
	}
	w, ok := loadtest.Preset(name)
	if !ok {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			return w, usagef("--workload %q is no file, and none of %s%s", name, strings.Join(loadtest.PresetNames(), ", "), didYouMean(name, loadtest.PresetNames()))
		}
		if err != nil {
			return w, usagef("--workload: %s", err)
		}
		if w, err = loadtest.ParseWorkload(name, text); err != nil {
			return w, usagef("%s", err)
		}
	}
	if in.IsSet("keys") {
		w.Keys = in.Uint64("keys")
	}
	if text := in.String("value-size"); text != "" {
		size, err := loadtest.ParseSize(text)
		if err != nil {
			return w, usagef("--value-size: %s", err)
		}
		w.SetValueSize(size)
	}
	if level := in.String("consistency"); level != "" {
		w.SetConsistency(level)
	}
	if in.IsSet("dist") {
		w.Distribution = loadtest.Distribution(in.String("dist"))
		if !slices.Contains(loadtest.Distributions(), in.String("dist")) {
			return w, usagef("--dist %q is none of %s", in.String("dist"), strings.Join(loadtest.Distributions(), ", "))
		}
	}
	if in.IsSet("theta") {
		w.Theta = in.Float64("theta")
	}
	return w, nil
}
