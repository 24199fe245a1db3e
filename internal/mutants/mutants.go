// Package mutants is the test of the tests: it plants known bugs into the
// sources one at a time and demands that the tests notice.
// It owns the list of bugs (Catalog), each a small replacement in one file, and
// the runner, which builds with an overlay and so never writes to the tree. It
// knows nothing of what the mutated code means.
// Sources: DeMillo, Lipton, Sayward, "Hints on Test Data Selection", IEEE
// Computer 11(4), 1978; the -overlay flag in the manual of the go command.
package mutants

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// Mutant is one planted bug and the tests that must notice it.
type Mutant struct {
	Name     string        // area/what-is-wrong, such as rules/residue-ignored; unique
	File     string        // from the module's root, with slashes
	Old      string        // the text that is replaced; occurs exactly once in File
	New      string        // what replaces it
	Packages []string      // patterns for go test, such as ./crdt; required
	Run      string        // regular expression of the tests, as for go test -run; all
	Timeout  time.Duration // of the tests, building aside; 1 minute. A mutant that hangs is caught
}

// Outcome says what became of a mutant.
type Outcome int

// The outcomes. Only Caught is good.
const (
	Invalid  Outcome = iota // it could not be judged: Result.Err says why
	Survived                // the tests passed with the bug in place
	Caught                  // at least one test failed
)

// String returns the word that the table prints.
func (o Outcome) String() string {
	switch o {
	case Invalid:
		return "INVALID"
	case Survived:
		return "SURVIVED"
	case Caught:
		return "caught"
	default:
		return fmt.Sprintf("Outcome(%d)", int(o))
	}
}

// Result is what Run found out about one mutant.
type Result struct {
	Mutant  Mutant
	Outcome Outcome
	By      []string      // the tests that failed, subtests by their full names, in order
	Took    time.Duration // with building
	Err     error         // of an Invalid mutant
}

// minCaught is the share of mutants, in percent, that a good suite catches.
const minCaught = 95

// Verdict returns nil if no mutant is invalid and at least 95% are caught, and
// else an error that counts them. No results at all prove nothing: an error.
func Verdict(results []Result) error {
	if len(results) == 0 {
		return errors.New("no mutants were run")
	}
	count := map[Outcome]int{}
	for _, r := range results {
		count[r.Outcome]++
	}
	if n := count[Invalid]; n > 0 {
		return fmt.Errorf("%d of %d mutants are invalid", n, len(results))
	}
	if count[Caught]*100 < minCaught*len(results) {
		return fmt.Errorf("%d of %d mutants were caught, fewer than %d%%", count[Caught], len(results), minCaught)
	}
	return nil
}

// Print writes a table of results to w, and below it why invalid ones are invalid.
func Print(w io.Writer, results []Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tOUTCOME\tSECONDS\tCAUGHT BY")
	for _, r := range results {
		by := strings.Join(r.By, " ")
		if len(r.By) > 3 {
			by = fmt.Sprintf("%s and %d more", strings.Join(r.By[:3], " "), len(r.By)-3)
		}
		fmt.Fprintf(table, "%s\t%v\t%.1f\t%s\n", r.Mutant.Name, r.Outcome, r.Took.Seconds(), by)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table of mutants: %w", err)
	}
	for _, r := range results {
		if r.Err != nil {
			fmt.Fprintf(w, "\n%s: %v\n", r.Mutant.Name, r.Err)
		}
	}
	return nil
}

// check reports what a mutant lacks, whatever the sources say.
func (m Mutant) check() error {
	switch {
	case m.Name == "":
		return errors.New("mutant has no Name")
	case m.File == "" || !filepath.IsLocal(filepath.FromSlash(m.File)):
		return fmt.Errorf("file %q must be a path inside the module", m.File)
	case strings.HasSuffix(m.File, "_test.go"):
		return fmt.Errorf("%s is a test: bugs are planted in what is tested", m.File)
	case m.Old == "":
		return errors.New("old text is empty")
	case m.Old == m.New:
		return errors.New("old and new text are the same")
	case len(m.Packages) == 0:
		return errors.New("no packages to test")
	}
	return nil
}

// apply returns text with the bug planted.
func (m Mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.Old); n != 1 {
		return "", fmt.Errorf("old text occurs %d times in %s, want exactly once: %q", n, m.File, m.Old)
	}
	return strings.Replace(text, m.Old, m.New, 1), nil
}
