package loadtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/godwitdb/godwit/topology"
)

// maxFileBytes bounds workload and fault files: the parser is not linear.
const maxFileBytes = 64 << 10

// maxProblems is how many problems of a file are told.
const maxProblems = 20

// FileError is all that is wrong with a file, each with its place.
type FileError struct{ Problems []Problem }

// Problem is one thing that is wrong with a file. Line and Column begin at 1.
type Problem struct {
	File         string
	Line, Column int
	Message      string
	Source       string // the line
}

// String is file:line:column, the message, and the line with a mark below it.
func (p Problem) String() string {
	head := fmt.Sprintf("%s:%d:%d: error: %s", p.File, p.Line, p.Column, p.Message)
	if p.Source == "" {
		return head
	}
	return fmt.Sprintf("%s\n%5d | %s\n      | %s^", head, p.Line, p.Source, strings.Repeat(" ", max(0, p.Column-1)))
}

// Error is every problem, in the order of the file.
func (e *FileError) Error() string {
	var lines []string
	for _, p := range e.Problems[:min(len(e.Problems), maxProblems)] {
		lines = append(lines, p.String())
	}
	if more := len(e.Problems) - maxProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("... and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// document is a YAML file that is read field by field, so that every problem
// has its place and all are told at once.
type document struct {
	name     string
	lines    []string
	problems []Problem
}

// parseFile parses a file of one mapping and hands its root to read.
func parseFile(name string, data []byte, read func(*document, ast.Node)) error {
	d := &document{name: name, lines: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")}
	if root := d.parse(data); root != nil {
		read(d, root)
	}
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return &FileError{d.problems}
}

func (d *document) parse(data []byte) ast.Node {
	switch {
	case len(data) > maxFileBytes:
		d.report(1, 1, "the file has %d bytes, at most %d are allowed", len(data), maxFileBytes)
		return nil
	case !utf8.Valid(data):
		d.report(1, 1, "the file is not UTF-8 text")
		return nil
	}
	file, err := parser.ParseBytes(bytes.TrimPrefix(data, []byte("\ufeff")), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		if located, ok := errors.AsType[yaml.Error](err); ok && located.GetToken() != nil {
			at := located.GetToken().Position
			d.report(at.Line, at.Column, "%s", located.GetMessage())
			return nil
		}
		d.report(1, 1, "%s", err)
		return nil
	}
	var root ast.Node
	for _, part := range file.Docs {
		switch {
		case part.Body == nil:
		case root != nil:
			d.wrong(part.Body, "a second document begins here: a file is one")
			return nil
		default:
			root = part.Body
		}
	}
	if root == nil {
		d.report(1, 1, "the file is empty")
	}
	return root
}

func (d *document) report(line, column int, format string, args ...any) {
	p := Problem{File: d.name, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
	if line > 0 && line <= len(d.lines) {
		p.Source = d.lines[line-1]
	}
	d.problems = append(d.problems, p)
}

// wrong reports a problem at a node.
func (d *document) wrong(n ast.Node, format string, args ...any) { d.at(tokenOf(n), format, args...) }

func (d *document) at(t *token.Token, format string, args ...any) {
	if t == nil || t.Position == nil {
		d.report(1, 1, format, args...)
		return
	}
	d.report(t.Position.Line, t.Position.Column, format, args...)
}

// tokenOf is where a node begins; a mapping's own token is that of its first colon.
func tokenOf(n ast.Node) *token.Token {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}

// fields reads a mapping: each field with the function of its name.
func (d *document) fields(n ast.Node, known map[string]func(ast.Node)) {
	values, ok := mappingOf(n)
	if !ok {
		d.wrong(n, "want fields and values (known: %s)", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		return
	}
	seen := map[string]bool{}
	for _, v := range values {
		name := v.Key.GetToken().Value
		read := known[name]
		switch {
		case read == nil:
			d.at(v.Key.GetToken(), "unknown field %.40q%s", name, meant(name, slices.Collect(maps.Keys(known))))
		case seen[name]:
			d.at(v.Key.GetToken(), "field %q is given twice", name)
		default:
			seen[name] = true
			read(v.Value)
		}
	}
}

func mappingOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// list reads a sequence.
func (d *document) list(n ast.Node, each func(ast.Node)) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrong(n, "want a list")
		return
	}
	for _, v := range seq.Values {
		each(v)
	}
}

// text is a scalar as it is written.
func (d *document) text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	d.wrong(n, "want a single value")
	return "", false
}

func (d *document) readText(into *string) func(ast.Node) {
	return func(n ast.Node) {
		if s, ok := d.text(n); ok {
			*into = s
		}
	}
}

// readWord reads one of some words.
func (d *document) readWord(into *string, what string, words []string) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := d.text(n)
		switch {
		case !ok:
		case !slices.Contains(words, s):
			d.wrong(n, "unknown %s %.40q%s", what, s, meant(s, words))
		default:
			*into = s
		}
	}
}

func (d *document) readNumber(into *float64, least, most float64) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= least && f <= most) {
			d.wrong(n, "%.40q is not a number between %v and %v", s, least, most)
			return
		}
		*into = f
	}
}

func (d *document) readTime(into *time.Duration, least, most time.Duration) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		v, err := time.ParseDuration(s)
		switch {
		case err != nil:
			d.wrong(n, "%.40q is no time: give a number and a unit, as in 500ms or 20s", s)
		case v < least || v > most:
			d.wrong(n, "%v is not between %v and %v", v, least, most)
		default:
			*into = v
		}
	}
}

// readSize reads "128", "5KiB" or two of them, "100-2KiB".
func (d *document) readSize(into *Size) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		size, err := ParseSize(s)
		if err != nil {
			d.wrong(n, "%s", err)
			return
		}
		*into = size
	}
}

// ParseSize reads the size of values: "128", "5KiB", or a range, "100-2KiB".
func ParseSize(text string) (Size, error) {
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	least, err := topology.ParseSize(strings.TrimSpace(from))
	most, err2 := topology.ParseSize(strings.TrimSpace(to))
	if err != nil || err2 != nil {
		return Size{}, fmt.Errorf("%.40q is no size: give bytes such as 128 or 5KiB, or a range such as 100-2KiB", text)
	}
	if least < 1 || most < least || most > maxValue {
		return Size{}, fmt.Errorf("size %.40q is not between 1 and %d bytes", text, maxValue)
	}
	return Size{int(least), int(most)}, nil
}

// meant names the nearest of some words, or lists them all.
func meant(word string, known []string) string {
	slices.Sort(known)
	best, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if n := distance(word, k); n < least {
			best, least = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return fmt.Sprintf(" (known: %s)", strings.Join(known, ", "))
}

// distance counts the insertions, deletions and replacements that make b of a
// (Levenshtein 1966).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
