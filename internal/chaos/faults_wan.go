package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/wan"
)

// wanFaults are all that hurt several datacenters, in the order of the table.
// While a link is cut no request may fail: every datacenter serves on its own.
func wanFaults() []fault {
	return []fault{
		{name: "link cut", hurt: linkCut},
		{name: "link cut one way", hurt: linkCutOneWay},
		{name: "link reset", hurt: linkReset},
		{name: "datacenter cut off", hurt: datacenterCut},
		{name: "datacenter frozen off", hurt: datacenterFrozen},
		{name: "flapping every second", hurt: flapping},
		{name: "200 ms with 100 ms of jitter", hurt: jittery},
		{name: "cut past the log with deletes on both sides", slow: true, long: true, hurt: pastTheLog},
		{name: "broker's store wiped", hurt: brokerWiped},
		{name: "broker's store damaged", hurt: brokerDamaged},
		{name: "store of the broker wiped during a cut", hurt: cutAndWiped},
		{name: "whole streams replayed", hurt: replayed},
		{name: "clock of a datacenter 1 h ahead", mayFail: true, slow: true, hurt: func(ctx context.Context, r *run, victim string) error { return r.skewedDC(ctx, victim, r.opts.Skew) }},
		{name: "clock of a datacenter 1 h behind", mayFail: true, slow: true, hurt: func(ctx context.Context, r *run, victim string) error { return r.skewedDC(ctx, victim, -r.opts.Skew) }},
		{name: "kill -9 while healing", hurt: killedHealing},
		{name: "kill -9 while comparing trees", slow: true, long: true, hurt: killedComparing},
		{name: "wiped directory", loses: true, hurt: wiped},
		{name: "kill -9 of a datacenter", mayFail: true, hurt: datacenterKilled},
	}
}

// wanLogSize is as little of a log as a node takes, so that outages outlast it.
const wanLogSize = "256KiB"

// wanDatacenters are of different sizes, so that their rings differ. Only nodes of
// those that serve without one of them are hurt one at a time.
func wanDatacenters() (names []string, sizes []int) {
	return []string{"east", "north", "west"}, []int{3, 3, 1}
}

// distances gives every link its latency.
func (c *cluster) distances() error {
	latency := 5 * time.Millisecond
	return c.eachPair(func(a, b string) error {
		latency += 15 * time.Millisecond
		return c.net.SetPair(a, b, wan.Change{Profile: &wan.Profile{Latency: latency, Jitter: 2 * time.Millisecond}})
	})
}

