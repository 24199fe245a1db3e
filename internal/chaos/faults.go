package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// fault is one way to hurt a datacenter.
type fault struct {
	name    string
	mayFail bool // requests: too few nodes are there for a quorum
	loses   bool // what is on a disk: all others must have it before
	slow    bool // it is left out where there is little time
	long    bool // it lasts until logs no longer reach back
	hurt    func(ctx context.Context, r *run, victim string) error
}

// faults are all that are known, in the order of the table.
func faults() []fault {
	return []fault{
		{name: "kill -9", hurt: killed},
		{name: "frozen by SIGSTOP", hurt: frozen},
		{name: "wiped directory", loses: true, hurt: wiped},
		{name: "restored old directory", loses: true, hurt: restored},
		{name: "cloned directory", hurt: cloned},
		{name: "cloned to other addresses", hurt: clonedElsewhere},
		{name: "replaced while frozen", slow: true, hurt: replaced},
		{name: "clock 1 h ahead", hurt: func(ctx context.Context, r *run, victim string) error { return r.skewed(ctx, victim, r.opts.Skew) }},
		{name: "clock 1 h behind", hurt: func(ctx context.Context, r *run, victim string) error { return r.skewed(ctx, victim, -r.opts.Skew) }},
		{name: "join, leave and kill -9", hurt: churned},
		{name: "power failure of all", mayFail: true, hurt: powerless},
		{name: "left alone, then wiped", mayFail: true, loses: true, hurt: alone},
	}
}

// killed: a node dies in the middle of what it does, and comes back.
func killed(ctx context.Context, r *run, victim string) error {
	return r.away(ctx, victim, nil)
}

// frozen: a node stands still, its connections stay open, and it goes on.
func frozen(ctx context.Context, r *run, victim string) error {
	p := r.cluster.procs[victim]
	if err := p.freeze(); err != nil {
		return err
	}
	r.pause(ctx, r.opts.Freeze)
	return p.thaw()
}

// wiped: a node loses its disk and comes back with an empty one.
func wiped(ctx context.Context, r *run, victim string) error {
	return r.away(ctx, victim, func() error { return os.RemoveAll(r.cluster.procs[victim].dir) })
}

// restored: a node's directory is put back as it was some time ago. What it
// minted since is with the others, under an actor that it must not use again.
func restored(ctx context.Context, r *run, victim string) error {
	p := r.cluster.procs[victim]
	old := filepath.Join(r.opts.Dir, "backup")
	if err := r.away(ctx, victim, func() error { return copyDir(p.dir, old) }); err != nil {
		return err
	}
	if err := errors.Join(r.cluster.ready(ctx), r.cluster.level(ctx)); err != nil {
		return err
	}
	r.pause(ctx, r.opts.Down) // to mint under the actor of this life
	return r.away(ctx, victim, func() error {
		return errors.Join(os.RemoveAll(p.dir), os.Rename(old, p.dir))
	})
}

// cloned: a directory is used by two processes, and then a copy of it by a
// second node of the same name. Neither may start.
func cloned(ctx context.Context, r *run, victim string) error {
	return r.twins(ctx, victim, func(p *process, clone, elsewhere string) []process {
		return []process{{dir: p.dir, args: elsewhereArgs(elsewhere, victim)}, {dir: clone, args: p.args}}
	})
}

// clonedElsewhere: the copy is used at other addresses than the original.
func clonedElsewhere(ctx context.Context, r *run, victim string) error {
	return r.twins(ctx, victim, func(_ *process, clone, elsewhere string) []process {
		return []process{{dir: clone, args: elsewhereArgs(elsewhere, victim)}}
	})
}

