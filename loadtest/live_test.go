package loadtest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/loadtest"
)

// moments are what a run tells, as it goes on.
func moments() []loadtest.Progress {
	at := func(seconds float64, phase string) loadtest.Progress {
		return loadtest.Progress{
			T: time.Duration(seconds * float64(time.Second)), Phase: phase, Rate: 1500, Rates: []float64{1000, 500}, P50: 0.25, P99: 12.4,
			Behind: 90 * time.Millisecond, BehindPair: "use1→euw1",
		}
	}
	cut := at(2.5, "fault")
	cut.Fault = "cut euw1"
	failing := at(3, "fault")
	failing.Errors = 3
	return []loadtest.Progress{{Phase: "preload 64 of 100 keys"}, at(1, "load"), at(2, "load"), cut, failing, at(7, "fault"), at(8, "fault"), at(9, "check")}
}

// Off a terminal: a line when the phase changes, at every fault, and each 5 s.
func TestLiveInLines(t *testing.T) {
	var b strings.Builder
	show := loadtest.Live(&b, false, []string{"use1", "euw1"})
	for _, p := range moments() {
		show(p)
	}
	want := `preload 64 of 100 keys
   1.0s  load        1500 op/s  use1 1000  euw1 500  p50 0.25ms p99 12ms  behind use1→euw1 90ms
   2.5s  cut euw1
   3.0s  fault       1500 op/s  use1 1000  euw1 500  p50 0.25ms p99 12ms  behind use1→euw1 90ms  3 errors
   8.0s  fault       1500 op/s  use1 1000  euw1 500  p50 0.25ms p99 12ms  behind use1→euw1 90ms
   9.0s  check: reading what is there in the end
`
	if b.String() != want {
		t.Errorf("lines\n%swant\n%s", b.String(), want)
	}
}

// On a terminal: one line that is written over; faults stay.
func TestLiveOnATerminal(t *testing.T) {
	var b strings.Builder
	show := loadtest.Live(&b, true, []string{"use1", "euw1"})
	for _, p := range moments() {
		show(p)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "\rpreload") || strings.Count(lines[0], "\r") != 4 || lines[2] != "" {
		t.Fatalf("%q", b.String())
	}
	for _, part := range strings.Split(strings.Join(lines, ""), "\r")[1:] {
		if n := len([]rune(part)); n != 118 {
			t.Errorf("%q has %d characters: it must write over the one before, and not wrap", part, n)
		}
	}
}

// A long run is told about each second, however long the slices of its charts are.
func TestLongRunsAreAlive(t *testing.T) {
	w := start(t, "counters", twoDCs())
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	w.opts.Duration, w.opts.Warmup, w.opts.Quiet = 10*time.Hour, -1, -1
	told := 0
	w.opts.Progress = func(p loadtest.Progress) {
		if p.Phase == loadtest.PhaseLoad && p.Rate > 0 && len(p.Rates) == 2 {
			if told++; told == 2 {
				enough()
			}
		}
	}
	r, err := loadtest.Run(ctx, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Slice != 240 || r.Seconds > 60 {
		t.Errorf("slices of %v s; told of the load only after %v s", r.Slice, r.Seconds)
	}
}
