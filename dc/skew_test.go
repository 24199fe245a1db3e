package dc

import (
	"math"
	"sync/atomic"
	"testing"
	"time"
)

func TestSkewIsToldByTheMedian(t *testing.T) {
	at := moment{time.Unix(1_000_000, 0), time.Minute}
	for name, c := range map[string]struct {
		peers []time.Duration // by how much each is ahead of this node
		want  time.Duration   // of this node
		told  bool
	}{
		"nobody":                     {nil, 0, false},
		"one, and either is wrong":   {[]time.Duration{time.Hour}, 0, false},
		"both say so":                {[]time.Duration{time.Hour, time.Hour + time.Millisecond}, -time.Hour, true},
		"one of two is wrong":        {[]time.Duration{time.Hour, time.Millisecond}, -time.Millisecond, true},
		"one of three is wrong":      {[]time.Duration{-time.Hour, 2 * time.Millisecond, time.Millisecond}, -time.Millisecond, true},
		"two of three are wrong":     {[]time.Duration{-time.Hour, -time.Hour, time.Millisecond}, time.Hour, true},
		"it runs behind by a little": {[]time.Duration{time.Second, time.Second}, -time.Second, true},
	} {
		var w walls
		var names []string
		for i, off := range c.peers {
			names = append(names, string(rune('b'+i)))
			w.heard(names[i], at, at.wall.Add(off+10*time.Millisecond), at.after(20*time.Millisecond), time.Second, names)
		}
		if got, told := w.skew(at.after(time.Second)); got != c.want || told != c.told {
			t.Errorf("%s: %v, %t, want %v, %t", name, got, told, c.want, c.told)
		}
	}
}

// after is the moment that comes so much later, while nobody sets the wall.
func (m moment) after(d time.Duration) moment { return moment{m.wall.Add(d), m.steady + d} }

// hears has a node hear of peers' walls that they are ahead of its own by so much.
func hears(n *Node, ahead time.Duration, peers ...string) {
	now := n.moment()
	for _, peer := range peers {
		n.walls.heard(peer, now, now.wall.Add(ahead), now, n.opts.Exchange, n.layout().nodes)
	}
}

// What was heard counts also when those who said it have fallen silent, or when
// this process stood still and takes them for it.
func TestWrongClockStaysWrongAmongTheSilent(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	hears(nodes[0], -time.Hour, "b", "c")
	for i, fall := range []func(){func() {}, func() { nodes[0].peers.lose("b") }, func() { nodes[0].peers.lose("c") }} {
		fall()
		if done, err := nodes[0].serveForward(t.Context(), forwardedUpdate(put("k", "w")).GetForward()); reason(err) != "CLOCK_SKEW" {
			t.Errorf("%d peers fallen silent: a write that was handed to it: %v, %v, want CLOCK_SKEW", i, done, err)
		}
	}
}

// One peer that is heard again and again says more than those that were heard long
// ago: the wall may have been slewed meanwhile.
func TestWallsHeardLatelyCountFirst(t *testing.T) {
	at, members := moment{time.Unix(1_000_000, 0), time.Minute}, []string{"b", "c", "d", "e", "f"}
	var w walls
	for _, peer := range members {
		w.heard(peer, at, at.wall.Add(-time.Hour), at, time.Second, members)
	}
	at = at.after(time.Minute)
	w.heard("b", at, at.wall, at, time.Second, members)
	if off, told := w.skew(at); off != time.Hour || !told {
		t.Errorf("one of five heard again: %v, %t, want what most said", off, told)
	}
	w.heard("c", at, at.wall, at, time.Second, members)
	if off, told := w.skew(at); off != 0 || !told {
		t.Errorf("two of five heard again: %v, %t, want what those say", off, told)
	}
	w.heard("b", at, at.wall, at, time.Second, []string{"b"})
	if off, told := w.skew(at); off != 0 || told {
		t.Errorf("the others are no members any more: %v, %t, want nothing told", off, told)
	}
}

// A wall that is set is wrong, or right, from that moment on.
func TestWallIsSetBetweenTwoExchanges(t *testing.T) {
	at, members := moment{time.Unix(1_000_000, 0), time.Minute}, []string{"b", "c"}
	var w walls
	for _, peer := range members {
		w.heard(peer, at, at.wall, at, time.Second, members)
	}
	set := at.after(time.Second)
	set.wall = set.wall.Add(time.Hour)
	if off, told := w.skew(set); off != time.Hour || !told {
		t.Errorf("an hour ahead: %v, %t", off, told)
	}
	w.heard("b", at, at.wall.Add(time.Second), set, time.Second, members) // set while b was asked
	if off, told := w.skew(set); off != time.Hour || !told {
		t.Errorf("an hour ahead, and a peer was asked meanwhile: %v, %t", off, told)
	}
	if off, told := w.skew(at.after(2 * time.Second)); off != 0 || !told {
		t.Errorf("set right: %v, %t", off, told)
	}
}

