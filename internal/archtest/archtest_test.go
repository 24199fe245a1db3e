package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestGodwit holds the module itself against the table.
func TestGodwit(t *testing.T) {
	folders, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < 3 {
		t.Fatalf("found %d packages: is this the root of the module?", len(folders))
	}
	table := godwit()
	checks := []struct {
		name  string
		found []string
	}{
		{"table", table.checkTable()},
		{"imports", table.checkImports(folders)},
		{"purity", table.checkPure(folders)},
		{"shape", checkShape(folders)},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, finding := range c.found {
				t.Error(finding)
			}
		})
	}
}

// small is a table for fixtures: a pure core, a store above it, a server above
// both, and one library behind each of the last two.
func small() rules {
	return rules{
		module: "example.com/m",
		packages: map[string]row{
			"core":          {pure: true},
			"store":         {imports: []string{"core"}},
			"server":        {imports: []string{"store"}},
			"cmd/m":         {any: true, except: []string{"store/..."}},
			"internal/fake": {any: true},
		},
		libraries: []library{
			{prefix: "lib.org/db", importers: []string{"store/..."}, tests: true},
			{prefix: "lib.org/rpc", importers: []string{"server"}},
			{prefix: "lib.org/hash", pure: true},
			{prefix: "lib.org/pool"},
		},
	}
}

