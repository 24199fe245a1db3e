package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// serving runs serve until stop, and returns where it serves clients.
func serving(t *testing.T, args ...string) (addr string, stop func()) {
	t.Helper()
	var out, log shared
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{in: strings.NewReader(""), out: &out, err: &log, getenv: func(string) string { return "" }, now: time.Now}
	code := make(chan int, 1)
	go func() { code <- s.main(ctx, append([]string{"serve"}, args...)) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if c := <-code; c != 0 {
			t.Errorf("serve %s ended with %d: %s", strings.Join(args, " "), c, log.String())
		}
		s.close()
	}
	t.Cleanup(stop)
	says := regexp.MustCompile(`msg=serving .*grpc=(\S+)`)
	for {
		if m := says.FindStringSubmatch(log.String()); m != nil {
			return m[1], stop
		}
		select {
		case c := <-code:
			cancel()
			stopped = true
			t.Fatalf("serve %s ended with %d: %s", strings.Join(args, " "), c, log.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// until asks again and again until the answer is as wanted.
func (tm *terminal) until(what string, is func() bool) {
	tm.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tm.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// roles lists what node list says, as in "use1-a:active".
func (tm *terminal) roles() (out string, moving bool) {
	tm.t.Helper()
	dc := tm.fields(0, "node", "list")["dcs"].([]any)[0].(map[string]any)
	var roles []string
	for _, n := range dc["nodes"].([]any) {
		n := n.(map[string]any)
		roles = append(roles, n["id"].(string)+":"+n["role"].(string))
	}
	return strings.Join(roles, " "), dc["moving"].(bool)
}

func TestANodeJoinsTheRunningCluster(t *testing.T) {
	key := file(t, "key", hex.EncodeToString(bytes.Repeat([]byte{9}, 32))+"\n")
	topologyFile := file(t, "one.yaml", oneNode)
	seed, _ := serving(t, "--topology", topologyFile, "--node", "use1-a", "--data", t.TempDir(), "--cluster-key-file", key)
	tm := &terminal{t: t, env: map[string]string{"GODWIT_ADDR": seed}}
	tm.want(0, "2\n", "incr", "hits", "2")

	join := []string{"--join", seed, "--dc", "use1", "--node", "use1-b", "--rack", "b", "--advertise", "127.0.0.1"}
	data := filepath.Join(t.TempDir(), "b")
	if r := tm.run(append([]string{"serve", "--data", data}, join...)...); r.code != 4 || !strings.Contains(r.err, "the cluster has a key: give --cluster-key-file") {
		t.Errorf("join without the key: exit %d, %s", r.code, r.err)
	}
	joined := append([]string{"--data", data, "--cluster-key-file", key}, join...)
	_, stop := serving(t, joined...)
	tm.until("use1-b waits to join", func() bool {
		roles, _ := tm.roles()
		return roles == "use1-a:active use1-b:candidate"
	})
	r := tm.run("node", "join", "use1-b")
	for _, want := range []string{
		"join use1-b, placement global, 256 partitions, copies of each: 1", "129 copies, about ", "the least possible is 128",
		"nothing was changed; to do it: godwit node join use1-b --commit --epoch 1",
	} {
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("node join: exit %d, %s%s; want %q", r.code, r.out, r.err, want)
		}
	}
	plan := tm.fields(0, "node", "join", "use1-b")
	if p := plan["placements"].([]any)[0].(map[string]any); plan["epoch"] != 1.0 || p["copies"] != 129.0 || len(p["flows"].([]any)) != 1 {
		t.Errorf("plan in JSON: %v", plan)
	}
	tm.want(6, "", "node", "join", "nobody")
	tm.want(6, "", "node", "leave", "use1-a")
	tm.want(6, "", "node", "join", "use1-b", "--commit", "--epoch", "7")
	tm.want(2, "", "node", "join", "use1-b", "--commit", "--plan")
	tm.want(2, "", "node", "weight", "use1-b", "heavy")
	tm.want(0, "epoch 2: join use1-b; data is moving; see status\n", "node", "join", "use1-b", "--commit", "--epoch", "1")
	settled := func() bool {
		roles, moving := tm.roles()
		return roles == "use1-a:active use1-b:active" && !moving
	}
	tm.until("use1-b owns its share", settled)

	// It starts again on its data, at other ports.
	stop()
	other, _ := serving(t, joined...)
	at := &terminal{t: t, env: map[string]string{"GODWIT_ADDR": other}}
	at.until("both answer again", func() bool { return at.run("incr", "hits", "0").code == 0 && at.run("get", "hits").out == "2\n" })
	tm.want(0, "epoch 5: leave use1-a; data is moving; see status\n", "node", "leave", "use1-a", "--commit")
	at.until("use1-a has left", func() bool {
		roles, moving := at.roles()
		return strings.HasPrefix(roles, "use1-b:active") && !moving
	})
	at.want(0, "2\n", "get", "hits")
}

func TestServeJoinNeedsAll(t *testing.T) {
	tm := &terminal{t: t, env: map[string]string{}}
	whole := []string{"serve", "--join", "127.0.0.1:1", "--dc", "eu", "--node", "n", "--advertise", "127.0.0.1", "--data", t.TempDir()}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{args: whole, code: 4, says: "join: seed 127.0.0.1:1"},
		{args: whole[:9], code: 2, says: "serve --join needs --data as well"},
		{args: append(whole, "--weight", "0"), code: 2, says: "--weight 0: 0.001 to 1000"},
		{args: append(whole, "--topology", "x"), code: 2, says: "give --topology or --join"},
		{args: append(whole, "--advertise", "h:0"), code: 2, says: "with a port from 1 to 65531"},
		{args: append(whole, "--cluster-key-file", os.DevNull), code: 2, says: "want 32 bytes"},
		{args: []string{"serve"}, code: 2, says: "or --join HOST:PORT"},
		{args: []string{"serve", "--topology", "x", "--node", "y", "--rack", "z"}, code: 2, says: "--rack goes with --join"},
	} {
		if r := tm.run(tt.args...); r.code != tt.code || !strings.Contains(r.err, tt.says) {
			t.Errorf("godwit %s: exit %d, %q; want %d, %q", strings.Join(tt.args, " "), r.code, r.err, tt.code, tt.says)
		}
	}
}
