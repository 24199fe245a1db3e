package mutants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// buildTime is what building may take on top of a test's own timeout.
const buildTime = 5 * time.Minute

// maxQuoted bounds how much of the go command's output an error repeats.
const maxQuoted = 4 << 10

// seen is what one run of go test showed.
type seen struct {
	ran      int      // tests that passed or failed
	failed   bool     // a test failed, or the test process died
	failures []string // names of tests that failed, without parents of others
	broken   string   // what the compiler said, if something did not build
}

// goTest runs the tests of m with more flags. It returns an error when the
// tests could not be run; that they failed or did not build is no error.
func goTest(ctx context.Context, root string, m Mutant, flags ...string) (seen, error) {
	timeout := cmp.Or(m.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeout(ctx, timeout+buildTime)
	defer cancel()

	// Vet is off: it refuses to run tests of code that is merely suspicious.
	args := []string{"test", "-json", "-vet=off", "-timeout=" + timeout.String(), "-run=" + cmp.Or(m.Run, ".")}
	args = append(append(args, flags...), m.Packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	// A property that fails on purpose must not leave its failing input in the
	// tree, to be replayed for ever, nor spend its time on shrinking it.
	cmd.Env = append(os.Environ(), insideEnv+"="+m.Name, "RAPID_NOFAILFILE=true", "RAPID_SHRINKTIME=1s")
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr

	err := cmd.Run()
	if ctx.Err() != nil {
		return seen{}, fmt.Errorf("go test was stopped: %w", ctx.Err())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return seen{}, fmt.Errorf("run go test: %w", err)
	}
	s := read(stdout.Bytes())
	if err != nil && !s.failed && s.broken == "" {
		return seen{}, fmt.Errorf("go test: %w: %s", err, quoted(stderr.String()))
	}
	return s, nil
}

// testEvent is one line of go test -json.
// Source: the manual of cmd/test2json, and go help buildjson.
type testEvent struct{ Action, Package, Test, Output, FailedBuild string }

// read understands the output of go test -json.
func read(out []byte) seen {
	var s seen
	var compiler strings.Builder
	running := map[string][]string{} // tests that have begun and not ended, by package
	broken := false
	for line := range bytes.Lines(out) {
		var e testEvent
		if json.Unmarshal(line, &e) != nil {
			continue // the go command's own plain words
		}
		switch e.Action {
		case "build-output":
			compiler.WriteString(e.Output)
		case "run":
			running[e.Package] = append(running[e.Package], e.Test)
		case "output":
			broken = broken || e.Test == "" && strings.HasSuffix(e.Output, "[setup failed]\n")
		case "pass", "fail", "skip":
			broken = broken || e.FailedBuild != ""
			s.end(e, running[e.Package])
			running[e.Package] = slices.DeleteFunc(running[e.Package], func(name string) bool { return name == e.Test })
		}
	}
	if broken {
		return seen{broken: cmp.Or(quoted(compiler.String()), "no word from the compiler")}
	}
	s.failures = leaves(s.failures)
	if s.failed && len(s.failures) == 0 {
		s.failures = []string{"the test process died"}
	}
	return s
}

// end notes how a test ended or, if the event names none, a package. What was
// running when its package failed was cut off by a panic or a timeout.
func (s *seen) end(e testEvent, running []string) {
	failed := e.Action == "fail"
	s.failed = s.failed || failed
	switch {
	case e.Test == "" && failed:
		s.failures = append(s.failures, running...)
	case e.Test != "" && failed:
		s.failures = append(s.failures, e.Test)
		s.ran++
	case e.Test != "" && e.Action == "pass":
		s.ran++
	}
}

// leaves returns names without those that others are subtests of.
func leaves(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
}

// quoted returns text, cut to what an error may repeat.
func quoted(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > maxQuoted {
		return text[:maxQuoted] + " ..."
	}
	return text
}
