package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

func (s *session) explainCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryCluster, name: "explain", usage: "show the events behind a key, who minted them, and how each stands with every replica",
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

// dcAccount is what the owners in a datacenter hold.
type dcAccount struct {
	DC       string           `json:"dc"`
	Owners   []string         `json:"owners"`
	Value    any              `json:"value"` // the join of its owners; null where absent
	Conflict bool             `json:"conflict"`
	Expires  string           `json:"expires_at,omitempty"`
	Error    string           `json:"error,omitempty"`
	Replicas []replicaAccount `json:"replicas"` // one for each owner
}

// replicaAccount is one owner's view.
type replicaAccount struct {
	Node     string `json:"node"`
	Value    any    `json:"value"` // null where absent
	Conflict bool   `json:"conflict"`
	Expires  string `json:"expires_at,omitempty"`
	Waiting  int    `json:"waiting"` // cells with removals of events that have yet to come
	Error    string `json:"error,omitempty"`

	shown string
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
	names := actors{}
	all, err := in.copies(dcs, k, names)
	if err != nil {
		return err
	}
	m, err := mergeOf(k, all, in.s.now())
	if err != nil {
		return err
	}
	opts, err := in.options()
	if err != nil {
		return err
	}
	a := &account{
		Key: jsonBytes(k.key), Bucket: k.bucket, Kind: m.after.kindShown(m.values), Conflict: m.after.conflict(),
		After: m.after.json(), Reason: m.reason, DCs: []dcAccount{}, after: m.after,
	}
	if a.Events, a.More = evidenceOf(all, names, in.Int("limit")); len(a.Events) == 0 {
		return absent()
	}
	rings := askAll(dcs, func(d member) (*pb.RingResponse, error) { return d.RingOf(in.ctx(), k.key, opts...) })
	for i, one := range all {
		a.add(one, rings[i].answer, m.values[one.dc], in.s.now())
	}
	if in.json() {
		return in.s.json(a)
	}
	return in.printAccount(a)
}

// add takes in what one datacenter says.
func (a *account) add(one said[*copied], ring *pb.RingResponse, r reading, now time.Time) {
	d := dcAccount{DC: one.dc, Owners: []string{}, Value: r.json(), Conflict: r.conflict(), Replicas: []replicaAccount{}}
	for _, o := range ring.GetOwners() {
		a.Placement, a.Partition = ring.GetPlacement(), o.GetPartition()
		d.Owners = append(d.Owners, o.GetNodes()...)
	}
	if one.err != nil {
		d.Error = one.err.Error()
		a.DCs = append(a.DCs, d)
		return
	}
	if !r.expires.IsZero() {
		d.Expires = since(r.expires)
	}
	for _, o := range one.answer.owners {
		own := readingOf(o.Snapshot, now)
		x := replicaAccount{Node: o.node, Value: own.json(), Conflict: own.conflict(), Waiting: len(o.Residue), shown: own.shown(nil)}
		if !own.expires.IsZero() {
			x.Expires = since(own.expires)
		}
		d.Replicas = append(d.Replicas, x)
	}
	for _, node := range one.answer.silent {
		d.Replicas = append(d.Replicas, replicaAccount{Node: node, Error: "no answer", shown: "-"})
	}
	a.DCs = append(a.DCs, d)
}

// rows are those of a table: owners that show the same share one.
func (d *dcAccount) rows() [][]string {
	if d.Error != "" {
		return [][]string{{d.DC, strings.Join(d.Owners, " "), "-", "no answer: " + d.Error}}
	}
	var rows [][]string
	for _, x := range d.Replicas {
		notes := strings.Join(x.notes(), "; ")
		i := slices.IndexFunc(rows, func(r []string) bool { return r[2] == x.shown && r[3] == notes })
		if i < 0 {
			rows = append(rows, []string{d.DC, x.Node, x.shown, notes})
			continue
		}
		rows[i][1] += " " + x.Node
	}
	return rows
}

func (in *invocation) printAccount(a *account) error {
	head := fmt.Sprintf("%s: a %s in bucket %s, partition %d of placement %s", shown(in.args[0]), a.Kind, a.Bucket, a.Partition, a.Placement)
	if err := in.s.line(head); err != nil {
		return err
	}
	var rows [][]string
	for _, d := range a.DCs {
		rows = append(rows, d.rows()...)
	}
	rows = append(rows, []string{"merge", "", a.after.shown(nil), a.Reason})
	if err := in.s.table([]string{"DC", "REPLICAS", "VALUE", ""}, rows); err != nil {
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

// notes are what a table tells of a replica beside the value.
func (x *replicaAccount) notes() []string {
	var notes []string
	if x.Error != "" {
		notes = append(notes, x.Error)
	}
	if x.Conflict {
		notes = append(notes, "conflict")
	}
	if x.Expires != "" {
		notes = append(notes, "expires at "+x.Expires)
	}
	if x.Waiting > 0 {
		notes = append(notes, fmt.Sprintf("%d removals wait", x.Waiting))
	}
	return notes
}

// conflict tells whether the reading has several kinds, or a register in it
// several values.
func (r reading) conflict() bool {
	return len(r.values) > 1 || slices.ContainsFunc(r.values, disputed)
}
