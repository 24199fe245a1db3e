package history

import (
	"fmt"
	"math"
	"slices"
)

// CheckRegisters reports values that are missing or should be.
//
// A live value must be that of a put that was or may have been applied. The
// value of an acknowledged put must be live (the winner or a conflict) unless a
// write that observed it took its place. What took its place, directly or not,
// is a live put or a delete, and took effect later than the put began: if all of
// those had ended before, the put is lost.
func CheckRegisters(history []*Record, final State) *Report {
	r := &Report{}
	r.count(history)
	ops := group(history)
	for _, k := range final.keys(ops) {
		w := ops[k]
		if w == nil {
			w = &writes{}
		}
		for dc := range final {
			w.checkRegister(r, dc, k, final[dc][k].Live)
		}
	}
	return r.sorted()
}

func (w *writes) checkRegister(r *Report, dc string, k Key, live []string) {
	written := map[string]bool{}
	replaced := lastOf(deletes(w.clears))
	for _, rec := range w.puts {
		written[rec.Arg[0]] = true
		if slices.Contains(live, rec.Arg[0]) {
			replaced = max(replaced, rec.last())
		}
	}
	for _, v := range live {
		if !written[v] {
			r.Phantom = append(r.Phantom, Finding{DC: dc, Key: k, What: fmt.Sprintf("value %.80q was put by nobody, or only by operations that failed", v)})
		}
	}
	for _, rec := range w.puts {
		if rec.Outcome != OK || slices.Contains(live, rec.Arg[0]) {
			continue
		}
		if replaced == math.MinInt64 || replaced < rec.Start {
			r.Lost = append(r.Lost, Finding{DC: dc, Key: k, What: fmt.Sprintf(
				"value %.80q put by %s at %d is gone, and nothing that is live or deleted it came later", rec.Arg[0], rec.Client, rec.Start)})
		}
	}
}

// deletes are the deletes among resets and deletes: a reset is about counters.
func deletes(clears []*Record) []*Record {
	return slices.DeleteFunc(slices.Clone(clears), func(r *Record) bool { return r.Op != Delete })
}
