package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// twoSystems are godwit with both ways of asking it, a peer without counters and
// an echo, none of them with servers.
func twoSystems() []*system {
	nobody := func(context.Context, int) (session, error) { return newFake(), nil }
	e := &system{name: echoName, version: "1.0"}
	e.ways = []*way{{name: echoName, system: e, workloads: []workload{echo}, only: 64, open: nobody}}
	g := &system{name: godwitName, version: "2.0", settings: []string{"three nodes"}}
	g.ways = []*way{
		{name: godwitName, system: g, workloads: workloads(), open: nobody},
		{name: godwitUnary, system: g, workloads: workloads(), only: 64, open: nobody},
	}
	p := &system{name: etcdName, version: "3.0"}
	p.ways = []*way{{name: etcdName, system: p, workloads: []workload{put, get}, open: nobody}}
	return []*system{e, g, p}
}

func names(turns []turn) string {
	var out []string
	for _, t := range turns {
		out = append(out, fmt.Sprintf("%s/%s/%d", t.workload, t.way.name, t.concurrency))
	}
	return strings.Join(out, " ")
}

func TestTurnsTakeSystemsByTurns(t *testing.T) {
	all := turns(twoSystems(), []workload{put, incr}, []int{64, 8})
	want := "echo/gRPC echo/64 put/godwit/64 put/godwit unary/64 put/etcd/64 incr/godwit/64 incr/godwit unary/64 put/godwit/8 put/etcd/8 incr/godwit/8"
	if got := names(all); got != want {
		t.Errorf("turns\n%s, want\n%s", got, want)
	}
	if got := names(rotated(all, 0)); got != want {
		t.Errorf("first round\n%s, want\n%s", got, want)
	}
	want = "echo/gRPC echo/64 put/godwit unary/64 put/etcd/64 put/godwit/64 incr/godwit unary/64 incr/godwit/64 put/etcd/8 put/godwit/8 incr/godwit/8"
	if got := names(rotated(all, 1)); got != want {
		t.Errorf("second round\n%s, want\n%s", got, want)
	}
}

// measured is a run of two rounds with figures that were written by hand.
func measured() *bench {
	b := &bench{opts: options{rounds: 2, each: 5 * time.Second, warmup: time.Second, keys: 1000, value: 128, concurrency: []int{64}}}
	b.systems, b.idle = twoSystems(), map[string]float64{godwitName: 0.051}
	rates := map[string][]int64{
		"echo/gRPC echo": {40_000, 40_000}, "put/godwit": {10_000, 20_000}, "put/godwit unary": {6_000, 5_000}, "put/etcd": {5_000, 4_000},
		"get/godwit": {30_000, 30_000}, "get/godwit unary": {25_000, 25_000}, "get/etcd": {25_000, 25_000},
	}
	for _, t := range turns(b.systems, []workload{put, get}, b.opts.concurrency) {
		r := row{turn: t, samples: rated(rates[fmt.Sprintf("%s/%s", t.workload, t.way.name)]...)}
		for i := range r.samples {
			s := &r.samples[i]
			s.cpu, s.client = time.Duration(s.ops)*50*time.Microsecond, time.Duration(s.ops)*20*time.Microsecond
			record(s.times, 5*time.Millisecond)
			if t.workload == put {
				s.faults.read = 600
			}
		}
		b.rows = append(b.rows, r)
	}
	return b
}

const wantMarkdown = `|  | system | ops/s | p50 | p99 | servers' CPU | clients' CPU | / echo | godwit / it | unary / it |
| --- | --- | ---:| ---:| ---:| ---:| ---:| ---:| ---:| ---:|
| echo | gRPC echo | 40,000 (40,000..40,000) | 5.02 ms | 5.02 ms | 50 µs | 20 µs |  |  |  |
| put | godwit | 15,000 (10,000..20,000) | 5.02 ms | 5.02 ms | 50 µs | 20 µs | 0.38 (0.25..0.50) |  |  |
| put | godwit unary | 5,500 (5,000..6,000) | 5.02 ms | 5.02 ms | 50 µs | 20 µs | 0.14 (0.12..0.15) |  |  |
| put | etcd | 4,500 (4,000..5,000) | 5.02 ms | 5.02 ms | 50 µs | 20 µs | 0.11 (0.10..0.12) | 3.50 (2.00..5.00) | ~1.23 (1.20..1.25) |
| get | godwit | 30,000 (30,000..30,000) | 5.02 ms | 5.02 ms | 50 µs | 20 µs | 0.75 (0.75..0.75) |  |  |
| get | godwit unary | 25,000 (25,000..25,000) | 5.02 ms | 5.02 ms | 50 µs | 20 µs | 0.62 (0.62..0.62) |  |  |
| get | etcd | 25,000 (25,000..25,000) | 5.02 ms | 5.02 ms | 50 µs | 20 µs | 0.62 (0.62..0.62) | ~1.20 (1.20..1.20) | ~1.00 (1.00..1.00) |`

