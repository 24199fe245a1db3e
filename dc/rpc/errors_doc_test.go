package rpc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var reasonWord = regexp.MustCompile(`^[A-Z][A-Z]*(_[A-Z]+)*$`)

// reasonsIn finds the words that look like reasons among the arguments, fields
// and constants of a package's sources.
func reasonsIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		found = append(found, reasonsOf(t, dir+"/"+e.Name())...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func reasonsOf(t *testing.T, name string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if word, err := strconv.Unquote(lit.Value); err == nil && len(word) > 3 && reasonWord.MatchString(word) {
			found = append(found, word)
		}
		return true
	})
	return found
}

func TestEveryReasonIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| [A-Z_]+ \\| [^|]+ \\|[^|]*\\|$").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, m[1])
	}
	if !slices.IsSorted(documented) {
		t.Error("docs/errors.md: the table is not sorted by reason")
	}
	used := append(reasonsIn(t, ".."), reasonsIn(t, ".")...)
	if len(used) < 40 {
		t.Fatalf("found only %d reasons in the sources: %q", len(used), used)
	}
	for _, reason := range used {
		if !slices.Contains(documented, reason) {
			t.Errorf("docs/errors.md: reason %s has no row", reason)
		}
	}
	for _, reason := range documented {
		if !slices.Contains(used, reason) {
			t.Errorf("docs/errors.md: reason %s is used nowhere", reason)
		}
	}
}
