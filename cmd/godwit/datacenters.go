package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/topology"
)

// dcCommands change which datacenters a cluster has.
func (s *session) dcCommands() *cli.Command {
	return &cli.Command{Name: "dc", Category: categoryCluster, Usage: "the datacenters of the cluster: who takes part", Subcommands: []*cli.Command{
		s.leaf(spec{name: "list", usage: "list datacenters, and how far those are that catch up", flags: clusterFlags(), run: listDCs}),
		s.leaf(spec{
			name: "add", usage: "add the datacenter that a later topology FILE has besides, with state: joining; or let a fenced one, by its NAME, catch up and join again",
			args: "FILE|NAME", least: 1, most: 1, run: addDC,
			flags: clusterFlags(&cli.BoolFlag{Name: "watch", Usage: "show how far it is until it has joined; may be ended and run again"}),
		}),
		s.leaf(spec{
			name: "fence", usage: "go on without a datacenter: it takes no clients, and logs let go of what it lacks; what only it has is still taken",
			args: "NAME", least: 1, most: 1, flags: clusterFlags(), run: fenceDC,
		}),
		s.leaf(spec{
			name: "remove", usage: "remove a fenced datacenter for ever, once the others hold all that it has", args: "NAME", least: 1, most: 1, run: removeDC,
			flags: clusterFlags(&cli.BoolFlag{Name: "force", Usage: "also if it may hold what no other does, which is lost: see dc export"}),
		}),
		s.dcExport(),
	}}
}

// caughtJSON is how many partitions a datacenter has all of.
type caughtJSON struct {
	DC             string `json:"dc"`
	Partitions     uint32 `json:"partitions"`
	PartitionsDone uint32 `json:"partitions_done"`
}

// dcJSON is a datacenter in the JSON of dc list.
type dcJSON struct {
	Name            string       `json:"name"`
	State           string       `json:"state"`
	Nodes           uint32       `json:"nodes"`
	TopologyVersion uint64       `json:"topology_version"` // 0: it has not told
	TopologyHash    string       `json:"topology_hash"`
	Same            bool         `json:"same"` // as that of the datacenter asked
	Caught          []caughtJSON `json:"caught"`
}

func dcsOf(r *pb.DatacentersResponse) []dcJSON {
	out := []dcJSON{}
	for _, d := range r.GetDatacenters() {
		j := dcJSON{d.GetName(), d.GetState(), d.GetNodes(), d.GetTopologyVersion(), d.GetTopologyHash(), d.GetTopologyHash() == r.GetTopologyHash(), []caughtJSON{}}
		for _, c := range d.GetCaught() {
			j.Caught = append(j.Caught, caughtJSON{c.GetDc(), c.GetPartitions(), c.GetPartitionsDone()})
		}
		out = append(out, j)
	}
	return out
}

func listDCs(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	r, err := c.Datacenters(in.ctx(), opts...)
	if err != nil {
		return err
	}
	if in.json() {
		return in.s.json(map[string]any{"dc": r.GetDc(), "topology_version": r.GetTopologyVersion(), "topology_hash": r.GetTopologyHash(), "dcs": dcsOf(r)})
	}
	var rows [][]string
	for _, d := range dcsOf(r) {
		topo := strconv.FormatUint(d.TopologyVersion, 10)
		switch {
		case d.State == string(topology.DCRemoved):
			topo = ""
		case d.TopologyVersion == 0:
			topo = "not told"
		case !d.Same:
			topo += " (another)"
		}
		rows = append(rows, []string{d.Name, d.State, strconv.FormatUint(uint64(d.Nodes), 10), topo, caughtShown(d)})
	}
	return in.s.table([]string{"DC", "STATE", "NODES", "TOPOLOGY", "CAUGHT UP"}, rows)
}

