package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

func (s *session) explainCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryCluster, name: "explain", usage: "show the events behind a key, who minted them, and how each stands in every datacenter",
		args: "KEY", least: 1, most: 1,
		flags: clusterFlags(&cli.IntFlag{Name: "limit", Value: 100, Usage: "show at most `N` events"}), run: explain,
	})
}

// account is what is known of a key; its fields are the JSON of explain.
type account struct {
	Key       any         `json:"key"`
	Bucket    string      `json:"bucket"`
	Placement string      `json:"placement"`
	Partition uint32      `json:"partition"`
	Kind      string      `json:"kind"`
	Conflict  bool        `json:"conflict"`
	After     any         `json:"after"` // what the merge of all will be
	Reason    string      `json:"reason"`
	DCs       []dcAccount `json:"dcs"`
	Events    []*evidence `json:"events"` // that are live somewhere
	More      int         `json:"more"`   // events that --limit left out

	after reading
}

// dcAccount is what the owner that answered for a datacenter holds.
type dcAccount struct {
	DC       string   `json:"dc"`
	Node     string   `json:"node,omitempty"` // that answered
	Owners   []string `json:"owners"`
	Value    any      `json:"value"` // null where absent
	Conflict bool     `json:"conflict"`
	Expires  string   `json:"expires_at,omitempty"`
	Waiting  int      `json:"waiting"` // cells with removals of events that have yet to come
	Error    string   `json:"error,omitempty"`

	reading reading
}

func explain(in *invocation) error {
	if in.Int("limit") < 1 {
		return usagef("--limit %d is not positive", in.Int("limit"))
	}
	dcs, err := in.everyDC()
	if err != nil {
		return err
	}
	k := keyRef{in.bucket(), in.args[0]}
	all, err := in.copies(dcs, k)
	if err != nil {
		return err
	}
	m, err := in.mergeOf(k, all)
	if err != nil {
		return err
	}
	opts, err := in.options()
	if err != nil {
		return err
	}
	names := actorsOf(askAll(dcs, func(d member) (*pb.StatusResponse, error) { return d.Status(in.ctx(), opts...) }))
	a := &account{
		Key: jsonBytes(k.key), Bucket: k.bucket, Kind: m.after.kindShown(m.values), Conflict: m.after.conflict(),
		After: m.after.json(), Reason: m.reason, DCs: []dcAccount{}, Events: evidenceOf(all, names), after: m.after,
	}
	if len(a.Events) == 0 {
		return absent()
	}
	if limit := in.Int("limit"); len(a.Events) > limit {
		a.More, a.Events = len(a.Events)-limit, a.Events[:limit]
	}
	rings := askAll(dcs, func(d member) (*pb.RingResponse, error) { return d.RingOf(in.ctx(), k.key, opts...) })
	for i, one := range all {
		a.add(one, rings[i].answer, m.values[one.dc])
	}
	if in.json() {
		return in.s.json(a)
	}
	return in.printAccount(a)
}

// add takes in what one datacenter says.
func (a *account) add(one said[*copied], ring *pb.RingResponse, r reading) {
	d := dcAccount{DC: one.dc, Owners: []string{}, reading: r}
	for _, o := range ring.GetOwners() {
		a.Placement, a.Partition = ring.GetPlacement(), o.GetPartition()
		d.Owners = append(d.Owners, o.GetNodes()...)
	}
	if one.err != nil {
		d.Error = one.err.Error()
	} else {
		d.Node, d.Value, d.Conflict, d.Waiting = one.answer.node, r.json(), r.conflict(), len(one.answer.Residue)
		if !r.expires.IsZero() {
			d.Expires = since(r.expires)
		}
	}
	a.DCs = append(a.DCs, d)
}

func (in *invocation) printAccount(a *account) error {
	head := fmt.Sprintf("%s: a %s in bucket %s, partition %d of placement %s", shown(in.args[0]), a.Kind, a.Bucket, a.Partition, a.Placement)
	if err := in.s.line(head); err != nil {
		return err
	}
	var rows [][]string
	for _, d := range a.DCs {
		notes := d.notes()
		value := d.reading.shown(nil)
		if d.Error != "" {
			value = "-"
		}
		rows = append(rows, []string{d.DC, d.Node, strings.Join(d.Owners, " "), value, strings.Join(notes, "; ")})
	}
	rows = append(rows, []string{"merge", "", "", a.after.shown(nil), a.Reason})
	if err := in.s.table([]string{"DC", "ANSWERED BY", "OWNERS", "VALUE", ""}, rows); err != nil {
		return err
	}
	header := []string{"CELL", "EVENT", "STAMP"}
	for _, d := range a.DCs {
		header = append(header, d.DC)
	}
	rows = nil
	for _, e := range a.Events {
		row := []string{e.cell(), e.Actor.String() + ":" + strconv.FormatUint(e.Seq, 10), e.Stamp}
		for _, d := range a.DCs {
			row = append(row, e.At[d.DC].String())
		}
		rows = append(rows, row)
	}
	if err := in.s.table(header, rows); err != nil {
		return err
	}
	if a.More > 0 {
		return in.s.line(fmt.Sprintf("... and %d more events (--limit)", a.More))
	}
	return nil
}

// notes are what a table tells of a datacenter beside the value.
func (d *dcAccount) notes() []string {
	var notes []string
	if d.Error != "" {
		notes = append(notes, "no answer: "+d.Error)
	}
	if d.Conflict {
		notes = append(notes, "conflict")
	}
	if d.Expires != "" {
		notes = append(notes, "expires at "+d.Expires)
	}
	if d.Waiting > 0 {
		notes = append(notes, fmt.Sprintf("%d removals wait", d.Waiting))
	}
	return notes
}

// conflict tells whether the reading has several kinds, or a register in it
// several values.
func (r reading) conflict() bool {
	return len(r.values) > 1 || slices.ContainsFunc(r.values, disputed)
}
