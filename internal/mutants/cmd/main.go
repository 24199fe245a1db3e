// Command mutants runs the catalog of planted bugs, or those whose names match
// -name, and prints which test caught which. It exits 1 when fewer than 95% are
// caught or one cannot be judged, and 2 when it is called wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"

	"github.com/godwitdb/godwit/internal/mutants"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], mutants.Catalog(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process around it; it returns the exit code.
func run(ctx context.Context, args []string, catalog []mutants.Mutant, out, errs io.Writer) int {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.SetOutput(errs)
	root := flags.String("root", ".", "root `DIR` of the module")
	name := flags.String("name", "", "run only mutants whose name matches `REGEXP`")
	list := flags.Bool("list", false, "print the names and run nothing")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	wanted, err := regexp.Compile(*name)
	if err != nil {
		fmt.Fprintf(errs, "mutants: -name: %v\n", err)
		return 2
	}
	var chosen []mutants.Mutant
	for _, m := range catalog {
		if wanted.MatchString(m.Name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		fmt.Fprintf(errs, "mutants: no mutant matches %q; -list prints all names\n", *name)
		return 2
	}
	if *list {
		for _, m := range chosen {
			fmt.Fprintln(out, m.Name)
		}
		return 0
	}
	judged := 0
	results := mutants.Run(ctx, *root, chosen, func(r mutants.Result) {
		judged++
		fmt.Fprintf(errs, "%d of %d: %s %v after %.1f s\n", judged, len(chosen), r.Mutant.Name, r.Outcome, r.Took.Seconds())
	})
	if err := errors.Join(mutants.Print(out, results), mutants.Verdict(results)); err != nil {
		fmt.Fprintf(errs, "mutants: %v\n", err)
		return 1
	}
	fmt.Fprintf(out, "\n%d mutants, enough of them caught\n", len(results))
	return 0
}
