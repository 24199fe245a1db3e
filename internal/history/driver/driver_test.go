package driver_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client/clienttest"
	"github.com/godwitdb/godwit/internal/history"
	"github.com/godwitdb/godwit/internal/history/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type world struct {
	cluster *clienttest.Cluster
	opts    driver.Options
	out     *bytes.Buffer
}

func start(t *testing.T, o clienttest.Options) *world {
	t.Helper()
	cluster := clienttest.Start(o)
	t.Cleanup(cluster.Close)
	clients, err := cluster.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range clients {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	out := &bytes.Buffer{}
	return &world{cluster: cluster, out: out, opts: driver.Options{Clients: clients, Recorder: history.NewRecorder(out), Seed: 7}}
}

// finish reads what the run left behind.
func (w *world) finish(t *testing.T) ([]*history.Record, history.State) {
	t.Helper()
	records, err := history.ReadAll(w.out, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := driver.KeysOf(w.opts)
	if err != nil {
		t.Fatal(err)
	}
	state, err := driver.FinalState(t.Context(), w.opts.Clients, "default", keys)
	if err != nil {
		t.Fatal(err)
	}
	return records, state
}

func TestFaultlessRunPasses(t *testing.T) {
	w := start(t, clienttest.Options{DCs: []string{"use1", "euw1"}, Nodes: 2})
	w.opts.Ops, w.opts.Keys = 403, 3
	totals, err := driver.Run(t.Context(), w.opts)
	if err != nil || totals != (driver.Totals{Acked: 403}) {
		t.Fatalf("totals %+v, %v", totals, err)
	}
	records, state := w.finish(t)
	if r := history.Check(records, state); !r.OK() || r.Acked != 403 {
		t.Errorf("report %v", r)
	}
	ops := map[history.Op]bool{}
	dcs := map[string]bool{}
	for _, rec := range records {
		ops[rec.Op], dcs[rec.DC] = true, true
		if rec.Dot == nil || rec.Node == "" || rec.Tries != 1 {
			t.Fatalf("record %+v", rec)
		}
	}
	if len(ops) != 4 || len(dcs) != 2 {
		t.Errorf("operations %v in %v", ops, dcs)
	}
}

// TestPlantedFaultIsFound doubles one acknowledged increment.
func TestPlantedFaultIsFound(t *testing.T) {
	w := start(t, clienttest.Options{})
	w.opts.Ops, w.opts.Keys, w.opts.Mix = 50, 1, driver.Mix{Incr: 1}
	if _, err := driver.Run(t.Context(), w.opts); err != nil {
		t.Fatal(err)
	}
	if _, err := w.opts.Clients[0].Incr(t.Context(), "run:counter:0", 1); err != nil {
		t.Fatal(err)
	}
	records, state := w.finish(t)
	if r := history.Check(records, state); len(r.Phantom) != 1 || len(r.Lost) != 0 {
		t.Errorf("report %v", r)
	}
}

// TestFaultsAreInTheHistory: connections break, answers are lost, requests are
// refused, and the history of it all is still one that the state agrees with.
func TestFaultsAreInTheHistory(t *testing.T) {
	w := start(t, clienttest.Options{DCs: []string{"use1", "euw1"}, Nodes: 2})
	for _, dc := range []string{"use1", "euw1"} {
		for i := range 2 {
			w.cluster.Node(dc, i).Misbehave(func(c clienttest.Call) clienttest.Fault {
				switch c.N % 17 {
				case 3:
					return clienttest.Fault{Break: true}
				case 7:
					return clienttest.Fault{After: clienttest.Refuse(codes.Internal, "BUG", "after the fact")}
				case 11:
					return clienttest.Fault{Before: clienttest.Refuse(codes.ResourceExhausted, "DISK_LOW", "full")}
				case 13:
					return clienttest.Fault{Before: clienttest.Refuse(codes.Unavailable, "NO_OWNER", "nobody")}
				}
				return clienttest.Fault{}
			})
		}
	}
	w.opts.Ops, w.opts.Keys, w.opts.Timeout = 600, 3, 2*time.Second
	totals, err := driver.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if totals.Acked+totals.Failed+totals.Unknown != 600 || totals.Failed == 0 || totals.Unknown == 0 || totals.LastError == nil {
		t.Errorf("totals %+v", totals)
	}
	for _, dc := range []string{"use1", "euw1"} {
		for i := range 2 {
			w.cluster.Node(dc, i).Misbehave(nil)
		}
	}
	records, state := w.finish(t)
	if r := history.Check(records, state); !r.OK() {
		t.Errorf("report %v", r)
	}
}

// TestSeedFixesTheOperations: what each worker asks for, not how they interleave.
func TestSeedFixesTheOperations(t *testing.T) {
	ops := func(seed uint64) []string {
		w := start(t, clienttest.Options{DCs: []string{"use1", "euw1"}})
		w.opts.Ops, w.opts.Seed = 100, seed
		if _, err := driver.Run(t.Context(), w.opts); err != nil {
			t.Fatal(err)
		}
		records, _ := w.finish(t)
		var lines []string
		for _, rec := range records {
			lines = append(lines, fmt.Sprint(rec.Client, rec.Op, rec.Key, rec.Arg, rec.N))
		}
		slices.Sort(lines)
		return lines
	}
	a, b, c := ops(1), ops(1), ops(2)
	if !slices.Equal(a, b) {
		t.Error("one seed, two runs")
	}
	if slices.Equal(a, c) {
		t.Error("two seeds, one run")
	}
}

func TestRunEndsWithItsTime(t *testing.T) {
	w := start(t, clienttest.Options{})
	w.opts.Duration = 30 * time.Millisecond
	totals, err := driver.Run(t.Context(), w.opts)
	if err != nil || totals.Acked == 0 || totals.Failed+totals.Unknown != 0 {
		t.Errorf("totals %+v, %v", totals, err)
	}
}

func TestRunEndsWhenStopped(t *testing.T) {
	w := start(t, clienttest.Options{})
	stop := make(chan struct{})
	w.opts.Stop = stop
	time.AfterFunc(30*time.Millisecond, func() { close(stop) })
	totals, err := driver.Run(t.Context(), w.opts)
	if err != nil || totals.Acked == 0 || totals.Failed+totals.Unknown != 0 {
		t.Errorf("totals %+v, %v", totals, err)
	}
}

func TestWaitEqual(t *testing.T) {
	w := start(t, clienttest.Options{DCs: []string{"use1", "euw1"}, Apart: true})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := w.opts.Clients[0].SAdd(ctx, "s", []string{"x"}); err != nil {
		t.Fatal(err)
	}
	for wait := 20 * time.Millisecond; ; wait *= 2 { // long enough for one look
		short, cancelShort := context.WithTimeout(ctx, wait)
		state, err := driver.WaitEqual(short, w.opts.Clients, "default", []string{"s"}, time.Millisecond)
		cancelShort()
		if err == nil && !history.CheckEqual(nil, state).OK() {
			break
		}
		if err == nil || ctx.Err() != nil {
			t.Fatalf("parted: %v, %v", state, err)
		}
	}
	done := make(chan error)
	go func() {
		_, err := w.opts.Clients[1].SAdd(ctx, "s", []string{"x"})
		done <- err
	}()
	state, err := driver.WaitEqual(ctx, w.opts.Clients, "default", []string{"s"}, time.Millisecond)
	if err != nil || !history.CheckEqual(nil, state).OK() || len(state["euw1"]) != 1 {
		t.Errorf("equal: %v, %v", state, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := driver.Run(t.Context(), driver.Options{Workers: -1, Mix: driver.Mix{SRem: 1}})
	for _, want := range []string{"no clients", "no recorder", "-1 workers", "something must be written"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run() = %v, want %q in it", err, want)
		}
	}
}
