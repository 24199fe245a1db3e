package replication_test

import (
	"slices"
	"testing"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
)

// chained makes replicators of datacenters that are linked only to the one before
// and the one after them.
func chained(o *replication.Options) {
	linked := func(a, b string) bool { return a[0]-b[0]+1 <= 2 }
	peers, self := o.Peers, o.Self.DC
	o.Peers = func() []replication.Peer {
		return slices.DeleteFunc(peers(), func(p replication.Peer) bool { return !linked(self, p.DC) })
	}
	o.Datacenters = func() []string { return []string{"a", "b", "c", "d"} }
}

// Datacenters without a link among themselves get each other's events through the
// one between, at the next comparison of clocks, and hear where the other stands.
func TestDatacentersWithoutALink(t *testing.T) {
	for _, tt := range []struct {
		name        string
		datacenters int
		within      time.Duration // a comparison and three trips for each hop
	}{
		{"a hub", 3, 1300 * time.Millisecond},
		{"a chain", 4, 2500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			simulateWith(t, chained, wan, tt.datacenters, 2, func(w *world) {
				for i, d := range w.dcs {
					for _, far := range w.dcs[min(i+2, len(w.dcs)):] {
						w.net.Cut(d.name, far.name)
					}
				}
				first, last := w.dcs[0], w.dcs[len(w.dcs)-1]
				for i := range 20 {
					first.nodes[0].write(t, part(i%4), "k", put("v"))
					last.nodes[1].write(t, part(i%4), "n", inc(1))
					w.level(tt.within)
				}
				time.Sleep(time.Duration(tt.datacenters) * 1200 * time.Millisecond)
				for _, pair := range [][2]*fakeDC{{first, last}, {last, first}} {
					from, to := pair[0], pair[1]
					own, _, err := from.nodes[0].Standing(part(2))
					if err != nil {
						t.Fatal(err)
					}
					to.mu.Lock()
					heard := to.heard[aside{from.name, part(2)}]
					to.mu.Unlock()
					if !heard.Equal(&own) {
						t.Errorf("%s heard a clock of %s of %d dots, want all %d", to.name, from.name, heard.Count(), own.Count())
					}
				}
			})
		})
	}
}

// Of a datacenter that has a link and has fallen silent, the others tell as well;
// once it is heard again they are not asked any more.
func TestADatacenterThatFellSilentIsHeardOf(t *testing.T) {
	simulateWith(t, func(o *replication.Options) {
		o.Datacenters = func() []string { return []string{"a", "b", "c"} }
	}, wan, 3, 1, func(w *world) {
		a, c := w.dcs[0], w.dcs[2]
		heard := func() uint64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			of := c.heard[aside{"a", part(1)}]
			return of.Count()
		}
		time.Sleep(3 * time.Second)
		w.net.Cut("a", "c")
		a.nodes[0].write(t, part(1), "k", put("v"))
		time.Sleep(5 * time.Second)
		if n := heard(); n != 0 {
			t.Errorf("c heard of %d events of a within 5 s, want none: it still hopes to be told", n)
		}
		time.Sleep(9 * time.Second)
		if n := heard(); n != 1 {
			t.Errorf("c heard of %d events of a, want 1 through b", n)
		}
		w.net.Heal("a", "c")
		time.Sleep(5 * time.Second)
		a.nodes[0].write(t, part(1), "k", put("w"))
		w.net.Cut("a", "b")
		w.net.Cut("c", "b")
		time.Sleep(3 * time.Second)
		if n := heard(); n != 2 {
			t.Errorf("c heard of %d events of a after the heal, want 2", n)
		}
	})
}

// What an answer tells without being asked is not taken over: what comes straight
// is newer.
func TestWhatIsHeardStraightIsNotTakenFromOthers(t *testing.T) {
	simulateWith(t, func(o *replication.Options) {
		o.Datacenters = func() []string { return []string{"a", "b", "c"} }
		o.Local = liar{o.Local}
	}, wan, 3, 1, func(w *world) {
		w.dcs[0].nodes[0].write(t, part(1), "k", put("v"))
		time.Sleep(5 * time.Second)
		for _, d := range w.dcs {
			d.mu.Lock()
			for of, c := range d.heard {
				if c.Contains(lie) {
					t.Errorf("%s took over what another told of %s", d.name, of.dc)
				}
			}
			d.mu.Unlock()
		}
	})
}

var lie = crdt.Dot{Actor: 7<<8 | 7, Seq: 7}

// liar tells untruths of others.
type liar struct{ replication.Local }

func (l liar) Told(string, replication.Replica) (clock, least crdt.Clock, ok bool) {
	clock.Add(lie)
	return clock, clock.Clone(), true
}

// A hub passes on only what it holds itself: neither does it keep, on the way, what
// its datacenter must not have, nor does that come to another one through it.
func TestAHubPassesOnWhatItHolds(t *testing.T) {
	simulateWith(t, chained, wan, 3, 1, func(w *world) {
		w.net.Cut("a", "c")
		for _, d := range w.dcs {
			d.mu.Lock()
		}
		w.dcs[0].placements, w.dcs[2].placements = []uint32{0, 5}, []uint32{0, 5}
		for _, d := range w.dcs {
			d.mu.Unlock()
		}
		time.Sleep(3 * time.Second)
		secret := replication.Replica{Placement: 5, Partition: 2}
		w.dcs[0].nodes[0].write(t, secret, "secret", put("v"))
		w.dcs[0].nodes[0].write(t, part(2), "k", put("v"))
		time.Sleep(40 * time.Second)
		for _, d := range w.dcs[1:] {
			if v := d.value(secret, "secret", crdt.Register); len(v.Siblings) != 0 {
				t.Errorf("datacenter %s holds %v", d.name, v)
			}
			if v := d.value(part(2), "k", crdt.Register); len(v.Siblings) != 1 {
				t.Errorf("datacenter %s reads %v of what all hold", d.name, v)
			}
			if p := d.nodes[0].rep.Parked(); len(p) != 0 {
				t.Errorf("datacenter %s was sent what it must not have: %+v", d.name, p)
			}
		}
		w.dcs[1].mu.Lock()
		defer w.dcs[1].mu.Unlock()
		for at := range w.dcs[1].heard {
			if at.r.Placement == 5 {
				t.Errorf("the hub heard a clock of a partition of placement 5 from %s", at.dc)
			}
		}
	})
}
