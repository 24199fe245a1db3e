package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/topology"
)

// topologyCommand works on topology files.
func (s *session) topologyCommand() *cli.Command {
	return &cli.Command{Name: "topology", Category: categoryFiles, Usage: "check, show, compare and apply topology files", Subcommands: append([]*cli.Command{
		s.leaf(spec{
			name: "validate", usage: "print everything that is wrong with a file; exit 2 if there are errors", args: "FILE", least: 1, most: 1,
			flags: outputFlags(), run: validateTopology,
		}),
		s.leaf(spec{name: "show", usage: "print what a file describes", args: "FILE", least: 1, most: 1, flags: outputFlags(), run: showTopology}),
		s.leaf(spec{name: "render", usage: "print a file with every default filled in", args: "FILE", least: 1, most: 1, run: renderTopology}),
		s.leaf(spec{
			name: "init", usage: "write an example", args: "[FILE]", most: 1,
			flags: []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "overwrite the file"}}, run: initTopology,
		}),
		s.leaf(spec{name: "diff", usage: "print what applying B over A would change", args: "A B", least: 2, most: 2, flags: outputFlags(), run: diffTopology}),
	}, s.runningTopologyCommands()...)}
}

func validateTopology(in *invocation) error {
	file := in.args[0]
	t, problems, err := topology.Load(file)
	if err != nil {
		return usagef("%s", err)
	}
	if in.json() {
		if problems == nil {
			problems = topology.Problems{}
		}
		err = in.s.json(map[string]any{
			"valid": !problems.HasErrors(), "errors": problems.Errors(), "warnings": problems.Warnings(), "problems": problems,
		})
	} else {
		err = problems.Render(in.s.out)
	}
	if err != nil {
		return err
	}
	if problems.HasErrors() {
		return &exitErr{code: exitUsage}
	}
	if len(problems) == 0 && !in.json() {
		nodes := 0
		for _, d := range t.Datacenters {
			nodes += len(d.Nodes)
		}
		return in.s.line(fmt.Sprintf("%s: valid: cluster %s, version %d, %d datacenters, %d nodes", file, t.Cluster, t.Version, len(t.Datacenters), nodes))
	}
	return nil
}

func showTopology(in *invocation) error {
	t, err := in.loadTopology(in.args[0])
	if err != nil {
		return err
	}
	if in.json() {
		return in.s.json(topologyJSON(t))
	}
	if err := in.s.line(fmt.Sprintf("cluster %s, version %d, %d partitions, hash %s", t.Cluster, t.Version, t.Partitions, t.Hash())); err != nil {
		return err
	}
	var nodes, placements, buckets [][]string
	for _, d := range t.Datacenters {
		for _, n := range d.Nodes {
			nodes = append(nodes, []string{d.Name, n.ID, n.Rack, fmt.Sprint(n.Weight), n.Advertise, strconv.Itoa(n.Ports.GRPC)})
		}
	}
	for _, p := range t.Placements {
		for _, d := range p.DCs() {
			placements = append(placements, []string{p.Name, d, strconv.Itoa(p.Replicas[d])})
		}
	}
	for _, b := range t.Buckets {
		buckets = append(buckets, []string{b.Name, b.Placement, b.Kind, b.Read, b.Write, b.Durability})
	}
	for _, part := range []struct {
		header []string
		rows   [][]string
	}{
		{[]string{"DC", "NODE", "RACK", "WEIGHT", "ADVERTISE", "GRPC"}, nodes},
		{[]string{"PLACEMENT", "DC", "REPLICAS"}, placements},
		{[]string{"BUCKET", "PLACEMENT", "KIND", "READ", "WRITE", "DURABILITY"}, buckets},
	} {
		if err := in.s.line(); err != nil {
			return err
		}
		if err := in.s.table(part.header, part.rows); err != nil {
			return err
		}
	}
	return nil
}

