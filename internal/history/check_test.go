package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// at makes a write of key k that took from start to end.
func at(start, end int64, op Op, outcome Outcome, arg ...string) *Record {
	return &Record{Start: start, End: end, Client: fmt.Sprintf("c%d", start), DC: "use1", Op: op, Bucket: "b", Key: "k", Arg: arg, Outcome: outcome}
}

func incr(start, end, n int64, outcome Outcome) *Record {
	r := at(start, end, Incr, outcome)
	r.N = n
	return r
}

// saw makes a remove that answered that n elements were there.
func saw(n int64, r *Record) *Record {
	r.ResultN = n
	return r
}

func tried(n int, r *Record) *Record {
	r.Tries = n
	return r
}

func dotted(actor, seq uint64, r *Record) *Record {
	r.Dot = &Dot{actor, seq}
	return r
}

func one(v Value) State { return State{"use1": {Key{"b", "k"}: v}} }

// checkCase plants one history and one final state. want is part of the only
// finding; empty: none.
type checkCase struct {
	name    string
	history []*Record
	final   Value
	want    string
}

func run(t *testing.T, check func([]*Record, State) *Report, tests []checkCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := check(tt.history, one(tt.final))
			_, findings, _ := strings.Cut(r.String(), "\n")
			if r.OK() != (tt.want == "") || !strings.Contains(findings, tt.want) || strings.Contains(findings, "\n") {
				t.Errorf("report %v\nwant one finding with %q", r, tt.want)
			}
		})
	}
}

func TestCheckCounters(t *testing.T) {
	run(t, CheckCounters, []checkCase{
		{"acknowledged increments add up", []*Record{incr(0, 1, 5, OK), incr(0, 1, -2, OK)}, Value{Integer: 3}, ""},
		{"a lost increment", []*Record{incr(0, 1, 5, OK), incr(0, 1, 2, OK)}, Value{Integer: 5}, "lost: use1 b/\"k\": counter is 5, its increments make 7"},
		{"an increment applied twice", []*Record{incr(0, 1, 5, OK)}, Value{Integer: 10}, "phantom: use1 b/\"k\": counter is 10, its increments make 5"},
		{"a counter that is gone", []*Record{incr(0, 1, 5, OK)}, Value{}, "lost"},
		{"a counter that nobody wrote", nil, Value{Integer: 1}, "phantom"},
		{"an unknown increment applied", []*Record{incr(0, 1, 5, OK), incr(0, 1, 2, Unknown)}, Value{Integer: 7}, ""},
		{"an unknown increment not applied", []*Record{incr(0, 1, 5, OK), incr(0, 1, 2, Unknown)}, Value{Integer: 5}, ""},
		{"an unknown increment applied twice", []*Record{incr(0, 1, 5, OK), incr(0, 1, 2, Unknown)}, Value{Integer: 9}, "its increments make 5 to 7"},
		{"an unknown decrement", []*Record{incr(0, 1, 5, OK), incr(0, 1, -9, Unknown)}, Value{Integer: -4}, ""},
		{"below an unknown decrement", []*Record{incr(0, 1, 5, OK), incr(0, 1, -9, Unknown)}, Value{Integer: -5}, "lost"},
		{"half an unknown increment", []*Record{incr(0, 1, 4, Unknown), incr(0, 1, 10, Unknown)}, Value{Integer: 9}, "phantom"},
		{"a failed increment is applied nowhere", []*Record{incr(0, 1, 5, OK), incr(0, 1, 2, Failed)}, Value{Integer: 7}, "phantom"},
		{"a reset removes what it observed", []*Record{incr(0, 1, 5, OK), at(2, 3, Reset, OK)}, Value{}, ""},
		{"a reset removes nothing that began later", []*Record{incr(0, 1, 5, OK), at(2, 3, Reset, OK), incr(4, 5, 2, OK)}, Value{}, "lost"},
		{"an unknown reset may come at any time", []*Record{at(0, 1, Reset, Unknown), incr(4, 5, 2, OK)}, Value{}, ""},
		{"a failed reset removes nothing", []*Record{incr(0, 1, 5, OK), at(2, 3, Reset, Failed)}, Value{}, "lost"},
		{"a delete removes as a reset does", []*Record{incr(0, 1, 5, OK), at(2, 3, Delete, OK)}, Value{Integer: 5}, ""},
	})
}

