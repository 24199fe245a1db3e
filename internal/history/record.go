// Package history is what clients did to a cluster, what they were told, and
// whether what is there in the end agrees with it.
//
// It owns the one format of histories, a JSON object a line, which simulation,
// chaos tests and load tests write; a Recorder and a reader; and checkers, pure
// functions of a history and a final state. It does not know how operations
// are carried out. It judges by what clients can know: an operation takes
// effect at some moment between its start and its end, an unknown one at any
// moment after its start or never, and a failed one never. So a finding is
// always a broken promise, and what cannot be decided is not one.
//
// Sources: Herlihy and Wing, "Linearizability" (TOPLAS 1990), for histories and
// intervals; Kingsbury's Jepsen and Elle for checking by unique values.
package history

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Op is what an operation did.
type Op string

// The operations of histories. Reads are kept for checkers of sessions and of
// regularity; those of this package look at writes.
const (
	Incr     Op = "incr"     // N is added
	Reset    Op = "reset"    // removes the increments it observes
	Put      Op = "put"      // Arg is the one value
	Delete   Op = "delete"   // removes what it observes
	SAdd     Op = "sadd"     // Arg are elements
	SRem     Op = "srem"     // Arg are elements; ResultN is how many were there
	Get      Op = "get"      // Result, ResultN
	SMembers Op = "smembers" // Result
)

// Outcome is what the client was told.
type Outcome string

// The outcomes of RELIABILITY: acknowledged, applied nowhere, at most once.
const (
	OK      Outcome = "ok"
	Failed  Outcome = "failed"
	Unknown Outcome = "unknown"
)

// Limits of one record.
const (
	maxLine = 1 << 20 // bytes
	maxArgs = 1024    // elements of one operation
)

// Record is one operation of one client. Times are nanoseconds since 1970.
type Record struct {
	Start   int64    `json:"start"`
	End     int64    `json:"end"` // when the outcome was known, also if it is unknown
	Client  string   `json:"client"`
	Session string   `json:"session,omitempty"`
	DC      string   `json:"dc"`
	Node    string   `json:"node,omitempty"`
	Op      Op       `json:"op"`
	Bucket  string   `json:"bucket,omitempty"`
	Key     string   `json:"key"`
	Arg     []string `json:"arg,omitempty"`
	N       int64    `json:"n,omitempty"`
	Result  []string `json:"result,omitempty"`
	ResultN int64    `json:"result_n,omitempty"`
	Outcome Outcome  `json:"outcome"`
	Error   string   `json:"error,omitempty"`
	Tries   int      `json:"tries,omitempty"` // attempts; more than one may have left more than one event
	Dot     *Dot     `json:"dot,omitempty"`   // the event; none if there was nothing to change
}

// Dot names one event for ever.
type Dot struct {
	Actor uint64
	Seq   uint64
}

var _ encoding.TextMarshaler = Dot{}

// MarshalText is "actor:seq", the actor in 16 hexadecimal digits: programs that
// read JSON numbers as floats would lose the end of it.
func (d Dot) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x:%d", d.Actor, d.Seq), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (d *Dot) UnmarshalText(b []byte) error {
	actor, seq, ok := strings.Cut(string(b), ":")
	a, errA := strconv.ParseUint(actor, 16, 64)
	s, errS := strconv.ParseUint(seq, 10, 64)
	got := Dot{Actor: a, Seq: s}
	if again, _ := got.MarshalText(); !ok || errA != nil || errS != nil || string(again) != string(b) {
		return fmt.Errorf("dot %.60q is not actor:seq", b)
	}
	*d = got
	return nil
}

// String is the form that histories hold.
func (d Dot) String() string {
	b, _ := d.MarshalText() // never fails
	return string(b)
}

// Check reports what makes a record unfit for a history.
func (r *Record) Check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch r.Op {
	case Incr, Reset, Delete, Get, SMembers:
		if len(r.Arg) != 0 {
			wrong("%s takes no arg", r.Op)
		}
	case Put:
		if len(r.Arg) != 1 {
			wrong("put takes one arg, has %d", len(r.Arg))
		}
	case SAdd, SRem:
		if len(r.Arg) == 0 || len(r.Arg) > maxArgs {
			wrong("%s takes 1 to %d args, has %d", r.Op, maxArgs, len(r.Arg))
		}
	default:
		wrong("unknown op %.20q", r.Op)
	}
	if r.Op != Incr && r.N != 0 {
		wrong("n belongs to incr, not to %s", r.Op)
	}
	switch r.Outcome {
	case OK:
	case Failed, Unknown:
		if r.Dot != nil {
			wrong("dot of an operation that is %s", r.Outcome)
		}
	default:
		wrong("unknown outcome %.20q (ok, failed or unknown)", r.Outcome)
	}
	if r.Key == "" {
		wrong("no key")
	}
	if r.End < r.Start {
		wrong("end %d is before start %d", r.End, r.Start)
	}
	if s := r.notText(); s != "" {
		wrong("%.40q is not UTF-8, and JSON would change it", s)
	}
	return errors.Join(errs...)
}

// notText is a string of the record that JSON cannot carry, or "".
func (r *Record) notText() string {
	for _, s := range append(append([]string{r.Client, r.Session, r.DC, r.Node, r.Bucket, r.Key, r.Error}, r.Arg...), r.Result...) {
		if !utf8.ValidString(s) {
			return s
		}
	}
	return ""
}
