package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/godwitdb/godwit/crdt"
)

// dialect is what the notation calls a kind, its operations and its values.
type dialect struct {
	name string
	kind crdt.Kind
	// blind kinds observe nothing by themselves.
	blind bool
	ops   map[string]func(s *step) ([]crdt.Op, error)
	value func(v crdt.Value) any
}

func dialects() []dialect {
	return []dialect{
		{name: "lww", kind: crdt.Register, value: winner, ops: map[string]func(*step) ([]crdt.Op, error){
			"assign": assign, "reset": plain(crdt.OpDelete),
		}},
		{name: "mvreg", kind: crdt.MVRegister, blind: true, value: siblings, ops: map[string]func(*step) ([]crdt.Op, error){
			"assign": assign, "reset": plain(crdt.OpDelete),
		}},
		{name: "counter", kind: crdt.Counter, value: integer, ops: map[string]func(*step) ([]crdt.Op, error){
			"inc": add(1), "dec": add(-1), "reset": plain(crdt.OpReset),
		}},
		{name: "set_aw", kind: crdt.Set, value: elements, ops: setOps()},
		{name: "gcounter", kind: crdt.GCounter},
		{name: "bcounter", kind: crdt.BCounter},
		{name: "gset", kind: crdt.GSet},
		{name: "set_rw", kind: crdt.RWSet},
		{name: "flag_ew", kind: crdt.Flag},
		{name: "flag_dw", kind: crdt.DWFlag},
		{name: "map", kind: crdt.Map},
		{name: "hll", kind: crdt.HLL},
		{name: "zset", kind: crdt.ZSet},
	}
}

// ErrUnsupported reports a vector of a kind that this version cannot run.
var ErrUnsupported = errors.New("kind is not supported by this version")

func dialectOf(name string) (*dialect, error) {
	all := dialects()
	i := slices.IndexFunc(all, func(d dialect) bool { return d.name == name })
	switch {
	case i < 0:
		return nil, fmt.Errorf("unknown type %q", name)
	case !all[i].kind.Supported():
		return nil, fmt.Errorf("%s (%s): %w", name, all[i].kind, ErrUnsupported)
	case all[i].ops == nil:
		return nil, fmt.Errorf("%s (%s): the notation has no operations for it yet", name, all[i].kind)
	}
	return &all[i], nil
}

func (d *dialect) operations(s *step) ([]crdt.Op, error) {
	fn := d.ops[s.Op]
	if fn == nil {
		return nil, fmt.Errorf("a %s has no operation %q", d.name, s.Op)
	}
	if s.TS != nil && s.Op != "assign" {
		return nil, fmt.Errorf("%s does not take a time", s.Op)
	}
	return fn(s)
}

// refusedAs checks that an operation was refused for the reason of that name.
func refusedAs(err error, name string) error {
	if err == nil {
		return fmt.Errorf("expected error %s, got none", name)
	}
	var is bool
	var kind *crdt.KindError
	switch name {
	case "overflow":
		is = errors.Is(err, crdt.ErrOverflow)
	case "no_context":
		is = errors.Is(err, crdt.ErrNoContext)
	case "wrong_kind":
		is = errors.As(err, &kind)
	default:
		return fmt.Errorf("unknown error %q", name)
	}
	if !is {
		return fmt.Errorf("expected error %s, got: %w", name, err)
	}
	return nil
}

// given refuses arguments other than the named ones.
func (s *step) given(allowed ...string) error {
	have := map[string]bool{
		"arg": s.Arg != nil, "args": s.Args != nil, "ops": s.Ops != nil, "field": s.Field != "", "to": s.To != "",
	}
	for _, name := range allowed {
		delete(have, name)
	}
	for name, is := range have {
		if is {
			return fmt.Errorf("%s does not take %q", s.Op, name)
		}
	}
	return nil
}

func plain(code crdt.OpCode) func(s *step) ([]crdt.Op, error) {
	return func(s *step) ([]crdt.Op, error) { return []crdt.Op{{Code: code}}, s.given() }
}

