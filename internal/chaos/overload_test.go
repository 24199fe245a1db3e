package chaos

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A datacenter that is asked for more than it can do refuses some of it.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	dir := t.TempDir()
	o := OverloadOptions{
		Binary: build(t, dir), Dir: filepath.Join(dir, "data"), Measure: time.Second, For: 8 * time.Second, Times: 30, Progress: t.Output(),
	}
	res, err := RunOverload(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%v", res)
	if res.Lost > 0 || res.Exhausted == 0 || res.Acked == 0 {
		t.Errorf("%d lost, %d refused with RESOURCE_EXHAUSTED, %d acknowledged", res.Lost, res.Exhausted, res.Acked)
	}
}

// Memory that goes on growing is told from memory that filled up, and the other
// ways not to be well are told as well.
func TestOverloadIsJudged(t *testing.T) {
	level := [][]int64{{50 << 20}, {200 << 20}, {210 << 20}, {215 << 20}, {220 << 20}, {210 << 20}, {215 << 20}, {225 << 20}}
	rising := [][]int64{{50 << 20}, {100 << 20}, {150 << 20}, {200 << 20}, {250 << 20}, {300 << 20}, {350 << 20}, {400 << 20}}
	tests := []struct {
		name string
		res  Overload
		ok   bool
		says string
	}{
		{"some were refused", Overload{Asked: 100, Exhausted: 1, Memory: level}, true, "memory at the middle  215 MiB"},
		{"too few were asked", Overload{Asked: 90, Exhausted: 1, Memory: level}, false, "could not ask for 10 times"},
		{"nobody was refused", Overload{Asked: 100, Memory: level}, false, "nobody was refused"},
		{"memory grows", Overload{Asked: 100, Exhausted: 1, Memory: rising}, false, "memory grows"},
		{"a key is lost", Overload{Asked: 100, Exhausted: 1, Memory: level, Kept: 7, Lost: 2}, false, "of 7 acknowledged 2 are lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.res.Took, tt.res.Can, tt.res.Times = time.Second, 10, 10
			if got := tt.res.OK(); got != tt.ok {
				t.Errorf("OK() = %v", got)
			}
			if s := tt.res.String(); !strings.Contains(s, tt.says) {
				t.Errorf("lacks %q:\n%s", tt.says, s)
			}
		})
	}
}
