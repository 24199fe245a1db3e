package topology

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Bounds on the shape of a file. The parser calls itself for every level and
// works through each mapping in time that grows with its square, so both are
// bounded before it sees the tokens. A real topology stays far below.
const (
	maxDepth        = 32  // brackets open at once, and entries begun on one line
	maxIndent       = 200 // characters
	maxFieldsPerMap = 1000
)

// guard looks at the tokens before they are parsed and refuses what could
// exhaust the parser, and the parts of YAML that hide what a file says: anchors,
// aliases, tags, directives, merge keys and complex keys. It reports whether to go on.
func (d *document) guard(tokens token.Tokens) bool {
	g := guard{fields: map[int]int{}}
	for _, tk := range tokens {
		if tk.Type == token.CommentType {
			continue // stands anywhere and ends nothing
		}
		if rule, message := g.refuse(tk); rule != "" {
			d.report(placeOfToken(tk), Error, rule, message)
			return false
		}
	}
	return true
}

// guard counts brackets, entries and fields along the tokens of a file.
type guard struct {
	line    int         // of the last token
	begun   int         // entries begun on that line
	open    []bracket   // not closed yet
	indent  int         // column at which the line begins, outside of brackets
	fields  map[int]int // column -> fields of the block mapping that stands there
	columns []int       // of the block mappings around, growing
	key     int         // column of the token before, where a field may begin
}

// bracket is an open one, with the number of commas since.
type bracket struct {
	mapping bool
	commas  int
}

// refuse returns the rule that the token violates, or none.
func (g *guard) refuse(tk *token.Token) (rule, message string) {
	column := tk.Position.Column
	if tk.Position.Line != g.line {
		g.line, g.begun = tk.Position.Line, 0
		if len(g.open) == 0 {
			g.leave(column)
			g.indent = column
		}
	}
	switch is := func(types ...token.Type) bool { return slices.Contains(types, tk.Type) }; {
	case is(token.AnchorType, token.AliasType, token.TagType, token.DirectiveType, token.MergeKeyType, token.MappingKeyType):
		return ruleAlias, "anchors (&), aliases (*), tags (!), directives (%), merge keys (<<) and complex keys (?) are not allowed: write the value out"
	case is(token.SequenceStartType, token.MappingStartType):
		g.open = append(g.open, bracket{mapping: is(token.MappingStartType)})
	case is(token.SequenceEndType, token.MappingEndType):
		g.open = g.open[:max(len(g.open)-1, 0)]
	case is(token.CollectEntryType) && g.next() > maxFieldsPerMap,
		is(token.MappingValueType) && len(g.open) == 0 && g.enter(g.key) > maxFieldsPerMap:
		return ruleTooLarge, fmt.Sprintf("more than %d fields in one mapping", maxFieldsPerMap)
	case is(token.SequenceEntryType):
		g.begun++
		g.leave(column)
	}
	g.key = column
	if len(g.open) > maxDepth || g.begun > maxDepth || g.indent > maxIndent {
		return ruleTooDeep, "the values are nested too deeply"
	}
	return "", ""
}

// next counts a comma and returns how many the innermost mapping in brackets has.
func (g *guard) next() int {
	if len(g.open) == 0 || !g.open[len(g.open)-1].mapping {
		return 0
	}
	g.open[len(g.open)-1].commas++
	return g.open[len(g.open)-1].commas
}

// enter counts a field of the block mapping at the column.
func (g *guard) enter(column int) int {
	if g.fields[column] == 0 {
		g.columns = append(g.columns, column)
	}
	g.fields[column]++
	return g.fields[column]
}

// leave forgets the block mappings to the right of the column: they have ended.
func (g *guard) leave(column int) {
	for n := len(g.columns); n > 0 && g.columns[n-1] > column; n-- {
		delete(g.fields, g.columns[n-1])
		g.columns = g.columns[:n-1]
	}
}

// placeOfNode returns where a node begins.
func placeOfNode(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return placeOfNode(n.Values[0])
		}
	case *ast.MappingValueNode:
		if n.Key != nil {
			return placeOfToken(n.Key.GetToken())
		}
	}
	return placeOfToken(n.GetToken())
}

// placeOfToken returns where a token begins; both numbers are at least 1, which
// the lexer does not promise.
func placeOfToken(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{1, 1}
	}
	return place{max(tk.Position.Line, 1), max(tk.Position.Column, 1)}
}
