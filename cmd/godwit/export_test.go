package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/topology"
)

// What a datacenter alone holds is written down before it is removed for ever:
// what it wrote while it was cut off, what it deleted, and what no other may hold.
// What the others wrote meanwhile is not.
func TestDCExport(t *testing.T) {
	top := &topology.Topology{Version: 1, Cluster: "demo"}
	for _, name := range []string{"use1", "euw1"} {
		top.Datacenters = append(top.Datacenters, topology.Datacenter{
			Name: name, Nodes: []topology.Node{{ID: name + "-a", Rack: "a", Weight: 1, Advertise: "127.0.0.1"}},
		})
	}
	top.FillDefaults()
	replicas := maps.Clone(top.Placements[0].Replicas)
	delete(replicas, "use1")
	top.Placements = append(top.Placements, topology.Placement{Name: "eu-only", Replicas: replicas})
	top.Buckets = append(top.Buckets, topology.Bucket{Name: "people", Placement: "eu-only"})
	top.FillDefaults()
	tm, _ := startTerminal(t, emulated.Options{Topology: top, DCs: []string{"use1", "euw1"}, Nodes: 1, Memory: true}, "use1-euw1=4ms")
	run := func(args ...string) {
		t.Helper()
		if r := tm.run(args...); r.code != 0 {
			t.Fatalf("godwit %s: exit %d, %s", strings.Join(args, " "), r.code, r.err)
		}
	}
	for _, args := range [][]string{{"incr", "hits", "5"}, {"put", "gone", "v"}, {"put", "same", "v"}, {"put", "theirs", "v"}, {"sadd", "cart", "apple"}} {
		run(append(args, "--dc", "use1")...)
	}
	run("put", "ann", "<1 High Street>", "--bucket", "people", "--dc", "euw1")
	tm.eventually("euw1 has all", func(r result) bool { return r.code == 0 }, "verify")
	run("wan", "cut", "euw1")
	for _, args := range [][]string{
		{"incr", "hits", "2", "--dc", "euw1"},
		{"incr", "hits", "10", "--dc", "use1"},
		{"del", "gone", "--dc", "euw1"},
		{"put", "theirs", "w", "--dc", "use1"},
		{"sadd", "cart", "plum", "--dc", "euw1"},
		{"put", "new", "n", "--dc", "euw1", "--ttl", "1h"},
	} {
		run(args...)
	}
	lines := func(args ...string) (out []string) {
		t.Helper()
		r := tm.run(append([]string{"dc", "export", "euw1"}, args...)...)
		if r.code != 0 {
			t.Fatalf("dc export: exit %d, %s", r.code, r.err)
		}
		for line := range strings.Lines(r.out) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), `,"expires"`)
			out = append(out, line)
		}
		return out
	}
	want := []string{
		`{"key":"cart","bucket":"default","kind":"set","value":["apple","plum"],"others":["apple"],"after":["apple","plum"]}`,
		`{"key":"gone","bucket":"default","kind":"register","value":null,"others":"v","after":null}`,
		`{"key":"hits","bucket":"default","kind":"counter","value":7,"others":15,"after":17}`,
		`{"key":"new","bucket":"default","kind":"register","value":"n","others":null,"after":"n"`,
		`{"key":"ann","bucket":"people","kind":"register","value":"<1 High Street>","others":null,"after":"<1 High Street>"}`,
	}
	if got := lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("dc export:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := lines("--prefix", "ca"); len(got) != 1 || got[0] != want[0] {
		t.Errorf("dc export --prefix ca: %q", got)
	}
	if got := lines("--bucket", "people"); len(got) != 1 || got[0] != want[4] {
		t.Errorf("dc export --bucket people: %q", got)
	}
	// A datacenter that does not hold a bucket has nothing to say of its keys.
	if r := tm.run("diff", "ann", "--bucket", "people"); r.code != 0 || !strings.Contains(r.out, "High Street") {
		t.Errorf("diff of a key that use1 does not hold: exit %d, %s%s", r.code, r.out, r.err)
	}
	file := filepath.Join(t.TempDir(), "euw1.jsonl")
	run("dc", "export", "euw1", "--out", file)
	if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "\n") != len(want) {
		t.Errorf("%s: %d lines, %v; want %d", file, strings.Count(string(b), "\n"), err, len(want))
	}
	if r := tm.run("dc", "export", "euw1", "--out", file); r.code != 2 || !strings.Contains(r.err, "replaces nothing") {
		t.Errorf("into a file that is there: exit %d, %s", r.code, r.err)
	}
	if r := tm.run("dc", "export", "mars"); r.code != 3 {
		t.Errorf("of what is not there: exit %d, %s", r.code, r.err)
	}

	run("wan", "heal", "euw1")
	tm.eventually("all is everywhere but what only it may hold", func(r result) bool { return r.code == 0 && strings.Count(r.out, "\n") == 1 }, "dc", "export", "euw1")
}
