package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/topology"
)

// runningTopologyCommands hold a file against the topology that the cluster acts under.
func (s *session) runningTopologyCommands() []*cli.Command {
	return []*cli.Command{
		s.leaf(spec{
			name: "plan", usage: "print what applying a file to the running cluster would change; exit 6 if it would be refused", args: "FILE", least: 1, most: 1,
			flags: clusterFlags(), run: planTopology,
		}),
		s.leaf(spec{
			name: "apply", usage: "make a file, of a later version, the topology that the running cluster acts under", args: "FILE", least: 1, most: 1,
			flags: clusterFlags(&cli.StringFlag{Name: "instead-of", Usage: "only if the cluster still acts under the topology with this `HASH`, as the plan said"}), run: applyTopology,
		}),
	}
}

// actingJSON is which topology a datacenter acts under.
type actingJSON struct {
	DC      string `json:"dc"`
	Version uint64 `json:"version"` // 0: it has not told
	Hash    string `json:"hash"`
	Same    bool   `json:"same"` // as the one this is about
}

// plannedChange is a change with the reason why it would be refused, if any.
type plannedChange struct {
	topology.Change

	Fixed string `json:"fixed,omitempty"`
}

func actingOf(r *pb.TopologyResponse, hash string) []actingJSON {
	out := []actingJSON{{r.GetDc(), r.GetVersion(), r.GetHash(), r.GetHash() == hash}}
	for _, o := range r.GetOthers() {
		out = append(out, actingJSON{o.GetDc(), o.GetVersion(), o.GetHash(), o.GetHash() == hash})
	}
	slices.SortFunc(out, func(a, b actingJSON) int {
		if a.DC < b.DC {
			return -1
		}
		return 1
	})
	return out
}

func planTopology(in *invocation) error {
	next, err := in.loadTopology(in.args[0])
	if err != nil {
		return err
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	r, err := c.Topology(in.ctx(), opts...)
	if err != nil {
		return err
	}
	now, problems := topology.Parse("topology of "+r.GetDc(), r.GetText())
	if now == nil {
		return fmt.Errorf("topology of %s: %w", r.GetDc(), problems[0])
	}
	changes, refused := []plannedChange{}, false
	for _, ch := range topology.Diff(now, next) {
		p := plannedChange{ch, cmp.Or(topology.Fixed(now, next, ch), topology.Early(now, next, ch))}
		changes, refused = append(changes, p), refused || p.Fixed != ""
	}
	refused = refused || len(changes) > 0 && next.Version <= now.Version
	if in.json() {
		err = in.s.json(map[string]any{
			"running": map[string]any{"version": now.Version, "hash": r.GetHash()}, "version": next.Version, "hash": next.Hash(),
			"changes": changes, "applicable": !refused, "dcs": actingOf(r, r.GetHash()),
		})
	} else {
		err = in.printTopologyPlan(r, next, changes, refused)
	}
	if err == nil && refused {
		return &exitErr{code: exitPrecondition}
	}
	return err
}

func (in *invocation) printTopologyPlan(r *pb.TopologyResponse, next *topology.Topology, changes []plannedChange, refused bool) error {
	lines := []string{fmt.Sprintf("running: version %d, hash %s", r.GetVersion(), r.GetHash()), fmt.Sprintf("file:    version %d, hash %s", next.Version, next.Hash())}
	for _, ch := range changes {
		line := ch.String()
		if ch.Fixed != "" && ch.Forbidden == "" {
			line += " (refused: " + ch.Fixed + ")"
		}
		lines = append(lines, line)
	}
	switch {
	case refused && next.Version <= r.GetVersion():
		lines = append(lines, fmt.Sprintf("it would be refused: the version must be later than %d", r.GetVersion()))
	case refused:
		lines = append(lines, "it would be refused, as a whole")
	case len(changes) == 0:
		lines = append(lines, "nothing to change")
	default:
		lines = append(lines, "nothing was changed; to do it: godwit topology apply "+in.args[0]+" --instead-of "+r.GetHash())
	}
	for _, l := range lines {
		if err := in.s.line(l); err != nil {
			return err
		}
	}
	in.warnOfOthers(actingOf(r, r.GetHash()), r.GetVersion())
	return nil
}

// warnOfOthers says which datacenters act under another topology.
func (in *invocation) warnOfOthers(dcs []actingJSON, version uint64) {
	for _, d := range dcs {
		switch {
		case d.Same:
		case d.Version == 0:
			fmt.Fprintf(in.s.err, "warning: datacenter %s has not told which topology it acts under\n", d.DC)
		default:
			fmt.Fprintf(in.s.err, "warning: datacenter %s acts under version %d, hash %s, and not under version %d\n", d.DC, d.Version, d.Hash, version)
		}
	}
}

// applyLook is the pause between two looks at who has taken a topology up.
const applyLook = 50 * time.Millisecond

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func applyTopology(in *invocation) error {
	next, err := in.loadTopology(in.args[0])
	if err != nil {
		return err
	}
	text, err := os.ReadFile(in.args[0])
	if err != nil {
		return usagef("%s", err)
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	done, err := c.ApplyTopology(in.ctx(), text, in.String("instead-of"), opts...)
	if err != nil {
		return err
	}
	dcs, all := []actingJSON{}, false
	wait := time.Now().Add(in.Duration("timeout") * 8 / 10)
	for !all && (len(dcs) == 0 || time.Now().Before(wait)) {
		r, err := c.Topology(in.ctx(), opts...)
		if err != nil {
			return err
		}
		dcs = actingOf(r, done.GetHash())
		if all = !slices.ContainsFunc(dcs, func(d actingJSON) bool { return !d.Same }); !all {
			rest(in.ctx(), applyLook)
		}
	}
	if in.json() {
		return in.s.json(map[string]any{
			"version": done.GetVersion(), "hash": done.GetHash(), "nodes": done.GetNodes(), "missing": append([]string{}, done.GetMissing()...), "dcs": dcs, "everywhere": all,
		})
	}
	in.warnOfOthers(dcs, next.Version)
	return in.s.line("version " + strconv.FormatUint(done.GetVersion(), 10) + ", hash " + done.GetHash() + ", is the topology of the cluster")
}

// warnOfTopologies says when datacenters act under different topologies.
func warnOfTopologies(s *session, all []said[*pb.StatusResponse]) {
	versions := map[string]string{}
	var first string
	for _, a := range all {
		if a.err == nil {
			versions[a.answer.GetDc()] = fmt.Sprintf("version %d, hash %.8s", a.answer.GetTopologyVersion(), a.answer.GetTopologyHash())
			first = versions[a.answer.GetDc()]
		}
	}
	for _, v := range versions {
		if v != first {
			for _, a := range all {
				if a.err == nil {
					fmt.Fprintf(s.err, "warning: datacenters act under different topologies: %s under %s\n", a.answer.GetDc(), versions[a.answer.GetDc()])
				}
			}
			return
		}
	}
}
