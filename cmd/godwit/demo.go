package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/internal/node"
	"github.com/godwitdb/godwit/internal/wan"
	"github.com/godwitdb/godwit/topology"
)

func (s *session) demoCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryRun, name: "demo", usage: "run several datacenters in this process, with an emulated WAN and a prompt",
		flags: []cli.Flag{
			&cli.StringFlag{Name: "dcs", Value: "use1,euw1,apne1", Usage: "`NAMES` of the datacenters"},
			&cli.IntFlag{Name: "nodes", Value: 3, Usage: "nodes of each datacenter"},
			&cli.PathFlag{Name: "data", Value: defaultData, Usage: "data `DIR`"},
			&cli.BoolFlag{Name: "memory", Usage: "keep the data in memory"},
			&cli.IntFlag{Name: "base-port", Value: 7100, Usage: "datacenter i's first node serves gRPC at `PORT` + 1 + 10 i; 0: any ports"},
			&cli.StringFlag{Name: "rtt", Value: "preset", Usage: "round trips: preset, or use1-euw1=76ms,..."},
			&cli.BoolFlag{Name: "no-prompt", Usage: "run until interrupted"},
			&cli.PathFlag{Name: "script", Usage: "run the lines of `FILE` (- is stdin), then end"},
			&cli.PathFlag{Name: "topology", Usage: "`FILE` instead of --dcs and --nodes"},
		},
		run: demo,
	})
}

func demo(in *invocation) error {
	if in.s.demo != nil {
		return usagef("this is a demo already")
	}
	o, err := demoOptions(in)
	if err != nil {
		return err
	}
	lines, err := scriptLines(in)
	if err != nil {
		return err
	}
	began := in.s.now()
	if err := portsFree(in.ctx(), o); err != nil {
		return err
	}
	if err := demoAlone(in); err != nil {
		return err
	}
	if o.Memory {
		// Brokers keep their queues in files: an earlier demo must not leak into this one.
		if o.Dir, err = os.MkdirTemp("", "godwit-demo-"); err != nil {
			return fmt.Errorf("make a directory for the brokers: %w", err)
		}
		defer os.RemoveAll(o.Dir) //nolint:errcheck // the system cleans its temporary files as well
	}
	c, err := startDemo(in, o)
	if err != nil {
		return err
	}
	info := c.Info()
	file := filepath.Join(in.Path("data"), demoFile)
	err = writeDemo(file, &info)
	if err == nil {
		in.s.demo = &info
		in.s.learnPlacements(c.Topology())
		err = in.converse(o, c, began, lines)
	}
	in.s.close()
	in.s.demo = nil
	if removal := os.Remove(file); removal != nil && !errors.Is(removal, os.ErrNotExist) {
		err = errors.Join(err, removal)
	}
	return errors.Join(err, c.Close())
}

// converse takes commands, in whatever way was asked for, until there are no more.
func (in *invocation) converse(o emulated.Options, c *emulated.Cluster, began time.Time, lines []string) error {
	if err := in.banner(o, c, in.s.now().Sub(began)); err != nil {
		return err
	}
	switch {
	case in.Path("script") != "":
		return in.s.script(in.ctx(), lines)
	case in.Bool("no-prompt"):
		<-in.ctx().Done()
		return nil
	}
	return in.s.prompt(in.ctx())
}

