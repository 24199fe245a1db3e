package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vectors = `[
{"name": "c-add", "type": "counter", "steps": [{"at": "A", "op": "inc", "arg": 2}, {"deliver": "A->B"}], "expect": {"B": 2}},
{"name": "s-add", "type": "set_aw", "steps": [{"at": "A", "op": "add", "arg": "x"}], "expect": {"A": ["x"]}},
{"name": "c-wrong", "type": "counter", "steps": [{"at": "A", "op": "inc", "arg": 2}], "expect": {"A": 3}},
{"name": "t-unknown", "type": "nosuch", "steps": [], "expect": {"A": 3}},
{"name": "c-step", "type": "counter", "steps": [{"dance": "A"}], "expect": {"A": 0}}
]`

func TestScenarioRun(t *testing.T) {
	tm, path := &terminal{t: t}, file(t, "vectors.json", vectors)
	tm.want(0, "ok    c-add (counter)\n1 passed, 0 failed\n", "scenario", "run", path, "--name", "c-add")
	tm.want(0, "ok    s-add (set_aw)\n1 passed, 0 failed\n", "scenario", "run", path, "--type", "set_aw,gset")
	tm.want(2, "0 passed, 0 failed\n", "scenario", "run", path, "--name", "z*")
	tm.want(2, "", "scenario", "run", path, "--name", "[")
	tm.want(2, "", "scenario", "run", filepath.Join(t.TempDir(), "none.json"))
	tm.want(2, "", "scenario", "run", file(t, "torn.json", vectors[:100]))
	r := tm.run("scenario", "run", path)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.code != 7 || len(lines) != 6 || lines[5] != "2 passed, 3 failed" {
		t.Errorf("exit %d, %q: want 7, a line per vector and the counts", r.code, lines)
	}
	for i, begin := range []string{"ok    c-add", "ok    s-add", "FAIL  c-wrong", "FAIL  t-unknown", "FAIL  c-step"} {
		if !strings.HasPrefix(lines[i], begin) {
			t.Errorf("line %d is %q, want it to begin with %q", i, lines[i], begin)
		}
	}
	if r := tm.run("scenario", "run", path, "--name", "c-add", "-v"); r.code != 0 || len(strings.Split(r.out, "\n")) < 4 {
		t.Errorf("-v prints no steps: exit %d, %q", r.code, r.out)
	}
}

func TestTopologyCommands(t *testing.T) {
	tm := &terminal{t: t}
	path := filepath.Join(t.TempDir(), "shop.yaml")
	tm.want(0, "", "topology", "init", path)
	tm.want(2, "", "topology", "init", path)
	tm.want(0, path+": valid: cluster example, version 1, 3 datacenters, 3 nodes\n", "topology", "validate", path)
	tm.want(2, "", "topology", "validate", path+".none")
	rendered := tm.run("topology", "render", path)
	again := file(t, "rendered.yaml", rendered.out)
	tm.want(0, "", "topology", "diff", path, again)
	if r := tm.run("topology", "show", path); r.code != 0 || !strings.Contains(r.out, "use1-a") {
		t.Errorf("show: exit %d, %q", r.code, r.out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrong := file(t, "wrong.yaml", strings.Replace(string(text), "rack: a", "rakc: a", 1))
	r := tm.run("topology", "validate", wrong)
	if r.code != 2 || !strings.Contains(r.out, `unknown field "rakc" (did you mean "rack"?) [unknown-field]`) || !strings.HasSuffix(r.out, "1 error, 0 warnings\n") {
		t.Errorf("a wrong file: exit %d, %q", r.code, r.out)
	}
	if f := tm.fields(2, "topology", "validate", wrong); f["valid"] != false || f["errors"] != 1.0 {
		t.Errorf("JSON of a wrong file: %v", f)
	}
}

func TestServeRefuses(t *testing.T) {
	tm := &terminal{t: t}
	off := strings.ReplaceAll(exampleTopology, "127.0.0.1", "10.1.2.3")
	emulated := strings.Replace(exampleTopology, "links:\n", "links:\n  emulate: [{between: [use1, euw1], latency: 38ms}]\n", 1)
	tests := []struct {
		name, want string
		args       []string
	}{
		{"no topology", "serve needs --topology FILE and --node ID", []string{"--node", "use1-a"}},
		{"off loopback", "[open-network]", []string{"--topology", file(t, "off.yaml", off), "--node", "use1-a"}},
		{"emulated links", "--allow-emulation", []string{"--topology", file(t, "em.yaml", emulated), "--node", "use1-a"}},
		{"unknown node", `no node "use1-b" (did you mean use1-a?)`, []string{"--topology", file(t, "t.yaml", exampleTopology), "--node", "use1-b"}},
		{"no data directory", "give --data DIR", []string{"--topology", file(t, "t.yaml", exampleTopology), "--node", "use1-a"}},
		{"unknown level", "--log-level", []string{"--topology", "t", "--node", "n", "--log-level", "loud"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := tm.run(append([]string{"serve"}, tt.args...)...); r.code != 2 || !strings.Contains(r.err, tt.want) {
				t.Errorf("exit %d, %q: want 2 and %q", r.code, r.err, tt.want)
			}
		})
	}
}
