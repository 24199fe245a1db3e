package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tool is a program that `make tools` installs.
func tool(t *testing.T, name string) string {
	t.Helper()
	at, err := filepath.Abs(filepath.Join("..", "..", ".tools", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(at); err != nil {
		t.Fatalf("%s is not installed; run `make tools`: %v", name, err)
	}
	return at
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (c *cluster) grpcAddr(dc string) string {
	d, _ := c.topology.DC(dc)
	for _, n := range d.Nodes {
		if c.procs[n.ID] != nil {
			return fmt.Sprintf("127.0.0.1:%d", n.Ports.GRPC)
		}
	}
	c.t.Fatalf("no node of %s runs", dc)
	return ""
}

// Programs that know nothing of godwit find their way by reflection.
func TestForeignClients(t *testing.T) {
	c := startProcesses(t, []string{"eu"}, 3)
	addr := c.grpcAddr("eu")

	services := strings.Fields(run(t, "grpcurl", "-plaintext", addr, "list"))
	for _, want := range []string{"godwit.v1.KV", "godwit.v1.Cluster", "godwit.v1.Replication", "grpc.health.v1.Health"} {
		if !slices.Contains(services, want) {
			t.Errorf("grpcurl lists %v, want %s among them", services, want)
		}
	}
	if out := run(t, "grpcurl", "-plaintext", addr, "describe", "godwit.v1.KV"); !strings.Contains(out, "rpc Update") {
		t.Errorf("grpcurl describes KV as\n%s", out)
	}
	key := base64.StdEncoding.EncodeToString([]byte("greeting"))
	value := base64.StdEncoding.EncodeToString([]byte("hallo"))
	run(t, "grpcurl", "-plaintext", "-d", `{"bucket":"default","key":"`+key+`","value":"`+value+`"}`, addr, "godwit.v1.KV/Put")
	var got struct {
		Kind  string
		Value struct{ Bytes string }
	}
	out := run(t, "grpcurl", "-plaintext", "-d", `{"bucket":"default","key":"`+key+`"}`, addr, "godwit.v1.KV/Get")
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Value.Bytes != value || got.Kind != "KIND_REGISTER" {
		t.Errorf("grpcurl gets %s (%v)", out, err)
	}

	const calls = 1000
	var report struct {
		Count                  int
		StatusCodeDistribution map[string]int
	}
	out = run(t, "ghz", "--insecure", "--call", "godwit.v1.KV/Update", "-n", "1000", "-c", "16", "-O", "json",
		"-d", `{"bucket":"default","key":"`+base64.StdEncoding.EncodeToString([]byte("hits"))+`","counter_add":{"delta":1}}`, addr)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("report of ghz: %v\n%s", err, out)
	}
	if report.Count != calls || report.StatusCodeDistribution["OK"] != calls {
		t.Errorf("ghz: %d calls, %v, want %d that are OK", report.Count, report.StatusCodeDistribution, calls)
	}
	hits := base64.StdEncoding.EncodeToString([]byte("hits"))
	var counter struct{ Value struct{ Integer string } }
	out = run(t, "grpcurl", "-plaintext", "-d", `{"bucket":"default","key":"`+hits+`"}`, addr, "godwit.v1.KV/Get")
	if err := json.Unmarshal([]byte(out), &counter); err != nil || counter.Value.Integer != "1000" {
		t.Errorf("the counter after 1,000 increments: %s (%v)", out, err)
	}
}
