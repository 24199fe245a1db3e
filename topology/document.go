package topology

import (
	"fmt"
	"slices"
	"strings"
)

// document remembers where in a file each value of a topology stands, by paths
// such as "datacenters[0].nodes[1].weight", and collects the problems. The zero
// document stands for a topology that came from no file.
type document struct {
	name     string
	lines    []string
	values   map[string]place
	keys     map[string]place
	broken   map[string]bool // values that are there but could not be read
	problems Problems
}

// place is a position in the file; both numbers start at 1, zero is no place.
type place struct{ line, column int }

func newDocument(name string, data []byte) *document {
	return &document{
		name:   name,
		lines:  strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"),
		values: map[string]place{},
		keys:   map[string]place{},
		broken: map[string]bool{},
	}
}

// given reports whether the file has a value at the path.
func (d *document) given(path string) bool {
	_, ok := d.values[path]
	return ok
}

// inherited reports whether the value at the path was not written in the file but
// taken from elsewhere, where it is judged.
func (d *document) inherited(path string) bool { return d.values != nil && !d.given(path) }

// ruin marks the value at the path as unreadable: what is said about it or
// anything below it from then on would only repeat that in other words.
func (d *document) ruin(path string) { d.broken[path] = true }

func (d *document) ruined(path string) bool {
	for ; path != ""; path = parent(path) {
		if d.broken[path] {
			return true
		}
	}
	return d.broken[""]
}

// errorf reports an error about the value at the path or, if it is not in the
// file, about the innermost value around it.
func (d *document) errorf(path, rule, format string, args ...any) {
	if !d.ruined(path) {
		d.report(d.placeOf(path), Error, rule, fmt.Sprintf(format, args...))
	}
}

// keyErrorf reports an error about the key of the value at the path.
func (d *document) keyErrorf(path, rule, format string, args ...any) {
	at, ok := d.keys[path]
	if !ok {
		at = d.placeOf(path)
	}
	if !d.ruined(path) {
		d.report(at, Error, rule, fmt.Sprintf(format, args...))
	}
}

// warnf reports a warning about the value at the path.
func (d *document) warnf(path, rule, format string, args ...any) {
	if !d.ruined(path) {
		d.report(d.placeOf(path), Warning, rule, fmt.Sprintf(format, args...))
	}
}

func (d *document) placeOf(path string) place {
	for ; path != ""; path = parent(path) {
		if at, ok := d.values[path]; ok {
			return at
		}
	}
	return d.values[""]
}

func (d *document) report(at place, severity Severity, rule, message string) {
	p := Problem{File: d.name, Line: at.line, Column: at.column, Severity: severity, Rule: rule, Message: message}
	if at.line > 0 && at.line <= len(d.lines) {
		p.source = d.lines[at.line-1]
	}
	d.problems = append(d.problems, p)
}

// parent cuts the last step off a path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// listLimit is how many names a message lists.
const listLimit = 16

// list joins the sorted names for a message.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if more := len(names) - listLimit; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:listLimit], ", "), more)
	}
	return strings.Join(names, ", ")
}

// suggest proposes the candidate nearest to what was written, or lists them all
// under the label when none is near.
func suggest(written, label string, candidates []string) string {
	if best, ok := nearest(written, candidates); ok {
		return fmt.Sprintf("(did you mean %q?)", best)
	}
	return fmt.Sprintf("(%s: %s)", label, list(candidates))
}

// nearest returns the candidate that is likely to be meant by what was written.
func nearest(written string, candidates []string) (best string, ok bool) {
	distance := 0
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if n := editDistance(written, c); n <= max(1, len(c)/3) && (!ok || n < distance) {
			best, distance, ok = c, n, true
		}
	}
	return best, ok
}

// suggestWidth bounds the work of comparing: no word of the file is longer.
const suggestWidth = 64

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (Damerau 1964, optimal string alignment).
func editDistance(a, b string) int {
	if len(a) > suggestWidth || len(b) > suggestWidth {
		return max(len(a), len(b))
	}
	var before []int
	above := make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}

// quote shows a value from the file in a message, shortened if it is long.
func quote(s string) string {
	const limit = 64
	if runes := []rune(s); len(runes) > limit {
		s = string(runes[:limit]) + "..."
	}
	return fmt.Sprintf("%q", s)
}
