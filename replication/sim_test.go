package replication_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/replication/linktest"
)

// world is some datacenters on a simulated network.
type world struct {
	t     *testing.T
	net   *linktest.Network
	dcs   []*fakeDC
	links map[string]*linktest.Link
	with  func(o *replication.Options) // nil: nothing
}

// simulate runs fn with datacenters a, b, c of some nodes each.
func simulate(t *testing.T, opts linktest.Options, datacenters, nodes int, fn func(w *world)) {
	t.Helper()
	simulateWith(t, nil, opts, datacenters, nodes, fn)
}

// simulateWith is simulate with other options of replicators.
func simulateWith(t *testing.T, with func(o *replication.Options), opts linktest.Options, datacenters, nodes int, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: linktest.New(opts), links: map[string]*linktest.Link{}, with: with}
		for i := range datacenters {
			w.dcs = append(w.dcs, newFakeDC(string(rune('a'+i)), nodes, crdt.Actor(i+1)))
		}
		for i, d := range w.dcs {
			for j, o := range w.dcs {
				if i != j {
					d.others = append(d.others, o)
				}
			}
		}
		for _, d := range w.dcs {
			for _, n := range d.nodes {
				w.start(n)
			}
		}
		fn(w)
		for _, d := range w.dcs {
			for _, n := range d.nodes {
				w.kill(n)
			}
		}
	})
}

func (w *world) start(n *fakeNode) {
	self := replication.Peer{DC: n.dc.name, Node: n.name}
	l := w.net.Link(self)
	w.links[n.name] = l
	n.rep = startReplicator(w.t, n, l, w.with)
}

func startReplicator(t testing.TB, n *fakeNode, l replication.Link, with ...func(o *replication.Options)) *replication.Replicator {
	t.Helper()
	o := replication.Options{
		Self: replication.Peer{DC: n.dc.name, Node: n.name}, Link: l, Local: n, Peers: n.dc.peers,
		LiveNodes: n.dc.liveNodes, Placements: n.dc.placementsOf, Logger: logger(t),
	}
	for _, change := range with {
		if change != nil {
			change(&o)
		}
	}
	rep, err := replication.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// kill stops a node as a crash does.
func (w *world) kill(n *fakeNode) {
	n.dc.mu.Lock()
	live := n.live
	n.live = false
	n.dc.mu.Unlock()
	if live {
		w.links[n.name].Close()
		n.rep.Close()
	}
}

// level waits until all datacenters hold the same, and returns how long it took.
func (w *world) level(within time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		same := true
		want := w.dcs[0].state(w.t)
		for _, d := range w.dcs[1:] {
			same = same && d.state(w.t) == want
		}
		took := time.Since(began)
		if same {
			return took
		}
		if took > within {
			w.t.Fatalf("datacenters still differ after %s", within)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func part(p int) replication.Replica { return replication.Replica{Partition: uint32(p)} }

func inc(n int64) crdt.Op { return crdt.Op{Code: crdt.OpAdd, Kind: crdt.Counter, N: n} }

func put(v string) crdt.Op {
	return crdt.Op{Code: crdt.OpAssign, Kind: crdt.Register, Value: []byte(v)}
}

var wan = linktest.Options{Latency: 40 * time.Millisecond}

func TestWriteReachesOtherDatacentersAtOnce(t *testing.T) {
	simulate(t, wan, 3, 2, func(w *world) {
		time.Sleep(3 * time.Second)
		w.dcs[0].nodes[1].write(t, part(3), "k", put("v"))
		took := w.level(time.Second)
		if took > 60*time.Millisecond { // 40 on the way, 2 waiting, and the polling
			t.Errorf("took %s over a link of 40 ms", took)
		}
		for _, d := range w.dcs {
			if v := d.value(part(3), "k", crdt.Register); len(v.Siblings) != 1 || string(v.Siblings[0].Value) != "v" {
				t.Errorf("datacenter %s reads %v", d.name, v)
			}
		}
	})
}

func TestHotCounterTravelsCoalesced(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		time.Sleep(3 * time.Second)
		for range 500 {
			w.dcs[0].nodes[0].write(t, part(0), "hot", inc(1))
		}
		w.level(time.Second)
		if v := w.dcs[1].value(part(0), "hot", crdt.Counter); v.Int != 500 {
			t.Errorf("counter is %d, want 500", v.Int)
		}
		if s := w.dcs[0].nodes[0].rep.Totals(); s.ShippedEvents != 500 || s.ShippedMessages > 20 {
			t.Errorf("%d events in %d messages, want 500 in 20 at the most", s.ShippedEvents, s.ShippedMessages)
		}
	})
}

func TestCutAndHeal(t *testing.T) {
	simulate(t, wan, 3, 2, func(w *world) {
		time.Sleep(3 * time.Second)
		w.net.Cut("a", "b")
		for i := range 300 {
			w.dcs[i%3].nodes[i%2].write(t, part(i%4), "k", inc(1))
			time.Sleep(20 * time.Millisecond)
		}
		w.net.Heal("a", "b")
		if took := w.level(10 * time.Second); took > 1500*time.Millisecond {
			t.Errorf("level %s after the heal, want 1.5 s", took)
		}
		sum := int64(0)
		for p := range 4 {
			sum += w.dcs[1].value(part(p), "k", crdt.Counter).Int
		}
		if sum != 300 {
			t.Errorf("counters sum up to %d, want 300", sum)
		}
	})
}

// TestFaults is random histories: cuts, duplicates, reordering, lost outboxes.
func TestFaults(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			opts := linktest.Options{Latency: 30 * time.Millisecond, Duplicate: 0.2, Reorder: 0.2, Seed: seed}
			simulate(t, opts, 3, 2, func(w *world) { faults(t, w, rand.New(rand.NewPCG(seed, 2))) })
		})
	}
}

