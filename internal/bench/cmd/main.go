// Command cmd runs package bench and prints its table.
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
	"strconv"
	"strings"
	"syscall"

	"github.com/godwitdb/godwit/internal/bench"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	cancel()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 1 && args[0] == bench.EchoArgument {
		if err := bench.ServeEcho(ctx, out); err != nil {
			fmt.Fprintln(errs, "bench:", err)
			return 1
		}
		return 0
	}
	o, root, sizes, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	dir, err := os.MkdirTemp("", "godwit-bench-")
	if err != nil {
		fmt.Fprintln(errs, "bench:", err)
		return 1
	}
	if err := measure(ctx, o, root, dir, sizes, out); err != nil {
		fmt.Fprintf(errs, "bench: %v; logs are in %s\n", err, dir)
		return 1
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(errs, "bench:", err)
	}
	return 0
}

func parse(args []string, errs io.Writer) (o bench.Options, root string, sizes []int, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&root, "root", ".", "directory of the module")
	flags.StringVar(&o.Binary, "binary", "", "godwit; built from -root when not given")
	flags.StringVar(&o.Against, "against", "", "another build of godwit to take turns with")
	flags.IntVar(&o.Nodes, "nodes", 0, "of the datacenter (3)")
	flags.IntVar(&o.Keys, "keys", 0, "(100000)")
	flags.IntVar(&o.Rounds, "rounds", 0, "of which the median counts (3)")
	flags.DurationVar(&o.For, "for", 0, "how long each load lasts in a round (5s)")
	flags.StringVar(&o.Profile, "profile", "", "directory for CPU profiles of the first node")
	only := flags.String("only", "", "loads, parts of their names such as put/client/64, separated by commas")
	grow := flags.String("sizes", "", "in place of loads, fill up to so many keys, such as 10000,1000000, and measure puts, memory and disk there")
	if err = flags.Parse(args); err != nil {
		return o, root, nil, err
	}
	if sizes, err = numbers(*grow); err != nil {
		fmt.Fprintln(errs, "bench: -sizes:", err)
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	return o, root, sizes, err
}

// numbers reads numbers with commas between them.
func numbers(s string) (out []int, err error) {
	for word := range strings.SplitSeq(s, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// measure builds what is missing, runs everything, or grows to sizes, and prints
// the table.
func measure(ctx context.Context, o bench.Options, root, dir string, sizes []int, out io.Writer) (err error) {
	if o.Self, err = os.Executable(); err != nil {
		return err
	}
	if o.Binary == "" {
		o.Binary = filepath.Join(dir, "godwit")
		cmd := exec.CommandContext(ctx, "go", "build", "-o", o.Binary, "./cmd/godwit")
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%.4096s", err, text)
		}
	}
	o.Dir, o.Out = dir, out
	if len(sizes) > 0 {
		g, err := bench.Grow(ctx, o, sizes)
		if err == nil {
			fmt.Fprintf(out, "\n%v", g)
		}
		return err
	}
	res, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%v", res)
	return nil
}
