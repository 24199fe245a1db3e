package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// decoder reads the node at a path into the variable it was made for, or reports
// why that is impossible and ruins the path.
type decoder func(path string, n ast.Node)

// fields is what a mapping may hold: the decoder of each field by its name.
type fields map[string]decoder

// object reads a mapping with the given fields.
func (d *document) object(known fields) decoder {
	return func(path string, n ast.Node) {
		for _, e := range d.entries(path, n) {
			decode, ok := known[e.key]
			if !ok {
				d.unknownField(path, e, known)
				continue
			}
			decode(join(path, e.key), e.value)
		}
	}
}

// unknownField reports the field. If a field that is missing seems to be meant,
// that one is ruined, so that it is not reported as missing as well.
func (d *document) unknownField(path string, e entry, known fields) {
	names := slices.Collect(maps.Keys(known))
	d.report(e.at, Error, ruleUnknownField, fmt.Sprintf("unknown field %s %s", quote(e.key), suggest(e.key, "known", names)))
	if meant, ok := nearest(e.key, names); ok && !d.given(join(path, meant)) {
		d.ruin(join(path, meant))
	}
}

// entry is a field of a mapping as it stands in the file.
type entry struct {
	key   string
	at    place
	value ast.Node
}

// entries returns the fields of a mapping and notes their places. A field that
// comes twice is reported and returned once.
func (d *document) entries(path string, n ast.Node) []entry {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.wrongType(path, n, "a mapping")
		return nil
	}
	var entries []entry
	first := map[string]place{}
	for _, v := range values {
		key, ok := scalarText(v.Key)
		at := placeOfToken(v.Key.GetToken())
		if !ok {
			d.report(at, Error, ruleWrongType, "a field name must be a plain string")
			continue
		}
		if seen, twice := first[key]; twice {
			d.report(at, Error, ruleDuplicateField, fmt.Sprintf("field %s is already given on line %d", quote(key), seen.line))
			continue
		}
		first[key] = at
		below := join(path, key)
		d.keys[below], d.values[below] = at, placeOfNode(v.Value)
		entries = append(entries, entry{key: key, at: at, value: v.Value})
	}
	return entries
}

// each reads a sequence into a slice, every element with the decoder that of
// returns for it.
func each[T any](d *document, into *[]T, of func(*T) decoder) decoder {
	return func(path string, n ast.Node) {
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.wrongType(path, n, "a list")
			return
		}
		*into = make([]T, len(seq.Values))
		for i, v := range seq.Values {
			below := fmt.Sprintf("%s[%d]", path, i)
			d.values[below] = placeOfNode(v)
			of(&(*into)[i])(below, v)
		}
	}
}

// counts reads a mapping of names to whole numbers.
func (d *document) counts(into *map[string]int) decoder {
	return func(path string, n ast.Node) {
		entries := d.entries(path, n)
		*into = make(map[string]int, len(entries))
		for _, e := range entries {
			var count int
			d.integer(&count)(join(path, e.key), e.value)
			(*into)[e.key] = count
		}
	}
}

// pair reads a list of exactly two strings.
func (d *document) pair(into *[2]string) decoder {
	return func(path string, n ast.Node) {
		var names []string
		each(d, &names, d.text)(path, n)
		if d.ruined(path) {
			return
		}
		if len(names) != 2 {
			d.errorf(path, ruleWrongType, "expected two datacenters, [a, b], got %d", len(names))
			d.ruin(path)
			return
		}
		*into = [2]string(names)
	}
}

// text reads a string. Whole numbers are taken as they are written, since names
// such as rack 1 are common; everything else must be quoted.
func (d *document) text(into *string) decoder {
	return func(path string, n ast.Node) {
		s, ok := scalarText(n)
		if !ok {
			d.wrongType(path, n, "a string")
			return
		}
		*into = s
	}
}

// integer reads a whole number that fits an int.
func (d *document) integer(into *int) decoder {
	return func(path string, n ast.Node) {
		whole, ok := n.(*ast.IntegerNode)
		if !ok {
			d.wrongType(path, n, "a whole number")
			return
		}
		value, ok := whole.Value.(int64)
		if positive, unsigned := whole.Value.(uint64); unsigned && positive <= 1<<62 {
			value, ok = int64(positive), true
		}
		if !ok {
			d.errorf(path, ruleBadValue, "%s: %s is out of range", lastStep(path), whole.GetToken().Value)
			d.ruin(path)
			return
		}
		*into = int(value)
	}
}

// unsigned reads a whole number from 0 to 2^64-1.
func (d *document) unsigned(into *uint64) decoder {
	return func(path string, n ast.Node) {
		whole, ok := n.(*ast.IntegerNode)
		if !ok {
			d.wrongType(path, n, "a whole number")
			return
		}
		value, ok := whole.Value.(uint64)
		if signed, is := whole.Value.(int64); is && signed >= 0 {
			value, ok = uint64(signed), true
		}
		if !ok {
			d.errorf(path, ruleBadValue, "%s: %s is negative", lastStep(path), whole.GetToken().Value)
			d.ruin(path)
			return
		}
		*into = value
	}
}

// number reads a number with or without a fraction.
func (d *document) number(into *float64) decoder {
	return func(path string, n ast.Node) {
		switch n := n.(type) {
		case *ast.FloatNode:
			*into = n.Value
		case *ast.IntegerNode:
			switch v := n.Value.(type) {
			case int64:
				*into = float64(v)
			case uint64:
				*into = float64(v)
			}
		default:
			d.wrongType(path, n, "a number")
		}
	}
}

// duration reads a Go duration such as 500ms, or 0.
func (d *document) duration(into *time.Duration) decoder {
	return parsed(d, into, "a duration such as 500ms", time.ParseDuration)
}

// size reads a number of bytes such as 256KiB.
func (d *document) size(into *int64) decoder {
	return parsed(d, into, "a size such as 256KiB", parseSize)
}

// rate reads a number of bytes per second such as 50MiB/s or 1Gbit.
func (d *document) rate(into *int64) decoder {
	return parsed(d, into, "a rate such as 50MiB/s or 1Gbit", ParseRate)
}

// parsed reads a scalar that has a syntax of its own.
func parsed[T any](d *document, into *T, want string, parse func(string) (T, error)) decoder {
	return func(path string, n ast.Node) {
		s, ok := scalarText(n)
		if !ok {
			d.wrongType(path, n, want)
			return
		}
		value, err := parse(s)
		if err != nil {
			d.errorf(path, ruleBadValue, "%s: %s is not %s", lastStep(path), quote(s), want)
			d.ruin(path)
			return
		}
		*into = value
	}
}

func (d *document) wrongType(path string, n ast.Node, want string) {
	what := "the file"
	if path != "" {
		what = lastStep(path)
	}
	d.errorf(path, ruleWrongType, "%s: expected %s, got %s", what, want, describe(n))
	d.ruin(path)
}

// describe says what a node is in the words of a message.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return "the string " + quote(n.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.BoolNode:
		return fmt.Sprintf("%t (quote it if a string is meant)", n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	}
	return "something else"
}

// scalarText returns the text of a string or a whole number.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// lastStep names the value at a path: the last field on the way to it.
func lastStep(path string) string {
	return strings.TrimPrefix(path[len(parent(path)):], ".")
}
