package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/loadtest"
)

// wantFields reports those of a JSON object that are not there.
func wantFields(t *testing.T, what string, m map[string]any, fields string) {
	t.Helper()
	for field := range strings.FieldsSeq(fields) {
		if _, ok := m[field]; !ok {
			t.Errorf("%s has no %s: %v", what, field, m)
		}
	}
}

// within is an object in another, or in the first element of a list in it.
func within(m map[string]any, field string) map[string]any {
	if list, ok := m[field].([]any); ok && len(list) > 0 {
		sub, _ := list[0].(map[string]any)
		return sub
	}
	sub, _ := m[field].(map[string]any)
	return sub
}

// readJSON reads a file that holds one object.
func readJSON(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

// TestLoadtestRun: a cluster of its own, a cut that heals, and a check that finds
// nothing wrong; the files hold what was found, and two of them compare.
func TestLoadtestRun(t *testing.T) {
	dir := t.TempDir()
	page, report, tables := filepath.Join(dir, "r.html"), filepath.Join(dir, "r.json"), filepath.Join(dir, "r.md")
	faults := file(t, "faults.yaml", "faults:\n  - {at: 400ms, what: cut, dc: euw1}\n  - {at: 900ms, what: heal}\n")
	tm := &terminal{t: t, env: map[string]string{}}
	r := tm.run("loadtest", "run", "--emulate", "2dc", "--nodes", "1", "--memory", "--rtt", "use1-euw1=4ms", "--workload", "counters", "--keys", "20",
		"--faults", faults, "--rate", "100", "--duration", "2s", "--warmup", "200ms", "--quiet", "200ms", "--probe", "50ms",
		"--check", "--out", page, "--json", report, "--markdown", tables)
	if r.code != 0 {
		t.Fatalf("exit %d, %s\n%s", r.code, r.out, r.err)
	}
	for _, want := range []string{"DC    OP     RATE", "cut euw1", "heal all links: caught up after", "promises kept: acknowledged ", "lost 0, phantom 0"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("it prints no %q:\n%s", want, r.out)
		}
	}
	for _, want := range []string{"starting emulated: use1 euw1", "op/s", "check: reading what is there in the end"} {
		if !strings.Contains(r.err, want) || strings.Contains(r.err, "\r") {
			t.Errorf("off a terminal it tells no %q, in lines:\n%q", want, r.err)
		}
	}
	m := readJSON(t, report)
	wantFields(t, "the report", m, "operations pairs check faults settings")
	op := within(m, "operations")
	wantFields(t, "an operation", op, "dc op count errors rate latency_ms")
	wantFields(t, "a latency", within(op, "latency_ms"), "p50 p90 p99 p999 max")
	pair := within(m, "pairs")
	wantFields(t, "a pair", pair, "from to one_way_ms visible_ms excess_ms")
	wantFields(t, "visible_ms", within(pair, "visible_ms"), "p50 p99 max")
	wantFields(t, "excess_ms", within(pair, "excess_ms"), "p50 p99")
	check := within(m, "check")
	wantFields(t, "the check", check, "acked lost phantom converged converged_after_ms")
	if check["lost"] != 0.0 || check["phantom"] != 0.0 || check["converged"] != true || check["acked"] == 0.0 || pair["one_way_ms"] != 2.0 {
		t.Errorf("check %v, pair %v", check, pair)
	}
	if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), `"what":"cut euw1"`) {
		t.Errorf("the page has no cut: %v", err)
	}
	if text, err := os.ReadFile(tables); err != nil || !strings.HasPrefix(string(text), "|") && !strings.Contains(string(text), "\n|") {
		t.Errorf("no tables in Markdown: %q, %v", text, err)
	}
	compared(t, tm, report)
}

