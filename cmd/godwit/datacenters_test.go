package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/topology"
)

// dcShown is a datacenter in the JSON of dc list, as "state, caught up of all by whom".
func dcShown(t *testing.T, list map[string]any, name string) string {
	t.Helper()
	dcs, _ := list["dcs"].([]any)
	for _, d := range dcs {
		m, _ := d.(map[string]any)
		if m["name"] != name {
			continue
		}
		out := []string{fmt.Sprint(m["state"])}
		caught, _ := m["caught"].([]any)
		for _, c := range caught {
			of, _ := c.(map[string]any)
			out = append(out, fmt.Sprint(of["partitions_done"], "/", of["partitions"], " by ", of["dc"]))
		}
		return strings.Join(out, ", ")
	}
	t.Fatalf("no datacenter %s in %v", name, list)
	return ""
}

// eventually runs a command until its outcome is as wanted.
func (tm *terminal) eventually(what string, is func(result) bool, args ...string) {
	tm.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r := tm.run(args...)
		if is(r) {
			return
		}
		if time.Now().After(deadline) {
			tm.t.Fatalf("godwit %s: in vain until %s: exit %d, out %q, err %q", strings.Join(args, " "), what, r.code, r.out, r.err)
		}
	}
}

func refused(code int, reason string) func(result) bool {
	return func(r result) bool { return r.code == code && strings.Contains(r.err, reason) }
}

func says(text string) func(result) bool {
	return func(r result) bool { return r.code == 0 && strings.Contains(r.out, text) }
}

// A datacenter is fenced, comes back, is fenced again and removed, for ever.
func TestDCFenceAddAndRemove(t *testing.T) {
	tm, _ := startTerminal(t, emulated.Options{DCs: []string{"use1", "euw1"}, Nodes: 1, Memory: true}, "use1-euw1=4ms")
	if r := tm.run("put", "k", "v", "--dc", "euw1"); r.code != 0 {
		t.Fatal(r)
	}
	list := tm.fields(0, "dc", "list")
	if got := dcShown(t, list, "use1") + ", " + dcShown(t, list, "euw1"); got != "joined, joined" || list["topology_version"] != 1.0 {
		t.Errorf("at first: %s, version %v; want joined, joined, version 1", got, list["topology_version"])
	}
	done := tm.fields(0, "dc", "fence", "euw1", "--dc", "use1")
	if done["dc"] != "euw1" || done["state"] != "fenced" || done["version"] != 2.0 || fmt.Sprint(done["missing"]) != "[]" || len(fmt.Sprint(done["hash"])) != 32 {
		t.Errorf("dc fence: %v", done)
	}
	if again := tm.fields(0, "dc", "fence", "euw1", "--dc", "use1"); again["version"] != 2.0 {
		t.Errorf("dc fence again: %v, want version 2 still", again)
	}
	tm.eventually("it refuses clients", refused(4, "DC_FENCED"), "get", "k", "--dc", "euw1")
	tm.want(0, "v\n", "get", "k", "--dc", "use1", "--raw")
	if r := tm.run("dc", "fence", "use1"); r.code != 6 || !strings.Contains(r.err, "TOPOLOGY_FIXED") {
		t.Errorf("fence the last one: exit %d, %s", r.code, r.err)
	}
	if r := tm.run("dc", "fence", "mars"); r.code != 3 {
		t.Errorf("fence what is not there: exit %d, %s", r.code, r.err)
	}

	done = tm.fields(0, "dc", "add", "euw1", "--watch")
	if done["state"] != "joined" || done["version"] != 4.0 {
		t.Errorf("dc add: %v; want joined, by version 4", done)
	}
	tm.eventually("it serves clients", says("v"), "get", "k", "--dc", "euw1", "--raw")
	if r := tm.run("dc", "remove", "euw1"); r.code != 6 || !strings.Contains(r.err, "fence it first") {
		t.Errorf("remove without a fence: exit %d, %s", r.code, r.err)
	}

	if r := tm.run("put", "last", "words", "--dc", "euw1"); r.code != 0 {
		t.Fatal(r)
	}
	tm.fields(0, "dc", "fence", "euw1", "--dc", "euw1")
	tm.eventually("use1 has all of it", says("use1 has 256 of 256 partitions of it"), "dc", "list", "--dc", "use1")
	if got := dcShown(t, tm.fields(0, "dc", "list", "--dc", "use1"), "euw1"); got != "fenced, 256/256 by use1" {
		t.Errorf("dc list: euw1 is %q", got)
	}
	if done := tm.fields(0, "dc", "remove", "euw1", "--dc", "use1"); done["state"] != "removed" {
		t.Errorf("dc remove: %v", done)
	}
	tm.eventually("it knows that it was removed", refused(4, "DC_REMOVED"), "get", "k", "--dc", "euw1")
	tm.want(0, "words\n", "get", "last", "--dc", "use1", "--raw")
	if got := dcShown(t, tm.fields(0, "dc", "list", "--dc", "use1"), "euw1"); got != "removed" {
		t.Errorf("dc list: euw1 is %q", got)
	}
	if r := tm.run("dc", "add", "euw1", "--dc", "use1"); r.code != 6 || !strings.Contains(r.err, "under another name") {
		t.Errorf("add what was removed: exit %d, %s", r.code, r.err)
	}
}

