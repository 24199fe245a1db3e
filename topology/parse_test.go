package topology_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/godwitdb/godwit/topology"
)

func TestParseRefusesWhatIsNotOnePlainDocument(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{name: "empty", file: "", want: "f:1:1: error: the file is empty [syntax]"},
		{name: "only a comment", file: "# nothing\n", want: "f:1:1: error: the file is empty [syntax]"},
		{name: "a scalar", file: "shop\n", want: `f:1:1: error: the file: expected a mapping, got the string "shop" [wrong-type]`},
		{name: "a list", file: "- 1\n", want: "f:1:1: error: the file: expected a mapping, got a list [wrong-type]"},
		{name: "two documents", file: "a: 1\n---\nb: 2\n", want: "f:3:1: error: a topology is one document; this begins a second one [syntax]"},
		{name: "not UTF-8", file: "version: 1\ncluster: é\xff\n", want: "f:2:11: error: the file is not UTF-8 text [syntax]"},
		{name: "tab for indentation", file: "a:\n\tb: 1\n", want: "f:2:1: error: found character '\t' that cannot start any token [syntax]"},
		{name: "bracket not closed", file: "a: [1, 2\nb: 3\n", want: "f:2:1: error: ',' or ']' must be specified [syntax]"},
		{name: "quote not closed", file: "a: \"x\n", want: "f:1:4: error: could not find end character of double-quoted text [syntax]"},
		{name: "anchor", file: "a: &x 1\n", want: "f:1:4: error: " + noAlias},
		{name: "alias", file: "a: 1\nb: *x\n", want: "f:2:4: error: " + noAlias},
		{name: "merge key", file: "<<: {a: 1}\n", want: "f:1:1: error: " + noAlias},
		{name: "tag", file: "a: !!str 1\n", want: "f:1:4: error: " + noAlias},
		{name: "complex key", file: "? a\n: b\n", want: "f:1:1: error: " + noAlias},
		{name: "directive", file: "%YAML 1.2\n---\na: 1\n", want: "f:1:1: error: " + noAlias},
		{name: "brackets nested deeply", file: strings.Repeat("[", 1<<16), want: "f:1:33: error: the values are nested too deeply [too-deep]"},
		{name: "mappings nested deeply", file: strings.Repeat("{a: ", 1<<16), want: "f:1:129: error: the values are nested too deeply [too-deep]"},
		{name: "lists nested deeply on a line", file: strings.Repeat("- ", 1<<16), want: "f:1:65: error: the values are nested too deeply [too-deep]"},
		{name: "indented deeply", file: staircase(300), want: "f:201:201: error: the values are nested too deeply [too-deep]"},
		{
			name: "a mapping that takes the parser minutes", file: strings.Repeat("a: 1\n# c\n", 20_000),
			want: "f:2001:2: error: more than 1000 fields in one mapping [too-large]",
		},
		{
			name: "a mapping in brackets likewise", file: "a: {" + strings.Repeat("a,\n", 20_000),
			want: "f:1001:2: error: more than 1000 fields in one mapping [too-large]",
		},
		{name: "too large", file: strings.Repeat("# 7\n", 1<<20+1), want: "f: error: the file is larger than 4MiB [too-large]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top, problems := topology.Parse("f", []byte(tt.file))
			if top != nil || len(problems) != 1 || problems[0].Error() != tt.want {
				t.Errorf("got %v, %v, want %s", top, problems, tt.want)
			}
		})
	}
}

const noAlias = "anchors (&), aliases (*), tags (!), directives (%), merge keys (<<) and complex keys (?) are not allowed: write the value out [no-alias]"

func staircase(steps int) string {
	var s strings.Builder
	for i := range steps {
		s.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return s.String()
}

func TestParseTakesOtherLineEndsAndByteOrderMark(t *testing.T) {
	top, problems := topology.Parse("f", []byte("\ufeff"+strings.ReplaceAll(shop, "\n", "\r\n")))
	if len(problems) > 0 || !reflect.DeepEqual(top, shopTopology()) {
		t.Errorf("got %+v, %v", top, problems)
	}
}

// FuzzParse looks for a file that makes Parse panic, and for one that it takes
// but does not render back to the same topology.
func FuzzParse(f *testing.F) {
	f.Add(shop)
	f.Add(strings.ReplaceAll(shop, "mesh", "explicit"))
	f.Add("a: |\n  x\nb: >\n  c\n'd': \"\\x41\"\n")
	f.Add("version: 0x1\ncluster: 1_0\npartitions: 1e3\nclock: {max_skew: -.inf}\n")
	f.Fuzz(func(t *testing.T, file string) {
		top, problems := topology.Parse("f", []byte(file))
		var out strings.Builder
		if err := problems.Render(&out); err != nil {
			t.Fatal(err)
		}
		if (top == nil) != problems.HasErrors() {
			t.Fatalf("topology %v with %d errors", top, problems.Errors())
		}
		if top == nil {
			return
		}
		again, err := top.YAML()
		if err != nil {
			t.Fatal(err)
		}
		got, problems := topology.Parse("again", again)
		if problems.HasErrors() || got.Hash() != top.Hash() || len(topology.Diff(top, got)) > 0 {
			t.Fatalf("%s\nrendered as\n%s\nreads back with %v", file, again, problems)
		}
	})
}
