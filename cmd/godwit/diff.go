package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/crdt"
)

func (s *session) diffCommand() *cli.Command {
	return s.leaf(spec{
		category: categoryCluster, name: "diff", usage: "show keys that differ between datacenters, and what the merge will be", args: "[KEY]", most: 1,
		flags: clusterFlags(
			&cli.StringFlag{Name: "prefix", Usage: "only keys that begin with `P`"},
			&cli.IntFlag{Name: "limit", Value: 100, Usage: "show at most `N` keys"},
		),
		run: diff,
	})
}

// keyRef names a key of a bucket.
type keyRef struct{ bucket, key string }

func diff(in *invocation) error {
	if in.Int("limit") < 1 {
		return usagef("--limit %d is not positive", in.Int("limit"))
	}
	if len(in.args) > 0 && in.IsSet("prefix") {
		return usagef("give a key or --prefix, not both")
	}
	dcs, err := in.everyDC()
	if err != nil {
		return err
	}
	dcs, err = in.awake(dcs)
	if err != nil {
		return err
	}
	var found []keyRef
	if len(in.args) > 0 {
		found = []keyRef{{in.bucket(), in.args[0]}}
	} else if found, err = in.differing(dcs, ""); err != nil {
		return err
	}
	if limit := in.Int("limit"); len(found) > limit {
		fmt.Fprintf(in.s.err, "%d keys differ, the first %d are shown (--limit)\n", len(found), limit)
		found = found[:limit]
	}
	merges := []*merged{}
	for _, k := range found {
		m, err := in.merge(dcs, k)
		if err != nil {
			return err
		}
		merges = append(merges, m)
	}
	return in.printMerges(dcs, merges)
}

// awake leaves out datacenters that do not answer, and says so.
func (in *invocation) awake(dcs []member) ([]member, error) {
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	all := askAll(dcs, func(d member) (*pb.LinksResponse, error) { return d.Links(in.ctx(), opts...) })
	if err := noneAnswered(in.s, all); err != nil {
		return nil, err
	}
	var out []member
	for i, d := range dcs {
		if all[i].err == nil {
			out = append(out, d)
		}
	}
	return out, nil
}

// differing finds the keys whose cells differ: partitions by their roots, then
// leaves, then keys by their digests. If a datacenter is named, they are those
// that it holds, and they differ also from there being nothing elsewhere.
func (in *invocation) differing(dcs []member, of string) ([]keyRef, error) {
	views, err := in.survey(dcs, nil, 0)
	if err != nil {
		return nil, err
	}
	parts := map[part]bool{}
	for _, v := range views {
		for p := range v.replicas {
			parts[p] = true
		}
	}
	var found []keyRef
	bar := in.progress()
	defer bar.end()
	for i, p := range slices.SortedFunc(maps.Keys(parts), part.compare) {
		bar.show("%d of %d partitions looked at, %d keys differ", i, len(parts), len(found))
		if !standing(views, p).differs(of) {
			continue
		}
		var holders []member
		for i, d := range dcs {
			if views[i].replicas[p] != nil {
				holders = append(holders, d)
			}
		}
		keys, err := in.differingKeys(holders, p)
		if err != nil {
			return nil, err
		}
		found = append(found, keys...)
	}
	found = slices.DeleteFunc(found, func(k keyRef) bool {
		return !strings.HasPrefix(k.key, in.String("prefix")) || in.String("bucket") != "" && k.bucket != in.String("bucket")
	})
	slices.SortFunc(found, func(a, b keyRef) int {
		return cmp.Or(strings.Compare(a.bucket, b.bucket), strings.Compare(a.key, b.key))
	})
	return slices.Compact(found), nil
}

// differs reports whether keys of a partition may differ between the datacenters
// that hold it, or, if one is named, between that one and the rest.
func (s *stand) differs(of string) bool {
	if alone := len(s.dcs) < 2; alone {
		return of != "" && slices.Contains(s.dcs, of)
	}
	return !s.roots && (of == "" || slices.Contains(s.dcs, of))
}

// leafBytes is the size of one leaf in an answer.
const leafBytes = 16

// leavesAtOnce is how many leaves one question names.
const leavesAtOnce = 256

