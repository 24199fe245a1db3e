package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const oneNode = `version: 1
cluster: one
datacenters:
  - name: use1
    nodes:
      - {id: use1-a, rack: a, advertise: 127.0.0.1}
`

func TestServeUntilInterrupted(t *testing.T) {
	var out, log shared
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &session{in: strings.NewReader(""), out: &out, err: &log, getenv: os.Getenv, now: time.Now}
	defer s.close()
	code := make(chan int, 1)
	topologyFile, data := file(t, "one.yaml", oneNode), t.TempDir()
	go func() {
		code <- s.main(ctx, []string{"serve", "--topology", topologyFile, "--node", "use1-a", "--data", data})
	}()
	serving := regexp.MustCompile(`msg=serving .*grpc=(\S+)`)
	for serving.FindString(log.String()) == "" {
		select {
		case c := <-code:
			t.Fatalf("serve ended with %d: %s", c, log.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	tm := &terminal{t: t, env: map[string]string{"GODWIT_ADDR": serving.FindStringSubmatch(log.String())[1]}}
	tm.want(0, "2\n", "incr", "hits", "2")
	if f := tm.fields(0, "verify"); f["equal"] != true || len(f["pairs"].([]any)) != 0 {
		t.Errorf("verify of one datacenter: %v", f)
	}
	tm.want(6, "", "wan", "cut", "use1")
	cancel()
	if c := <-code; c != 0 || out.String() != "" {
		t.Errorf("serve ended with %d, out %q: want 0 and nothing; log %s", c, out.String(), log.String())
	}
}

func TestServeRefusesSizes(t *testing.T) {
	topologyFile := file(t, "one.yaml", oneNode)
	for _, size := range [][2]string{{"--cache", "1KiB"}, {"--cache", "much"}, {"--log-bytes", "1KiB"}, {"--log-bytes", "-1GiB"}} {
		var out, log shared
		s := &session{in: strings.NewReader(""), out: &out, err: &log, getenv: os.Getenv, now: time.Now}
		args := []string{"serve", "--topology", topologyFile, "--node", "use1-a", "--data", t.TempDir(), size[0] + "=" + size[1]}
		if code := s.main(t.Context(), args); code != 2 || !strings.Contains(log.String(), size[0]) {
			t.Errorf("%s %s: exit %d, %s; want 2, and the flag named", size[0], size[1], code, log.String())
		}
		s.close()
	}
}

// A command under way at the prompt takes the interrupt; else the process does.
func TestInterruptEndsTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{}
		if s.interrupt() {
			t.Error("an idle prompt takes the interrupt")
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.running.Store(&cancel)
		go s.interrupt()
		if pause(ctx, time.Hour) {
			t.Error("the command was not ended")
		}
	})
}