func TestCheckSets(t *testing.T) {
	run(t, CheckSets, []checkCase{
		{"acknowledged elements are there", []*Record{at(0, 1, SAdd, OK, "x", "y")}, Value{Elements: []string{"y", "x"}}, ""},
		{"a lost element", []*Record{at(0, 1, SAdd, OK, "x", "y")}, Value{Elements: []string{"x"}}, `lost: use1 b/"k": element "y" added by c0 at 0 is missing`},
		{"an element of nobody", []*Record{at(0, 1, SAdd, OK, "x")}, Value{Elements: []string{"x", "z"}}, `phantom: use1 b/"k": element "z" was added by nobody`},
		{"an unknown add, applied", []*Record{at(0, 1, SAdd, Unknown, "x")}, Value{Elements: []string{"x"}}, ""},
		{"an unknown add, not applied", []*Record{at(0, 1, SAdd, Unknown, "x")}, Value{}, ""},
		{"a failed add", []*Record{at(0, 1, SAdd, Failed, "x")}, Value{Elements: []string{"x"}}, "was added only by operations that failed"},
		{"a removed element", []*Record{at(0, 1, SAdd, OK, "x"), saw(1, at(2, 3, SRem, OK, "x"))}, Value{}, ""},
		{"an element that comes back", []*Record{at(0, 1, SAdd, OK, "x"), saw(1, at(2, 3, SRem, OK, "x"))}, Value{Elements: []string{"x"}}, "was removed by c2, which saw it"},
		{"a remove that did not see the element", []*Record{at(0, 1, SAdd, OK, "x"), at(2, 3, SRem, OK, "x")}, Value{Elements: []string{"x"}}, ""},
		{"a remove that saw one of two", []*Record{at(0, 1, SAdd, OK, "x", "y"), saw(1, at(2, 3, SRem, OK, "x", "y"))}, Value{Elements: []string{"y"}}, ""},
		{"an add that was repeated may be two events", []*Record{tried(2, at(0, 1, SAdd, OK, "x")), saw(1, at(2, 3, SRem, OK, "x"))}, Value{Elements: []string{"x"}}, ""},
		{"a remove observes nothing that begins later", []*Record{saw(1, at(0, 1, SRem, OK, "x")), at(2, 3, SAdd, OK, "x")}, Value{}, "lost"},
		{"a remove at the same time", []*Record{at(0, 5, SRem, OK, "x"), at(2, 3, SAdd, OK, "x")}, Value{}, ""},
		{"an unknown remove may come at any time", []*Record{at(0, 1, SRem, Unknown, "x"), at(2, 3, SAdd, OK, "x")}, Value{}, ""},
		{"a failed remove removes nothing", []*Record{at(0, 1, SAdd, OK, "x"), at(2, 3, SRem, Failed, "x")}, Value{}, "lost"},
		{"a remove of another element", []*Record{at(0, 1, SAdd, OK, "x"), at(2, 3, SRem, OK, "y")}, Value{}, "lost"},
		{"a delete of the set", []*Record{at(0, 1, SAdd, OK, "x"), at(2, 3, Delete, OK)}, Value{}, ""},
		{"a delete before the add", []*Record{at(0, 1, Delete, OK), at(2, 3, SAdd, OK, "x")}, Value{}, "lost"},
	})
}

