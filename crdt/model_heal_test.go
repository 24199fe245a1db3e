package crdt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// upheaval is something that ends an actor or begins one.
func (w *world) upheaval() error {
	i, n := w.node()
	switch p := w.r.IntN(10); {
	case p < 2: // disk lost
		w.say("%s is wiped", n.actor)
		w.closed[n.actor] = true
		fresh := w.newNode()
		fresh.standIn = n.standIn
		w.nodes[i] = fresh
	case p < 4 && len(w.copies) > 0: // an old copy takes its place
		old, err := w.restore(pick(w.r, w.copies))
		if err != nil {
			return err
		}
		w.say("%s gives way to an old copy, now %s", n.actor, old.actor)
		w.closed[n.actor] = true
		w.nodes[i] = old
	case p < 6 && len(w.nodes) < 7: // a stand-in for an owner that is away
		s := w.newNode()
		s.standIn = true
		w.nodes = append(w.nodes, s)
	case p < 8: // ownership moves to a new replica
		fresh := w.newNode()
		if err := w.join(fresh, n); err != nil {
			return err
		}
		fresh.log, fresh.standIn = slices.Clone(n.log), n.standIn
		w.say("%s moves to %s", n.actor, fresh.actor)
		w.closed[n.actor] = true
		w.nodes[i] = fresh
	case n.standIn:
		return w.handOver(i)
	}
	return nil
}

// handOver ends a stand-in: the first replica takes what it has, and it is dropped.
func (w *world) handOver(i int) error {
	n, to := w.nodes[i], w.nodes[0]
	if n == to {
		return nil
	}
	if err := w.pull(to, n); err != nil {
		return err
	}
	if err := w.join(to, n); err != nil { // what is live ahead of the clock
		return err
	}
	if !to.rep.Clock.Covers(&n.rep.Clock) {
		return fmt.Errorf("%s has joined %s and does not cover it", to.actor, n.actor)
	}
	w.say("stand-in %s hands over to %s", n.actor, to.actor)
	w.closed[n.actor] = true
	w.nodes = slices.Delete(w.nodes, i, i+1)
	return nil
}

// closeActors is what follows when actors are known to be closed: one join of
// every cell among all replicas, also at equal clocks, and then new dots for
// what lives and is in nobody's clock.
func (w *world) closeActors() error {
	if len(w.closed) == 0 {
		return nil
	}
	_, g := w.node()
	for _, n := range w.nodes {
		if err := w.join(g, n); err != nil {
			return err
		}
	}
	for _, n := range w.nodes {
		if err := w.join(n, g); err != nil {
			return err
		}
	}
	closed := func(a Actor) bool { return w.closed[a] }
	for _, key := range modelKeys() {
		for again := 0; ; again++ {
			cells := cellsOf(&g.mem, key)
			d := g.rep.Remint(cells, closed, Dot{g.actor, g.minted + 1})
			if d == nil {
				break
			}
			if again == 100 {
				return fmt.Errorf("%s is minted again without end", key.Key)
			}
			w.say("%s:%d mints orphans of %s again: %v", g.actor, d.Lo, key.Key, d.Changes)
			w.oracle.reminted(d, observe(cells))
			if err := w.commit(g, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// heal brings all clocks together as nodes do: each compares its clock with
// that of others and pulls what it lacks. Nothing else is delivered.
func (w *world) heal() error {
	for range 50 {
		equal := true
		for _, i := range w.r.Perm(len(w.nodes)) {
			for _, j := range w.r.Perm(len(w.nodes)) {
				to, from := w.nodes[i], w.nodes[j]
				if to.rep.Clock.Covers(&from.rep.Clock) {
					continue
				}
				equal = false
				if err := w.pull(to, from); err != nil {
					return err
				}
			}
		}
		if equal {
			return nil
		}
	}
	return errors.New("clocks do not come together")
}

// run plays the history, heals it and compares what came out of it.
func (w *world) run(counted map[string]int) error {
	for range 20 + w.r.IntN(100) {
		if err := w.step(); err != nil {
			return err
		}
	}
	for _, n := range w.nodes {
		if n.rep.Transfer != nil && w.r.IntN(2) == 0 {
			if err := w.transferEnd(n); err != nil {
				return err
			}
		}
		n.rep.Transfer = nil
	}
	if err := w.heal(); err != nil {
		return err
	}
	if len(w.closed) > 0 {
		counted["with closed actors"]++
		if err := w.closeActors(); err != nil {
			return err
		}
		if err := w.heal(); err != nil {
			return err
		}
	}
	if s, ok := w.oracle.(stepper); ok {
		if err := s.finish(w); err != nil {
			return err
		}
	}
	if err := w.sameEverywhere(); err != nil {
		return err
	}
	n := w.nodes[0]
	counted["histories"]++
	return w.oracle.judge(&n.mem, &n.rep.Clock, counted)
}

// sameEverywhere is promise I2, with the one exception that loss forces: a
// removal of a dot whose event is lost waits for ever, everywhere alike.
func (w *world) sameEverywhere() error {
	first := w.nodes[0]
	for _, n := range w.nodes {
		if !n.rep.Clock.Equal(&first.rep.Clock) {
			return fmt.Errorf("clocks of %s and %s differ", first.actor, n.actor)
		}
		if !bytes.Equal(n.encode(), first.encode()) {
			return fmt.Errorf("at equal clocks, %s holds\n%v\n%v\nand %s\n%v\n%v", first.actor, first.mem.All(), first.rep.Residue.Changes(),
				n.actor, n.mem.All(), n.rep.Residue.Changes())
		}
		for _, ch := range n.rep.Residue.Changes() {
			for _, d := range ch.Removes {
				if !w.closed[d.Actor] || n.rep.Clock.Contains(d) {
					return fmt.Errorf("%s: the removal of %s is left over", n.actor, d)
				}
			}
			for a := range ch.Below.All() {
				if both := Intersection(&ch.Below, &n.rep.Clock); !w.closed[a] || !both.Empty() {
					return fmt.Errorf("%s: the removal of dots of %s is left over", n.actor, a)
				}
			}
		}
		for _, cs := range n.mem.All() {
			for _, e := range cs.Live {
				if !n.rep.Clock.Contains(e.Dot) && (cs.ID.row().carry == nil || PresentCell(cs.ID, Cell{e})) {
					return fmt.Errorf("%s: %s lives in %v and is in nobody's clock", n.actor, e.Dot, cs.ID)
				}
			}
		}
	}
	return nil
}
