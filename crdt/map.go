package crdt

import (
	"errors"
	"fmt"
)

// A map keeps the cells of its fields under the field's name and kind, so a
// field is what its kind is, nested to MaxDepth, and several fields change in
// one event. Removing a field removes what was observed in it and no more:
// concurrent updates survive alone, and a field of which nothing is left is
// absent. Fields of one name and two kinds are two fields.
// Source: Brown, Cribbs, Meiklejohn, Elliott, "Riak DT Map: A Composable,
// Convergent Replicated Dictionary" (PaPEC 2014), with resets in place of its
// tombstones and its anomalies.
var mapRow = kindRow{
	name:       "map",
	collection: true,
	check:      func([]byte) error { return fmt.Errorf("%w: a map has no cell of its own", ErrEncoding) },
	mutate: map[OpCode]func(m *mutation) error{
		OpUpdate:  (*mutation).updateFields,
		OpDiscard: (*mutation).discardFields,
		OpDelete:  (*mutation).removeAll,
	},
	read: readMap,
}

// MaxNameBytes is the size of the largest name of a field.
const MaxNameBytes = 1 << 10

// ErrField reports a field that cannot be: named twice in one operation, with
// a name too long, or nested too deep.
var ErrField = errors.New("impossible field")

func (m *mutation) updateFields() error {
	seen := map[string]bool{}
	for i := range m.op.Fields {
		f := &m.op.Fields[i]
		kind, err := m.fieldKind(f)
		if err != nil {
			return err
		}
		sub := *m
		sub.kind, sub.base = kind, string(append(AppendPath([]byte(m.base), f.Name), byte(kind)))
		if seen[sub.base] {
			return fmt.Errorf("%w: %.80q is named twice", ErrField, f.Name)
		}
		seen[sub.base] = true
		op := f.Op
		op.Context = m.op.Context
		if op.Code == OpAdd || op.Code == OpBump { // an increment is an increment, whatever was seen
			op.Context = nil
		}
		sub.op = &op
		if err := kind.row().mutate[op.Code](&sub); err != nil {
			return fmt.Errorf("field %.80q: %w", f.Name, err)
		}
		m.changes, m.result.Changed = sub.changes, sub.result.Changed
		m.result.Total, m.result.Score = sub.result.Total, sub.result.Score
	}
	return nil
}

// fieldKind is the kind that an operation on a field is for: the one it names,
// else that of a field of the name which takes it, else the first that does.
func (m *mutation) fieldKind(f *FieldOp) (Kind, error) {
	if len(f.Name) > MaxNameBytes {
		return NoKind, fmt.Errorf("%w: its name has %d bytes, at most %d are allowed", ErrField, len(f.Name), MaxNameBytes)
	}
	probe := CellID{Kind: Map, Path: string(append(AppendPath([]byte(m.base), f.Name), byte(Register)))}
	if _, ok := probe.Leaf(); !ok {
		return NoKind, fmt.Errorf("%w: %.80q is nested deeper than %d maps", ErrField, f.Name, MaxDepth)
	}
	kind := f.Op.Kind
	if kind == NoKind {
		have, err := m.kindsOfField(f.Name)
		if err != nil {
			return NoKind, err
		}
		sub := mutation{op: &f.Op}
		kind = sub.impliedKind(have)
	}
	if !kind.Supported() || kind.row().mutate[f.Op.Code] == nil {
		return NoKind, fmt.Errorf("field %.80q: %w", f.Name, &KindError{Want: kind})
	}
	return kind, nil
}

// kindsOfField lists the kinds of the fields of a name that exist.
func (m *mutation) kindsOfField(name string) ([]Kind, error) {
	var out []Kind
	at := m.id(PathOf(name))
	err := m.cells.Below(at, func(id CellID, c Cell) error {
		k := Kind(id.Path[len(at.Path)])
		if PresentCell(id, c) && (len(out) == 0 || out[len(out)-1] != k) {
			out = append(out, k)
		}
		return nil
	})
	return out, err
}

func (m *mutation) discardFields() error {
	for _, f := range m.op.Names {
		path := PathOf(f.Name)
		if f.Kind != NoKind {
			path += string([]byte{byte(f.Kind)})
		}
		before := len(m.changes)
		if err := m.removeBelow(m.id(path)); err != nil {
			return fmt.Errorf("field %.80q: %w", f.Name, err)
		}
		if len(m.changes) > before {
			m.result.Changed++
		}
	}
	return nil
}

// Field is one field of a map, as a reader sees it.
type Field struct {
	Name  string
	Value Value
}

// readMap groups cells by field; they come in the order of their paths.
func readMap(v *Value, cells []CellState) {
	for len(cells) > 0 {
		name, rest, ok := CutPath(cells[0].ID.Path)
		if !ok || rest == "" {
			cells = cells[1:]
			continue
		}
		prefix := cells[0].ID.Path[:len(cells[0].ID.Path)-len(rest)+1]
		kind := Kind(rest[0])
		var own []CellState
		present := false
		for len(cells) > 0 && len(cells[0].ID.Path) >= len(prefix) && cells[0].ID.Path[:len(prefix)] == prefix {
			c := cells[0]
			present = present || PresentCell(c.ID, c.Live)
			c.ID.Kind, c.ID.Path = kind, c.ID.Path[len(prefix):]
			own = append(own, c)
			cells = cells[1:]
		}
		if present {
			v.Fields = append(v.Fields, Field{name, ReadValue(kind, own)})
		}
	}
}
