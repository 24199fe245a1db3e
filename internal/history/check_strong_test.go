package history

import (
	"strings"
	"testing"
)

// done is a record of one key, acknowledged at the first try.
func done(start, end int64, op Op, arg ...string) *Record {
	return &Record{Start: start, End: end, Client: "c", DC: "eu", Op: op, Bucket: "b", Key: "k", Arg: arg, Outcome: OK, Tries: 1}
}

func incrAt(start, end, n int64) *Record {
	r := done(start, end, Incr)
	r.N = n
	return r
}

func readAt(start, end int64, op Op, n int64, result ...string) *Record {
	r := done(start, end, op)
	r.ResultN, r.Result = n, result
	return r
}

// weakly marks a record that no quorum acknowledged.
func weakly(r *Record) *Record {
	r.Session = "weak"
	return r
}

func unknown(r *Record) *Record {
	r.Outcome = Unknown
	return r
}

func isStrong(r *Record) bool { return r.Session != "weak" }

func TestCheckReads(t *testing.T) {
	tests := []struct {
		name          string
		history       []*Record
		lost, phantom int
	}{
		{name: "it sees what was acknowledged", history: []*Record{done(1, 2, Put, "v"), readAt(3, 4, Get, 0, "v")}},
		{name: "it misses a put", history: []*Record{done(1, 2, Put, "v"), readAt(3, 4, Get, 0)}, lost: 1},
		{name: "it misses the last of two puts", history: []*Record{done(1, 2, Put, "v"), done(3, 4, Put, "w"), readAt(5, 6, Get, 0, "v")}, lost: 1},
		{name: "it misses a weak put", history: []*Record{weakly(done(1, 2, Put, "v")), readAt(3, 4, Get, 0)}},
		{name: "a weak read misses a put", history: []*Record{done(1, 2, Put, "v"), weakly(readAt(3, 4, Get, 0))}},
		{name: "it misses a put under way", history: []*Record{done(1, 3, Put, "v"), readAt(2, 4, Get, 0)}},
		{name: "it sees a put under way", history: []*Record{done(1, 3, Put, "v"), readAt(2, 4, Get, 0, "v")}},
		{name: "it misses a put that was deleted", history: []*Record{done(1, 2, Put, "v"), done(3, 4, Delete), readAt(5, 6, Get, 0)}},
		{name: "it misses a put that a delete under way may have seen", history: []*Record{done(1, 2, Put, "v"), done(3, 6, Delete), readAt(4, 5, Get, 0)}},
		{name: "a delete that came later excuses nothing", history: []*Record{done(1, 2, Put, "v"), readAt(3, 4, Get, 0), done(5, 6, Delete)}, lost: 1},
		{name: "it sees what was put later", history: []*Record{readAt(1, 2, Get, 0, "v"), done(3, 4, Put, "v")}, phantom: 1},
		{name: "it misses an increment", history: []*Record{incrAt(1, 2, 3), incrAt(1, 2, 4), readAt(3, 4, Get, 4)}, lost: 1},
		{name: "it counts an increment twice", history: []*Record{incrAt(1, 2, 3), readAt(3, 4, Get, 6)}, phantom: 1},
		{name: "it counts an unknown increment", history: []*Record{unknown(incrAt(1, 2, 3)), readAt(3, 4, Get, 3)}},
		{name: "it misses an element", history: []*Record{done(1, 2, SAdd, "x", "y"), readAt(3, 4, SMembers, 0, "x")}, lost: 1},
		{name: "it sees an element that was removed", history: []*Record{done(1, 2, SAdd, "x"), {
			Start: 3, End: 4, Client: "c", Op: SRem, Bucket: "b", Key: "k", Arg: []string{"x"}, ResultN: 1, Outcome: OK,
		}, readAt(5, 6, SMembers, 0, "x")}, phantom: 1},
		{name: "a read that failed", history: []*Record{done(1, 2, Put, "v"), {Start: 3, End: 4, Op: Get, Bucket: "b", Key: "k", Outcome: Failed}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := CheckReads(tt.history, isStrong)
			if len(r.Lost) != tt.lost || len(r.Phantom) != tt.phantom {
				t.Errorf("%v\nwant %d lost, %d phantom", r, tt.lost, tt.phantom)
			}
		})
	}
}

func TestCheckDeletes(t *testing.T) {
	retried := done(1, 2, Put, "v")
	retried.Tries = 2
	tests := []struct {
		name    string
		history []*Record
		live    []string
		want    string
	}{
		{"it is back", []*Record{done(1, 2, Put, "v"), done(3, 4, Delete)}, []string{"v"}, "was deleted by c from 3 to 4"},
		{"it was read after the delete", []*Record{done(1, 2, Put, "v"), done(3, 4, Delete), readAt(5, 6, Get, 0, "v")}, nil, "was read by c"},
		{"it was read during the delete", []*Record{done(1, 2, Put, "v"), done(3, 6, Delete), readAt(4, 5, Get, 0, "v")}, nil, ""},
		{"the delete was weak", []*Record{done(1, 2, Put, "v"), weakly(done(3, 4, Delete))}, []string{"v"}, ""},
		{"the put was weak", []*Record{weakly(done(1, 2, Put, "v")), done(3, 4, Delete)}, []string{"v"}, ""},
		{"the put may have come again", []*Record{retried, done(3, 4, Delete)}, []string{"v"}, ""},
		{"they were concurrent", []*Record{done(1, 3, Put, "v"), done(2, 4, Delete)}, []string{"v"}, ""},
		{"the delete is unknown", []*Record{done(1, 2, Put, "v"), unknown(done(3, 4, Delete))}, []string{"v"}, ""},
		{"a reset removes no value", []*Record{done(1, 2, Put, "v"), done(3, 4, Reset)}, []string{"v"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := CheckDeletes(tt.history, State{"eu": {Key{"b", "k"}: {Live: tt.live}}}, isStrong)
			switch {
			case tt.want == "" && !r.OK():
				t.Errorf("found %v, want nothing", r)
			case tt.want != "" && (len(r.Phantom) != 1 || !strings.Contains(r.Phantom[0].What, tt.want)):
				t.Errorf("found %v, want one that says %q", r, tt.want)
			}
		})
	}
}
