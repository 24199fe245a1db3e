package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/internal/node"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/topology"
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
				&cli.StringFlag{Name: "join", Usage: "instead of --topology: join a running datacenter, of which a node serves clients at `HOST:PORT`"},
				&cli.StringFlag{Name: "dc", Usage: "with --join: `NAME` of the datacenter"},
				&cli.StringFlag{Name: "rack", Usage: "with --join: `NAME` of the rack, whose nodes fail together"},
				&cli.Float64Flag{Name: "weight", Value: 1, Usage: "with --join: how much it is to own in relation to others"},
				&cli.StringFlag{Name: "advertise", Usage: "with --join: `ADDR` at which others reach it: HOST (ports of the system's choice) or HOST:PORT for clients, with the next four for peers, gossip, NATS and HTTP"},
				&cli.PathFlag{Name: "cluster-key-file", Usage: "`FILE` with the key that all nodes of the cluster prove to have: 32 bytes, in hexadecimal or Base64; needed off loopback"},
				&cli.StringFlag{Name: "log-level", Value: "info", Usage: "least `LEVEL` of what is logged: debug, info, warn or error"},
				&cli.DurationFlag{Name: "heartbeat", Usage: "longest silence towards the other nodes of the datacenter, the same on all of them (default: 500ms)"},
				&cli.Float64Flag{Name: "phi-threshold", Usage: "suspicion from which on a silent node is passed over (default: 8)"},
				&cli.BoolFlag{Name: "allow-emulation", Usage: "start although the topology has emulated links"},
				&cli.StringFlag{Name: "cache", Usage: "`SIZE` of the memory for blocks read from disk, such as 4GiB; an eighth of it, but 32MiB at least, is taken besides for small values and headers (default: 256MiB)"},
				&cli.StringFlag{Name: "log-bytes", Usage: "`SIZE` of the event log, such as 1GiB: what others miss beyond it is told by comparing trees (default: 1GiB)"},
				&cli.DurationFlag{Name: "verify-every", Usage: "pause between two comparisons of the trees with those of each other datacenter (default: 10m)"},
				&cli.StringFlag{Name: "verify-window", Usage: "begin these comparisons only in this `PART` of every day, in UTC, such as 01:00-05:00 (default: always)"},
				// The chaos tests need these: a clock that is wrong, a disk that a killed
				// process leaves as a power failure would, and links that can be cut.
				&cli.DurationFlag{Name: "test-clock-offset", Hidden: true, Usage: "put this on the wall clock"},
				&cli.BoolFlag{Name: "test-volatile", Hidden: true, Usage: "lose what was not synced when the process is killed"},
				&cli.StringSliceFlag{Name: "test-broker", Hidden: true, Usage: "reach the broker of a node of another datacenter elsewhere: `DC/NODE=ADDR`"},
			},
			run: serve,
		}),
	}
}

func serve(in *invocation) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(in.String("log-level"))); err != nil {
		return usagef("--log-level %q: debug, info, warn or error", in.String("log-level"))
	}
	key, err := clusterKey(in.Path("cluster-key-file"))
	if err != nil {
		return err
	}
	var o node.Options
	switch {
	case in.String("join") != "":
		o, err = in.joining(key)
	default:
		o, err = in.ofTopologyFile()
	}
	if err != nil {
		return err
	}
	if in.Duration("heartbeat") < 0 || in.Float64("phi-threshold") < 0 {
		return usagef("--heartbeat and --phi-threshold are not negative")
	}
	o.Key, o.Version, o.Logger = key, in.s.version, slog.New(slog.NewTextHandler(in.s.err, &slog.HandlerOptions{Level: level}))
	o.Heartbeat, o.PhiThreshold, o.Volatile = in.Duration("heartbeat"), in.Float64("phi-threshold"), in.Bool("test-volatile")
	if offset := in.Duration("test-clock-offset"); offset != 0 {
		o.Wall = func() time.Time { return time.Now().Add(offset) }
	}
	if o.LogBytes, err = in.size("log-bytes", minLog, "64KiB, such as 512MiB or 1GiB"); err != nil {
		return err
	}
	if o.CacheBytes, err = in.size("cache", minCache, "8MiB, such as 256MiB or 4GiB"); err != nil {
		return err
	}
	o.VerifyEvery = in.Duration("verify-every")
	if o.VerifyWindow, err = window(in.String("verify-window")); err != nil {
		return err
	}
	if o.Outbox, err = brokers(in.StringSlice("test-broker")); err != nil {
		return err
	}
	node.SpareProcessors()
	go paceGarbage(in.ctx())
	n, err := node.Start(in.ctx(), o)
	if err != nil {
		return err
	}
	o.Logger.Info("serving", "datacenter", n.DC().DC(), "node", o.Node, "grpc", n.Addrs().GRPC)
	var failed error
	select {
	case <-in.ctx().Done():
	case failed = <-n.Failed():
		failed = fmt.Errorf("node %s must not go on: %w", o.Node, failed)
	}
	o.Logger.Info("stopping", "node", o.Node)
	if err := n.Close(); err != nil {
		return errors.Join(failed, fmt.Errorf("stop node %s: %w", o.Node, err))
	}
	return failed
}

