package history

import "fmt"

// Strong tells which operations were acknowledged by a quorum: a strong read
// sees every strong write of its datacenter that was acknowledged before it
// began. That holds while no replica loses what it has.
type Strong func(*Record) bool

// CheckReads reports strong reads that miss a strong write, or see what nobody
// wrote before they ended. A write that was under way, or weak, may be seen or
// not.
func CheckReads(history []*Record, strong Strong) *Report {
	r := &Report{}
	byKey := map[Key][]*Record{}
	for _, rec := range history {
		if rec.write() {
			k := Key{rec.Bucket, rec.Key}
			byKey[k] = append(byKey[k], rec)
		}
	}
	for _, read := range history {
		if read.write() || read.Outcome != OK || !strong(read) {
			continue
		}
		k := Key{read.Bucket, read.Key}
		seen := before(byKey[k], read, strong)
		v, kind := read.value(byKey[k])
		at := fmt.Sprintf("a read of %s at %s from %d to %d", read.Client, read.Node, read.Start, read.End)
		found := &Report{}
		for _, check := range kind {
			found.add(check(seen, State{at: {k: v}}))
		}
		r.add(found)
	}
	return r.sorted()
}

// before is what a read can know of the writes: those that began after it are
// not there, those that need not be seen are unknown.
func before(writes []*Record, read *Record, strong Strong) []*Record {
	var out []*Record
	for _, w := range writes {
		switch {
		case w.Start > read.End:
		case w.Outcome == OK && (!strong(w) || w.End >= read.Start):
			maybe := *w
			maybe.Outcome, maybe.Dot = Unknown, nil
			out = append(out, &maybe)
		default:
			out = append(out, w)
		}
	}
	return out
}

// value is what a read saw, and the checkers of the kind that its key has by
// the writes of the history.
func (r *Record) value(writes []*Record) (Value, []func([]*Record, State) *Report) {
	if r.Op == SMembers {
		return Value{Elements: r.Result}, []func([]*Record, State) *Report{CheckSets}
	}
	for _, w := range writes {
		if w.Op == Incr || w.Op == Reset {
			return Value{Integer: r.ResultN}, []func([]*Record, State) *Report{CheckCounters}
		}
	}
	return Value{Live: r.Result}, []func([]*Record, State) *Report{CheckRegisters}
}

// CheckDeletes reports values that are there although a strong delete began
// after their strong put had ended: it has looked at a quorum, and so has seen
// them. It looks at the final state and at strong reads after the delete.
func CheckDeletes(history []*Record, final State, strong Strong) *Report {
	r := &Report{}
	dead := deadValues(history, strong)
	for dc, values := range final {
		for k, v := range values {
			for _, live := range v.Live {
				if d := dead[k][live]; d != nil {
					r.Phantom = append(r.Phantom, Finding{DC: dc, Key: k, What: fmt.Sprintf("value %.80q was deleted by %s from %d to %d", live, d.Client, d.Start, d.End)})
				}
			}
		}
	}
	for _, read := range history {
		if read.Op != Get || read.Outcome != OK || !strong(read) {
			continue
		}
		k := Key{read.Bucket, read.Key}
		for _, live := range read.Result {
			if d := dead[k][live]; d != nil && d.End < read.Start {
				r.Phantom = append(r.Phantom, Finding{DC: read.DC, Key: k, What: fmt.Sprintf("value %.80q, deleted by %s, was read by %s", live, d.Client, read.Client)})
			}
		}
	}
	return r.sorted()
}

// deadValues are the values that a delete has seen for certain, with the first
// such delete.
func deadValues(history []*Record, strong Strong) map[Key]map[string]*Record {
	dead := map[Key]map[string]*Record{}
	for k, w := range group(history) {
		dead[k] = map[string]*Record{}
		for _, p := range w.puts {
			if p.Outcome == OK && p.Tries <= 1 && strong(p) {
				if d := firstDelete(w.clears, p.End, strong); d != nil {
					dead[k][p.Arg[0]] = d
				}
			}
		}
	}
	return dead
}

// firstDelete is the strong delete that ended first of those that began after a
// moment, nil if there is none.
func firstDelete(clears []*Record, after int64, strong Strong) *Record {
	var first *Record
	for _, d := range clears {
		if d.Op == Delete && d.Outcome == OK && strong(d) && d.Start > after && (first == nil || d.End < first.End) {
			first = d
		}
	}
	return first
}
