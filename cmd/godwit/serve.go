package main

import (
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/internal/node"
)

// runCommands run nodes. A demo's prompt does not have them.
func (s *session) runCommands() []*cli.Command {
	return []*cli.Command{
		s.demoCommand(),
		s.leaf(spec{
			category: categoryRun, name: "serve", usage: "run one node of a cluster until interrupted",
			flags: []cli.Flag{
				&cli.PathFlag{Name: "topology", Usage: "`FILE` that describes the cluster"},
				&cli.StringFlag{Name: "node", Usage: "`ID` of this node in the topology"},
				&cli.PathFlag{Name: "data", Usage: "data `DIR` (default: the topology's data_dir)"},
				&cli.StringFlag{Name: "log-level", Value: "info", Usage: "least `LEVEL` of what is logged: debug, info, warn or error"},
				&cli.DurationFlag{Name: "heartbeat", Usage: "longest silence towards the other nodes of the datacenter, the same on all of them (default: 500ms)"},
				&cli.Float64Flag{Name: "phi-threshold", Usage: "suspicion from which on a silent node is passed over (default: 8)"},
				&cli.BoolFlag{Name: "allow-emulation", Usage: "start although the topology has emulated links"},
			},
			run: serve,
		}),
	}
}

func serve(in *invocation) error {
	file, id := in.Path("topology"), in.String("node")
	if file == "" || id == "" {
		return usagef("serve needs --topology FILE and --node ID")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(in.String("log-level"))); err != nil {
		return usagef("--log-level %q: debug, info, warn or error", in.String("log-level"))
	}
	t, err := in.loadTopology(file)
	if err != nil {
		return err
	}
	spec, dcName, ok := t.NodeByID(id)
	if !ok {
		var ids []string
		for _, d := range t.Datacenters {
			for _, n := range d.Nodes {
				ids = append(ids, n.ID)
			}
		}
		return usagef("%s has no node %q%s", file, id, didYouMean(id, ids))
	}
	if len(t.Links.Emulate) > 0 && !in.Bool("allow-emulation") {
		return usagef("%s emulates links, which is for the demo and the load test: remove links.emulate, or start with --allow-emulation to leave it out", file)
	}
	if in.Path("data") == "" && spec.DataDir == "" {
		return usagef("node %s has no data directory: give --data DIR, or set data_dir in %s", id, file)
	}
	log := slog.New(slog.NewTextHandler(in.s.err, &slog.HandlerOptions{Level: level}))
	if in.Duration("heartbeat") < 0 || in.Float64("phi-threshold") < 0 {
		return usagef("--heartbeat and --phi-threshold are not negative")
	}
	n, err := node.Start(in.ctx(), node.Options{
		Topology: t, Node: id, Dir: in.Path("data"), Version: in.s.version, Logger: log,
		Heartbeat: in.Duration("heartbeat"), PhiThreshold: in.Float64("phi-threshold"),
	})
	if err != nil {
		return err
	}
	log.Info("serving", "datacenter", dcName, "node", id, "grpc", n.Addrs().GRPC)
	<-in.ctx().Done()
	log.Info("stopping", "node", id)
	if err := n.Close(); err != nil {
		return fmt.Errorf("stop node %s: %w", id, err)
	}
	return nil
}
