package mutants

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build compiles a main package of the module at root, such as ./cmd/godwit,
// with the bug of m in it, to the file out: for tests of whole processes. The
// packages to test that m names count for nothing here.
func Build(ctx context.Context, root string, m Mutant, main, out string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return fmt.Errorf("make a scratch directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the temporary directory: nobody misses the error
	r := &runner{root: root}
	overlay, err := r.plant(m, dir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay="+overlay, "-o", out, main)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s with mutant %s: %w\n%.4096s", main, m.Name, err, text)
	}
	return nil
}