// What may hold what no other does is removed by force only.
func TestDCRemoveByForce(t *testing.T) {
	tm, c := startTerminal(t, emulated.Options{DCs: []string{"use1", "euw1"}, Nodes: 1, Memory: true}, "use1-euw1=4ms")
	if err := c.StopNode("euw1-a"); err != nil {
		t.Fatal(err)
	}
	tm.fields(0, "dc", "fence", "euw1", "--dc", "use1")
	if r := tm.run("dc", "remove", "euw1", "--dc", "use1"); r.code != 6 || !strings.Contains(r.err, "DC_NOT_DRAINED") {
		t.Errorf("dc remove: exit %d, %s; want DC_NOT_DRAINED", r.code, r.err)
	}
	if done := tm.fields(0, "dc", "remove", "euw1", "--force", "--dc", "use1"); done["state"] != "removed" || done["version"] != 3.0 {
		t.Errorf("dc remove --force: %v", done)
	}
}

// with is a change of a topology: a datacenter of one node more.
func with(name string, s topology.State) func(*topology.Topology) {
	return func(top *topology.Topology) {
		top.Datacenters = append(top.Datacenters, topology.Datacenter{
			Name: name, State: s, Nodes: []topology.Node{{ID: name + "-a", Rack: "a", Weight: 1, Advertise: "127.0.0.1"}},
		})
		replicas := maps.Clone(top.Placements[0].Replicas)
		replicas[name] = 1
		top.Placements = []topology.Placement{{Name: top.Placements[0].Name, Replicas: replicas}}
	}
}

