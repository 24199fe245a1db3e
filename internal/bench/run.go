package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Run starts the nodes, and the echo, puts the keys and runs all loads in rounds.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &runner{o: o}
	defer func() { err = errors.Join(err, r.stop()) }()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	res = &Result{Nodes: o.Nodes, Keys: o.Keys, Rounds: o.Rounds, For: o.For, Against: o.Against != ""}
	if res.Sync, err = syncTime(o.Dir); err != nil {
		return nil, err
	}
	for n := range o.Rounds {
		for i := range r.steps {
			if err := r.step(ctx, res, &r.steps[i], n); err != nil {
				return nil, err
			}
		}
	}
	return res, nil
}

// runner is the servers of a run and what is asked of them.
type runner struct {
	o      Options
	echo   *process
	hangUp func()
	dcs    []*datacenter // of one build, or of two
	steps  []step
}

// step is a load with the servers whose CPU time it takes.
type step struct {
	load

	build string // "" for the echo
	node  *datacenter
	cpu   func() time.Duration
}

// suffix tells the builds apart.
func (s *step) suffix() string {
	if s.build == "" {
		return ""
	}
	return " of " + s.build
}

func (r *runner) start(ctx context.Context) error {
	echo, kv, hangUp, err := startEcho(ctx, &r.o)
	if r.echo, r.hangUp = echo, hangUp; err != nil {
		return err
	}
	r.add(step{load: echoLoad(kv, r.o.Keys), cpu: echo.cpu}, true)
	for _, b := range []struct{ name, binary string }{{"this", r.o.Binary}, {"against", r.o.Against}} {
		if b.binary == "" {
			continue
		}
		d, err := startDatacenter(ctx, &r.o, b.name, b.binary)
		r.dcs = append(r.dcs, d)
		if err != nil {
			return err
		}
		fmt.Fprintf(r.o.Out, "putting %d keys\n", r.o.Keys)
		if err := d.fill(ctx, 0, r.o.Keys); err != nil {
			return err
		}
		for _, l := range loads(d, r.o.Keys) {
			r.add(step{load: l, build: b.name, node: d, cpu: d.cpu}, false)
		}
	}
	// Builds take turns, load by load: what the machine does meanwhile changes.
	place := map[string]int{}
	for _, s := range r.steps {
		if _, ok := place[s.name()]; !ok {
			place[s.name()] = len(place)
		}
	}
	slices.SortStableFunc(r.steps, func(a, b step) int { return place[a.name()] - place[b.name()] })
	return nil
}

// loads are all that a datacenter is asked for. Those at half of the top rate
// come after the ones that tell it.
func loads(d *datacenter, keys int) []load {
	return slices.Concat(
		unaryLoads(d.unary, keys, 64), clientLoads(d.client, keys, 64), clientLoads(d.client, keys, 256),
		unaryLoads(d.unary, keys, 1)[:2], clientLoads(d.client, keys, 1)[:2], pacedLoads(d.client, keys, 256),
	)
}

// add keeps a step that was asked for.
func (r *runner) add(s step, always bool) {
	if always || len(r.o.Only) == 0 || slices.ContainsFunc(r.o.Only, func(part string) bool { return strings.Contains(s.name(), part) }) {
		r.steps = append(r.steps, s)
	}
}

// step runs one load once.
func (r *runner) step(ctx context.Context, res *Result, s *step, round int) error {
	profiled := make(chan error, 1)
	if s.node != nil && r.o.Profile != "" && round == r.o.Rounds-1 {
		go func() { profiled <- r.profile(ctx, s) }()
	} else {
		profiled <- nil
	}
	rate := 0.0
	if of, ok := strings.CutSuffix(s.op, half); ok {
		rate = res.top(of, s.build, round) / 2
	}
	f, err := s.run(ctx, r.o.For, rate, s.cpu)
	if err := errors.Join(err, <-profiled); err != nil {
		return err
	}
	fmt.Fprintf(r.o.Out, "round %d: %s%s: %.0f a second, %v of CPU each\n", round+1, s.name(), s.suffix(), f.Rate, f.CPU)
	res.add(&s.load, s.build, f)
	return nil
}

// profile keeps a CPU profile of the first node while a load runs.
func (r *runner) profile(ctx context.Context, s *step) error {
	at := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", s.node.nodes[0].Ports.HTTP, max(int(r.o.For/time.Second), 1))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile %s: %w", s.name(), err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	f, err := os.Create(filepath.Join(r.o.Profile, strings.ReplaceAll(s.name(), "/", "-")+"."+s.build+".pprof"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

func (r *runner) stop() error {
	var errs []error
	for _, d := range r.dcs {
		errs = append(errs, d.stop())
	}
	if r.hangUp != nil {
		r.hangUp()
	}
	if r.echo != nil {
		errs = append(errs, r.echo.stop())
	}
	return errors.Join(errs...)
}
