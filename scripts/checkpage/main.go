// Command checkpage opens the page of a load test in a headless Chromium, in
// light and in dark, and tells what is wrong with it: charts that are not drawn,
// faults that are not marked, pairs of datacenters that are not in the matrix,
// text over text, complaints in the console. It keeps a picture of each.
//
// It knows the marks of the page (loadtest/page.js) and the report that the page
// holds, and nothing else of godwit.
// Source: the Chrome DevTools Protocol, over --remote-debugging-pipe.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Sizes of a window: a desk and a narrow one.
const (
	wide, high = 1240, 900
	patience   = 2 * time.Minute
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run checks the page that the arguments name and returns the exit code.
func run(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("checkpage", flag.ContinueOnError)
	flags.SetOutput(errs)
	program := flags.String("browser", "", "Chromium; by default the first of chromium, chromium-browser and google-chrome")
	shots := flags.String("shots", "", "keep light.png and dark.png in this directory")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() != 1 {
		fmt.Fprintln(errs, "usage: checkpage [-browser PROGRAM] [-shots DIR] PAGE.html")
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	problems, err := check(ctx, out, *program, *shots, flags.Arg(0))
	if err != nil {
		fmt.Fprintf(errs, "checkpage: %v\n", err)
		return 1
	}
	for _, p := range problems {
		fmt.Fprintf(errs, "checkpage: %s: %s\n", flags.Arg(0), p)
	}
	if len(problems) > 0 {
		return 1
	}
	return 0
}

// check looks at the page in both schemes.
func check(ctx context.Context, out io.Writer, program, shots, page string) (problems []string, err error) {
	if program == "" {
		if program, err = find(); err != nil {
			return nil, err
		}
	}
	at, err := filepath.Abs(page)
	if err != nil {
		return nil, fmt.Errorf("find the page: %w", err)
	}
	if _, err := os.Stat(at); err != nil {
		return nil, fmt.Errorf("find the page: %w", err)
	}
	b, err := open(ctx, program)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, scheme := range []string{"light", "dark"} {
		if err := b.load("file://"+at, scheme, wide, high); err != nil {
			return nil, err
		}
		var seen looks
		if err := b.evaluate(lookJS, &seen); err != nil {
			return nil, err
		}
		for _, p := range append(seen.problems(scheme), b.complaints...) {
			problems = append(problems, scheme+": "+p)
		}
		picture, err := b.shot()
		if err != nil {
			return nil, err
		}
		if shots != "" {
			if err := os.WriteFile(filepath.Join(shots, scheme+".png"), picture, 0o600); err != nil {
				return nil, fmt.Errorf("keep the picture: %w", err)
			}
		}
		fmt.Fprintf(out, "%s: %d charts, %d lines, %d faults marked, %d pairs in each of %d matrices, a picture of %d bytes\n",
			scheme, len(seen.Charts), seen.lines(), len(seen.WantMarks), len(seen.WantPairs), len(seen.Heat), len(picture))
	}
	return problems, nil
}

// find is a Chromium of this machine.
func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if at, err := exec.LookPath(name); err == nil {
			return at, nil
		}
	}
	return "", errors.New("no Chromium: install Debian's package chromium, or name one with -browser")
}
