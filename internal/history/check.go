package history

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Check runs every checker of this package. The history is one of unique
// values: no two puts of a key and no two adds of a set write the same.
func Check(history []*Record, final State) *Report {
	r := &Report{}
	r.count(history)
	for _, check := range []func([]*Record, State) *Report{CheckCounters, CheckSets, CheckRegisters, CheckEqual} {
		r.add(check(history, final))
	}
	r.add(CheckDots(history))
	return r.sorted()
}

// CheckDots reports dots that two operations were told are theirs. A dot names
// one event for ever: also after wiped disks, restored backups and restarts.
func CheckDots(history []*Record) *Report {
	r := &Report{}
	r.count(history)
	first := map[Dot]*Record{}
	for _, rec := range history {
		if rec.Dot == nil {
			continue
		}
		other := first[*rec.Dot]
		if other == nil {
			first[*rec.Dot] = rec
			continue
		}
		r.Reused = append(r.Reused, Finding{Key: Key{rec.Bucket, rec.Key}, What: fmt.Sprintf(
			"dot %v names %s by %s and %s of %v by %s", rec.Dot, rec.Op, rec.Client, other.Op, Key{other.Bucket, other.Key}, other.Client)})
	}
	return r.sorted()
}

// CheckEqual reports keys about which datacenters do not agree.
func CheckEqual(_ []*Record, final State) *Report {
	r := &Report{}
	names := slices.Sorted(maps.Keys(final))
	if len(names) == 0 {
		return r
	}
	for _, k := range final.keys(nil) {
		a := final[names[0]][k]
		for _, dc := range names[1:] {
			if b := final[dc][k]; !a.equal(b) {
				r.Diverged = append(r.Diverged, Finding{Key: k, What: fmt.Sprintf("%s has %v, %s has %v", names[0], a, dc, b)})
			}
		}
	}
	return r.sorted()
}

func (v Value) equal(o Value) bool {
	return v.Integer == o.Integer && slices.Equal(v.Live, o.Live) &&
		slices.Equal(slices.Sorted(slices.Values(v.Elements)), slices.Sorted(slices.Values(o.Elements)))
}

// String shows the part of a value that is not empty, shortened.
func (v Value) String() string {
	switch {
	case len(v.Elements) > 0:
		return fmt.Sprintf("%d elements", len(v.Elements))
	case len(v.Live) > 0:
		return fmt.Sprintf("%.200q", v.Live)
	}
	return strconv.FormatInt(v.Integer, 10)
}
