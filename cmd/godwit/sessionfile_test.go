package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A session goes on in another datacenter, where what it wrote has yet to arrive.
func TestSessionFile(t *testing.T) {
	tm := startDCs(t, 1, "use1-euw1=120ms", "use1", "euw1")
	file := filepath.Join(t.TempDir(), "session")
	for i := range 5 {
		v := fmt.Sprint("v", i)
		if r := tm.run("put", "k", v, "--dc", "use1", "--session", file); r.code != 0 {
			t.Fatalf("put: %v", r)
		}
		tm.want(0, v+"\n", "get", "k", "--dc", "euw1", "--session", file)
	}
	tm.want(0, "1\n", "del", "k", "--dc", "euw1", "--session", file)
	tm.want(3, "", "get", "k", "--dc", "use1", "--session", file)
	tm.want(3, "", "get", "k", "--dc", "euw1", "--session", file)

	if r := tm.run("wan", "cut", "use1", "euw1"); r.code != 0 {
		t.Fatalf("cut: %v", r)
	}
	tm.run("incr", "hits", "--dc", "use1", "--session", file)
	if r := tm.run("get", "hits", "--dc", "euw1", "--session", file, "--timeout", "300ms"); r.code != 6 || !strings.Contains(r.err, "use1/use1-a:") || !strings.Contains(r.err, "CAUSALITY_BEHIND") {
		t.Errorf("while the link is cut: %v, want exit 6 and what is missing", r)
	}
	tm.want(3, "", "get", "hits", "--dc", "euw1")
	if r := tm.run("wan", "heal"); r.code != 0 {
		t.Fatalf("heal: %v", r)
	}

	if err := os.WriteFile(file, []byte("no session"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := tm.run("get", "k", "--session", file); r.code != 2 || !strings.Contains(r.err, "remove the file") {
		t.Errorf("with a damaged file: %v, want exit 2 and the way out", r)
	}
}
