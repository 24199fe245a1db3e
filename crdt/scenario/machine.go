package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/godwitdb/godwit/crdt"
)

// machine executes the steps of one vector.
type machine struct {
	dialect   *dialect
	vector    *Vector
	replicas  map[string]*replica
	snapshots map[string][]byte
	deltas    map[string][]byte
	contexts  map[string][]byte
}

// Run executes the vector. The error says which step failed, what was
// expected and what came out.
func (v *Vector) Run() error {
	err := v.run()
	if err != nil {
		return fmt.Errorf("vector %q: %w", v.Name, err)
	}
	return nil
}

func (v *Vector) run() error {
	d, err := dialectOf(v.TypeName)
	if err != nil {
		return err
	}
	m := &machine{
		dialect: d, vector: v, replicas: map[string]*replica{},
		snapshots: map[string][]byte{}, deltas: map[string][]byte{}, contexts: map[string][]byte{},
	}
	for i, name := range v.Replicas {
		m.replicas[name] = newReplica(i+1, 0)
	}
	for i, s := range v.steps {
		err := s.do(m)
		if v.Trace != nil {
			m.trace(i, s)
		}
		if err != nil {
			return fmt.Errorf("step %d %s: %w", i+1, s.raw, err)
		}
	}
	for _, name := range v.Replicas {
		if want, ok := v.expect[name]; ok {
			if err := m.same(m.value(m.replicas[name]), want); err != nil {
				return fmt.Errorf("at the end, at %s: %w", name, err)
			}
		}
	}
	if want, ok := v.expect[everyone]; ok {
		return m.expectEveryone(want)
	}
	return nil
}

func (m *machine) trace(i int, s *step) {
	fmt.Fprintf(m.vector.Trace, "%s: step %d %s\n", m.vector.Name, i+1, s.raw)
	for _, name := range m.vector.Replicas {
		r := m.replicas[name]
		fmt.Fprintf(m.vector.Trace, "  %s = %s, %d of %d events, %d removals wait\n",
			name, m.value(r), r.state.Clock.Count(), m.minted(), len(r.state.Residue.Changes()))
	}
}

func (m *machine) minted() (n uint64) {
	for _, r := range m.replicas {
		n += r.minted
	}
	return n
}

func (m *machine) at(name string) (*replica, error) {
	if r := m.replicas[name]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("no replica %q", name)
}

// value is what a reader sees there, as JSON.
func (m *machine) value(r *replica) string {
	text, err := json.Marshal(m.dialect.value(m.read(r)))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (m *machine) read(r *replica) crdt.Value {
	var cells []crdt.CellState
	for _, c := range r.cells.All() {
		if c.ID.Kind == m.dialect.kind {
			cells = append(cells, c)
		}
	}
	return crdt.ReadValue(m.dialect.kind, cells)
}

func (m *machine) same(got string, want json.RawMessage) error {
	var v any
	dec := json.NewDecoder(bytes.NewReader(want))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("expected value: %w", err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("expected value: %w", err)
	}
	if got != string(text) {
		return fmt.Errorf("expected %s, got %s", text, got)
	}
	return nil
}

func (m *machine) deliver(s *step) error {
	from, to, _ := strings.Cut(s.Deliver, "->")
	a, err := m.at(from)
	if err != nil {
		return err
	}
	b, err := m.at(to)
	if err != nil {
		return err
	}
	return b.join(a.encode())
}

func (m *machine) saveSnapshot(s *step) error {
	r, err := m.at(s.At)
	if err != nil {
		return err
	}
	m.snapshots[s.Snapshot] = r.encode()
	return nil
}

func (m *machine) deliverSnapshot(s *step) error {
	r, err := m.at(s.To)
	if err != nil {
		return err
	}
	b, ok := m.snapshots[s.FromSnap]
	if !ok {
		return fmt.Errorf("no snapshot %q", s.FromSnap)
	}
	return r.join(b)
}

func (m *machine) deliverDelta(s *step) error {
	r, err := m.at(s.To)
	if err != nil {
		return err
	}
	b, ok := m.deltas[s.FromDelta]
	if !ok {
		return fmt.Errorf("no delta %q", s.FromDelta)
	}
	if b == nil { // of an operation that changed nothing
		return nil
	}
	d, err := crdt.DecodeDelta(b)
	if err != nil {
		return err
	}
	_, err = r.state.Apply(&r.cells, d)
	return err
}

func (m *machine) saveContext(s *step) error {
	r, err := m.at(s.At)
	if err != nil {
		return err
	}
	m.contexts[s.SaveCtx] = r.context()
	return nil
}

func (m *machine) setClock(s *step) error {
	r, err := m.at(s.At)
	if err != nil {
		return err
	}
	r.wall = stampOf(*s.Clock)
	return nil
}

// wipe makes the replica forget everything. It comes back as a new actor.
func (m *machine) wipe(s *step) error {
	r, err := m.at(s.At)
	if err != nil {
		return err
	}
	fresh := newReplica(r.number, r.incarnation+1)
	fresh.wall = r.wall
	m.replicas[s.At] = fresh
	return nil
}

// converge delivers every state to everyone until nothing changes.
func (m *machine) converge(*step) error {
	for range len(m.replicas) + 1 {
		changed := false
		for _, from := range m.vector.Replicas {
			for _, to := range m.vector.Replicas {
				before := m.replicas[to].encode()
				if err := m.replicas[to].join(m.replicas[from].encode()); err != nil {
					return fmt.Errorf("deliver %s->%s: %w", from, to, err)
				}
				changed = changed || !bytes.Equal(before, m.replicas[to].encode())
			}
		}
		if !changed {
			return nil
		}
	}
	return errors.New("states go on changing")
}

func (m *machine) expectAt(s *step) error {
	r, err := m.at(s.At)
	if err != nil {
		return err
	}
	return m.same(m.value(r), s.Expect)
}

// expectEveryone joins all replicas in every order, each state twice. All
// orders must give the expected value, and the same bytes.
func (m *machine) expectEveryone(want json.RawMessage) error {
	var states [][]byte
	for _, name := range m.vector.Replicas {
		states = append(states, m.replicas[name].encode())
	}
	var first []byte
	return permute(len(states), func(order []int) error {
		var said strings.Builder
		all := newReplica(0, 0)
		for _, i := range order {
			said.WriteString(" " + m.vector.Replicas[i])
			for range 2 {
				if err := all.join(states[i]); err != nil {
					return err
				}
			}
		}
		if err := m.same(m.value(all), want); err != nil {
			return fmt.Errorf("at the end, joining%s: %w", said.String(), err)
		}
		if first == nil {
			first = all.encode()
		}
		if !bytes.Equal(first, all.encode()) {
			return fmt.Errorf("at the end, joining%s: state differs from that of another order", said.String())
		}
		return nil
	})
}

// permute calls fn with every order of 0 to n-1.
func permute(n int, fn func(order []int) error) error {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var from func(k int) error
	from = func(k int) error {
		if k == n {
			return fn(order)
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			if err := from(k + 1); err != nil {
				return err
			}
			order[k], order[i] = order[i], order[k]
		}
		return nil
	}
	return from(0)
}
