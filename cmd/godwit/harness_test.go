package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/internal/wan"
)

// terminal is where a test types commands.
type terminal struct {
	t       *testing.T
	env     map[string]string
	in      string
	isatty  bool
	session func(*session) // changes the session, if not nil
}

// result is what one command line did.
type result struct {
	code     int
	out, err string
}

func (tm *terminal) run(args ...string) result {
	tm.t.Helper()
	return tm.runContext(tm.t.Context(), args...)
}

func (tm *terminal) runContext(ctx context.Context, args ...string) result {
	tm.t.Helper()
	var out, errs shared
	s := &session{
		in: strings.NewReader(tm.in), out: &out, err: &errs, getenv: func(k string) string { return tm.env[k] },
		now: time.Now, version: "v1.2.3", outTerminal: tm.isatty, errTerminal: tm.isatty,
	}
	if tm.session != nil {
		tm.session(s)
	}
	defer s.close()
	code := s.main(ctx, args)
	return result{code, out.String(), errs.String()}
}

// shared is a buffer that a command writes while a test reads.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// want runs a command and compares its exit code and what it printed.
func (tm *terminal) want(code int, out string, args ...string) {
	tm.t.Helper()
	r := tm.run(args...)
	if r.code != code || r.out != out {
		tm.t.Errorf("godwit %s\nexit %d, out %q, err %q\nwant %d, %q", strings.Join(args, " "), r.code, r.out, r.err, code, out)
	}
}

// fields runs a command and returns its JSON.
func (tm *terminal) fields(code int, args ...string) map[string]any {
	tm.t.Helper()
	r := tm.run(append(args, "-o", "json")...)
	var out map[string]any
	if err := json.Unmarshal([]byte(r.out), &out); err != nil || r.code != code {
		tm.t.Fatalf("godwit %s: exit %d, out %q, err %q: %v", strings.Join(args, " "), r.code, r.out, r.err, err)
	}
	return out
}

// startCluster starts two datacenters of one node and returns a terminal that
// finds them, as it would find a demo.
func startCluster(t *testing.T) *terminal {
	t.Helper()
	return startDCs(t, 1, "use1-euw1=4ms", "use1", "euw1")
}

// startDCs starts datacenters with so many nodes each.
func startDCs(t *testing.T, nodes int, rtt string, names ...string) *terminal {
	t.Helper()
	tm, _ := startTerminal(t, emulated.Options{DCs: names, Nodes: nodes, Memory: true}, rtt)
	return tm
}

// startTerminal is startDCs for tests that reach behind the terminal.
func startTerminal(t *testing.T, o emulated.Options, rtt string) (*terminal, *emulated.Cluster) {
	t.Helper()
	dir := t.TempDir()
	rtts, err := wan.ParseRTTs(rtt, o.DCs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o.Dir, o.RTTs, o.Version = filepath.Join(dir, "nodes"), rtts, "test"
	c, err := emulated.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	tm := &terminal{t: t, env: map[string]string{"GODWIT_DEMO": filepath.Join(dir, "demo.json")}}
	tm.find(c)
	return tm, c
}

// find tells the terminal where everything listens now.
func (tm *terminal) find(c *emulated.Cluster) {
	tm.t.Helper()
	info := c.Info()
	if err := writeDemo(tm.env["GODWIT_DEMO"], &info); err != nil {
		tm.t.Fatal(err)
	}
}

// file writes a file of a test and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
