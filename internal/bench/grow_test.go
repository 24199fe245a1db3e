package bench

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGaugeIn(t *testing.T) {
	const text = "# HELP a_b bytes\n# TYPE a_b gauge\na_b_c 1\na_b{x=\"1\"} 2\na_b 3.5e+06\n"
	if got, err := gaugeIn(strings.NewReader(text), "a_b"); got != 3_500_000 || err != nil {
		t.Errorf("a_b = %d, %v; want 3500000", got, err)
	}
	if _, err := gaugeIn(strings.NewReader(text), "b"); err == nil || !strings.Contains(err.Error(), "no metric b") {
		t.Errorf("b: %v, want an error that names it", err)
	}
}

func TestBytesIn(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"a": 100, "log/b": 23} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := bytesIn(dir); got != 123 || err != nil {
		t.Errorf("bytesIn = %d, %v; want 123", got, err)
	}
	if got, err := bytesIn(filepath.Join(dir, "gone")); got != 0 || err != nil {
		t.Errorf("of what is gone = %d, %v; want 0", got, err)
	}
}

// A latency at a pace counts from when the operation was due: if one of them
// stands still, those that had to wait for it show it.
func TestPaceCountsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		l := load{"put" + half, pipeline, 1, func(context.Context, int, *rand.Rand) error {
			if calls++; calls == 2 {
				time.Sleep(45 * time.Millisecond)
			}
			return nil
		}}
		end, cancel := context.WithTimeout(t.Context(), 95*time.Millisecond)
		defer cancel()
		all, err := l.drive(t.Context(), end, 100)
		want := []time.Duration{0, 45e6, 35e6, 25e6, 15e6, 5e6, 0, 0, 0, 0}
		if err != nil || len(all) != len(want) {
			t.Fatalf("%v, %v; want %v", all, err, want)
		}
		for i, d := range all {
			if d != want[i] {
				t.Errorf("operation %d took %v, want %v", i, d, want[i])
			}
		}
	})
}

func TestGrowthTable(t *testing.T) {
	g := Growth{Nodes: 1, For: time.Second, Rows: []Size{
		{Keys: 10, Filled: time.Second, Put: Figure{Rate: 100, CPU: 20 * time.Microsecond, P50: time.Millisecond}, Memory: 3 << 20, Cache: 1 << 20, Disk: 2 << 20, Live: 1 << 20},
		{Keys: 20, Filled: 2 * time.Second, Put: Figure{Rate: 50, CPU: 30 * time.Microsecond}, Memory: 4 << 20, Live: 2 << 20},
	}}
	lines := strings.Split(strings.TrimSpace(g.String()), "\n")
	want := "20 2.0 s 50 0 µs 30.0 µs 1.50 4 MiB 0 MiB 4 MiB 0 MiB 0.00"
	if got := strings.Join(strings.Fields(lines[len(lines)-1]), " "); got != want {
		t.Errorf("last row = %q, want %q", got, want)
	}
}

func TestSyncTime(t *testing.T) {
	dir := t.TempDir()
	if took, err := syncTime(dir); took <= 0 || err != nil {
		t.Errorf("syncTime = %v, %v", took, err)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
