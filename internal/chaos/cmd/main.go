// Command cmd runs package chaos: it hurts a datacenter of real processes and
// ends with 1 if a promise was broken.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/godwitdb/godwit/internal/chaos"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

// command is what was asked for.
type command struct {
	chaos         chaos.Options
	elastic       chaos.ElasticOptions
	over          chaos.OverloadOptions
	grow, keep    bool
	overload      bool
	root, planted string
}

func parse(args []string, errs io.Writer) (*command, error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(errs)
	c := &command{}
	o, e := &c.chaos, &c.elastic
	flags.StringVar(&c.root, "root", ".", "directory of the module")
	flags.StringVar(&c.planted, "plant", "", "bug to plant first: "+strings.Join(chaos.Planted(), ", "))
	flags.BoolVar(&c.keep, "keep", false, "keep data and logs")
	only := flags.String("only", "", "faults, parts of their names separated by commas; all")
	flags.Uint64Var(&o.Seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "of the faults and their order")
	flags.IntVar(&o.Rounds, "rounds", 1, "how often every fault comes at the least")
	flags.IntVar(&o.Acked, "acked", 0, "go on until as many writes are acknowledged")
	flags.IntVar(&o.Workers, "workers", 0, "clients (12)")
	flags.DurationVar(&o.Least, "least", 0, "go on for as long at the least")
	flags.DurationVar(&o.Limit, "limit", 0, "after the rounds, begin no fault later than this (10m)")
	flags.DurationVar(&o.Freeze, "freeze", 0, "how long a frozen node stands still (30s)")
	flags.DurationVar(&o.Calm, "calm", 0, "pause between two faults (1s)")
	flags.DurationVar(&o.Down, "down", 0, "how long a killed node is away (3s)")
	flags.BoolVar(&o.Hasty, "hasty", false, "wait until nodes are level only before one loses its disk")
	flags.BoolVar(&o.Across, "across", false, "hurt several datacenters and the links between them")
	flags.DurationVar(&o.Cut, "cut", 0, "with -across: how long links are hurt (10s)")
	flags.BoolVar(&c.grow, "elastic", false, "grow from 3 nodes to 6 and back under load, and measure")
	flags.BoolVar(&c.overload, "overload", false, "ask for much more than the nodes can do, and see what becomes of it")
	flags.IntVar(&c.over.Times, "times", 0, "with -overload: how much more (10)")
	flags.DurationVar(&c.over.For, "for", 0, "with -overload: for how long (1m)")
	flags.IntVar(&c.over.Elements, "elements", 0, "with -overload: how many a request adds to a set (100)")
	flags.IntVar(&c.over.Value, "value", 0, "with -overload: bytes of an element (32)")
	flags.IntVar(&c.over.Open, "open", 0, "with -overload: requests without an answer at the most (20000)")
	flags.IntVar(&e.Keys, "keys", 0, "with -elastic (100000)")
	flags.IntVar(&e.Rate, "rate", 0, "with -elastic: requests a second (200)")
	flags.IntVar(&e.Missed, "missed", 0, "with -elastic: events that a node misses (100000)")
	err := flags.Parse(args)
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	return c, err
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	c, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	dir, err := os.MkdirTemp("", "godwit-chaos-")
	if err != nil {
		fmt.Fprintln(errs, "chaos:", err)
		return 2
	}
	res, err := c.carryOut(ctx, dir, out)
	if err != nil {
		fmt.Fprintf(errs, "chaos: seed %d: %v; data and logs are in %s\n", c.chaos.Seed, err, dir)
		return 2
	}
	fmt.Fprintf(out, "\n%v", res)
	if !res.OK() {
		fmt.Fprintf(errs, "chaos: promises were broken; data and logs are in %s\n", dir)
		return 1
	}
	if !c.keep {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(errs, "chaos:", err)
		}
	}
	return 0
}

// carryOut builds the program and runs what was asked for.
func (c *command) carryOut(ctx context.Context, dir string, out io.Writer) (result, error) {
	binary, data := filepath.Join(dir, "godwit"), filepath.Join(dir, "data")
	if err := build(ctx, c.root, c.planted, binary); err != nil {
		return nil, err
	}
	if c.grow {
		c.elastic.Binary, c.elastic.Dir, c.elastic.Progress = binary, data, out
		return chaos.RunElastic(ctx, c.elastic)
	}
	if c.overload {
		c.over.Binary, c.over.Dir, c.over.Progress = binary, data, out
		return chaos.RunOverload(ctx, c.over)
	}
	c.chaos.Binary, c.chaos.Dir, c.chaos.Progress = binary, data, out
	return chaos.Run(ctx, c.chaos)
}

// result is what either kind of run finds.
type result interface {
	OK() bool
	String() string
}

func build(ctx context.Context, root, plant, out string) error {
	if plant != "" {
		return chaos.BuildPlanted(ctx, root, plant, out)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "./cmd/godwit")
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%.4096s", err, text)
	}
	return nil
}