func TestCheckRegisters(t *testing.T) {
	run(t, CheckRegisters, []checkCase{
		{"the last value", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Put, OK, "b")}, Value{Live: []string{"b"}}, ""},
		{"a lost put", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Put, OK, "b")}, Value{Live: []string{"a"}}, `lost: use1 b/"k": value "b" put by c2 at 2 is gone`},
		{"nothing left", []*Record{at(0, 1, Put, OK, "a")}, Value{}, "lost"},
		{"puts at the same time: either may have overwritten", []*Record{at(0, 3, Put, OK, "a"), at(2, 5, Put, OK, "b")}, Value{Live: []string{"a"}}, ""},
		{"a conflict lists both", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Put, OK, "b")}, Value{Live: []string{"a", "b"}}, ""},
		{"a value of nobody", []*Record{at(0, 1, Put, OK, "a")}, Value{Live: []string{"a", "z"}}, `value "z" was put by nobody`},
		{"an unknown put, late", []*Record{at(0, 1, Put, Unknown, "a"), at(2, 3, Put, OK, "b")}, Value{Live: []string{"a"}}, ""},
		{"an unknown put, never", []*Record{at(0, 1, Put, Unknown, "a")}, Value{}, ""},
		{"a failed put", []*Record{at(0, 1, Put, Failed, "a")}, Value{Live: []string{"a"}}, "phantom"},
		{"a failed put overwrites nothing", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Put, Failed, "b")}, Value{}, "lost"},
		{"a delete", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Delete, OK)}, Value{}, ""},
		{"a delete before the put", []*Record{at(0, 1, Delete, OK), at(2, 3, Put, OK, "a")}, Value{}, "lost"},
		{"a reset is about counters", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Reset, OK)}, Value{}, "lost"},
	})
}

func TestCheckDots(t *testing.T) {
	run(t, func(h []*Record, _ State) *Report { return CheckDots(h) }, []checkCase{
		{"a dot each", []*Record{dotted(1, 1, incr(0, 1, 1, OK)), dotted(1, 2, incr(0, 1, 1, OK)), dotted(2, 1, incr(0, 1, 1, OK))}, Value{}, ""},
		{"no event, no dot", []*Record{at(0, 1, SRem, OK, "x"), at(0, 1, SRem, OK, "x")}, Value{}, ""},
		{
			"one dot for two writes",
			[]*Record{dotted(1, 1, incr(0, 1, 1, OK)), dotted(1, 1, at(2, 3, Put, OK, "a"))},
			Value{},
			`reused: b/"k": dot 0000000000000001:1 names put by c2 and incr of b/"k" by c0`,
		},
	})
}

func TestCheckEqual(t *testing.T) {
	k, other := Key{"b", "k"}, Key{"b", "o"}
	equal := State{"use1": {k: {Elements: []string{"x", "y"}}, other: {}}, "euw1": {k: {Elements: []string{"y", "x"}}}}
	if r := CheckEqual(nil, equal); !r.OK() {
		t.Errorf("equal: %v", r)
	}
	parted := State{"use1": {k: {Live: []string{"a", "b"}}, other: {Integer: 1}}, "euw1": {k: {Live: []string{"b", "a"}}}}
	want := "0 acknowledged, 0 failed, 0 unknown: 0 lost, 0 phantom, 0 dots reused, 2 keys diverged\n" +
		`diverged: b/"k": euw1 has ["b" "a"], use1 has ["a" "b"]` + "\n" +
		`diverged: b/"o": euw1 has 0, use1 has 1`
	if r := CheckEqual(nil, parted); r.String() != want {
		t.Errorf("report %v\nwant %s", r, want)
	}
}

func TestCheckSeesEveryDatacenter(t *testing.T) {
	h := []*Record{incr(0, 1, 5, OK), at(0, 1, Get, OK)}
	final := State{"use1": {{"b", "k"}: {Integer: 5}}, "euw1": {}}
	r := Check(h, final)
	if r.OK() || r.Acked != 1 || len(r.Lost) != 1 || r.Lost[0].DC != "euw1" || len(r.Diverged) != 1 {
		t.Errorf("report %v", r)
	}
}

