package crdt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// judge compares dots, then what a reader sees of each key under each kind.
func (c *chronicle) judge(mem *Memory, clock *Clock, counted map[string]int) error {
	if err := c.judgePuts(mem, clock, counted); err != nil {
		return err
	}
	wants, err := c.wants(mem, clock, counted)
	if err != nil {
		return err
	}
	for _, key := range modelKeys() {
		for _, kind := range fieldKinds() {
			own := slices.DeleteFunc(slices.Clone(wants), func(w want) bool { return w.id.KeyID != key || w.id.Kind != kind })
			if len(own) == 0 {
				continue
			}
			cells := cellsOf(mem, key, kind)
			present := slices.ContainsFunc(cells, func(c CellState) bool { return PresentCell(c.ID, c.Live) })
			wantText, wantPresent := render(kind, own)
			got := textOf(ReadValue(kind, cells))
			counted["values of "+kind.String()]++
			if got != wantText || present != wantPresent {
				return fmt.Errorf("%s/%s reads %s, present %v, want %s, %v", key.Key, kind, got, present, wantText, wantPresent)
			}
		}
	}
	return nil
}

// want is what a cell is to come to. The path is what is left of it on the way
// down through maps.
type want struct {
	id      CellID
	path    string
	present bool
	text    string
}

// wants lists the cells that were ever written, in order.
func (c *chronicle) wants(mem *Memory, clock *Clock, counted map[string]int) ([]want, error) {
	visible := map[CellID]Cell{}
	for p, payload := range c.puts {
		cell, _ := mem.Load(p.cell)
		live := visible[p.cell]
		if f := fateOf(clock, p.dot, c.kills[p]); f == alive || f == either && cell.Has(p.dot) {
			live = live.with(Entry{p.dot, payload})
		}
		visible[p.cell] = live
	}
	var out []want
	for id, cell := range visible {
		out = append(out, c.wantOf(id, cell))
	}
	counters, err := c.counters(mem, clock, counted)
	out = append(out, counters...)
	slices.SortFunc(out, func(a, b want) int { return a.id.Compare(b.id) })
	return out, err
}

func (c *chronicle) wantOf(id CellID, visible Cell) want {
	kind, _ := id.Leaf()
	w := want{id: id, path: id.Path, present: len(visible) > 0}
	switch kind { //nolint:exhaustive // the others are there or not
	case Register, MVRegister:
		slices.SortFunc(visible, func(a, b Entry) int {
			return cmp.Or(cmp.Compare(stampOf(b.Payload), stampOf(a.Payload)), b.Dot.Compare(a.Dot))
		})
		var values []string
		for _, e := range visible {
			_, n := binary.Uvarint(e.Payload)
			values = append(values, string(e.Payload[n:]))
		}
		w.text = fmt.Sprint(values)
	case RWSet, DWFlag:
		for _, e := range visible {
			w.present = w.present && e.Payload[0] == 0
		}
		w.text = strconv.FormatBool(w.present)
	case HLL:
		var all []string
		for _, e := range visible {
			all = append(all, c.sketches[placed{id, e.Dot}]...)
		}
		slices.Sort(all)
		w.text = strconv.Itoa(len(slices.Compact(all)))
	default:
		w.text = strconv.FormatBool(w.present)
	}
	return w
}

// counters says what counters come to. Where an increment, or what took it
// away, was lost with its only holder, what is there must be one of what can be.
func (c *chronicle) counters(mem *Memory, clock *Clock, counted map[string]int) ([]want, error) {
	type tally struct {
		sum, count int64
		maybe      []int64
	}
	all := map[CellID]*tally{}
	for _, i := range c.incs {
		t := all[i.cell]
		if t == nil {
			t = &tally{}
			all[i.cell] = t
		}
		switch fateOf(clock, i.event, i.kills) {
		case alive:
			t.sum += i.n
			t.count++
		case either:
			t.maybe = append(t.maybe, i.n)
		case dead:
		}
	}
	var out []want
	for id, t := range all {
		counted[label(id)]++
		possible := map[int64]bool{t.sum: true}
		for _, n := range t.maybe {
			for _, v := range slices.Collect(maps.Keys(possible)) {
				possible[v+n] = true
			}
		}
		cell, _ := mem.Load(id)
		got, _ := total(cell)
		if !possible[got] {
			return nil, fmt.Errorf("%v: counted %d, want %d, or also some of %v", id, got, t.sum, t.maybe)
		}
		present := t.count > 0 || len(t.maybe) > 0 && PresentCell(id, cell)
		out = append(out, want{id: id, path: id.Path, present: present, text: strconv.FormatInt(got, 10)})
	}
	return out, nil
}

// render is what a reader is to see of the cells of one kind, and whether it
// exists: elements that are there, fields that are not empty, in order.
func render(kind Kind, cells []want) (text string, present bool) {
	if !kind.Collection() {
		return cells[0].text, cells[0].present
	}
	var parts []string
	for len(cells) > 0 {
		name, rest, _ := CutPath(cells[0].path)
		if kind != Map {
			if cells[0].present {
				parts = append(parts, name)
			}
			cells = cells[1:]
			continue
		}
		field := cells[0].path[:len(cells[0].path)-len(rest)+1]
		var own []want
		for len(cells) > 0 && strings.HasPrefix(cells[0].path, field) {
			c := cells[0]
			c.path = c.path[len(field):]
			own, cells = append(own, c), cells[1:]
		}
		if inner, is := render(Kind(rest[0]), own); is {
			parts = append(parts, fmt.Sprintf("%s/%s=%s", name, Kind(rest[0]), inner))
		}
	}
	return fmt.Sprintf("%q", parts), len(parts) > 0
}

func textOf(v Value) string {
	var parts []string
	switch v.Kind { //nolint:exhaustive // sets are the rest
	case Register, MVRegister:
		for _, s := range v.Siblings {
			parts = append(parts, string(s.Value))
		}
		return fmt.Sprint(parts)
	case Counter, GCounter:
		return strconv.FormatInt(v.Int, 10)
	case Flag, DWFlag:
		return strconv.FormatBool(v.Flag)
	case HLL:
		return strconv.FormatUint(v.Estimate, 10)
	case Map:
		for _, f := range v.Fields {
			parts = append(parts, fmt.Sprintf("%s/%s=%s", f.Name, f.Value.Kind, textOf(f.Value)))
		}
		return fmt.Sprintf("%q", parts)
	default:
		return fmt.Sprintf("%q", v.Elements)
	}
}
