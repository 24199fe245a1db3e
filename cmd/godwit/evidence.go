package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/crdt"
)

// evidence is one event that is live in a cell of a key somewhere, and how it
// stands in every datacenter.
type evidence struct {
	Kind    string              `json:"kind"`            // of the key, or expiry
	Field   []any               `json:"field,omitempty"` // of a map: the way to the field
	Leaf    string              `json:"field_kind,omitempty"`
	Element any                 `json:"element,omitempty"` // of a set or a zset
	Dot     string              `json:"dot"`
	Actor   actorJSON           `json:"actor"`
	Seq     uint64              `json:"seq"`
	Stamp   string              `json:"stamp,omitempty"` // of an assignment
	At      map[string]standsAt `json:"at"`              // by datacenter

	id  crdt.CellID
	dot crdt.Dot
}

// standsAt is how an event stands with an owner, or with those of a datacenter:
// live with what it holds there, removed, or unseen; mixed, where they differ.
type standsAt struct {
	State  string              `json:"state"`
	Holds  string              `json:"holds,omitempty"`
	Owners map[string]standsAt `json:"owners,omitempty"` // where they differ
}

const mixed = "mixed"

// String is what a table shows.
func (s standsAt) String() string {
	if s.State == mixed {
		var parts []string
		for _, node := range slices.Sorted(maps.Keys(s.Owners)) {
			parts = append(parts, node+": "+s.Owners[node].String())
		}
		return strings.Join(parts, ", ")
	}
	if s.Holds != "" {
		return s.Holds
	}
	return s.State
}

// evidenceOf gathers the live events of all copies, in the order of their cells,
// up to limit of them; more counts the others.
func evidenceOf(all []said[*copied], names actors, limit int) (out []*evidence, more int) {
	found := map[place]*evidence{}
	for _, a := range all {
		if a.err == nil {
			for _, o := range a.answer.owners {
				gather(found, o, names)
			}
		}
	}
	out = slices.SortedFunc(maps.Values(found), func(a, b *evidence) int {
		return cmp.Or(a.id.Compare(b.id), a.dot.Compare(b.dot))
	})
	if len(out) > limit {
		out, more = out[:limit], len(out)-limit
	}
	for _, e := range out {
		for _, a := range all {
			e.At[a.dc] = e.inDC(a)
		}
	}
	return out, more
}

// place is an event in a cell.
type place struct {
	id  crdt.CellID
	dot crdt.Dot
}

// gather adds the live events of one owner to what was found.
func gather(found map[place]*evidence, o ownerCopy, names actors) {
	for _, cell := range o.Cells {
		for _, entry := range cell.Live {
			at := place{cell.ID, entry.Dot}
			if found[at] == nil {
				found[at] = newEvidence(cell.ID, entry, names)
			}
		}
	}
}

// inDC is how the event stands in a datacenter.
func (e *evidence) inDC(a said[*copied]) standsAt {
	if a.err != nil {
		return standsAt{State: "unknown"}
	}
	out := standsAt{State: mixed, Owners: map[string]standsAt{}}
	var first standsAt
	same := true
	for i, o := range a.answer.owners {
		s := e.with(o)
		if i == 0 {
			first = s
		}
		same = same && s.State == first.State && s.Holds == first.Holds
		out.Owners[o.node] = s
	}
	if same {
		return first
	}
	return out
}

// with is how the event stands with one owner.
func (e *evidence) with(o ownerCopy) standsAt {
	for _, entry := range o.live[e.id] {
		if entry.Dot == e.dot {
			return standsAt{State: "live", Holds: holds(e.id, entry)}
		}
	}
	switch {
	case o.Clock.Contains(e.dot):
		return standsAt{State: "removed"}
	case o.knows.Residue.Contains(e.id, crdt.Entry{Dot: e.dot}):
		return standsAt{State: "removed"} // it may come, and will go at once
	}
	return standsAt{State: "unseen"}
}

func newEvidence(id crdt.CellID, entry crdt.Entry, names actors) *evidence {
	e := &evidence{
		Kind: id.Kind.String(), Dot: entry.Dot.String(), Actor: names.of(entry.Dot.Actor), Seq: entry.Dot.Seq,
		At: map[string]standsAt{}, id: id, dot: entry.Dot,
	}
	way, leaf := fieldWay(id)
	if id.Kind == crdt.Map {
		e.Field, e.Leaf = jsonList(way), leaf.Kind.String()
	}
	if element, _, ok := crdt.CutPath(leaf.Path); ok {
		e.Element = jsonBytes(element)
	}
	for _, s := range entryValue(leaf, entry).Siblings {
		e.Stamp = since(s.Stamp)
	}
	return e
}

// fieldWay cuts the way to a field off a cell of a map: what is left is a cell
// as a key of the field's kind has it.
func fieldWay(id crdt.CellID) (way []string, leaf crdt.CellID) {
	for id.Kind == crdt.Map {
		name, rest, ok := crdt.CutPath(id.Path)
		if !ok || rest == "" {
			break
		}
		way = append(way, name)
		id.Kind, id.Path = crdt.Kind(rest[0]), rest[1:]
	}
	return way, id
}

// entryValue is what a reader would see if the event were alone.
func entryValue(leaf crdt.CellID, entry crdt.Entry) *client.Value {
	return valueOfCells(leaf.Kind, []crdt.CellState{{ID: leaf, Live: crdt.Cell{entry}}})
}

// holds is what an event holds, in few words; nothing where being live is all.
func holds(id crdt.CellID, entry crdt.Entry) string {
	if id.Kind == crdt.Expiry {
		ms, ok := crdt.ExpiresAt([]crdt.CellState{{ID: id, Live: crdt.Cell{entry}}})
		if !ok {
			return "never"
		}
		return since(time.UnixMilli(ms))
	}
	_, leaf := fieldWay(id)
	v := entryValue(leaf, entry)
	present := crdt.PresentCell(leaf, crdt.Cell{entry})
	switch {
	case isSet(v.Kind) && present, isFlagKind(v.Kind) && present:
		return ""
	case isSet(v.Kind), isFlagKind(v.Kind):
		return "mark" // of a removal that wins
	case v.Kind == client.ZSet && len(v.Members) > 0:
		return scoreText(v.Members[0].Score)
	case v.Kind == client.ZSet:
		return "taken back"
	}
	return shownValue(v)
}

// cell names the cell for a table.
func (e *evidence) cell() string {
	way, leaf := fieldWay(e.id)
	parts := make([]string, 0, len(way)+2)
	for _, f := range way {
		parts = append(parts, shown(f))
	}
	name := strings.Join(parts, " ")
	if e.id.Kind == crdt.Map {
		name += " (" + leaf.Kind.String() + ")"
	}
	if element, _, ok := crdt.CutPath(leaf.Path); ok {
		name += " " + shown(element)
	}
	if name == "" {
		name = e.Kind
	}
	return strings.TrimSpace(name)
}

// disputed tells whether v, or a field in it, has several values.
func disputed(v *client.Value) bool {
	return v.Conflict || slices.ContainsFunc(v.Fields, func(f client.Field) bool { return disputed(&f.Value) })
}