func faults(t *testing.T, w *world, rnd *rand.Rand) {
	sum := int64(0)
	for range 400 {
		d := w.dcs[rnd.IntN(3)]
		n := d.nodes[rnd.IntN(2)]
		r := part(rnd.IntN(4))
		switch rnd.IntN(12) {
		case 0:
			w.net.Cut("a", string(rune('b'+rnd.IntN(2))))
		case 1:
			w.net.Heal("a", string(rune('b'+rnd.IntN(2))))
		case 2:
			w.net.Forget(replication.Peer{DC: d.name, Node: n.name})
		case 3, 4, 5:
			n.write(t, r, "set", crdt.Op{Code: crdt.OpInsert, Kind: crdt.Set, Elements: []string{strconv.Itoa(rnd.IntN(9))}})
		case 6, 7:
			n.write(t, r, "set", crdt.Op{Code: crdt.OpRemove, Kind: crdt.Set, Elements: []string{strconv.Itoa(rnd.IntN(9))}})
		case 8:
			n.write(t, r, "reg", put(strconv.FormatUint(rnd.Uint64(), 10)))
		default:
			n.write(t, r, "count", inc(1))
			sum++
		}
		time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
	}
	for _, other := range []string{"b", "c"} {
		w.net.Heal("a", other)
	}
	w.level(15 * time.Second)
	got := int64(0)
	for p := range 4 {
		got += w.dcs[2].value(part(p), "count", crdt.Counter).Int
	}
	if got != sum {
		t.Errorf("counters sum up to %d, want %d", got, sum)
	}
}

// TestLongCutDoesNotFillTheOutbox: what nobody takes stays in the log, and becomes
// few messages once somebody does. Events are sent at once again after that.
func TestLongCutDoesNotFillTheOutbox(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		time.Sleep(3 * time.Second)
		w.net.Cut("a", "b")
		n := w.dcs[0].nodes[0]
		for i := range 12_000 {
			n.write(t, part(i%4), "hot", inc(1))
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		held := n.rep.Totals()
		if held.ShippedMessages > 750 { // 512 and those of the second until that is noticed
			t.Errorf("%d messages during the cut, want 750 at the most", held.ShippedMessages)
		}
		w.net.Heal("a", "b")
		if took := w.level(5 * time.Second); took > 1500*time.Millisecond {
			t.Errorf("level %s after the heal, want 1.5 s", took)
		}
		if s := n.rep.Totals(); s.ShippedEvents != 12_000 || s.ShippedMessages > held.ShippedMessages+8 {
			t.Errorf("%d events in %d messages, want 12000 in 8 more than the %d of the cut", s.ShippedEvents, s.ShippedMessages, held.ShippedMessages)
		}
		n.write(t, part(0), "hot", inc(1))
		if took := w.level(time.Second); took > 60*time.Millisecond {
			t.Errorf("an event took %s after the backlog was gone", took)
		}
	})
}