// topologyJSON is a summary of a topology; render gives the whole of it.
func topologyJSON(t *topology.Topology) any {
	type nodeJSON struct {
		ID        string  `json:"id"`
		Rack      string  `json:"rack"`
		Weight    float64 `json:"weight"`
		Advertise string  `json:"advertise"`
		GRPC      int     `json:"grpc"`
	}
	type dcJSON struct {
		Name  string     `json:"name"`
		Nodes []nodeJSON `json:"nodes"`
	}
	var dcs []dcJSON
	for _, d := range t.Datacenters {
		dc := dcJSON{Name: d.Name}
		for _, n := range d.Nodes {
			dc.Nodes = append(dc.Nodes, nodeJSON{n.ID, n.Rack, n.Weight, n.Advertise, n.Ports.GRPC})
		}
		dcs = append(dcs, dc)
	}
	placements, buckets := map[string]any{}, map[string]any{}
	for _, p := range t.Placements {
		placements[p.Name] = p.Replicas
	}
	for _, b := range t.Buckets {
		buckets[b.Name] = map[string]any{"placement": b.Placement, "kind": b.Kind, "read": b.Read, "write": b.Write, "durability": b.Durability}
	}
	return map[string]any{
		"cluster": t.Cluster, "version": t.Version, "hash": t.Hash(), "partitions": t.Partitions,
		"datacenters": dcs, "placements": placements, "buckets": buckets,
	}
}

func renderTopology(in *invocation) error {
	t, err := in.loadTopology(in.args[0])
	if err != nil {
		return err
	}
	text, err := t.YAML()
	if err != nil {
		return err
	}
	if _, err := in.s.out.Write(text); err != nil {
		return fmt.Errorf("write the topology: %w", err)
	}
	return nil
}

func diffTopology(in *invocation) error {
	prev, err := in.loadTopology(in.args[0])
	if err != nil {
		return err
	}
	next, err := in.loadTopology(in.args[1])
	if err != nil {
		return err
	}
	changes := topology.Diff(prev, next)
	if in.json() {
		if changes == nil {
			changes = []topology.Change{}
		}
		return in.s.json(map[string]any{"changes": changes})
	}
	for _, c := range changes {
		if err := in.s.line(c.String()); err != nil {
			return err
		}
	}
	return nil
}

// exampleTopology is three datacenters on one machine.
const exampleTopology = `# Three datacenters on one machine: godwit serve --topology FILE --node use1-a --data DIR
version: 1                       # must grow with every change
cluster: example
partitions: 256                  # a power of two, fixed for ever
clock: {max_skew: 500ms}
datacenters:
  - name: use1
    nodes:
      - {id: use1-a, rack: a, advertise: 127.0.0.1, ports: {grpc: 7201, peer: 7202, gossip: 7203, nats: 7204, http: 7205}}
  - name: euw1
    nodes:
      - {id: euw1-a, rack: a, advertise: 127.0.0.1, ports: {grpc: 7211, peer: 7212, gossip: 7213, nats: 7214, http: 7215}}
  - name: apne1
    nodes:
      - {id: apne1-a, rack: a, advertise: 127.0.0.1, ports: {grpc: 7221, peer: 7222, gossip: 7223, nats: 7224, http: 7225}}
placements:
  - {name: global, replicas: {use1: 1, euw1: 1, apne1: 1}}
  - {name: eu-only, replicas: {euw1: 1}}
buckets:
  - {name: default, placement: global}
  - {name: carts, placement: global, kind: set, read: quorum, write: quorum}
links:
  mode: mesh
  defaults: {compression: zstd, max_batch: 256KiB, max_delay: 2ms}
`

func initTopology(in *invocation) error {
	if len(in.args) == 0 {
		_, err := fmt.Fprint(in.s.out, exampleTopology)
		return err
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_EXCL
	if in.Bool("force") {
		flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	}
	f, err := os.OpenFile(in.args[0], flags, 0o644)
	if os.IsExist(err) {
		return usagef("%s is there already: give another name, or --force", in.args[0])
	}
	if err != nil {
		return fmt.Errorf("write an example: %w", err)
	}
	if _, err := f.WriteString(exampleTopology); err != nil {
		return fmt.Errorf("write an example: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write an example: %w", err)
	}
	_, err = fmt.Fprintln(in.s.err, "wrote "+in.args[0])
	return err
}
