package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// clusterCommands show how datacenters are doing.
func (s *session) clusterCommands() []*cli.Command {
	return []*cli.Command{
		s.leaf(spec{
			category: categoryCluster, name: "status", usage: "show the nodes of every datacenter, or of --dc", flags: clusterFlags(), run: status,
		}),
		s.leaf(spec{
			category: categoryCluster, name: "ring", usage: "show who owns what in every datacenter, or in --dc",
			flags: clusterFlags(&cli.StringFlag{Name: "key", Usage: "only the owners of `KEY`"}), run: showRing,
		}),
		s.nodeCommands(),
		s.dcCommands(),
		s.conflictsCommands(),
	}
}

// members are the datacenters to ask: the one of --dc, or all.
func (in *invocation) members() ([]member, error) {
	if in.String("dc") == "" {
		return in.everyDC()
	}
	c, err := in.client()
	if err != nil {
		return nil, err
	}
	return []member{{in.String("dc"), c}}, nil
}

// said is what one datacenter answered.
type said[T any] struct {
	dc     string
	answer T
	err    error
}

// askAll asks datacenters at once and keeps their order.
func askAll[T any](dcs []member, ask func(member) (T, error)) []said[T] {
	out := make([]said[T], len(dcs))
	var wg sync.WaitGroup
	for i, d := range dcs {
		wg.Go(func() {
			answer, err := ask(d)
			out[i] = said[T]{d.name, answer, err}
		})
	}
	wg.Wait()
	return out
}

// noneAnswered is the error of asking everywhere when nobody answered, else nil.
// What single datacenters did not answer goes to err.
func noneAnswered[T any](s *session, all []said[T]) error {
	var errs []error
	for _, a := range all {
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.dc, a.err))
		}
	}
	if len(errs) == len(all) {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		fmt.Fprintln(s.err, "warning: "+err.Error())
	}
	return nil
}

// statusJSON is the JSON of status, one per datacenter.
type statusJSON struct {
	Cluster         string     `json:"cluster,omitempty"`
	DC              string     `json:"dc"`
	Node            string     `json:"node,omitempty"`
	Version         string     `json:"version,omitempty"`
	TopologyVersion uint64     `json:"topology_version,omitempty"`
	TopologyHash    string     `json:"topology_hash,omitempty"`
	Nodes           []nodeJSON `json:"nodes"`
	Error           string     `json:"error,omitempty"`
}

type nodeJSON struct {
	ID          string  `json:"id"`
	Rack        string  `json:"rack"`
	Weight      float64 `json:"weight"`
	State       string  `json:"state"`
	Reachable   bool    `json:"reachable"`
	ReadOnly    bool    `json:"read_only"`
	GRPC        string  `json:"grpc"`
	Partitions  uint32  `json:"partitions"`
	Keys        uint64  `json:"keys"`
	DiskBytes   uint64  `json:"disk_bytes"`
	LogEvents   uint64  `json:"log_events"`
	Conflicts   uint64  `json:"conflicts"`      // on its replicas
	Arisen      uint64  `json:"conflicts_seen"` // there, since it started
	StableLagMS uint64  `json:"stable_lag_ms"`
	UptimeMS    uint64  `json:"uptime_ms"`

	PhiThreshold float64    `json:"phi_threshold"`
	HeartbeatMS  uint64     `json:"heartbeat_ms"`
	Peers        []peerJSON `json:"peers"` // how the node finds the others of its datacenter

	Moving *movingJSON `json:"moving,omitempty"` // while owners change

	Recovering uint32 `json:"recovering,omitempty"` // replicas that do not count for reads: the disk is new
}

type peerJSON struct {
	ID          string  `json:"id"`
	Alive       bool    `json:"alive"`
	Phi         float64 `json:"phi"`
	Outstanding uint32  `json:"outstanding"`
	ReadMeanMS  float64 `json:"read_mean_ms"`
	ReadP95MS   float64 `json:"read_p95_ms"`
}

func peersOf(n *pb.NodeStatus) []peerJSON {
	out := []peerJSON{}
	for _, p := range n.GetPeers() {
		out = append(out, peerJSON{p.GetId(), p.GetAlive(), p.GetPhi(), p.GetOutstanding(), p.GetReadMeanMs(), p.GetReadP95Ms()})
	}
	return out
}

func status(in *invocation) error {
	opts, err := in.options()
	if err != nil {
		return err
	}
	dcs, err := in.members()
	if err != nil {
		return err
	}
	all := askAll(dcs, func(d member) (*pb.StatusResponse, error) { return d.Status(in.ctx(), opts...) })
	if err := noneAnswered(in.s, all); err != nil {
		return err
	}
	warnOfTopologies(in.s, all)
	if in.json() {
		out := []statusJSON{}
		for _, a := range all {
			out = append(out, statusOf(a))
		}
		return in.s.json(map[string]any{"dcs": out})
	}
	var rows [][]string
	for _, a := range all {
		if a.err != nil {
			rows = append(rows, []string{a.dc, "", "", "no answer"})
		}
		for _, n := range a.answer.GetNodes() {
			rows = append(rows, []string{
				a.answer.GetDc(), n.GetId(), n.GetRack(), stateShown(n), n.GetGrpcAddr(), strconv.FormatFloat(n.GetWeight(), 'g', -1, 64),
				strconv.FormatUint(uint64(n.GetPartitions()), 10), strconv.FormatUint(n.GetKeys(), 10), bytesShown(n.GetDiskBytes()),
				strconv.FormatUint(n.GetLogEvents(), 10), duration(time.Duration(n.GetStableLagMs()) * time.Millisecond),
				(time.Duration(n.GetUptimeMs()) * time.Millisecond).Round(time.Second).String(),
			})
		}
	}
	header := []string{"DC", "NODE", "RACK", "STATE", "GRPC", "WEIGHT", "PARTITIONS", "KEYS", "DISK", "LOG", "UNSTABLE", "UPTIME"}
	return in.s.table(header, rows)
}

