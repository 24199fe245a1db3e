package crdt

import (
	"cmp"
	"fmt"
	"slices"
)

// receive applies a message, one event or a coalesced run, and logs it.
func (w *world) receive(n *modelNode, message []byte) error {
	d, err := DecodeDelta(message)
	if err != nil {
		return err
	}
	fresh, err := n.rep.Apply(&n.mem, d)
	if err != nil {
		return err
	}
	if fresh {
		n.log = append(n.log, d.LogEntry())
	}
	w.say("%s receives %s:%d-%d, fresh %v", n.actor, d.Actor, d.Lo, d.Hi, fresh)
	return nil
}

// chain finds entries of the log that together cover a run of one actor.
func (n *modelNode) chain(a Actor, r Range) []*Delta {
	var out []*Delta
	for _, e := range n.log {
		if e.Actor == a && e.Lo <= r.Hi && e.Hi >= r.Lo {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *Delta) int { return cmp.Compare(a.Lo, b.Lo) })
	next := r.Lo
	for _, e := range out {
		if e.Lo > next {
			return nil
		}
		next = max(next, e.Hi+1)
	}
	if next <= r.Hi {
		return nil
	}
	return out
}

// send coalesces entries and puts them on the wire.
func (w *world) send(n *modelNode, entries []*Delta) ([]byte, error) {
	d, err := Coalesce(&n.mem, entries)
	if err != nil {
		return nil, err
	}
	return AppendDelta(nil, d), nil
}

// ship sends a run of anyone's events, as far as the log has it.
func (w *world) ship(n *modelNode) error {
	if len(n.log) == 0 {
		return nil
	}
	e := pick(w.r, n.log)
	r := Range{e.Lo, e.Hi + uint64(w.r.IntN(4))}
	entries := n.chain(e.Actor, r)
	if entries == nil {
		entries = []*Delta{e}
	}
	m, err := w.send(n, entries)
	if err != nil {
		return err
	}
	w.wire = append(w.wire, m)
	_, to := w.node()
	return w.receive(to, m)
}

