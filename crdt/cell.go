package crdt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// KeyID names a key.
type KeyID struct{ Bucket, Key string }

// CellID names a cell: the smallest piece of a value that is merged on its own.
// Path is empty for kinds of one cell, else built by AppendPath.
type CellID struct {
	KeyID
	Kind Kind
	Path string
}

// Compare orders cells by bucket, key, kind and path.
func (id CellID) Compare(o CellID) int {
	return id.compare(&o)
}

func (id *CellID) compare(o *CellID) int {
	if c := id.compareKey(o); c != 0 {
		return c
	}
	return strings.Compare(id.Path, o.Path)
}

// compareKey orders cells by what comes before their paths.
func (id *CellID) compareKey(o *CellID) int {
	if c := strings.Compare(id.Bucket, o.Bucket); c != 0 {
		return c
	}
	if c := strings.Compare(id.Key, o.Key); c != 0 {
		return c
	}
	return cmp.Compare(id.Kind, o.Kind)
}

// AppendPath appends a component to a path. Components keep their order and
// none is a prefix of another: 0x00 becomes 0x00 0xff, the end is 0x00 0x01.
func AppendPath[T ~string | ~[]byte](path []byte, component T) []byte {
	for i := range len(component) {
		path = append(path, component[i])
		if component[i] == 0 {
			path = append(path, 0xff)
		}
	}
	return append(path, 0, 1)
}

// PathOf is the path of one component.
func PathOf(component string) string {
	if strings.IndexByte(component, 0) < 0 {
		return component + "\x00\x01"
	}
	return string(AppendPath(make([]byte, 0, len(component)+2), component))
}

// CutPath splits the first component off a path.
func CutPath(path string) (component, rest string, ok bool) {
	i := strings.IndexByte(path, 0)
	if i >= 0 && i+1 < len(path) && path[i+1] == 1 { // nothing escaped: the usual case
		return path[:i], path[i+2:], true
	}
	var out []byte
	for i := 0; i < len(path); i++ {
		if path[i] != 0 {
			out = append(out, path[i])
			continue
		}
		i++
		switch {
		case i < len(path) && path[i] == 0xff:
			out = append(out, 0)
		case i < len(path) && path[i] == 1:
			return string(out), path[i+1:], true
		default:
			return "", "", false
		}
	}
	return "", "", false
}

// MaxDepth is how deep maps nest.
const MaxDepth = 8

// Leaf returns the kind of the field that a cell of a map belongs to, and the
// kind itself for a cell of another kind; false where a path leads to none.
func (id CellID) Leaf() (Kind, bool) {
	if id.Kind != Map {
		return id.Kind, true
	}
	return leafOf(id.Path)
}

// leafOf is the kind at the end of a path in a map.
func leafOf(path string) (Kind, bool) {
	k := Map
	for depth := 0; k == Map; depth++ {
		_, rest, ok := CutPath(path)
		if !ok || rest == "" || depth == MaxDepth {
			return NoKind, false
		}
		k, path = Kind(rest[0]), rest[1:]
	}
	return k, true
}

// Entry is a live dot and what it holds.
type Entry struct {
	Dot     Dot
	Payload []byte
}

// Cell is the live dots of one cell, in order of their dots. The zero Cell is
// empty. A Cell is a value: rules return changed copies.
type Cell []Entry

func (c Cell) find(d Dot) (int, bool) {
	return slices.BinarySearchFunc(c, d, func(e Entry, d Dot) int { return e.Dot.Compare(d) })
}

// Has reports whether d is live in c.
func (c Cell) Has(d Dot) bool {
	_, ok := c.find(d)
	return ok
}

// with returns c with e, whose dot it lacks. It may change c.
func (c Cell) with(e Entry) Cell {
	i, _ := c.find(e.Dot)
	return slices.Insert(c, i, e)
}

// without returns a copy of c that lacks some dots, given in order, with room
// for as many others as c has, or for so many.
func (c Cell) without(dots []Dot, room int) Cell {
	left := make(Cell, 0, max(len(c), room))
	if len(dots) == 0 {
		return append(left, c...)
	}
	for _, e := range c {
		if _, dead := slices.BinarySearchFunc(dots, e.Dot, Dot.Compare); !dead {
			left = append(left, e)
		}
	}
	return left
}

// Dots returns the live dots of c.
func (c Cell) Dots() []Dot {
	ds := make([]Dot, len(c))
	for i, e := range c {
		ds[i] = e.Dot
	}
	return ds
}

// CellState is a cell with its name.
type CellState struct {
	ID   CellID
	Live Cell
}

// AppendCell appends the canonical encoding of c to b.
func AppendCell(b []byte, c Cell) []byte {
	b = binary.AppendUvarint(b, uint64(len(c)))
	for _, e := range c {
		b = appendDot(b, e.Dot)
		b = appendBytes(b, e.Payload)
	}
	return b
}

// DecodeCell decodes what AppendCell made, and nothing else. Payloads alias b.
func DecodeCell(b []byte) (Cell, error) {
	r := reader{b: b}
	c := r.cell()
	return c, r.done("cell")
}

func (r *reader) cell() Cell {
	n := r.count("number of live dots", minDotBytes+1, math.MaxInt32)
	if n == 0 {
		return nil
	}
	c := r.mem.newEntries(n)
	for i := range c {
		e := &c[i]
		e.Dot = r.dot()
		if payload := r.bytes("payload", MaxPayload); len(payload) > 0 {
			e.Payload = payload
		}
		if i > 0 && c[i].Dot.Compare(c[i-1].Dot) <= 0 && r.err == nil {
			r.fail("live dots are not in order")
		}
	}
	return c
}

// Equal reports whether c and o hold the same dots with the same payloads.
func (c Cell) Equal(o Cell) bool {
	return slices.EqualFunc(c, o, func(a, b Entry) bool {
		return a.Dot == b.Dot && bytes.Equal(a.Payload, b.Payload)
	})
}