// stateShown is the state of a node, with what is to be known of it besides.
func stateShown(n *pb.NodeStatus) string {
	state := n.GetState()
	if !n.GetReachable() {
		state += " (no answer)"
	}
	if n.GetReadOnly() {
		state += " (read only)"
	}
	if left := n.GetRecovering(); left > 0 {
		state += fmt.Sprintf(" (recovering: %d partitions)", left)
	}
	if text := movingShown(n.GetMoving()); text != "" {
		state += " (" + text + ")"
	}
	return state
}

func statusOf(a said[*pb.StatusResponse]) statusJSON {
	r := a.answer
	out := statusJSON{
		Cluster: r.GetCluster(), DC: a.dc, Node: r.GetNode(), Version: r.GetVersion(),
		TopologyVersion: r.GetTopologyVersion(), TopologyHash: r.GetTopologyHash(), Nodes: []nodeJSON{},
	}
	if a.err != nil {
		out.Error = a.err.Error()
		return out
	}
	out.DC = r.GetDc()
	for _, n := range r.GetNodes() {
		out.Nodes = append(out.Nodes, nodeJSON{
			ID: n.GetId(), Rack: n.GetRack(), Weight: n.GetWeight(), State: n.GetState(), Reachable: n.GetReachable(), ReadOnly: n.GetReadOnly(),
			GRPC: n.GetGrpcAddr(), Partitions: n.GetPartitions(), Keys: n.GetKeys(), DiskBytes: n.GetDiskBytes(),
			LogEvents: n.GetLogEvents(), Conflicts: n.GetConflicts(), Arisen: n.GetConflictsSeen(), StableLagMS: n.GetStableLagMs(), UptimeMS: n.GetUptimeMs(),
			PhiThreshold: n.GetPhiThreshold(), HeartbeatMS: n.GetHeartbeatMs(), Peers: peersOf(n), Moving: movingOf(n.GetMoving()), Recovering: n.GetRecovering(),
		})
	}
	return out
}

// ringJSON is the JSON of ring, one per datacenter.
type ringJSON struct {
	DC         string      `json:"dc"`
	Placement  string      `json:"placement,omitempty"`
	Partitions uint32      `json:"partitions"`
	Owners     []ownerJSON `json:"owners"`
	Shares     []shareJSON `json:"shares"`
	Error      string      `json:"error,omitempty"`
}

type ownerJSON struct {
	Partition uint32   `json:"partition"`
	Nodes     []string `json:"nodes"`
}

type shareJSON struct {
	Node       string  `json:"node"`
	Rack       string  `json:"rack"`
	Weight     float64 `json:"weight"`
	Partitions uint32  `json:"partitions"`
	Share      float64 `json:"share"`
}

func showRing(in *invocation) error {
	opts, err := in.options()
	if err != nil {
		return err
	}
	dcs, err := in.members()
	if err != nil {
		return err
	}
	all := askAll(dcs, func(d member) (*pb.RingResponse, error) {
		if in.IsSet("key") {
			return d.RingOf(in.ctx(), in.String("key"), opts...)
		}
		return d.Ring(in.ctx(), opts...)
	})
	if err := noneAnswered(in.s, all); err != nil {
		return err
	}
	if in.json() {
		out := []ringJSON{}
		for _, a := range all {
			out = append(out, ringOf(a))
		}
		return in.s.json(map[string]any{"dcs": out})
	}
	var rows [][]string
	if in.IsSet("key") {
		for _, a := range all {
			for _, o := range a.answer.GetOwners() {
				rows = append(rows, []string{a.dc, a.answer.GetPlacement(), strconv.FormatUint(uint64(o.GetPartition()), 10), strings.Join(o.GetNodes(), " ")})
			}
		}
		return in.s.table([]string{"DC", "PLACEMENT", "PARTITION", "OWNERS"}, rows)
	}
	for _, a := range all {
		for _, n := range a.answer.GetShares() {
			rows = append(rows, []string{
				a.dc, n.GetNode(), n.GetRack(), strconv.FormatFloat(n.GetWeight(), 'g', -1, 64),
				fmt.Sprintf("%d of %d", n.GetPartitions(), a.answer.GetPartitions()), fmt.Sprintf("%.2f", n.GetShare()),
			})
		}
	}
	return in.s.table([]string{"DC", "NODE", "RACK", "WEIGHT", "PARTITIONS", "SHARE"}, rows)
}

func ringOf(a said[*pb.RingResponse]) ringJSON {
	out := ringJSON{DC: a.dc, Placement: a.answer.GetPlacement(), Partitions: a.answer.GetPartitions(), Owners: []ownerJSON{}, Shares: []shareJSON{}}
	if a.err != nil {
		out.Error = a.err.Error()
	}
	for _, o := range a.answer.GetOwners() {
		out.Owners = append(out.Owners, ownerJSON{o.GetPartition(), o.GetNodes()})
	}
	for _, n := range a.answer.GetShares() {
		out.Shares = append(out.Shares, shareJSON{n.GetNode(), n.GetRack(), n.GetWeight(), n.GetPartitions(), n.GetShare()})
	}
	return out
}

// stampShown is hybrid logical time, in microseconds since 1970, for people.
func stampShown(us uint64) string { return since(time.UnixMicro(int64(us))) }
