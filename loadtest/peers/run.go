package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	preloaders = 256 // goroutines that put every key once
	idleTime   = 3 * time.Second
	settleTime = 2 * time.Second // behind the puts of every key
	seedStep   = 1 << 32
)

// bench is one run: systems that were started, and what was measured of them.
type bench struct {
	opts    options
	names   keyNames
	systems []*system
	rows    []row
	idle    map[string]float64 // share of one core that a system's servers use when nobody asks them
	say     io.Writer          // progress, a line at a time
}

// starters start systems by their names, in the order of tables.
func starters(o options) []func(context.Context, *lab) (*system, error) {
	all := []func(context.Context, *lab) (*system, error){startEcho, startGodwit}
	for _, name := range o.systems {
		switch name {
		case etcdName:
			all = append(all, startEtcd)
		case natsName:
			all = append(all, startNATS)
		case redisName:
			all = append(all, startRedis)
		}
	}
	return all
}

// start starts all systems, one after another, puts every key once, and sees
// what they do when nobody asks them anything. What was started is in
// b.systems, also if it fails.
func (b *bench) start(ctx context.Context, l *lab) error {
	for _, start := range starters(b.opts) {
		s, err := start(ctx, l)
		if s != nil {
			b.systems = append(b.systems, s)
			s.book, s.counters = newBook(b.opts.keys), newBook(b.opts.keys)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(b.say, "started %s: %s\n", s.name, s.version)
	}
	for _, s := range b.systems {
		if s.name == echoName {
			continue
		}
		began := time.Now()
		if err := b.preload(ctx, s); err != nil {
			return fmt.Errorf("put every key to %s: %w", s.name, err)
		}
		fmt.Fprintf(b.say, "%s: put %d keys in %.1f s\n", s.name, b.opts.keys, time.Since(began).Seconds())
	}
	return b.watchIdle(ctx)
}

// stop ends all servers.
func (b *bench) stop() error {
	var errs []error
	for _, s := range b.systems {
		errs = append(errs, s.stop())
	}
	return errors.Join(errs...)
}

// preload puts every key once.
func (b *bench) preload(ctx context.Context, s *system) error {
	session, err := s.ways[0].open(ctx, preloaders)
	if err != nil {
		return err
	}
	var next atomic.Int64
	errs := make(chan error, preloaders)
	var all sync.WaitGroup
	for range preloaders {
		all.Go(func() {
			value := make([]byte, b.opts.value)
			for key := int(next.Add(1)) - 1; key < b.opts.keys; key = int(next.Add(1)) - 1 {
				fillValue(value, key, uint64(s.book.begin(key)))
				if err := session.put(ctx, b.names.registers[key], value); err != nil {
					errs <- err
					return
				}
				s.book.acknowledge(key)
			}
		})
	}
	all.Wait()
	close(errs)
	return errors.Join(<-errs, session.close())
}

func (b *bench) watchIdle(ctx context.Context) error {
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	before := map[string]time.Duration{}
	for _, s := range b.systems {
		d, err := s.cpu()
		if err != nil {
			return err
		}
		before[s.name] = d
	}
	if err := pause(ctx, idleTime); err != nil {
		return err
	}
	b.idle = map[string]float64{}
	for _, s := range b.systems {
		d, err := s.cpu()
		if err != nil {
			return err
		}
		b.idle[s.name] = (d - before[s.name]).Seconds() / idleTime.Seconds()
	}
	return nil
}

// measure runs all rounds.
func (b *bench) measure(ctx context.Context) error {
	all := turns(b.systems, b.opts.workloads, b.opts.concurrency)
	at := map[turn]int{}
	for i, t := range all {
		b.rows = append(b.rows, row{turn: t})
		at[t] = i
	}
	for round := range b.opts.rounds {
		for i, t := range rotated(all, round) {
			s, err := b.once(ctx, t, uint64(round*len(all)+i+1)*seedStep)
			if err != nil {
				return fmt.Errorf("round %d, %s of %s with %d goroutines: %w", round+1, t.workload, t.way.name, t.concurrency, err)
			}
			r := &b.rows[at[t]]
			r.samples = append(r.samples, s)
			cpu, _ := s.perOp()
			fmt.Fprintf(b.say, "round %d of %d  %-4s %3d  %-12s %9s/s  %s of the servers' CPU each%s\n",
				round+1, b.opts.rounds, t.workload, t.concurrency, t.way.name, count(s.rate()), micros(cpu), s.faults.brief())
		}
	}
	return nil
}

// once makes one measurement.
func (b *bench) once(ctx context.Context, t turn, seed uint64) (sample, error) {
	session, err := t.way.open(ctx, t.concurrency)
	if err != nil {
		return sample{}, err
	}
	l := load{
		session: session, workload: t.workload, concurrency: t.concurrency, warmup: b.opts.warmup, each: b.opts.each,
		value: b.opts.value, keys: b.names.registers, book: t.way.system.book, seed: seed,
		cpu: func() (servers, client time.Duration, err error) {
			if servers, err = t.way.system.cpu(); err == nil {
				client, err = ownCPU()
			}
			return servers, client, err
		},
	}
	if t.workload == incr {
		l.keys, l.book = b.names.counters, t.way.system.counters
	}
	s, err := l.run(ctx)
	return s, errors.Join(err, session.close())
}

// broken reports what godwit got wrong: promises, not speed.
func (b *bench) broken() error {
	var errs []error
	for _, r := range b.rows {
		if f := r.faults(); r.turn.way.system.name == godwitName && f.wrong+f.lost > 0 {
			errs = append(errs, fmt.Errorf("%s of %s with %d goroutines: %d reads wrong, %d writes lost, the first: %w",
				r.turn.workload, r.turn.way.name, r.turn.concurrency, f.wrong, f.lost, f.first))
		}
	}
	return errors.Join(errs...)
}
