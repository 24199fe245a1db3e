// Command testreport reads the events of `go test -json` on its standard input
// and prints what a person wants to read of them: the line of each package as
// go prints it, the whole output of what failed, and a count at the end.
// It is stricter than go test: it also fails when a test was skipped, and when
// no test ran. It knows nothing of the module whose tests it reports.
// Source: the manual of cmd/test2json.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr))
}

// run reports the events of in and returns the exit code.
func run(in io.Reader, out, errs io.Writer) int {
	r := newReport(out)
	if err := r.read(in); err != nil {
		fmt.Fprintf(errs, "testreport: %v\n", err)
		return 1
	}
	if err := r.finish(); err != nil {
		fmt.Fprintf(errs, "testreport: %v\n", err)
		return 1
	}
	return 0
}
