package archtest

import (
	"fmt"
	"go/ast"
	"slices"
)

// impure returns the packages of the standard library that pure packages do
// without, trees of them with a final /...
func impure() []string {
	return []string{
		"context", "crypto/rand", "log/...", "math/rand/...", "net/...", "os/...", "runtime/...",
		"sync/...", "syscall/...", "testing/...", "unsafe",
	}
}

// clockCalls returns the functions of package time that read a clock or wait.
func clockCalls() []string {
	return []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
}

// whyNotStandard says why a file may not import a package of the standard library.
func whyNotStandard(own row, s *source, path string) string {
	if own.pure && !s.test && within(path, impure()) {
		return "the package is pure: no clock, disk, network, goroutine, logger or chance"
	}
	return ""
}

// checkPure looks into the code of pure packages for what imports do not show:
// goroutines, channels and readings of the clock.
func (r rules) checkPure(folders []folder) []string {
	var found []string
	for _, f := range folders {
		if !r.packages[f.path].pure {
			continue
		}
		for i := range f.files {
			s := &f.files[i]
			if s.test {
				continue
			}
			ast.Inspect(s.ast, func(n ast.Node) bool {
				if what := impurity(n); what != "" {
					found = append(found, fmt.Sprintf("%s: %s is pure and may not %s", s.where(s.fset.Position(n.Pos()).Line), f.path, what))
				}
				return true
			})
		}
	}
	return found
}

// impurity says what n does that pure code does not, and nothing if it does not.
func impurity(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "start a goroutine"
	case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
		return "use a channel"
	case *ast.SelectorExpr:
		pkg, ok := n.X.(*ast.Ident)
		if ok && pkg.Name == "time" && slices.Contains(clockCalls(), n.Sel.Name) {
			return "call time." + n.Sel.Name
		}
	}
	return ""
}
