package history

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// The guarantees of sessions, for each key (Terry et al., PDIS 1994).
const (
	readYourWrites    = "read your writes"
	monotonicReads    = "monotonic reads"
	monotonicWrites   = "monotonic writes"
	writesFollowReads = "writes follow reads"
)

// CheckSessions reports operations of a session that see less than the session
// wrote or saw before. Operations belong to a session by its name, in the order
// in which they ended before the next began; those that ran at once are in no
// order. Outcomes other than OK say nothing, but writes of unknown outcome may
// explain what is gone.
//
// Of registers, a put comes after what its session put or read before; a read
// that goes back behind a value which the session has seen is a finding. Of
// counters that only grow, and sets of which nothing is removed, a session sees
// no less than before.
func CheckSessions(history []*Record) *Report {
	r := &Report{}
	r.count(history)
	keys := group(history)
	perKey := map[Key]map[string][]*Record{}
	for _, rec := range history {
		if rec.Session == "" || rec.Outcome != OK {
			continue
		}
		k := Key{rec.Bucket, rec.Key}
		if perKey[k] == nil {
			perKey[k] = map[string][]*Record{}
		}
		perKey[k][rec.Session] = append(perKey[k][rec.Session], rec)
	}
	for k, sessions := range perKey {
		w := keys[k]
		if w == nil {
			w = &writes{}
		}
		for _, ops := range sessions {
			slices.SortStableFunc(ops, func(a, b *Record) int { return cmp.Compare(a.Start, b.Start) })
		}
		older := olderThan(sessions)
		for _, ops := range sessions {
			s := &sessionCheck{r: r, key: k, writes: w, older: older, ops: ops}
			s.run()
		}
	}
	return r.sorted()
}

// edge says why one value of a register is older than another.
type edge struct {
	to  string
	why string
}

// olderThan lists, for each value of a register, those that are known to be
// newer: what a session put after it had put or read the value.
func olderThan(sessions map[string][]*Record) map[string][]edge {
	out := map[string][]edge{}
	for _, ops := range sessions {
		for i, p := range ops {
			if p.Op != Put {
				continue
			}
			for _, before := range ops[:i] {
				switch {
				case before.End >= p.Start:
				case before.Op == Put:
					out[before.Arg[0]] = append(out[before.Arg[0]], edge{p.Arg[0], monotonicWrites})
				case before.Op == Get && len(before.Result) > 0 && before.Result[0] != p.Arg[0]:
					out[before.Result[0]] = append(out[before.Result[0]], edge{p.Arg[0], writesFollowReads})
				}
			}
		}
	}
	return out
}

// sessionCheck is one session on one key.
type sessionCheck struct {
	r      *Report
	key    Key
	writes *writes
	older  map[string][]edge
	ops    []*Record
}

func (s *sessionCheck) run() {
	for i, op := range s.ops {
		for _, before := range s.ops[:i] {
			if before.End >= op.Start {
				continue
			}
			if why := s.goesBack(before, op); why != "" {
				s.r.Lost = append(s.r.Lost, Finding{DC: op.DC, Key: s.key, What: fmt.Sprintf(
					"%s: session %s, %s from %d to %d saw %.80s after %s of %.80s", why, op.Session, op.Op, op.Start, op.End, sawOf(op), before.Op, sawOf(before))})
				break
			}
		}
	}
}

// goesBack names the guarantee that a later operation of the session breaks.
func (s *sessionCheck) goesBack(before, op *Record) string {
	own := monotonicReads
	if before.write() {
		own = readYourWrites
	}
	switch {
	case op.Op == SMembers && len(deletes(s.writes.clears)) == 0:
		if e := s.missing(before, op); e != "" {
			return own
		}
	case op.Op == Get && len(s.writes.puts) > 0:
		return s.registerGoesBack(before, op, own)
	case (op.Op == Get || op.Op == Incr) && (before.Op == Incr || before.Op == Get) && s.grows() && op.ResultN < before.ResultN:
		return own
	}
	return ""
}

// missing is an element that was there before, is gone, and that nobody removed.
func (s *sessionCheck) missing(before, op *Record) string {
	there := before.Arg
	switch before.Op { //nolint:exhaustive // the others tell nothing of elements that are there
	case SMembers:
		there = before.Result
	case SAdd:
	default:
		return ""
	}
	for _, e := range there {
		removed := slices.ContainsFunc(s.writes.rems, func(r *Record) bool { return slices.Contains(r.Arg, e) && r.Start <= op.End })
		if !removed && !slices.Contains(op.Result, e) {
			return e
		}
	}
	return ""
}

// registerGoesBack holds a read of a register against what the session saw or
// wrote before it.
func (s *sessionCheck) registerGoesBack(before, op *Record, own string) string {
	had := valueOf(before)
	if had == "" {
		return ""
	}
	got := winner(op)
	if got == "" {
		if slices.ContainsFunc(deletes(s.writes.clears), func(d *Record) bool { return d.Start <= op.End && d.last() >= before.Start }) {
			return ""
		}
		return own
	}
	why := s.pathFrom(got, had)
	if why == "" {
		return ""
	}
	if own == readYourWrites {
		return own
	}
	return why
}

// pathFrom reports whether a value is older than another, and the guarantee that
// says so, "" if it is not known to be.
func (s *sessionCheck) pathFrom(from, to string) string {
	seen := map[string]bool{from: true}
	type step struct{ at, why string }
	next := []step{{from, ""}}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		for _, e := range s.older[at.at] {
			why := cmp.Or(at.why, e.why)
			if e.to == to {
				return why
			}
			if !seen[e.to] {
				seen[e.to] = true
				next = append(next, step{e.to, why})
			}
		}
	}
	return ""
}

// valueOf is the value of a register that an operation wrote or saw.
func valueOf(r *Record) string {
	if r.Op == Put || r.Op == Get {
		return winner(r)
	}
	return ""
}

// grows reports whether nothing can have made the counter smaller.
func (s *sessionCheck) grows() bool {
	return len(s.writes.incrs) > 0 && len(s.writes.clears) == 0 && !slices.ContainsFunc(s.writes.incrs, func(r *Record) bool { return r.N < 0 })
}

func sawOf(r *Record) string {
	switch {
	case r.Op == SMembers || r.Op == Get && len(r.Result) > 0:
		return fmt.Sprintf("%q", r.Result)
	case len(r.Arg) > 0:
		return fmt.Sprintf("%q", r.Arg)
	}
	return strconv.FormatInt(r.ResultN, 10)
}