// demoOptions are what the flags say.
func demoOptions(in *invocation) (emulated.Options, error) {
	o := emulated.Options{
		Nodes: in.Int("nodes"), Dir: in.Path("data"), Memory: in.Bool("memory"), BasePort: in.Int("base-port"), Version: in.s.version,
		Logger: slog.New(slog.NewTextHandler(in.s.err, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if o.BasePort < 0 || o.BasePort > 65000 {
		return o, usagef("--base-port %d is not between 0 and 65000", o.BasePort)
	}
	if o.Nodes < 1 {
		return o, usagef("--nodes %d: a datacenter has at least one", o.Nodes)
	}
	for name := range strings.SplitSeq(in.String("dcs"), ",") {
		o.DCs = append(o.DCs, strings.TrimSpace(name))
	}
	if file := in.Path("topology"); file != "" {
		t, err := in.loadTopology(file)
		if err != nil {
			return o, err
		}
		o.Topology, o.DCs = t, nil
		for _, d := range t.Datacenters {
			o.DCs = append(o.DCs, d.Name)
		}
	} else if err := checkDCs(o.DCs, o.Nodes); err != nil {
		return o, err
	}
	if rtt := in.String("rtt"); rtt != "preset" {
		var err error
		if o.RTTs, err = wan.ParseRTTs(rtt, o.DCs); err != nil {
			return o, usagef("--rtt: %s", err)
		}
	}
	return o, nil
}

// checkDCs asks the topology whether these datacenters could be.
func checkDCs(names []string, nodes int) error {
	t := &topology.Topology{Version: 1, Cluster: "demo"}
	for _, name := range names {
		d := topology.Datacenter{Name: name}
		for i := range min(nodes, maxDemoNodes+1) {
			d.Nodes = append(d.Nodes, topology.Node{ID: name + "-" + strconv.Itoa(i), Advertise: "127.0.0.1"})
		}
		t.Datacenters = append(t.Datacenters, d)
	}
	if len(names) > maxDemoDCs || nodes > maxDemoNodes {
		return usagef("%d datacenters of %d nodes: at most %d of %d fit into one process", len(names), nodes, maxDemoDCs, maxDemoNodes)
	}
	t.FillDefaults()
	for _, p := range t.Validate() {
		if p.Severity == topology.Error {
			return usagef("--dcs: %s", p.Message)
		}
	}
	return nil
}

// What fits into one process.
const (
	maxDemoDCs   = 16
	maxDemoNodes = 26
)

// startTimeout bounds the start of a demo.
const startTimeout = time.Minute

func startDemo(in *invocation, o emulated.Options) (*emulated.Cluster, error) {
	if err := os.MkdirAll(in.Path("data"), 0o755); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(in.ctx(), startTimeout)
	defer cancel()
	node.SpareProcessors()
	c, err := emulated.Start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	return c, nil
}

// demoAlone reports another demo on the same data directory.
func demoAlone(in *invocation) error {
	dir := in.Path("data")
	if info, err := readDemo(filepath.Join(dir, demoFile)); err == nil && answers(in.ctx(), info) {
		return fmt.Errorf("another demo runs on %s: end it, or give another --data and --base-port", dir)
	}
	return nil
}

// portsFree reports a port that another process listens at, before anything is
// started.
func portsFree(ctx context.Context, o emulated.Options) error {
	if o.BasePort == 0 {
		return nil
	}
	for i := range o.DCs {
		port := o.BasePort + 1 + 10*i
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port %d is in use: end what listens there, or give another --base-port", port)
		}
		if err != nil {
			return fmt.Errorf("listen at port %d: %w", port, err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("listen at port %d: %w", port, err)
		}
	}
	return nil
}

// answers tells whether the demo that wrote a file still runs.
func answers(ctx context.Context, info *emulated.Info) bool {
	return slices.ContainsFunc(info.DCs, func(d emulated.DCInfo) bool {
		dialer := net.Dialer{Timeout: time.Second}
		if len(d.GRPC) == 0 {
			return false
		}
		conn, err := dialer.DialContext(ctx, "tcp", d.GRPC[0])
		return err == nil && conn.Close() == nil
	})
}

// writeDemo writes the file that tells other commands where the demo listens,
// in one step: readers see all of it or nothing.
func writeDemo(file string, info *emulated.Info) error {
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	part := file + ".new"
	if err := os.WriteFile(part, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(part, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// banner tells a person what was started. Off a terminal it goes to err, so
// that a script's output is all there is on out.
func (in *invocation) banner(o emulated.Options, c *emulated.Cluster, took time.Duration) error {
	info, where := in.s.demo, "data in "+in.Path("data")
	if o.Memory {
		where = "data in memory"
	}
	sizes := ""
	if n := len(info.DCs[0].Nodes); !slices.ContainsFunc(info.DCs, func(d emulated.DCInfo) bool { return len(d.Nodes) != n }) {
		sizes = fmt.Sprintf(" x %d nodes", n)
	}
	text := fmt.Sprintf("godwit demo: %d datacenters%s in this process, WAN emulated, %s\n", len(info.DCs), sizes, where)
	text += demoTable(info, roundTrips(c.WAN()))
	if info.Dashboard != "" {
		text += "dashboard " + info.Dashboard + "    "
	}
	first, last := info.DCs[0].Name, info.DCs[len(info.DCs)-1].Name
	if len(info.DCs) > 1 {
		last = info.DCs[1].Name
	}
	text += fmt.Sprintf("ready in %.1fs\ntry:  incr --dc %s hits 7   then   get --all hits   then   wan cut %s\n", took.Seconds(), first, last)
	to := in.s.out
	if !in.s.outTerminal && in.Path("script") != "" {
		to = in.s.err
	}
	_, err := fmt.Fprint(to, text)
	return err
}

// roundTrips gives the emulated round trip of every ordered pair.
func roundTrips(network *wan.Network) map[[2]string]time.Duration {
	out := map[[2]string]time.Duration{}
	for _, l := range network.Links() {
		out[[2]string{l.From, l.To}] += l.Profile.Latency
		out[[2]string{l.To, l.From}] += l.Profile.Latency
	}
	return out
}

// demoTable is the table of the banner.
func demoTable(info *emulated.Info, rtts map[[2]string]time.Duration) string {
	rows := [][]string{{"DC", "GRPC", "NODES", "RTT"}}
	for _, d := range info.DCs {
		rows[0] = append(rows[0], d.Name)
		row := []string{d.Name, d.GRPC[0], nodesShown(d), ""}
		for _, other := range info.DCs {
			cell := "-"
			if other.Name != d.Name {
				cell = rtts[[2]string{d.Name, other.Name}].String()
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var out strings.Builder
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, cell := range r {
			gap := 3
			if i == 3 { // the word RTT belongs to the columns behind it
				gap = 2
			}
			cells[i] = fmt.Sprintf("%-*s", widths[i]+gap, cell)
		}
		out.WriteString("  " + strings.TrimRight(strings.Join(cells, ""), " ") + "\n")
	}
	return out.String()
}

// nodesShown lists the nodes of a datacenter while they are few.
func nodesShown(d emulated.DCInfo) string {
	var ids []string
	for _, n := range d.Nodes {
		ids = append(ids, n.ID)
	}
	if len(ids) > 5 {
		ids = append(ids[:3], "...", ids[len(ids)-1])
	}
	return strings.Join(ids, " ")
}
