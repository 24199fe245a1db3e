package loadtest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/godwitdb/godwit/client"
)

// Limits of a workload.
const (
	maxKeys      = 1 << 40
	maxValue     = 1 << 20 // bytes
	maxWeight    = 1_000_000
	defaultKeys  = 10_000
	defaultValue = 128 // bytes
	defaultTheta = 0.99
	defaultHot   = 0.5
)

// Workload is a mix of operations on keys. Zero fields take the default named
// beside them; see Presets for those that have a name.
type Workload struct {
	Name         string
	Description  string
	Keys         uint64       // of each kind; 10,000
	Distribution Distribution // zipfian
	Theta        float64      // exponent of zipfian and latest; 0.99
	Hot          float64      // share of the hot key; 0.5
	ValueSize    Size         // of registers and fields; 128 B
	Consistency  string       // one, quorum or all; the bucket's
	TTL          time.Duration
	Shares       map[string]float64 // of the load, by datacenter; equal ones
	Operations   []Operation        // required
}

// Size is a number of bytes, evenly spread between two bounds.
type Size struct{ Min, Max int }

// String is the size, or both bounds.
func (s Size) String() string {
	if s.Min == s.Max {
		return fmt.Sprintf("%dB", s.Min)
	}
	return fmt.Sprintf("%dB-%dB", s.Min, s.Max)
}

// Operation is a part of a mix.
type Operation struct {
	Op          string  // see Operations
	Weight      float64 // in relation to the sum of all
	Consistency string  // the workload's
	ValueSize   Size    // the workload's
}

// Presets are the workloads that have a name, in the order of their names:
// those of YCSB (Cooper et al. 2010, all but E, which scans ranges of keys) and
// what godwit's kinds are for.
func Presets() []Workload {
	op := func(name string, weight float64) Operation { return Operation{Op: name, Weight: weight} }
	return []Workload{
		{Name: "a", Description: "YCSB A: 50% reads, 50% updates", Operations: []Operation{op("read", 50), op("update", 50)}},
		{Name: "b", Description: "YCSB B: 95% reads, 5% updates", Operations: []Operation{op("read", 95), op("update", 5)}},
		{Name: "c", Description: "YCSB C: reads only", Operations: []Operation{op("read", 100)}},
		{
			Name: "carts", Description: "shopping carts: maps of quantities and notes", Keys: 1000,
			Operations: []Operation{op("hincr", 40), op("hset", 15), op("hgetall", 40), op("hdel", 5)},
		},
		{Name: "counters", Description: "80% increments, 20% reads of counters", Keys: 1000, Operations: []Operation{op("incr", 80), op("count", 20)}},
		{
			Name: "d", Description: "YCSB D: 95% reads of what was inserted last, 5% inserts", Distribution: Latest,
			Operations: []Operation{op("read", 95), op("insert", 5)},
		},
		{Name: "f", Description: "YCSB F: 50% reads, 50% reads followed by a write of what was read", Operations: []Operation{op("read", 50), op("rmw", 50)}},
		{
			Name: "hot-key", Description: "one counter takes half of all increments", Keys: 1000, Distribution: Hot,
			Operations: []Operation{op("incr", 90), op("count", 10)},
		},
		{
			Name: "sessions", Description: "users who write in one datacenter and read in the next", Keys: 1000, Distribution: Uniform,
			Operations: []Operation{op("session-write", 50), op("session-read", 50)},
		},
		{
			Name: "sets", Description: "sets: 50% adds, 15% removes, 35% questions", Keys: 1000,
			Operations: []Operation{op("sadd", 50), op("srem", 15), op("sismember", 25), op("scard", 5), op("smembers", 5)},
		},
	}
}

// Preset returns the workload of a name.
func Preset(name string) (Workload, bool) {
	all := Presets()
	i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name })
	if i < 0 {
		return Workload{}, false
	}
	return all[i].withDefaults(), true
}

// PresetNames are the names of Presets.
func PresetNames() []string {
	var names []string
	for _, w := range Presets() {
		names = append(names, w.Name)
	}
	return names
}

