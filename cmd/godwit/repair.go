package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

func (s *session) repairCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryCluster, name: "repair",
		usage: "have datacenters compare their partitions with each other and take over what differs; exit 7 if some could not be compared",
		flags: clusterFlags(
			&cli.StringFlag{Name: "from", Usage: "compare only with these datacenters: `A,B`"},
			&cli.IntFlag{Name: "partition", Usage: "only partition `P`, of every placement"},
		),
		run: repair,
	})
}

// repairJSON is the JSON of repair.
type repairJSON struct {
	Done    bool         `json:"done"`
	Failed  uint32       `json:"failed"`
	Pairs   []repairPair `json:"pairs"`
	Missing []string     `json:"missing"` // nodes and datacenters that did not answer
}

// repairPair is what one datacenter took over from another.
type repairPair struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Partitions  uint32 `json:"partitions"`
	Equal       uint32 `json:"equal"` // at first sight
	Compared    uint32 `json:"compared"`
	Failed      uint32 `json:"failed"`
	Error       string `json:"error,omitempty"`
	Keys        uint64 `json:"keys"`
	TreeBytes   uint64 `json:"tree_bytes"`
	DigestBytes uint64 `json:"digest_bytes"`
	CellBytes   uint64 `json:"cell_bytes"`
}

func repair(in *invocation) error {
	req := &pb.RepairRequest{}
	if p := in.Int("partition"); in.IsSet("partition") {
		if p < 0 {
			return usagef("--partition %d is not the number of a partition", p)
		}
		partition := uint32(p)
		req.Partition = &partition
	}
	if list := in.String("from"); list != "" {
		req.From = strings.Split(list, ",")
	}
	dcs, err := in.everyDCOr()
	if err != nil {
		return err
	}
	opts, err := in.options()
	if err != nil {
		return err
	}
	bar := in.repairProgress()
	all := askAll(dcs, func(d member) (*pb.RepairResponse, error) {
		return d.Repair(in.ctx(), onlyOthers(req, d.name), func(told *pb.RepairResponse) { bar.heard(d.name, told) }, opts...)
	})
	bar.end()
	if err := noneAnswered(in.s, all); err != nil {
		return err
	}
	result := repaired(all)
	if in.json() {
		err = in.s.json(result)
	} else {
		err = in.printRepaired(result)
	}
	if err == nil && (!result.Done || result.Failed > 0) {
		err = checkFailed()
	}
	return err
}

// everyDCOr lists every datacenter, or only that of --dc.
func (in *invocation) everyDCOr() ([]member, error) {
	dcs, err := in.everyDC()
	name := in.String("dc")
	if err != nil || name == "" {
		return dcs, err
	}
	if dcs = slices.DeleteFunc(dcs, func(d member) bool { return d.name != name }); len(dcs) == 0 {
		return nil, usagef("--dc: unknown datacenter %q", name)
	}
	return dcs, nil
}

// onlyOthers leaves a datacenter out of those that it is to compare with.
func onlyOthers(req *pb.RepairRequest, self string) *pb.RepairRequest {
	from := slices.DeleteFunc(slices.Clone(req.GetFrom()), func(name string) bool { return name == self })
	if len(from) == 0 {
		from = req.GetFrom() // all, or itself alone: the datacenter says what is wrong with that
	}
	return &pb.RepairRequest{From: from, Partition: req.Partition}
}

func repaired(all []said[*pb.RepairResponse]) *repairJSON {
	out := &repairJSON{Done: true, Pairs: []repairPair{}, Missing: []string{}}
	for _, a := range all {
		out.Done = out.Done && a.err == nil && a.answer.GetDone() && len(a.answer.GetMissing()) == 0
		if a.err != nil {
			out.Missing = append(out.Missing, a.dc)
		}
		out.Missing = append(out.Missing, a.answer.GetMissing()...)
		for _, p := range a.answer.GetPairs() {
			out.Failed += p.GetFailed()
			out.Pairs = append(out.Pairs, repairPair{
				From: p.GetFrom(), To: a.answer.GetDc(), Partitions: p.GetPartitions(), Equal: p.GetEqual(),
				Compared: p.GetFinished() - p.GetEqual() - p.GetFailed(), Failed: p.GetFailed(), Error: p.GetError(),
				Keys: p.GetKeys(), TreeBytes: p.GetTreeBytes(), DigestBytes: p.GetDigestBytes(), CellBytes: p.GetCellBytes(),
			})
		}
	}
	return out
}

func (in *invocation) printRepaired(r *repairJSON) error {
	number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	var rows [][]string
	for _, p := range r.Pairs {
		rows = append(rows, []string{
			p.From, p.To, number(p.Partitions), number(p.Equal), number(p.Compared), number(p.Failed),
			strconv.FormatUint(p.Keys, 10), bytesShown(p.TreeBytes + p.DigestBytes), bytesShown(p.CellBytes),
		})
	}
	if err := in.s.table([]string{"FROM", "TO", "PARTITIONS", "EQUAL", "COMPARED", "FAILED", "KEYS", "DIGESTS", "TAKEN OVER"}, rows); err != nil {
		return err
	}
	for _, p := range r.Pairs {
		if p.Error == "" {
			continue
		}
		if err := in.s.line(fmt.Sprintf("%s from %s: %s", p.To, p.From, p.Error)); err != nil {
			return err
		}
	}
	if len(r.Missing) > 0 {
		return in.s.line("NOT repaired: no answer from " + strings.Join(r.Missing, " "))
	}
	return nil
}

// repairBar shows how far the datacenters are, on a terminal.
type repairBar struct {
	*progress

	mu   sync.Mutex
	told map[string]*pb.RepairResponse
}

func (in *invocation) repairProgress() *repairBar {
	return &repairBar{progress: in.progress(), told: map[string]*pb.RepairResponse{}}
}

func (b *repairBar) heard(dc string, told *pb.RepairResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told[dc] = told
	var done, all, bytes uint64
	for _, t := range b.told {
		for _, p := range t.GetPairs() {
			done, all = done+uint64(p.GetFinished()), all+uint64(p.GetPartitions())
			bytes += p.GetTreeBytes() + p.GetDigestBytes() + p.GetCellBytes()
		}
	}
	b.show("%d of %d partitions compared, %s", done, all, bytesShown(bytes))
}
