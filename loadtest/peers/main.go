// Command peers measures godwit beside etcd, NATS JetStream and Redis: the same
// workloads on real servers of each, on this machine, in one run that takes the
// systems in turn.
//
// It owns the servers' settings and ends, the clients, what is counted and the
// tables. It is a module of its own so that the clients of other systems are no
// dependencies of godwit's. It installs nothing: scripts/bench-peers.sh does.
//
// Every value that a get returns is compared with what was put, and a sample of
// what was written is read again: a system that is fast because it loses writes
// would be noticed.
//
// Sources: the manuals of the systems for their settings; proc(5) for CPU times.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// The codes that the program ends with.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the command: results go to out, progress and errors to errs.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 2 && args[0] == echoArg {
		if err := serveEcho(ctx, args[1]); err != nil {
			fmt.Fprintf(errs, "bench-peers: %v\n", err)
			return exitFailed
		}
		return exitOK
	}
	o, err := parseOptions(args, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(errs, "bench-peers: %v\n", err)
		return exitUsage
	}
	if err := compare(ctx, o, out, errs); err != nil {
		fmt.Fprintf(errs, "bench-peers: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// compare starts everything, measures, prints and ends everything.
func compare(ctx context.Context, o options, out, progress io.Writer) (err error) {
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	m, err := look(l.dir, time.Now())
	if err != nil {
		return err
	}
	b := &bench{opts: o, names: newKeyNames(o.keys), say: progress}
	defer func() { err = errors.Join(b.stop(), err) }()
	fmt.Fprintf(progress, "data and logs are in %s\n", l.dir)
	if err := b.start(ctx, l); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	m.load = append(m.load, loadAverage())
	b.print(out, m)
	return b.broken()
}
