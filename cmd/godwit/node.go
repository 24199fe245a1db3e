package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// nodeCommands change who the nodes of a datacenter are, and what they own.
func (s *session) nodeCommands() *cli.Command {
	change := func(name, usage, args string, least, most int, asked func(*invocation) (*pb.RingChange, error), more ...cli.Flag) *cli.Command {
		flags := append(slices.Clone(more),
			&cli.BoolFlag{Name: "plan", Usage: "show what it would move, and change nothing (the default)"},
			&cli.BoolFlag{Name: "commit", Usage: "have a majority of the members decide on it"},
			&cli.Uint64Flag{Name: "epoch", Usage: "with --commit: only if the members are still those of epoch `N`, as the plan said"},
		)
		return s.leaf(spec{
			name: name, usage: usage, args: args, least: least, most: most, flags: clusterFlags(flags...),
			run: func(in *invocation) error { return in.changeNodes(name, asked) },
		})
	}
	return &cli.Command{Name: "node", Category: categoryCluster, Usage: "the nodes of a datacenter: who they are and what they own", Subcommands: []*cli.Command{
		s.leaf(spec{name: "list", usage: "list members, and nodes that wait to join", flags: clusterFlags(), run: listNodes}),
		change("join", "let nodes own partitions that were started with serve --join", "ID...", 1, -1, func(in *invocation) (*pb.RingChange, error) {
			return &pb.RingChange{Of: &pb.RingChange_Join{Join: &pb.NodeList{Ids: in.args}}}, nil
		}),
		change("leave", "move everything away from nodes, dead ones too, and then remove them", "ID...", 1, -1, func(in *invocation) (*pb.RingChange, error) {
			return &pb.RingChange{Of: &pb.RingChange_Leave{Leave: &pb.NodeList{Ids: in.args}}}, nil
		}),
		change("drain", "move everything away from nodes, which stay members; --undo gives it back", "ID...", 1, -1, func(in *invocation) (*pb.RingChange, error) {
			if in.Bool("undo") {
				return &pb.RingChange{Of: &pb.RingChange_Undrain{Undrain: &pb.NodeList{Ids: in.args}}}, nil
			}
			return &pb.RingChange{Of: &pb.RingChange_Drain{Drain: &pb.NodeList{Ids: in.args}}}, nil
		}, &cli.BoolFlag{Name: "undo", Usage: "let drained nodes own partitions again"}),
		change("replace", "put a node that was started with serve --join in the place of another, dead or alive", "OLD NEW", 2, 2, func(in *invocation) (*pb.RingChange, error) {
			return &pb.RingChange{Of: &pb.RingChange_Replace{Replace: &pb.ReplaceNode{Old: in.args[0], New: in.args[1]}}}, nil
		}),
		change("weight", "change how much a node owns in relation to others", "ID WEIGHT", 2, 2, func(in *invocation) (*pb.RingChange, error) {
			w, err := strconv.ParseFloat(in.args[1], 64)
			if err != nil {
				return nil, usagef("weight %q is not a number", in.args[1])
			}
			return &pb.RingChange{Of: &pb.RingChange_Weight{Weight: &pb.WeighNode{Id: in.args[0], Weight: w}}}, nil
		}),
		change("cancel", "end a move under way: the owners stay those of now", "", 0, 0, func(*invocation) (*pb.RingChange, error) {
			return &pb.RingChange{Of: &pb.RingChange_Cancel{Cancel: &pb.CancelMove{}}}, nil
		}),
	}}
}

// nodeEntryJSON is a node in the JSON of node list.
type nodeEntryJSON struct {
	ID         string  `json:"id"`
	Rack       string  `json:"rack"`
	Weight     float64 `json:"weight"`
	Role       string  `json:"role"`
	State      string  `json:"state"`
	Votes      bool    `json:"votes"`
	Partitions uint32  `json:"partitions"`
	Target     uint32  `json:"target"`
	GRPC       string  `json:"grpc"`
	Peer       string  `json:"peer"`
}

// nodesJSON is the JSON of node list, one per datacenter.
type nodesJSON struct {
	DC       string          `json:"dc"`
	Epoch    uint64          `json:"epoch"`
	By       string          `json:"by"`
	Note     string          `json:"note"`
	Moving   bool            `json:"moving"`
	Turned   bool            `json:"turned"`
	Majority uint32          `json:"majority"`
	Nodes    []nodeEntryJSON `json:"nodes"`
	Error    string          `json:"error,omitempty"`
}

