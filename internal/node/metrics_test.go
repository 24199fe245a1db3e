package node

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// ask gets a path of a node's listener for operators.
func ask(t *testing.T, n *Node, path string) (code int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Addrs().HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// metric is the value of one line of metrics, and whether it is there.
func metric(t *testing.T, text, line string) (float64, bool) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v, true
}

func TestMetricsOfANode(t *testing.T) {
	nodes := three(t, nil)
	code, before := ask(t, nodes[0], "/metrics")
	if code != http.StatusOK {
		t.Fatalf("/metrics: %d %s", code, before)
	}
	const puts = `godwit_request_duration_seconds_count{operation="put",outcome="ok"}`
	const refused = `godwit_request_duration_seconds_count{operation="counter_add",outcome="invalid_argument"}`
	for _, line := range []string{puts, refused} {
		if _, there := metric(t, before, line); there {
			t.Errorf("%s is there before the first request", line)
		}
	}
	conn, err := grpc.NewClient(nodes[0].Addrs().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	kv := v1.NewKVClient(conn)
	secret := "a-key-that-no-metric-shows"
	for range 3 {
		if _, err := kv.Put(t.Context(), &v1.PutRequest{Bucket: "default", Key: []byte(secret), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kv.Get(t.Context(), &v1.GetRequest{Bucket: "default", Key: []byte(secret)}); err != nil {
		t.Fatal(err)
	}
	add := &v1.UpdateRequest{Bucket: secret, Key: []byte("k"), Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}}}
	if _, err := kv.Update(t.Context(), add); err == nil {
		t.Fatal("a bucket that is not there took a counter")
	}
	_, after := ask(t, nodes[0], "/metrics")
	for line, want := range map[string]float64{
		puts: 3, refused: 1,
		`godwit_request_duration_seconds_count{operation="get",outcome="ok"}`: 1,
		`godwit_keys`: 1, `godwit_buckets`: 1, `godwit_read_only`: 0, `godwit_ring_epoch`: 1,
		`godwit_partitions_owned`: 16, `godwit_replicas`: 16, `godwit_peer_alive{peer="n2"}`: 1,
		`godwit_node_info{dc="eu",node="n1",version=""}`: 1,
	} {
		if got, there := metric(t, after, line); !there || got != want {
			t.Errorf("%s = %v (there: %v), want %v", line, got, there, want)
		}
	}
	for _, line := range []string{"godwit_reads_total", "godwit_storage_wal_written_bytes_total", "godwit_uptime_seconds", "go_goroutines"} {
		if got, _ := metric(t, after, line); got <= 0 {
			t.Errorf("%s = %v, want more than 0", line, got)
		}
	}
	if strings.Contains(after, secret) {
		t.Error("the metrics tell names of keys or buckets")
	}
	problems, err := promlint.New(strings.NewReader(after)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHealthOfANode(t *testing.T) {
	nodes := three(t, nil)
	for _, tt := range []struct {
		path, want string
		code       int
	}{
		{"/healthz", "ok\n", http.StatusOK},
		{"/readyz", "ready\n", http.StatusOK},
		{"/debug/pprof/cmdline", "", http.StatusOK},
		{"/nothing", "404 page not found\n", http.StatusNotFound},
	} {
		if code, text := ask(t, nodes[0], tt.path); code != tt.code || tt.want != "" && text != tt.want {
			t.Errorf("%s: %d %q, want %d %q", tt.path, code, text, tt.code, tt.want)
		}
	}
	for _, n := range nodes[1:] {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a node without its datacenter is not ready", func() bool {
		code, _ := ask(t, nodes[0], "/readyz")
		return code == http.StatusServiceUnavailable
	})
	if code, _ := ask(t, nodes[0], "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz of a node without its datacenter: %d", code)
	}
}
