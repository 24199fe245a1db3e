package crdt

import "slices"

// Context is what a client observed of a key: explicit dots while they are
// few, else the whole clock of the answer it read. The zero Context has
// observed nothing.
type Context struct {
	Dots  []Dot // in order
	Clock Clock
}

// MaxContextDots is how many dots a context names one by one.
const MaxContextDots = 16

// ObservedContext returns the context of an answer that showed these cells,
// read from a replica (or the join of several) with this clock. A dot of a
// collection that stands ahead of the clock is left out: its event may have
// touched elements that the answer lacks, and a context names whole events.
func ObservedContext(cells []CellState, clock *Clock) Context {
	var dots []Dot
	for _, cs := range cells {
		for _, e := range cs.Live {
			if cs.ID.Kind.shares() && !clock.Contains(e.Dot) {
				continue
			}
			if dots = append(dots, e.Dot); len(dots) > MaxContextDots {
				return clockContext(cells, clock)
			}
		}
	}
	slices.SortFunc(dots, Dot.Compare)
	return Context{Dots: slices.Compact(dots)}
}

// clockContext covers the dots of single cells that stand ahead of the clock as well.
func clockContext(cells []CellState, clock *Clock) Context {
	c := clock.Clone()
	for _, cs := range cells {
		for _, e := range cs.Live {
			if !cs.ID.Kind.shares() {
				c.Add(e.Dot)
			}
		}
	}
	return Context{Clock: c}
}

// shares reports whether an event that changed such a cell may have changed
// others of the key as well.
func (k Kind) shares() bool { return k.Collection() || k == Expiry }

const contextVersion = 1

// AppendContext appends the canonical encoding of c to b.
func AppendContext(b []byte, c *Context) []byte {
	b = append(b, contextVersion)
	b = appendDots(b, c.Dots)
	return AppendClock(b, &c.Clock)
}

// DecodeContext decodes what AppendContext made, and nothing else.
func DecodeContext(b []byte) (*Context, error) {
	r := reader{b: b}
	if r.byte("version") != contextVersion && r.err == nil {
		r.fail("unknown version of a context")
	}
	c := &Context{Dots: r.dots("observed dots"), Clock: r.clock()}
	if err := r.done("context"); err != nil {
		return nil, err
	}
	return c, nil
}