func roleShown(r pb.NodeRole) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "NODE_ROLE_"))
}

func weightShown(w float64) string { return strconv.FormatFloat(w, 'g', -1, 64) }

func listNodes(in *invocation) error {
	opts, err := in.options()
	if err != nil {
		return err
	}
	dcs, err := in.members()
	if err != nil {
		return err
	}
	all := askAll(dcs, func(d member) (*pb.NodesResponse, error) { return d.Nodes(in.ctx(), opts...) })
	if err := noneAnswered(in.s, all); err != nil {
		return err
	}
	if in.json() {
		out := []nodesJSON{}
		for _, a := range all {
			out = append(out, nodesOf(a))
		}
		return in.s.json(map[string]any{"dcs": out})
	}
	var rows [][]string
	for _, a := range all {
		m := nodesOf(a)
		for _, n := range m.Nodes {
			owns := strconv.FormatUint(uint64(n.Partitions), 10)
			if n.Target != n.Partitions {
				owns += " -> " + strconv.FormatUint(uint64(n.Target), 10)
			}
			votes := ""
			if n.Votes {
				votes = "yes"
			}
			rows = append(rows, []string{m.DC, n.ID, n.Rack, weightShown(n.Weight), n.Role, n.State, votes, owns, n.GRPC})
		}
	}
	return in.s.table([]string{"DC", "NODE", "RACK", "WEIGHT", "ROLE", "STATE", "VOTES", "REPLICAS", "GRPC"}, rows)
}

func nodesOf(a said[*pb.NodesResponse]) nodesJSON {
	r := a.answer
	out := nodesJSON{
		DC: a.dc, Epoch: r.GetEpoch(), By: r.GetBy(), Note: r.GetNote(), Moving: r.GetMoving(), Turned: r.GetTurned(),
		Majority: r.GetMajority(), Nodes: []nodeEntryJSON{},
	}
	if a.err != nil {
		out.Error = a.err.Error()
		return out
	}
	out.DC = r.GetDc()
	for _, n := range r.GetNodes() {
		out.Nodes = append(out.Nodes, nodeEntryJSON{
			ID: n.GetId(), Rack: n.GetRack(), Weight: n.GetWeight(), Role: roleShown(n.GetRole()), State: n.GetState(), Votes: n.GetVotes(),
			Partitions: n.GetPartitions(), Target: n.GetTarget(), GRPC: n.GetGrpcAddr(), Peer: n.GetPeerAddr(),
		})
	}
	return out
}

