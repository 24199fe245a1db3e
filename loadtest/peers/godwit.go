package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/topology"
)

const (
	godwitName  = "godwit"
	godwitUnary = "godwit unary"
	godwitNodes = 3
	// unaryOnly is the concurrency at which plain unary calls are measured, and the
	// echo to which everything is compared.
	unaryOnly = 64
)

// startGodwit starts one datacenter of three nodes.
func startGodwit(ctx context.Context, l *lab) (*system, error) {
	binary, version, err := l.binary(ctx, godwitName, "--version")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 4*godwitNodes)
	if err != nil {
		return nil, err
	}
	top := &topology.Topology{Version: 1, Cluster: "peers"}
	dc := topology.Datacenter{Name: "local"}
	var addrs []string
	for i := range godwitNodes {
		letter, p := string(rune('a'+i)), ports[4*i:]
		dc.Nodes = append(dc.Nodes, topology.Node{
			ID: "local-" + letter, Rack: letter, Weight: 1, Advertise: "127.0.0.1",
			Ports: topology.Ports{GRPC: p[0], Peer: p[1], Gossip: p[2], NATS: p[3]},
		})
		addrs = append(addrs, loopback(p[0]))
	}
	top.Datacenters = []topology.Datacenter{dc}
	top.FillDefaults()
	yaml, err := top.YAML()
	if err != nil {
		return nil, fmt.Errorf("configure godwit: %w", err)
	}
	file := filepath.Join(l.dir, "topology.yaml")
	if err := os.WriteFile(file, yaml, 0o600); err != nil {
		return nil, fmt.Errorf("configure godwit: %w", err)
	}
	s := &system{name: godwitName, version: version, settings: []string{
		"3 nodes of `godwit serve` in one datacenter, N=3 R=2 W=2, bucket default (sync): a put is synced by two nodes before it is answered",
		"client: github.com/godwitdb/godwit/client, one for all goroutines, with its pipelines; \"godwit unary\": the same with one gRPC call each, the nodes in turn",
		"put: Put; get: Get (R=2); incr: Incr",
	}}
	for _, n := range dc.Nodes {
		p, data, err := l.server("godwit-"+n.ID, binary)
		if err != nil {
			return nil, err
		}
		p.args = []string{"serve", "--topology", file, "--node", n.ID, "--data", data, "--log-level", "warn"}
		s.servers = append(s.servers, p)
	}
	open := func(transport client.Transport) func(context.Context, int) (session, error) {
		return func(ctx context.Context, goroutines int) (session, error) {
			return openGodwit(ctx, client.Options{Addrs: addrs, DC: "local", Transport: transport, MaxInFlight: max(goroutines, 1024), RoundRobin: transport == client.Unary})
		}
	}
	s.ways = []*way{
		{name: godwitName, system: s, workloads: workloads(), open: open(client.Pipelined)},
		{name: godwitUnary, system: s, workloads: workloads(), only: unaryOnly, open: open(client.Unary)},
	}
	return s, s.start(ctx, func(ctx context.Context) error { return godwitReady(ctx, addrs) })
}

// godwitReady reports why the nodes do not serve yet, or do not see each other.
func godwitReady(ctx context.Context, addrs []string) error {
	g, err := openGodwit(ctx, client.Options{Addrs: addrs, DC: "local", Transport: client.Unary})
	if err != nil {
		return err
	}
	defer func() { _ = g.close() }() // it was only asked
	status, err := g.client.Status(ctx, client.WithTimeout(2*time.Second))
	if err != nil {
		return err
	}
	if n := len(status.GetNodes()); n < godwitNodes {
		return fmt.Errorf("%d nodes tell of themselves, want %d", n, godwitNodes)
	}
	for _, n := range status.GetNodes() {
		if !n.GetReachable() {
			return fmt.Errorf("%s is not reachable", n.GetId())
		}
		for _, p := range n.GetPeers() {
			if !p.GetAlive() {
				return fmt.Errorf("%s finds that %s is not alive", n.GetId(), p.GetId())
			}
		}
	}
	return nil
}

type godwitSession struct{ client *client.Client }

func openGodwit(ctx context.Context, o client.Options) (*godwitSession, error) {
	c, err := client.Open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open a client of godwit: %w", err)
	}
	return &godwitSession{c}, nil
}

func (g *godwitSession) put(ctx context.Context, key string, value []byte) error {
	_, err := g.client.Put(ctx, key, value)
	return err
}

func (g *godwitSession) get(ctx context.Context, key string) ([]byte, error) {
	v, err := g.client.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return v.Bytes, nil
}

func (g *godwitSession) incr(ctx context.Context, key string) error {
	_, err := g.client.Incr(ctx, key, 1)
	return err
}

func (g *godwitSession) total(ctx context.Context, key string) (int64, error) {
	v, err := g.client.Get(ctx, key, client.WithKind(client.Counter))
	if client.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return v.Integer, nil
}

func (g *godwitSession) close() error { return g.client.Close() }
