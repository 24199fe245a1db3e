package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/topology"
)

// shape fails unless an object has exactly these fields: others' scripts read them.
func shape(t *testing.T, what string, object any, fields ...string) map[string]any {
	t.Helper()
	o, ok := object.(map[string]any)
	if !ok {
		t.Fatalf("%s is %v, not an object", what, object)
	}
	slices.Sort(fields)
	if got := slices.Sorted(maps.Keys(o)); !slices.Equal(got, fields) {
		t.Errorf("%s has the fields %v, want %v", what, got, fields)
	}
	return o
}

// shapes is shape of each of a list.
func shapes(t *testing.T, what string, list any, fields ...string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for i, o := range list.([]any) {
		out = append(out, shape(t, fmt.Sprintf("%s %d", what, i), o, fields...))
	}
	return out
}

// lines runs a command that prints an object a line.
func (tm *terminal) lines(args ...string) (out []map[string]any) {
	tm.t.Helper()
	r := tm.run(append(args, "-o", "json")...)
	for line := range strings.Lines(r.out) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			tm.t.Fatalf("godwit %s: %q: %v", strings.Join(args, " "), line, err)
		}
		out = append(out, o)
	}
	if r.code != 0 {
		tm.t.Fatalf("godwit %s: exit %d, %q", strings.Join(args, " "), r.code, r.err)
	}
	return out
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// TestJSONOfEqualAndCut holds the JSON of verify, lag, diff and repair against
// their contracts, while all is equal and while a link is cut.
func TestJSONOfEqualAndCut(t *testing.T) {
	tm := startCluster(t)
	tm.want(0, "1\n", "incr", "--dc", "use1", "hits")
	verifyFields := []string{"equal", "since", "partitions", "differing", "pairs"}
	pairFields := []string{"a", "b", "equal", "clock_equal", "merkle_equal"}
	lagFields := []string{"from", "to", "beacon_age_ms", "pending_events", "pending_bytes", "repair_debt"}
	repairFields := []string{"from", "to", "partitions", "equal", "compared", "failed", "keys", "tree_bytes", "digest_bytes", "cell_bytes"}

	f := shape(t, "verify", tm.fields(0, "verify", "--settle", "15s"), verifyFields...)
	if pair := shapes(t, "pair", f["pairs"], pairFields...)[0]; pair["a"] != "use1" || pair["b"] != "euw1" || pair["equal"] != true {
		t.Errorf("verify of equal datacenters: %v", pair)
	}
	eventually(t, "both have heard the other, and nothing waits", func() bool {
		for _, p := range shapes(t, "pair", shape(t, "lag", tm.fields(0, "lag"), "pairs")["pairs"], lagFields...) {
			if age := p["beacon_age_ms"].(float64); age < 0 || p["pending_events"] != 0.0 || p["pending_bytes"] != 0.0 || p["repair_debt"] != 0.0 {
				return false
			}
		}
		return true
	})
	tm.fields(0, "lag", "--fail-above", "20s")
	if keys := shape(t, "diff", tm.fields(0, "diff"), "keys")["keys"].([]any); len(keys) != 0 {
		t.Errorf("keys differ between equal datacenters: %v", keys)
	}

	tm.run("wan", "cut", "use1", "euw1")
	tm.want(0, "3\n", "incr", "--dc", "use1", "hits", "2")
	f = shape(t, "verify", tm.fields(7, "verify", "--settle", "0s"), verifyFields...)
	differing := shapes(t, "difference", f["differing"], "partition", "placement", "dcs", "reason")
	if len(differing) != 1 || differing[0]["placement"] != "global" || differing[0]["reason"] != "clocks differ; Merkle roots differ" {
		t.Errorf("verify during a cut: %v", differing)
	}
	if pair := shapes(t, "pair", f["pairs"], pairFields...)[0]; pair["equal"] != false || pair["clock_equal"] != false || pair["merkle_equal"] != false {
		t.Errorf("verify during a cut: %v", pair)
	}
	keys := shapes(t, "key", shape(t, "diff", tm.fields(0, "diff"), "keys")["keys"], "key", "bucket", "kind", "values", "after", "reason")
	if len(keys) != 1 || keys[0]["key"] != "hits" || keys[0]["kind"] != "counter" || keys[0]["after"] != 3.0 {
		t.Fatalf("diff during a cut: %v", keys)
	}
	if v := shape(t, "values", keys[0]["values"], "use1", "euw1"); v["use1"] != 3.0 || v["euw1"] != 1.0 {
		t.Errorf("diff during a cut: %v", v)
	}
	lag := shapes(t, "pair", tm.fields(0, "lag")["pairs"], lagFields...)
	if p := lag[0]; p["from"] != "use1" || p["to"] != "euw1" || p["pending_events"] != 1.0 || p["pending_bytes"].(float64) <= 0 {
		t.Errorf("lag during a cut: %v", p)
	}
	if p := lag[1]; p["from"] != "euw1" || p["to"] != "use1" || p["pending_events"] != 0.0 {
		t.Errorf("lag during a cut: %v", p)
	}
	eventually(t, "the last beacon is over 50 ms old", func() bool { return tm.run("lag", "--fail-above", "50ms").code == 7 })

	f = shape(t, "repair", tm.fields(7, "repair", "--dc", "euw1", "--partition", "0"), "done", "failed", "pairs", "missing")
	pairs := shapes(t, "pair", f["pairs"], append(slices.Clone(repairFields), "error")...)
	if f["failed"] != 1.0 || len(pairs) != 1 || pairs[0]["from"] != "use1" || pairs[0]["to"] != "euw1" || pairs[0]["failed"] != 1.0 || pairs[0]["error"] == "" {
		t.Errorf("repair during a cut: %v", f)
	}
	tm.run("wan", "heal")
	f = tm.fields(0, "repair")
	for _, p := range shapes(t, "pair", f["pairs"], repairFields...) {
		if p["failed"] != 0.0 || p["partitions"] != 256.0 {
			t.Errorf("repair after the heal: %v", p)
		}
	}
	tm.fields(0, "verify", "--settle", "15s")
	tm.want(2, "", "verify", "--dcs", "use1,mars")
	tm.want(2, "", "verify", "--settle", "1h")
	tm.want(2, "", "diff", "--limit", "0")
	tm.want(2, "", "diff", "hits", "--prefix", "h")
}

