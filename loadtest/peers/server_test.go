package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell returns a system of one server that a shell runs.
func shell(t *testing.T, script string) *system {
	t.Helper()
	p := &server{name: "shell-0", binary: "/bin/sh", args: []string{"-c", script}, log: filepath.Join(t.TempDir(), "log")}
	s := &system{name: "shell", servers: []*server{p}}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestServerThatDoesNotStartShowsItsLog(t *testing.T) {
	s := shell(t, "for i in $(seq 1 40); do echo line $i; done; echo no such option >&2; exit 3")
	err := s.start(t.Context(), func(context.Context) error { return errors.New("nobody listens") })
	if err == nil {
		t.Fatal("a server that ended has started")
	}
	for _, want := range []string{"start shell: shell-0 ended by itself: exit status 3", "    line 40\n    no such option"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "line 26\n") || !strings.Contains(err.Error(), "line 27\n") {
		t.Errorf("got %q, want its last 15 lines", err)
	}
}

func TestServerIsNotThere(t *testing.T) {
	s := shell(t, "")
	s.servers[0].binary = "/nowhere/etcd"
	if err := s.start(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "start shell-0") {
		t.Errorf("got %v, want an error that names shell-0", err)
	}
}

func TestServerStartsAndStops(t *testing.T) {
	for name, script := range map[string]string{
		"ends by the signal": "touch up; exec sleep 60",
		"ends well":          "trap 'kill $!; exit 0' TERM; touch up; sleep 60 & wait",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := shell(t, "cd "+dir+"; "+script)
			err := s.start(t.Context(), func(context.Context) error {
				_, err := os.Stat(filepath.Join(dir, "up"))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.cpu(); err != nil {
				t.Errorf("cpu: %v", err)
			}
			if err := s.stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
			if _, err := s.cpu(); err == nil || !strings.Contains(err.Error(), "does not run") {
				t.Errorf("cpu of a server that was stopped: %v", err)
			}
		})
	}
}

func TestServerThatEndsBadlyIsReported(t *testing.T) {
	dir := t.TempDir()
	p := &server{name: "bad-0", binary: "/bin/sh", log: filepath.Join(dir, "log"), args: []string{"-c", "trap 'kill $!; echo disk full; exit 9' TERM; touch " + dir + "/up; sleep 60 & wait"}}
	s := &system{name: "bad", servers: []*server{p}}
	if err := s.start(t.Context(), func(context.Context) error {
		_, err := os.Stat(filepath.Join(dir, "up"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	err := s.stop()
	if err == nil || !strings.Contains(err.Error(), "bad-0 was asked to end: exit status 9") || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v, want its exit code and its log", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	s := shell(t, "exec sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	err := s.start(ctx, func(context.Context) error {
		cancel()
		return errors.New("not yet")
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestParseStat(t *testing.T) {
	const stat = "4242 (odd) name (x) S 1 4242 4242 0 -1 4194560 900 11 0 0 250 50 7 3 20 0 12 0 8000 99 88"
	got, err := parseStat(stat)
	if want := 3100 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "1 (x) S 1 2 3", strings.Replace(stat, " 250 ", " much ", 1)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if p < 1024 || seen[p] {
			t.Errorf("ports %v: %d is not a good one", ports, p)
		}
		seen[p] = true
	}
	if got := loopback(7101); got != "127.0.0.1:7101" {
		t.Errorf("got %s", got)
	}
}
