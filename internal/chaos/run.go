package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/godwitdb/godwit/internal/freeport"
	"github.com/godwitdb/godwit/topology"
)

const nodes = 4 // one more than a key has owners

// run is one run under way.
type run struct {
	opts    Options
	cluster *cluster
	load    *load
	rnd     *rand.Rand
	began   time.Time
	windows []window
	lives   []life
	joined  int  // nodes so far
	long    bool // logs are short, so that outages outlast them
}

// window is the time during which one fault was felt. Times are the recorder's.
type window struct {
	fault  *fault
	victim string
	hit    int64 // when it began
	end    int64 // when all nodes were level again
	err    error // what went wrong, beside requests
}

// life is when a node was killed, and when it was started again.
type life struct {
	node            string
	killed, started int64
}

// Run starts a datacenter, hurts it in every way and tells how it bore that. The
// error is of the run itself; what the datacenter did wrong is in the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	all := faults()
	if o.Across {
		all = wanFaults()
	}
	chosen, err := choose(all, o.Only, o.Hasty)
	if err != nil {
		return nil, err
	}
	r := &run{opts: o, rnd: rand.New(rand.NewPCG(o.Seed, 2)), began: time.Now()}
	names, sizes := []string{dcName}, []int{nodes}
	if o.Across {
		names, sizes = wanDatacenters()
	}
	var more []string
	if r.long = slices.ContainsFunc(chosen, func(f fault) bool { return f.long }); r.long {
		more = []string{"--log-bytes", wanLogSize}
	}
	if r.cluster, err = startDatacenters(ctx, o, names, sizes, more, r.say); err != nil {
		return nil, err
	}
	defer func() { _ = r.cluster.close() }() // it was closed before, unless something went wrong
	if r.load, err = startLoad(ctx, r.cluster); err != nil {
		return nil, err
	}
	defer func() { _ = r.load.close() }() // all that was recorded has been read
	r.say("seed %d: %d nodes, %d clients; data and logs in %s", o.Seed, len(r.cluster.ids), o.Workers+watchers, o.Dir)
	r.pause(ctx, 3*o.Calm)
	for round := 0; r.more(ctx, round); round++ {
		for _, i := range r.rnd.Perm(len(chosen)) {
			if r.more(ctx, round) {
				r.carryOut(ctx, &chosen[i])
			}
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return r.judge(ctx, chosen)
}

func choose(all []fault, only []string, hasty bool) ([]fault, error) {
	if len(only) == 0 {
		return slices.DeleteFunc(all, func(f fault) bool { return hasty && f.slow }), nil
	}
	var out []fault
	for _, name := range only {
		i := slices.IndexFunc(all, func(f fault) bool { return strings.Contains(f.name, name) })
		if i < 0 {
			return nil, fmt.Errorf("chaos: no fault is called %q", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// more reports whether another fault is due, after so many whole rounds.
func (r *run) more(ctx context.Context, done int) bool {
	if ctx.Err() != nil || done < r.opts.Rounds {
		return ctx.Err() == nil
	}
	enough := r.load.writes() >= r.opts.Acked+r.opts.Acked/20 && time.Since(r.began) >= r.opts.Least
	return !enough && time.Since(r.began) < r.opts.Limit
}

// carryOut lets one fault happen and waits until the nodes have recovered.
func (r *run) carryOut(ctx context.Context, f *fault) {
	hurtable := r.cluster.expendable()
	victim := hurtable[r.rnd.IntN(len(hurtable))]
	var unfit error
	if f.loses && r.opts.Hasty {
		unfit = r.cluster.level(ctx)
	}
	w := window{fault: f, victim: victim, hit: r.load.recorder.Now()}
	w.err = errors.Join(unfit, f.hurt(ctx, r, victim))
	healed := r.load.recorder.Now()
	w.err = errors.Join(w.err, r.cluster.ready(ctx))
	if !r.opts.Hasty {
		w.err = errors.Join(w.err, r.cluster.level(ctx))
	}
	w.end = r.load.recorder.Now()
	for _, p := range r.cluster.procs {
		w.err = errors.Join(w.err, p.died())
	}
	r.windows = append(r.windows, w)
	r.say("%s: %s; %.1f s, level %.1f s later%s", f.name, victim, seconds(healed-w.hit), seconds(w.end-healed), told(w.err))
	r.pause(ctx, r.opts.Calm)
}

func told(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

// say tells what goes on.
func (r *run) say(format string, args ...any) {
	writes := 0
	if r.load != nil {
		writes = r.load.writes()
	}
	fmt.Fprintf(r.opts.Progress, "%6.1f s  %7d writes  %s\n", time.Since(r.began).Seconds(), writes, fmt.Sprintf(format, args...))
}

// pause lets time pass.
func (r *run) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// kill kills a node and notes when.
func (r *run) kill(id string) error {
	r.lives = append(r.lives, life{node: id, killed: r.load.recorder.Now()})
	return r.cluster.procs[id].kill()
}

// start starts a node that was killed and notes when.
func (r *run) start(id string, more ...string) error {
	for i := range r.lives {
		if l := &r.lives[i]; l.node == id && l.started == 0 {
			l.started = r.load.recorder.Now()
		}
	}
	return r.cluster.procs[id].start(more...)
}

// away kills a node, does something to what it left behind, and starts it again
// after a while.
func (r *run) away(ctx context.Context, id string, meanwhile func() error, more ...string) error {
	if err := r.kill(id); err != nil {
		return err
	}
	var err error
	if meanwhile != nil {
		err = meanwhile()
	}
	r.pause(ctx, r.opts.Down)
	return errors.Join(err, r.start(id, more...))
}

// moved writes a topology in which a node has other ports, and returns its file
// and where the node serves operators by it.
func (c *cluster) moved(ctx context.Context, id string) (file, http string, err error) {
	ports, err := freeport.Campaigns().Find(ctx, rand.New(rand.NewPCG(c.opts.Seed, 3)), portsOf)
	if err != nil {
		return "", "", err
	}
	t := *c.top
	d := t.Datacenters[0]
	d.Nodes = slices.Clone(d.Nodes)
	for i := range d.Nodes {
		if d.Nodes[i].ID == id {
			d.Nodes[i].Ports = portsFrom(ports)
		}
	}
	t.Datacenters = []topology.Datacenter{d}
	file, err = writeTopology(&t, filepath.Join(c.opts.Dir, "elsewhere.yaml"))
	return file, addr(portsFrom(ports).HTTP), err
}
