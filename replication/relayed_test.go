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
	o.Relayed = func(dc string, _ uint32) (out []string) {
		for _, other := range []string{"a", "b", "c", "d"} {
			if other != self && other != dc && !linked(dc, other) {
				out = append(out, other)
			}
		}
		return out
	}
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

// Who is told of itself, or of a datacenter that it has a link to, does not listen:
// what comes straight is newer.
func TestWhatIsHeardStraightIsNotTakenFromOthers(t *testing.T) {
	simulateWith(t, func(o *replication.Options) {
		o.Relayed = func(string, uint32) []string { return []string{"a", "b", "c"} }
		o.Local = liar{o.Local}
	}, wan, 3, 1, func(w *world) {
		w.dcs[0].nodes[0].write(t, part(1), "k", put("v"))
		time.Sleep(5 * time.Second)
		for _, d := range w.dcs {
			d.mu.Lock()
			for of, c := range d.heard {
				if c.Contains(lie) || of.dc == d.name {
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
