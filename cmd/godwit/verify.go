package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
)

// compareCommands ask every datacenter directly and compare what they say.
func (s *session) compareCommands() []*cli.Command {
	return []*cli.Command{
		s.lagCommand(),
		s.leaf(spec{
			category: categoryCluster, name: "verify", usage: "compare clocks and Merkle roots of all replicas; exit 7 unless they are equal",
			flags: clusterFlags(
				&cli.StringFlag{Name: "dcs", Usage: "only these datacenters: `A,B`"},
				&cli.DurationFlag{Name: "settle", Value: 2 * time.Second, Usage: "longest wait for what was under way at the start"},
			),
			run: verify,
		}),
		s.repairCommand(),
		s.parkedCommands(),
		s.diffCommand(),
		s.explainCommand(),
	}
}

// longestSettle keeps a call within the client's longest timeout.
const longestSettle = 20 * time.Second

func verify(in *invocation) error {
	settle := in.Duration("settle")
	if settle < 0 || settle > longestSettle {
		return usagef("--settle %v is not between 0 and %v", settle, longestSettle)
	}
	dcs, err := in.compared()
	if err != nil {
		return err
	}
	views, err := in.survey(dcs, nil, 0)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(views, func(v view) bool { return v.err == nil }) {
		return views[0].err
	}
	bar := in.progress()
	bar.show("comparing %d datacenters; what is under way has %v to arrive", len(dcs), settle)
	result, err := in.settled(dcs, union(views), settle)
	bar.end()
	if err != nil {
		return err
	}
	if in.json() {
		err = in.s.json(result)
	} else {
		err = in.printComparison(result)
	}
	if err == nil && !result.Equal {
		err = checkFailed()
	}
	return err
}

// compared lists the datacenters to compare. Where only addresses were given,
// datacenters that nobody gave an address of are among them, without a client:
// what cannot be asked cannot be called equal.
func (in *invocation) compared() ([]member, error) {
	dcs, err := in.everyDC()
	if err != nil {
		return nil, err
	}
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	var names []string
	if list := in.String("dcs"); list != "" {
		names = strings.Split(list, ",")
	}
	for _, name := range names {
		if !slices.ContainsFunc(dcs, func(d member) bool { return d.name == name }) {
			return nil, usagef("--dcs: unknown datacenter %q", name)
		}
	}
	if names != nil {
		return slices.DeleteFunc(dcs, func(d member) bool { return !slices.Contains(names, d.name) }), nil
	}
	if all, err := in.directory(); err != nil || all[0].name != "" {
		return dcs, err
	}
	for _, a := range askAll(dcs, func(d member) (*pb.LagResponse, error) { return d.Lag(in.ctx(), opts...) }) {
		for _, other := range a.answer.GetInbound() {
			if !slices.ContainsFunc(dcs, func(d member) bool { return d.name == other.GetFrom() }) {
				dcs = append(dcs, member{name: other.GetFrom()})
			}
		}
	}
	return dcs, nil
}

// survey asks every datacenter for the digests of its replicas, with clocks;
// each waits, at most settle, until it covers the clocks of its partitions.
func (in *invocation) survey(dcs []member, wait clocks, settle time.Duration) ([]view, error) {
	return in.surveyWhile(in.ctx(), dcs, wait, settle)
}

// surveyWhile is survey for one who goes on after an interrupt.
func (in *invocation) surveyWhile(ctx context.Context, dcs []member, wait clocks, settle time.Duration) ([]view, error) {
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	opts = append(opts, client.WithTimeout(min(longestTimeout, in.Duration("timeout")+settle)))
	req := &pb.VerifyRequest{Wait: wait.message(), SettleMs: uint64(settle.Milliseconds()), WithClocks: true}
	all := askAll(dcs, func(d member) (*pb.VerifyResponse, error) {
		if d.Client == nil {
			return nil, unavailablef("no address of it is known: name one more in --addr, or give --topology")
		}
		return d.Verify(ctx, req, opts...)
	})
	var views []view
	for _, a := range all {
		v, err := viewOf(a)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

// betweenLooks is the pause between two comparisons.
const betweenLooks = 10 * time.Millisecond

// settled compares until all is equal, or for as long as settle.
func (in *invocation) settled(dcs []member, wait clocks, settle time.Duration) (*comparison, error) {
	deadline := in.s.now().Add(settle)
	for {
		left := max(0, deadline.Sub(in.s.now()))
		views, err := in.survey(dcs, wait, min(left, longestSettle))
		if err != nil {
			return nil, err
		}
		result := compare(views, in.s.placementName)
		if result.Equal || !in.s.now().Before(deadline) {
			return result, nil
		}
		if !pause(in.ctx(), betweenLooks) {
			return nil, errors.New("interrupted")
		}
	}
}

// pause waits, and tells whether it did: it ends early when the command is interrupted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// mostDifferences is how many differences a table shows.
const mostDifferences = 20

func (in *invocation) printComparison(c *comparison) error {
	yes := map[bool]string{true: "equal", false: "DIFFER"}
	var rows [][]string
	for _, p := range c.Pairs {
		rows = append(rows, []string{p.A, p.B, yes[p.ClockEqual], yes[p.MerkleEqual]})
	}
	if len(rows) > 0 {
		if err := in.s.table([]string{"A", "B", "CLOCKS", "MERKLE"}, rows); err != nil {
			return err
		}
	}
	if c.Equal {
		text := fmt.Sprintf("equal: all replicas of %d partitions", c.Partitions)
		if c.Since != nil {
			text += ", since " + *c.Since
		}
		return in.s.line(text)
	}
	rows = nil
	for _, d := range c.Differing[:min(len(c.Differing), mostDifferences)] {
		partition := "all"
		if d.Partition != nil {
			partition = strconv.FormatUint(uint64(*d.Partition), 10)
		}
		rows = append(rows, []string{d.Placement, partition, strings.Join(d.DCs, " "), d.Reason})
	}
	if err := in.s.table([]string{"PLACEMENT", "PARTITION", "DC", "REASON"}, rows); err != nil {
		return err
	}
	if more := len(c.Differing) - mostDifferences; more > 0 {
		if err := in.s.line(fmt.Sprintf("... and %d more (-o json lists them)", more)); err != nil {
			return err
		}
	}
	if c.differ == 0 {
		return in.s.line(fmt.Sprintf("NOT equal: not all answered; %d partitions of those that did are equal", c.Partitions))
	}
	return in.s.line(fmt.Sprintf("NOT equal: %d of %d partitions differ", c.differ, c.Partitions))
}
