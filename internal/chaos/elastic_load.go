package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// loadSlots is how many requests are under way at the most; further ones are
// late, which counts.
const loadSlots = 64

// load makes requests at a constant rate until it is stopped: a latency counts
// from when a request was due. After a time in which no slot was free it makes
// those that are late at once, so that what comes after them is in time again.
func (e *elastic) load(ctx context.Context, stop <-chan struct{}) {
	turn := time.NewTimer(0)
	defer turn.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, loadSlots)
	rnd := rand.New(rand.NewPCG(1, 1))
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(e.opts.Rate))
		turn.Reset(time.Until(due))
		select {
		case <-turn.C:
		case <-stop:
			return
		}
		slots <- struct{}{}
		i, read := rnd.IntN(e.opts.Keys), n%2 == 0
		if !read { // no two puts of one key at once
			i = n % e.opts.Keys
		}
		work.Go(func() {
			defer func() { <-slots }()
			e.request(ctx, due, i, n, read)
		})
	}
}

func (e *elastic) request(ctx context.Context, due time.Time, i, n int, read bool) {
	value := fmt.Sprintf("%-*d", valueLen, -n-1)
	var err error
	if read {
		_, err = e.client.Get(ctx, keyAt(i))
	} else {
		_, err = e.client.Put(ctx, keyAt(i), []byte(value))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.took = append(e.took, time.Since(due))
	if err != nil {
		e.res.Failed++
		e.cluster.say("a request failed: %v", err)
		return
	}
	e.res.Done++
	if !read {
		e.changed[i] = value
	}
}

// phase ends a phase and returns the latencies of its requests.
func (e *elastic) phase() []time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	took := e.took
	e.took = nil
	return took
}

func p99(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*99/100].Round(10 * time.Microsecond)
}