func (w Workload) withDefaults() Workload {
	w.Keys = cmp.Or(w.Keys, defaultKeys)
	w.Distribution = cmp.Or(w.Distribution, Zipfian)
	w.Theta = cmp.Or(w.Theta, defaultTheta)
	w.Hot = cmp.Or(w.Hot, defaultHot)
	w.ValueSize = cmp.Or(w.ValueSize, Size{defaultValue, defaultValue})
	w.Operations = slices.Clone(w.Operations)
	for i := range w.Operations {
		o := &w.Operations[i]
		o.Consistency = cmp.Or(o.Consistency, w.Consistency)
		o.ValueSize = cmp.Or(o.ValueSize, w.ValueSize)
	}
	return w
}

// Check reports everything that is wrong with a workload.
func (w *Workload) Check() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("workload %s: "+format, append([]any{w.Name}, args...)...))
	}
	if w.Keys == 0 || w.Keys > maxKeys {
		wrong("%d keys, 1 to %d are allowed", w.Keys, uint64(maxKeys))
	}
	if w.TTL < 0 {
		wrong("ttl %v is negative", w.TTL)
	}
	if len(w.Operations) == 0 {
		wrong("no operations")
	}
	if _, err := newChooser(w.Distribution, max(1, w.Keys), w.Theta, w.Hot); err != nil {
		errs = append(errs, err)
	}
	for dc, share := range w.Shares {
		if !(share >= 0 && share <= maxWeight) {
			wrong("share %v of datacenter %s is not between 0 and %d", share, dc, maxWeight)
		}
	}
	w.checkOperations(wrong)
	return errors.Join(errs...)
}

func (w *Workload) checkOperations(wrong func(format string, args ...any)) {
	sum := 0.0
	for i, o := range w.Operations {
		if _, ok := actionOf(o.Op); !ok {
			wrong("unknown operation %q (known: %s)", o.Op, strings.Join(OperationNames(), ", "))
		}
		if slices.ContainsFunc(w.Operations[:i], func(p Operation) bool { return p.Op == o.Op }) {
			wrong("operation %s is named twice", o.Op)
		}
		if !(o.Weight >= 0 && o.Weight <= maxWeight) {
			wrong("weight %v of %s is not between 0 and %d", o.Weight, o.Op, maxWeight)
		}
		if s := o.ValueSize; s.Min < 1 || s.Max < s.Min || s.Max > maxValue {
			wrong("value size %v of %s is not between 1 and %d bytes", s, o.Op, maxValue)
		}
		if _, err := client.ParseConsistency(o.Consistency); err != nil {
			wrong("%s: %w", o.Op, err)
		}
		sum += o.Weight
	}
	if len(w.Operations) > 0 && !(sum > 0) {
		wrong("all weights are 0")
	}
}

// SetValueSize gives every operation the same size.
func (w *Workload) SetValueSize(s Size) {
	w.ValueSize = s
	for i := range w.Operations {
		w.Operations[i].ValueSize = s
	}
}

// SetConsistency gives every operation the same consistency.
func (w *Workload) SetConsistency(level string) {
	w.Consistency = level
	for i := range w.Operations {
		w.Operations[i].Consistency = level
	}
}

// shareOf is how much of the load a datacenter gets, of 1.
func (w *Workload) shareOf(dc string, all []string) float64 {
	if len(w.Shares) == 0 {
		return 1 / float64(len(all))
	}
	sum := 0.0
	for _, name := range all {
		sum += w.Shares[name]
	}
	if sum == 0 {
		return 0
	}
	return w.Shares[dc] / sum
}

// sharesKnown reports shares of datacenters that take no part.
func (w *Workload) sharesKnown(all []string) error {
	for _, dc := range slices.Sorted(maps.Keys(w.Shares)) {
		if !slices.Contains(all, dc) {
			return fmt.Errorf("workload %s: it gives a share to datacenter %q (there are: %s)", w.Name, dc, strings.Join(all, ", "))
		}
	}
	for _, dc := range all {
		if w.shareOf(dc, all) > 0 {
			return nil
		}
	}
	return fmt.Errorf("workload %s: it gives no share to any of %s", w.Name, strings.Join(all, ", "))
}
