package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/loadtest/plan"
	"github.com/godwitdb/godwit/topology"
)

func (s *session) planCommand() *cli.Command {
	text := func(name, value, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Value: value, Usage: usage}
	}
	return s.leaf(spec{
		category: categoryMeasure, name: "plan", usage: "tell what a cluster of a size needs: nodes, partitions, disks, memory, WAN",
		flags: append([]cli.Flag{
			text("keys", "", "`N` keys, such as 10e9"),
			text("value-size", "", "`SIZE` of a value, such as 5KiB"),
			text("key-size", "32", "`SIZE` of a key"),
			text("reads", "0", "reads over all datacenters, such as 10M/s"),
			text("writes", "0", "writes over all datacenters, such as 1M/s"),
			&cli.IntFlag{Name: "dcs", Value: 1, Usage: "`N` datacenters, all of which hold everything"},
			&cli.IntFlag{Name: "replicas", Value: 3, Usage: "`N` in each datacenter"},
			&cli.IntFlag{Name: "cores", Value: 32, Usage: "of a node"},
			&cli.Float64Flag{Name: "busy", Value: 0.6, Usage: "share of the cores that the load may take"},
			&cli.DurationFlag{Name: "read-cpu", Value: 170 * time.Microsecond, Usage: "of all nodes for one read"},
			&cli.DurationFlag{Name: "write-cpu", Value: 760 * time.Microsecond, Usage: "of all nodes of the datacenter that takes a write"},
			&cli.DurationFlag{Name: "apply-cpu", Value: 990 * time.Microsecond, Usage: "of all nodes of each other datacenter"},
			text("disk", "8TB", "`SIZE` of a node's disks"),
			&cli.Float64Flag{Name: "disk-fill", Value: 0.6, Usage: "share of them that data may take"},
			&cli.Float64Flag{Name: "space", Value: 1.6, Usage: "bytes on disk for each byte of keys and values"},
			text("node-memory", "128GiB", "`SIZE` of a node's memory"),
			text("key-memory", "8", "`SIZE` in memory for each key of a node"),
			text("base-memory", "2GiB", "`SIZE` in memory beside keys and the block cache"),
			&cli.Float64Flag{Name: "cache-share", Value: 0.02, Usage: "of a node's live bytes that the block cache holds"},
			text("event-bytes", "50", "`SIZE` on the WAN for each write, beside key and value"),
			&cli.Float64Flag{Name: "compression", Value: 1, Usage: "bytes on the WAN for each byte of events"},
			&cli.IntFlag{Name: "per-node", Value: 64, Usage: "replicas of partitions that a node should hold"},
		}, outputFlags()...),
		run: makePlan,
	})
}

func makePlan(in *invocation) error {
	err := in.notZero("keys", "dcs", "replicas", "cores", "busy", "read-cpu", "write-cpu", "apply-cpu", "disk-fill", "space", "cache-share", "compression", "per-node")
	if err != nil {
		return err
	}
	inputs := plan.Inputs{
		DCs: in.Int("dcs"), Replicas: in.Int("replicas"), Cores: in.Int("cores"), Busy: in.Float64("busy"),
		ReadCPU: in.Duration("read-cpu"), WriteCPU: in.Duration("write-cpu"), ApplyCPU: in.Duration("apply-cpu"),
		DiskFill: in.Float64("disk-fill"), Space: in.Float64("space"), CacheShare: in.Float64("cache-share"),
		Compression: in.Float64("compression"), PerNode: in.Int("per-node"),
	}
	for flag, into := range map[string]*float64{"keys": &inputs.Keys, "reads": &inputs.Reads, "writes": &inputs.Writes} {
		n, err := amount(in.String(flag))
		if err != nil {
			return usagef("--%s: %s", flag, err)
		}
		*into = n
	}
	for flag, into := range map[string]*float64{
		"value-size": &inputs.ValueSize, "key-size": &inputs.KeySize, "disk": &inputs.Disk, "node-memory": &inputs.NodeMemory,
		"key-memory": &inputs.KeyMemory, "base-memory": &inputs.BaseMemory, "event-bytes": &inputs.EventBytes,
	} {
		n, err := topology.ParseSize(in.String(flag))
		if err != nil || n <= 0 {
			return usagef("--%s %q is no size: give bytes such as 128, 5KiB or 8TB", flag, in.String(flag))
		}
		*into = float64(n)
	}
	p, err := plan.Make(inputs)
	if err != nil {
		return usagef("%s", err)
	}
	if in.json() {
		return in.s.json(p)
	}
	return in.printNeeds(p)
}

