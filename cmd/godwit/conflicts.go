package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
)

func (s *session) conflictsCommands() *cli.Command {
	return &cli.Command{
		Name: "conflicts", Category: categoryCluster, Usage: "concurrent values that wait for a decision",
		Subcommands: []*cli.Command{
			s.resolveCommand(),
			s.leaf(spec{
				name: "list", usage: "list registers, also within maps, that hold concurrent values, and keys of several kinds",
				flags: clusterFlags(&cli.IntFlag{Name: "limit", Usage: "list at most `N` conflicts"}), run: listConflicts,
			}),
			s.leaf(spec{
				name: "tail", usage: "show conflicts of one datacenter as they arise, until interrupted",
				flags: clusterFlags(), run: tailConflicts,
			}),
		},
	}
}

// conflictJSON is a conflict as -o json prints it, one object a line.
type conflictJSON struct {
	Bucket   string        `json:"bucket"`
	Key      any           `json:"key"`
	Field    []any         `json:"field,omitempty"` // the way to it, in a map
	Kind     string        `json:"kind"`            // of the key
	Kinds    []string      `json:"kinds,omitempty"` // of a key of several
	Siblings []siblingJSON `json:"siblings"`        // the one that is shown first
}

func conflictOf(c *pb.ConflictsResponse) conflictJSON {
	out := conflictJSON{Bucket: c.GetBucket(), Key: jsonBytes(c.GetKey()), Kind: client.Kind(c.GetKind()).String(), Siblings: []siblingJSON{}}
	for _, f := range c.GetField() {
		out.Field = append(out.Field, jsonBytes(f.GetName()))
	}
	for _, k := range c.GetKinds() {
		out.Kinds = append(out.Kinds, client.Kind(k).String())
	}
	if len(out.Kinds) > 0 {
		out.Kind = strings.Join(out.Kinds, "+")
	}
	for _, s := range c.GetSiblings() {
		dot := client.Dot{Actor: s.GetDot().GetActor(), Seq: s.GetDot().GetSeq()}
		out.Siblings = append(out.Siblings, siblingJSON{jsonBytes(s.GetValue()), stampShown(s.GetStamp()), dot.String()})
	}
	return out
}

// conflictRow is a conflict for people: bucket, key and way, kind, the value
// that is shown and those that are not. All kinds of a key are shown by none.
func conflictRow(c *pb.ConflictsResponse) []string {
	var way, values []string
	for _, f := range c.GetField() {
		way = append(way, string(f.GetName()))
	}
	for _, s := range c.GetSiblings() {
		values = append(values, shown(s.GetValue()))
	}
	if len(values) == 0 {
		values = []string{"-"}
	}
	return []string{c.GetBucket(), shownAt(string(c.GetKey()), way), conflictOf(c).Kind, values[0], strings.Join(values[1:], ", ")}
}

func listConflicts(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	if in.Int("limit") < 0 {
		return usagef("--limit %d is negative", in.Int("limit"))
	}
	opts = append(opts, client.WithBucket(in.String("bucket")))
	var rows [][]string
	for item, err := range c.Conflicts(in.ctx(), in.Int("limit"), opts...) {
		if err != nil {
			return err
		}
		if !in.json() {
			rows = append(rows, conflictRow(item))
		} else if err := in.s.json(conflictOf(item)); err != nil {
			return err
		}
	}
	if len(rows) == 0 {
		return nil
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
	return in.s.table([]string{"BUCKET", "KEY", "KIND", "SHOWN", "CONFLICTS WITH"}, rows)
}

// tailConflicts ends well when it is interrupted: there is no other end.
func tailConflicts(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	opts = append(opts, client.WithBucket(in.String("bucket")))
	begun := func() { _, _ = fmt.Fprintln(in.s.err, "waiting for conflicts; interrupt to end") }
	for item, err := range c.TailConflicts(in.ctx(), begun, opts...) {
		switch {
		case in.ctx().Err() != nil:
			return nil
		case err != nil:
			return err
		case in.json():
			err = in.s.json(conflictOf(item))
		default:
			_, err = fmt.Fprintln(in.s.out, conflictLine(item))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// conflictLine is one conflict in a tail.
func conflictLine(c *pb.ConflictsResponse) string {
	row := conflictRow(c)
	at := fmt.Sprintf("%s/%s %s", row[0], row[1], row[2])
	if len(c.GetKinds()) > 0 {
		return at + ": created under several kinds"
	}
	return at + ": " + row[3] + " is shown, conflicts with " + row[4]
}