func TestTable(t *testing.T) {
	b := measured()
	b.opts.markdown = true
	if got := b.table(b.rows, 64); got != wantMarkdown {
		t.Errorf("got\n%s\nwant\n%s", got, wantMarkdown)
	}
	b.opts.markdown = false
	if got := b.table(b.rows, 64); !strings.Contains(got, "│ put  │ etcd         │    4,500 (4,000..5,000) │") {
		t.Errorf("as text:\n%s", got)
	}
}

func TestPrint(t *testing.T) {
	b := measured()
	var out bytes.Buffer
	m := machine{date: "2026-01-02 03:04 UTC", model: "a processor", cores: 2, kernel: "6.1", sync: 90 * time.Microsecond, load: []string{"1.00", "3.00"}}
	b.print(&out, m)
	for _, want := range []string{
		"2 cores of a processor", "fdatasync of 4 KiB p50 90 µs, load average 1.00 before, 3.00 after", "1000 keys of 128 B",
		"godwit: 2.0 (idle: 5.1% of a core)", "three nodes", "64 goroutines", "every value of 160,000 gets, and 3,600 keys read again",
		"No call returned an error",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if err := b.broken(); err != nil {
		t.Errorf("nothing is broken, got %v", err)
	}
}

func TestFaultsAreShown(t *testing.T) {
	b := measured()
	find(b.rows, etcdName, put, 64).samples[1].faults = faults{errors: 3, late: 1, first: errors.New("no leader")}
	var out bytes.Buffer
	b.print(&out, machine{})
	if want := "put of etcd with 64 goroutines, 3 errors, 1 writes seen late; the first: no leader"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
	if err := b.broken(); err != nil {
		t.Errorf("what a peer gets wrong fails the run: %v", err)
	}
	find(b.rows, godwitUnary, put, 64).samples[0].faults = faults{lost: 2, first: errors.New("key 7 holds nothing")}
	if err := b.broken(); err == nil || !strings.Contains(err.Error(), "put of godwit unary with 64 goroutines: 0 reads wrong, 2 writes lost, the first: key 7") {
		t.Errorf("got %v, want the lost writes of godwit", err)
	}
}

func TestMeasureRunsEveryTurnOfEveryRound(t *testing.T) {
	b := &bench{opts: options{rounds: 2, each: 20 * time.Millisecond, keys: 64, value: 16, concurrency: []int{64}}, systems: twoSystems(), names: newKeyNames(64), say: io.Discard}
	b.opts.workloads = []workload{put}
	for _, s := range b.systems {
		s.book, s.counters = newBook(64), newBook(64)
	}
	if err := b.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.rows) != 4 {
		t.Fatalf("%d rows, want 4", len(b.rows))
	}
	for _, r := range b.rows {
		if len(r.samples) != 2 {
			t.Errorf("%d rounds of %s %s, want 2", len(r.samples), r.turn.workload, r.turn.way.name)
		}
	}
}

func TestCount(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}

func TestRunRefusesWrongOptions(t *testing.T) {
	var errs bytes.Buffer
	if code := run(t.Context(), []string{"-rounds", "0"}, io.Discard, &errs); code != exitUsage || !strings.Contains(errs.String(), "-rounds 0") {
		t.Errorf("code %d, %s, want 2 and the option", code, errs.String())
	}
	errs.Reset()
	if code := run(t.Context(), []string{"-h"}, io.Discard, &errs); code != exitOK || !strings.Contains(errs.String(), "-markdown") {
		t.Errorf("code %d, %s, want 0 and the usage", code, errs.String())
	}
	errs.Reset()
	if code := run(t.Context(), []string{"-dir", "/nowhere"}, io.Discard, &errs); code != exitFailed || !strings.Contains(errs.String(), "/nowhere") {
		t.Errorf("code %d, %s, want 1 and the directory", code, errs.String())
	}
}

func TestBinaryTellsItsVersion(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return file
	}
	l := &lab{opts: options{binaries: map[string]string{
		redisName: script("redis", "echo Redis server v=7.0.15 sha=00000000:0 build=1; echo more"), natsName: script("nats", "echo unknown option >&2; exit 1"),
		etcdName: filepath.Join(dir, "none"),
	}}}
	if _, version, err := l.binary(t.Context(), redisName, "--version"); err != nil || version != "Redis server v=7.0.15" {
		t.Errorf("got %q, %v", version, err)
	}
	if _, _, err := l.binary(t.Context(), natsName, "--version"); err == nil || !strings.Contains(err.Error(), "unknown option") {
		t.Errorf("got %v, want what it said", err)
	}
	if _, _, err := l.binary(t.Context(), etcdName, "--version"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("got %v, want the file", err)
	}
}

func TestEcho(t *testing.T) {
	ports, err := freePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveEcho(ctx, loopback(ports[0])) }()
	e, err := openEcho(loopback(ports[0]))
	if err != nil {
		t.Fatal(err)
	}
	// The server may not listen yet.
	for began := time.Now(); time.Since(began) < 20*time.Second; {
		if err = e.put(ctx, "key", make([]byte, 128)); err == nil || pause(ctx, readyPoll) != nil {
			break
		}
	}
	if err != nil {
		t.Errorf("put: %v", err)
	}
	cancel()
	if err := errors.Join(e.close(), <-ended); err != nil {
		t.Errorf("end: %v", err)
	}
}
