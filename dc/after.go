package dc

import (
	"slices"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// valueAfter is what an answer tells of the value that a change left: counters,
// scores and, of a map, the fields of these kinds, all at the instant of the
// change. A request that repeats is answered as the first time; where that is not
// known here, because the event came from a log, or is more than one number, it is
// told what this replica holds now, with the change in it.
func valueAfter(op *crdt.Op, done *storage.Done) *v1.Value {
	switch kind := done.Kind; {
	case kind == crdt.Counter || kind == crdt.GCounter || kind == crdt.BCounter:
		if len(done.After) > 0 {
			v := crdt.ReadValue(kind, done.After)
			return value(&v, 0)
		}
		if done.Untold { // nor does the key tell: it was deleted since
			return nil
		}
		return &v1.Value{Of: &v1.Value_Integer{Integer: done.Total}}
	case kind == crdt.ZSet && len(op.Members) > 0:
		return &v1.Value{Of: &v1.Value_Zset{Zset: &v1.Members{Members: scoresAfter(op, done)}}}
	case kind == crdt.Map && len(done.After) > 0:
		v := crdt.ReadValue(kind, done.After)
		return value(&v, 0)
	}
	return nil
}

// scoresAfter lists the members that an operation named once each, in the order
// of their last naming.
func scoresAfter(op *crdt.Op, done *storage.Done) (out []*v1.Member) {
	last := op.Members[len(op.Members)-1].Member
	if len(done.After) == 0 && !done.Untold {
		return []*v1.Member{{Member: []byte(last), Score: done.Score}}
	}
	now := map[string]float64{}
	v := crdt.ReadValue(crdt.ZSet, done.After)
	for _, m := range v.Members {
		now[m.Member] = m.Score
	}
	for _, m := range slices.Backward(op.Members) {
		if score, there := now[m.Member]; there {
			out = append(out, &v1.Member{Member: []byte(m.Member), Score: score})
			delete(now, m.Member)
		}
	}
	slices.Reverse(out)
	return out
}
