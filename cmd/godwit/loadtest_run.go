package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/internal/node"
	"github.com/godwitdb/godwit/internal/wan"
	"github.com/godwitdb/godwit/loadtest"
)

// loadTest is the cluster under a load test, and how to reach it.
type loadTest struct {
	in        *invocation
	opts      loadtest.Options
	transport client.Transport
	name      string
	dcs       []datacenter
	rtts      *wan.RTTs // said by --rtt for links that are real
	members   []member  // that equality is asked of

	own     *emulated.Cluster // nil: it runs elsewhere
	dir     string            // of own
	clients []*client.Client
}

// emulate starts a cluster for the test alone.
func (lt *loadTest) emulate(what string) error {
	in := lt.in
	if in.String("addr") != "" || in.Path("topology") != "" {
		return usagef("--emulate starts a cluster; it does not go with --addr and --topology")
	}
	o := emulated.Options{
		Nodes: in.Int("nodes"), Memory: in.Bool("memory"), Version: in.s.version,
		Logger: slog.New(slog.NewTextHandler(in.s.err, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	switch what {
	case "2dc":
		o.DCs = []string{"use1", "euw1"}
	case "3dc":
		o.DCs = []string{"use1", "euw1", "apne1"}
	default:
		if _, err := os.Stat(what); errors.Is(err, os.ErrNotExist) {
			return usagef("--emulate %q is neither 2dc nor 3dc, and no topology file", what)
		}
		t, err := in.loadTopology(what)
		if err != nil {
			return err
		}
		o.Topology = t
		for _, d := range t.Datacenters {
			o.DCs = append(o.DCs, d.Name)
		}
	}
	if o.Topology == nil {
		if err := checkDCs(o.DCs, o.Nodes); err != nil {
			return err
		}
	}
	if rtt := in.String("rtt"); rtt != "preset" {
		var err error
		if o.RTTs, err = wan.ParseRTTs(rtt, o.DCs); err != nil {
			return usagef("--rtt: %s", err)
		}
	}
	if err := lt.check(o.DCs, plannedNodes(o)); err != nil {
		return err
	}
	var err error
	if lt.dir, err = os.MkdirTemp("", "godwit-loadtest-"); err != nil {
		return fmt.Errorf("make a directory for the nodes: %w", err)
	}
	o.Dir = filepath.Join(lt.dir, "nodes")
	where := "on disk"
	if o.Memory {
		where = "in memory"
	}
	lt.name = fmt.Sprintf("emulated: %s x %d nodes, data %s", strings.Join(o.DCs, " "), len(plannedNodes(o))/len(o.DCs), where)
	fmt.Fprintln(in.s.err, "starting "+lt.name)
	if lt.own, err = startEmulated(in.ctx(), o); err != nil {
		return errors.Join(err, lt.close())
	}
	info := lt.own.Info()
	in.s.demo = &info
	in.s.learnPlacements(lt.own.Topology())
	lt.dcs = ofDemo(&info)
	return nil
}

// plannedNodes are the names of the nodes that a cluster will have.
func plannedNodes(o emulated.Options) []string {
	var out []string
	if o.Topology != nil {
		for _, d := range o.Topology.Datacenters {
			for _, n := range d.Nodes {
				out = append(out, n.ID)
			}
		}
		return out
	}
	for _, dc := range o.DCs {
		for i := range o.Nodes {
			out = append(out, dc+"-"+string(rune('a'+i)))
		}
	}
	return out
}

// check tells what cannot be done at datacenters and nodes of these names, before
// anything is started.
func (lt *loadTest) check(dcs, nodes []string) error {
	if err := loadtest.CheckFaults(lt.opts.Faults, dcs, nodes, lt.opts.Duration); err != nil {
		return usagef("%s: %s", lt.in.Path("faults"), err)
	}
	if err := lt.opts.Validate(dcs); err != nil {
		return usagef("%s", err)
	}
	return nil
}

// find takes the cluster that the connection flags name, or those of its
// datacenters that --dc names.
func (lt *loadTest) find() error {
	in := lt.in
	all, err := in.directory()
	if err != nil {
		return err
	}
	if len(all) == 1 && all[0].name == "" {
		if all, err = in.sort(all[0].addrs); err != nil {
			return err
		}
	}
	var names []string
	for _, d := range all {
		names = append(names, d.name)
	}
	wanted := names
	if list := cmp.Or(in.String("dc"), in.s.getenv("GODWIT_DC")); list != "" {
		wanted = strings.Split(list, ",")
	}
	for _, name := range wanted {
		i := slices.IndexFunc(all, func(d datacenter) bool { return d.name == name })
		if i < 0 {
			return usagef("unknown datacenter %q (known: %s)", name, strings.Join(names, ", "))
		}
		if err := addressed(all[i]); err != nil {
			return err
		}
		lt.dcs = append(lt.dcs, all[i])
	}
	if rtt := in.String("rtt"); rtt != "preset" {
		rtts, err := wan.ParseRTTs(rtt, names)
		if err != nil {
			return usagef("--rtt: %s", err)
		}
		lt.rtts = &rtts
	}
	lt.name = "running: " + strings.Join(wanted, " ")
	return lt.check(wanted, nil)
}

// run opens the clients and makes the test.
func (lt *loadTest) run() (*loadtest.Report, error) {
	in, o := lt.in, lt.opts
	var names []string
	for _, d := range lt.dcs {
		c, err := client.Open(in.ctx(), client.Options{
			Addrs: d.addrs, DC: d.name, Timeout: o.Timeout, Transport: lt.transport, RoundRobin: true, MaxInFlight: max(1024, 2*o.Concurrency),
		})
		if err != nil {
			return nil, usagef("%s", err)
		}
		lt.clients = append(lt.clients, c)
		names = append(names, d.name)
	}
	everyone, err := in.everyDC()
	if err != nil {
		return nil, err
	}
	lt.members = slices.DeleteFunc(everyone, func(m member) bool { return !slices.Contains(names, m.name) })
	if err := lt.answers(); err != nil {
		return nil, err
	}
	o.Clients, o.Cluster, o.ClusterName = lt.clients, lt, lt.name
	o.Progress = loadtest.Live(in.s.err, in.s.errTerminal && in.s.getenv("NO_COLOR") == "", names)
	return loadtest.Run(in.ctx(), o)
}

// answers asks each datacenter once, so that a test of nothing does not begin.
func (lt *loadTest) answers() error {
	opts, err := lt.in.options()
	if err != nil {
		return err
	}
	for _, m := range lt.members {
		if _, err := m.Status(lt.in.ctx(), opts...); err != nil {
			return fmt.Errorf("datacenter %s: %w", m.name, err)
		}
	}
	return nil
}

func (lt *loadTest) close() error {
	var errs []error
	for _, c := range lt.clients {
		errs = append(errs, c.Close())
	}
	lt.clients = nil
	if lt.own != nil {
		lt.in.s.close()
		lt.in.s.demo = nil
		errs = append(errs, lt.own.Close())
		lt.own = nil
	}
	if lt.dir != "" {
		errs = append(errs, os.RemoveAll(lt.dir))
	}
	return errors.Join(errs...)
}

var _ loadtest.Cluster = (*loadTest)(nil)

// startEmulated starts a cluster within the time that a demo may take.
func startEmulated(ctx context.Context, o emulated.Options) (*emulated.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	node.SpareProcessors()
	c, err := emulated.Start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start the emulated cluster: %w", err)
	}
	return c, nil
}
