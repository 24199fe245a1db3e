package history

import (
	"fmt"
	"math"
)

// CheckSets reports elements that are missing or should be.
//
// An element must be there if an acknowledged add began after every remove of
// it (and delete of its set) had ended: none can have observed it. It must not
// be there if nothing added it, or if one event added it and a remove answered
// that it was there. Between these lies what clients cannot decide.
func CheckSets(history []*Record, final State) *Report {
	r := &Report{}
	r.count(history)
	ops := group(history)
	failed := failedAdds(history)
	for _, k := range final.keys(ops) {
		elements := elementsOf(ops[k])
		for dc := range final {
			checkSet(r, Finding{DC: dc, Key: k}, elements, failed[k], final[dc][k].Elements)
		}
	}
	return r.sorted()
}

// checkSet compares one set; at says where it is.
func checkSet(r *Report, at Finding, elements map[string]*element, failed map[string]bool, there []string) {
	got := map[string]bool{}
	for _, e := range there {
		if got[e] {
			continue
		}
		got[e] = true
		if why := elements[e].phantom(); why != "" {
			if failed[e] {
				why = "was added only by operations that failed"
			}
			at.What = fmt.Sprintf("element %.80q %s", e, why)
			r.Phantom = append(r.Phantom, at)
		}
	}
	for name, e := range elements {
		if e.certain != nil && !got[name] {
			at.What = fmt.Sprintf("element %.80q added by %s at %d is missing, and no remove can have seen it", name, e.certain.Client, e.certain.Start)
			r.Lost = append(r.Lost, at)
		}
	}
}

// element is what a history tells of one element of a set.
type element struct {
	adds    []*Record // acknowledged or unknown
	removed int64     // the last moment at which a remove can have observed it
	seen    *Record   // a remove that answered that it was there
	certain *Record   // an acknowledged add that no remove can have observed
}

// phantom tells why the element cannot be there, or "".
func (e *element) phantom() string {
	switch {
	case e == nil || len(e.adds) == 0:
		return "was added by nobody"
	case e.seen != nil && len(e.adds) == 1 && e.adds[0].Tries <= 1:
		return "was removed by " + e.seen.Client + ", which saw it"
	}
	return ""
}

func elementsOf(w *writes) map[string]*element {
	all := map[string]*element{}
	if w == nil {
		return all
	}
	cleared := lastOf(w.clears)
	of := func(name string) *element {
		if all[name] == nil {
			all[name] = &element{removed: cleared}
		}
		return all[name]
	}
	for _, rec := range w.rems {
		distinct := map[string]bool{}
		for _, name := range rec.Arg {
			distinct[name] = true
			e := of(name)
			e.removed = max(e.removed, rec.last())
		}
		if rec.Outcome == OK && rec.ResultN == int64(len(distinct)) {
			for name := range distinct {
				of(name).seen = rec
			}
		}
	}
	for _, rec := range w.adds {
		for _, name := range rec.Arg {
			e := of(name)
			e.adds = append(e.adds, rec)
			if rec.Outcome == OK && (e.removed == math.MinInt64 || rec.Start > e.removed) {
				e.certain = rec
			}
		}
	}
	return all
}

// failedAdds are the elements that failed operations were about.
func failedAdds(history []*Record) map[Key]map[string]bool {
	failed := map[Key]map[string]bool{}
	for _, rec := range history {
		if rec.Op != SAdd || rec.Outcome != Failed {
			continue
		}
		k := Key{rec.Bucket, rec.Key}
		if failed[k] == nil {
			failed[k] = map[string]bool{}
		}
		for _, e := range rec.Arg {
			failed[k][e] = true
		}
	}
	for k, w := range group(history) {
		for _, rec := range w.adds {
			for _, e := range rec.Arg {
				delete(failed[k], e)
			}
		}
	}
	return failed
}