// A second datacenter comes to a cluster of one: it takes no clients before it has
// what the first has.
func TestDCAdd(t *testing.T) {
	tm, c := startTerminal(t, emulated.Options{DCs: []string{"use1"}, Nodes: 1}, "")
	for i := range 40 {
		tm.want(0, "", "put", fmt.Sprint("k", i), "v", "--raw", "--dc", "use1")
	}
	for i := range 20 {
		tm.want(0, "1\n", "del", fmt.Sprint("k", i), "--raw", "--dc", "use1")
	}
	bare := edited(t, c, 2, with("euw1", topology.DCJoined))
	if r := tm.run("dc", "add", bare, "--dc", "use1"); r.code != 2 || !strings.Contains(r.err, "state: joining") {
		t.Errorf("without its state: exit %d, %s", r.code, r.err)
	}
	if r := tm.run("topology", "apply", bare, "--dc", "use1"); r.code != 6 || !strings.Contains(r.err, "state: joining") {
		t.Errorf("applied without its state: exit %d, %s", r.code, r.err)
	}
	if r := tm.run("dc", "add", "nowhere.yaml", "--dc", "use1"); r.code != 3 {
		t.Errorf("a file that is not there: exit %d, %s", r.code, r.err)
	}
	next := edited(t, c, 2, with("euw1", topology.DCJoining))
	top, _, err := topology.Load(next)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddDC(t.Context(), top, "euw1"); err != nil {
		t.Fatal(err)
	}
	tm.find(c)
	for _, args := range [][]string{{"get", "k30"}, {"put", "k30", "w"}, {"keys"}} {
		if r := tm.run(append(args, "--dc", "euw1")...); !refused(4, "DC_JOINING")(r) {
			t.Errorf("%v before it has joined: exit %d, %s; want DC_JOINING", args, r.code, r.err)
		}
	}
	done := tm.fields(0, "dc", "add", next, "--dc", "use1")
	if done["dc"] != "euw1" || done["state"] != "joining" || done["version"] != 2.0 || done["hash"] != top.Hash() || fmt.Sprint(done["missing"]) != "[]" {
		t.Errorf("dc add: %v", done)
	}
	if done = tm.fields(0, "dc", "add", next, "--watch", "--dc", "use1"); done["state"] != "joined" || done["version"] != 3.0 {
		t.Errorf("dc add again: %v; want joined, by version 3", done)
	}
	for i := range 40 {
		code, out := 3, ""
		if i >= 20 {
			code, out = 0, "v\n"
		}
		tm.eventually("it serves clients", func(r result) bool { return !refused(4, "DC_JOINING")(r) }, "keys", "--dc", "euw1")
		tm.want(code, out, "get", fmt.Sprint("k", i), "--raw", "--dc", "euw1")
	}
	if r := tm.run("put", "back", "home", "--dc", "euw1"); r.code != 0 {
		t.Errorf("write at the new datacenter: %v", r)
	}
	tm.eventually("it is in the first as well", says("home"), "get", "back", "--raw", "--dc", "use1")
	list := tm.fields(0, "dc", "list", "--dc", "use1")
	if got := dcShown(t, list, "use1") + ", " + dcShown(t, list, "euw1"); got != "joined, joined" {
		t.Errorf("dc list: %s", got)
	}
}

// Where a hub stands between two datacenters it catches up for them: neither waits
// for the other, which it never hears itself.
func TestDCBehindAHub(t *testing.T) {
	top := &topology.Topology{Version: 1, Cluster: "demo"}
	for _, name := range []string{"use1", "euw1", "apne1"} {
		top.Datacenters = append(top.Datacenters, topology.Datacenter{
			Name: name, Nodes: []topology.Node{{ID: name + "-a", Rack: "a", Weight: 1, Advertise: "127.0.0.1"}},
		})
	}
	top.Links.Mode, top.Links.Hub = topology.ModeHub, "use1"
	top.FillDefaults()
	tm, _ := startTerminal(t, emulated.Options{Topology: top, DCs: []string{"use1", "euw1", "apne1"}, Nodes: 1, Memory: true}, "use1-euw1=4ms,use1-apne1=4ms")
	tm.fields(0, "dc", "fence", "apne1", "--dc", "use1")
	if r := tm.run("put", "k", "v", "--dc", "euw1"); r.code != 0 {
		t.Fatal(r)
	}
	if done := tm.fields(0, "dc", "add", "apne1", "--watch", "--dc", "use1"); done["state"] != "joined" {
		t.Errorf("dc add: %v", done)
	}
	tm.eventually("it has what was written while it was fenced", says("v"), "get", "k", "--dc", "apne1", "--raw")
	if r := tm.run("put", "last", "words", "--dc", "apne1"); r.code != 0 {
		t.Fatal(r)
	}
	joined := func(r result) bool {
		return r.code == 0 && !strings.Contains(r.out, "joining") && !strings.Contains(r.out, "another")
	}
	tm.eventually("all have heard that it joined", joined, "dc", "list", "--dc", "euw1")
	tm.fields(0, "dc", "fence", "apne1", "--dc", "euw1")
	tm.eventually("the hub has all of it", says("use1 has 256 of 256 partitions of it"), "dc", "list", "--dc", "euw1")
	if done := tm.fields(0, "dc", "remove", "apne1", "--dc", "euw1"); done["state"] != "removed" {
		t.Errorf("dc remove: %v", done)
	}
	tm.eventually("what it had is on the other side of the hub", says("words"), "get", "last", "--dc", "euw1", "--raw")
}
