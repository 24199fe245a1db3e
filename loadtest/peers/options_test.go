package main

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions(strings.Fields("-rounds 2 -seconds 7 -keys 500 -value 64 -concurrency 1,8 -systems redis -workloads get,put -markdown -warmup 0 -etcd /bin/etcd"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.dir = ""
	want := options{
		rounds: 2, each: 7 * time.Second, keys: 500, value: 64, concurrency: []int{1, 8}, systems: []string{"redis"},
		workloads: []workload{get, put}, markdown: true, perClient: 16, binaries: map[string]string{"etcd": "/bin/etcd"},
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got %+v, want %+v", o, want)
	}
}

func TestParseOptionsAlone(t *testing.T) {
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 3 || o.each != 5*time.Second || o.keys != 100_000 || o.value != 128 || !reflect.DeepEqual(o.concurrency, []int{64, 256}) {
		t.Errorf("got %+v, want 3 rounds of 5 s, 100,000 keys of 128 B, 64 and 256 goroutines", o)
	}
	if got := strings.Join(o.systems, " "); got != "etcd nats redis" {
		t.Errorf("systems are %s, want etcd nats redis", got)
	}
	if o, err = parseOptions([]string{"-systems", ""}, io.Discard); err != nil || len(o.systems) != 0 {
		t.Errorf("no systems: got %v, %v, want godwit alone", o.systems, err)
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	tests := []struct{ args, want string }{
		{"-rounds 0", "-rounds 0 is not between 1 and 99"},
		{"-seconds 601", "-seconds 601 is not between 1 and 600"},
		{"-warmup -1s", "-warmup -1s is not between 0 and 600 s"},
		{"-value 15", "-value 15 is not between 16 and 1048576"},
		{"-keys 255", "-keys 255 is not between 256 and 10000000"},
		{"-per-client 0", "-per-client 0 is not between 1 and 4096"},
		{"-concurrency 0", "-concurrency 0 is not between 1 and 4096"},
		{"-concurrency 8,8", "-concurrency names 8 twice"},
		{"-concurrency many", `-concurrency "many": want numbers`},
		{"-concurrency ,", "name at least one"},
		{"-systems riak", `no system "riak": there are etcd, nats, redis`},
		{"-systems etcd,etcd", "-systems names etcd twice"},
		{"-workloads scan", `no workload "scan": there are put, get, incr`},
		{"-workloads get,get", "-workloads names get twice"},
		{"now", `no argument was expected, got "now"`},
		{"-fast", "not defined: -fast"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			if _, err := parseOptions(strings.Fields(tt.args), io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	_, err := parseOptions(strings.Fields("-rounds 0 -value 1"), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "-rounds") || !strings.Contains(err.Error(), "-value") {
		t.Errorf("got %v, want both wrong options named", err)
	}
	if _, err := parseOptions([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: got %v, want flag.ErrHelp", err)
	}
}

func TestClientsAreShared(t *testing.T) {
	o := options{perClient: 16}
	for goroutines, want := range map[int]int{1: 1, 16: 1, 17: 2, 64: 4, 256: 16} {
		if got := o.clients(goroutines); got != want {
			t.Errorf("%d goroutines share %d clients, want %d", goroutines, got, want)
		}
	}
}
