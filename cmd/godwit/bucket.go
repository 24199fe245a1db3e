package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/topology"
)

// bucketCommands show buckets, and make, change and remove those that the
// topology does not name.
func (s *session) bucketCommands() []*cli.Command {
	settings := func(more ...cli.Flag) []cli.Flag {
		return clusterFlags(slices.Concat(more, []cli.Flag{
			&cli.StringFlag{Name: "placement", Usage: "`NAME` of the topology's placement that says which datacenters keep it"},
			&cli.StringFlag{Name: "kind", Usage: "`KIND` of a key unless its first write names one"},
			&cli.StringFlag{Name: "kinds-allowed", Usage: "`KIND`[,KIND] that it takes, or all"},
			&cli.StringFlag{Name: "read", Usage: "replicas that a read asks unless it says: one, quorum or all"},
			&cli.StringFlag{Name: "write", Usage: "copies that a write waits for unless it says: one, quorum or all"},
			&cli.StringFlag{Name: "durability", Usage: "sync or async"},
			&cli.DurationFlag{Name: "ttl", Usage: "values expire after `D`; 0 is never"},
			&cli.StringFlag{Name: "max-value", Usage: "largest value, such as 64KiB"},
		})...)
	}
	return []*cli.Command{{
		Name: "bucket", Category: categoryCluster, Usage: "namespaces of keys with settings of their own",
		Subcommands: []*cli.Command{
			s.leaf(spec{name: "create", usage: "define a bucket in every datacenter", args: "NAME", least: 1, most: 1, flags: settings(), run: createBucket}),
			s.leaf(spec{name: "list", usage: "list all buckets", flags: clusterFlags(), run: listBuckets}),
			s.leaf(spec{name: "show", usage: "show a bucket, and definitions that conflict with it", args: "NAME", least: 1, most: 1, flags: clusterFlags(), run: showBucket}),
			s.leaf(spec{
				name: "alter", usage: "change settings of a bucket; never its kind or placement", args: "NAME", least: 1, most: 1,
				flags: settings(&cli.BoolFlag{Name: "undelete", Usage: "take back a deletion that was not brought to its end"}), run: alterBucket,
			}),
			s.leaf(spec{
				name: "delete", usage: "remove a bucket that is empty, or with --force its keys as well", args: "NAME", least: 1, most: 1,
				flags: clusterFlags(&cli.BoolFlag{Name: "force", Usage: "delete all its keys first"}), run: deleteBucket,
			}),
		},
	}}
}

// settingsOf is what the flags say of a bucket.
func settingsOf(in *invocation) (*pb.Bucket, error) {
	b := &pb.Bucket{Name: in.args[0], Placement: in.String("placement"), TtlMs: uint64(max(in.Duration("ttl"), 0).Milliseconds())}
	kind, err := client.ParseKind(in.String("kind"))
	if err != nil {
		return nil, usagef("--kind: %s", err)
	}
	b.Kind = pb.Kind(kind)
	if list := in.String("kinds-allowed"); list != "" && list != "all" {
		for name := range strings.SplitSeq(list, ",") {
			k, err := client.ParseKind(strings.TrimSpace(name))
			if err != nil || k == client.NoKind {
				return nil, usagef("--kinds-allowed: unknown kind %q", name)
			}
			b.KindsAllowed = append(b.KindsAllowed, pb.Kind(k))
		}
	}
	for flag, to := range map[string]*pb.Consistency{"read": &b.Read, "write": &b.Write} {
		level, err := client.ParseConsistency(in.String(flag))
		if err != nil {
			return nil, usagef("--%s: %s", flag, err)
		}
		*to = pb.Consistency(level)
	}
	switch in.String("durability") {
	case "":
	case "sync":
		b.Durability = pb.Durability_DURABILITY_SYNC
	case "async":
		b.Durability = pb.Durability_DURABILITY_ASYNC
	default:
		return nil, usagef("--durability %q: sync or async", in.String("durability"))
	}
	if ttl := in.Duration("ttl"); ttl < 0 || ttl > 0 && ttl < time.Millisecond {
		return nil, usagef("--ttl %v is not 0 (never), or a millisecond or more", ttl)
	}
	if text := in.String("max-value"); text != "" {
		size, err := topology.ParseSize(text)
		if err != nil || size < 1 {
			return nil, usagef("--max-value %q is not a size such as 64KiB", text)
		}
		b.MaxValue = uint64(size)
	}
	return b, nil
}

