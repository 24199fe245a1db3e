package history

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// sawAt is a read of key k that took from start to end.
func sawAt(start, end int64, values ...string) *Record {
	r := at(start, end, Get, OK)
	r.Result = values
	return r
}

func TestCheckRegularAndLinear(t *testing.T) {
	tests := []struct {
		name            string
		history         []*Record
		regular, linear bool
	}{
		{"a read sees the write before it", []*Record{at(0, 1, Put, OK, "a"), sawAt(2, 3, "a")}, true, true},
		{"a read misses the write before it", []*Record{at(0, 1, Put, OK, "a"), sawAt(2, 3)}, false, false},
		{"a read sees an overwritten value", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Put, OK, "b"), sawAt(4, 5, "a")}, false, false},
		{"a read sees what nobody wrote", []*Record{at(0, 1, Put, OK, "a"), sawAt(2, 3, "x")}, false, false},
		{"a read sees a write that began after it", []*Record{sawAt(0, 1, "a"), at(2, 3, Put, OK, "a")}, false, false},
		{"a write beside the read may be seen", []*Record{at(0, 1, Put, OK, "a"), at(2, 9, Put, OK, "b"), sawAt(3, 4, "b")}, true, true},
		{"or not", []*Record{at(0, 1, Put, OK, "a"), at(2, 9, Put, OK, "b"), sawAt(3, 4, "a")}, true, true},
		{"new, then old, beside one write", []*Record{at(0, 1, Put, OK, "a"), at(2, 9, Put, OK, "b"), sawAt(3, 4, "b"), sawAt(5, 6, "a")}, true, false},
		{"an unknown write is seen long after", []*Record{at(0, 1, Put, Unknown, "a"), sawAt(100, 101, "a")}, true, true},
		{"an unknown write is never seen", []*Record{at(0, 1, Put, Unknown, "a"), sawAt(100, 101)}, true, true},
		{"a failed write is seen", []*Record{at(0, 1, Put, Failed, "a"), sawAt(2, 3, "a")}, false, false},
		{"a delete is seen", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Delete, OK), sawAt(4, 5)}, true, true},
		{"a deleted value comes back", []*Record{at(0, 1, Put, OK, "a"), at(2, 3, Delete, OK), sawAt(4, 5, "a")}, false, false},
		{"writes at the same time come in any order", []*Record{at(0, 5, Put, OK, "a"), at(1, 4, Put, OK, "b"), sawAt(6, 7, "a")}, true, true},
		{"but in one", []*Record{at(0, 5, Put, OK, "a"), at(1, 4, Put, OK, "b"), sawAt(6, 7, "a"), sawAt(8, 9, "b")}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := CheckRegular(tt.history, time.Minute); r.OK() != tt.regular {
				t.Errorf("CheckRegular: %v, want ok=%v", r, tt.regular)
			}
			if r := CheckLinear(tt.history, time.Minute); r.OK() != tt.linear {
				t.Errorf("CheckLinear: %v, want ok=%v", r, tt.linear)
			}
		})
	}
}

func TestWhatCannotBeDecidedIsAFinding(t *testing.T) {
	var all []*Record
	for i := range int64(40) { // everything at once, and a read that nothing explains
		all = append(all, at(0, 1000, Put, OK, fmt.Sprint("v", i)), sawAt(0, 1000, fmt.Sprint("v", i)))
	}
	all = append(all, sawAt(0, 1000, "x"))
	if r := CheckLinear(all, time.Nanosecond); r.OK() || !strings.Contains(r.String(), "cannot be decided") {
		t.Errorf("report %v, want what cannot be decided", r)
	}
}

func TestCheckRegularIsFast(t *testing.T) {
	var all []*Record
	for i := range int64(10_000) {
		v := fmt.Sprint("v", i)
		rec := []*Record{at(10*i, 10*i+1, Put, OK, v), sawAt(10*i+2, 10*i+3, v)}
		for _, r := range rec {
			r.Key = fmt.Sprint("k", i%50)
		}
		all = append(all, rec...)
	}
	began := time.Now()
	if r := CheckRegular(all, time.Minute); !r.OK() {
		t.Errorf("report %v", r)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("20,000 operations took %v", took)
	}
}
