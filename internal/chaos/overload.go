package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
)

// OverloadOptions configures RunOverload. Zero fields take the default named
// beside them.
type OverloadOptions struct {
	Binary   string        // required
	Dir      string        // required: of data and logs; what is in it is lost
	Times    int           // how much more is asked than the nodes can do; 10
	For      time.Duration // 60 s
	Measure  time.Duration // for what the nodes can do; 10 s
	Elements int           // that each request adds to a set; 100
	Value    int           // bytes of an element; 32
	Open     int           // requests without an answer at the most; 20,000
	Progress io.Writer     // nobody
}

func (o OverloadOptions) withDefaults() OverloadOptions {
	o.Times, o.For, o.Measure = cmp.Or(o.Times, 10), cmp.Or(o.For, time.Minute), cmp.Or(o.Measure, 10*time.Second)
	o.Elements, o.Value, o.Open = cmp.Or(o.Elements, 100), cmp.Or(o.Value, 32), cmp.Or(o.Open, 20_000)
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

const (
	overloaders  = 4                // clients, each with a stream to each node
	closedLoop   = 64               // requests at once while it is measured what the nodes can do
	overloadTick = time.Millisecond // between two bursts of requests
	overloadWait = 5 * time.Second  // for an answer
)

type overload struct {
	opts    OverloadOptions
	cluster *cluster
	clients []*client.Client
	res     *Overload
	next    atomic.Int64 // key

	elements []string // of every set, in order; made once, for the clients have little time

	mu    sync.Mutex
	acked []int // keys
}

// RunOverload asks a datacenter of three nodes for many times what it can do,
// without a pause and without retries, and then looks whether all that it
// acknowledged is there. A request adds many elements to a set, so that it costs
// the nodes far more than the clients, who may have the same processors: with
// requests as cheap to carry out as to make, so many more could not be sent.
// The error is of the run itself.
func RunOverload(ctx context.Context, o OverloadOptions) (*Overload, error) {
	o = o.withDefaults()
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(o.Progress, "%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	// A small block cache is full from the start: what grows then is not the cache.
	small := []string{"--cache", "32MiB"}
	c, err := startDatacenters(ctx, Options{Binary: o.Binary, Dir: o.Dir, Seed: rand.Uint64()}, []string{dcName}, []int{few}, small, say)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.close() }() // it was closed before, unless something went wrong
	l := &overload{opts: o, cluster: c, res: &Overload{
		Elements: o.Elements, Value: o.Value, Times: o.Times, Took: o.For, Refused: map[string]int{},
	}}
	for n := range o.Elements {
		l.elements = append(l.elements, fmt.Sprintf("%0*d", o.Value, n))
	}
	for i := range overloaders {
		cl, err := c.open(ctx, i%few, client.Options{
			Transport: client.Pipelined, RoundRobin: true, MaxRetries: -1, MaxInFlight: o.Open, Timeout: overloadWait,
		})
		if err != nil {
			return nil, err
		}
		l.clients = append(l.clients, cl)
	}
	for _, step := range []func(context.Context) error{l.measure, l.ask, l.verify} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for _, cl := range l.clients {
		err = errors.Join(err, cl.Close())
	}
	return l.res, errors.Join(err, c.close())
}

// add makes a set that nobody has made before.
func (l *overload) add(ctx context.Context) error {
	i := int(l.next.Add(1))
	_, err := l.clients[i%len(l.clients)].SAdd(ctx, keyAt(i), l.elements)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.acked = append(l.acked, i)
	case client.OutcomeOf(err) == client.Unknown:
		l.res.Unknown++
	default:
		l.res.Refused[cmp.Or(client.ReasonOf(err), client.CodeOf(err).String())]++
		if client.CodeOf(err) == codes.ResourceExhausted {
			l.res.Exhausted++
		}
	}
	return err
}

// measure finds out what the nodes can do.
func (l *overload) measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Measure)
	defer cancel()
	var work sync.WaitGroup
	for range closedLoop {
		work.Go(func() {
			for ctx.Err() == nil {
				_ = l.add(context.WithoutCancel(ctx)) // it is counted
			}
		})
	}
	work.Wait()
	l.res.Can = float64(len(l.acked)) / l.opts.Measure.Seconds()
	l.cluster.say("%.0f requests a second with %d at once", l.res.Can, closedLoop)
	if len(l.acked) == 0 {
		return errors.New("overload: no request succeeded before it began")
	}
	return nil
}

// ask asks for too much, and looks at the memory of the nodes meanwhile.
func (l *overload) ask(ctx context.Context) error {
	began, before := time.Now(), len(l.acked)
	var work sync.WaitGroup
	open := make(chan struct{}, l.opts.Open)
	tick := time.NewTicker(overloadTick)
	defer tick.Stop()
	look := time.NewTicker(l.opts.For / memoryLooks)
	defer look.Stop()
	if err := l.look(); err != nil {
		return err
	}
	for time.Since(began) < l.opts.For && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-look.C:
			if err := l.look(); err != nil {
				return err
			}
		}
		for due := int(time.Since(began).Seconds() * l.res.Can * float64(l.opts.Times)); l.res.Asked < due && len(open) < cap(open); l.res.Asked++ {
			open <- struct{}{}
			work.Go(func() {
				defer func() { <-open }()
				_ = l.add(context.WithoutCancel(ctx)) // it is counted
			})
		}
	}
	l.res.Took = time.Since(began)
	work.Wait()
	l.res.Acked = len(l.acked) - before
	return errors.Join(ctx.Err(), l.look())
}

// memoryLooks is how often the memory of the nodes is looked at.
const memoryLooks = 20

func (l *overload) look() error {
	var all []int64
	for _, id := range l.cluster.ids {
		n, err := l.cluster.procs[id].resident()
		if err != nil {
			return err
		}
		all = append(all, n)
	}
	l.res.Memory = append(l.res.Memory, all)
	return nil
}

// resident is how much memory a process has, in bytes.
func (p *process) resident() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.id, err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.id, err)
	}
	return n << 10, nil
}

// verify looks whether the nodes serve as before, and reads all that they acknowledged.
func (l *overload) verify(ctx context.Context) error {
	began := time.Now()
	err := l.cluster.until(ctx, readyTime, "a request succeeds", func() error { return l.add(ctx) })
	if err != nil {
		return err
	}
	l.res.Back = time.Since(began)
	for from := 0; from < len(l.acked); from += batchKeys {
		part := l.acked[from:min(from+batchKeys, len(l.acked))]
		var keys []string
		for _, i := range part {
			keys = append(keys, keyAt(i))
		}
		results, err := l.cluster.admin.BatchGet(ctx, keys, client.WithTimeout(30*time.Second), client.WithConsistency(client.Quorum))
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Err != nil && !client.IsNotFound(r.Err) {
				return r.Err
			}
			if r.Err != nil || !slices.Equal(r.Value.Elements, l.elements) {
				l.res.Lost++
			}
		}
	}
	l.res.Kept = len(l.acked)
	return nil
}
