package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// MaxFileBytes is the size beyond which a topology file is refused.
const MaxFileBytes = 4 << 20

// Load reads and checks a topology file. The error reports a file that could not
// be read; everything that is wrong with its content is in the problems, which
// name the file by the path given. The topology is nil if any of them is an error.
func Load(path string) (*Topology, Problems, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open topology: %w", err)
	}
	defer func() { _ = f.Close() }() // only read: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read topology: %w", err)
	}
	t, problems := Parse(path, data)
	return t, problems, nil
}

// Parse checks the content of a topology file and fills in the defaults. The
// name stands for the file in the problems. The topology is nil if any of the
// problems is an error.
func Parse(name string, data []byte) (*Topology, Problems) {
	doc := newDocument(name, nil)
	if len(data) > MaxFileBytes {
		doc.report(place{}, Error, ruleTooLarge, "the file is larger than "+formatSize(MaxFileBytes))
		return nil, doc.problems
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	doc = newDocument(name, data)
	t := new(Topology)
	if root := doc.syntax(data); root != nil {
		doc.values[""] = placeOfNode(root)
		doc.topology(t)("", root)
		t.fill(doc)
		t.check(doc)
	}
	if problems := doc.problems.sorted(); problems.HasErrors() {
		return nil, problems
	}
	return t, doc.problems
}

// Validate checks a topology that was built in code. The problems name no place.
func (t *Topology) Validate() Problems {
	doc := &document{name: "topology"}
	t.check(doc)
	return doc.problems.sorted()
}

// syntax turns the bytes into the root of a tree. It returns nil, and has
// reported why, if that is not possible.
func (d *document) syntax(data []byte) ast.Node {
	if line, column, ok := invalidUTF8(data); ok {
		d.report(place{line, column}, Error, ruleSyntax, "the file is not UTF-8 text")
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	if !d.guard(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are reported with all else
	if err != nil {
		d.syntaxError(err)
		return nil
	}
	var root ast.Node
	for _, part := range file.Docs {
		switch {
		case part.Body == nil:
		case root != nil:
			d.report(placeOfNode(part.Body), Error, ruleSyntax, "a topology is one document; this begins a second one")
			return nil
		default:
			root = part.Body
		}
	}
	if root == nil {
		d.report(place{1, 1}, Error, ruleSyntax, "the file is empty")
	}
	return root
}

func (d *document) syntaxError(err error) {
	located, ok := errors.AsType[yaml.Error](err)
	if !ok {
		d.report(place{1, 1}, Error, ruleSyntax, err.Error())
		return
	}
	// Not located.Error(): that prints the whole file, in quadratic time.
	d.report(placeOfToken(located.GetToken()), Error, ruleSyntax, located.GetMessage())
}

// invalidUTF8 finds the first byte that is not part of a character.
func invalidUTF8(data []byte) (line, column int, found bool) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			return line, column, true
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		data = data[size:]
	}
	return 0, 0, false
}
