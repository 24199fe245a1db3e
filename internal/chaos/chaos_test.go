package chaos

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var seed = flag.Uint64("chaos-seed", 1, "of the faults and their order")

// A datacenter of real processes is hurt in every way once, in short.
func TestChaos(t *testing.T) {
	inShort(t, Options{Workers: 4, Freeze: time.Second, Down: 200 * time.Millisecond})
}

// Three datacenters of real processes, and the links between them, likewise.
func TestChaosAcrossDatacenters(t *testing.T) {
	inShort(t, Options{Workers: 7, Across: true, Cut: time.Second, Down: 200 * time.Millisecond})
}

func inShort(t *testing.T, o Options) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	dir := t.TempDir()
	o.Binary, o.Dir, o.Seed = build(t, dir), filepath.Join(dir, "data"), *seed
	o.Calm, o.Hasty, o.Progress = 200*time.Millisecond, true, t.Output()
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !res.OK() {
		logs, _ := filepath.Glob(filepath.Join(o.Dir, "logs", "*"))
		for _, name := range logs {
			if b, err := os.ReadFile(name); err == nil {
				t.Logf("--- %s\n%s", filepath.Base(name), tail(b))
			}
		}
		t.Error("promises were broken")
	}
	t.Logf("\n%v", res) // last: what is kept of a long output is its end
}

// tail is the end of a log: the test's own report must not drown in it.
func tail(log []byte) []byte {
	const most = 8 << 10
	if len(log) <= most {
		return log
	}
	_, whole, _ := bytes.Cut(log[len(log)-most:], []byte("\n"))
	return whole
}

// build builds godwit in a directory and returns the program.
func build(t *testing.T, dir string) string {
	t.Helper()
	binary := filepath.Join(dir, "godwit")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/godwitdb/godwit/cmd/godwit").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}
