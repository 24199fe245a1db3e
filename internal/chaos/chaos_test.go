package chaos

import (
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
	if testing.Short() {
		t.Skip("starts many processes")
	}
	dir := t.TempDir()
	o := Options{
		Binary: filepath.Join(dir, "godwit"), Dir: filepath.Join(dir, "data"), Seed: *seed,
		Workers: 4, Freeze: time.Second, Down: 200 * time.Millisecond, Calm: 200 * time.Millisecond, Hasty: true, Progress: t.Output(),
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", o.Binary, "github.com/godwitdb/godwit/cmd/godwit").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%v", res)
	if !res.OK() {
		t.Error("promises were broken")
		logs, _ := filepath.Glob(filepath.Join(o.Dir, "logs", "*"))
		for _, name := range logs {
			if b, err := os.ReadFile(name); err == nil {
				t.Logf("--- %s\n%s", filepath.Base(name), b)
			}
		}
	}
}
