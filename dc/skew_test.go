package dc

import (
	"testing"
	"time"
)

func TestSkewIsToldByTheMedian(t *testing.T) {
	at := time.Unix(1_000_000, 0)
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
			w.heard(names[i], at, at.Add(off+10*time.Millisecond), at.Add(20*time.Millisecond))
		}
		if got, told := w.skew(names); got != c.want || told != c.told {
			t.Errorf("%s: %v, %t, want %v, %t", name, got, told, c.want, c.told)
		}
	}
}

// A node whose clock is wrong hands writes to another owner, and takes none that
// another node hands to it.
func TestWrongClockCoordinatesNothing(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	now := time.Now()
	for _, peer := range []string{"b", "c"} {
		nodes[0].walls.heard(peer, now, now.Add(-time.Hour), now)
	}
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
	for _, peer := range []string{"b", "c"} {
		nodes[0].walls.heard(peer, now, now, now)
	}
	if resp, err := nodes[0].Update(t.Context(), put("k", "w")); err != nil || resp.GetAnswer().GetNode() != "a" {
		t.Errorf("once the clock is right: %v, %v", resp.GetAnswer(), err)
	}
}

// An answer that took long tells less, and a clock that is wrong by an hour even so.
func TestLongTripsTellWhatIsCertain(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, c := range []struct{ theirs, trip, want time.Duration }{
		{time.Hour, 2 * time.Second, time.Hour - 2*time.Second},
		{-time.Hour, 2 * time.Second, -time.Hour},
		{time.Second, 2 * time.Second, 0},
		{3 * time.Second, 2 * time.Second, time.Second},
		{-time.Second, 2 * time.Second, -time.Second},
	} {
		var w walls
		w.heard("b", at, at.Add(c.theirs), at.Add(c.trip))
		if got := w.off["b"]; got != c.want {
			t.Errorf("theirs %v, trip %v: %v, want %v", c.theirs, c.trip, got, c.want)
		}
	}
}

// A node that has just started takes no writes before it knows that its clock is
// right: until then it hands them to others. A peer that it has not heard may be alive.
func TestUncomparedClockCoordinatesNothing(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	nodes[0].walls.mu.Lock()
	clear(nodes[0].walls.off)
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
