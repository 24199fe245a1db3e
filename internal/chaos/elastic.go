package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/client"
)

// ElasticOptions configures Elastic. Zero fields take the default named beside them.
type ElasticOptions struct {
	Binary   string        // required
	Dir      string        // required: of data and logs; what is in it is lost
	Keys     int           // 100,000
	Rate     int           // requests a second, half of them reads; 200
	Quiet    time.Duration // for the latency while nothing moves; 10 s
	Missed   int           // events that a node misses; 100,000
	Progress io.Writer     // nobody
}

const (
	few       = 3   // nodes at first and in the end
	many      = 6   // in between
	valueLen  = 100 // bytes
	fillers   = 8   // batches under way
	batchKeys = 256
)

type elastic struct {
	opts    ElasticOptions
	cluster *cluster
	client  *client.Client
	res     *Elastic

	mu      sync.Mutex
	took    []time.Duration // of the phase under way
	changed map[int]string  // last value acknowledged of keys that the load has put
}

// RunElastic starts a datacenter of three nodes, fills it, lets it grow to six
// and shrink to three under constant load, and then has one node miss events.
func RunElastic(ctx context.Context, o ElasticOptions) (*Elastic, error) {
	o.Keys, o.Rate, o.Missed = cmp.Or(o.Keys, 100_000), cmp.Or(o.Rate, 200), cmp.Or(o.Missed, 100_000)
	o.Quiet = cmp.Or(o.Quiet, 10*time.Second)
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(o.Progress, "%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	c, err := startCluster(ctx, Options{Binary: o.Binary, Dir: o.Dir, Seed: rand.Uint64()}, few, say)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }() // it was closed before, unless something went wrong
	e := &elastic{opts: o, cluster: c, res: &Elastic{Keys: o.Keys, Rate: o.Rate}, changed: map[int]string{}}
	if e.client, err = c.open(ctx, 0, client.Options{DC: dcName, RoundRobin: true}); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{e.fill, e.resize, e.verify, e.miss} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return e.res, errors.Join(e.client.Close(), c.close())
}

func keyAt(i int) string   { return fmt.Sprintf("key:%d", i) }
func valueAt(i int) string { return fmt.Sprintf("%-*d", valueLen, i) }

// fill puts every key once.
func (e *elastic) fill(ctx context.Context) error {
	began := time.Now()
	err := e.batches(ctx, e.opts.Keys, func(ctx context.Context, from, to int) error {
		return e.put(ctx, from, to, keyAt, valueAt)
	})
	e.res.Fill = time.Since(began)
	e.cluster.say("%d keys put in %v", e.opts.Keys, e.res.Fill.Round(time.Millisecond))
	return err
}

// put puts keys in one batch.
func (e *elastic) put(ctx context.Context, from, to int, key, value func(int) string) error {
	var ops []client.Op
	for i := from; i < to; i++ {
		ops = append(ops, client.PutOp(key(i), []byte(value(i))))
	}
	results, err := e.client.BatchUpdate(ctx, ops, client.WithTimeout(30*time.Second))
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return err
}

// batches cuts n keys into batches, some of which run at once.
func (e *elastic) batches(ctx context.Context, n int, do func(ctx context.Context, from, to int) error) error {
	var work sync.WaitGroup
	var mu sync.Mutex
	var first error
	var next atomic.Int64
	for range fillers {
		work.Go(func() {
			for {
				from := int(next.Add(batchKeys)) - batchKeys
				mu.Lock()
				over := from >= n || first != nil || ctx.Err() != nil
				mu.Unlock()
				if over {
					return
				}
				if err := do(ctx, from, min(from+batchKeys, n)); err != nil {
					mu.Lock()
					first = cmp.Or(first, err)
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	return cmp.Or(first, ctx.Err())
}

// resize measures quiet, grows and shrinks, all under load.
func (e *elastic) resize(ctx context.Context) error {
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.load(ctx, loading.Done())
	}()
	defer func() { <-done }()
	defer stop()
	e.pause(ctx, e.opts.Quiet/2) // connections and caches
	e.phase()
	e.pause(ctx, e.opts.Quiet)
	e.res.Quiet = p99(e.phase())
	e.cluster.say("quiet: p99 %v", e.res.Quiet)
	var ids []string
	for i := range many - few {
		ids = append(ids, fmt.Sprintf("%s-join%d", dcName, i))
		if err := e.cluster.join(ctx, ids[i]); err != nil {
			return err
		}
	}
	if err := e.move(ctx, Move{From: few, To: many}, ids, true); err != nil {
		return err
	}
	if err := e.move(ctx, Move{From: many, To: few}, ids, false); err != nil {
		return err
	}
	for _, id := range ids {
		if err := e.cluster.procs[id].stop(); err != nil {
			return err
		}
		delete(e.cluster.procs, id)
	}
	return nil
}

// move carries out one change of the members and measures it.
func (e *elastic) move(ctx context.Context, m Move, ids []string, join bool) error {
	change := leaving(ids...)
	if join {
		change = joining(ids...)
	}
	plan, err := e.cluster.admin.PlanChange(ctx, change)
	if err != nil {
		return err
	}
	for _, p := range plan.GetPlacements() {
		m.Copies += p.GetCopies()
		m.Minimum += p.GetMinimum()
	}
	if err := e.cluster.level(ctx); err != nil { // nobody keeps what it owned before
		return err
	}
	before, err := e.cluster.pulled(ctx)
	if err != nil {
		return err
	}
	e.phase()
	began := time.Now()
	if err := errors.Join(e.cluster.change(ctx, change), e.cluster.settled(ctx)); err != nil {
		return err
	}
	m.Took = time.Since(began)
	m.P99 = p99(e.phase())
	after, err := e.cluster.pulled(ctx)
	for id, n := range after {
		m.Bytes += n.bytes - before[id].bytes
	}
	e.cluster.say("%d to %d nodes in %v: %d replicas copied, %d bytes, p99 %v", m.From, m.To, m.Took.Round(time.Millisecond), m.Copies, m.Bytes, m.P99)
	e.res.Moves = append(e.res.Moves, m)
	return err
}

func (e *elastic) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// verify reads every key.
func (e *elastic) verify(ctx context.Context) error {
	var lost atomic.Int64
	err := e.batches(ctx, e.opts.Keys, func(ctx context.Context, from, to int) error {
		var keys []string
		for i := from; i < to; i++ {
			keys = append(keys, keyAt(i))
		}
		results, err := e.client.BatchGet(ctx, keys, client.WithTimeout(30*time.Second), client.WithConsistency(client.Quorum))
		if err != nil {
			return err
		}
		for i, r := range results {
			want, ok := e.changed[from+i]
			if !ok {
				want = valueAt(from + i)
			}
			if r.Err != nil && !client.IsNotFound(r.Err) {
				return r.Err
			}
			if r.Err != nil || string(r.Value.Bytes) != want {
				lost.Add(1)
			}
		}
		return nil
	})
	e.res.Lost = int(lost.Load())
	e.cluster.say("%d keys read, %d lost", e.opts.Keys, e.res.Lost)
	return err
}

// miss kills a node, puts what it misses, and lets it come back.
func (e *elastic) miss(ctx context.Context) error {
	id := e.cluster.ids[few-1]
	p := e.cluster.procs[id]
	if err := errors.Join(e.cluster.level(ctx), p.kill()); err != nil {
		return err
	}
	r := &e.res.Return
	r.Missed = e.opts.Missed
	key := func(i int) string { return fmt.Sprintf("missed:%d", i) }
	for i := range r.Missed {
		r.Sent += int64(len(key(i)) + valueLen)
	}
	err := e.batches(ctx, r.Missed, func(ctx context.Context, from, to int) error { return e.put(ctx, from, to, key, valueAt) })
	if err != nil {
		return err
	}
	began := time.Now()
	if err := errors.Join(p.start(), e.cluster.ready(ctx)); err != nil {
		return err
	}
	r.Serves = time.Since(began)
	if err := e.cluster.level(ctx); err != nil {
		return err
	}
	r.Took = time.Since(began)
	after, err := e.cluster.pulled(ctx)
	r.Events, r.Bytes = after[id].events, after[id].bytes // its counters began anew
	e.cluster.say("%s was level %v after its start", id, r.Took.Round(time.Millisecond))
	return err
}