// outboxOf is the stream of a node, and the subject of its first lane.
func outboxOf(t *testing.T, c *emulated.Cluster, dc, node string) (js jetstream.JetStream, subject string) {
	t.Helper()
	nc, err := nats.Connect("nats://" + c.Addrs(node).NATS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return js, fmt.Sprintf("gw.demo.u.%s.%s.%x.", dc, node, topology.PlacementID("global"))
}

// TestParkedCommands: what cannot be applied is listed, shown, kept over a
// restart, and gone once it could be applied or was dropped.
func TestParkedCommands(t *testing.T) {
	tm, c := startTerminal(t, emulated.Options{DCs: []string{"use1", "euw1"}, Nodes: 1}, "use1-euw1=4ms")
	tm.want(0, "", "put", "--dc", "use1", "k", "v")
	tm.fields(0, "verify", "--settle", "15s")
	js, subject := outboxOf(t, c, "use1", "use1-a")
	stream, err := js.Stream(t.Context(), "outbox")
	if err != nil {
		t.Fatal(err)
	}
	good, err := stream.GetLastMsgForSubject(t.Context(), subject+"*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), subject+"3", []byte("rubbish")); err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	eventually(t, "the rubbish is parked", func() bool { list = tm.lines("parked", "list"); return len(list) > 0 })
	fields := []string{"id", "dc", "node", "from", "lane", "placement", "partition", "seq", "reason", "at", "bytes", "retriable"}
	bad := shape(t, "parked batch", list[0], fields...)
	for name, want := range map[string]any{
		"dc": "euw1", "node": "euw1-a", "from": "use1/use1-a", "lane": 3.0, "placement": "global", "partition": 0.0, "bytes": 7.0, "retriable": true,
		"reason": "replication: malformed encoding: unknown packing",
	} {
		if bad[name] != want {
			t.Errorf("parked batch: %s is %v, want %v", name, bad[name], want)
		}
	}
	id := bad["id"].(string)
	shown := shape(t, "parked batch", tm.fields(0, "parked", "show", id), append(slices.Clone(fields), "data")...)
	if shown["data"] != "rubbish" {
		t.Errorf("show: %v", shown)
	}
	if r := tm.run("parked", "retry", id); r.code != 6 || !strings.Contains(r.err, "it stays parked on node euw1-a") {
		t.Errorf("retry of rubbish: exit %d, %q", r.code, r.err)
	}

	// A batch that can be applied by now, as an older version may have left it.
	if err := c.StopNode("euw1-a"); err != nil {
		t.Fatal(err)
	}
	lane := good.Subject[strings.LastIndexByte(good.Subject, '.')+1:]
	head := fmt.Sprintf(`{"From":{"DC":"use1","Node":"use1-a"},"Lane":%s,"Placement":%d,"Whole":true,"Reason":"was not known","Bytes":%d}`,
		lane, topology.PlacementID("global"), len(good.Data))
	dir := filepath.Join(filepath.Dir(tm.env["GODWIT_DEMO"]), "nodes", "euw1-a", "parked")
	if err := os.WriteFile(filepath.Join(dir, "0123.parked"), append([]byte(head+"\n"), good.Data...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.StartNode(t.Context(), "euw1-a"); err != nil {
		t.Fatal(err)
	}
	tm.find(c)
	eventually(t, "the node is asked again", func() bool { return tm.run("get", "--dc", "euw1", "k").code == 0 })
	if list = tm.lines("parked", "list"); len(list) != 2 {
		t.Fatalf("after a restart: %v, want two batches", list)
	}
	if got := tm.fields(0, "parked", "retry", "0123"); got["id"] != "0123" || got["node"] != "euw1-a" {
		t.Errorf("retry: %v", got)
	}
	if list = tm.lines("parked", "list", "--dc", "euw1"); len(list) != 1 || list[0]["id"] != id {
		t.Errorf("after the retry: %v", list)
	}
	if got := tm.fields(0, "parked", "drop", id); got["id"] != id {
		t.Errorf("drop: %v", got)
	}
	tm.want(0, "", "parked", "list")
	tm.want(3, "", "parked", "drop", id)
	tm.want(2, "", "parked", "list", "--dc", "mars")
}

// TestProgressIsForTerminals: a person sees how far long work is, a script does not.
func TestProgressIsForTerminals(t *testing.T) {
	tm := startCluster(t)
	tm.want(0, "1\n", "incr", "--dc", "use1", "hits")
	tm.fields(0, "verify", "--settle", "15s")
	for _, tt := range []struct {
		shows string
		args  []string
	}{
		{"of 512 partitions compared", []string{"repair"}},
		{"comparing 2 datacenters; what is under way has 2s to arrive", []string{"verify"}},
		{"of 256 partitions looked at", []string{"diff"}},
	} {
		tm.isatty = true
		if r := tm.run(tt.args...); r.code != 0 || !strings.Contains(r.err, tt.shows) || !strings.Contains(r.err, "\r\x1b[K") {
			t.Errorf("%v on a terminal: exit %d, shows %q, want %q and no trace of it", tt.args, r.code, r.err, tt.shows)
		}
		tm.isatty = false
		if r := tm.run(tt.args...); r.code != 0 || strings.Contains(r.err, tt.shows) {
			t.Errorf("%v off a terminal: exit %d, shows %q", tt.args, r.code, r.err)
		}
	}
}
