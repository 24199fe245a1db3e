package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/topology"
)

// datacenter is where one datacenter answers clients. The name is empty where
// only addresses were given.
type datacenter struct {
	name  string
	addrs []string
}

// defaultDemo is where a demo is looked for when nothing names one.
const defaultDemo = defaultData + "/" + demoFile

const (
	defaultData = ".godwit"
	demoFile    = "demo.json"
)

// directory lists the datacenters that the flags, the environment or a running
// demo name, in the order of preference of CLI users: what is nearest to the
// command counts.
func (in *invocation) directory() ([]datacenter, error) {
	switch getenv := in.s.getenv; {
	case in.s.demo != nil && in.String("addr") == "" && in.Path("topology") == "":
		return ofDemo(in.s.demo), nil
	case in.String("addr") != "":
		return ofAddrs(in.String("addr")), nil
	case in.Path("topology") != "":
		return ofTopology(in)
	case getenv("GODWIT_ADDR") != "" && !in.IsSet("dc"):
		return ofAddrs(getenv("GODWIT_ADDR")), nil
	}
	path := cmp.Or(in.s.getenv("GODWIT_DEMO"), defaultDemo)
	info, err := readDemo(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unavailablef("no cluster to talk to: give --addr HOST:PORT, or --topology FILE, or start `godwit demo` (no %s here)", path)
	}
	if err != nil {
		return nil, err
	}
	return ofDemo(info), nil
}

// readDemo reads the file that a running demo keeps. A directory stands for the
// file in it.
func readDemo(path string) (*emulated.Info, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, demoFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("look for a demo: %w", err)
	}
	var info emulated.Info
	if err := json.Unmarshal(text, &info); err != nil {
		return nil, usagef("%s is not written by a demo: %s", path, err)
	}
	if len(info.DCs) == 0 {
		return nil, usagef("%s names no datacenters", path)
	}
	return &info, nil
}

func ofDemo(info *emulated.Info) []datacenter {
	var out []datacenter
	for _, d := range info.DCs {
		out = append(out, datacenter{d.Name, d.GRPC})
	}
	return out
}

func ofAddrs(list string) []datacenter {
	var addrs []string
	for a := range strings.SplitSeq(list, ",") {
		if a = strings.TrimSpace(a); a != "" && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return []datacenter{{addrs: addrs}}
}

func ofTopology(in *invocation) ([]datacenter, error) {
	t, err := in.loadTopology(in.Path("topology"))
	if err != nil {
		return nil, err
	}
	var out []datacenter
	for _, d := range t.Datacenters {
		dc := datacenter{name: d.Name}
		for _, n := range d.Nodes {
			if n.Ports.GRPC != 0 {
				dc.addrs = append(dc.addrs, net.JoinHostPort(n.Advertise, strconv.Itoa(n.Ports.GRPC)))
			}
		}
		out = append(out, dc)
	}
	return out, nil
}

// loadTopology reads a topology and prints what is wrong with it to err.
func (in *invocation) loadTopology(path string) (*topology.Topology, error) {
	t, problems, err := topology.Load(path)
	if err != nil {
		return nil, usagef("%s", err)
	}
	if !problems.HasErrors() {
		in.s.learnPlacements(t)
		return t, nil
	}
	if err := problems.Render(in.s.err); err != nil {
		return nil, err
	}
	return nil, usagef("%s is not valid", path)
}

// pick chooses the datacenter that --dc names, or the first.
func (in *invocation) pick() (datacenter, error) {
	all, err := in.directory()
	if err != nil {
		return datacenter{}, err
	}
	name := in.String("dc")
	if name == "" && in.s.demo == nil {
		name = in.s.getenv("GODWIT_DC")
	}
	if name == "" || len(all) == 1 && all[0].name == "" {
		all[0].name = cmp.Or(all[0].name, name)
		return all[0], addressed(all[0])
	}
	var names []string
	for _, d := range all {
		if d.name == name {
			return d, addressed(d)
		}
		names = append(names, d.name)
	}
	return datacenter{}, usagef("unknown datacenter %q (known: %s)", name, strings.Join(names, ", "))
}

// addressed reports a datacenter that nobody can be asked in.
func addressed(d datacenter) error {
	if len(d.addrs) == 0 {
		return usagef("datacenter %s: the topology gives no gRPC ports; name one with --addr", d.name)
	}
	return nil
}

// client is a client of the datacenter to ask.
func (in *invocation) client() (*client.Client, error) {
	d, err := in.pick()
	if err != nil {
		return nil, err
	}
	return in.s.open(in.ctx(), d)
}

// member is a datacenter with a client of it.
type member struct {
	name string
	*client.Client
}

// everyDC opens a client for each datacenter. Addresses without names are asked
// which datacenter they belong to.
func (in *invocation) everyDC() ([]member, error) {
	all, err := in.directory()
	if err != nil {
		return nil, err
	}
	if len(all) == 1 && all[0].name == "" {
		if all, err = in.sort(all[0].addrs); err != nil {
			return nil, err
		}
	}
	var out []member
	for _, d := range all {
		if err := addressed(d); err != nil {
			return nil, err
		}
		c, err := in.s.open(in.ctx(), d)
		if err != nil {
			return nil, err
		}
		out = append(out, member{d.name, c})
	}
	return out, nil
}

// sort asks addresses for the names of their datacenters. One that does not
// answer stands for a datacenter of its own, which is its name.
func (in *invocation) sort(addrs []string) ([]datacenter, error) {
	var out []datacenter
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		c, err := in.s.open(in.ctx(), datacenter{addrs: []string{a}})
		if err != nil {
			return nil, err
		}
		name := a
		if st, err := c.Status(in.ctx(), opts...); err == nil {
			name = st.GetDc()
		}
		if i := slices.IndexFunc(out, func(d datacenter) bool { return d.name == name }); i >= 0 {
			out[i].addrs = append(out[i].addrs, a)
			continue
		}
		out = append(out, datacenter{name, []string{a}})
	}
	return out, nil
}
