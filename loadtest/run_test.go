package loadtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
	"github.com/godwitdb/godwit/loadtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster in memory and the options of a short run against it.
type world struct {
	cluster *clienttest.Cluster
	loser   *loser
	opts    loadtest.Options
}

func start(t *testing.T, workload string, o clienttest.Options) *world {
	t.Helper()
	cluster := clienttest.Start(o)
	t.Cleanup(cluster.Close)
	lose := &loser{}
	var clients []*client.Client
	for _, dc := range o.DCs {
		co := cluster.Options(dc)
		co.Transport = client.Unary // whose calls the loser sees
		co.DialOptions = append(co.DialOptions, grpc.WithChainUnaryInterceptor(lose.intercept))
		c, err := client.Open(t.Context(), co)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	w, ok := loadtest.Preset(workload)
	if !ok {
		t.Fatalf("no workload %s", workload)
	}
	w.Keys = 50
	return &world{cluster: cluster, loser: lose, opts: loadtest.Options{
		Clients: clients, Workload: w, Concurrency: 4, Duration: 300 * time.Millisecond, Warmup: 100 * time.Millisecond,
		Quiet: 100 * time.Millisecond, Probe: 20 * time.Millisecond, Settle: 20 * time.Second, Seed: 7, Check: true, Name: "test",
	}}
}

func twoDCs() clienttest.Options { return clienttest.Options{DCs: []string{"use1", "euw1"}} }

// Every preset keeps its promises on a cluster that keeps its own.
func TestPresetsPass(t *testing.T) {
	for _, name := range loadtest.PresetNames() {
		t.Run(name, func(t *testing.T) {
			w := start(t, name, twoDCs())
			r, err := loadtest.Run(t.Context(), w.opts)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Check.OK() || !r.Check.Converged {
				t.Errorf("check %+v", r.Check)
			}
			if name != "c" && r.Check.Acked == 0 {
				t.Error("nothing was written")
			}
			ops := map[string]int64{}
			for _, o := range r.Operations {
				ops[o.Op] += o.Count
				if o.Errors != 0 || o.Count > 0 && !(o.Latency.P50 > 0 && o.Latency.P50 <= o.Latency.P99 && o.Latency.P99 <= o.Latency.Max) {
					t.Errorf("operation %+v", o)
				}
			}
			for _, o := range w.opts.Workload.Operations {
				if o.Weight >= 40 && ops[o.Op] == 0 {
					t.Errorf("no %s in %v", o.Op, ops)
				}
			}
			if len(r.Pairs) != 2 || r.Pairs[0].From != "use1" || r.Pairs[0].To != "euw1" || r.Pairs[0].OneWayMS != nil {
				t.Errorf("pairs %+v", r.Pairs)
			}
			for _, p := range r.Pairs {
				if p.Phases[loadtest.PhaseLoad].Probes == 0 || p.Unseen != 0 {
					t.Errorf("pair %+v", p)
				}
			}
		})
	}
}

// Every operation that a mix may have can be carried out.
func TestEveryOperation(t *testing.T) {
	w := start(t, "a", twoDCs())
	w.opts.Workload.Operations = nil
	for _, name := range loadtest.OperationNames() {
		w.opts.Workload.Operations = append(w.opts.Workload.Operations, loadtest.Operation{Op: name, Weight: 1})
	}
	r, err := loadtest.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]int64{}
	for _, o := range r.Operations {
		done[o.Op] += o.Count
		if o.Errors > 0 {
			t.Errorf("%s: %v", o.Op, o.Reasons)
		}
	}
	if len(done) != len(loadtest.OperationNames()) || done["zrange"]+done["pfcount"]+done["flag-get"] == 0 {
		t.Errorf("operations %v", done)
	}
}

// fake is a cluster whose links are said to be so and whose equality is given.
type fake struct {
	mu      sync.Mutex
	changes []string
	equal   int // the look that finds all equal
}

func (f *fake) Links(context.Context) ([]loadtest.Link, error) {
	return []loadtest.Link{{From: "use1", To: "euw1", Latency: 3 * time.Millisecond}, {From: "euw1", To: "use1", Latency: 3 * time.Millisecond}}, nil
}

func (f *fake) SetLink(_ context.Context, ch loadtest.LinkChange) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, string(ch.State)+" "+ch.From+"-"+ch.To)
	return nil
}
func (f *fake) StopNode(context.Context, string) error  { return errors.New("no such thing") }
func (f *fake) StartNode(context.Context, string) error { return nil }

func (f *fake) Equal(context.Context) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.equal--
	return f.equal <= 0, nil
}

func TestFaultsAreCarriedOutAndUndone(t *testing.T) {
	w := start(t, "counters", twoDCs())
	f := &fake{equal: 3}
	w.opts.Cluster = f
	w.opts.Faults = []loadtest.Fault{
		{At: 50 * time.Millisecond, What: loadtest.FaultCut, From: "use1", To: "euw1"},
		{At: 100 * time.Millisecond, What: loadtest.FaultKill, Node: "use1-a"},
	}
	r, err := loadtest.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.changes) < 2 || f.changes[0] != "cut use1-euw1" || f.changes[1] != "up -" {
		t.Errorf("links were changed: %v", f.changes)
	}
	var what []string
	for _, e := range r.Faults {
		what = append(what, e.What+e.Error)
	}
	if got := strings.Join(what, "|"); got != "cut use1 ↔ euw1|kill use1-ano such thing|heal all links (end of load)" {
		t.Errorf("faults %s", got)
	}
	if last := r.Faults[2]; last.CaughtUpMS == nil || !r.Check.Converged || r.Check.ConvergedAfterMS <= 0 {
		t.Errorf("the last heal %+v, check %+v", last, r.Check)
	}
	if !slices.ContainsFunc(r.Warnings, func(s string) bool { return strings.Contains(s, "was not carried out") }) {
		t.Errorf("warnings %q", r.Warnings)
	}
	if p := r.Pairs[0]; p.OneWayMS == nil || *p.OneWayMS != 3 || p.Phases[loadtest.PhaseFault].Probes == 0 {
		t.Errorf("pair %+v", p)
	}
}

