package dc

import (
	"math"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/storage"
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
			w.heard(names[i], at, at.wall.Add(off+10*time.Millisecond), at.after(20*time.Millisecond), recent)
		}
		if got, told := w.skew(at.after(time.Second), recent); got != c.want || told != c.told {
			t.Errorf("%s: %v, %t, want %v, %t", name, got, told, c.want, c.told)
		}
	}
}

// recent is for how long a wall counts before others in these tests.
const recent = 3 * time.Second

// after is the moment that comes so much later, while nobody sets the wall.
func (m moment) after(d time.Duration) moment { return moment{m.wall.Add(d), m.steady + d} }

// hears has a node hear of peers' walls that they are ahead of its own by so much.
func hears(n *Node, ahead time.Duration, peers ...string) {
	now := n.moment()
	for _, peer := range peers {
		n.walls.heard(peer, now, now.wall.Add(ahead), now, n.recentWalls())
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
		w.heard(peer, at, at.wall.Add(-time.Hour), at, recent)
	}
	at = at.after(time.Minute)
	w.heard("b", at, at.wall, at, recent)
	if off, told := w.skew(at, recent); off != time.Hour || !told {
		t.Errorf("one of five heard again: %v, %t, want what most said", off, told)
	}
	w.heard("c", at, at.wall, at, recent)
	if off, told := w.skew(at, recent); off != 0 || !told {
		t.Errorf("two of five heard again: %v, %t, want what those say", off, told)
	}
	w.keep([]string{"a", "b"}, at, recent)
	if off, told := w.skew(at, recent); off != 0 || told {
		t.Errorf("the others are no members any more: %v, %t, want nothing told", off, told)
	}
}

// A wall that is set is wrong, or right, from that moment on.
func TestWallIsSetBetweenTwoExchanges(t *testing.T) {
	at, members := moment{time.Unix(1_000_000, 0), time.Minute}, []string{"b", "c"}
	var w walls
	for _, peer := range members {
		w.heard(peer, at, at.wall, at, recent)
	}
	set := at.after(time.Second)
	set.wall = set.wall.Add(time.Hour)
	if off, told := w.skew(set, recent); off != time.Hour || !told {
		t.Errorf("an hour ahead: %v, %t", off, told)
	}
	w.heard("b", at, at.wall.Add(time.Second), set, recent) // set while b was asked
	if off, told := w.skew(set, recent); off != time.Hour || !told {
		t.Errorf("an hour ahead, and a peer was asked meanwhile: %v, %t", off, told)
	}
	if off, told := w.skew(at.after(2*time.Second), recent); off != 0 || !told {
		t.Errorf("set right: %v, %t", off, told)
	}
}

// What peers told who are away says nothing of a wall that is set since, or of a
// machine that was suspended: they cannot be asked, and who is there decides.
func TestWallIsSetWhileOthersAreAway(t *testing.T) {
	at := moment{time.Unix(1_000_000, 0), time.Minute}
	for name, c := range map[string]struct {
		there []string // and is heard again
		told  bool
		want  time.Duration
	}{
		"nobody is there":  {nil, false, 0},
		"one of four":      {[]string{"b"}, false, 0},
		"two of four":      {[]string{"b", "c"}, true, time.Second},
		"all but the last": {[]string{"b", "c", "d"}, true, time.Second},
	} {
		var w walls
		for _, peer := range []string{"b", "c", "d", "e"} {
			w.heard(peer, at, at.wall.Add(-time.Hour), at, recent)
		}
		set := at.after(time.Second)
		set.wall = set.wall.Add(-time.Hour)
		if off, told := w.skew(set, recent); off != 0 || !told {
			t.Errorf("%s: as soon as it is set right: %v, %t", name, off, told)
		}
		set = set.after(time.Minute)
		set.wall = set.wall.Add(10 * time.Minute) // and again
		for _, peer := range c.there {
			w.heard(peer, set, set.wall.Add(-time.Second), set, recent)
		}
		if off, told := w.skew(set.after(recent), recent); off != c.want || told != c.told {
			t.Errorf("%s: %v, %t, want %v, %t", name, off, told, c.want, c.told)
		}
	}
}

// A node that is left alone judges its clock by nobody.
func TestClockOfWhoIsLeftAlone(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	hears(nodes[0], -time.Hour, "b", "c")
	if _, bad := nodes[0].skewed(); !bad {
		t.Fatal("the clock is not wrong")
	}
	nodes[0].walls.keep([]string{"a"}, nodes[0].moment(), recent)
	if off, bad := nodes[0].skewed(); bad {
		t.Errorf("%v off, and nobody is left who says so", off)
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
		w.heard("b", at, at.wall.Add(c.theirs), at.after(c.trip), recent)
		if got := w.of["b"].ahead - at.ahead(); got != c.want {
			t.Errorf("theirs %v, trip %v: %v, want %v", c.theirs, c.trip, got, c.want)
		}
	}
}

// A node that has just started takes no writes before it knows that its clock is
// right: until then it hands them to others. A peer that it has not heard may be alive.
func TestUncomparedClockCoordinatesNothing(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	nodes[0].walls.mu.Lock()
	clear(nodes[0].walls.of)
	nodes[0].walls.median.Store(nil)
	nodes[0].walls.mu.Unlock()
	for _, peers := range []string{"known to be alive", "not heard yet"} {
		resp, err := nodes[0].Update(t.Context(), put("k", "v"))
		if err != nil || resp.GetAnswer().GetNode() == "a" {
			t.Errorf("peers %s: a write at the node: %v, %v, want it carried out by another", peers, resp.GetAnswer(), err)
		}
		if done, err := nodes[0].serveForward(t.Context(), forwardedUpdate(put("k", "w")).GetForward()); reason(err) != "CLOCK_SKEW" {
			t.Errorf("peers %s: a write that was handed to it: %v, %v, want CLOCK_SKEW", peers, done, err)
		}
		nodes[0].peers.lose("b")
		nodes[0].peers.lose("c")
	}
}

// A node that was started while the others are away takes writes once they were
// tried for as long as they would need, and cannot be connected to.
func TestUncomparedClockWhereNobodyIsThere(t *testing.T) {
	doubt := &doubted{}
	const every = 300 * time.Millisecond
	w, nodes := startDCEvery(t, 3, 3, every, func(o *Options) {
		if o.Node == "a" {
			o.Health = doubt
		}
	})
	w.setDown("b", true)
	w.setDown("c", true)
	write := put("k", "v")
	write.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ONE}
	takes := func() bool {
		_, err := nodes[0].serveForward(t.Context(), forwardedUpdate(write).GetForward())
		if err != nil && reason(err) != "CLOCK_SKEW" {
			t.Fatal(err)
		}
		return err == nil
	}
	doubt.phi.Store(math.Inf(1))
	nodes[0] = w.restart(t, nodes[0], func(*storage.Options) {})
	eventually(t, "it takes a write", func() bool {
		if !takes() {
			return false
		}
		if took := time.Since(nodes[0].opened); took < askFor(every) {
			t.Errorf("it takes a write after %v, before the others had the time to answer", took)
		}
		return true
	})
	doubt.phi.Store(100.0)
	if takes() {
		t.Error("it takes a write while the others are silent, though perhaps it is this node that stood still")
	}
}

// doubted is the Health of nodes about all of which there is as much doubt.
type doubted struct{ phi atomic.Value }

func (d *doubted) Phi(string) float64 {
	phi, _ := d.phi.Load().(float64)
	return phi
}
