package mutants

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fixture writes a module with one function and its tests, and returns its root.
func fixture(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/fixture\n\ngo 1.26\n",
		"sum/sum.go": `package sum

func Add(a, b int) int { return a + b }

func Double(a int) int { return 2 * a }

func Until(n int) (total int) {
	for i := 0; i < n; i++ {
		total += i
	}
	return total
}
`,
		"sum/sum_test.go": `package sum

import (
	"os"
	"testing"
)

func TestAdd(t *testing.T) {
	t.Run("small", func(t *testing.T) {
		if Add(2, 3) != 5 {
			t.Fatal("no")
		}
	})
}

func TestUntil(t *testing.T) {
	if Until(4) != 6 {
		t.Fatal("no")
	}
}

func TestNoFailFiles(t *testing.T) {
	if os.Getenv("RAPID_NOFAILFILE") != "true" {
		t.Fatal("rapid would write to the tree")
	}
}

func TestBroken(t *testing.T) { t.Fatal("always") }
`,
	} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestRun(t *testing.T) {
	root := fixture(t)
	before := contents(t, root)
	tests := []struct {
		mutant  Mutant
		want    Outcome
		by, err string // by: all of it; err: a part of it
	}{
		{
			mutant: Mutant{Name: "a bug that a test sees", Old: "a + b", New: "a - b", Run: "TestAdd"},
			want:   Caught, by: "TestAdd/small",
		},
		{
			mutant: Mutant{Name: "a bug that no test sees", Old: "2 * a", New: "3 * a", Run: "TestAdd|TestUntil"},
			want:   Survived,
		},
		{
			mutant: Mutant{Name: "a property leaves no file behind", Old: "2 * a", New: "3 * a", Run: "TestNoFailFiles"},
			want:   Survived,
		},
		{
			mutant: Mutant{Name: "a bug that kills the process", Old: "return a + b", New: "panic(a + b)", Run: "TestAdd"},
			want:   Caught, by: "TestAdd/small",
		},
		{
			mutant: Mutant{Name: "a bug that hangs", Old: "i++", New: "i += 0", Run: "TestUntil", Timeout: time.Second},
			want:   Caught, by: "TestUntil",
		},
		{
			mutant: Mutant{Name: "no Go", Old: "a + b", New: "a + c", Run: "TestAdd"},
			want:   Invalid, err: "the mutant does not build:\n",
		},
		{
			mutant: Mutant{Name: "no such text", Old: "a * b", New: "a + b", Run: "TestAdd"},
			want:   Invalid, err: `old text occurs 0 times in sum/sum.go, want exactly once: "a * b"`,
		},
		{
			mutant: Mutant{Name: "text that occurs twice", Old: "return", New: "panic", Run: "TestAdd"},
			want:   Invalid, err: "old text occurs 3 times",
		},
		{
			mutant: Mutant{Name: "no such test", Old: "a + b", New: "a - b", Run: "TestNothing"},
			want:   Invalid, err: `no test of ./sum matches "TestNothing"`,
		},
		{
			mutant: Mutant{Name: "a test that fails anyway", Old: "a + b", New: "a - b", Run: "TestBroken"},
			want:   Invalid, err: "tests fail without the mutant: TestBroken",
		},
		{
			mutant: Mutant{Name: "a file outside", File: "../sum.go", Old: "a + b", New: "a - b"},
			want:   Invalid, err: `file "../sum.go" must be a path inside the module`,
		},
		{
			mutant: Mutant{Name: "no such file", File: "sum/product.go", Old: "a + b", New: "a - b"},
			want:   Invalid, err: "read the file to mutate",
		},
		{
			mutant: Mutant{Name: "no such package", Old: "a + b", New: "a - b", Packages: []string{"./product"}},
			want:   Invalid, err: "product",
		},
	}
	list := make([]Mutant, len(tests))
	for i, tt := range tests {
		list[i] = tt.mutant
		if list[i].File == "" {
			list[i].File = "sum/sum.go"
		}
		if list[i].Packages == nil {
			list[i].Packages = []string{"./sum"}
		}
	}
	results := Run(t.Context(), root, list, nil)
	if len(results) != len(list) {
		t.Fatalf("%d results of %d mutants", len(results), len(list))
	}
	for i, tt := range tests {
		t.Run(tt.mutant.Name, func(t *testing.T) {
			got := results[i]
			if got.Mutant.Name != tt.mutant.Name {
				t.Fatalf("result is about %q", got.Mutant.Name)
			}
			if got.Outcome != tt.want {
				t.Errorf("outcome %v, want %v (%v)", got.Outcome, tt.want, got.Err)
			}
			if by := strings.Join(got.By, " "); by != tt.by {
				t.Errorf("caught by %q, want %q", by, tt.by)
			}
			if (got.Err != nil) != (tt.err != "") || got.Err != nil && !strings.Contains(got.Err.Error(), tt.err) {
				t.Errorf("error %v, want one with %q", got.Err, tt.err)
			}
		})
	}
	if !slices.Equal(contents(t, root), before) {
		t.Error("the tree was written to")
	}
}

// contents lists the files below root with their text.
func contents(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	for _, name := range []string{"go.mod", "sum/sum.go", "sum/sum_test.go"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name, string(text))
	}
	return all
}

func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := contextCancelled(t)
	defer cancel()
	m := Mutant{Name: "a", File: "sum/sum.go", Old: "a + b", New: "a - b", Packages: []string{"./sum"}}
	results := Run(ctx, fixture(t), []Mutant{m}, nil)
	if len(results) != 1 || results[0].Outcome != Invalid || !errors.Is(results[0].Err, ctx.Err()) {
		t.Errorf("Run with an ended context: %+v, want one Invalid with %v", results, ctx.Err())
	}
}

// A test that runs mutants of its own package is itself among their tests.
func TestRunInsideAMutantDoesNothing(t *testing.T) {
	t.Setenv(insideEnv, "rules/something")
	if got := Run(t.Context(), fixture(t), []Mutant{{Name: "a"}}, nil); got != nil {
		t.Errorf("Run = %v, want nil", got)
	}
}

func TestVerdict(t *testing.T) {
	of := func(caught, survived, invalid int) []Result {
		return slices.Concat(
			slices.Repeat([]Result{{Outcome: Caught}}, caught),
			slices.Repeat([]Result{{Outcome: Survived}}, survived),
			slices.Repeat([]Result{{Outcome: Invalid}}, invalid),
		)
	}
	tests := []struct {
		name    string
		results []Result
		want    string
	}{
		{"all caught", of(3, 0, 0), ""},
		{"95 of 100", of(95, 5, 0), ""},
		{"94 of 100", of(94, 6, 0), "94 of 100 mutants were caught, fewer than 95%"},
		{"one invalid", of(99, 0, 1), "1 of 100 mutants are invalid"},
		{"none", nil, "no mutants were run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := Verdict(tt.results); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Verdict = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	err := Print(&out, []Result{
		{Mutant: Mutant{Name: "rules/residue-ignored"}, Outcome: Caught, By: []string{"TestA", "TestB/x", "TestC", "TestD"}, Took: 1500 * time.Millisecond},
		{Mutant: Mutant{Name: "rules/b"}, Outcome: Survived, Took: 2 * time.Second},
		{Mutant: Mutant{Name: "rules/c"}, Err: errors.New("old text is empty")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `MUTANT                 OUTCOME   SECONDS  CAUGHT BY
rules/residue-ignored  caught    1.5      TestA TestB/x TestC and 1 more
rules/b                SURVIVED  2.0      
rules/c                INVALID   0.0      

rules/c: old text is empty
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}
