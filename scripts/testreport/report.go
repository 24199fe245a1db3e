package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxLine bounds one line of input; go itself splits longer output into several events.
const maxLine = 16 << 20

// event is one line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output, instead of Package
	Test       string // empty for events of the package itself
	Output     string
}

// test names a test of a package; an empty name is the package itself.
type test struct{ pkg, name string }

// report gathers the events of one run. It keeps the output of a test until
// that test has ended, so a passing test costs nothing. Not safe for concurrent use.
type report struct {
	out     io.Writer
	pending map[test][]string // output of tests that have not ended
	order   []test            // keys of pending, oldest first
	passed  int
	failed  []test
	skipped []test
	broken  []string // packages that failed as a whole
}

func newReport(out io.Writer) *report {
	return &report{out: out, pending: map[test][]string{}}
}

// read consumes events until the end of in. Lines that are no events are
// passed on as they are: the go command says some things in plain text.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e event
		if !strings.HasPrefix(lines.Text(), "{") || json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(r.out, lines.Text())
			continue
		}
		r.handle(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read test events: %w", err)
	}
	return nil
}

func (r *report) handle(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprintf(r.out, "%s", e.Output)
	case "output":
		r.keep(t, e.Output)
	case "pass":
		if t.name != "" {
			r.passed++
		}
		r.end(t, false)
	case "fail":
		if t.name != "" {
			r.failed = append(r.failed, t)
		} else {
			r.broken = append(r.broken, t.pkg)
			r.endUnfinished(t.pkg)
		}
		r.end(t, true)
	case "skip":
		if t.name != "" { // without a name: a package that has no test files
			r.skipped = append(r.skipped, t)
		}
		r.end(t, t.name != "")
	}
}

func (r *report) keep(t test, output string) {
	if t.name != "" && strings.HasPrefix(output, "=== ") {
		return // === RUN and its like frame the output, they are not part of it
	}
	if _, ok := r.pending[t]; !ok {
		r.order = append(r.order, t)
	}
	r.pending[t] = append(r.pending[t], output)
}

// end forgets t's output, after printing it whole if asked to. Of a package
// that passed, the one line with its name and time is printed.
func (r *report) end(t test, whole bool) {
	for _, line := range r.pending[t] {
		if whole || t.name == "" && summaryLine(line) {
			fmt.Fprintf(r.out, "%s", line)
		}
	}
	delete(r.pending, t)
	r.order = slices.DeleteFunc(r.order, func(o test) bool { return o == t })
}

// endUnfinished prints what the tests of pkg said that were still running when
// their process ended, be it by a panic, an exit or a timeout.
func (r *report) endUnfinished(pkg string) {
	for _, t := range slices.Clone(r.order) {
		if t.pkg == pkg && t.name != "" {
			r.end(t, true)
		}
	}
}

// summaryLine reports whether line is the one that go test prints for a package.
func summaryLine(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "?   \t") ||
		strings.HasPrefix(line, "\t") && strings.Contains(line, "coverage:")
}

// finish prints the count and returns an error that says why the run does not
// count as good, nil if it does.
func (r *report) finish() error {
	fmt.Fprintf(r.out, "\n%d tests passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
	for _, t := range r.failed {
		fmt.Fprintf(r.out, "--- FAIL: %s (%s)\n", t.name, t.pkg)
	}
	for _, t := range r.skipped {
		fmt.Fprintf(r.out, "--- SKIP: %s (%s)\n", t.name, t.pkg)
	}
	for _, pkg := range r.broken {
		fmt.Fprintf(r.out, "FAIL\t%s\n", pkg)
	}
	var errs []error
	if len(r.failed) > 0 || len(r.broken) > 0 {
		errs = append(errs, errors.New("tests failed"))
	}
	if len(r.skipped) > 0 {
		errs = append(errs, errors.New("a skipped test proves nothing: give it what it needs, or take it out of this run"))
	}
	if r.passed+len(r.failed)+len(r.skipped) == 0 {
		errs = append(errs, errors.New("no tests ran"))
	}
	return errors.Join(errs...)
}
