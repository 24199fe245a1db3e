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

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(errs)
	o := chaos.Options{Progress: out}
	root := flags.String("root", ".", "directory of the module")
	plant := flags.String("plant", "", "bug to plant first: "+strings.Join(chaos.Planted(), ", "))
	only := flags.String("only", "", "faults, parts of their names separated by commas; all")
	keep := flags.Bool("keep", false, "keep data and logs")
	flags.Uint64Var(&o.Seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "of the faults and their order")
	flags.IntVar(&o.Rounds, "rounds", 1, "how often every fault comes at the least")
	flags.IntVar(&o.Acked, "acked", 0, "go on until as many writes are acknowledged")
	flags.IntVar(&o.Workers, "workers", 0, "clients (12)")
	flags.DurationVar(&o.Limit, "limit", 0, "begin no round after this time (10m)")
	flags.DurationVar(&o.Freeze, "freeze", 0, "how long a frozen node stands still (30s)")
	flags.DurationVar(&o.Calm, "calm", 0, "pause between two faults (1s)")
	flags.BoolVar(&o.Hasty, "hasty", false, "wait until nodes are level only before one loses its disk")
	flags.DurationVar(&o.Down, "down", 0, "how long a killed node is away (3s)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	dir, err := os.MkdirTemp("", "godwit-chaos-")
	if err != nil {
		fmt.Fprintln(errs, "chaos:", err)
		return 2
	}
	o.Dir, o.Binary = filepath.Join(dir, "data"), filepath.Join(dir, "godwit")
	if err := build(ctx, *root, *plant, o.Binary); err != nil {
		fmt.Fprintln(errs, "chaos:", err)
		return 2
	}
	res, err := chaos.Run(ctx, o)
	if err != nil {
		fmt.Fprintf(errs, "chaos: seed %d: %v; data and logs are in %s\n", o.Seed, err, dir)
		return 2
	}
	fmt.Fprintf(out, "\n%v", res)
	if !res.OK() {
		fmt.Fprintf(errs, "chaos: promises were broken; data and logs are in %s\n", dir)
		return 1
	}
	if !*keep {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(errs, "chaos:", err)
		}
	}
	return 0
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
