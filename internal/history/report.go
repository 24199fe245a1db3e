package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// shown is how many findings of one sort String writes out.
const shown = 20

// Report is what checking a history found. The zero Report is empty.
type Report struct {
	Acked, Failed, Unknown int // writes of the history, by outcome

	Lost     []Finding // acknowledged and gone
	Phantom  []Finding // there, and written by nobody, or removed for certain
	Reused   []Finding // dots that name two events
	Diverged []Finding // datacenters that do not agree
}

// Finding is one broken promise.
type Finding struct {
	DC   string // where it is seen; "" for all
	Key  Key
	What string
}

func (f Finding) String() string {
	if f.DC == "" {
		return fmt.Sprintf("%v: %s", f.Key, f.What)
	}
	return fmt.Sprintf("%s %v: %s", f.DC, f.Key, f.What)
}

// OK reports that nothing was found.
func (r *Report) OK() bool {
	return len(r.Lost)+len(r.Phantom)+len(r.Reused)+len(r.Diverged) == 0
}

// String is a summary in one line and a line for each finding, the first 20 of
// each sort.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d acknowledged, %d failed, %d unknown: %d lost, %d phantom, %d dots reused, %d keys diverged",
		r.Acked, r.Failed, r.Unknown, len(r.Lost), len(r.Phantom), len(r.Reused), len(r.Diverged))
	for _, sort := range []struct {
		name  string
		found []Finding
	}{{"lost", r.Lost}, {"phantom", r.Phantom}, {"reused", r.Reused}, {"diverged", r.Diverged}} {
		for i, f := range sort.found {
			if i == shown {
				fmt.Fprintf(&b, "\n%s: ... and %d more", sort.name, len(sort.found)-shown)
				break
			}
			fmt.Fprintf(&b, "\n%s: %v", sort.name, f)
		}
	}
	return b.String()
}

// add takes over the findings, not the totals, of another report.
func (r *Report) add(o *Report) {
	r.Lost = append(r.Lost, o.Lost...)
	r.Phantom = append(r.Phantom, o.Phantom...)
	r.Reused = append(r.Reused, o.Reused...)
	r.Diverged = append(r.Diverged, o.Diverged...)
}

func (r *Report) count(history []*Record) {
	for _, rec := range history {
		switch {
		case !rec.write():
		case rec.Outcome == OK:
			r.Acked++
		case rec.Outcome == Failed:
			r.Failed++
		default:
			r.Unknown++
		}
	}
}

// sorted orders findings, so that equal histories give equal reports.
func (r *Report) sorted() *Report {
	for _, found := range [][]Finding{r.Lost, r.Phantom, r.Reused, r.Diverged} {
		slices.SortFunc(found, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Key.Bucket, b.Key.Bucket), cmp.Compare(a.Key.Key, b.Key.Key),
				cmp.Compare(a.DC, b.DC), cmp.Compare(a.What, b.What))
		})
	}
	return r
}
