package history

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// CheckRegular reports reads of registers that no regular register could have
// answered: a read sees the last write that ended before it began, or one that
// ran beside it. It is for histories of puts, deletes and reads that reached
// quorums which overlap, with no stand-ins, in one datacenter, and of keys of
// which no two puts wrote the same.
//
// Each read is held against the writes of its key by porcupine, which tries all
// orders of them (Lowe, "Testing for linearizability", 2017; Lamport, "On
// interprocess communication", 1986, for regularity, with several writers as in
// Shao et al., 2011). Unknown writes may take effect at any time after they
// began, or never. What porcupine cannot decide within the timeout is a finding.
func CheckRegular(history []*Record, timeout time.Duration) *Report {
	return checkLinear(history, timeout, func(ops, reads []porcupine.Operation) [][]porcupine.Operation {
		all := make([][]porcupine.Operation, len(reads))
		for i, r := range reads {
			all[i] = append(beside(ops, r), r)
		}
		return all
	})
}

// CheckLinear reports keys whose puts, deletes and reads no atomic register could
// have answered: beside being regular, reads agree on one order of the writes. It
// is stronger than what quorums promise while writes run at the same time.
func CheckLinear(history []*Record, timeout time.Duration) *Report {
	return checkLinear(history, timeout, func(ops, reads []porcupine.Operation) [][]porcupine.Operation {
		return [][]porcupine.Operation{append(slices.Clone(ops), reads...)}
	})
}

// checkLinear checks the operations on each key in the groups that split makes
// of them.
func checkLinear(history []*Record, timeout time.Duration, split func(writes, reads []porcupine.Operation) [][]porcupine.Operation) *Report {
	r := &Report{}
	r.count(history)
	writes, reads := map[Key][]porcupine.Operation{}, map[Key][]porcupine.Operation{}
	for i, rec := range history {
		k := Key{rec.Bucket, rec.Key}
		op := porcupine.Operation{ClientId: i, Input: rec, Call: rec.Start, Output: rec, Return: rec.End}
		switch {
		case rec.Outcome == Failed:
		case rec.Op == Put || rec.Op == Delete:
			if rec.Outcome == Unknown {
				op.Return = math.MaxInt64
			}
			writes[k] = append(writes[k], op)
		case rec.Op == Get && rec.Outcome == OK:
			reads[k] = append(reads[k], op)
		}
	}
	for k, all := range reads {
		for _, ops := range split(writes[k], all) {
			if got := porcupine.CheckOperationsTimeout(registerModel(), ops, timeout); got != porcupine.Ok {
				r.Lost = append(r.Lost, Finding{Key: k, What: verdict(got, ops)})
			}
		}
	}
	return r.sorted()
}

func verdict(got porcupine.CheckResult, ops []porcupine.Operation) string {
	last, _ := ops[len(ops)-1].Input.(*Record)
	if got == porcupine.Unknown {
		return fmt.Sprintf("whether %d operations up to %d fit together cannot be decided in time", len(ops), last.End)
	}
	return fmt.Sprintf("a read of %s from %d to %d saw %.80q, which no order of %d operations explains", last.Client, last.Start, last.End, last.Result, len(ops))
}

// beside are the writes that tell what a read may see: those before the last
// ones that ended before it began cannot be seen, but for the one that it saw.
func beside(writes []porcupine.Operation, read porcupine.Operation) []porcupine.Operation {
	newest := int64(math.MinInt64) // start of the latest write that ended before the read
	for _, w := range writes {
		if w.Return < read.Call {
			newest = max(newest, w.Call)
		}
	}
	saw := winner(read.Output)
	var out []porcupine.Operation
	for _, w := range writes {
		if w.Call <= read.Return && (w.Return >= newest || winner(w.Input) == saw) {
			out = append(out, w)
		}
	}
	return out
}

// winner is the value that a put wrote or a read saw; "" for a delete, and for a
// key that is absent.
func winner(rec any) string {
	r, _ := rec.(*Record)
	switch {
	case r.Op == Put:
		return r.Arg[0]
	case r.Op == Get && len(r.Result) > 0:
		return r.Result[0]
	}
	return ""
}

// registerModel is one register that holds the last value; "" at first. A write
// of unknown outcome need not take effect: it never has to be the last before a
// read, because it may as well come after all of them.
func registerModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			r, _ := input.(*Record)
			if r.Op == Get {
				return state == winner(r), state
			}
			return true, winner(r)
		},
		Equal: func(a, b any) bool { return a == b },
	}
}