func TestLostOutboxIsAskedFor(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		time.Sleep(3 * time.Second)
		w.dcs[0].nodes[0].write(t, part(0), "before", put("v"))
		w.level(time.Second)
		w.net.Cut("a", "b")
		for i := range 50 {
			w.dcs[0].nodes[0].write(t, part(i%4), fmt.Sprint("k", i), put("v"))
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		w.net.Forget(replication.Peer{DC: "a", Node: "a1"})
		w.net.Heal("a", "b")
		if took := w.level(10 * time.Second); took > 1500*time.Millisecond {
			t.Errorf("level %s after the heal, want 1.5 s", took)
		}
		if l := w.dcs[1].nodes[0].rep.Lag()[0]; l.Repairs == 0 || l.Joins != 0 || l.Gaps != 0 {
			t.Errorf("%d repairs, %d joins, %d gaps; want repairs only", l.Repairs, l.Joins, l.Gaps)
		}
		w.dcs[0].nodes[0].write(t, part(0), "next", put("v"))
		w.level(time.Second)
		if l := w.dcs[1].nodes[0].rep.Lag()[0]; l.Gaps != 1 {
			t.Errorf("%d gaps in the lane after the loss, want 1", l.Gaps)
		}
	})
}

func TestDeadCoordinatorsEventsComeThroughItsPeers(t *testing.T) {
	simulate(t, wan, 2, 3, func(w *world) {
		time.Sleep(3 * time.Second)
		n := w.dcs[0].nodes[0]
		n.mute = true
		for p := range 4 {
			n.write(t, part(p), "k", put("acknowledged"))
		}
		w.kill(n)
		if took := w.level(10 * time.Second); took > 5*time.Second {
			t.Errorf("took %s, want 5 s", took)
		}
		for p := range 4 {
			if v := w.dcs[1].value(part(p), "k", crdt.Register); len(v.Siblings) != 1 {
				t.Errorf("partition %d reads %v", p, v)
			}
		}
	})
}

func TestTrimmedLogMeansJoin(t *testing.T) {
	simulate(t, wan, 2, 2, func(w *world) {
		time.Sleep(3 * time.Second)
		set := func(code crdt.OpCode, e string) crdt.Op {
			return crdt.Op{Code: code, Kind: crdt.Set, Elements: []string{e}}
		}
		w.dcs[0].nodes[0].write(t, part(0), "s", set(crdt.OpInsert, "gone"))
		w.level(time.Second)
		w.net.Cut("a", "b")
		w.dcs[0].nodes[0].write(t, part(0), "s", set(crdt.OpRemove, "gone"))
		w.dcs[0].nodes[0].write(t, part(0), "s", set(crdt.OpInsert, "x"))
		w.dcs[1].nodes[1].write(t, part(0), "s", set(crdt.OpInsert, "y"))
		time.Sleep(5 * time.Second)
		for _, d := range w.dcs {
			d.trim()
			for _, n := range d.nodes {
				w.net.Forget(replication.Peer{DC: d.name, Node: n.name})
			}
		}
		w.net.Heal("a", "b")
		w.level(10 * time.Second)
		if v := w.dcs[1].value(part(0), "s", crdt.Set); fmt.Sprint(v.Elements) != "[x y]" {
			t.Errorf("set is %v, want [x y]", v.Elements)
		}
		joins := uint64(0)
		for _, n := range w.dcs[1].nodes {
			joins += n.rep.Lag()[0].Joins
		}
		if joins == 0 {
			t.Error("no full join")
		}
	})
}

