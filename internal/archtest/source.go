package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// source is one parsed file of the module.
type source struct {
	path      string // from the module's root, with slashes
	lines     int
	text      []byte
	test      bool // a _test.go file
	generated bool
	imports   []imported
	fset      *token.FileSet
	ast       *ast.File
}

// imported is one import of a file.
type imported struct {
	path string
	line int
}

// folder is the directory of one package, with all of its files.
type folder struct {
	path  string // from the module's root; "." is the root itself
	files []source
}

// load parses every Go file of the module in fsys and returns its folders in
// order of their paths. It leaves out what does not belong to the module's
// packages: testdata, examples, hidden folders, and modules of their own.
func load(fsys fs.FS) ([]folder, error) {
	byPath := map[string]*folder{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return enter(fsys, name)
		case path.Ext(name) != ".go" || strings.HasPrefix(path.Base(name), "_"):
			return nil
		}
		file, err := parse(fsys, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if byPath[dir] == nil {
			byPath[dir] = &folder{path: dir}
		}
		byPath[dir].files = append(byPath[dir].files, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the module's sources: %w", err)
	}
	var folders []folder
	for _, dir := range slices.Sorted(maps.Keys(byPath)) {
		folders = append(folders, *byPath[dir])
	}
	return folders, nil
}

// enter tells WalkDir to skip folders that hold none of the module's packages.
func enter(fsys fs.FS, name string) error {
	if name == "." {
		return nil
	}
	base := path.Base(name)
	if base == "testdata" || base == "vendor" || name == "examples" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parse(fsys fs.FS, name string) (source, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return source{}, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	s := source{
		path:      name,
		lines:     bytes.Count(text, []byte("\n")),
		text:      text,
		test:      strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(file),
		fset:      fset,
		ast:       file,
	}
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		s.imports = append(s.imports, imported{p, fset.Position(spec.Pos()).Line})
	}
	return s, nil
}

// where names a line of the file as compilers do.
func (s *source) where(line int) string { return fmt.Sprintf("%s:%d", s.path, line) }
