package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/loadtest"
)

// write prints what a test found, and writes the files that were asked for.
func (lt *loadTest) write(r *loadtest.Report) error {
	in := lt.in
	var errs []error
	for flag, render := range map[string]func(io.Writer) error{
		"out": r.WriteHTML, "json": r.WriteJSON,
		"markdown": func(w io.Writer) error {
			_, err := io.WriteString(w, r.Markdown())
			return err
		},
	} {
		if path := in.Path(flag); path != "" {
			errs = append(errs, writeTo(path, render))
		}
	}
	if in.json() {
		return errors.Join(append(errs, r.WriteJSON(in.s.out))...)
	}
	return errors.Join(append(errs, in.printReport(r))...)
}

// checkOutputs opens what is to be written, so that a run of an hour does not end
// without its report because of a directory that is not there.
func checkOutputs(in *invocation) error {
	for _, flag := range []string{"out", "json", "markdown"} {
		path := in.Path(flag)
		if path == "" {
			continue
		}
		_, err := os.Stat(path)
		isNew := errors.Is(err, os.ErrNotExist)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return usagef("--%s: %s", flag, err)
		}
		if err := f.Close(); err != nil {
			return usagef("--%s: %s", flag, err)
		}
		if isNew { // nothing stays if the run does not get that far
			if err := os.Remove(path); err != nil {
				return usagef("--%s: %s", flag, err)
			}
		}
	}
	return nil
}

func writeTo(path string, render func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(render(f), f.Close())
}

func (in *invocation) printReport(r *loadtest.Report) error {
	if err := in.s.table(loadtest.OperationHeader(), r.OperationCells()); err != nil {
		return err
	}
	if len(r.Pairs) > 0 {
		if err := in.s.line(""); err != nil {
			return err
		}
		if err := in.s.table(loadtest.PairHeader(), r.PairCells()); err != nil {
			return err
		}
	}
	lines := []string{""}
	for _, f := range r.Faults {
		text := fmt.Sprintf("%6.1fs  %s", f.T, f.What)
		if f.CaughtUpMS != nil {
			text += fmt.Sprintf(": caught up after %.0fms", *f.CaughtUpMS)
		}
		lines = append(lines, text)
	}
	if r.Check != nil {
		lines = append(lines, r.Check.Verdict())
		lines = append(lines, r.Check.Findings...)
	}
	for _, w := range r.Warnings {
		lines = append(lines, "warning: "+w)
	}
	for _, line := range lines {
		if err := in.s.line(line); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) loadtestCompare() *cli.Command {
	return s.leaf(spec{
		name: "compare", usage: "compare two reports of --json: B with A, and what is noise", args: "A.json B.json", least: 2, most: 2,
		flags: append([]cli.Flag{&cli.PathFlag{Name: "markdown", Usage: "write a table in Markdown to `FILE`"}}, outputFlags()...),
		run:   compareLoadtests,
	})
}

func compareLoadtests(in *invocation) error {
	var reports []*loadtest.Report
	for _, path := range in.args {
		f, err := os.Open(path)
		if err != nil {
			return usagef("open a report: %s", err)
		}
		r, err := loadtest.ReadReport(f)
		if e := f.Close(); err == nil && e != nil {
			err = e
		}
		if err != nil {
			return usagef("%s: %s", path, err)
		}
		reports = append(reports, r)
	}
	c := loadtest.Compare(reports[0], reports[1])
	for _, text := range c.Unlike {
		fmt.Fprintln(in.s.err, "unlike: "+text)
	}
	if path := in.Path("markdown"); path != "" {
		err := writeTo(path, func(w io.Writer) error {
			_, err := io.WriteString(w, loadtest.Markdown(loadtest.CompareHeader(), c.Cells()))
			return err
		})
		if err != nil {
			return err
		}
	}
	if in.json() {
		return in.s.json(c)
	}
	return in.s.table(loadtest.CompareHeader(), c.Cells())
}
