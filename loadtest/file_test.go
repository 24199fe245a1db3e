package loadtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWorkloadFile(t *testing.T) {
	w, err := ParseWorkload("shop.yaml", []byte(`
name: shop
keys: 100000
distribution: hot
hot: 0.25
value_size: 100-2KiB
consistency: one
datacenters: {use1: 3, euw1: 1}
operations:
  - {op: read, weight: 60}
  - {op: hincr, weight: 40, consistency: all, value_size: 7}
`))
	if err != nil {
		t.Fatal(err)
	}
	if w.Name != "shop" || w.Keys != 100_000 || w.Distribution != Hot || w.Hot != 0.25 || w.ValueSize != (Size{100, 2048}) {
		t.Errorf("workload %+v", w)
	}
	if o := w.Operations[0]; o != (Operation{"read", 60, "one", Size{100, 2048}}) {
		t.Errorf("first operation %+v", o)
	}
	if o := w.Operations[1]; o != (Operation{"hincr", 40, "all", Size{7, 7}}) {
		t.Errorf("second operation %+v", o)
	}
	if s := w.shareOf("use1", []string{"euw1", "use1"}); s != 0.75 {
		t.Errorf("share of use1 %v, want 0.75", s)
	}
}

// Every mistake is told with its place and a way out, all at once.
func TestMistakesInWorkloads(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown field", "operations: [{op: read}]\nkies: 5\n", `w.yaml:2:1: error: unknown field "kies" (did you mean "keys"?)`},
		{"unknown operation", "operations:\n  - {op: incrr, weight: 5}\n", `w.yaml:2:10: error: unknown operation "incrr" (did you mean "incr"?)`},
		{"no number", "operations: [{op: read, weight: many}]\n", `w.yaml:1:33: error: "many" is not a number between 0 and 1e+06`},
		{"negative weight", "operations:\n- op: read\n  weight: -1\n", `w.yaml:3:11: error: "-1" is not a number`},
		{"no operations", "keys: 7\n", `w.yaml:1:1: error: no operations`},
		{"all weights 0", "operations: [{op: read, weight: 0}]\n", `all weights are 0`},
		{"twice", "operations: [{op: read}, {op: read}]\n", `operation "read" is given twice`},
		{"field twice", "keys: 1\nkeys: 2\noperations: [{op: read}]\n", `w.yaml:2:1: error: field "keys" is given twice`},
		{"size", "value_size: 5 potatoes\noperations: [{op: read}]\n", `w.yaml:1:13: error: "5 potatoes" is no size`},
		{"ttl", "ttl: soon\noperations: [{op: read}]\n", `"soon" is no time: give a number and a unit`},
		{"list in place of a word", "consistency: [one]\noperations: [{op: read}]\n", `want a single value`},
		{"syntax", "operations: [\n", `w.yaml:1:13: error:`},
		{"empty", "", `w.yaml:1:1: error: the file is empty`},
		{"two documents", "operations: [{op: read}]\n---\nkeys: 4\n", `w.yaml:3:1: error: a second document begins here`},
		{"not text", "keys: \xff\n", `not UTF-8`},
		{"too long", strings.Repeat("#", maxFileBytes+1), `at most 65536 are allowed`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseWorkload("w.yaml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	_, err := ParseWorkload("w.yaml", []byte("keys: 0\ndistribution: zipf\noperations:\n  - {op: reed}\n"))
	if err == nil || strings.Count(err.Error(), "error:") != 3 {
		t.Errorf("want three problems, got %v", err)
	}
}

func TestFaultFile(t *testing.T) {
	faults, err := ParseFaults("f.yaml", []byte(`
faults:
  - {at: 30s, what: heal}
  - {at: 10s, what: cut, from: use1, to: euw1}
  - {at: 12s, what: slow, between: [use1, euw1], latency: 300ms, bandwidth: 1MiB/s, for: 5s}
  - {at: 20s, what: flap, dc: euw1, every: 500ms, for: 2s}
  - {at: 25s, what: kill, node: use1-b, for: 1s}
`))
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for i := range faults {
		shown = append(shown, faults[i].At.String()+" "+faults[i].String())
	}
	want := "10s cut use1 → euw1|12s slow use1 ↔ euw1 300ms 1048576 B/s|20s flap euw1|25s kill use1-b|30s heal all links"
	if got := strings.Join(shown, "|"); got != want {
		t.Errorf("faults\n%s\nwant\n%s", got, want)
	}
	var at []string
	for _, s := range stepsOf(faults, nil) {
		at = append(at, s.at.String())
	}
	if got, want := strings.Join(at, " "), "10s 12s 17s 20s 20.5s 21s 21.5s 22s 25s 26s 30s"; got != want {
		t.Errorf("steps at %s, want %s", got, want)
	}
}

func TestMistakesInFaults(t *testing.T) {
	for text, want := range map[string]string{
		"faults: [{what: cut}]":                                       "f.yaml:1:10: error: no time: give at",
		"faults: [{at: 1s, what: cutt}]":                              `unknown fault "cutt" (did you mean "cut"?)`,
		"faults: [{at: 1, what: cut}]":                                `"1" is no time`,
		"faults: [{at: 1s, what: cut, from: a}]":                      "from and to belong together",
		"faults: [{at: 1s, what: cut, between: [a, a]}]":              "no link to itself",
		"faults: [{at: 1s, what: cut, between: [a]}]":                 "between names two datacenters, not 1",
		"faults: [{at: 1s, what: cut, dc: a, node: b}]":               "give one of dc, between",
		"faults: [{at: 1s, what: slow, dc: a}]":                       "slow needs latency",
		"faults: [{at: 1s, what: cut, latency: 1ms}]":                 "belong to slow",
		"faults: [{at: 1s, what: flap, dc: a, every: 1s}]":            "flap needs every and for",
		"faults: [{at: 1s, what: flap, dc: a, every: 20ms, for: 1h}]": "at most 500 are allowed",
		"faults: [{at: 1s, what: kill}]":                              "kill needs a node",
		"faults: []":                                                  "the list is empty",
		"fault: [{at: 1s}]":                                           `unknown field "fault" (did you mean "faults"?)`,
		"faults: [{at: 1s, what: slow, dc: a, bandwidth: quick}]":     `"quick" is no rate`,
		"faults: [{at: 1s, what: slow, dc: a, latency: 900s}]":        "is not between 0s and 30s",
		"faults: 7": "want a list",
		"- 1":       "want fields and values",
		"faults: [{at: 1s, what: heal, for: 2s}, {at: 1s, what: a, x: 1}]": `for has no meaning for heal`,
	} {
		if _, err := ParseFaults("f.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestFaultsThatARunCannotHave(t *testing.T) {
	faults := []Fault{{At: time.Second, What: FaultCut, DC: "mars"}, {At: time.Hour, What: FaultHeal}, {At: 0, What: FaultKill, Node: "x"}}
	err := CheckFaults(faults, []string{"use1"}, []string{"use1-a"}, time.Minute)
	for _, want := range []string{`unknown datacenter "mars"`, "the load ends at 1m0s", `unknown node "x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// The examples of the repository are valid.
func TestExamples(t *testing.T) {
	for _, path := range glob(t, "workloads") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseWorkload(path, text); err != nil {
			t.Error(err)
		}
	}
	for _, path := range glob(t, "faults") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		faults, err := ParseFaults(path, text)
		if err != nil {
			t.Error(err)
		}
		err = CheckFaults(faults, []string{"use1", "euw1", "apne1"}, []string{"use1-a", "use1-b"}, time.Minute)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func glob(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "examples", folder, "*.yaml"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d examples of %s, %v", len(paths), folder, err)
	}
	return paths
}

func FuzzWorkload(f *testing.F) {
	f.Add([]byte("operations: [{op: read, weight: 5}]"))
	f.Add([]byte("faults: [{at: 1s, what: cut}]"))
	f.Add([]byte("? a\n: &x *x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 2048 { // the parser is not linear
			return
		}
		if w, err := ParseWorkload("w", data); err == nil {
			if err := w.Check(); err != nil {
				t.Errorf("accepted, and wrong: %v", err)
			}
		}
		_, _ = ParseFaults("f", data)
	})
}
