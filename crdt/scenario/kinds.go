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
	// plan stands in for ops where operations hold others.
	plan  func(s *step) ([]act, error)
	value func(v crdt.Value) any
}

// act is one operation that a step asks for.
type act struct {
	crdt.Op
	ts    *uint64 // the time it is told to bear, in milliseconds
	blind bool    // it must be told what its replica holds
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
		{name: "set_rw", kind: crdt.RWSet, value: elements, ops: setOps()},
		{name: "gset", kind: crdt.GSet, value: elements, ops: map[string]func(*step) ([]crdt.Op, error){
			"add": members(crdt.OpInsert),
		}},
		{name: "gcounter", kind: crdt.GCounter, value: integer, ops: map[string]func(*step) ([]crdt.Op, error){
			"inc": add(1),
		}},
		{name: "bcounter", kind: crdt.BCounter, value: integer, ops: boundedOps()},
		{name: "flag_ew", kind: crdt.Flag, value: boolean, ops: flagOps()},
		{name: "flag_dw", kind: crdt.DWFlag, value: boolean, ops: flagOps()},
		{name: "hll", kind: crdt.HLL, value: estimate, ops: map[string]func(*step) ([]crdt.Op, error){
			"add": members(crdt.OpObserve),
		}},
		{name: "map", kind: crdt.Map, value: object, plan: planMap},
		{name: "zset", kind: crdt.ZSet, value: scores, ops: zsetOps()},
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
	case !all[i].kind.Supported() || all[i].ops == nil && all[i].plan == nil:
		return nil, fmt.Errorf("%s (%s): %w", name, all[i].kind, ErrUnsupported)
	}
	return &all[i], nil
}

func (d *dialect) acts(s *step) ([]act, error) {
	if d.plan != nil {
		return d.plan(s)
	}
	fn := d.ops[s.Op]
	if fn == nil {
		return nil, fmt.Errorf("a %s has no operation %q", d.name, s.Op)
	}
	if s.TS != nil && s.Op != "assign" {
		return nil, fmt.Errorf("%s does not take a time", s.Op)
	}
	ops, err := fn(s)
	out := make([]act, len(ops))
	for i, op := range ops {
		op.Kind = d.kind
		out[i] = act{op, s.TS, d.blind}
	}
	return out, err
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
	case "negative":
		is = errors.Is(err, crdt.ErrShrink)
	case "no_rights":
		is = errors.Is(err, crdt.ErrNoRights)
	case "self_transfer":
		is = errors.Is(err, crdt.ErrSelfTransfer)
	case "bound":
		is = errors.Is(err, crdt.ErrBound)
	case "permanent":
		is = errors.Is(err, crdt.ErrPermanent)
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

func flagOps() map[string]func(s *step) ([]crdt.Op, error) {
	flip := func(on bool) func(s *step) ([]crdt.Op, error) {
		return func(s *step) ([]crdt.Op, error) { return []crdt.Op{{Code: crdt.OpSwitch, On: on}}, s.given() }
	}
	return map[string]func(s *step) ([]crdt.Op, error){
		"enable": flip(true), "disable": flip(false), "reset": plain(crdt.OpDelete),
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
	var out []crdt.Op
	err := s.eachPart(func(part *step) error {
		fn := simple[part.Op]
		if fn == nil {
			return fmt.Errorf("unknown operation %q", part.Op)
		}
		ops, err := fn(part)
		out = append(out, ops...)
		return err
	})
	return out, err
}

// eachPart takes the operations of a batch apart.
func (s *step) eachPart(fn func(part *step) error) error {
	if err := s.given("ops"); err != nil {
		return err
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(s.Ops, &parts); err != nil {
		return fmt.Errorf("ops: %w", err)
	}
	for i, raw := range parts {
		part, err := s.part(raw)
		if err == nil {
			err = fn(part)
		}
		if err != nil {
			return fmt.Errorf("ops %d: %w", i+1, err)
		}
	}
	return nil
}

// part reads an operation inside another: it has no place of its own and no
// context.
func (s *step) part(raw json.RawMessage) (*step, error) {
	var part struct {
		Op    string            `json:"op"`
		Arg   json.RawMessage   `json:"arg"`
		Args  []json.RawMessage `json:"args"`
		Ops   json.RawMessage   `json:"ops"`
		Field string            `json:"field"`
		TS    *uint64           `json:"ts"`
		To    string            `json:"to"`
	}
	if err := strict(raw, &part); err != nil {
		return nil, err
	}
	if s.depth == crdt.MaxDepth {
		return nil, fmt.Errorf("operations inside operations, more than %d deep", crdt.MaxDepth)
	}
	p := &step{
		Op: part.Op, Arg: part.Arg, Args: part.Args, Ops: part.Ops, Field: part.Field, TS: part.TS, To: part.To,
		depth: s.depth + 1,
	}
	return p, p.checkValues()
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

func integer(v crdt.Value) any  { return v.Int }
func boolean(v crdt.Value) any  { return v.Flag }
func estimate(v crdt.Value) any { return v.Estimate }

func elements(v crdt.Value) any {
	if v.Elements == nil {
		return []string{}
	}
	return v.Elements
}
