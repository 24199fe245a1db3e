package archtest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Limits on the length of a file, in lines.
const (
	maxLines   = 600 // of any file
	usualLines = 400 // of nine files of ten
)

// emptyNames are names of packages that say nothing about what they own.
func emptyNames() []string {
	return []string{"base", "common", "helper", "helpers", "misc", "shared", "types", "util", "utils"}
}

// checkShape reports packages without a package comment or with an empty name,
// files that are too long, and notes to oneself.
func checkShape(folders []folder) []string {
	var found []string
	for _, f := range folders {
		found = append(found, checkNames(f)...)
		found = append(found, checkComment(f)...)
		for i := range f.files {
			found = append(found, checkNotes(&f.files[i])...)
		}
	}
	return append(found, checkLength(folders)...)
}

func checkNames(f folder) []string {
	var found []string
	names := []string{path.Base(f.path)}
	for _, s := range f.files {
		names = append(names, strings.TrimSuffix(s.ast.Name.Name, "_test"))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if slices.Contains(emptyNames(), name) {
			found = append(found, fmt.Sprintf("%s: a package called %q owns no idea: name it after what it holds", f.path, name))
		}
	}
	return found
}

// checkComment demands one package comment that begins as the go command
// expects. Packages that are generated as a whole are documented at their source.
func checkComment(f folder) []string {
	if !slices.ContainsFunc(f.files, func(s source) bool { return !s.generated }) {
		return nil
	}
	var found []string
	documented := 0
	for _, s := range f.files {
		if s.ast.Doc == nil || s.generated {
			continue
		}
		documented++
		want := "Package " + s.ast.Name.Name + " "
		if s.ast.Name.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(s.ast.Doc.Text(), want) {
			found = append(found, fmt.Sprintf("%s: the package comment must begin with %q", s.where(s.fset.Position(s.ast.Doc.Pos()).Line), want))
		}
	}
	switch {
	case documented == 0:
		found = append(found, f.path+": no package comment: say what the package owns, what it does not know, and its sources")
	case documented > 1:
		found = append(found, fmt.Sprintf("%s: %d package comments: keep one", f.path, documented))
	}
	return found
}

// checkNotes reports the words by which unfinished work is marked.
func checkNotes(s *source) []string {
	if s.generated {
		return nil
	}
	// Put together here so that this file may pass its own check.
	words := regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "XX" + "X"}, "|") + `)\b`)
	var found []string
	for i, line := range strings.Split(string(s.text), "\n") {
		if word := words.FindString(line); word != "" {
			found = append(found, fmt.Sprintf("%s: %s: finish it, or open an issue", s.where(i+1), word))
		}
	}
	return found
}

// checkLength reports files that are longer than any may be, and, if more than
// one in ten is longer than usual, the longest of those.
func checkLength(folders []folder) []string {
	var found []string
	var long []source
	files := 0
	for _, f := range folders {
		for _, s := range f.files {
			if s.generated {
				continue
			}
			files++
			if s.lines > usualLines {
				long = append(long, s)
			}
			if s.lines > maxLines {
				found = append(found, fmt.Sprintf("%s: %d lines, and no file may have more than %d: split it", s.path, s.lines, maxLines))
			}
		}
	}
	if len(long)*10 > files {
		slices.SortFunc(long, func(a, b source) int { return b.lines - a.lines })
		names := make([]string, len(long))
		for i, s := range long {
			names[i] = fmt.Sprintf("%s (%d)", s.path, s.lines)
		}
		found = append(found, fmt.Sprintf("%d of %d files have more than %d lines, and one in ten may: split %s",
			len(long), files, usualLines, strings.Join(names, ", ")))
	}
	return found
}