// changeNodes plans a change, and with --commit has it carried out.
func (in *invocation) changeNodes(name string, asked func(*invocation) (*pb.RingChange, error)) error {
	if in.Bool("plan") && in.Bool("commit") {
		return usagef("--plan changes nothing and --commit does: give one of them")
	}
	change, err := asked(in)
	if err != nil {
		return err
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	if !in.Bool("commit") {
		plan, err := c.PlanChange(in.ctx(), change, opts...)
		if err != nil {
			return err
		}
		return in.printPlan(name, plan)
	}
	done, err := c.CommitChange(in.ctx(), change, in.Uint64("epoch"), opts...)
	if err != nil {
		return err
	}
	if in.json() {
		return in.s.json(map[string]any{"epoch": done.GetEpoch(), "note": done.GetNote(), "moving": done.GetMoving()})
	}
	after := "nothing has to be moved"
	if done.GetMoving() {
		after = "data is moving; see status"
	}
	return in.s.line(fmt.Sprintf("epoch %d: %s; %s", done.GetEpoch(), done.GetNote(), after))
}

func (in *invocation) printPlan(name string, plan *pb.PlanResponse) error {
	if in.json() {
		return in.s.json(planOf(plan))
	}
	for _, p := range plan.GetPlacements() {
		if err := in.printPlacement(plan, p); err != nil {
			return err
		}
	}
	again := append([]string{"godwit node", name}, in.args...)
	if in.Bool("undo") {
		again = append(again, "--undo")
	}
	again = append(again, "--commit", "--epoch", strconv.FormatUint(plan.GetEpoch(), 10))
	return in.s.line("nothing was changed; to do it: " + strings.Join(again, " "))
}

func (in *invocation) printPlacement(plan *pb.PlanResponse, p *pb.PlacementPlan) error {
	if err := in.s.line(fmt.Sprintf("%s, placement %s, %d partitions, copies of each: %d", plan.GetNote(), p.GetPlacement(), p.GetPartitions(), p.GetReplicas())); err != nil {
		return err
	}
	var rows [][]string
	for _, n := range p.GetNodes() {
		share := ""
		if n.GetIdeal() > 0 {
			share = fmt.Sprintf("%.2f", float64(n.GetAfter())/n.GetIdeal())
		}
		rows = append(rows, []string{
			n.GetId(), n.GetRack(), weightShown(n.GetWeight()), strconv.FormatUint(uint64(n.GetBefore()), 10), strconv.FormatUint(uint64(n.GetAfter()), 10),
			share, bytesShown(n.GetBytesIn()), bytesShown(n.GetBytesOut()),
		})
	}
	if err := in.s.table([]string{"NODE", "RACK", "WEIGHT", "BEFORE", "AFTER", "SHARE", "IN", "OUT"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, f := range p.GetFlows() {
		if f.GetTo() != "" {
			rows = append(rows, []string{f.GetFrom(), f.GetTo(), strconv.FormatUint(uint64(f.GetPartitions()), 10), bytesShown(f.GetBytes())})
		}
	}
	if len(rows) > 0 {
		if err := in.s.table([]string{"FROM", "TO", "PARTITIONS", "BYTES"}, rows); err != nil {
			return err
		}
	}
	for _, w := range p.GetWarnings() {
		fmt.Fprintln(in.s.err, "warning: "+w)
	}
	return in.s.line(fmt.Sprintf("%d copies, about %s, are moved; the least possible is %d", p.GetCopies(), bytesShown(p.GetBytes()), p.GetMinimum()))
}

// planOf is the JSON of a plan.
func planOf(plan *pb.PlanResponse) any {
	type nodeJSON struct {
		ID       string  `json:"id"`
		Rack     string  `json:"rack"`
		Weight   float64 `json:"weight"`
		Before   uint32  `json:"before"`
		After    uint32  `json:"after"`
		Ideal    float64 `json:"ideal"`
		BytesIn  uint64  `json:"bytes_in"`
		BytesOut uint64  `json:"bytes_out"`
	}
	type flowJSON struct {
		From       string `json:"from"`
		To         string `json:"to"`
		Partitions uint32 `json:"partitions"`
		Bytes      uint64 `json:"bytes"`
	}
	type placementJSON struct {
		Placement  string     `json:"placement"`
		Partitions uint32     `json:"partitions"`
		Replicas   uint32     `json:"replicas"`
		Copies     uint32     `json:"copies"`
		Minimum    uint32     `json:"minimum"`
		Bytes      uint64     `json:"bytes"`
		Warnings   []string   `json:"warnings"`
		Nodes      []nodeJSON `json:"nodes"`
		Flows      []flowJSON `json:"flows"`
	}
	placements := []placementJSON{}
	for _, p := range plan.GetPlacements() {
		out := placementJSON{
			Placement: p.GetPlacement(), Partitions: p.GetPartitions(), Replicas: p.GetReplicas(), Copies: p.GetCopies(), Minimum: p.GetMinimum(),
			Bytes: p.GetBytes(), Warnings: append([]string{}, p.GetWarnings()...), Nodes: []nodeJSON{}, Flows: []flowJSON{},
		}
		for _, n := range p.GetNodes() {
			out.Nodes = append(out.Nodes, nodeJSON{n.GetId(), n.GetRack(), n.GetWeight(), n.GetBefore(), n.GetAfter(), n.GetIdeal(), n.GetBytesIn(), n.GetBytesOut()})
		}
		for _, f := range p.GetFlows() {
			out.Flows = append(out.Flows, flowJSON{f.GetFrom(), f.GetTo(), f.GetPartitions(), f.GetBytes()})
		}
		placements = append(placements, out)
	}
	return map[string]any{"epoch": plan.GetEpoch(), "note": plan.GetNote(), "at_once": plan.GetAtOnce(), "placements": placements}
}