func TestPoisonIsParkedAndBlocksNothing(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		b := w.dcs[1]
		poison := []byte("poison")
		var healed atomic.Bool
		b.applyErr = func(deltas [][]byte) error {
			for _, d := range deltas {
				if bytes.Contains(d, poison) && !healed.Load() {
					return fmt.Errorf("refused: %w", replication.ErrPermanent)
				}
			}
			return nil
		}
		time.Sleep(3 * time.Second)
		a := w.dcs[0].nodes[0]
		a.write(t, part(1), "bad", put("poison"))
		for p := range 4 {
			a.write(t, part(p), fmt.Sprint("good", p), put("v"))
		}
		if err := w.links["a1"].Publish(t.Context(), 0, 2, []byte("rubbish")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.write(t, part(1), "later", put("v"))
		time.Sleep(200 * time.Millisecond)
		for _, key := range []string{"good0", "later"} {
			p := map[string]int{"good0": 0, "later": 1}[key]
			if v := b.value(part(p), key, crdt.Register); len(v.Siblings) != 1 {
				t.Errorf("%s reads %v behind the poison", key, v)
			}
		}
		parked := b.nodes[0].rep.Parked()
		if len(parked) < 2 || parked[0].From != (replication.Peer{DC: "a", Node: "a1"}) {
			t.Fatalf("parked: %v", parked)
		}
		if l := b.nodes[0].rep.Lag()[0]; l.Parked < 2 {
			t.Errorf("%d parked, want 2 or more", l.Parked)
		}
		healed.Store(true) // nothing was lost by parking it
		w.level(time.Minute)
	})
}

func TestPoisonAmongMissingEvents(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		w.dcs[1].mu.Lock()
		w.dcs[1].applyErr = func(deltas [][]byte) error {
			for _, d := range deltas {
				if bytes.Contains(d, []byte("poison")) {
					return fmt.Errorf("refused: %w", replication.ErrPermanent)
				}
			}
			return nil
		}
		w.dcs[1].mu.Unlock()
		time.Sleep(3 * time.Second)
		w.net.Cut("a", "b")
		for i, v := range []string{"good", "poison", "good"} {
			w.dcs[0].nodes[0].write(t, part(1), fmt.Sprint("k", i), put(v))
		}
		time.Sleep(time.Second)
		w.net.Forget(replication.Peer{DC: "a", Node: "a1"})
		w.net.Heal("a", "b")
		time.Sleep(2 * time.Second)
		for i, want := range []int{1, 0, 1} {
			if v := w.dcs[1].value(part(1), fmt.Sprint("k", i), crdt.Register); len(v.Siblings) != want {
				t.Errorf("k%d reads %d values, want %d", i, len(v.Siblings), want)
			}
		}
	})
}

func TestStuckOutboxIsCaughtUpFromTheLog(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		w.dcs[1].mu.Lock()
		w.dcs[1].streamOnly = true
		w.dcs[1].mu.Unlock()
		time.Sleep(3 * time.Second)
		a := replication.Peer{DC: "a", Node: "a1"}
		w.net.Stick(a, true)
		began := time.Now()
		for i := range 200 {
			w.dcs[0].nodes[0].write(t, part(i%4), "k", inc(1))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("local writes took %s while the outbox was stuck", took)
		}
		time.Sleep(5 * time.Second)
		w.net.Stick(a, false)
		w.level(3 * time.Second)
		if s := w.dcs[0].nodes[0].rep.Totals(); s.PublishErrors == 0 || s.ShippedMessages > 8 {
			t.Errorf("%d publish errors, %d messages; want some and 8 at the most", s.PublishErrors, s.ShippedMessages)
		}
	})
}

func TestTransientFailureIsTriedAgain(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		time.Sleep(3 * time.Second)
		var failures atomic.Int64
		w.dcs[1].mu.Lock()
		w.dcs[1].streamOnly = true
		w.dcs[1].applyErr = func([][]byte) error {
			if failures.Add(1) <= 3 {
				return errors.New("no quorum")
			}
			return nil
		}
		w.dcs[1].mu.Unlock()
		w.dcs[0].nodes[0].write(t, part(0), "k", put("v"))
		w.level(5 * time.Second)
		if l := w.dcs[1].nodes[0].rep.Lag()[0]; l.Refused == 0 || l.Parked != 0 {
			t.Errorf("refused %d, parked %d", l.Refused, l.Parked)
		}
	})
}

// TestStreamAloneLosesNothing shows that acknowledgements come after the events
// are applied, without the clocks mending what was acknowledged too early.
func TestStreamAloneLosesNothing(t *testing.T) {
	opts := linktest.Options{Latency: 30 * time.Millisecond, Duplicate: 0.1, Reorder: 0.3, Seed: 4}
	simulate(t, opts, 2, 2, func(w *world) {
		var calls atomic.Int64
		w.dcs[1].mu.Lock()
		w.dcs[1].streamOnly = true
		w.dcs[1].applyErr = func([][]byte) error {
			if calls.Add(1)%3 == 0 {
				return errors.New("no quorum")
			}
			return nil
		}
		w.dcs[1].mu.Unlock()
		for i := range 400 {
			if i == 100 {
				w.net.Cut("a", "b")
			}
			if i == 300 {
				w.net.Heal("a", "b")
			}
			w.dcs[0].nodes[i%2].write(t, part(i%4), "k", inc(1))
			time.Sleep(10 * time.Millisecond)
		}
		w.level(20 * time.Second)
	})
}

