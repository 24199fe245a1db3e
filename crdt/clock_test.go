package crdt

import (
	"bytes"
	"maps"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// dotSet is the simplest clock there can be.
type dotSet map[Dot]bool

// anyClock draws a clock, made in some order of its dots, and what is in it.
func anyClock(t *rapid.T, label string) (Clock, dotSet) {
	var c Clock
	set := dotSet{}
	for range rapid.IntRange(0, 12).Draw(t, label+" ranges") {
		a := Actor(rapid.IntRange(1, 3).Draw(t, label+" actor"))
		lo := rapid.Uint64Range(1, 20).Draw(t, label+" lo")
		hi := lo + rapid.Uint64Range(0, 4).Draw(t, label+" length")
		c.AddRange(a, lo, hi)
		for s := lo; s <= hi; s++ {
			set[Dot{a, s}] = true
		}
	}
	return c, set
}

func dotsOf(c *Clock) dotSet {
	set := dotSet{}
	for a, rs := range c.All() {
		for _, r := range rs {
			for s := r.Lo; s <= r.Hi; s++ {
				set[Dot{a, s}] = true
			}
		}
	}
	return set
}

func TestClockIsASetOfDots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, setA := anyClock(t, "a")
		b, setB := anyClock(t, "b")
		beforeA, beforeB := AppendClock(nil, &a), AppendClock(nil, &b)

		union, minus, both := dotSet{}, dotSet{}, dotSet{}
		maps.Copy(union, setA)
		maps.Copy(union, setB)
		for d := range setA {
			if setB[d] {
				both[d] = true
			} else {
				minus[d] = true
			}
		}
		united := a.Clone()
		united.Union(&b)
		difference, shared := Difference(&a, &b), Intersection(&a, &b)
		for what, c := range map[string]struct {
			got  *Clock
			want dotSet
		}{"itself": {&a, setA}, "union": {&united, union}, "difference": {&difference, minus}, "intersection": {&shared, both}} {
			if !maps.Equal(dotsOf(c.got), c.want) {
				t.Fatalf("%s is %v, want %v", what, c.got, c.want)
			}
			if c.got.Count() != uint64(len(c.want)) || c.got.Empty() != (len(c.want) == 0) {
				t.Fatalf("%s: count %d, empty %v, of %d dots", what, c.got.Count(), c.got.Empty(), len(c.want))
			}
			back, err := DecodeClock(AppendClock(nil, c.got)) // the decoder refuses ranges that touch
			if err != nil || !back.Equal(c.got) {
				t.Fatalf("%s: %v does not survive its encoding: %v", what, c.got, err)
			}
		}
		if a.Covers(&b) != (len(both) == len(setB)) || a.Equal(&b) != maps.Equal(setA, setB) {
			t.Fatalf("covers %v, equal %v: %v and %v", a.Covers(&b), a.Equal(&b), a, b)
		}
		for actor := Actor(1); actor <= 3; actor++ {
			last := uint64(0)
			for s := uint64(1); s < 30; s++ {
				if a.Contains(Dot{actor, s}) != setA[Dot{actor, s}] {
					t.Fatalf("contains %v of %v", Dot{actor, s}, a)
				}
				if setA[Dot{actor, s}] {
					last = s
				}
			}
			if a.Last(actor) != last {
				t.Fatalf("last of %v is %d, want %d", actor, a.Last(actor), last)
			}
		}
		if !bytes.Equal(beforeA, AppendClock(nil, &a)) || !bytes.Equal(beforeB, AppendClock(nil, &b)) {
			t.Fatal("an operand was changed")
		}
	})
}

func TestContainsRangeIsAllOfIt(t *testing.T) {
	var c Clock
	c.AddRange(7, 2, 4)
	c.AddRange(7, 6, 9)
	tests := []struct {
		lo, hi uint64
		want   bool
	}{{2, 4, true}, {3, 3, true}, {1, 2, false}, {4, 6, false}, {6, 9, true}, {6, 10, false}, {5, 5, false}}
	for _, tt := range tests {
		if got := c.ContainsRange(7, tt.lo, tt.hi); got != tt.want {
			t.Errorf("ContainsRange(%d, %d) = %v, want %v", tt.lo, tt.hi, got, tt.want)
		}
	}
}

func TestClockAtTheEndOfNumbers(t *testing.T) {
	var c Clock
	c.AddRange(1, maxSeq, maxSeq)
	c.Add(Dot{1, maxSeq - 1})
	c.Add(Dot{1, 1})
	back, err := DecodeClock(AppendClock(nil, &c))
	if err != nil || !back.Equal(&c) || c.Last(1) != math.MaxUint64-2 || c.Count() != 3 {
		t.Errorf("%v came back as %v, %v", c, back, err)
	}
}

func TestNextStamp(t *testing.T) {
	tests := []struct {
		name               string
		wall, issued, seen Stamp
		want               Stamp
	}{
		{"the wall rules", 100, 5, 7, 100},
		{"never the same twice", 100, 100, 7, 101},
		{"after what was seen", 100, 100, 900, 901},
	}
	for _, tt := range tests {
		if got := NextStamp(tt.wall, tt.issued, tt.seen); got != tt.want {
			t.Errorf("%s: NextStamp = %d, want %d", tt.name, got, tt.want)
		}
	}
}
