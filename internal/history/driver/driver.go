// Package driver is a small closed-loop load of unique values on several
// datacenters at once that leaves a history behind: workers increment counters,
// add and remove elements of sets and put registers through package client, and
// record what they did and were told.
//
// It owns the choice of operations and the reading of the final state. It does
// not judge: package history does. What its workers do follows from the seed;
// how they interleave, and what the cluster answers, does not.
package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
)

// Limits of a run.
const (
	maxWorkers = 1024 // of one datacenter
	maxKeys    = 1 << 20
)

// Mix says how often each operation is chosen, relative to the sum of all.
type Mix struct {
	Incr int // counters, by -9 to 99 and never 0
	SAdd int // sets, one or two unique elements
	SRem int // sets, an element that the worker added
	Put  int // registers, a unique value
}

// Options configures Run. Zero fields take the default named beside them.
type Options struct {
	Clients  []*client.Client  // required: one for each datacenter, with a DC label of its own
	Recorder *history.Recorder // required
	Ops      int               // operations of all workers together; no limit
	Duration time.Duration     // of the run; 10 s, or no limit if Ops or Stop is given
	Stop     <-chan struct{}   // closed, it ends the run as its time does; never
	Workers  int               // of each datacenter; 4
	Keys     int               // of each kind; 8
	Mix      Mix               // 4 Incr, 3 SAdd, 1 SRem, 3 Put
	Seed     uint64            // of every choice; 0 is a seed as good as any
	Name     string            // in keys and values: unique to the run in its bucket; "run"
	Bucket   string            // "default"
	Timeout  time.Duration     // of one operation; the client's
}

func (o Options) withDefaults() (Options, error) {
	if o.Duration == 0 && o.Ops == 0 && o.Stop == nil {
		o.Duration = 10 * time.Second
	}
	o.Workers = cmp.Or(o.Workers, 4)
	o.Keys = cmp.Or(o.Keys, 8)
	o.Mix = cmp.Or(o.Mix, Mix{Incr: 4, SAdd: 3, SRem: 1, Put: 3})
	o.Name = cmp.Or(o.Name, "run")
	o.Bucket = cmp.Or(o.Bucket, "default")
	return o, o.check()
}

func (o *Options) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("driver: "+format, args...)) }
	if len(o.Clients) == 0 {
		wrong("no clients: give one for each datacenter")
	}
	seen := map[string]bool{}
	for _, c := range o.Clients {
		if c.DC() == "" || seen[c.DC()] {
			wrong("datacenter label %q is empty or given to two clients", c.DC())
		}
		seen[c.DC()] = true
	}
	if o.Recorder == nil {
		wrong("no recorder")
	}
	if o.Workers < 0 || o.Workers > maxWorkers {
		wrong("%d workers of a datacenter, 1 to %d are allowed", o.Workers, maxWorkers)
	}
	if o.Keys < 0 || o.Keys > maxKeys {
		wrong("%d keys of a kind, 1 to %d are allowed", o.Keys, maxKeys)
	}
	if o.Ops < 0 || o.Duration < 0 || o.Timeout < 0 {
		wrong("negative Ops, Duration or Timeout")
	}
	if m := o.Mix; m.Incr < 0 || m.SAdd < 0 || m.SRem < 0 || m.Put < 0 || m.Incr+m.SAdd+m.Put <= 0 {
		wrong("mix %+v: no weight may be negative, and something must be written", m)
	}
	return errors.Join(errs...)
}

// Totals counts the operations of a run by outcome.
type Totals struct {
	Acked, Failed, Unknown int
	LastError              error // of any operation; nil if all succeeded
}

func (t *Totals) add(o Totals) {
	t.Acked += o.Acked
	t.Failed += o.Failed
	t.Unknown += o.Unknown
	t.LastError = cmp.Or(t.LastError, o.LastError)
}

// Run drives the load until its operations are done, its time is over or ctx
// is, waits for operations in flight and flushes the recorder. Operations that
// do not succeed are no error of the run: they are in the history.
func Run(ctx context.Context, o Options) (Totals, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Totals{}, err
	}
	// Workers see the end between operations, so that none is cut off by it.
	begin, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Duration > 0 {
		begin, cancel = context.WithTimeout(begin, o.Duration)
		defer cancel()
	}
	if o.Stop != nil {
		go func() {
			select {
			case <-o.Stop:
				cancel()
			case <-begin.Done():
			}
		}()
	}
	workers := newWorkers(&o)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total Totals
		errs  []error
	)
	for _, w := range workers {
		wg.Go(func() {
			err := w.run(begin, ctx)
			mu.Lock()
			defer mu.Unlock()
			total.add(w.totals)
			if err != nil {
				errs = append(errs, fmt.Errorf("worker %s: %w", w.name, err))
			}
		})
	}
	wg.Wait()
	return total, errors.Join(append(errs, o.Recorder.Flush())...)
}

// KeysOf are the keys that a run with these options writes.
func KeysOf(o Options) ([]string, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, kind := range []string{counter, set, register} {
		for i := range o.Keys {
			keys = append(keys, o.key(kind, i))
		}
	}
	return keys, nil
}

// Names of kinds in keys.
const (
	counter  = "counter"
	set      = "set"
	register = "register"
)

func (o *Options) key(kind string, i int) string { return fmt.Sprintf("%s:%s:%d", o.Name, kind, i) }
