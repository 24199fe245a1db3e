package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

func (s *session) parkedCommands() *cli.Command {
	one := func(name, usage string, action pb.ParkedAction) *cli.Command {
		return s.leaf(spec{
			name: name, usage: usage, args: "ID", least: 1, most: 1, flags: clusterFlags(),
			run: func(in *invocation) error { return in.parkedOne(action) },
		})
	}
	return &cli.Command{
		Name: "parked", Category: categoryCluster, Usage: "batches from other datacenters that could not be applied",
		Subcommands: []*cli.Command{
			s.leaf(spec{name: "list", usage: "list them, of every datacenter", flags: clusterFlags(), run: listParked}),
			one("show", "show one, with its data", pb.ParkedAction_PARKED_ACTION_UNSPECIFIED),
			one("retry", "apply one again; it stays if that fails (exit 6)", pb.ParkedAction_PARKED_ACTION_RETRY),
			one("drop", "forget one for good; the clocks go on to ask for what it held", pb.ParkedAction_PARKED_ACTION_DROP),
		},
	}
}

// parkedJSON is a parked batch as -o json prints it, one object a line.
type parkedJSON struct {
	ID        string `json:"id"`
	DC        string `json:"dc"`
	Node      string `json:"node"`
	From      string `json:"from"` // datacenter/node
	Lane      uint32 `json:"lane"`
	Placement string `json:"placement"`
	Partition uint32 `json:"partition"`
	Seq       uint64 `json:"seq"`
	Reason    string `json:"reason"`
	At        string `json:"at"`
	Bytes     uint64 `json:"bytes"`
	Retriable bool   `json:"retriable"`
	Data      any    `json:"data,omitempty"`
}

func (s *session) parkedOf(dc string, p *pb.ParkedItem) parkedJSON {
	out := parkedJSON{
		ID: p.GetId(), DC: dc, Node: p.GetNode(), From: p.GetFromDc() + "/" + p.GetFromNode(), Lane: p.GetLane(),
		Placement: s.placementName(p.GetPlacement()), Partition: p.GetPartition(), Seq: p.GetSeq(), Reason: p.GetReason(),
		At: time.UnixMilli(int64(p.GetAtUnixMs())).UTC().Format(time.RFC3339), Bytes: p.GetBytes(),
		Retriable: !p.GetCut() && p.GetFromDc() != dc,
	}
	if len(p.GetData()) > 0 {
		out.Data = jsonBytes(p.GetData())
	}
	return out
}

// askParked asks every datacenter, or that of --dc.
func (in *invocation) askParked(req *pb.ParkedRequest) ([]said[*pb.ParkedResponse], error) {
	dcs, err := in.everyDCOr()
	if err != nil {
		return nil, err
	}
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	return askAll(dcs, func(d member) (*pb.ParkedResponse, error) { return d.Parked(in.ctx(), req, opts...) }), nil
}

func listParked(in *invocation) error {
	all, err := in.askParked(&pb.ParkedRequest{})
	if err != nil {
		return err
	}
	if err := noneAnswered(in.s, all); err != nil {
		return err
	}
	var rows [][]string
	for _, a := range all {
		for _, p := range a.answer.GetItems() {
			item := in.s.parkedOf(a.answer.GetDc(), p)
			if !in.json() {
				partition := strconv.FormatUint(uint64(item.Partition), 10)
				rows = append(rows, []string{item.ID, item.DC, item.Node, item.From, partition, bytesShown(item.Bytes), item.At, item.Reason})
			} else if err := in.s.json(item); err != nil {
				return err
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return in.s.table([]string{"ID", "DC", "NODE", "FROM", "PARTITION", "SIZE", "AT", "REASON"}, rows)
}

// parkedOne shows, tries again or drops a batch wherever it is parked.
func (in *invocation) parkedOne(action pb.ParkedAction) error {
	all, err := in.askParked(&pb.ParkedRequest{Id: in.args[0], Action: action})
	if err != nil {
		return err
	}
	found := false
	var failed error
	for _, a := range all {
		if a.err != nil && (failed == nil || exitCode(failed) == exitNotFound) {
			failed = a.err
		}
		for _, p := range a.answer.GetItems() {
			found = true
			if err := in.printParked(action, in.s.parkedOf(a.answer.GetDc(), p), p.GetData()); err != nil {
				return err
			}
		}
	}
	if found && failed != nil && exitCode(failed) == exitNotFound {
		return nil // at one datacenter, that is
	}
	return failed
}

func (in *invocation) printParked(action pb.ParkedAction, p parkedJSON, data []byte) error {
	if in.json() {
		return in.s.json(p)
	}
	switch action {
	case pb.ParkedAction_PARKED_ACTION_RETRY:
		return in.s.line(fmt.Sprintf("applied: %s on %s", p.ID, p.Node))
	case pb.ParkedAction_PARKED_ACTION_DROP:
		return in.s.line(fmt.Sprintf("dropped: %s on %s", p.ID, p.Node))
	case pb.ParkedAction_PARKED_ACTION_UNSPECIFIED:
	}
	return in.s.line(fmt.Sprintf("%s on %s/%s, from %s, partition %d of %s, %s, at %s\n%s\n%s",
		p.ID, p.DC, p.Node, p.From, p.Partition, p.Placement, bytesShown(p.Bytes), p.At, p.Reason, hex.Dump(data)))
}
