package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkImports compares every import with the table. Tests may import any
// package that is not above their own, and any library whose rule does not
// hold for tests as well.
func (r rules) checkImports(folders []folder) []string {
	var found []string
	for _, f := range folders {
		own, ok := r.packages[f.path]
		if !ok {
			found = append(found, fmt.Sprintf("%s: package is not in the import table: add a row to %s, which is a design decision", f.path, tableFile))
			continue
		}
		for i := range f.files {
			found = append(found, r.checkFile(f.path, own, &f.files[i])...)
		}
	}
	return found
}

func (r rules) checkFile(pkg string, own row, s *source) []string {
	var found []string
	for _, im := range s.imports {
		var why string
		switch target, ours := r.ours(im.path); {
		case ours && s.test:
			why = r.whyNotInTest(pkg, target)
		case ours:
			why = whyNot(pkg, own, target)
		case standard(im.path):
			why = whyNotStandard(own, s, im.path)
		default:
			why = r.whyNotLibrary(pkg, own, s, im.path)
		}
		if why != "" {
			found = append(found, fmt.Sprintf("%s: %s may not import %s: %s", s.where(im.line), pkg, im.path, why))
		}
	}
	return found
}

// ours returns the folder of an import path of this module.
func (r rules) ours(path string) (string, bool) {
	if path == r.module {
		return ".", true
	}
	return strings.CutPrefix(path, r.module+"/")
}

// whyNot says why pkg may not import target, and nothing if it may.
func whyNot(pkg string, own row, target string) string {
	if own.any {
		if within(target, own.except) {
			return "excepted by its row in " + tableFile
		}
		return ""
	}
	if target == pkg || slices.Contains(own.imports, target) {
		return ""
	}
	allowed := "nothing of this module"
	if len(own.imports) > 0 {
		allowed = strings.Join(own.imports, ", ")
	}
	return fmt.Sprintf("its row in %s allows %s", tableFile, allowed)
}

// whyNotInTest keeps tests from importing what lies above their package: such
// a test belongs there. Packages that exist for tests, and those inside the
// package's own folder, are no part of the layers.
func (r rules) whyNotInTest(pkg, target string) string {
	if strings.HasPrefix(pkg, "internal/") || strings.HasPrefix(target, "internal/") || strings.HasPrefix(target, pkg+"/") {
		return ""
	}
	if target != pkg && r.reaches(target, pkg, map[string]bool{}) {
		return "it lies above, so the test belongs to " + target
	}
	return ""
}

// reaches reports whether the table lets from import to, directly or not.
func (r rules) reaches(from, to string, seen map[string]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	own := r.packages[from]
	if own.any {
		return !within(to, own.except)
	}
	return slices.ContainsFunc(own.imports, func(next string) bool {
		return next == to || r.reaches(next, to, seen)
	})
}

// whyNotLibrary says why pkg may not import the library path. Libraries that
// only tests use need no row.
func (r rules) whyNotLibrary(pkg string, own row, s *source, path string) string {
	i := slices.IndexFunc(r.libraries, func(l library) bool {
		return path == l.prefix || strings.HasPrefix(path, l.prefix+"/")
	})
	switch {
	case i < 0 && s.test:
		return ""
	case i < 0:
		return fmt.Sprintf("the library has no row in %s; a new dependency is a design decision", tableFile)
	}
	l := r.libraries[i]
	switch {
	case s.test && !l.tests:
		return ""
	case own.pure && !s.test && !l.pure:
		return "the package is pure"
	case len(l.importers) > 0 && !within(pkg, l.importers):
		return fmt.Sprintf("only %s may, by %s", strings.Join(l.importers, ", "), tableFile)
	}
	return ""
}

// standard reports whether path is of the standard library, whose first
// element, unlike a module's, has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// within reports whether pkg is one of patterns, where a final /... stands for
// the folder and everything under it.
func within(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		base, tree := strings.CutSuffix(p, "/...")
		return pkg == base || tree && strings.HasPrefix(pkg, base+"/")
	})
}

// checkTable reports rows that contradict the table's own rules: a pure
// package that imports one that is not, a row about nothing, and a circle.
func (r rules) checkTable() []string {
	var found []string
	for _, pkg := range slices.Sorted(maps.Keys(r.packages)) {
		for _, target := range r.packages[pkg].imports {
			switch to, ok := r.packages[target]; {
			case !ok:
				found = append(found, fmt.Sprintf("%s: row %q allows %q, which has no row", tableFile, pkg, target))
			case r.packages[pkg].pure && !to.pure:
				found = append(found, fmt.Sprintf("%s: row %q is pure and allows %q, which is not", tableFile, pkg, target))
			}
		}
		if !r.packages[pkg].any && r.reaches(pkg, pkg, map[string]bool{}) {
			found = append(found, fmt.Sprintf("%s: row %q goes round in a circle", tableFile, pkg))
		}
	}
	return found
}
