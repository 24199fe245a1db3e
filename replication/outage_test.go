package replication_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/godwitdb/godwit/replication"
)

// TestWhatAllOthersHaveIsTakenOnce: a datacenter was away until no log reached back.
// It lacks the same of both others, and takes it from one: the other waits for its
// turn, and not for a time that doubles, and then has nothing to give.
func TestWhatAllOthersHaveIsTakenOnce(t *testing.T) {
	simulate(t, wan, 3, 2, func(w *world) {
		time.Sleep(3 * time.Second)
		w.net.Cut("a", "c")
		w.net.Cut("b", "c")
		for i := range 40 {
			w.dcs[i%2].nodes[i%2].write(t, part(i%4), fmt.Sprint("k", i), put("v"))
		}
		time.Sleep(5 * time.Second)
		for _, d := range w.dcs {
			d.trim()
			for _, n := range d.nodes {
				w.net.Forget(replication.Peer{DC: d.name, Node: n.name})
			}
		}
		w.net.Heal("a", "c")
		w.net.Heal("b", "c")
		if took := w.level(10 * time.Second); took > 1500*time.Millisecond {
			t.Errorf("level %s after the heal, want 1.5 s", took)
		}
		joins, failures := uint64(0), uint64(0)
		for _, n := range w.dcs[2].nodes {
			for _, l := range n.rep.Lag() {
				joins += l.Joins
				failures += l.ExchangeErrors
			}
		}
		w.dcs[2].mu.Lock()
		defer w.dcs[2].mu.Unlock()
		if joins != 4 || w.dcs[2].refused != 0 {
			t.Errorf("4 partitions were joined %d times, and %d joins refused because of another one", joins, w.dcs[2].refused)
		}
	})
}

// TestFailuresOfAnOutageAreForgiven: as long as a datacenter is away, what is known
// to be missing is asked for in vain, and less and less often. When it is back the
// first failure is the first.
func TestFailuresOfAnOutageAreForgiven(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		time.Sleep(3 * time.Second)
		a := w.dcs[0].nodes[0]
		a.mute = true
		a.write(t, part(0), "k", put("v"))
		for heard := false; !heard; time.Sleep(10 * time.Millisecond) {
			w.dcs[1].mu.Lock()
			c := w.dcs[1].heard[aside{"a", part(0)}]
			w.dcs[1].mu.Unlock()
			heard = c.Count() == 1
		}
		w.net.Cut("a", "b")
		time.Sleep(40 * time.Second)
		if l := w.dcs[1].nodes[0].rep.Lag()[0]; l.Repairs < 5 {
			t.Fatalf("asked for what is missing %d times during the outage, too few to tell", l.Repairs)
		}
		w.dcs[0].mu.Lock()
		left := 1
		w.dcs[0].missingErr = func() error {
			if left--; left >= 0 {
				return errors.New("not now")
			}
			return nil
		}
		w.dcs[0].mu.Unlock()
		w.net.Heal("a", "b")
		if took := w.level(60 * time.Second); took > 1500*time.Millisecond {
			t.Errorf("level %s after the heal, want 1.5 s", took)
		}
		if left > 0 {
			t.Error("nothing failed after the heal")
		}
	})
}

// TestAComparisonWaitsForAnother: where the replica is joined with a co-owner's
// there is nothing wrong with the other datacenter.
func TestAComparisonWaitsForAnother(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		time.Sleep(3 * time.Second)
		w.net.Cut("a", "b")
		w.dcs[0].nodes[0].write(t, part(0), "k", put("v"))
		time.Sleep(5 * time.Second)
		b := w.dcs[1]
		b.mu.Lock()
		b.nodes[0].replica(part(0)).joining = true // with a co-owner's
		b.mu.Unlock()
		w.dcs[0].trim()
		w.net.Forget(replication.Peer{DC: "a", Node: "a1"})
		w.net.Heal("a", "b")
		time.Sleep(20 * time.Second)
		b.mu.Lock()
		b.nodes[0].replica(part(0)).joining = false
		b.mu.Unlock()
		if took := w.level(60 * time.Second); took > 1500*time.Millisecond {
			t.Errorf("level %s after the other join, want 1.5 s", took)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.refused < 10 {
			t.Errorf("%d comparisons were refused meanwhile, want more", b.refused)
		}
	})
}