// A node whose clock is wrong hands writes to another owner, and takes none that
// another node hands to it.
func TestWrongClockCoordinatesNothing(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	hears(nodes[0], -time.Hour, "b", "c")
	resp, err := nodes[0].Update(t.Context(), put("k", "v"))
	if err != nil || resp.GetAnswer().GetNode() == "a" {
		t.Errorf("a write at the node: %v, %v, want it carried out by another", resp.GetAnswer(), err)
	}
	if nodes[0].count.SkewRefusals.Load() == 0 {
		t.Error("it refused nothing")
	}
	if done, err := nodes[0].serveForward(t.Context(), forwardedUpdate(put("k", "w")).GetForward()); reason(err) != "CLOCK_SKEW" {
		t.Errorf("a write that was handed to it: %v, %v, want CLOCK_SKEW", done, err)
	}
	if got, err := nodes[0].Get(t.Context(), get("k")); err != nil || string(got.GetValue().GetBytes()) != "v" {
		t.Errorf("a read at the node: %v, %v", got.GetValue(), err)
	}
	hears(nodes[0], 0, "b", "c")
	if resp, err := nodes[0].Update(t.Context(), put("k", "w")); err != nil || resp.GetAnswer().GetNode() != "a" {
		t.Errorf("once the clock is right: %v, %v", resp.GetAnswer(), err)
	}
}

// An answer that took long tells less, and a clock that is wrong by an hour even so.
func TestLongTripsTellWhatIsCertain(t *testing.T) {
	at := moment{time.Unix(1_000_000, 0), time.Minute}
	for _, c := range []struct{ theirs, trip, want time.Duration }{
		{time.Hour, 2 * time.Second, time.Hour - 2*time.Second},
		{-time.Hour, 2 * time.Second, -time.Hour},
		{time.Second, 2 * time.Second, 0},
		{3 * time.Second, 2 * time.Second, time.Second},
		{-time.Second, 2 * time.Second, -time.Second},
	} {
		var w walls
		w.heard("b", at, at.wall.Add(c.theirs), at.after(c.trip), time.Second, []string{"b"})
		if got := w.of["b"].ahead - at.ahead(); got != c.want {
			t.Errorf("theirs %v, trip %v: %v, want %v", c.theirs, c.trip, got, c.want)
		}
	}
}

// A node that has just started takes no writes before it knows that its clock is
// right: until then it hands them to others. A peer that it has not heard may be alive.
func TestUncomparedClockCoordinatesNothing(t *testing.T) {
	doubt := &doubted{}
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second, func(o *Options) {
		if o.Node == "a" {
			o.Health = doubt
		}
	})
	nodes[0].walls.mu.Lock()
	clear(nodes[0].walls.of)
	nodes[0].walls.median.Store(nil)
	nodes[0].walls.mu.Unlock()
	refuses := func(peers string) {
		t.Helper()
		if done, err := nodes[0].serveForward(t.Context(), forwardedUpdate(put("k", "w")).GetForward()); reason(err) != "CLOCK_SKEW" {
			t.Errorf("peers %s: a write that was handed to it: %v, %v, want CLOCK_SKEW", peers, done, err)
		}
	}
	for _, peers := range []string{"known to be alive", "not heard yet"} {
		resp, err := nodes[0].Update(t.Context(), put("k", "v"))
		if err != nil || resp.GetAnswer().GetNode() == "a" {
			t.Errorf("peers %s: a write at the node: %v, %v, want it carried out by another", peers, resp.GetAnswer(), err)
		}
		refuses(peers)
		nodes[0].peers.lose("b")
		nodes[0].peers.lose("c")
	}
	doubt.phi.Store(100.0)
	refuses("silent, though perhaps it is this node that stood still")
	doubt.phi.Store(math.Inf(1))
	if _, err := nodes[0].serveForward(t.Context(), forwardedUpdate(put("k", "w")).GetForward()); err != nil {
		t.Errorf("no connection to the peers, which cannot tell then: %v", err)
	}
}

// doubted is the Health of nodes about all of which there is as much doubt.
type doubted struct{ phi atomic.Value }

func (d *doubted) Phi(string) float64 {
	phi, _ := d.phi.Load().(float64)
	return phi
}
