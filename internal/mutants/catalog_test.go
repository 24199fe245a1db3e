package mutants

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCatalogFitsTheSources notices at once when a change to the sources takes
// a planted bug's place away; whether the bugs are caught is told by make mutants.
func TestCatalogFitsTheSources(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Catalog() {
		t.Run(m.Name, func(t *testing.T) {
			if seen[m.Name] {
				t.Error("another mutant has the same name")
			}
			seen[m.Name] = true
			if area, what, ok := strings.Cut(m.Name, "/"); !ok || area == "" || what == "" {
				t.Error("the name must be area/what-is-wrong")
			}
			if err := m.check(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(m.File)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.apply(string(text)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestArea(t *testing.T) {
	all := Area("house")
	if len(all) == 0 {
		t.Fatal("the area house is empty")
	}
	for _, m := range all {
		if !strings.HasPrefix(m.Name, "house/") {
			t.Errorf("%s is not of the area house", m.Name)
		}
	}
	if got := Area("hous"); len(got) != 0 {
		t.Errorf("Area(hous) has %d mutants, want none", len(got))
	}
}

func contextCancelled(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}
