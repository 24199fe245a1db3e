package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/crdt"
)

const invalidArgument = codes.InvalidArgument

// merged is one key: what each datacenter holds, and what the merge will be.
type merged struct {
	keyRef
	values map[string]reading // by datacenter
	after  reading
	reason string
}

// reading is what a reader sees of a key: a value of each kind it holds.
type reading []crdt.Value

func readingOf(s *crdt.Snapshot) reading {
	var out reading
	kinds, cells := s.Kinds()
	for _, kind := range kinds {
		if slices.ContainsFunc(cells[kind], func(c crdt.CellState) bool { return crdt.PresentCell(c.ID, c.Live) }) {
			out = append(out, crdt.ReadValue(kind, cells[kind]))
		}
	}
	return out
}

// kindShown names the kinds of a key, of the merge or else of any datacenter.
func (r reading) kindShown(values map[string]reading) string {
	if len(r) == 0 {
		for _, dcName := range slices.Sorted(maps.Keys(values)) {
			if v := values[dcName]; len(v) > 0 {
				return v.kindShown(nil)
			}
		}
		return "-"
	}
	var names []string
	for _, v := range r {
		names = append(names, v.Kind.String())
	}
	return strings.Join(names, "+")
}

// shown is a reading in a table. Elements in extra get a plus sign.
func (r reading) shown(extra map[string]bool) string {
	if len(r) == 0 {
		return "(absent)"
	}
	var parts []string
	for _, v := range r {
		switch v.Kind {
		case crdt.Counter, crdt.GCounter, crdt.BCounter:
			parts = append(parts, strconv.FormatInt(v.Int, 10))
		case crdt.Set, crdt.GSet, crdt.RWSet:
			parts = append(parts, elementsShown(v.Elements, extra))
		case crdt.MVRegister:
			var siblings []string
			for _, s := range v.Siblings {
				siblings = append(siblings, shown(s.Value))
			}
			parts = append(parts, strings.Join(siblings, " | "))
		case crdt.Register:
			if len(v.Siblings) > 0 {
				parts = append(parts, shown(v.Siblings[0].Value))
			}
		case crdt.NoKind, crdt.Flag, crdt.DWFlag, crdt.Map, crdt.ZSet, crdt.HLL:
			parts = append(parts, "?")
		}
	}
	return strings.Join(parts, " + ")
}

// elementsShown abbreviates a set: some of what all have, then what is extra.
func elementsShown(elements []string, extra map[string]bool) string {
	const most = 6
	var plain, plus []string
	for _, e := range elements {
		if extra[e] {
			plus = append(plus, "+"+shown(e))
		} else {
			plain = append(plain, shown(e))
		}
	}
	return "{" + strings.Join(append(shortened(plain, most), shortened(plus, most)...), ",") + "}"
}

func shortened(list []string, most int) []string {
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most]), fmt.Sprintf("…%d more", len(list)-most))
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
		for e := range elementsOf(other) {
			counts[e]++
		}
	}
	extra := map[string]bool{}
	for e, n := range counts {
		extra[e] = n < len(m.values)
	}
	return r.shown(extra)
}

func elementsOf(r reading) map[string]bool {
	out := map[string]bool{}
	for _, v := range r {
		for _, e := range v.Elements {
			out[e] = true
		}
	}
	return out
}

// reason says in words why the merge is what it is.
func reason(m *merged) string {
	switch {
	case len(m.after) == 0:
		return "deleted"
	case len(m.after) > 1:
		return "both kinds stay; reads name the conflict"
	}
	switch v := m.after[0]; v.Kind {
	case crdt.Counter, crdt.GCounter, crdt.BCounter:
		return "adds up"
	case crdt.Register:
		return registerReason(v)
	case crdt.MVRegister:
		if v.Conflict() {
			return "siblings, until a put with their context"
		}
		return "a later write, which had seen the others"
	case crdt.Set, crdt.GSet, crdt.RWSet:
		return setReason(m)
	case crdt.NoKind, crdt.Flag, crdt.DWFlag, crdt.Map, crdt.ZSet, crdt.HLL:
	}
	return ""
}

func registerReason(v crdt.Value) string {
	if !v.Conflict() {
		return "a later write, which had seen the others"
	}
	winner := v.Siblings[0]
	var losers []string
	var ahead time.Duration
	for _, s := range v.Siblings[1:] {
		if text := shown(s.Value); string(s.Value) != string(winner.Value) && !slices.Contains(losers, text) {
			if len(losers) == 0 {
				ahead = time.Duration(winner.Stamp-s.Stamp) * time.Microsecond
			}
			losers = append(losers, text)
		}
	}
	verb := "stays"
	if len(losers) > 1 {
		verb = "stay"
	}
	kind := "a conflict"
	if len(losers) > 1 {
		kind = "conflicts"
	}
	return fmt.Sprintf("last writer, by %s; %s %s listed as %s", duration(ahead), strings.Join(losers, " and "), verb, kind)
}

// setReason tells elements that stay though some datacenter lacks them, where a
// concurrent remove loses, from elements that go because their remove has seen
// them.
func setReason(m *merged) string {
	after := elementsOf(m.after)
	stay, gone := false, false
	for _, r := range m.values {
		have := elementsOf(r)
		for e := range after {
			stay = stay || !have[e]
		}
		for e := range have {
			gone = gone || !after[e]
		}
	}
	switch {
	case stay && gone:
		return "add wins; removed elements go"
	case gone:
		return "removed elements go"
	}
	return "add wins"
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
	one := func(v crdt.Value) any {
		switch v.Kind {
		case crdt.Counter, crdt.GCounter, crdt.BCounter:
			return v.Int
		case crdt.Set, crdt.GSet, crdt.RWSet:
			return jsonList(v.Elements)
		case crdt.MVRegister:
			var siblings []string
			for _, s := range v.Siblings {
				siblings = append(siblings, string(s.Value))
			}
			return jsonList(siblings)
		case crdt.Register:
			if len(v.Siblings) > 0 {
				return jsonBytes(v.Siblings[0].Value)
			}
		case crdt.NoKind, crdt.Flag, crdt.DWFlag, crdt.Map, crdt.ZSet, crdt.HLL:
		}
		return nil
	}
	switch len(r) {
	case 0:
		return nil
	case 1:
		return one(r[0])
	}
	out := map[string]any{}
	for _, v := range r {
		out[v.Kind.String()] = one(v)
	}
	return out
}
