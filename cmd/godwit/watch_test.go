package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWatchCommand(t *testing.T) {
	tm := startCluster(t)
	cursor := filepath.Join(t.TempDir(), "cursor")
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan result, 1)
	go func() {
		done <- tm.runContext(ctx, "watch", "user:", "--cursor-file", cursor, "--count", "1", "--values")
	}()
	var r result
	for at := time.Now(); r.code == 0 && r.out == ""; { // until the watch has begun, and sees one
		tm.want(0, "", "put", "user:1", "tea")
		tm.want(0, "", "put", "other", "x")
		select {
		case r = <-done:
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(at) > 20*time.Second {
			t.Fatal("the watch tells nothing")
		}
	}
	interrupt()
	if line, _, _ := strings.Cut(r.out, "\n"); r.code != 0 || line != "register\tuser:1\ttea" {
		t.Errorf("exit %d, printed %q, %q", r.code, r.out, r.err)
	}
	if _, err := os.Stat(cursor); err != nil {
		t.Fatal(err)
	}
	tm.want(0, "", "put", "user:2", "milk")
	tm.want(0, "1\n", "del", "user:1")
	r = tm.run("watch", "user:", "--cursor-file", cursor, "--count", "2", "-o", "json")
	lines := bufio.NewScanner(strings.NewReader(r.out))
	seen := map[string]bool{}
	for lines.Scan() {
		line := lines.Text()
		head, _, _ := strings.Cut(line, `,"dc"`)
		seen[head] = true
	}
	if r.code != 0 || !seen[`{"key":"user:2","kind":"register"`] || !seen[`{"key":"user:1","deleted":true`] {
		t.Errorf("behind the cursor: exit %d, %q, %q", r.code, r.out, r.err)
	}
	if r := tm.run("watch", "--from", "AAAA"); r.code != 2 || !strings.Contains(r.err, "BAD_CURSOR") {
		t.Errorf("with a bad cursor: exit %d, %q", r.code, r.err)
	}
	ctx, interrupt = context.WithCancel(t.Context())
	go func() { done <- tm.runContext(ctx, "watch") }()
	time.AfterFunc(1500*time.Millisecond, interrupt)
	if r := <-done; r.code != 0 || !strings.HasPrefix(r.err, "go on with --from ") {
		t.Errorf("an interrupted watch: exit %d, %q", r.code, r.err)
	}
}
