package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godwitdb/godwit/client"
)

// reason says in words why the merge is what it is.
func reason(m *merged) string {
	var at []*client.Value // of the datacenters; nil where absent
	differ := false
	for _, r := range m.values {
		var v *client.Value
		if len(r.values) > 0 {
			v = r.values[0]
		}
		at = append(at, v)
		differ = differ || jsonText(r.json()) != jsonText(m.after.json())
	}
	switch {
	case len(m.after.values) > 1:
		return "both kinds stay; reads name the conflict"
	case len(m.after.values) == 0:
		return goneReason(m)
	case !differ && m.livesOn():
		return "only the expiry differs; the longest counts"
	}
	return valueReason(m.after.values[0], at)
}

// livesOn tells whether datacenters disagree about when the key expires.
func (m *merged) livesOn() bool {
	for _, r := range m.values {
		if !r.expires.Equal(m.after.expires) {
			return true
		}
	}
	return false
}

// goneReason is why a key will be absent.
func goneReason(m *merged) string {
	switch m.after.kindShown(m.values) {
	case client.RWSet.String():
		return "remove wins"
	case client.DWFlag.String():
		return "disable wins"
	case client.Flag.String():
		return "switched off, having seen it on"
	}
	if !m.after.expires.IsZero() {
		return "expired"
	}
	return "deleted"
}

// valueReason is why values of one kind merge as they do.
func valueReason(after *client.Value, at []*client.Value) string {
	switch after.Kind {
	case client.Counter, client.GCounter:
		return "adds up"
	case client.BCounter:
		return fmt.Sprintf("adds up, never below %d", after.Bound)
	case client.Register:
		return registerReason(after)
	case client.MVRegister:
		if after.Conflict {
			return "siblings, until a put with their context"
		}
		return "a later write, which had seen the others"
	case client.Set:
		return membersReason(after, at, elementsOf, "add wins", "removed elements go")
	case client.GSet:
		return "elements only come"
	case client.RWSet:
		return membersReason(after, at, elementsOf, "added elements stay", "remove wins")
	case client.Flag:
		return "enable wins"
	case client.DWFlag:
		return "switched on, having seen it off"
	case client.Map:
		return mapReason(after, at)
	case client.ZSet:
		return zsetReason(after, at)
	case client.HLL:
		return "counts what any has seen"
	case client.NoKind:
	}
	return ""
}

func registerReason(v *client.Value) string {
	if !v.Conflict {
		return "a later write, which had seen the others"
	}
	winner := v.Siblings[0]
	var losers []string
	var ahead time.Duration
	for _, s := range v.Siblings[1:] {
		if text := shown(s.Value); string(s.Value) != string(winner.Value) && !slices.Contains(losers, text) {
			if len(losers) == 0 {
				ahead = winner.Stamp.Sub(s.Stamp)
			}
			losers = append(losers, text)
		}
	}
	verb, kind := "stays", "a conflict"
	if len(losers) > 1 {
		verb, kind = "stay", "conflicts"
	}
	return fmt.Sprintf("last writer, by %s; %s %s listed as %s", duration(ahead), strings.Join(losers, " and "), verb, kind)
}

func elementsOf(v *client.Value) map[string]bool {
	out := map[string]bool{}
	if v != nil {
		for _, e := range v.Elements {
			out[e] = true
		}
		for _, m := range v.Members {
			out[m.Member] = true
		}
	}
	return out
}

// membersReason tells what stays though some datacenter lacks it from what goes
// though some datacenter has it.
func membersReason(after *client.Value, at []*client.Value, members func(*client.Value) map[string]bool, stays, goes string) string {
	merged := members(after)
	stay, gone := false, false
	for _, v := range at {
		have := members(v)
		for e := range merged {
			stay = stay || !have[e]
		}
		for e := range have {
			gone = gone || !merged[e]
		}
	}
	switch {
	case stay && gone:
		return stays + "; " + goes
	case gone:
		return goes
	}
	return stays
}

func zsetReason(after *client.Value, at []*client.Value) string {
	same := func(v *client.Value) bool { return v != nil && len(v.Members) == len(after.Members) }
	merged := elementsOf(after)
	for _, v := range at {
		for e := range elementsOf(v) {
			if !merged[e] {
				same = func(*client.Value) bool { return false }
			}
		}
		if !same(v) {
			return membersReason(after, at, elementsOf, "add wins; increments add to the score set last", "removed members go")
		}
	}
	return "increments add to the score set last"
}

// mostReasons is how many fields of a map the reason names.
const mostReasons = 4

// mapReason names the fields that differ, each with the reason of its kind.
func mapReason(after *client.Value, at []*client.Value) string {
	var reasons []string
	names := fieldNames(after.Fields)
	for i := range after.Fields {
		f := &after.Fields[i]
		var there []*client.Value
		differ, lacking := false, false
		for _, v := range at {
			own := fieldOf(v, f)
			there = append(there, own)
			lacking = lacking || own == nil
			differ = differ || own == nil || jsonText(jsonValue(own)) != jsonText(jsonValue(&f.Value))
		}
		switch why := valueReason(&f.Value, there); {
		case !differ:
		case lacking && f.Kind == client.Register && !f.Value.Conflict:
			reasons = append(reasons, shown(names[i])+": update wins")
		default:
			reasons = append(reasons, shown(names[i])+": "+why)
		}
	}
	for _, name := range goneFields(after, at) {
		reasons = append(reasons, shown(name)+": removed")
	}
	if more := len(reasons) - mostReasons; more > 0 {
		reasons = append(reasons[:mostReasons], fmt.Sprintf("… %d more", more))
	}
	return strings.Join(reasons, "; ")
}

// fieldOf is the field of that name and kind, nil if v has none.
func fieldOf(v *client.Value, f *client.Field) *client.Value {
	if v == nil {
		return nil
	}
	for i := range v.Fields {
		if v.Fields[i].Name == f.Name && v.Fields[i].Kind == f.Kind {
			return &v.Fields[i].Value
		}
	}
	return nil
}

// goneFields names the fields that some datacenter has and the merge has not.
func goneFields(after *client.Value, at []*client.Value) []string {
	var names []string
	for _, v := range at {
		if v == nil {
			continue
		}
		for i := range v.Fields {
			if fieldOf(after, &v.Fields[i]) == nil {
				names = append(names, v.Fields[i].Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