// pull is catch-up: what the clocks say is missing comes from the peer's log
// or, where that was trimmed, with a join of everything.
func (w *world) pull(to, from *modelNode) error {
	missing := Difference(&from.rep.Clock, &to.rep.Clock)
	for a, ranges := range missing.All() {
		for _, r := range ranges {
			entries := from.chain(a, r)
			if entries == nil {
				return w.join(to, from)
			}
			m, err := w.send(from, entries)
			if err != nil {
				return err
			}
			if err := w.receive(to, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *modelNode) encode() []byte {
	return AppendSnapshot(nil, &Snapshot{Clock: n.rep.Clock, Residue: n.rep.Residue.Changes(), Cells: n.mem.All()})
}

func (n *modelNode) encodeKey(key KeyID) []byte {
	return AppendSnapshot(nil, &Snapshot{
		Clock: n.rep.Clock, Residue: n.rep.Residue.OfKey(key), Cells: cellsOf(&n.mem, key),
	})
}

// joinKey is rule 3 for the cells of one key.
func (n *modelNode) joinKey(key KeyID, s *Snapshot) error {
	peer := s.Peer()
	theirs := observed{}
	for _, c := range s.Cells {
		if c.ID.KeyID == key {
			theirs[c.ID] = c.Live
		}
	}
	for _, c := range cellsOf(&n.mem, key) {
		if _, both := theirs[c.ID]; !both {
			theirs[c.ID] = nil
		}
	}
	for id, c := range theirs {
		if err := n.rep.JoinCell(&n.mem, id, c, peer); err != nil {
			return err
		}
	}
	var residue []Change
	for _, ch := range s.Residue {
		if ch.ID.KeyID == key {
			residue = append(residue, ch)
		}
	}
	n.rep.JoinResidue(residue)
	return nil
}

func (n *modelNode) joinAll(s *Snapshot) error {
	for _, key := range modelKeys() {
		if err := n.joinKey(key, s); err != nil {
			return err
		}
	}
	n.rep.JoinClock(&s.Clock)
	return nil
}

// join is rules 3 and 4.
func (w *world) join(to, from *modelNode) error {
	s, err := DecodeSnapshot(from.encode())
	if err != nil {
		return err
	}
	w.say("%s joins %s", to.actor, from.actor)
	return to.joinAll(s)
}

// repairKey is read repair: the join of a few answers comes back to a
// laggard, whose clock it does not touch.
func (w *world) repairKey(to *modelNode) error {
	key := pick(w.r, modelKeys())
	var answers []*Snapshot
	for range 1 + w.r.IntN(2) {
		_, from := w.node()
		s, err := DecodeSnapshot(from.encodeKey(key))
		if err != nil {
			return err
		}
		answers = append(answers, s)
	}
	s := answers[0]
	if len(answers) > 1 {
		merged, err := DecodeSnapshot(AppendSnapshot(nil, Merge(answers...)))
		if err != nil {
			return err
		}
		s = merged
	}
	w.say("%s repairs %s", to.actor, key.Key)
	return to.joinKey(key, s)
}

// transfer is rule 5: a join that begins, goes on, breaks off or ends while
// everything else goes on.
func (w *world) transfer() error {
	_, n := w.node()
	t := n.rep.Transfer
	switch {
	case t == nil:
		_, from := w.node()
		s, err := DecodeSnapshot(from.encode())
		if err != nil {
			return err
		}
		if len(w.copies) > 0 && w.r.IntN(6) == 0 {
			if s, err = DecodeSnapshot(pick(w.r, w.copies).state); err != nil {
				return err
			}
		}
		joined := map[KeyID]bool{}
		n.incoming = s
		n.rep.Transfer = &Transfer{Clock: s.Clock.Clone(), Joined: func(id CellID) bool { return joined[id.KeyID] }}
		w.say("%s begins a transfer from %s", n.actor, from.actor)
		n.joined = joined
		return nil
	case w.r.IntN(3) > 0:
		return w.transferKey(n, pick(w.r, modelKeys()))
	case w.r.IntN(4) == 0:
		w.say("the transfer to %s breaks off", n.actor)
		n.rep.Transfer = nil
		return nil
	}
	return w.transferEnd(n)
}

func (w *world) transferKey(n *modelNode, key KeyID) error {
	if n.joined[key] {
		return nil
	}
	w.say("transfer to %s: %s", n.actor, key.Key)
	if !n.sameKey(key) {
		if err := n.joinKey(key, n.incoming); err != nil {
			return err
		}
	}
	n.joined[key] = true
	return nil
}

// sameKey reports whether a key is what the snapshot says, with nothing
// waiting on either side: then it counts as joined without a join.
func (n *modelNode) sameKey(key KeyID) bool {
	mine, theirs := cellsOf(&n.mem, key), slices.Clone(n.incoming.Cells)
	theirs = slices.DeleteFunc(theirs, func(c CellState) bool { return c.ID.KeyID != key })
	waits := slices.ContainsFunc(n.incoming.Residue, func(ch Change) bool { return ch.ID.KeyID == key })
	return !waits && len(n.rep.Residue.OfKey(key)) == 0 &&
		slices.EqualFunc(mine, theirs, func(a, b CellState) bool { return a.ID == b.ID && a.Live.Equal(b.Live) })
}

func (w *world) transferEnd(n *modelNode) error {
	for _, key := range modelKeys() {
		if err := w.transferKey(n, key); err != nil {
			return err
		}
	}
	n.rep.JoinClock(&n.incoming.Clock)
	n.rep.Transfer, n.incoming = nil, nil
	w.say("the transfer to %s ends", n.actor)
	return nil
}

// trim cuts off the beginning of a log before everyone has had it.
func (w *world) trim() error {
	_, n := w.node()
	n.log = slices.Clone(n.log[w.r.IntN(len(n.log)+1):])
	return nil
}

func (w *world) keepCopy() error {
	_, n := w.node()
	w.copies = append(w.copies, oldCopy{n.encode(), slices.Clone(n.log)})
	return nil
}

// restore makes a replica of a copy, under a new actor.
func (w *world) restore(c oldCopy) (*modelNode, error) {
	n := w.newNode()
	s, err := DecodeSnapshot(c.state)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	n.rep.Clock = s.Clock
	n.rep.Residue.Restore(s.Residue)
	for _, cs := range s.Cells {
		_ = n.mem.Store(cs.ID, cs.Live)
	}
	n.log = slices.Clone(c.log) // a copy may be restored twice
	return n, nil
}
