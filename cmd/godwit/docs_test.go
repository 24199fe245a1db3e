package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// varying is what an example prints differently each time.
var varying = regexp.MustCompile(`\b[0-9.]+m?s\b|\d+ events|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`)

// The examples of docs/kinds.md print what they say. They are run at once: what
// stands before the cut, what stands before the heal, and the rest, so that one
// cut and one heal do for all.
func TestExamplesOfKinds(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "kinds.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```godwit\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 13 {
		t.Fatalf("docs/kinds.md has %d examples, want one of every kind", len(blocks))
	}
	var before, during, after []string
	for _, b := range blocks {
		steps := strings.Split(strings.TrimPrefix(b[1], promptText), "\n"+promptText)
		cut := slices.Index(steps, "wan cut use1 euw1")
		heal := slices.IndexFunc(steps, func(s string) bool { return strings.HasPrefix(s, "wan heal\nhealed; ") })
		if cut < 0 || heal < cut {
			t.Fatalf("an example without a cut and a heal:\n%s", b[1])
		}
		before, during, after = append(before, steps[:cut]...), append(during, steps[cut+1:heal]...), append(after, steps[heal+1:]...)
	}
	tm := startDCs(t, 1, "use1-euw1=4ms", "use1", "euw1")
	replay(t, tm, before)
	tm.do("", []string{"verify --settle 10s", "wan cut use1 euw1"})
	replay(t, tm, during)
	tm.do("", []string{"wan heal"})
	replay(t, tm, after)
}

// replay runs lines and compares what they print.
func replay(t *testing.T, tm *terminal, steps []string) {
	t.Helper()
	plain := func(s string) string { return strings.TrimSpace(varying.ReplaceAllString(s, "...")) }
	for _, step := range steps {
		line, want, _ := strings.Cut(step, "\n")
		var got strings.Builder
		for command := range strings.SplitSeq(line, " ; ") {
			r := tm.run(strings.Fields(command)...)
			if r.code != 0 {
				t.Fatalf("%s: exit %d: %s", command, r.code, r.err)
			}
			got.WriteString(r.out)
		}
		if plain(got.String()) != plain(want) {
			t.Errorf("%s prints\n%swant\n%s", line, got.String(), want)
		}
	}
}
