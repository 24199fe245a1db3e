package scenario

import (
	"errors"
	"fmt"

	"github.com/godwitdb/godwit/crdt"
)

// replica is one copy of the scenario's key.
type replica struct {
	number, incarnation int
	state               crdt.Replica
	cells               crdt.Memory
	minted              uint64
	issued, wall        crdt.Stamp
}

// newReplica gives actors that order by replica, then by incarnation.
func newReplica(number, incarnation int) *replica {
	return &replica{number: number, incarnation: incarnation, wall: stampOf(1000)}
}

// stampOf makes a stamp, which counts microseconds, of milliseconds.
func stampOf(millis uint64) crdt.Stamp { return crdt.Stamp(millis * 1000) }

func (r *replica) actor() crdt.Actor { return crdt.Actor(r.number)<<32 | crdt.Actor(r.incarnation) }

// encode is the full state of the replica, as it travels.
func (r *replica) encode() []byte {
	return crdt.AppendSnapshot(nil, &crdt.Snapshot{
		Clock: r.state.Clock, Residue: r.state.Residue.Changes(), Cells: r.cells.All(),
	})
}

// join is rules 3 and 4 for the whole key.
func (r *replica) join(state []byte) error {
	s, err := crdt.DecodeSnapshot(state)
	if err != nil {
		return err
	}
	theirs := map[crdt.CellID]crdt.Cell{}
	peer := s.Peer()
	for _, c := range s.Cells {
		theirs[c.ID] = c.Live
	}
	for _, c := range r.cells.All() {
		if err := r.state.JoinCell(&r.cells, c.ID, theirs[c.ID], peer); err != nil {
			return err
		}
		delete(theirs, c.ID)
	}
	for id, c := range theirs {
		if err := r.state.JoinCell(&r.cells, id, c, peer); err != nil {
			return err
		}
	}
	r.state.JoinResidue(s.Residue)
	r.state.JoinClock(&s.Clock)
	return nil
}

// context is what a client that reads here now is given.
func (r *replica) context() []byte {
	c := crdt.ObservedContext(r.cells.All(), &r.state.Clock)
	return crdt.AppendContext(nil, &c)
}

// mutate runs one operation as an event. It returns nil where nothing changed.
func (r *replica) mutate(op *crdt.Op, at *crdt.Stamp) (*crdt.Delta, error) {
	stamp := func(seen crdt.Stamp) crdt.Stamp {
		if at != nil {
			r.issued = *at
		} else {
			r.issued = crdt.NextStamp(r.wall, r.issued, seen)
		}
		return r.issued
	}
	dot := crdt.Dot{Actor: r.actor(), Seq: r.minted + 1}
	d, _, err := r.state.Mutate(&r.cells, theKey(), r.cells.Kinds(theKey()), op, dot, stamp)
	if err != nil || d == nil {
		return nil, err
	}
	r.minted++
	fresh, err := r.state.Apply(&r.cells, d)
	if err == nil && !fresh {
		err = fmt.Errorf("own event %s is not new", dot)
	}
	return d, err
}

func theKey() crdt.KeyID { return crdt.KeyID{Bucket: "scenario", Key: "key"} }

// operate is the verb op.
func (m *machine) operate(s *step) error {
	r, err := m.at(s.At)
	if err != nil {
		return err
	}
	acts, err := m.dialect.acts(s)
	if err != nil {
		return err
	}
	before, clock := r.encode(), r.minted
	entries, err := m.perform(r, acts, s)
	if s.Error != "" {
		if err := refusedAs(err, s.Error); err != nil {
			return err
		}
		if string(before) != string(r.encode()) || clock != r.minted {
			return errors.New("the refused operation has changed something")
		}
		return nil
	}
	if err != nil || s.SaveDelta == "" {
		return err
	}
	m.deltas[s.SaveDelta] = nil
	if len(entries) > 0 {
		d, err := crdt.Coalesce(&r.cells, entries)
		if err != nil {
			return err
		}
		m.deltas[s.SaveDelta] = crdt.AppendDelta(nil, d)
	}
	return nil
}

func (m *machine) perform(r *replica, acts []act, s *step) ([]*crdt.Delta, error) {
	var entries []*crdt.Delta
	for i := range acts {
		a := &acts[i]
		ctx, err := m.context(r, s.Context, a.blind)
		if err != nil {
			return nil, err
		}
		a.Context = ctx
		if a.Code == crdt.OpTransfer {
			to, err := m.at(s.To)
			if err != nil {
				return nil, err
			}
			a.Op.To = to.actor()
		}
		var at *crdt.Stamp
		if a.ts != nil {
			t := stampOf(*a.ts)
			at = &t
		}
		d, err := r.mutate(&a.Op, at)
		if err != nil {
			return nil, err
		}
		if d != nil {
			entries = append(entries, d.LogEntry())
		}
	}
	return entries, nil
}

// context finds a saved context. A step without one has observed what its
// replica holds, which kinds that are blind by themselves must be told.
func (m *machine) context(r *replica, name string, blind bool) (*crdt.Context, error) {
	var b []byte
	switch name {
	case "empty":
		return &crdt.Context{}, nil
	case "":
		if !blind {
			return nil, nil
		}
		b = r.context()
	default:
		saved, ok := m.contexts[name]
		if !ok {
			return nil, fmt.Errorf("no context %q", name)
		}
		b = saved
	}
	return crdt.DecodeContext(b)
}