// amount reads a number of things, or of things a second: 10e9, 10M, 1.5k/s.
func amount(text string) (float64, error) {
	number := strings.TrimSuffix(strings.TrimSpace(text), "/s")
	factor := 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} {
		if cut, ok := strings.CutSuffix(number, suffix); ok {
			number, factor = cut, f
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0) {
		return 0, fmt.Errorf("%.40q is no number: give one such as 10e9, 10M or 250k/s", text)
	}
	return n * factor, nil
}

func (in *invocation) printNeeds(p *plan.Plan) error {
	i, r := p.Inputs, p.Ring
	size := func(b float64) string { return bytesShown(uint64(b)) }
	rate := func(b float64) string { return fmt.Sprintf("%s/s (%.3g Gbit/s)", size(b), b*8/1e9) }
	if err := in.s.line("inputs (each a flag; the figures of a node are measured, see docs/loadtest.md)"); err != nil {
		return err
	}
	err := in.s.table([]string{"INPUT", "VALUE", "FLAG"}, [][]string{
		{"keys", fmt.Sprintf("%.4g of %s", i.Keys, size(i.KeySize)), "--keys --key-size"},
		{"values", size(i.ValueSize), "--value-size"},
		{"load of all datacenters", fmt.Sprintf("%.4g reads/s, %.4g writes/s", i.Reads, i.Writes), "--reads --writes"},
		{"copies", fmt.Sprintf("%d in each of %d datacenters", i.Replicas, i.DCs), "--replicas --dcs"},
		{"CPU of a read", i.ReadCPU.String(), "--read-cpu"},
		{"CPU of a write", i.WriteCPU.String() + " where it is taken, " + i.ApplyCPU.String() + " in each other datacenter", "--write-cpu --apply-cpu"},
		{"cores of a node", fmt.Sprintf("%d, up to %.0f%% busy", i.Cores, i.Busy*100), "--cores --busy"},
		{"disks of a node", fmt.Sprintf("%s, up to %.0f%% full, %.3g bytes for each live one", size(i.Disk), i.DiskFill*100, i.Space), "--disk --disk-fill --space"},
		{
			"memory of a node", fmt.Sprintf("%s: %s and %s a key, blocks of %.3g%% of the data", size(i.NodeMemory), size(i.BaseMemory), size(i.KeyMemory), i.CacheShare*100),
			"--node-memory --base-memory --key-memory --cache-share",
		},
		{"WAN", fmt.Sprintf("%s a write beside key and value, compressed to %.3g", size(i.EventBytes), i.Compression), "--event-bytes --compression"},
	})
	if err != nil {
		return err
	}
	if err := in.s.line(""); err != nil {
		return err
	}
	err = in.s.table([]string{"PLAN", ""}, [][]string{
		{"nodes", fmt.Sprintf("%d: %d in each datacenter, for %s (cpu %d, disk %d, memory %d)", p.Nodes, p.NodesPerDC, p.Because, p.ForCPU, p.ForDisk, p.ForMemory)},
		{"partitions", strconv.Itoa(p.Partitions)},
		{"live data", size(p.LiveBytes) + " (keys and values, once)"},
		{"disk", fmt.Sprintf("%s on each node, %s in each datacenter", size(p.DiskPerNode), size(p.DiskPerDC))},
		{"memory", fmt.Sprintf("%s on each node, %s of it for blocks (serve --cache)", size(p.MemoryPerNode), size(p.CachePerNode))},
		{"cores", fmt.Sprintf("%.0f busy in each datacenter, of %d", p.CoresPerDC, p.NodesPerDC*i.Cores)},
		{"disk writes", size(p.WriteBytes) + "/s of log on each node, before compaction"},
		{"WAN", fmt.Sprintf("%s between each two, each way; %s out of each datacenter, and as much in", rate(p.WANPerPair), rate(p.WANPerDC))},
		{"an outage", size(p.CutHour) + " of log on each node for each hour that a datacenter is away"},
		{"ring", fmt.Sprintf("simulated on %d racks: %d to %d replicas on a node, mean %.1f, the fullest %.3f of it; %d partitions with two owners on one rack",
			r.Racks, r.Least, r.Most, r.Mean, r.Over, r.OneRack)},
		{"a node more on each rack", fmt.Sprintf("moves %.2f%% of the data; an even share of the new ones is %.2f%%", r.Moved*100, r.NewShare*100)},
	})
	return err
}