// differingKeys compares a partition of several datacenters. Where one alone holds
// it, all of its keys differ.
func (in *invocation) differingKeys(dcs []member, p part) ([]keyRef, error) {
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	all := askAll(dcs, func(d member) (*pb.LeavesResponse, error) {
		return d.Leaves(in.ctx(), p.placement, p.partition, opts...)
	})
	var leaves []uint32
	for _, a := range all {
		if a.err != nil {
			return nil, fmt.Errorf("%s: %w", a.dc, a.err)
		}
		if len(a.answer.GetLeaves()) != len(all[0].answer.GetLeaves()) {
			return nil, fmt.Errorf("%s and %s have trees of different shapes", all[0].dc, a.dc)
		}
	}
	for at := 0; at+leafBytes <= len(all[0].answer.GetLeaves()); at += leafBytes {
		if len(all) == 1 || slices.ContainsFunc(all, func(a said[*pb.LeavesResponse]) bool {
			return !bytes.Equal(a.answer.GetLeaves()[at:at+leafBytes], all[0].answer.GetLeaves()[at:at+leafBytes])
		}) {
			leaves = append(leaves, uint32(at/leafBytes))
		}
	}
	var found []keyRef
	for chunk := range slices.Chunk(leaves, leavesAtOnce) {
		keys, err := in.keysOf(dcs, p, chunk, opts)
		if err != nil {
			return nil, err
		}
		found = append(found, keys...)
	}
	return found, nil
}

// keysOf lists the keys of some leaves whose digests are not the same everywhere.
func (in *invocation) keysOf(dcs []member, p part, leaves []uint32, opts []client.CallOption) ([]keyRef, error) {
	all := askAll(dcs, func(d member) (*pb.KeysResponse, error) {
		return d.LeafKeys(in.ctx(), p.placement, p.partition, leaves, opts...)
	})
	digests := map[keyRef]map[string]int{}
	for _, a := range all {
		if a.err != nil {
			return nil, fmt.Errorf("%s: %w", a.dc, a.err)
		}
		for _, item := range a.answer.GetItems() {
			k := keyRef{item.GetBucket(), string(item.GetKey())}
			if digests[k] == nil {
				digests[k] = map[string]int{}
			}
			digests[k][string(item.GetDigest())]++
		}
	}
	var found []keyRef
	for k, seen := range digests {
		// A key has a digest for each of its kinds, and one for its expiry.
		if slices.ContainsFunc(slices.Collect(maps.Values(seen)), func(n int) bool { return n != max(len(dcs), 2) }) {
			found = append(found, k)
		}
	}
	return found, nil
}

// merge fetches a key's cells from every datacenter and joins them as the
// datacenters will.
func (in *invocation) merge(dcs []member, k keyRef) (*merged, error) {
	all, err := in.copies(dcs, k, actors{})
	if err != nil {
		return nil, err
	}
	for i, a := range all {
		if a.err != nil && (!outside(a.err) || len(dcs) == 1) {
			return nil, fmt.Errorf("%s: %w", all[i].dc, a.err)
		}
	}
	return mergeOf(k, all, in.s.now())
}

// outside tells that a datacenter is not of the bucket's placement, and has
// nothing to say.
func outside(err error) bool { return client.ReasonOf(err) == "RESIDENCY" }

// mergeOf joins the copies that were answered, at a moment that tells what has
// expired. What it says before a heal is what every datacenter shows after it.
func mergeOf(k keyRef, all []said[*copied], now time.Time) (*merged, error) {
	m := &merged{keyRef: k, values: map[string]reading{}}
	var snapshots []*crdt.Snapshot
	for _, a := range all {
		if a.err == nil {
			for _, o := range a.answer.owners {
				snapshots = append(snapshots, o.Snapshot)
			}
			m.values[a.dc] = readingOf(a.answer.joined, now)
		}
	}
	if len(snapshots) == 0 {
		return nil, fmt.Errorf("%s: %w", all[0].dc, all[0].err)
	}
	m.after = readingOf(crdt.Merge(snapshots...), now)
	m.reason = reason(m)
	return m, nil
}

func (in *invocation) printMerges(dcs []member, merges []*merged) error {
	if in.json() {
		out := []mergedJSON{}
		for _, m := range merges {
			out = append(out, m.json())
		}
		return in.s.json(map[string]any{"keys": out})
	}
	if len(merges) == 0 {
		_, err := fmt.Fprintf(in.s.err, "no key differs between the %d datacenters that answered\n", len(dcs))
		return err
	}
	header := []string{"KEY", "KIND"}
	for _, d := range dcs {
		header = append(header, d.name)
	}
	header = append(header, "AFTER HEAL", "")
	var rows [][]string
	for _, m := range merges {
		name := shown(m.key)
		if m.bucket != "default" {
			name = m.bucket + "/" + name
		}
		row := []string{name, m.after.kindShown(m.values)}
		for _, d := range dcs {
			row = append(row, m.shownAt(d.name))
		}
		rows = append(rows, append(row, m.after.shown(nil), m.reason))
	}
	return in.s.table(header, rows)
}
