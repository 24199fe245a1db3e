package ring

import (
	"fmt"
	"strings"
	"testing"
)

func mustApply(t testing.TB, d *Document, c Change) *Document {
	t.Helper()
	next, err := d.Apply(c)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func mustPlan(t *testing.T, before, after *Document, o Options) *Plan {
	t.Helper()
	p, err := MakePlan(before, after, o, func(partition int) int64 { return int64(partition + 1) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanOfAJoin(t *testing.T) {
	before := first(t, "a", "b", "c")
	p := mustPlan(t, before, mustApply(t, before, Join(entry("d"))), Options{Partitions: 4, Replicas: 3})
	if got, want := fmt.Sprint(p.Copies, p.Minimum, len(p.Warnings)), "3 3 0"; got != want {
		t.Errorf("copies, minimum, warnings = %s, want %s: %q", got, want, p.Warnings)
	}
	out := int64(0)
	for _, n := range p.Nodes {
		if n.ID == "d" {
			if n.Before != 0 || n.After != 3 || n.Ideal != 3 || n.In != p.Bytes || n.Out != 0 || n.Rack != "r-d" {
				t.Errorf("plan of d = %+v, of %d bytes in all", n, p.Bytes)
			}
			continue
		}
		out += n.Out
		if n.Before != 4 || n.After != 3 || n.In != 0 {
			t.Errorf("plan of %s = %+v, want 4 replicas before and 3 after", n.ID, n)
		}
	}
	if out != p.Bytes || p.Bytes < 1+2+3 || p.Bytes > 2+3+4 {
		t.Errorf("%d bytes leave old owners, %d are copied", out, p.Bytes)
	}
}

func TestPlanOfALeaveCountsFromTheOwnersOfNow(t *testing.T) {
	d := first(t, "a", "b", "c", "d")
	moving := mustApply(t, d, Leave("d"))
	p := mustPlan(t, moving, mustApply(t, moving, Leave("c")), Options{Partitions: 16, Replicas: 2})
	before := map[string]int{"a": 8, "b": 8, "c": 9, "d": 7}
	for _, n := range p.Nodes {
		if n.Before != before[n.ID] || (n.ID == "c" || n.ID == "d") != (n.After == 0) {
			t.Errorf("plan of %s = %+v: all four own partitions until the data has moved", n.ID, n)
		}
	}
	if p.Copies != 16 || p.Minimum != 16 {
		t.Errorf("%d copies, minimum %d, want 16 of both", p.Copies, p.Minimum)
	}
}

func TestPlanWarns(t *testing.T) {
	tests := []struct {
		name string
		make func(d *Document) Change
		want string
	}{
		{name: "too few nodes", make: func(*Document) Change { return Leave("a", "b") }, want: "1 nodes own data: of the 2 copies of a key only 1 can be kept"},
		{name: "too heavy", make: func(*Document) Change { return Weight("a", 100_000) }, want: "node a cannot hold as much as its weight 100 asks for"},
		{name: "too few racks", make: func(*Document) Change { return Replace("a", Entry{ID: "x", Rack: "r-b"}) }, want: "1 racks for 2 copies"},
	}
	for _, tt := range tests {
		d := first(t, "a", "b", "c")
		if tt.name == "too few racks" {
			d = mustApply(t, d, Leave("c"))
			d = mustApply(t, mustApply(t, d, Turn(2)), Settle(3))
		}
		p := mustPlan(t, d, mustApply(t, d, tt.make(d)), Options{Partitions: 16, Replicas: 2})
		if !strings.Contains(strings.Join(p.Warnings, "\n"), tt.want) {
			t.Errorf("%s: warnings %q, want one that says %q", tt.name, p.Warnings, tt.want)
		}
	}
}