// Replicas that never become equal do not pass, whatever keys hold.
func TestNoConvergence(t *testing.T) {
	w := start(t, "counters", twoDCs())
	w.opts.Cluster, w.opts.Settle = &fake{equal: 1 << 30}, 200*time.Millisecond
	r, err := loadtest.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Check.OK() || r.Check.Converged || !strings.Contains(strings.Join(r.Check.Findings, " "), "were not equal after 200ms") {
		t.Errorf("check %+v", r.Check)
	}
}

// In an open loop a stall is charged to everything that was due meanwhile: a
// server that hangs for half of the run makes the median as long as that.
func TestNoCoordinatedOmission(t *testing.T) {
	w := start(t, "counters", clienttest.Options{DCs: []string{"use1"}})
	w.opts.Check, w.opts.Rate, w.opts.Concurrency, w.opts.Timeout = false, 200, 1, time.Second
	w.opts.Duration, w.opts.Warmup, w.opts.Quiet = 600*time.Millisecond, -1, -1
	w.cluster.Node("use1", 0).Misbehave(func(c clienttest.Call) clienttest.Fault {
		return clienttest.Fault{Hang: c.N == 5}
	})
	r, err := loadtest.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	// One worker hangs until its timeout, which lies behind the end.
	if r.Late < 100 || len(r.Warnings) == 0 || !strings.Contains(r.Warnings[0], "were due and not begun") {
		t.Errorf("late %d, warnings %q", r.Late, r.Warnings)
	}
}

func TestErrorsAreCounted(t *testing.T) {
	w := start(t, "counters", clienttest.Options{DCs: []string{"use1"}})
	w.cluster.Node("use1", 0).Misbehave(func(c clienttest.Call) clienttest.Fault {
		if c.Method == "Update" && c.N%3 == 0 {
			return clienttest.Fault{Before: clienttest.Refuse(codes.ResourceExhausted, "DISK_LOW", "full")}
		}
		return clienttest.Fault{}
	})
	r, err := loadtest.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if o := r.Operations[0]; o.Errors == 0 || o.Reasons["DISK_LOW"] != o.Errors {
		t.Errorf("operation %+v", o)
	}
	if r.Check.Failed == 0 || !r.Check.OK() {
		t.Errorf("check %+v", r.Check)
	}
}

func TestInterruptedRunIsReported(t *testing.T) {
	w := start(t, "counters", clienttest.Options{DCs: []string{"use1"}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.opts.Duration = time.Hour
	w.opts.Progress = func(p loadtest.Progress) {
		if p.Phase == loadtest.PhaseLoad {
			cancel()
		}
	}
	r, err := loadtest.Run(ctx, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Operations[0].Count == 0 || !r.Check.OK() || !slices.Contains(r.Warnings, "interrupted before the end") {
		t.Errorf("%+v, %+v, %q", r.Operations[0], r.Check, r.Warnings)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := loadtest.Run(t.Context(), loadtest.Options{Rate: -1, Concurrency: -4, Check: true, Faults: make([]loadtest.Fault, 1), Workload: loadtest.Workload{TTL: 1}})
	for _, want := range []string{"no clients", "rate -1", "concurrency -4", "ttl cannot be checked", "faults need a cluster", "no operations"} {
		if !errors.Is(err, loadtest.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("Run() = %v, want %q in it", err, want)
		}
	}
}

// The JSON has the fields that CLI contracts name, and reads back.
func TestReportJSON(t *testing.T) {
	w := start(t, "counters", twoDCs())
	w.opts.Cluster = &fake{}
	w.opts.HistoryFile = filepath.Join(t.TempDir(), "h.jsonl")
	r, err := loadtest.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var raw struct {
		Operations []map[string]any `json:"operations"`
		Pairs      []map[string]any `json:"pairs"`
		Check      map[string]any   `json:"check"`
	}
	if err := json.Unmarshal(text.Bytes(), &raw); err != nil {
		t.Fatal(err)
	}
	has := func(what string, m map[string]any, fields string) {
		t.Helper()
		for field := range strings.FieldsSeq(fields) {
			if _, ok := m[field]; !ok {
				t.Errorf("%s has no %s: %v", what, field, m)
			}
		}
	}
	sub := func(m map[string]any, field string) map[string]any { s, _ := m[field].(map[string]any); return s }
	has("an operation", raw.Operations[0], "dc op count errors rate latency_ms")
	has("latency_ms", sub(raw.Operations[0], "latency_ms"), "p50 p90 p99 p999 max")
	has("a pair", raw.Pairs[0], "from to one_way_ms visible_ms excess_ms")
	has("visible_ms", sub(raw.Pairs[0], "visible_ms"), "p50 p99 max")
	has("excess_ms", sub(raw.Pairs[0], "excess_ms"), "p50 p99")
	has("check", raw.Check, "acked lost phantom converged converged_after_ms")
	again, err := loadtest.ReadReport(&text)
	if err != nil || again.Check.Acked != r.Check.Acked || len(again.Series) != len(r.Series) {
		t.Errorf("read back %+v, %v", again, err)
	}
	if h, err := os.ReadFile(w.opts.HistoryFile); err != nil || bytes.Count(h, []byte("\n")) < r.Check.Acked {
		t.Errorf("history of %d bytes, %v", len(h), err)
	}
}
