package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/crdt"
)

// merged is one key: what each datacenter holds, and what the merge will be.
type merged struct {
	keyRef
	values map[string]reading // by datacenter
	after  reading
	reason string
}

// reading is what a reader sees of a key: a value of each kind it holds, unless
// its time is over.
type reading struct {
	values  []*client.Value
	expires time.Time // zero: never
}

func readingOf(s *crdt.Snapshot, now time.Time) reading {
	var out reading
	if ms, ok := crdt.ExpiresAt(s.Cells); ok {
		if out.expires = time.UnixMilli(ms); !out.expires.After(now) {
			return out
		}
	}
	kinds, cells := s.Kinds()
	for _, kind := range kinds {
		if slices.ContainsFunc(cells[kind], func(c crdt.CellState) bool { return crdt.PresentCell(c.ID, c.Live) }) {
			out.values = append(out.values, valueOfCells(kind, cells[kind]))
		}
	}
	return out
}

// valueOfCells reads cells as a datacenter would for a client.
func valueOfCells(kind crdt.Kind, cells []crdt.CellState) *client.Value {
	v := crdt.ReadValue(kind, cells)
	return clientValue(&v)
}

func clientValue(v *crdt.Value) *client.Value {
	out := &client.Value{
		Kind: client.Kind(v.Kind), Integer: v.Int, Elements: v.Elements, Flag: v.Flag, Estimate: v.Estimate, Bound: v.Bound,
		Conflict: v.Conflict(), Total: uint64(max(len(v.Elements), len(v.Members))),
	}
	for _, s := range v.Siblings {
		dot := client.Dot{Actor: uint64(s.Dot.Actor), Seq: s.Dot.Seq}
		out.Siblings = append(out.Siblings, client.Sibling{Value: s.Value, Stamp: time.UnixMicro(int64(s.Stamp)), Dot: dot})
	}
	if len(v.Siblings) > 0 {
		out.Bytes = v.Siblings[0].Value
	}
	for i := range v.Fields {
		inner := clientValue(&v.Fields[i].Value)
		out.Fields = append(out.Fields, client.Field{Name: v.Fields[i].Name, Kind: inner.Kind, Value: *inner})
	}
	for _, m := range v.Members {
		out.Members = append(out.Members, client.Member{Member: m.Member, Score: m.Score})
	}
	for _, r := range v.Rights {
		out.Rights = append(out.Rights, client.Rights{Actor: uint64(r.Actor), Amount: r.Amount})
	}
	return out
}

// kindShown names the kinds of a key, of the merge or else of any datacenter.
func (r reading) kindShown(values map[string]reading) string {
	if len(r.values) == 0 {
		for _, dcName := range slices.Sorted(maps.Keys(values)) {
			if v := values[dcName]; len(v.values) > 0 {
				return v.kindShown(nil)
			}
		}
		return "-"
	}
	var names []string
	for _, v := range r.values {
		names = append(names, v.Kind.String())
	}
	return strings.Join(names, "+")
}

// shown is a reading in a table. Elements in extra get a plus sign.
func (r reading) shown(extra map[string]bool) string {
	if len(r.values) == 0 {
		return "(absent)"
	}
	var parts []string
	for _, v := range r.values {
		switch {
		case isSet(v.Kind):
			parts = append(parts, elementsShown(v.Elements, extra))
		case v.Kind == client.MVRegister:
			var siblings []string
			for _, s := range v.Siblings {
				siblings = append(siblings, shown(s.Value))
			}
			parts = append(parts, strings.Join(siblings, " | "))
		default:
			parts = append(parts, shownValue(v))
		}
	}
	return strings.Join(parts, " + ")
}

// elementsShown abbreviates a set: some of what all have, then what is extra.
func elementsShown(elements []string, extra map[string]bool) string {
	var plain, plus []string
	for _, e := range elements {
		if extra[e] {
			plus = append(plus, "+"+shown(e))
		} else {
			plain = append(plain, shown(e))
		}
	}
	return "{" + strings.Join(append(slices.Clone(abbreviated(plain)), abbreviated(plus)...), ",") + "}"
}

// shownAt is the cell of one datacenter: of a set, elements that not every
// datacenter has are marked.
func (m *merged) shownAt(dcName string) string {
	r, ok := m.values[dcName]
	if !ok {
		return "-"
	}
	counts := map[string]int{}
	for _, other := range m.values {
		for _, v := range other.values {
			for _, e := range v.Elements {
				counts[e]++
			}
		}
	}
	extra := map[string]bool{}
	for e, n := range counts {
		extra[e] = n < len(m.values)
	}
	return r.shown(extra)
}

// mergedJSON is the JSON of diff, one per key.
type mergedJSON struct {
	Key    any            `json:"key"`
	Bucket string         `json:"bucket"`
	Kind   string         `json:"kind"`
	Values map[string]any `json:"values"` // by datacenter; null where absent
	After  any            `json:"after"`
	Reason string         `json:"reason"`
}

func (m *merged) json() mergedJSON {
	out := mergedJSON{
		Key: jsonBytes(m.key), Bucket: m.bucket, Kind: m.after.kindShown(m.values), Values: map[string]any{},
		After: m.after.json(), Reason: m.reason,
	}
	for dcName, r := range m.values {
		out.Values[dcName] = r.json()
	}
	return out
}

// json is the value, or an object of values by kind if there are several.
func (r reading) json() any {
	one := func(v *client.Value) any {
		if v.Kind != client.MVRegister {
			return jsonValue(v)
		}
		var siblings []string
		for _, s := range v.Siblings {
			siblings = append(siblings, string(s.Value))
		}
		return jsonList(siblings)
	}
	switch len(r.values) {
	case 0:
		return nil
	case 1:
		return one(r.values[0])
	}
	out := map[string]any{}
	for _, v := range r.values {
		out[v.Kind.String()] = one(v)
	}
	return out
}