func assign(s *step) ([]crdt.Op, error) {
	if err := s.given("arg"); err != nil {
		return nil, err
	}
	v, err := text(s.Arg)
	return []crdt.Op{{Code: crdt.OpAssign, Value: []byte(v)}}, err
}

func text(raw json.RawMessage) (string, error) {
	var v *string
	if err := json.Unmarshal(raw, &v); err != nil || v == nil {
		return "", fmt.Errorf("argument %s: want a string", raw)
	}
	return *v, nil
}

func add(sign int64) func(s *step) ([]crdt.Op, error) {
	return func(s *step) ([]crdt.Op, error) {
		if err := s.given("arg"); err != nil {
			return nil, err
		}
		n := int64(1)
		if s.Arg != nil {
			if err := json.Unmarshal(s.Arg, &n); err != nil {
				return nil, fmt.Errorf("argument %s: want an integer", s.Arg)
			}
		}
		if n == math.MinInt64 && sign < 0 {
			return nil, fmt.Errorf("argument %s: cannot be taken away", s.Arg)
		}
		return []crdt.Op{{Code: crdt.OpAdd, N: sign * n}}, nil
	}
}

func setOps() map[string]func(s *step) ([]crdt.Op, error) {
	simple := map[string]func(s *step) ([]crdt.Op, error){
		"add": members(crdt.OpInsert), "remove": members(crdt.OpRemove), "reset": plain(crdt.OpDelete),
	}
	return map[string]func(s *step) ([]crdt.Op, error){
		"add": simple["add"], "remove": simple["remove"], "reset": simple["reset"],
		"batch": func(s *step) ([]crdt.Op, error) { return batch(s, simple) },
	}
}

func members(code crdt.OpCode) func(s *step) ([]crdt.Op, error) {
	return func(s *step) ([]crdt.Op, error) {
		if err := s.given("arg", "args"); err != nil {
			return nil, err
		}
		all := slices.Clone(s.Args)
		if s.Arg != nil {
			all = append(all, s.Arg)
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("%s needs arg or args", s.Op)
		}
		op := crdt.Op{Code: code}
		for _, raw := range all {
			e, err := text(raw)
			if err != nil {
				return nil, err
			}
			op.Elements = append(op.Elements, e)
		}
		return []crdt.Op{op}, nil
	}
}

// batch is several operations that travel as one delta.
func batch(s *step, simple map[string]func(s *step) ([]crdt.Op, error)) ([]crdt.Op, error) {
	if err := s.given("ops"); err != nil {
		return nil, err
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(s.Ops, &parts); err != nil {
		return nil, fmt.Errorf("ops: %w", err)
	}
	var out []crdt.Op
	for i, raw := range parts {
		var part struct {
			Op   string            `json:"op"`
			Arg  json.RawMessage   `json:"arg"`
			Args []json.RawMessage `json:"args"`
		}
		if err := strict(raw, &part); err != nil {
			return nil, fmt.Errorf("ops %d: %w", i+1, err)
		}
		fn := simple[part.Op]
		if fn == nil {
			return nil, fmt.Errorf("ops %d: unknown operation %q", i+1, part.Op)
		}
		ops, err := fn(&step{Op: part.Op, Arg: part.Arg, Args: part.Args})
		if err != nil {
			return nil, fmt.Errorf("ops %d: %w", i+1, err)
		}
		out = append(out, ops...)
	}
	return out, nil
}

// winner is the last writer's value, or null.
func winner(v crdt.Value) any {
	if len(v.Siblings) == 0 {
		return nil
	}
	return string(v.Siblings[0].Value)
}

// siblings is every distinct value, in order.
func siblings(v crdt.Value) any {
	out := []string{}
	for _, s := range v.Siblings {
		out = append(out, string(s.Value))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func integer(v crdt.Value) any { return v.Int }

func elements(v crdt.Value) any {
	if v.Elements == nil {
		return []string{}
	}
	return v.Elements
}
