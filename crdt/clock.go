package crdt

import (
	"cmp"
	"iter"
	"slices"
)

// Range is a run of sequence numbers, both ends included.
type Range struct{ Lo, Hi uint64 }

// Clock is a set of dots, kept as a short list of ranges per actor: normally
// one. The zero Clock is empty and ready to use. Copying a Clock by assignment
// shares its memory; use Clone before changing one of the copies.
//
// Invariant: actors ascend; the ranges of an actor ascend, start at 1 or
// later, and neither touch nor overlap; no actor is without ranges.
type Clock struct{ actors []actorRanges }

type actorRanges struct {
	actor  Actor
	ranges []Range
}

// Empty reports whether c holds no dot.
func (c *Clock) Empty() bool { return len(c.actors) == 0 }

// Actors is the number of actors of which c holds a dot.
func (c *Clock) Actors() int { return len(c.actors) }

func (c *Clock) find(a Actor) (int, bool) {
	return slices.BinarySearchFunc(c.actors, a, func(e actorRanges, a Actor) int { return cmp.Compare(e.actor, a) })
}

// Ranges returns the ranges that c holds of a. The caller must not change them.
func (c *Clock) Ranges(a Actor) []Range {
	if i, ok := c.find(a); ok {
		return c.actors[i].ranges
	}
	return nil
}

// All yields every actor with its ranges, actors ascending.
func (c *Clock) All() iter.Seq2[Actor, []Range] {
	return func(yield func(Actor, []Range) bool) {
		for _, e := range c.actors {
			if !yield(e.actor, e.ranges) {
				return
			}
		}
	}
}

// Contains reports whether d is in c.
func (c *Clock) Contains(d Dot) bool { return c.ContainsRange(d.Actor, d.Seq, d.Seq) }

// ContainsRange reports whether c holds every dot of a from lo to hi.
func (c *Clock) ContainsRange(a Actor, lo, hi uint64) bool {
	rs := c.Ranges(a)
	if len(rs) == 1 {
		return rs[0].Lo <= lo && hi <= rs[0].Hi
	}
	i := firstReaching(rs, lo)
	return i < len(rs) && rs[i].Lo <= lo && hi <= rs[i].Hi
}

// firstReaching is the index of the first range whose Hi is at least seq.
func firstReaching(rs []Range, seq uint64) int {
	i, _ := slices.BinarySearchFunc(rs, seq, func(r Range, seq uint64) int { return cmp.Compare(r.Hi, seq) })
	return i
}

// Last is the greatest sequence number that c holds of a, or 0.
func (c *Clock) Last(a Actor) uint64 {
	if rs := c.Ranges(a); len(rs) > 0 {
		return rs[len(rs)-1].Hi
	}
	return 0
}

// Count is the number of dots in c.
func (c *Clock) Count() uint64 {
	var n uint64
	for _, e := range c.actors {
		for _, r := range e.ranges {
			n += r.Hi - r.Lo + 1
		}
	}
	return n
}

// Add puts d into c.
func (c *Clock) Add(d Dot) { c.AddRange(d.Actor, d.Seq, d.Seq) }

// AddRange puts every dot of a from lo to hi into c; lo is at least 1.
func (c *Clock) AddRange(a Actor, lo, hi uint64) {
	i, ok := c.find(a)
	if !ok {
		c.actors = slices.Insert(c.actors, i, actorRanges{a, []Range{{lo, hi}}})
		return
	}
	e := &c.actors[i]
	if last := &e.ranges[len(e.ranges)-1]; last.Lo <= lo && lo <= last.Hi+1 {
		last.Hi = max(last.Hi, hi)
		return
	}
	from := firstReaching(e.ranges, lo-1) // touching counts: [1,3] and 4 become [1,4]
	to := from
	for to < len(e.ranges) && e.ranges[to].Lo <= hi+1 {
		lo, hi = min(lo, e.ranges[to].Lo), max(hi, e.ranges[to].Hi)
		to++
	}
	e.ranges = slices.Replace(e.ranges, from, to, Range{lo, hi})
}

// Union puts every dot of o into c.
func (c *Clock) Union(o *Clock) {
	for _, e := range o.actors {
		for _, r := range e.ranges {
			c.AddRange(e.actor, r.Lo, r.Hi)
		}
	}
}

// Covers reports whether c holds every dot of o.
func (c *Clock) Covers(o *Clock) bool {
	for _, e := range o.actors {
		for _, r := range e.ranges {
			if !c.ContainsRange(e.actor, r.Lo, r.Hi) {
				return false
			}
		}
	}
	return true
}

// Equal reports whether c and o hold the same dots.
func (c *Clock) Equal(o *Clock) bool {
	return slices.EqualFunc(c.actors, o.actors, func(a, b actorRanges) bool {
		return a.actor == b.actor && slices.Equal(a.ranges, b.ranges)
	})
}

// Clone returns a copy that shares nothing with c.
func (c *Clock) Clone() Clock {
	n := Clock{actors: slices.Clone(c.actors)}
	for i := range n.actors {
		n.actors[i].ranges = slices.Clone(n.actors[i].ranges)
	}
	return n
}

// Difference returns the dots of a that b lacks.
func Difference(a, b *Clock) Clock {
	var out Clock
	for _, e := range a.actors {
		if rs := subtract(e.ranges, b.Ranges(e.actor)); len(rs) > 0 {
			out.actors = append(out.actors, actorRanges{e.actor, rs})
		}
	}
	return out
}

func subtract(a, b []Range) []Range {
	var out []Range
	for _, r := range a {
		lo := r.Lo
		for i := firstReaching(b, lo); i < len(b) && b[i].Lo <= r.Hi; i++ {
			if b[i].Lo > lo {
				out = append(out, Range{lo, b[i].Lo - 1})
			}
			lo = b[i].Hi + 1
		}
		if lo <= r.Hi {
			out = append(out, Range{lo, r.Hi})
		}
	}
	return out
}

// Intersection returns the dots that a and b share.
func Intersection(a, b *Clock) Clock {
	var out Clock
	for _, e := range a.actors {
		var rs []Range
		other := b.Ranges(e.actor)
		for _, r := range e.ranges {
			for i := firstReaching(other, r.Lo); i < len(other) && other[i].Lo <= r.Hi; i++ {
				rs = append(rs, Range{max(r.Lo, other[i].Lo), min(r.Hi, other[i].Hi)})
			}
		}
		if len(rs) > 0 {
			out.actors = append(out.actors, actorRanges{e.actor, rs})
		}
	}
	return out
}
