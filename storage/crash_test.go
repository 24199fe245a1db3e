package storage

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// promise is a state that was acknowledged: the replica's model when the last
// wait returned.
type promise struct {
	id     ReplicaID
	acked  crdt.Clock // events whose wait returned
	all    map[crdt.Dot]*crdt.Delta
	joined [][]crdt.CellState // what repairs brought that were waited for
	asked  map[crdt.RequestID]bool
}

// TestCrashLosesNothingAcknowledged cuts the power at random moments: all that
// was waited for is there, and what is there is whole.
func TestCrashLosesNothingAcknowledged(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for seed := range rounds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { crashes(t, uint64(seed)) })
	}
}

func crashes(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	fs, w := vfs.NewCrashableMem(), newWall()
	o := testOptions(fs, w)
	o.AsyncSync = time.Hour
	if seed%2 == 0 {
		o.MemTable = 64 << 10 // flushes in between
	}
	promises := []*promise{{id: testID}, {id: ReplicaID{8, testID.Partition}}, {id: ReplicaID{7, 0}}}
	actors := map[crdt.Actor]bool{}
	dots := map[crdt.Dot]bool{}
	var kept crdt.Stamp // of what is durable
	for life := range 4 {
		latest := kept
		s := open(t, o)
		for _, p := range promises {
			p.verify(t, s.Replica(p.id))
		}
		var begun []*Commit
		for range 30 + rnd.IntN(30) {
			p := promises[rnd.IntN(len(promises))]
			r := s.Replica(p.id)
			c, d, request := p.change(t, rnd, r, w)
			if d != nil {
				dot := crdt.Dot{Actor: d.Actor, Seq: d.Lo}
				if dots[dot] {
					t.Fatalf("dot %s names two events", dot)
				}
				dots[dot] = true
				if at := stampIn(d); at > 0 && at <= latest {
					t.Fatalf("life %d: stamp %d after %d", life, at, latest)
				}
				latest = max(latest, stampIn(d))
			}
			if rnd.IntN(3) == 0 || c == nil {
				begun = append(begun, c)
				continue
			}
			wait(t, c)
			p.ack(r, d, request)
			kept = latest // all before it are in the log as well
		}
		for _, p := range promises {
			if a, ok := s.Replica(p.id).Actor(); ok {
				if actors[a] {
					t.Fatalf("actor %s of an earlier life", a)
				}
				actors[a] = true
			}
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * life, RNG: rand.New(rand.NewPCG(seed, uint64(life)))})
		for _, c := range begun {
			wait(t, c)
		}
		shut(t, s)
		o.FS = fs
		o.Rand = rand.New(rand.NewPCG(opens.Add(1), 1))
		w.advance(-time.Hour)
	}
}

// change begins one change, and returns the event where it makes one.
func (p *promise) change(t *testing.T, rnd *rand.Rand, r *Replica, w *testWall) (*Commit, *crdt.Delta, crdt.RequestID) {
	t.Helper()
	keys := keysOf(p.id.Partition, "b", "k", 6)
	if p.all == nil {
		p.all, p.asked = map[crdt.Dot]*crdt.Delta{}, map[crdt.RequestID]bool{}
	}
	switch rnd.IntN(10) {
	case 0: // an event of another actor, sometimes ahead of what it removes
		foreign := crdt.Actor(100 + rnd.IntN(2))
		d := put(keys[0], foreign, 1+uint64(rnd.IntN(20)), "foreign")
		if rnd.IntN(2) == 0 {
			d = removal(keys[0], foreign, d.Lo, crdt.Dot{Actor: 100 + crdt.Actor(rnd.IntN(2)), Seq: 30})
		}
		dot := crdt.Dot{Actor: d.Actor, Seq: d.Lo}
		if old := p.all[dot]; old != nil {
			d = old
		}
		p.all[dot] = d
		return must(r.Apply([]*crdt.Delta{d}, false))(t), nil, crdt.RequestID{}
	case 1: // a repair brings a value ahead of the clock
		e := crdt.Entry{Dot: crdt.Dot{Actor: 200, Seq: 1 + uint64(rnd.IntN(1000))}, Payload: []byte{1, 'r'}}
		cells := []crdt.CellState{{ID: crdt.CellID{KeyID: keys[5], Kind: crdt.MVRegister}, Live: crdt.Cell{e}}}
		c := must(r.Repair(nil, &crdt.Snapshot{Cells: cells}))(t)
		wait(t, c)
		p.joined = append(p.joined, cells)
		return nil, nil, crdt.RequestID{}
	}
	ops := []*crdt.Op{assign(strconv.Itoa(rnd.IntN(100))), add(3), insert("a", strconv.Itoa(rnd.IntN(5))), remove("a"), del()}
	n := rnd.IntN(len(ops))
	m := &Mutation{Key: keys[n], Op: ops[n], Request: request(w.now(), byte(rnd.IntN(256)))}
	if n == 3 {
		m.Key = keys[2]
	}
	if n == 4 {
		m.Key = keys[rnd.IntN(3)]
	}
	if p.asked[m.Request] {
		m.Request = crdt.RequestID{}
	}
	done := must(r.Mutate(m))(t)
	if done.Delta != nil {
		p.all[crdt.Dot{Actor: done.Delta.Actor, Seq: done.Delta.Lo}] = done.Delta
	}
	if done.Repeats {
		return nil, nil, crdt.RequestID{}
	}
	return done.Commit, done.Delta, m.Request
}

// ack counts an event as promised, and with it everything before it: the log
// is sequential.
func (p *promise) ack(r *Replica, d *crdt.Delta, q crdt.RequestID) {
	p.acked = r.Durable()
	if d != nil && q != (crdt.RequestID{}) {
		p.asked[q] = true
	}
}

