package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Key is a key in its bucket.
type Key struct{ Bucket, Key string }

// String is bucket/key.
func (k Key) String() string { return fmt.Sprintf("%s/%.80q", k.Bucket, k.Key) }

// Value is what is under a key in the end. The zero Value is an absent key.
type Value struct {
	Integer  int64    // of a counter
	Elements []string // of a set, in any order
	Live     []string // of a register, the winner first
}

// State is what every datacenter holds in the end, by its name. A key that is
// not in it is absent there.
type State map[string]map[Key]Value

// keys are all keys that any datacenter or the history names.
func (s State) keys(ops map[Key]*writes) []Key {
	all := map[Key]bool{}
	for _, values := range s {
		for k := range values {
			all[k] = true
		}
	}
	for k := range ops {
		all[k] = true
	}
	return slices.SortedFunc(maps.Keys(all), compareKeys)
}

func compareKeys(a, b Key) int {
	if a.Bucket != b.Bucket {
		if a.Bucket < b.Bucket {
			return -1
		}
		return 1
	}
	switch {
	case a.Key < b.Key:
		return -1
	case a.Key > b.Key:
		return 1
	}
	return 0
}

// writes are the writes of one key that were or may have been applied, and how
// many were not.
type writes struct {
	incrs, puts, adds, rems []*Record
	clears                  []*Record // resets and deletes
}

// group sorts the writes of a history by key, leaving out those that failed.
func group(history []*Record) map[Key]*writes {
	keys := map[Key]*writes{}
	for _, rec := range history {
		if !rec.write() || rec.Outcome == Failed {
			continue
		}
		k := Key{rec.Bucket, rec.Key}
		w := keys[k]
		if w == nil {
			w = &writes{}
			keys[k] = w
		}
		switch rec.Op {
		case Incr:
			w.incrs = append(w.incrs, rec)
		case Put:
			w.puts = append(w.puts, rec)
		case SAdd:
			w.adds = append(w.adds, rec)
		case SRem:
			w.rems = append(w.rems, rec)
		case Reset, Delete:
			w.clears = append(w.clears, rec)
		case Get, SMembers:
		}
	}
	return keys
}

func (r *Record) write() bool { return r.Op != Get && r.Op != SMembers }

// last is the last moment at which the operation can have taken effect.
func (r *Record) last() int64 {
	if r.Outcome == Unknown {
		return math.MaxInt64
	}
	return r.End
}

// lastOf is the last moment at which any of some operations can have taken
// effect: none of them can have observed what began later.
func lastOf(records []*Record) int64 {
	last := int64(math.MinInt64)
	for _, r := range records {
		last = max(last, r.last())
	}
	return last
}