// replaced: while a node stands still, a copy of its directory takes its place
// at other addresses. When the node goes on it must find that out, and end.
func replaced(ctx context.Context, r *run, victim string) error {
	p := r.cluster.procs[victim]
	clone := &process{
		id: victim + " once more", binary: p.binary, dir: filepath.Join(r.opts.Dir, "clone"),
		log: filepath.Join(r.opts.Dir, "logs", victim+"-clone.log"),
	}
	if err := r.away(ctx, victim, func() error { return copyDir(p.dir, clone.dir) }); err != nil {
		return err
	}
	if err := r.cluster.ready(ctx); err != nil {
		return err
	}
	elsewhere, at, err := r.cluster.moved(ctx, victim)
	if err != nil {
		return err
	}
	clone.args, clone.http = elsewhereArgs(elsewhere, victim), at
	r.lives = append(r.lives, life{node: victim, killed: r.load.recorder.Now()})
	if err := p.freeze(); err != nil {
		return err
	}
	r.pause(ctx, silence) // until then the others wait for it
	if err := clone.start(); err != nil {
		return err
	}
	err = r.cluster.until(ctx, readyTime, "the copy serves", func() error {
		_, err := clone.pulled(ctx)
		return errors.Join(err, clone.died())
	})
	err = errors.Join(err, p.thaw(), p.gives(patience*2, "another process has taken its place"), clone.kill(), os.RemoveAll(clone.dir))
	r.say("%s was replaced at %s, and ended when it went on", victim, at)
	return errors.Join(err, r.start(victim))
}

// silence is longer than nodes wait for one that does not answer.
const silence = 5 * time.Second

func elsewhereArgs(file, id string) []string { return []string{"--topology", file, "--node", id} }

// patience is how long a process may take to refuse to start.
const patience = 10 * time.Second

// twins copies the directory of a node and reports which processes start beside
// it although they should refuse.
func (r *run) twins(ctx context.Context, victim string, of func(p *process, clone, elsewhere string) []process) error {
	p := r.cluster.procs[victim]
	clone := filepath.Join(r.opts.Dir, "clone")
	if err := r.away(ctx, victim, func() error { return copyDir(p.dir, clone) }); err != nil {
		return err
	}
	if err := r.cluster.ready(ctx); err != nil {
		return err
	}
	elsewhere, _, err := r.cluster.moved(ctx, victim)
	if err != nil {
		return err
	}
	for _, twin := range of(p, clone, elsewhere) {
		twin.id, twin.binary, twin.log = victim+" once more", p.binary, filepath.Join(r.opts.Dir, "logs", "twin.log")
		if refused := twin.refuses(patience); refused != nil {
			err = errors.Join(err, fmt.Errorf("%w: %v", refused, twin.args))
		}
	}
	return errors.Join(err, os.RemoveAll(clone))
}

// skewed: a node comes back with a clock that is wrong, and later with a right
// one. It coordinates no write meanwhile, others do.
func (r *run) skewed(ctx context.Context, victim string, by time.Duration) error {
	if err := r.away(ctx, victim, nil, "--test-clock-offset", by.String()); err != nil {
		return err
	}
	if err := r.cluster.ready(ctx); err != nil {
		return err
	}
	r.pause(ctx, r.opts.Down) // to mint stamps
	return r.away(ctx, victim, nil)
}

// powerless: the power of all nodes goes at once.
func powerless(_ context.Context, r *run, _ string) error {
	var errs []error
	for _, id := range r.cluster.ids {
		errs = append(errs, r.cluster.procs[id].freeze()) // none may see another die
	}
	for _, id := range r.cluster.ids {
		errs = append(errs, r.kill(id))
	}
	for _, id := range r.cluster.ids {
		errs = append(errs, r.start(id))
	}
	return errors.Join(errs...)
}

// alone: a node is the only one that answers. Then it loses its disk, and the
// power of all others goes, so that what it sent them and they did not take is
// gone as well. It must not have acknowledged anything that it alone has.
func alone(ctx context.Context, r *run, victim string) error {
	var errs []error
	for _, id := range r.cluster.ids {
		if id != victim {
			errs = append(errs, r.cluster.procs[id].freeze())
		}
	}
	r.pause(ctx, min(r.opts.Freeze, 2*time.Second))
	for _, id := range r.cluster.ids {
		errs = append(errs, r.kill(id))
	}
	errs = append(errs, os.RemoveAll(r.cluster.procs[victim].dir))
	for _, id := range r.cluster.ids {
		errs = append(errs, r.start(id))
	}
	return errors.Join(errs...)
}