// caughtShown tells how far a datacenter is, or the others with what it has.
func caughtShown(d dcJSON) string {
	var parts []string
	for _, c := range d.Caught {
		text := fmt.Sprintf("%d of %d partitions", c.PartitionsDone, c.Partitions)
		if c.DC != d.Name {
			text = c.DC + " has " + text + " of it"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// running is the topology that the cluster acts under.
func (in *invocation) running(c *client.Client, opts []client.CallOption) (*topology.Topology, string, error) {
	r, err := c.Topology(in.ctx(), opts...)
	if err != nil {
		return nil, "", err
	}
	now, problems := topology.Parse("topology of "+r.GetDc(), r.GetText())
	if now == nil {
		return nil, "", fmt.Errorf("topology of %s: %w", r.GetDc(), problems[0])
	}
	return now, r.GetHash(), nil
}

func fenceDC(in *invocation) error {
	return in.changeDC(in.args[0], topology.DCFenced, (*client.Client).ApplyTopology)
}

func removeDC(in *invocation) error {
	apply := (*client.Client).ApplyTopology
	if in.Bool("force") {
		apply = (*client.Client).ForceTopology
	}
	return in.changeDC(in.args[0], topology.DCRemoved, apply)
}

// applier is a method of a client.
type applier func(c *client.Client, ctx context.Context, text []byte, insteadOf string, opts ...client.CallOption) (*pb.ApplyTopologyResponse, error)

// changeDC gives a datacenter another state.
func (in *invocation) changeDC(name string, s topology.State, apply applier) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	now, hash, err := in.running(c, opts)
	if err != nil {
		return err
	}
	d, ok := now.DC(name)
	switch {
	case !ok:
		return &exitErr{exitNotFound, fmt.Sprintf("the cluster has no datacenter %q", name)}
	case d.State == s:
		return in.printDC(name, d.State, &pb.ApplyTopologyResponse{Version: now.Version, Hash: hash})
	}
	text, err := now.With(name, s).YAML()
	if err != nil {
		return usagef("%s", err)
	}
	done, err := apply(c, in.ctx(), text, hash, opts...)
	if err != nil {
		return err
	}
	return in.printDC(name, s, done)
}

func (in *invocation) printDC(name string, s topology.State, done *pb.ApplyTopologyResponse) error {
	if in.json() {
		return in.s.json(map[string]any{
			"dc": name, "state": s.String(), "version": done.GetVersion(), "hash": done.GetHash(), "missing": append([]string{}, done.GetMissing()...),
		})
	}
	return in.s.line(fmt.Sprintf("%s is %s, by version %d of the topology", name, s, done.GetVersion()))
}

// addDC adds a datacenter from a file, or lets one join again that is fenced.
func addDC(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	now, hash, err := in.running(c, opts)
	if err != nil {
		return err
	}
	next, name := now, in.args[0]
	if d, known := now.DC(name); known {
		if d.State == topology.DCFenced {
			next = now.With(name, topology.DCJoining)
		}
		if d.State == topology.DCRemoved {
			return &exitErr{exitPrecondition, fmt.Sprintf("datacenter %s was removed: it can come back as a new one only, under another name", name)}
		}
	} else if next, name, err = in.addedBy(now, name); err != nil {
		return err
	}
	done := &pb.ApplyTopologyResponse{Version: now.Version, Hash: hash}
	if next.Hash() != hash && next.Version != now.Version {
		text, err := next.YAML()
		if err != nil {
			return usagef("%s", err)
		}
		if done, err = c.ApplyTopology(in.ctx(), text, hash, opts...); err != nil {
			return err
		}
	}
	if in.Bool("watch") {
		return in.awaitDC(c, name, opts)
	}
	return in.printDC(name, next.State(name), done)
}

// addedBy reads a topology file, and names the datacenter that it has besides.
// If the cluster has it by now, the running topology is what there is to add.
func (in *invocation) addedBy(now *topology.Topology, path string) (next *topology.Topology, name string, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, "", &exitErr{exitNotFound, fmt.Sprintf("%q is neither a datacenter of the cluster nor a topology file", path)}
	}
	if next, err = in.loadTopology(path); err != nil {
		return nil, "", err
	}
	var added []string
	for _, d := range next.Datacenters {
		if _, known := now.DC(d.Name); !known {
			added = append(added, d.Name)
		} else if d.State == topology.DCJoining {
			name = d.Name
		}
	}
	switch {
	case len(added) == 0 && name != "":
		return now, name, nil // added before
	case len(added) != 1:
		return nil, "", usagef("%s must have one datacenter that the cluster has not, it has %d", path, len(added))
	case next.State(added[0]) != topology.DCJoining:
		return nil, "", usagef("%s: datacenter %s needs `state: joining`, and its nodes are to be started with this file: they take no clients before they have caught up", path, added[0])
	}
	return next, added[0], nil
}

const addLook = 200 * time.Millisecond // pause between two looks at how far a datacenter is

// awaitDC shows how far a datacenter is, until it has joined.
func (in *invocation) awaitDC(c *client.Client, name string, opts []client.CallOption) error {
	bar := in.progress()
	defer bar.end()
	for {
		r, err := c.Datacenters(in.ctx(), opts...)
		if err != nil {
			return err
		}
		for _, d := range dcsOf(r) {
			if d.Name != name {
				continue
			}
			switch d.State {
			case topology.DCJoined.String():
				bar.end()
				return in.printDC(name, topology.DCJoined, &pb.ApplyTopologyResponse{Version: r.GetTopologyVersion(), Hash: r.GetTopologyHash()})
			case topology.DCJoining.String():
				bar.show("%s joins: %s", name, caughtShown(d))
			default:
				return &exitErr{exitPrecondition, fmt.Sprintf("datacenter %s is %s", name, d.State)}
			}
		}
		if rest(in.ctx(), addLook); in.ctx().Err() != nil {
			return in.ctx().Err()
		}
	}
}
