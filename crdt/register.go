package crdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// registerRow is the row of register and mvregister. Both keep one cell whose
// concurrent values all stay live until a write that observed them. They
// differ in what a write without context has observed: a register what its
// coordinator holds, an mvregister nothing.
func registerRow(name string, blind bool) kindRow {
	return kindRow{
		name:  name,
		check: checkStamped,
		mutate: map[OpCode]func(m *mutation) error{
			OpAssign: func(m *mutation) error { return m.assign(blind) },
			OpDelete: (*mutation).unassign,
		},
		read: readRegister,
	}
}

func (m *mutation) assign(blind bool) error {
	live, err := m.load("")
	if err != nil {
		return err
	}
	var seen Stamp
	for _, e := range live {
		seen = max(seen, stampOf(e.Payload))
	}
	payload := binary.AppendUvarint(make([]byte, 0, 9+len(m.op.Value)), uint64(m.stamp(seen)))
	ch := Change{ID: m.id(""), Puts: []Entry{{m.dot, append(payload, m.op.Value...)}}}
	if !blind || m.op.Context != nil {
		m.observed(&ch, live)
	}
	m.changes = append(m.changes, ch)
	m.result.Changed++
	return nil
}

func (m *mutation) unassign() error {
	live, err := m.load("")
	if err != nil {
		return err
	}
	ch := Change{ID: m.id("")}
	m.observed(&ch, live)
	if len(ch.Removes) > 0 || !ch.Below.Empty() {
		m.changes = append(m.changes, ch)
		m.result.Changed++
	}
	return nil
}

// A register's payload is its stamp and its value.
func checkStamped(payload []byte) error {
	r := reader{b: payload}
	r.uvarint("stamp")
	return r.err
}

func stampOf(payload []byte) Stamp {
	s, _ := binary.Uvarint(payload)
	return Stamp(s)
}

// Sibling is one of the live values of a register, the winner or not.
type Sibling struct {
	Dot   Dot
	Stamp Stamp
	Value []byte
}

// readRegister lists the values, the last writer first.
func readRegister(v *Value, cells []CellState) {
	for _, cs := range cells {
		for _, e := range cs.Live {
			s, n := binary.Uvarint(e.Payload)
			v.Siblings = append(v.Siblings, Sibling{e.Dot, Stamp(s), e.Payload[n:]})
		}
	}
	slices.SortFunc(v.Siblings, func(a, b Sibling) int { return b.compare(a) })
}

// compare orders values on time: stamp, then actor.
func (s Sibling) compare(o Sibling) int {
	switch {
	case s.Stamp < o.Stamp:
		return -1
	case s.Stamp > o.Stamp:
		return 1
	}
	return s.Dot.Compare(o.Dot)
}

// Conflict reports whether concurrent values wait for a write that has seen
// them all: values that differ, for writing the same twice conflicts with nothing.
func (v *Value) Conflict() bool {
	for i := 1; i < len(v.Siblings); i++ {
		if !bytes.Equal(v.Siblings[i].Value, v.Siblings[0].Value) {
			return true
		}
	}
	return false
}

// String prints a sibling for people.
func (s Sibling) String() string { return fmt.Sprintf("%q at %d by %s", s.Value, s.Stamp, s.Dot) }
