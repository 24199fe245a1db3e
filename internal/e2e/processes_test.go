package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/freeport"
	"github.com/godwitdb/godwit/internal/node"
	"github.com/godwitdb/godwit/topology"
)

// binary builds the program once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "godwit-e2e")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "godwit")
	out, err := exec.Command("go", "build", "-o", name, "github.com/godwitdb/godwit/cmd/godwit").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return name, nil
})

func TestMain(m *testing.M) {
	if addrs := os.Getenv(ackerEnv); addrs != "" {
		os.Exit(takeAll(addrs))
	}
	node.SpareProcessors() // as godwit does
	code := m.Run()
	if name, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(name))
	}
	os.Exit(code)
}

// cluster is real processes of `godwit serve` on loopback.
type cluster struct {
	t        *testing.T
	topology *topology.Topology
	file     string
	dir      string
	procs    map[string]*process
}

type process struct {
	cmd  *exec.Cmd
	logs *bytes.Buffer
}

func startProcesses(t *testing.T, dcs []string, nodes int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), procs: map[string]*process{}, topology: &topology.Topology{Version: 1, Cluster: "e2e", Partitions: 32}}
	ports, err := freeport.Tests().Find(t.Context(), rand.New(rand.NewPCG(rand.Uint64(), 1)), len(dcs)*nodes*4)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range dcs {
		d := topology.Datacenter{Name: name}
		for i := range nodes {
			p := topology.Ports{GRPC: ports[0], Peer: ports[1], Gossip: ports[2], NATS: ports[3]}
			ports = ports[4:]
			letter := string(rune('a' + i))
			d.Nodes = append(d.Nodes, topology.Node{ID: name + "-" + letter, Rack: letter, Weight: 1, Advertise: "127.0.0.1", Ports: p})
		}
		c.topology.Datacenters = append(c.topology.Datacenters, d)
	}
	c.topology.FillDefaults()
	b, err := c.topology.YAML()
	if err != nil {
		t.Fatal(err)
	}
	c.file = filepath.Join(c.dir, "topology.yaml")
	if err := os.WriteFile(c.file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range c.topology.Datacenters {
		for _, n := range d.Nodes {
			c.start(n.ID)
		}
	}
	t.Cleanup(c.stop)
	for _, name := range dcs {
		c.waitReady(name, nodes)
	}
	return c
}

func (c *cluster) start(id string) {
	c.t.Helper()
	name, err := binary()
	if err != nil {
		c.t.Fatal(err)
	}
	p := &process{cmd: exec.Command(name, "serve", "--topology", c.file, "--node", id, "--data", filepath.Join(c.dir, id)), logs: &bytes.Buffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.logs, p.logs
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.procs[id] = p
}

// kill ends a process as a power failure would, as far as the process can tell.
func (c *cluster) kill(id string) {
	c.t.Helper()
	p := c.procs[id]
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		c.t.Fatalf("kill %s: %v", id, err)
	}
	_ = p.cmd.Wait() // it was killed
	delete(c.procs, id)
}

func (c *cluster) stop() {
	for _, p := range c.procs {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for id, p := range c.procs {
		timer := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
		if err := p.cmd.Wait(); err != nil {
			c.t.Errorf("%s ended with %v", id, err)
		}
		if timer.Stop(); c.t.Failed() {
			c.t.Logf("--- %s\n%s", id, p.logs)
		}
	}
}

// open returns a client of one datacenter, or of one node of it.
func (c *cluster) open(dc string, only ...string) *client.Client {
	c.t.Helper()
	d, _ := c.topology.DC(dc)
	var addrs []string
	for _, n := range d.Nodes {
		if len(only) == 0 || strings.Join(only, ",") == n.ID {
			addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", n.Ports.GRPC))
		}
	}
	cl, err := client.Open(c.t.Context(), client.Options{Addrs: addrs, DC: dc})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func (c *cluster) waitReady(dc string, nodes int) {
	c.t.Helper()
	cl := c.open(dc)
	eventually(c.t, "datacenter "+dc+" serves", 30*time.Second, func() bool {
		s, err := cl.Status(c.t.Context())
		if err != nil {
			return false
		}
		up := 0
		for _, n := range s.GetNodes() {
			if n.GetReachable() {
				up++
			}
		}
		return up == nodes
	})
}

// equalReplicas says where two replicas of a partition differ in clock or tree,
// in whatever datacenters they are.
func equalReplicas(ctx context.Context, clients []*client.Client) error {
	type digest struct {
		clock uint64
		root  string
		node  string
	}
	seen := map[string]digest{}
	for _, cl := range clients {
		v, err := cl.Verify(ctx, &v1.VerifyRequest{})
		if err != nil {
			return err
		}
		if len(v.GetMissing()) > 0 {
			return fmt.Errorf("%s: no answer of %v", v.GetDc(), v.GetMissing())
		}
		for _, r := range v.GetReplicas() {
			at := fmt.Sprintf("%d/%d", r.GetPlacement(), r.GetPartition())
			got := digest{r.GetClockHash(), string(r.GetMerkleRoot()), r.GetNode()}
			have, ok := seen[at]
			switch {
			case !r.GetReady() || r.GetResidue() > 0:
				return fmt.Errorf("%s on %s has not settled", at, r.GetNode())
			case ok && (have.clock != got.clock || have.root != got.root):
				return fmt.Errorf("%s differs between %s and %s", at, have.node, got.node)
			}
			seen[at] = got
		}
	}
	return nil
}

func waitEqual(t *testing.T, within time.Duration, clients []*client.Client) {
	t.Helper()
	start := time.Now()
	for {
		err := equalReplicas(t.Context(), clients)
		if err == nil {
			t.Logf("equal after %v", time.Since(start))
			return
		}
		if time.Since(start) > within {
			t.Fatalf("not equal after %v: %v", within, err)
		}
		time.Sleep(300 * time.Millisecond) // looking at every replica costs what catching up needs
	}
}

func eventually(t *testing.T, what string, within time.Duration, is func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !is() {
		if time.Since(start) > within {
			t.Fatalf("waited %v in vain until %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}
