package replication

import (
	"runtime"
	"sync"
	"testing"
)

// TestRepairTellsInOrder: comparisons end at the same time, and what is told last
// is how far the repair is.
func TestRepairTellsInOrder(t *testing.T) {
	const comparisons = 200
	last := 0
	var mu sync.Mutex
	p := &repairing{tell: func(r Repaired) {
		runtime.Gosched()
		mu.Lock()
		defer mu.Unlock()
		if r.Done != last+1 {
			t.Errorf("told %d done after %d", r.Done, last)
		}
		last = r.Done
	}}
	var wg sync.WaitGroup
	for range comparisons {
		wg.Go(func() { p.change(func(r *Repaired) { r.Done++ }) })
	}
	wg.Wait()
	if last != comparisons {
		t.Errorf("%d were told last, want %d", last, comparisons)
	}
}
