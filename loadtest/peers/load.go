package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Limits of a measurement.
const (
	graceTime  = 10 * time.Second // after which calls under way are given up
	errorPause = 20 * time.Millisecond
	readBack   = 1000 // keys that are read again after writes, all goroutines together
	lateTime   = 3 * time.Second
	latePause  = 20 * time.Millisecond
)

// load is what one measurement asks, and of whom.
type load struct {
	session     session
	workload    workload
	concurrency int
	warmup      time.Duration
	each        time.Duration
	value       int // bytes
	keys        []string
	book        *book
	seed        uint64
	cpu         func() (servers, client time.Duration, err error)
}

// phases of a measurement, as its goroutines see them.
const (
	warming int32 = iota
	measuring
	over
)

// run drives the load and returns what it measured. Afterwards what was written
// is read again in a sample.
func (l *load) run(ctx context.Context) (sample, error) {
	calls, cancel := context.WithTimeout(ctx, l.warmup+l.each+graceTime)
	defer cancel()
	var phase atomic.Int32
	workers := make([]*worker, l.concurrency)
	var all sync.WaitGroup
	for i := range workers {
		w := &worker{load: l, index: i, phase: &phase, times: newTimes(), rnd: rand.New(rand.NewPCG(l.seed, uint64(i)))}
		w.value, w.scratch = make([]byte, l.value), make([]byte, l.value)
		workers[i] = w
		all.Go(func() { w.work(calls) })
	}
	s, err := l.watch(ctx, &phase)
	if phase.Store(over); err != nil {
		cancel()
	}
	all.Wait()
	if err != nil {
		return sample{}, err
	}
	s.times = newTimes()
	for _, w := range workers {
		s.ops += w.ops
		s.times.Merge(w.times)
		s.faults.add(w.faults)
	}
	if l.workload != put && l.workload != incr {
		return s, nil
	}
	for _, w := range workers {
		all.Go(func() { w.readAgain(ctx) })
	}
	all.Wait()
	for _, w := range workers {
		s.faults.add(w.again)
	}
	return s, ctx.Err()
}

// watch lets the phases follow each other and reads the CPU at both ends of the
// measurement.
func (l *load) watch(ctx context.Context, phase *atomic.Int32) (sample, error) {
	if err := pause(ctx, l.warmup); err != nil {
		return sample{}, err
	}
	servers, client, err := l.cpu()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	phase.Store(measuring)
	if err := pause(ctx, l.each); err != nil {
		return sample{}, err
	}
	phase.Store(over)
	took := time.Since(began)
	serversAfter, clientAfter, err := l.cpu()
	return sample{took: took, cpu: serversAfter - servers, client: clientAfter - client}, err
}

// pause waits, less if ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// worker is one goroutine of a load. It alone writes the keys whose number
// leaves its index when divided by the number of workers, so it knows what they
// must hold; together the workers choose all keys uniformly.
type worker struct {
	*load
	index   int
	phase   *atomic.Int32
	rnd     *rand.Rand
	value   []byte
	scratch []byte

	ops    int64
	times  *hdrhistogram.Histogram
	faults faults
	wrote  []int // a sample of what it wrote, at random
	writes int
	again  faults
}

func (w *worker) work(ctx context.Context) {
	for {
		began := time.Now()
		err := w.once(ctx)
		took := time.Since(began)
		switch w.phase.Load() {
		case over:
			return
		case measuring:
			if err == nil {
				w.ops++
				record(w.times, took)
			}
		}
		if err != nil {
			w.faults.add(faults{errors: 1, first: err})
			if pause(ctx, errorPause) != nil {
				return
			}
		}
	}
}

// once makes one call. What a read shows is judged here; it is no error of the
// call.
func (w *worker) once(ctx context.Context) error {
	if w.workload == get || w.workload == echo {
		key := w.rnd.IntN(len(w.keys))
		if w.workload == echo {
			return w.session.put(ctx, w.keys[key], w.value)
		}
		value, err := w.session.get(ctx, w.keys[key])
		if err != nil {
			return err
		}
		if err := w.book.checkValue(key, value, w.scratch); err != nil {
			w.faults.add(faults{wrong: 1, first: err})
		}
		return nil
	}
	key := w.ownKey()
	n := w.book.begin(key)
	w.remember(key)
	if w.workload == incr {
		err := w.session.incr(ctx, w.keys[key])
		if err == nil {
			w.book.add(key)
		}
		return err
	}
	fillValue(w.value, key, uint64(n))
	err := w.session.put(ctx, w.keys[key], w.value)
	if err == nil {
		w.book.acknowledge(key)
	}
	return err
}

// ownKey chooses one of the worker's own keys.
func (w *worker) ownKey() int {
	own := (len(w.keys) - w.index + w.concurrency - 1) / w.concurrency
	return w.index + w.concurrency*w.rnd.IntN(own)
}

// remember keeps a fair sample of what was written (Vitter's algorithm R, "Random
// sampling with a reservoir", ACM TOMS 11(1), 1985).
func (w *worker) remember(key int) {
	w.writes++
	if most := readBack/w.concurrency + 1; len(w.wrote) < most {
		w.wrote = append(w.wrote, key)
	} else if i := w.rnd.IntN(w.writes); i < most {
		w.wrote[i] = key
	}
}

// readAgain reads the sample of what was written until each key holds what it
// must, and gives up after lateTime.
func (w *worker) readAgain(ctx context.Context) {
	for _, key := range w.wrote {
		w.again.read++
		err := w.see(ctx, key)
		for began := time.Now(); err != nil && time.Since(began) < lateTime; {
			w.again.add(faults{first: err})
			if pause(ctx, latePause) != nil {
				return
			}
			if err = w.see(ctx, key); err == nil {
				w.again.late++
			}
		}
		if err != nil {
			w.again.add(faults{lost: 1, first: err})
		}
	}
}

// see reads what the worker wrote to a key and judges it.
func (w *worker) see(ctx context.Context, key int) error {
	calls, cancel := context.WithTimeout(ctx, lateTime)
	defer cancel()
	if w.workload == incr {
		n, err := w.session.total(calls, w.keys[key])
		if err != nil {
			return err
		}
		return w.book.check(key, uint64(n))
	}
	value, err := w.session.get(calls, w.keys[key])
	if err != nil {
		return err
	}
	return w.book.checkValue(key, value, w.scratch)
}