func createBucket(in *invocation) error {
	b, err := settingsOf(in)
	if err != nil {
		return err
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	resp, err := c.CreateBucket(in.ctx(), b, opts...)
	if err != nil {
		return err
	}
	return in.defined("created", resp.GetBucket(), resp.GetWarnings())
}

func alterBucket(in *invocation) error {
	b, err := settingsOf(in)
	if err != nil {
		return err
	}
	req := &pb.AlterBucketRequest{
		Name: b.GetName(), Read: b.GetRead(), Write: b.GetWrite(), Durability: b.GetDurability(), Allow: b.GetKindsAllowed(),
		AllowAll: in.String("kinds-allowed") == "all", Keep: in.Bool("undelete"), Kind: b.GetKind(), Placement: b.GetPlacement(),
	}
	if in.IsSet("ttl") {
		req.TtlMs = &b.TtlMs
	}
	if in.IsSet("max-value") {
		req.MaxValue = &b.MaxValue
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	resp, err := c.AlterBucket(in.ctx(), req, opts...)
	if err != nil {
		return err
	}
	return in.defined("altered", resp.GetBucket(), resp.GetWarnings())
}

// defined prints what a bucket has become.
func (in *invocation) defined(done string, b *pb.BucketInfo, warnings []string) error {
	for _, w := range warnings {
		fmt.Fprintln(in.s.err, "warning: "+w)
	}
	if in.json() {
		return in.s.json(bucketOf(b))
	}
	return in.s.line(fmt.Sprintf("%s bucket %s", done, b.GetBucket().GetName()))
}

func listBuckets(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	all, err := c.Buckets(in.ctx(), opts...)
	if err != nil {
		return err
	}
	if in.json() {
		out := struct {
			Buckets []bucketJSON `json:"buckets"`
		}{[]bucketJSON{}}
		for _, b := range all {
			out.Buckets = append(out.Buckets, bucketOf(b))
		}
		return in.s.json(out)
	}
	var rows [][]string
	for _, info := range all {
		b := bucketOf(info)
		if in.bare() {
			if err := in.s.line(b.Name); err != nil {
				return err
			}
		}
		rows = append(rows, []string{b.Name, b.Placement, b.Kind, b.Read, b.Write, b.Durability, ttlShown(b.TTLMS), bytesShown(b.MaxValue), b.state()})
	}
	if in.bare() {
		return nil
	}
	return in.s.table([]string{"BUCKET", "PLACEMENT", "KIND", "READ", "WRITE", "DURABILITY", "TTL", "MAX VALUE", "STATE"}, rows)
}

func showBucket(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	info, err := c.Bucket(in.ctx(), in.args[0], opts...)
	if err != nil {
		return err
	}
	b := bucketOf(info)
	if in.json() {
		return in.s.json(b)
	}
	allowed := "all"
	if len(b.KindsAllowed) > 0 {
		allowed = strings.Join(b.KindsAllowed, ", ")
	}
	rows := [][]string{
		{"placement", b.Placement + " (" + strings.Join(b.Datacenters, ", ") + ")"},
		{"kind", b.Kind},
		{"kinds allowed", allowed},
		{"read", b.Read},
		{"write", b.Write},
		{"durability", b.Durability},
		{"ttl", ttlShown(b.TTLMS)},
		{"max value", bytesShown(b.MaxValue)},
		{"state", b.state()},
	}
	if b.Changed != "" {
		rows = append(rows, []string{"changed", b.Changed})
	}
	for _, v := range b.Conflicts {
		rows = append(rows, []string{"conflict", fmt.Sprintf("defined as %s of placement %s at %s", v.Kind, v.Placement, v.Changed)})
	}
	return in.s.table([]string{"BUCKET", b.Name}, rows)
}

func deleteBucket(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	var last *pb.DeleteBucketResponse
	shown := in.s.now()
	err = c.DeleteBucket(in.ctx(), in.args[0], in.Bool("force"), func(told *pb.DeleteBucketResponse) {
		if last = told; in.s.errTerminal && in.s.now().Sub(shown) > time.Second {
			shown = in.s.now()
			fmt.Fprintf(in.s.err, "%d of %d keys deleted\n", told.GetRemoved(), told.GetKeys())
		}
	}, opts...)
	if err != nil {
		return err
	}
	if in.json() {
		return in.s.json(map[string]any{"bucket": in.args[0], "deleted": last.GetDone(), "keys": last.GetRemoved()})
	}
	return in.s.line(fmt.Sprintf("deleted bucket %s and %d keys", in.args[0], last.GetRemoved()))
}

// bucketJSON is the JSON of a bucket.
type bucketJSON struct {
	Name         string       `json:"name"`
	Placement    string       `json:"placement"`
	Datacenters  []string     `json:"datacenters,omitempty"`
	Kind         string       `json:"kind"`
	KindsAllowed []string     `json:"kinds_allowed"`
	Read         string       `json:"read"`
	Write        string       `json:"write"`
	Durability   string       `json:"durability"`
	TTLMS        uint64       `json:"ttl_ms"`
	MaxValue     uint64       `json:"max_value"`
	InTopology   bool         `json:"in_topology"`
	Deleting     bool         `json:"deleting"`
	Changed      string       `json:"changed,omitempty"`
	Conflicts    []bucketJSON `json:"conflicts,omitempty"`
}

func bucketOf(info *pb.BucketInfo) bucketJSON {
	b := info.GetBucket()
	out := bucketJSON{
		Name: b.GetName(), Placement: b.GetPlacement(), Datacenters: info.GetDatacenters(), Kind: client.Kind(b.GetKind()).String(),
		KindsAllowed: []string{}, Read: client.Consistency(b.GetRead()).String(), Write: client.Consistency(b.GetWrite()).String(),
		Durability: strings.ToLower(strings.TrimPrefix(b.GetDurability().String(), "DURABILITY_")),
		TTLMS:      b.GetTtlMs(), MaxValue: b.GetMaxValue(), InTopology: info.GetInTopology(), Deleting: info.GetDeleting(),
	}
	for _, k := range b.GetKindsAllowed() {
		out.KindsAllowed = append(out.KindsAllowed, client.Kind(k).String())
	}
	if ms := info.GetChangedUnixMs(); ms > 0 {
		out.Changed = time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339)
	}
	for _, v := range info.GetConflicts() {
		out.Conflicts = append(out.Conflicts, bucketOf(&pb.BucketInfo{Bucket: v.GetBucket(), Deleting: v.GetDeleting(), ChangedUnixMs: v.GetChangedUnixMs()}))
	}
	return out
}

// state is what stands out about a bucket.
func (b *bucketJSON) state() string {
	switch {
	case b.InTopology:
		return "in the topology"
	case b.Deleting:
		return "being deleted"
	case len(b.Conflicts) > 0:
		return strconv.Itoa(len(b.Conflicts)) + " conflicting"
	}
	return "ok"
}

func ttlShown(ms uint64) string {
	if ms == 0 {
		return "never"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}