// compared: a run is the same as itself, and noise is told; one with other
// settings is said to be so.
func compared(t *testing.T, tm *terminal, report string) {
	t.Helper()
	r := tm.run("loadtest", "compare", report, report)
	if r.code != 0 || !strings.Contains(r.out, "NOISE") || !strings.Contains(r.out, "±") || strings.Contains(r.out, "worse") || strings.Contains(r.out, "better") {
		t.Errorf("compare with itself: exit %d\n%s%s", r.code, r.out, r.err)
	}
	row := within(tm.fields(0, "loadtest", "compare", report, report), "rows")
	wantFields(t, "a row", row, "what dc op a b ratio noise verdict")
	if row["ratio"] != 1.0 || row["verdict"] != "same" {
		t.Errorf("row %v", row)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	other := file(t, "other.json", strings.Replace(string(text), `"workload": "counters"`, `"workload": "sets"`, 1))
	if r := tm.run("loadtest", "compare", report, other); r.code != 0 || !strings.Contains(r.err, "unlike: workload: counters, sets") {
		t.Errorf("compare with another workload: exit %d, %s", r.code, r.err)
	}
}

// TestLoadtestFails: datacenters that are cut off from each other all the time
// are not equal in the end, and that is said by exit 7.
func TestLoadtestFails(t *testing.T) {
	tm := startCluster(t)
	if r := tm.run("wan", "cut", "euw1"); r.code != 0 {
		t.Fatalf("wan cut: %s", r.err)
	}
	report := filepath.Join(t.TempDir(), "r.json")
	r := tm.run("loadtest", "run", "--workload", "counters", "--keys", "20", "--concurrency", "4", "--duration", "500ms", "--warmup", "-1s", "--quiet", "-1s",
		"--probe", "50ms", "--settle", "300ms", "--check", "--json", report)
	if r.code != 7 || !strings.Contains(r.out, "the replicas were not equal after 300ms") {
		t.Errorf("exit %d, want 7\n%s%s", r.code, r.out, r.err)
	}
	m := readJSON(t, report)
	if check := within(m, "check"); check["converged"] != false || check["diverged"] == 0.0 || within(m, "pairs")["unseen"] == 0.0 {
		t.Errorf("check %v", check)
	}
}

// TestLoadtestWorkloads: every workload runs against an emulated cluster, in an
// open or a closed loop, and nothing it was promised is broken. Writes of one of
// them wait for the other datacenter.
func TestLoadtestWorkloads(t *testing.T) {
	tm := startCluster(t)
	own := file(t, "own.yaml", `
name: own
keys: 30
distribution: latest
value_size: 10-2KiB
datacenters: {use1: 3, euw1: 1}
operations:
  - {op: insert, weight: 1}
  - {op: read, weight: 1, consistency: one}
  - {op: hset, weight: 1}
  - {op: zincr, weight: 1}
`)
	loops := [][]string{{"--rate", "50"}, {"--concurrency", "2"}}
	for i, name := range append(loadtest.PresetNames(), own) {
		args := append([]string{
			"loadtest", "run", "--workload", name, "--duration", "300ms", "--warmup", "-1s", "--quiet", "-1s", "--probe", "-1s",
			"--check",
		}, loops[i%2]...)
		if name != own {
			args = append(args, "--keys", "30")
		}
		if name == "counters" {
			args = append(args, "--acks-dc", "1", "--transport", "unary")
		}
		m := tm.fields(0, args...)
		check, op := within(m, "check"), within(m, "operations")
		if name != "c" && check["acked"] == 0.0 || check["converged"] != true || op["errors"] != 0.0 {
			t.Errorf("%s: check %v, operation %v", name, check, op)
		}
	}
}

// TestLoadtestEnds: an interrupt ends the load, not the report.
func TestLoadtestEnds(t *testing.T) {
	tm := startCluster(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	began := make(chan struct{})
	tm.session = func(s *session) { s.err = &watched{want: "load ", seen: began} }
	go func() {
		<-began
		interrupt()
	}()
	r := tm.runContext(ctx, "loadtest", "run", "--workload", "sets", "--concurrency", "2", "--duration", "1h", "--warmup", "-1s", "--quiet", "-1s", "--check")
	if r.code != 0 || !strings.Contains(r.out, "promises kept") || !strings.Contains(r.out, "warning: interrupted before the end") {
		t.Errorf("exit %d\n%s", r.code, r.out)
	}
}

// watched tells when a text was written to it.
type watched struct {
	shared

	want string
	seen chan struct{}
	told bool
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.shared.Write(p)
	if !w.told && strings.Contains(w.String(), w.want) {
		w.told = true
		close(w.seen)
	}
	return n, err
}

// TestLoadtestRefuses: what cannot be run is said before anything is started.
func TestLoadtestRefuses(t *testing.T) {
	tm := &terminal{t: t, env: map[string]string{}}
	bad := file(t, "bad.yaml", "faults:\n  - {at: 5s, wat: cut, dc: euw1}\n  - {at: 5s, what: cutt, dc: euw1}\n  - {at: -1s, what: kill}\n")
	elsewhere := file(t, "elsewhere.yaml", "faults:\n  - {at: 1s, what: cut, dc: mars}\n  - {at: 1s, what: kill, node: use1-z}\n  - {at: 1h, what: heal}\n")
	mix := file(t, "mix.yaml", "operations:\n  - {op: reed, weight: 1}\n")
	report := file(t, "report.json", "{}")
	tests := []struct {
		args string
		want []string // in what is said
	}{
		{"loadtest run --emulate 2dc", []string{"give --workload: one of a, b"}},
		{"loadtest run --emulate 2dc --workload countrs", []string{"did you mean counters?"}},
		{"loadtest run --emulate 2dc --workload " + mix, []string{"mix.yaml:2:10: error:", "reed"}},
		{"loadtest run --emulate 2dc --workload a --faults " + bad, []string{"bad.yaml:2:14: error:", "bad.yaml:3:20: error:", "bad.yaml:4:10: error:"}},
		{"loadtest run --emulate 2dc --workload a --faults " + elsewhere, []string{`unknown datacenter "mars"`, `unknown node "use1-z"`, "give a longer --duration"}},
		{"loadtest run --emulate 2dc --workload a --faults /no/such", []string{"--faults: open /no/such"}},
		{"loadtest run --emulate 5dc --workload a", []string{`--emulate "5dc" is neither 2dc nor 3dc`}},
		{"loadtest run --emulate 2dc --addr 127.0.0.1:1 --workload a", []string{"does not go with --addr"}},
		{"loadtest run --emulate 2dc --workload a --rate 0", []string{"--rate 0: give more than 0"}},
		{"loadtest run --emulate 2dc --workload a --rate -5", []string{"rate -5 is not between"}},
		{"loadtest run --emulate 2dc --workload a --rate NaN", []string{"rate NaN is not between"}},
		{"loadtest run --emulate 2dc --workload a --concurrency -1", []string{"concurrency -1 is not between"}},
		{"loadtest run --emulate 2dc --workload a --duration 0s", []string{"--duration 0: give more than 0"}},
		{"loadtest run --emulate 2dc --workload a --duration 10ms", []string{"a duration of 10ms is not between 100ms"}},
		{"loadtest run --emulate 2dc --workload a --keys 0", []string{"0 keys, 1 to "}},
		{"loadtest run --emulate 2dc --workload a --value-size 2-1", []string{`--value-size: size "2-1"`}},
		{"loadtest run --emulate 2dc --workload a --dist near", []string{`--dist "near" is none of zipfian`}},
		{"loadtest run --emulate 2dc --workload a --acks-dc 2", []string{"writes cannot wait for 2 other datacenters of 2"}},
		{"loadtest run --emulate 2dc --workload a --transport tin", []string{`--transport "tin"`}},
		{"loadtest run --emulate 2dc --workload a --history h", []string{"--history belongs to --check"}},
		{"loadtest run --emulate 2dc --workload a --out /no/such/r.html", []string{"--out: open /no/such/r.html"}},
		{"loadtest run --emulate 2dc --workload a --consistency most", []string{`unknown consistency "most"`}},
		{"loadtest compare " + report, []string{"usage"}},
		{"loadtest compare " + report + " /no/such", []string{"format is 0, want 1"}},
		{"plan --value-size 1KiB", []string{"--keys"}},
		{"plan --keys 1e9 --value-size 0", []string{`--value-size "0" is no size`}},
		{"plan --keys lots --value-size 1KiB", []string{`--keys: "lots" is no number`}},
		{"plan --keys 1e9 --value-size 1KiB --dcs 0", []string{"--dcs 0"}},
		{"plan --keys 1e9 --value-size 1KiB --disk-fill 7", []string{"disk fill 7 is not between"}},
		{"plan --keys 1e17 --value-size 1KiB", []string{"a ring has at most"}},
	}
	for _, tt := range tests {
		began := time.Now()
		r := tm.run(strings.Fields(tt.args)...)
		if r.code != 2 || strings.Contains(r.err, "starting ") {
			t.Errorf("godwit %s: exit %d after %v, want 2 at once: %s", tt.args, r.code, time.Since(began), r.err)
		}
		for _, want := range tt.want {
			if !strings.Contains(r.err, want) {
				t.Errorf("godwit %s says %q, want %q in it", tt.args, r.err, want)
			}
		}
	}
}

// TestPlan: the inputs are printed, each with its flag, and can be replaced; so
// is what they lead to, with the ring simulated.
func TestPlan(t *testing.T) {
	tm := &terminal{t: t, env: map[string]string{}}
	args := []string{"plan", "--keys", "10e9", "--value-size", "5KiB", "--reads", "10M/s", "--writes", "1M/s", "--dcs", "3"}
	r := tm.run(args...)
	for _, want := range []string{"INPUT", "--read-cpu", "--disk", "--node-memory", "170µs", "nodes", "partitions", "WAN", "simulated on 3 racks", "a node more on each rack"} {
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("exit %d, no %q in\n%s%s", r.code, want, r.out, r.err)
		}
	}
	m := tm.fields(0, args...)
	wantFields(t, "the plan", m, "inputs nodes nodes_per_dc because partitions live_bytes disk_per_node memory_per_node cores_per_dc wan_per_pair wan_per_dc ring")
	wantFields(t, "the ring", within(m, "ring"), "least mean most over racks moved")
	wantFields(t, "the inputs", within(m, "inputs"), "keys value_size reads writes dcs replicas cores read_cpu_ns disk node_memory")
	// 10^10 x (5,120 + 32) bytes; 333,333 writes/s x (5,152 + 50) bytes to each other datacenter.
	if m["live_bytes"] != 5.152e13 || int(m["wan_per_pair"].(float64)) != 1_734_000_000 || within(m, "inputs")["keys"] != 1e10 {
		t.Errorf("live bytes %v, WAN of a pair %v", m["live_bytes"], m["wan_per_pair"])
	}
	if over, ok := within(m, "ring")["over"].(float64); !ok || over < 1 || over > 1.10 {
		t.Errorf("ring %v", m["ring"])
	}
	larger := tm.fields(0, append(args, "--read-cpu", "17us", "--write-cpu", "76us", "--apply-cpu", "99us", "--disk", "80TB")...)
	if larger["nodes"].(float64) >= m["nodes"].(float64) {
		t.Errorf("a tenth of the CPU and ten times the disk still need %v nodes, before %v", larger["nodes"], m["nodes"])
	}
}
