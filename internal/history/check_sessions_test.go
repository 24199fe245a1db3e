package history

import (
	"strings"
	"testing"
)

// of makes an operation one of a session.
func of(session string, r *Record) *Record {
	r.Session = session
	return r
}

func counted(start, end, n, total int64) *Record {
	r := incr(start, end, n, OK)
	r.ResultN = total
	return r
}

func total(start, end, n int64) *Record {
	r := at(start, end, Get, OK)
	r.ResultN = n
	return r
}

func membersAt(start, end int64, elements ...string) *Record {
	r := at(start, end, SMembers, OK)
	r.Result = elements
	return r
}

func TestCheckSessions(t *testing.T) {
	tests := []struct {
		name    string
		history []*Record
		want    string // the guarantee that is broken; empty: none
	}{
		{"a session sees what it put", []*Record{of("s", at(0, 1, Put, OK, "a")), of("s", sawAt(2, 3, "a"))}, ""},
		{"its put is gone", []*Record{of("s", at(0, 1, Put, OK, "a")), of("s", sawAt(2, 3))}, readYourWrites},
		{"its put is gone by a delete", []*Record{of("s", at(0, 1, Put, OK, "a")), at(1, 2, Delete, Unknown), of("s", sawAt(2, 3))}, ""},
		{"a delete that came before explains nothing", []*Record{at(0, 1, Delete, OK), of("s", at(2, 3, Put, OK, "a")), of("s", sawAt(4, 5))}, readYourWrites},
		{"another session may lag", []*Record{of("s", at(0, 1, Put, OK, "a")), of("t", sawAt(2, 3))}, ""},
		{"no session may lag", []*Record{at(0, 1, Put, OK, "a"), sawAt(2, 3)}, ""},
		{"an operation of its own at the same time is in no order", []*Record{of("s", at(0, 9, Put, OK, "a")), of("s", sawAt(2, 3))}, ""},
		{"a put that failed need not be seen", []*Record{of("s", at(0, 1, Put, Failed, "a")), of("s", sawAt(2, 3))}, ""},
		{"its put, then an older one of its own", []*Record{of("s", at(0, 1, Put, OK, "a")), of("s", at(2, 3, Put, OK, "b")), of("s", sawAt(4, 5, "a"))}, readYourWrites},
		{"a concurrent put may win", []*Record{of("s", at(0, 1, Put, OK, "a")), at(0, 1, Put, OK, "b"), of("s", sawAt(2, 3, "b"))}, ""},
		{"what was read is gone", []*Record{at(0, 1, Put, OK, "a"), of("s", sawAt(2, 3, "a")), of("s", sawAt(4, 5))}, monotonicReads},
		{
			"a reader sees two writes of a session the wrong way round",
			[]*Record{of("w", at(0, 1, Put, OK, "a")), of("w", at(2, 3, Put, OK, "b")), of("s", sawAt(4, 5, "b")), of("s", sawAt(6, 7, "a"))},
			monotonicWrites,
		},
		{
			"a reader goes back behind what the writer had read",
			[]*Record{at(0, 1, Put, OK, "a"), of("w", sawAt(2, 3, "a")), of("w", at(4, 5, Put, OK, "b")), of("s", sawAt(6, 7, "b")), of("s", sawAt(8, 9, "a"))},
			writesFollowReads,
		},
		{
			"and through two sessions",
			[]*Record{
				of("v", at(0, 1, Put, OK, "a")), of("v", at(2, 3, Put, OK, "b")), of("w", sawAt(4, 5, "b")), of("w", at(6, 7, Put, OK, "c")),
				of("s", sawAt(8, 9, "c")), of("s", sawAt(10, 11, "a")),
			},
			monotonicWrites,
		},
		{"forward is fine", []*Record{of("w", at(0, 1, Put, OK, "a")), of("w", at(2, 3, Put, OK, "b")), of("s", sawAt(4, 5, "a")), of("s", sawAt(6, 7, "b"))}, ""},

		{"a counter grows", []*Record{of("s", counted(0, 1, 5, 5)), counted(2, 3, 1, 6), of("s", total(4, 5, 6))}, ""},
		{"its increment is missing", []*Record{of("s", counted(0, 1, 5, 5)), of("s", total(2, 3, 0))}, readYourWrites},
		{"the total falls between two reads", []*Record{counted(0, 1, 5, 5), of("s", total(2, 3, 5)), of("s", total(4, 5, 4))}, monotonicReads},
		{"after a reset it may", []*Record{counted(0, 1, 5, 5), of("s", total(2, 3, 5)), at(3, 4, Reset, Unknown), of("s", total(4, 5, 0))}, ""},
		{"where there are decrements it may", []*Record{counted(0, 1, 5, 5), of("s", total(2, 3, 5)), counted(3, 4, -1, 4), of("s", total(4, 5, 4))}, ""},

		{"an element of its own is missing", []*Record{of("s", at(0, 1, SAdd, OK, "a", "b")), of("s", membersAt(2, 3, "a"))}, readYourWrites},
		{"an element that was seen is missing", []*Record{at(0, 1, SAdd, OK, "a"), of("s", membersAt(2, 3, "a")), of("s", membersAt(4, 5))}, monotonicReads},
		{"it was removed", []*Record{of("s", at(0, 1, SAdd, OK, "a")), at(1, 2, SRem, Unknown, "a"), of("s", membersAt(2, 3))}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := CheckSessions(tt.history)
			if r.OK() != (tt.want == "") || !strings.Contains(r.String(), tt.want) || len(r.Lost) > 1 {
				t.Errorf("report %v\nwant one finding of %q", r, tt.want)
			}
		})
	}
}