func TestReportIsShort(t *testing.T) {
	r := &Report{Lost: make([]Finding, 25)}
	if s := r.String(); strings.Count(s, "\n") != 21 || !strings.HasSuffix(s, "lost: ... and 5 more") {
		t.Errorf("report %s", s)
	}
}

// perfect is a store without faults, driven one operation after another: what
// it does must pass, and what it loses, doubles or brings back must not.
type perfect struct {
	now     int64
	history []*Record
	n       int64
	set     map[string]bool
	live    []string
}

func (p *perfect) write(r *Record, key string) {
	r.Start, r.End, r.Key = p.now, p.now+1, key
	p.now += 2
	p.history = append(p.history, r)
}

func (p *perfect) step(t *rapid.T, i int) {
	outcome := rapid.SampledFrom([]Outcome{OK, OK, Failed, Unknown}).Draw(t, "outcome")
	applied := outcome == OK || outcome == Unknown && rapid.Bool().Draw(t, "applied")
	unique := fmt.Sprintf("v%d", i)
	switch rapid.IntRange(0, 4).Draw(t, "op") {
	case 0:
		n := rapid.Int64Range(-50, 50).Draw(t, "n")
		p.write(incr(0, 0, n, outcome), "n")
		if applied {
			p.n += n
		}
	case 1:
		p.write(at(0, 0, SAdd, outcome, unique), "s")
		if applied {
			p.set[unique] = true
		}
	case 2:
		e := fmt.Sprintf("v%d", rapid.IntRange(0, i).Draw(t, "element"))
		r := at(0, 0, SRem, outcome, e)
		if p.set[e] && outcome == OK {
			r.ResultN = 1
		}
		p.write(r, "s")
		if applied {
			delete(p.set, e)
		}
	case 3:
		p.write(at(0, 0, Put, outcome, unique), "r")
		if applied {
			p.live = []string{unique}
		}
	case 4:
		p.write(at(0, 0, Delete, outcome), "r")
		if applied {
			p.live = nil
		}
	}
}

func (p *perfect) state() State {
	s := map[Key]Value{{"b", "n"}: {Integer: p.n}, {"b", "r"}: {Live: slices.Clone(p.live)}}
	var elements []string
	for e := range p.set {
		elements = append(elements, e)
	}
	s[Key{"b", "s"}] = Value{Elements: elements}
	return State{"use1": s}
}

func TestFaultlessHistoriesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &perfect{set: map[string]bool{}}
		for i := range rapid.IntRange(0, 40).Draw(t, "steps") {
			p.step(t, i)
		}
		if r := Check(p.history, p.state()); !r.OK() {
			t.Fatalf("report %v", r)
		}
	})
}

func TestPlantedFaultsAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &perfect{set: map[string]bool{}}
		for i := range rapid.IntRange(0, 40).Draw(t, "steps") {
			p.step(t, i)
		}
		// Three acknowledged writes at the end, one of which goes wrong.
		last := incr(0, 0, 1000, OK)
		p.write(last, "n")
		p.write(at(0, 0, SAdd, OK, "last"), "s")
		p.write(at(0, 0, Put, OK, "last"), "r")
		p.n, p.live, p.set["last"] = p.n+1000, []string{"last"}, true
		// What is unknown may still happen, so nothing unknown must be able to excuse it.
		p.history = slices.DeleteFunc(p.history, func(r *Record) bool { return r.Outcome == Unknown && (r.Op == Delete || r.Op == Put) })
		switch rapid.IntRange(0, 5).Draw(t, "fault") {
		case 0:
			p.n -= 1000
			p.history = slices.DeleteFunc(p.history, func(r *Record) bool { return r.Op == Incr && r.Outcome == Unknown })
		case 1:
			p.n += 10_000
		case 2:
			delete(p.set, "last")
		case 3:
			p.set["nobody"] = true
		case 4:
			p.live = nil
		case 5:
			p.live = []string{"last", "nobody"}
		}
		if r := Check(p.history, p.state()); r.OK() {
			t.Fatalf("nothing found in %v", p.state())
		}
	})
}