func TestImports(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             string // in the only finding; empty: none
	}{
		{"a row is followed", "store/a.go", `import "example.com/m/core"`, ""},
		{
			"an import upwards is refused", "core/a.go", `import "example.com/m/store"`,
			"core/a.go:2: core may not import example.com/m/store: its row in internal/archtest/table.go allows nothing of this module",
		},
		{
			"an import past a layer is refused", "server/a.go", `import "example.com/m/core"`,
			"server/a.go:2: server may not import example.com/m/core: its row in internal/archtest/table.go allows store",
		},
		{
			"an unknown package names the file to edit", "shop/a.go", ``,
			"shop: package is not in the import table: add a row to internal/archtest/table.go, which is a design decision",
		},
		{"any means any", "cmd/m/a.go", `import "example.com/m/server"`, ""},
		{
			"an exception from any is refused", "cmd/m/a.go", `import "example.com/m/store"`,
			"cmd/m may not import example.com/m/store: excepted by its row",
		},
		{"a library is open to its owner", "store/a.go", `import "lib.org/db/v2/vfs"`, ""},
		{
			"a library is closed to others", "server/a.go", `import "lib.org/db/v2"`,
			"server may not import lib.org/db/v2: only store/... may",
		},
		{
			"a library whose rule holds for tests", "server/a_test.go", `import "lib.org/db/v2/vfs"`,
			"server may not import lib.org/db/v2/vfs: only store/... may",
		},
		{"a library whose rule leaves tests alone", "store/a_test.go", `import "lib.org/rpc"`, ""},
		{
			"a longer name is another library", "store/a.go", `import "lib.org/dbx"`,
			"store may not import lib.org/dbx: the library has no row",
		},
		{"a library without owners is open", "server/a.go", `import "lib.org/pool"`, ""},
		{"tests need no row for their libraries", "core/a_test.go", `import "lib.org/rapid"`, ""},
		{
			"a pure package has no libraries", "core/a.go", `import "lib.org/pool"`,
			"core may not import lib.org/pool: the package is pure",
		},
		{"a pure package may hash", "core/a.go", `import "lib.org/hash"`, ""},
		{
			"a pure package has no disk", "core/a.go", `import "os"`,
			"core may not import os: the package is pure",
		},
		{
			"a pure package has no network", "core/a.go", `import "net/http"`,
			"core may not import net/http: the package is pure",
		},
		{
			"a pure package has no chance", "core/a.go", `import "math/rand/v2"`,
			"core may not import math/rand/v2: the package is pure",
		},
		{"tests of a pure package may read files", "core/a_test.go", `import "os"`, ""},
		{"others may read files", "store/a.go", `import "os"`, ""},
		{"a test may look down past a layer", "server/a_test.go", `import "example.com/m/core"`, ""},
		{
			"a test may not look up", "core/a_test.go", `import "example.com/m/server"`,
			"core may not import example.com/m/server: it lies above, so the test belongs to server",
		},
		{"a test may use what exists for tests", "core/a_test.go", `import "example.com/m/internal/fake"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folders := parsed(t, fstest.MapFS{tt.file: {Data: []byte("package p\n" + tt.text + "\n")}})
			only(t, small().checkImports(folders), tt.want)
		})
	}
}

func TestPurity(t *testing.T) {
	tests := []struct{ name, file, body, want string }{
		{"a duration is no clock", "core/a.go", "var _ = 2 * time.Second", ""},
		{"reading the clock", "core/a.go", "var _ = time.Now()", "core/a.go:2: core is pure and may not call time.Now"},
		{"the clock as a value", "core/a.go", "var now = time.Now", "core is pure and may not call time.Now"},
		{"waiting", "core/a.go", "func f() { time.Sleep(1) }", "core is pure and may not call time.Sleep"},
		{"a goroutine", "core/a.go", "func f() { go f() }", "core is pure and may not start a goroutine"},
		{"a channel", "core/a.go", "var c chan int", "core is pure and may not use a channel"},
		{"a test of a pure package", "core/a_test.go", "func f() { go f() }", ""},
		{"a package that is not pure", "store/a.go", "var _ = time.Now()", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folders := parsed(t, fstest.MapFS{tt.file: {Data: []byte("package p\n" + tt.body + "\n")}})
			only(t, small().checkPure(folders), tt.want)
		})
	}
}

func TestTable(t *testing.T) {
	tests := []struct {
		name     string
		packages map[string]row
		want     string
	}{
		{"a row about nothing", map[string]row{"a": {imports: []string{"b"}}}, `row "a" allows "b", which has no row`},
		{"a pure package above one that is not", map[string]row{"a": {pure: true, imports: []string{"b"}}, "b": {}}, `row "a" is pure and allows "b"`},
		{"a circle", map[string]row{"a": {imports: []string{"a"}}}, `row "a" goes round in a circle`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			only(t, rules{packages: tt.packages}.checkTable(), tt.want)
		})
	}
}

func TestShape(t *testing.T) {
	const doc = "// Package p holds p.\n"
	tests := []struct{ name, file, text, want string }{
		{"a good file", "p/p.go", doc + "package p\n", ""},
		{"no package comment", "p/p.go", "package p\n", "p: no package comment"},
		{"a comment about something else", "p/p.go", "// This is p.\npackage p\n", `p/p.go:1: the package comment must begin with "Package p "`},
		{"a command", "p/p.go", "// Command p does p.\npackage main\n", ""},
		{"generated code needs no comment", "p/p.go", "// Code generated by x. DO NOT EDIT.\n\npackage p\n", ""},
		{"a name that says nothing", "util/p.go", doc + "package p\n", `util: a package called "util" owns no idea`},
		{"a note to oneself", "p/p.go", doc + "package p\n\n// TO" + "DO: later\n", "p/p.go:4: TO" + "DO: finish it"},
		{"a word that only contains one", "p/p.go", doc + "package p\n\nvar xxx, MASTODON int\n", ""},
		{"600 lines", "p/p.go", doc + "package p\n" + strings.Repeat("\n", 598), "1 of 1 files have more than 400 lines"},
		{"400 lines", "p/p.go", doc + "package p\n" + strings.Repeat("\n", 398), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			only(t, checkShape(parsed(t, fstest.MapFS{tt.file: {Data: []byte(tt.text)}})), tt.want)
		})
	}
}

func TestLength(t *testing.T) {
	long := &fstest.MapFile{Data: []byte("// Package p holds p.\npackage p\n" + strings.Repeat("\n", 599))}
	tree := fstest.MapFS{"p/long.go": long}
	for name := range strings.FieldsSeq("b c d e f g h i j") {
		tree["p/"+name+".go"] = &fstest.MapFile{Data: []byte("package p\n")}
	}
	only(t, checkShape(parsed(t, tree)), "p/long.go: 601 lines, and no file may have more than 600: split it")
}

// TestLoad names the folders that hold packages of the module and those that do not.
func TestLoad(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("package p\n")}
	folders := parsed(t, fstest.MapFS{
		"a/a.go": file, "a/b/b.go": file, "a/c.go": file,
		"a/testdata/t.go": file, ".tools/x.go": file, "_old/x.go": file, "examples/e/e.go": file,
		"other/go.mod": {}, "other/o.go": file, "vendor/v/v.go": file, "a/_draft.go": file, "a/README.md": {},
	})
	var got []string
	for _, f := range folders {
		for _, s := range f.files {
			got = append(got, s.path)
		}
	}
	if want := "a/a.go a/c.go a/b/b.go"; strings.Join(got, " ") != want {
		t.Errorf("load found %v, want %s", got, want)
	}
}

func TestLoadRefusesWhatDoesNotParse(t *testing.T) {
	_, err := load(fstest.MapFS{"a/a.go": {Data: []byte("package\n")}})
	if err == nil || !strings.Contains(err.Error(), "a/a.go:1") {
		t.Errorf("load of a broken file: %v, want an error that names a/a.go:1", err)
	}
}

func parsed(t *testing.T, tree fstest.MapFS) []folder {
	t.Helper()
	folders, err := load(tree)
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// only fails t unless found is one finding that contains want, or none if want is empty.
func only(t *testing.T, found []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(found) == 0:
	case want != "" && len(found) == 1 && strings.Contains(found[0], want):
	default:
		t.Errorf("found %q, want %q", found, want)
	}
}
