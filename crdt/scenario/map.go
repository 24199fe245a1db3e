package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godwitdb/godwit/crdt"
)

// planMap is the operations of a map, whose fields are called "type:name".
func planMap(s *step) ([]act, error) {
	if s.TS != nil {
		return nil, fmt.Errorf("%s does not take a time", s.Op)
	}
	switch s.Op {
	case "update":
		if err := s.given("ops"); err != nil {
			return nil, err
		}
		return planUpdate(s)
	case "remove":
		if err := s.given("field"); err != nil {
			return nil, err
		}
		d, name, err := fieldOf(s.Field)
		if err != nil {
			return nil, err
		}
		return []act{{Op: crdt.Op{
			Code: crdt.OpDiscard, Kind: crdt.Map, Names: []crdt.FieldName{{Name: name, Kind: d.kind}},
		}}}, nil
	case "reset":
		return []act{{Op: crdt.Op{Code: crdt.OpDelete, Kind: crdt.Map}}}, s.given()
	case "batch":
		var out []act
		err := s.eachPart(func(part *step) error {
			acts, err := planMap(part)
			out = append(out, acts...)
			return err
		})
		return out, err
	}
	return nil, fmt.Errorf("a map has no operation %q", s.Op)
}

// planUpdate makes one operation of what all fields do. There are more where a
// field does several things in order, or where some are told a time, or what
// their replica holds, and others are not.
func planUpdate(s *step) ([]act, error) {
	var ops map[string]json.RawMessage
	if err := json.Unmarshal(s.Ops, &ops); err != nil {
		return nil, fmt.Errorf("ops: %w", err)
	}
	var rounds [][]act
	for _, name := range slices.Sorted(maps.Keys(ops)) {
		acts, err := planField(s, name, ops[name])
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
		for i, a := range acts {
			if i == len(rounds) {
				rounds = append(rounds, nil)
			}
			rounds[i] = join(rounds[i], a)
		}
	}
	return slices.Concat(rounds...), nil
}

// planField wraps each operation of a field as one of its map.
func planField(s *step, field string, raw json.RawMessage) ([]act, error) {
	d, name, err := fieldOf(field)
	if err != nil {
		return nil, err
	}
	part, err := s.part(raw)
	if err != nil {
		return nil, err
	}
	acts, err := d.acts(part)
	for i := range acts {
		inner := acts[i].Op
		acts[i].Op = crdt.Op{Code: crdt.OpUpdate, Kind: crdt.Map, Fields: []crdt.FieldOp{{Name: name, Op: inner}}}
	}
	return acts, err
}

// join adds an update to the one that it can travel with.
func join(acts []act, a act) []act {
	for i := range acts {
		same := acts[i].ts == a.ts || acts[i].ts != nil && a.ts != nil && *acts[i].ts == *a.ts
		if same && acts[i].blind == a.blind {
			acts[i].Fields = append(acts[i].Fields, a.Fields...)
			return acts
		}
	}
	return append(acts, a)
}

func fieldOf(field string) (*dialect, string, error) {
	kind, name, ok := strings.Cut(field, ":")
	if !ok {
		return nil, "", fmt.Errorf("a field is called type:name, not %q", field)
	}
	d, err := dialectOf(kind)
	return d, name, err
}

// object is the fields that are there.
func object(v crdt.Value) any {
	out := map[string]any{}
	all := dialects()
	for _, f := range v.Fields {
		i := slices.IndexFunc(all, func(d dialect) bool { return d.kind == f.Value.Kind })
		if i < 0 || all[i].value == nil {
			return errors.New("field of a kind that the notation does not have: " + f.Value.Kind.String())
		}
		out[all[i].name+":"+f.Name] = all[i].value(f.Value)
	}
	return out
}