func TestWhatIsOnItsWayIsNotAskedFor(t *testing.T) {
	simulate(t, linktest.Options{Latency: 150 * time.Millisecond}, 2, 2, func(w *world) {
		time.Sleep(5 * time.Second)
		for i := range 3000 {
			w.dcs[i%2].nodes[i/2%2].write(t, part(i%4), "k", inc(1))
			time.Sleep(1100 * time.Microsecond) // no round of the clocks falls between two writes for long
		}
		w.level(time.Second)
		for _, d := range w.dcs {
			for _, n := range d.nodes {
				if l := n.rep.Lag()[0]; l.Repairs != 0 || l.Refused != 0 || l.Gaps != 0 || l.ExchangeErrors != 0 {
					t.Errorf("node %s without any fault: %+v", n.name, l)
				}
			}
		}
	})
}

func TestRemoteClocksAreTold(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		w.dcs[0].nodes[0].write(t, part(2), "k", put("v"))
		time.Sleep(3 * time.Second)
		w.dcs[1].mu.Lock()
		defer w.dcs[1].mu.Unlock()
		if c := w.dcs[1].heard[aside{"a", part(2)}]; c.Count() != 1 || !c.Contains(crdt.Dot{Actor: w.dcs[0].nodes[0].actor, Seq: 1}) {
			t.Errorf("heard a clock of %d dots", c.Count())
		}
	})
}

func TestResidency(t *testing.T) {
	simulate(t, wan, 3, 1, func(w *world) {
		time.Sleep(2 * time.Second)
		for _, d := range w.dcs {
			d.mu.Lock()
		}
		w.dcs[0].placements = []uint32{0, 5}
		w.dcs[1].placements = []uint32{0, 5}
		for _, d := range w.dcs {
			d.mu.Unlock()
		}
		time.Sleep(2 * time.Second)
		r := replication.Replica{Placement: 5, Partition: 2}
		w.dcs[0].nodes[0].write(t, r, "secret", put("v"))
		time.Sleep(40 * time.Second)
		if v := w.dcs[1].value(r, "secret", crdt.Register); len(v.Siblings) != 1 {
			t.Errorf("datacenter b reads %v", v)
		}
		if v := w.dcs[2].value(r, "secret", crdt.Register); len(v.Siblings) != 0 {
			t.Errorf("datacenter c holds %v, which must not get there", v)
		}
		if p := w.dcs[2].nodes[0].rep.Parked(); len(p) != 0 {
			t.Errorf("datacenter c was sent what it must not have: %+v", p)
		}
	})
}

func TestLagIsMeasured(t *testing.T) {
	simulate(t, wan, 2, 1, func(w *world) {
		time.Sleep(10 * time.Second)
		l := w.dcs[0].nodes[0].rep.Lag()[0]
		if l.DC != "b" || l.P50.Round(time.Millisecond) != 40*time.Millisecond || l.P99.Round(time.Millisecond) != 40*time.Millisecond || l.Samples < 30 {
			t.Errorf("lag to %s: %s and %s of %d beacons, want 40 ms", l.DC, l.P50, l.P99, l.Samples)
		}
		if l.Newest > 300*time.Millisecond {
			t.Errorf("newest beacon is %s old", l.Newest)
		}
		w.net.Cut("a", "b")
		time.Sleep(7 * time.Second)
		if l = w.dcs[0].nodes[0].rep.Lag()[0]; l.Newest < 6500*time.Millisecond {
			t.Errorf("newest beacon is %s old after a cut of 7 s", l.Newest)
		}
		w.net.Heal("a", "b")
		time.Sleep(time.Second)
		if l = w.dcs[0].nodes[0].rep.Lag()[0]; l.Newest > 300*time.Millisecond || l.Reconnects != 1 {
			t.Errorf("newest beacon is %s old, %d reconnects after the heal", l.Newest, l.Reconnects)
		}
	})
}