func (c *cluster) eachPair(f func(a, b string) error) error {
	for i, a := range c.top.Datacenters {
		for _, b := range c.top.Datacenters[i+1:] {
			if err := f(a.Name, b.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// home is the datacenter of a node, and one of the others.
func (r *run) home(node string) (own, other string) {
	_, own, _ = r.cluster.top.NodeByID(node)
	var others []string
	for _, d := range r.cluster.top.Datacenters {
		if d.Name != own {
			others = append(others, d.Name)
		}
	}
	return own, others[r.rnd.IntN(len(others))]
}

// during changes links for a while.
func (r *run) during(ctx context.Context, change, back func() error) error {
	if err := change(); err != nil {
		return err
	}
	r.pause(ctx, r.opts.Cut)
	return back()
}

func (r *run) heal() error {
	r.cluster.net.Heal()
	return nil
}

func linkCut(ctx context.Context, r *run, victim string) error {
	a, b := r.home(victim)
	return r.during(ctx, func() error { return r.cluster.net.SetPair(a, b, wan.Change{State: wan.Cut}) }, r.heal)
}

func linkCutOneWay(ctx context.Context, r *run, victim string) error {
	a, b := r.home(victim)
	return r.during(ctx, func() error { return r.cluster.net.Set(a, b, wan.Change{State: wan.Cut}) }, r.heal)
}

func linkReset(ctx context.Context, r *run, victim string) error {
	a, b := r.home(victim)
	return r.during(ctx, func() error { return r.cluster.net.SetPair(a, b, wan.Change{State: wan.Reset}) }, r.heal)
}

func datacenterCut(ctx context.Context, r *run, victim string) error {
	a, _ := r.home(victim)
	return r.during(ctx, func() error { return r.cluster.net.CutDC(a) }, r.heal)
}

func datacenterFrozen(ctx context.Context, r *run, victim string) error {
	a, _ := r.home(victim)
	return r.during(ctx, func() error { return r.cluster.net.SetDC(a, wan.Change{State: wan.Frozen}) }, r.heal)
}

// flapping: a datacenter is there for half of each second.
func flapping(ctx context.Context, r *run, victim string) error {
	a, _ := r.home(victim)
	for began := time.Now(); time.Since(began) < r.opts.Cut && ctx.Err() == nil; {
		if err := r.cluster.net.CutDC(a); err != nil {
			return err
		}
		r.pause(ctx, 500*time.Millisecond)
		r.cluster.net.Heal()
		r.pause(ctx, 500*time.Millisecond)
	}
	return nil
}

func jittery(ctx context.Context, r *run, _ string) error {
	return r.during(ctx, func() error {
		return r.cluster.eachPair(func(a, b string) error {
			return r.cluster.net.SetPair(a, b, wan.Change{Profile: &wan.Profile{Latency: 200 * time.Millisecond, Jitter: 100 * time.Millisecond}})
		})
	}, r.cluster.distances)
}

// pastTheLog: a datacenter is cut off until logs have been trimmed of what it
// lacks, while clients add, remove, put and delete on both sides.
func pastTheLog(ctx context.Context, r *run, victim string) error {
	a, _ := r.home(victim)
	if err := r.cluster.net.CutDC(a); err != nil {
		return err
	}
	err := r.cluster.until(ctx, 2*time.Minute, "logs are trimmed of what "+a+" lacks", func() error {
		owed, err := r.cluster.owed(ctx)
		if err == nil && owed == 0 {
			err = errors.New("no partition is owed to it yet")
		}
		return err
	})
	r.cluster.net.Heal()
	return err
}

// owed is how many partitions are owed to another datacenter, because logs no
// longer reach back.
func (c *cluster) owed(ctx context.Context) (sum uint64, err error) {
	for _, admin := range c.admins {
		lag, err := admin.Lag(ctx, client.WithTimeout(5*time.Second))
		if err != nil {
			return 0, err
		}
		for _, o := range lag.GetOutbound() {
			sum += o.GetRepairDebt()
		}
	}
	return sum, nil
}

// compared reports that datacenters were compared as wholes although logs, which
// are long enough, told what was missed.
func (c *cluster) compared(ctx context.Context) error {
	var errs []error
	for _, p := range c.procs {
		joins, err := p.sum(ctx, "godwit_replication_joins_total")
		if err == nil && joins > 0 {
			err = fmt.Errorf("%s compared %v partitions with another datacenter although no outage outlasted the log", p.id, joins)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// brokerDir finds where a node's broker keeps its streams.
func (p *process) brokerDir() (string, error) {
	found := ""
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "jetstream" {
			found = path
			return fs.SkipAll
		}
		return err
	})
	if err == nil && found == "" {
		err = fmt.Errorf("%s has no store of a broker", p.dir)
	}
	return found, err
}

// brokerWiped: what was not yet pulled out of the stream is gone.
func brokerWiped(ctx context.Context, r *run, victim string) error {
	p := r.cluster.procs[victim]
	return r.away(ctx, victim, func() error {
		dir, err := p.brokerDir()
		if err != nil {
			return err
		}
		return os.RemoveAll(dir)
	})
}

// cutAndWiped: all that waits in the stream of a node is gone. The others must get
// it from its log, or from those of its co-owners.
func cutAndWiped(ctx context.Context, r *run, victim string) error {
	home, _ := r.home(victim)
	if err := r.cluster.net.CutDC(home); err != nil {
		return err
	}
	r.pause(ctx, r.opts.Cut)
	err := brokerWiped(ctx, r, victim)
	return errors.Join(err, r.heal())
}

// brokerDamaged: half of the files are cut short, and the others garbled.
func brokerDamaged(ctx context.Context, r *run, victim string) error {
	p := r.cluster.procs[victim]
	return r.away(ctx, victim, func() error {
		dir, err := p.brokerDir()
		if err != nil {
			return err
		}
		return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil || info.Size() == 0 {
				return err
			}
			if r.rnd.IntN(2) == 0 {
				return os.Truncate(path, info.Size()/2)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i := len(b) / 3; i < len(b); i += 1 + len(b)/16 {
				b[i] ^= 0x55
			}
			return os.WriteFile(path, b, 0o600)
		})
	})
}

// replayed: the broker forgets how far others have got, so that all it keeps
// comes to them once more.
func replayed(ctx context.Context, r *run, victim string) error {
	p := r.cluster.procs[victim]
	return r.away(ctx, victim, func() error {
		var gone []string
		err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "obs" {
				gone = append(gone, path)
				return fs.SkipDir
			}
			return err
		})
		if err == nil && len(gone) == 0 {
			err = fmt.Errorf("the broker of %s knows no consumer", victim)
		}
		for _, dir := range gone {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return err
	})
}

// skewedDC: the nodes of a datacenter come back, one after the other, with clocks
// that are wrong alike, and later with right ones.
func (r *run) skewedDC(ctx context.Context, victim string, by time.Duration) error {
	home, _ := r.home(victim)
	all := func(more ...string) error {
		for _, id := range r.cluster.nodesOf(home) {
			if err := errors.Join(r.away(ctx, id, nil, more...), r.cluster.ready(ctx)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all("--test-clock-offset", by.String()); err != nil {
		return err
	}
	r.pause(ctx, r.opts.Down) // to mint stamps
	return all()
}

func (c *cluster) nodesOf(dc string) []string {
	d, _ := c.top.DC(dc)
	var out []string
	for _, n := range d.Nodes {
		out = append(out, n.ID)
	}
	return out
}

// killedHealing: nodes die while a datacenter gets what it missed.
func killedHealing(ctx context.Context, r *run, victim string) error {
	if err := datacenterCut(ctx, r, victim); err != nil {
		return err
	}
	return r.away(ctx, victim, nil)
}

// killedComparing: nodes die while what logs no longer tell is found by trees.
func killedComparing(ctx context.Context, r *run, victim string) error {
	if err := pastTheLog(ctx, r, victim); err != nil {
		return err
	}
	r.pause(ctx, 700*time.Millisecond)
	return r.away(ctx, victim, nil)
}

// datacenterKilled: all nodes of a datacenter die at once.
func datacenterKilled(ctx context.Context, r *run, _ string) error {
	d := r.cluster.top.Datacenters[r.rnd.IntN(len(r.cluster.top.Datacenters))]
	ids := r.cluster.nodesOf(d.Name)
	var errs []error
	for _, id := range ids {
		errs = append(errs, r.kill(id))
	}
	r.pause(ctx, r.opts.Down)
	for _, id := range ids {
		errs = append(errs, r.start(id))
	}
	return errors.Join(errs...)
}

// expendable are the nodes without which their datacenter still serves.
func (c *cluster) expendable() []string {
	return slices.DeleteFunc(slices.Clone(c.ids), func(id string) bool {
		_, dc, _ := c.top.NodeByID(id)
		return len(c.top.Datacenters) > 1 && len(c.nodesOf(dc)) < 3
	})
}
