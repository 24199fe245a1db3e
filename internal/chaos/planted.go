package chaos

import (
	"context"
	"fmt"

	"github.com/godwitdb/godwit/internal/mutants"
)

// planted are bugs that a run must notice.
func planted() []mutants.Mutant {
	return []mutants.Mutant{
		{
			Name: "acknowledge-before-sync", File: "storage/replica.go", Packages: []string{"./internal/chaos"},
			Old: "\tc := &Commit{r: r, batch: b,", New: "\tasync = true\n\tc := &Commit{r: r, batch: b,",
		},
		{
			Name: "one-copy-too-few", File: "dc/spread.go", Packages: []string{"./internal/chaos"},
			Old: "copies < want(len(set)) {", New: "copies < want(len(set))-1 {",
		},
		{
			Name: "actor-kept", File: "storage/store.go", Packages: []string{"./internal/chaos"},
			Old: "if a != 0 && c.Last(a) == 0 {", New: "if a = a>>32<<32 | 7; a != 0 {",
		},
		{
			Name: "log-trimmed-before-stable", File: "storage/log.go", Packages: []string{"./internal/chaos"},
			Old: "\tcase settled && (!at.After(t.keep) || t.freed < t.tight):", New: "\tcase settled || at.Before(t.keep) || d.Hi > 0:",
		},
		{
			Name: "clock-before-the-join", File: "storage/descent.go", Packages: []string{"./internal/chaos"},
			Old: "\t\tj.begun, j.transfer.Clock = true, s.Clock.Clone()", New: "\t\tj.begun, j.transfer.Clock = true, s.Clock.Clone()\n\t\tj.r.state.Clock.Union(&j.transfer.Clock)",
		},
	}
}

// Planted are the names of bugs that BuildPlanted knows.
func Planted() []string {
	var names []string
	for _, m := range planted() {
		names = append(names, m.Name)
	}
	return names
}

// BuildPlanted builds godwit, from the module at root, with a bug in it.
func BuildPlanted(ctx context.Context, root, name, out string) error {
	for _, m := range planted() {
		if m.Name == name {
			return mutants.Build(ctx, root, m, "./cmd/godwit", out)
		}
	}
	return fmt.Errorf("no bug is called %q", name)
}
