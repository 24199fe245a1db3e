package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/internal/history"
)

func record(op history.Op, start, end time.Duration, outcome history.Outcome) *history.Record {
	return &history.Record{Op: op, Start: int64(start), End: int64(end), Outcome: outcome, DC: "x"}
}

// What clients felt is counted for the fault during which it was, and a request
// that fails without a reason is a broken promise.
func TestMeasure(t *testing.T) {
	const ms = time.Millisecond
	chosen := []fault{{name: "kill"}, {name: "outage", mayFail: true}, {name: "never"}}
	windows := []window{
		{fault: &chosen[0], hit: int64(1000 * ms), end: int64(2000 * ms)},
		{fault: &chosen[1], hit: int64(3000 * ms), end: int64(4000 * ms)},
	}
	records := []*history.Record{
		record(history.Put, 100*ms, 110*ms, history.OK),
		record(history.Put, 990*ms, 1200*ms, history.OK),
		record(history.Get, 1300*ms, 1500*ms, history.OK), // slow, and no write
		record(history.Put, 1795*ms, 1800*ms, history.OK),
		record(history.Put, 1810*ms, 1820*ms, history.Failed),
		record(history.Put, 3500*ms, 3510*ms, history.Unknown),
		record(history.Put, 5000*ms, 5010*ms, history.Failed),
	}
	r := &Result{}
	r.measure(records, windows, chosen)
	want := []Felt{
		{Name: "kill", Count: 1, Failed: 1, Broken: 1, First: "put of  is failed after 10ms: ", Gap: 600 * ms, Slowest: 210 * ms, Raised: 750 * ms},
		{Name: "outage", Count: 1, MayFail: true, Unknown: 1, Broken: 1, First: "put of  is unknown after 10ms: ", Gap: 1000 * ms, Slowest: 10 * ms, Raised: 750 * ms},
		{Name: "never"},
	}
	for i, f := range r.Faults {
		if f != want[i] {
			t.Errorf("felt %+v\nwant %+v", f, want[i])
		}
	}
	problems := strings.Join(r.Problems, "\n")
	for _, want := range []string{"a request is failed while nothing is wrong", "kill: 1 requests did not succeed", "never: it never happened"} {
		if !strings.Contains(problems, want) {
			t.Errorf("problems lack %q:\n%s", want, problems)
		}
	}
	if strings.Contains(problems, "outage") {
		t.Errorf("requests may fail in an outage:\n%s", problems)
	}
}

// A node that mints under an actor of an earlier life is found.
func TestSameActors(t *testing.T) {
	rec := func(start time.Duration, actor uint64) *history.Record {
		r := record(history.Put, start, start+1, history.OK)
		r.Node, r.Tries, r.Dot = "a", 1, &history.Dot{Actor: actor, Seq: 1}
		return r
	}
	r := &run{lives: []life{{node: "a", killed: 100, started: 200}}}
	if err := r.sameActors([]*history.Record{rec(50, 1), rec(250, 2)}); err != nil {
		t.Errorf("new actor: %v", err)
	}
	if err := r.sameActors([]*history.Record{rec(50, 1), rec(250, 1)}); err == nil {
		t.Error("the old actor was not noticed")
	}
}