// verify holds a reopened replica against what was promised: the acknowledged
// events are in its clock and log, and its cells are exactly what the events
// in its clock make.
func (p *promise) verify(t *testing.T, r *Replica) {
	t.Helper()
	clock := r.Clock()
	if !clock.Covers(&p.acked) {
		t.Fatalf("clock %v after the crash lacks acknowledged dots of %v", clock, p.acked)
	}
	if !durable(r).Equal(&clock) {
		t.Fatalf("durable clock %v of a store just opened, clock %v", r.Durable(), clock)
	}
	var want model
	logged := 0
	for dot, d := range p.all {
		if clock.Contains(dot) {
			want.apply(t, d)
			logged++
		}
	}
	if !want.Clock.Equal(&clock) {
		t.Fatalf("clock %v holds dots that nobody minted: %v", clock, want.Clock)
	}
	got := scanAll(t, r)
	repaired := map[crdt.Dot]bool{}
	for _, cs := range got.cells {
		for _, e := range cs.Live {
			repaired[e.Dot] = e.Dot.Actor == 200
		}
	}
	for _, cells := range p.joined {
		if dot := cells[0].Live[0].Dot; !repaired[dot] {
			t.Fatalf("the repaired value %s is gone", dot)
		}
	}
	cells := got.cells[:0:0]
	for _, cs := range got.cells {
		if cs.ID.Kind != crdt.MVRegister {
			cells = append(cells, cs)
		}
	}
	if !sameCells(cells, want.cells.All()) {
		t.Fatalf("cells %v\nthe clock's events make %v", cells, want.cells.All())
	}
	m := must(r.Missing(&crdt.Clock{}, 1<<20))(t)
	var inLog crdt.Clock
	for _, d := range m.Deltas {
		inLog.AddRange(d.Actor, d.Lo, d.Hi)
	}
	for dot := range p.all { // ranges with gaps before them are behind what a run can reach
		if clock.Contains(dot) && dot.Actor > 1000 && !inLog.Contains(dot) {
			t.Fatalf("event %s is in the clock and not in the log", dot)
		}
	}
	for q := range p.asked {
		if v := must(r.store.get(requestKey(r.id, q)))(t); v == nil {
			t.Fatalf("request %x is forgotten", q)
		}
	}
	checkTree(t, r)
}

func TestAsyncIsDurableAfterTheInterval(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := testOptions(fs, newWall())
	o.AsyncSync = 20 * time.Millisecond
	r := open(t, o).Replica(testID)
	k := testKey("k")
	done := must(r.Mutate(&Mutation{Key: k, Op: assign("v"), Async: true}))(t)
	wait(t, done.Commit)
	if got := text(t, r, k); got != "v" {
		t.Errorf("it reads %q at once", got)
	}
	eventually(t, "the durable clock follows", func() bool { return !durable(r).Empty() })
	o.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	if got := text(t, open(t, o).Replica(testID), k); got != "v" {
		t.Errorf("what the durable clock covers reads %q after a crash", got)
	}
}

func TestAsyncIsNotDurableBeforeTheInterval(t *testing.T) {
	o := testOptions(vfs.NewCrashableMem(), newWall())
	o.AsyncSync = time.Hour
	r := open(t, o).Replica(testID)
	wait(t, must(r.Mutate(&Mutation{Key: testKey("k"), Op: assign("v"), Async: true}))(t).Commit)
	if s := r.State(); !s.Clock.Empty() || s.Settled {
		t.Errorf("durable clock is %v, settled %t", s.Clock, s.Settled)
	}
}

// TestStampsNeverGoBack: two replicas share the bound of stamps. Wherever the
// one is held up on its way to disk, the other's durable event is below a
// durable bound.
func TestStampsNeverGoBack(t *testing.T) {
	for held := range 4 {
		t.Run(fmt.Sprintf("held at its call %d of the clock", held), func(t *testing.T) {
			fs, w := vfs.NewCrashableMem(), newWall()
			var mu sync.Mutex
			calls, holding := -1, false
			reached, release := make(chan struct{}), make(chan struct{})
			o := testOptions(fs, w)
			o.Wall = func() time.Time {
				mu.Lock()
				stop := holding && calls == held
				if holding {
					calls++
				}
				if stop {
					holding = false
				}
				mu.Unlock()
				if stop {
					close(reached)
					<-release
				}
				return w.now()
			}
			s := open(t, o)
			mutate(t, s.Replica(testID), testKey("warm"), add(1)) // takes no stamp
			mu.Lock()
			calls, holding = 0, true
			mu.Unlock()
			slow := make(chan error, 1)
			go func() {
				done, err := s.Replica(ReplicaID{8, testID.Partition}).Mutate(&Mutation{Key: testKey("slow"), Op: assign("v")})
				if err == nil {
					err = done.Commit.Wait()
				}
				slow <- err
			}()
			select {
			case <-reached:
			case err := <-slow:
				close(release)
				if err != nil {
					t.Fatal(err)
				}
				t.Skip("it does not ask the clock that often")
			}
			w.advance(time.Millisecond)
			first := mutate(t, s.Replica(testID), testKey("k"), assign("durable"))
			clone := fs.CrashClone(vfs.CrashCloneCfg{})
			close(release)
			if err := <-slow; err != nil {
				t.Fatal(err)
			}
			w.advance(-time.Hour)
			o.FS, o.Wall, o.Rand = clone, w.now, testOptions(nil, w).Rand
			next := mutate(t, open(t, o).Replica(testID), testKey("other"), assign("later"))
			if a, b := stampIn(first.Delta), stampIn(next.Delta); b <= a {
				t.Errorf("stamp %d after %d", b, a)
			}
		})
	}
}