// The least event log and the least cache that make sense, in bytes.
const (
	minLog   = 64 << 10
	minCache = 8 << 20
)

// size reads a flag that names a size; 0 where it is not given.
func (in *invocation) size(flag string, least int64, wanted string) (int64, error) {
	told := in.String(flag)
	if told == "" {
		return 0, nil
	}
	size, err := topology.ParseSize(told)
	if err != nil || size < least {
		return 0, usagef("--%s %q: a size of at least %s", flag, told, wanted)
	}
	return size, nil
}

// brokers reads where the brokers of other datacenters are reached; nil if
// nothing says so.
func brokers(told []string) (func(replication.Peer) string, error) {
	if len(told) == 0 {
		return nil, nil
	}
	at := map[string]string{}
	for _, s := range told {
		peer, addr, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usagef("--test-broker %q: want DC/NODE=ADDR", s)
		}
		at[peer] = addr
	}
	return func(p replication.Peer) string { return at[p.String()] }, nil
}

// ofTopologyFile is how a node starts that the topology names.
func (in *invocation) ofTopologyFile() (node.Options, error) {
	file, id := in.Path("topology"), in.String("node")
	if file == "" || id == "" {
		return node.Options{}, usagef("serve needs --topology FILE and --node ID, or --join HOST:PORT")
	}
	for _, name := range []string{"dc", "rack", "weight", "advertise"} {
		if in.IsSet(name) {
			return node.Options{}, usagef("--%s goes with --join: the topology says it of its own nodes", name)
		}
	}
	t, err := in.loadTopology(file)
	if err != nil {
		return node.Options{}, err
	}
	spec, _, ok := t.NodeByID(id)
	if !ok {
		var ids []string
		for _, d := range t.Datacenters {
			for _, n := range d.Nodes {
				ids = append(ids, n.ID)
			}
		}
		return node.Options{}, usagef("%s has no node %q%s", file, id, didYouMean(id, ids))
	}
	if len(t.Links.Emulate) > 0 && !in.Bool("allow-emulation") {
		return node.Options{}, usagef("%s emulates links, which is for the demo and the load test: remove links.emulate, or start with --allow-emulation to leave it out", file)
	}
	if in.Path("data") == "" && spec.DataDir == "" {
		return node.Options{}, usagef("node %s has no data directory: give --data DIR, or set data_dir in %s", id, file)
	}
	return node.Options{Topology: t, Node: id, Dir: in.Path("data")}, nil
}

// joining is how a node starts that a running datacenter tells all it needs.
func (in *invocation) joining(key []byte) (node.Options, error) {
	if in.Path("topology") != "" {
		return node.Options{}, usagef("--join asks a running node for the topology: give --topology or --join")
	}
	for _, name := range []string{"dc", "node", "advertise", "data"} {
		if !in.IsSet(name) {
			return node.Options{}, usagef("serve --join needs --%s as well", name)
		}
	}
	if _, _, err := net.SplitHostPort(in.String("join")); err != nil {
		return node.Options{}, usagef("--join %q: HOST:PORT at which a node serves clients", in.String("join"))
	}
	spec := topology.Node{ID: in.String("node"), Rack: in.String("rack"), Weight: in.Float64("weight"), DataDir: in.Path("data")}
	if !(spec.Weight >= ring.MinWeight && spec.Weight <= ring.MaxWeight) {
		return node.Options{}, usagef("--weight %v: %v to %v", spec.Weight, ring.MinWeight, ring.MaxWeight)
	}
	var err error
	if spec.Advertise, spec.Ports, err = advertised(in.String("advertise")); err != nil {
		return node.Options{}, err
	}
	ctx, cancel := context.WithTimeout(in.ctx(), joinTimeout)
	defer cancel()
	o, err := node.AskToJoin(ctx, in.String("join"), key, in.String("dc"), spec, in.Path("data"))
	if err != nil {
		return o, unavailablef("join: %s", err)
	}
	return o, nil
}

// joinTimeout bounds the question to the seed.
const joinTimeout = 15 * time.Second

// advertised takes an address apart: a port stands for itself and the four after it.
func advertised(addr string) (host string, ports topology.Ports, err error) {
	host, port, split := net.SplitHostPort(addr)
	if split != nil {
		return strings.Trim(addr, "[]"), topology.Ports{}, nil //nolint:nilerr // it is a host alone
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || n > 65535-4 {
		return "", ports, usagef("--advertise %q: HOST, or HOST:PORT with a port from 1 to 65531", addr)
	}
	p := int(n)
	return host, topology.Ports{GRPC: p, Peer: p + 1, Gossip: p + 2, NATS: p + 3, HTTP: p + 4}, nil
}

// clusterKey reads the cluster's key; none without a file.
func clusterKey(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--cluster-key-file: %s", err)
	}
	if len(b) == rpc.KeyBytes {
		return b, nil
	}
	text := strings.TrimSpace(string(b))
	if key, err := hex.DecodeString(text); err == nil && len(key) == rpc.KeyBytes {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == rpc.KeyBytes {
		return key, nil
	}
	return nil, usagef("--cluster-key-file %s: want %d bytes, as they are or in hexadecimal or Base64; make one with: openssl rand -hex %d", file, rpc.KeyBytes, rpc.KeyBytes)
}
