package replication

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// repairTries is how many nodes of the other datacenter are asked in turn; one
// that has a single owner of the partition is asked again.
const repairTries = 3

// Repaired is how far a repair on demand is with one remote datacenter.
type Repaired struct {
	DC         string
	Partitions int   // to be compared
	Done       int   // of these, equal ones and failures included
	Equal      int   // whose root and clock were equal at once
	Failed     int   // that could not be compared
	Error      error // of the last one that failed
	Tally      Tally
}

// Repair compares the replicas that this node speaks for, as far as want takes
// them, with those of other datacenters (all of them, when none is named) and
// takes over what differs. It calls tell, one call at a time, as it goes on, and
// returns when all is done or ctx ends. Writes go on meanwhile.
func (x *Replicator) Repair(ctx context.Context, dcs []string, want func(r Replica) bool, tell func(Repaired)) error {
	known := slices.Sorted(maps.Keys(x.view.Load().shared))
	if len(dcs) == 0 {
		dcs = known
	}
	var askers []*asker
	x.exchange.mu.Lock()
	for _, dc := range dcs {
		a := x.exchange.askers[dc]
		if a == nil || !slices.Contains(known, dc) {
			x.exchange.mu.Unlock()
			return fmt.Errorf("no placement is shared with datacenter %q", dc)
		}
		askers = append(askers, a)
	}
	x.exchange.mu.Unlock()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, a := range askers {
		p := &repairing{a: a, now: Repaired{DC: a.dc}, tell: func(r Repaired) {
			mu.Lock()
			defer mu.Unlock()
			tell(r)
		}}
		wg.Go(func() { p.run(ctx, want) })
	}
	wg.Wait()
	return ctx.Err()
}

// repairing is a repair on demand under way, from one datacenter.
type repairing struct {
	a    *asker
	tell func(Repaired)

	mu  sync.Mutex
	now Repaired
}

func (p *repairing) change(fn func(r *Repaired)) {
	p.mu.Lock()
	defer p.mu.Unlock() // behind tell: else what is told last may not be the newest
	fn(&p.now)
	p.tell(p.now)
}

func (p *repairing) run(ctx context.Context, want func(r Replica) bool) {
	a := p.a
	led := slices.DeleteFunc(a.ledNow(), func(r Replica) bool { return !want(r) })
	p.change(func(r *Repaired) { r.Partitions = len(led) })
	before := a.sweeps.counted.tree.Load()
	first := a.lookAt(ctx, led, rand.Uint64(), 0)
	roots := a.sweeps.counted.tree.Load() - before // about: others may compare as well
	var unequal []Replica
	for _, r := range led {
		if how, told := first.how[r]; !told || how != 0 {
			unequal = append(unequal, r)
		}
	}
	equal := len(led) - len(unequal)
	p.change(func(r *Repaired) { r.Equal, r.Done, r.Tally.TreeBytes = equal, equal, roots })
	var wg sync.WaitGroup
	asked := 0
	for node, rs := range a.byFirst(unequal) {
		asked += len(rs)
		for _, s := range a.begun(rs, node) {
			wg.Go(func() { p.one(ctx, s) })
		}
	}
	if nobody := len(unequal) - asked; nobody > 0 {
		p.change(func(r *Repaired) {
			r.Done, r.Failed = r.Done+nobody, r.Failed+nobody
			r.Error = fmt.Errorf("no node of datacenter %s is known to hold %d of the partitions", a.dc, nobody)
		})
	}
	wg.Wait()
}

// one waits for a comparison, and asks a few other nodes when it fails.
func (p *repairing) one(ctx context.Context, s *sweeping) {
	cost, err := s.wait(ctx)
	nodes := p.a.x.opts.Local.Candidates(p.a.dc, s.replica)
	for i := 1; err != nil && ctx.Err() == nil && i < repairTries && len(nodes) > 0; i++ {
		if !pause(ctx, repairRetryMin) {
			break
		}
		var again Tally
		again, err = p.a.compare(ctx, s.replica, nodes[i%len(nodes)], nil)
		cost.add(again)
	}
	p.change(func(r *Repaired) {
		r.Done++
		r.Tally.add(cost)
		if err != nil {
			r.Failed++
			r.Error = err
		}
	})
}
