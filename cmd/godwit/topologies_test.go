package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/topology"
)

// edited is the topology of a cluster after a change.
func edited(t *testing.T, c *emulated.Cluster, version uint64, change func(*topology.Topology)) string {
	t.Helper()
	text, err := c.Topology().YAML()
	if err != nil {
		t.Fatal(err)
	}
	top, problems := topology.Parse("test", text)
	if top == nil {
		t.Fatal(problems)
	}
	top.Version = version
	change(top)
	top.FillDefaults()
	if text, err = top.YAML(); err != nil {
		t.Fatal(err)
	}
	return file(t, fmt.Sprintf("v%d.yaml", version), string(text))
}

// actingIn tells the versions of dcs in an answer.
func actingIn(f map[string]any) string {
	var out []string
	dcs, _ := f["dcs"].([]any)
	for _, d := range dcs {
		m, _ := d.(map[string]any)
		out = append(out, fmt.Sprint(m["dc"], ":", m["version"], ":", m["same"]))
	}
	return strings.Join(out, " ")
}

// A later topology is planned, applied in one datacenter, seen to be missing in
// another that is cut off, heard of there after the heal, and known after a restart.
func TestTopologyPlanAndApply(t *testing.T) {
	tm, c := startTerminal(t, emulated.Options{DCs: []string{"use1", "euw1"}, Nodes: 1}, "use1-euw1=4ms")
	next := edited(t, c, 2, func(top *topology.Topology) {
		top.Placements = append(top.Placements, topology.Placement{Name: "eu-only", Replicas: map[string]int{"euw1": 1}})
		top.Buckets = append(top.Buckets, topology.Bucket{Name: "orders"}, topology.Bucket{Name: "secrets", Placement: "eu-only"})
	})
	plan := tm.fields(0, "topology", "plan", next, "-o", "json")
	running, _ := plan["running"].(map[string]any)
	changes, _ := plan["changes"].([]any)
	if plan["applicable"] != true || plan["version"] != 2.0 || running["version"] != 1.0 || len(changes) != 4 {
		t.Errorf("plan: %v; want 4 changes from version 1 to 2: version, placement and two buckets", plan)
	}
	if r := tm.run("put", "--dc", "use1", "-b", "orders", "k", "v"); !strings.Contains(r.err, "UNKNOWN_BUCKET") {
		t.Errorf("before: exit %d, %s", r.code, r.err)
	}
	tm.run("wan", "cut", "euw1")
	done := tm.fields(0, "topology", "apply", next, "--dc", "use1", "--instead-of", fmt.Sprint(running["hash"]), "--timeout", "2s", "-o", "json")
	if done["version"] != 2.0 || done["everywhere"] != false || fmt.Sprint(done["nodes"]) != "[use1-a]" || !strings.HasSuffix(actingIn(done), "use1:2:true") {
		t.Errorf("apply during a cut: %v; want version 2 in use1 and not in euw1", done)
	}
	if r := tm.run("status"); strings.Count(r.err, "different topologies") != 2 {
		t.Errorf("status: %q; want a warning that names both datacenters", r.err)
	}
	tm.want(0, "", "put", "--dc", "use1", "-b", "orders", "k", "v", "--raw")
	tm.run("wan", "heal")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := actingIn(tm.fields(0, "topology", "plan", next, "--dc", "use1", "-o", "json")) + " " + actingIn(tm.fields(0, "topology", "plan", next, "--dc", "euw1", "-o", "json"))
		if got == "euw1:2:true use1:2:true euw1:2:true use1:2:true" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the heal: %s; want version 2 in both, known to both", got)
		}
	}
	if r := tm.run("status"); r.err != "" {
		t.Errorf("status after the heal warns: %q", r.err)
	}
	tm.want(0, "", "put", "--dc", "euw1", "-b", "secrets", "k", "v", "--raw")
	if r := tm.run("get", "--dc", "use1", "-b", "secrets", "k"); r.code != 1 || !strings.Contains(r.err, "RESIDENCY") || !strings.Contains(r.err, "euw1") {
		t.Errorf("a bucket that use1 must not have: exit %d, %s", r.code, r.err)
	}
	if err := c.StopNode("euw1-a"); err != nil {
		t.Fatal(err)
	}
	if err := c.StartNode(t.Context(), "euw1-a"); err != nil { // with the topology of version 1
		t.Fatal(err)
	}
	tm.find(c)
	tm.want(0, "v\n", "get", "--dc", "euw1", "-b", "secrets", "k", "--raw")
}

// What a running cluster does not take up is refused as a whole, with the reason.
func TestTopologyThatIsRefused(t *testing.T) {
	tm, c := startTerminal(t, emulated.Options{DCs: []string{"use1", "euw1"}, Nodes: 1, Memory: true}, "use1-euw1=4ms")
	orders := func(top *topology.Topology) { top.Buckets = append(top.Buckets, topology.Bucket{Name: "orders"}) }
	tests := []struct {
		name   string
		file   string
		reason string
	}{
		{"the same version", edited(t, c, 1, orders), "TOPOLOGY_OLD"},
		{"fewer datacenters", edited(t, c, 3, func(top *topology.Topology) {
			top.Datacenters = top.Datacenters[:1]
			top.Placements = []topology.Placement{{Name: "global", Replicas: map[string]int{"use1": 1}}}
		}), "TOPOLOGY_FIXED"},
		{"another number of partitions", edited(t, c, 5, func(top *topology.Topology) { top.Partitions = 64 }), "TOPOLOGY_FIXED"},
	}
	for _, tt := range tests {
		if f := tm.fields(6, "topology", "plan", tt.file, "-o", "json"); f["applicable"] != false {
			t.Errorf("%s: planned as applicable", tt.name)
		}
		if r := tm.run("topology", "apply", tt.file); r.code != 6 || !strings.Contains(r.err, tt.reason) {
			t.Errorf("%s: exit %d, %s; want %s", tt.name, r.code, r.err, tt.reason)
		}
	}
	later := edited(t, c, 6, orders)
	if r := tm.run("topology", "apply", later, "--instead-of", strings.Repeat("0", 32)); r.code != 6 || !strings.Contains(r.err, "TOPOLOGY_CHANGED") {
		t.Errorf("instead of another: exit %d, %s", r.code, r.err)
	}
	f := tm.fields(0, "topology", "apply", later, "-o", "json")
	if f["everywhere"] != true || actingIn(f) != "euw1:6:true use1:6:true" {
		t.Errorf("apply: %v; want version 6 everywhere", f)
	}
	if again := tm.fields(0, "topology", "apply", later, "-o", "json"); again["hash"] != f["hash"] {
		t.Errorf("apply again: %v, want %v", again, f)
	}
}
