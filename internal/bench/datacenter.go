package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/freeport"
	"github.com/godwitdb/godwit/topology"
)

// datacenter is the nodes of one build, and the ways to speak to them.
type datacenter struct {
	name   string
	nodes  []topology.Node
	dirs   []string
	procs  []*process
	client *client.Client
	unary  []pb.KVClient // one for each node
	hangUp func()
}

// startDatacenter starts the nodes and returns when all serve. What it returns
// is to be stopped also after an error.
func startDatacenter(ctx context.Context, o *Options, name, binary string) (*datacenter, error) {
	d := &datacenter{name: name}
	dir := filepath.Join(o.Dir, name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return d, err
	}
	ports, err := freeport.Campaigns().Find(ctx, rand.New(rand.NewPCG(rand.Uint64(), 1)), o.Nodes*5)
	if err != nil {
		return d, err
	}
	for i := range o.Nodes {
		letter := string(rune('a' + i))
		p := ports[5*i:]
		d.nodes = append(d.nodes, topology.Node{
			ID: "use1-" + letter, Rack: letter, Weight: 1, Advertise: "127.0.0.1",
			Ports: topology.Ports{GRPC: p[0], Peer: p[1], Gossip: p[2], NATS: p[3], HTTP: p[4]},
		})
	}
	t := &topology.Topology{Version: 1, Cluster: "bench", Datacenters: []topology.Datacenter{{Name: "use1", Nodes: d.nodes}}}
	t.FillDefaults()
	b, err := t.YAML()
	if err != nil {
		return d, err
	}
	file := filepath.Join(dir, "topology.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return d, err
	}
	for _, n := range d.nodes {
		d.dirs = append(d.dirs, filepath.Join(dir, n.ID))
		p, err := startProcess(filepath.Join(dir, n.ID+".log"), binary, "serve", "--topology", file, "--node", n.ID, "--data", filepath.Join(dir, n.ID))
		if err != nil {
			return d, err
		}
		d.procs = append(d.procs, p)
	}
	return d, d.connect(ctx)
}

func (d *datacenter) connect(ctx context.Context) error {
	addrs := make([]string, len(d.nodes))
	for i, n := range d.nodes {
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", n.Ports.GRPC)
	}
	var err error
	if d.unary, d.hangUp, err = connect(addrs); err != nil {
		return err
	}
	if d.client, err = client.Open(ctx, client.Options{Addrs: addrs, DC: "use1", RoundRobin: true}); err != nil {
		return err
	}
	return until(ctx, "all nodes serve", func() error {
		s, err := d.client.Status(ctx, client.WithTimeout(5*time.Second))
		if err != nil {
			return err
		}
		for _, n := range s.GetNodes() {
			if !n.GetReachable() {
				return fmt.Errorf("%s is not reachable", n.GetId())
			}
		}
		if len(s.GetNodes()) < len(d.nodes) {
			return fmt.Errorf("%d nodes, want %d", len(s.GetNodes()), len(d.nodes))
		}
		return nil
	})
}

// cpu is the CPU time that all nodes have used.
func (d *datacenter) cpu() (all time.Duration) {
	for _, p := range d.procs {
		all += p.cpu()
	}
	return all
}

func (d *datacenter) stop() error {
	var errs []error
	if d.client != nil {
		errs = append(errs, d.client.Close())
	}
	if d.hangUp != nil {
		d.hangUp()
	}
	for _, p := range d.procs {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}

// fillBatch is how many keys are put with one call.
const fillBatch = 1000

// fill puts the first n keys behind the ones that are there.
func (d *datacenter) fill(ctx context.Context, from, n int) error {
	for i := from; i < n; i += fillBatch {
		ops := make([]client.Op, min(fillBatch, n-i))
		for j := range ops {
			ops[j] = client.PutOp(key(i+j), value(i+j))
		}
		results, err := d.client.BatchUpdate(ctx, ops, client.WithTimeout(30*time.Second))
		if err != nil {
			return fmt.Errorf("put keys: %w", err)
		}
		for j := range results {
			if results[j].Err != nil {
				return fmt.Errorf("put %s: %w", key(i+j), results[j].Err)
			}
		}
	}
	return nil
}
