package replication_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/godwitdb/godwit/replication"
)

// sourcesOf are the nodes that a node pulls lanes from.
func sourcesOf(n *fakeNode) (out []string) {
	for _, s := range n.rep.Sources() {
		out = append(out, s.Node)
	}
	return out
}

// onlyStream keeps a datacenter from asking for what it lacks: what arrives came
// over the lanes.
func (d *fakeDC) onlyStream() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streamOnly = true
}

// TestLanesOfADeadPullerAreTakenOver: the nodes that are left pull what the dead
// one pulled, each some of it, and nothing needs to be asked for.
func TestLanesOfADeadPullerAreTakenOver(t *testing.T) {
	simulate(t, wan, 2, 3, func(w *world) {
		b := w.dcs[1]
		b.onlyStream()
		time.Sleep(3 * time.Second)
		if len(sourcesOf(b.nodes[0])) == 0 {
			t.Fatal("the node that is to die pulls nothing")
		}
		w.kill(b.nodes[0])
		for i := range 40 {
			w.dcs[0].nodes[i%3].write(t, part(i%4), fmt.Sprint("k", i), put("v"))
			time.Sleep(10 * time.Millisecond)
		}
		w.level(7 * time.Second)
		for _, n := range b.nodes[1:] {
			if l := n.rep.Lag()[0]; len(sourcesOf(n)) == 0 || l.ReceivedMessages == 0 || l.Repairs > 0 {
				t.Errorf("%s received %d messages and asked %d times", n.name, l.ReceivedMessages, l.Repairs)
			}
		}
	})
}

// TestRateLimitOfALink: a link carries no more than it may, and what waits for
// it arrives all the same.
func TestRateLimitOfALink(t *testing.T) {
	took := map[int64]time.Duration{}
	for _, limit := range []int64{0, 20_000} {
		with := func(o *replication.Options) { o.RateLimit = func(string) int64 { return limit } }
		simulateWith(t, with, wan, 2, 1, func(w *world) {
			w.dcs[1].onlyStream()
			time.Sleep(3 * time.Second)
			rnd := rand.New(rand.NewPCG(1, 2))
			for i := range 100 {
				value := make([]byte, 2000)
				for j := range value {
					value[j] = byte(rnd.Uint32()) // does not compress
				}
				w.dcs[0].nodes[0].write(t, part(i%4), fmt.Sprint("k", i), put(string(value)))
			}
			began := time.Now()
			for w.dcs[0].state(t) != w.dcs[1].state(t) && time.Since(began) < time.Minute {
				time.Sleep(250 * time.Millisecond)
			}
			took[limit] = time.Since(began)
			if l := w.dcs[1].nodes[0].rep.Lag()[0]; l.ReceivedBytes < 200_000 || l.Rebuilt > 0 {
				t.Errorf("%d bytes received, %d lanes rebuilt", l.ReceivedBytes, l.Rebuilt)
			}
		})
	}
	if took[0] > 2*time.Second {
		t.Errorf("200 kB took %v without a limit", took[0])
	}
	if got := took[20_000]; got < 8*time.Second || got > 15*time.Second {
		t.Errorf("200 kB took %v at 20 kB/s, of which a second's worth may come at once; want 9 s", got)
	}
}

// TestStalledLaneIsRebuilt: a lane that delivers nothing while its node answers
// is offered anew, by itself, and counted. A cut is no such thing.
func TestStalledLaneIsRebuilt(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		a, b := w.dcs[0].nodes[0], w.dcs[1].nodes[0]
		w.dcs[1].onlyStream()
		time.Sleep(3 * time.Second)
		w.net.Cut("a", "b")
		time.Sleep(30 * time.Second)
		w.net.Heal("a", "b")
		time.Sleep(30 * time.Second)
		if n := b.rep.Lag()[0].Rebuilt; n != 0 {
			t.Fatalf("%d lanes rebuilt after a cut", n)
		}
		w.net.Stall(replication.Peer{DC: "a", Node: "a1"}, 1, "b")
		stalled := time.Now()
		for i := range replication.Lanes { // a lane has a quarter of a second, and then the next one
			a.write(t, part(i), "k", put("v"))
			time.Sleep(250 * time.Millisecond)
		}
		w.level(30 * time.Second)
		took := time.Since(stalled)
		if took < 9*time.Second {
			t.Errorf("the lane came to life after %v; it did not stand still", took)
		}
		time.Sleep(30 * time.Second)
		if n := b.rep.Lag()[0].Rebuilt; n != 1 {
			t.Errorf("%d lanes rebuilt, want 1", n)
		}
		a.write(t, part(1), "later", put("v"))
		w.level(time.Second)
	})
}
