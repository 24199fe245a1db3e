package bench

import (
	"strings"
	"testing"
	"time"
)

func TestCPUOf(t *testing.T) {
	tests := []struct {
		name, stat string
		want       time.Duration
	}{
		{"user and kernel mode add up", "7 (godwit) S 1 7 7 0 -1 4194304 1 0 0 0 120 30 0 0 20 0", 1500 * time.Millisecond},
		{"a name may hold spaces and parentheses", "7 (a) b) S 1 7 7 0 -1 4194304 1 0 0 0 1 2 0 0 20 0", 30 * time.Millisecond},
		{"what is cut off tells nothing", "7 (godwit) S 1 7", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cpuOf([]byte(tt.stat)); got != tt.want {
				t.Errorf("cpuOf(%q) = %v, want %v", tt.stat, got, tt.want)
			}
		})
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	var r Result
	echo, put := load{op: "echo", way: unary, workers: 64}, load{op: "put", way: pipeline, workers: 64}
	for _, round := range []struct{ echo, put, against float64 }{{1000, 500, 250}, {100, 60, 20}, {10, 4, 4}} { // a machine that gets slower
		r.add(&echo, "", Figure{Rate: round.echo, CPU: 10 * time.Microsecond})
		r.add(&put, "this", Figure{Rate: round.put, CPU: 25 * time.Microsecond, P50: 2 * time.Millisecond, P99: 3 * time.Millisecond})
		r.add(&put, "against", Figure{Rate: round.against, CPU: 50 * time.Microsecond})
	}
	r.Against = true
	lines := strings.Split(strings.TrimSpace(r.String()), "\n")
	want := []string{"put,", "64", "by", "client", "60", "2000", "µs", "3000", "µs", "25.0", "µs", "0.50", "2.50", "2.00,", "0.50"}
	if got := strings.Fields(lines[len(lines)-1]); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("row of put = %q, want %q", got, want)
	}
}

func TestOptions(t *testing.T) {
	if _, err := (Options{}).withDefaults(); err == nil || !strings.Contains(err.Error(), "Binary") {
		t.Errorf("no options: %v, want an error that names Binary", err)
	}
	o := Options{Binary: "b", Self: "s", Dir: "d"}
	got, err := o.withDefaults()
	if err != nil || got.Keys != 100_000 || got.Nodes != 3 || got.Rounds != 3 || got.For != 5*time.Second {
		t.Errorf("defaults = %+v, %v", got, err)
	}
	o.Nodes = 10
	if _, err := o.withDefaults(); err == nil {
		t.Error("10 nodes: no error")
	}
}
