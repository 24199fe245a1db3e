package crdt

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestModelOfMarks plays histories of TestModel with kinds in which removing
// wins, whose marks are dropped again: replicas tell their clocks within their
// group, groups report to each other as datacenters do, and all of that comes
// late. No add that lost to a mark may show once the mark is dropped, none that
// had seen it may go with it, and in the end no mark may be left.
func TestModelOfMarks(t *testing.T) {
	n := *modelSeeds
	switch {
	case n > 0:
	case testing.Short() || os.Getenv("GODWIT_MUTANT") != "":
		n = 2_000
	default:
		n = 5_000
	}
	counted := map[string]int{}
	for seed := *modelFirst; seed < *modelFirst+n; seed++ {
		if w, err := playMarks(seed, "", counted); err != nil {
			t.Fatalf("history %d (again with -run %s -seed %d -seeds 1): %v\n%s", seed, t.Name(), seed, err, strings.Join(w.trace, "\n"))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(counted)) {
		t.Logf("%s: %d", what, counted[what])
	}
	for _, what := range []string{"marks dropped early", "adds dropped early"} {
		if n >= 1_000 && counted[what] < int(n)/100 {
			t.Errorf("%s: %d, which is too few to show anything", what, counted[what])
		}
	}
}

// TestModelOfMarksNeeds lets those who tell clocks break a rule of theirs, and
// demands that the model notices.
func TestModelOfMarksNeeds(t *testing.T) {
	if os.Getenv("GODWIT_MUTANT") != "" {
		t.Skip("for sound code only")
	}
	for _, wrong := range []string{"receipts count as clocks", "stand-ins do not count"} {
		t.Run(wrong, func(t *testing.T) {
			for seed := range uint64(10_000) {
				if _, err := playMarks(seed, wrong, map[string]int{}); err != nil {
					t.Logf("history %d: %.300v", seed, err)
					return
				}
			}
			t.Error("the model does not mind")
		})
	}
}

// playMarks plays one history, in which a rule may be broken.
func playMarks(seed uint64, wrong string, counted map[string]int) (*world, error) {
	m := &marking{
		chronicle: newChronicle(), sawOf: map[placed][]Dot{}, at: map[*modelNode]*station{}, lost: map[Actor]bool{},
		carried: map[placed]bool{}, drops: map[Dot]int{}, counted: counted, wrong: wrong,
	}
	kinds := []Kind{DWFlag}
	if seed%3 == 0 {
		kinds = []Kind{RWSet, RWSet, DWFlag, Map}
	}
	m.w = newWorldOf(seed, kinds, m)
	m.groups = 1 + m.w.r.IntN(2)
	return m.w, m.w.run(counted)
}

// marking is the chronicle with marks that are dropped.
type marking struct {
	*chronicle
	w       *world
	groups  int
	slots   int
	nodes   []*modelNode // as they were at the last look
	at      map[*modelNode]*station
	lost    map[Actor]bool // whose replicas were lost with what they alone had
	sawOf   map[placed][]Dot
	carried map[placed]bool
	drops   map[Dot]int // events that dropped marks, in order
	over    bool        // the history is over: what is left is dropped
	counted map[string]int
	wrong   string // the rule that is broken, if any
}

// station is what a replica was told by others.
type station struct {
	slot          int // its place, which a successor takes over
	heard         map[int]Told
	reports       map[int]Told // by group
	local, global Settling
	came          Clock // what all others had when it came, and what its predecessor had
	since         int   // how many drops there had been
}

// look notices who came and went in the last step.
func (m *marking) look() {
	vanished := slices.DeleteFunc(slices.Clone(m.nodes), func(n *modelNode) bool { return slices.Contains(m.w.nodes, n) })
	for _, n := range m.w.nodes {
		if m.at[n] != nil {
			continue
		}
		s := &station{slot: m.slots, since: len(m.drops), heard: map[int]Told{}, reports: map[int]Told{}}
		common, first := Clock{}, true
		for _, o := range m.w.nodes {
			if o == n {
				continue
			}
			if common = Intersection(&common, &o.rep.Clock); first {
				common, first = o.rep.Clock.Clone(), false
			}
		}
		if len(vanished) > 0 {
			s.slot = m.at[vanished[0]].slot
			common.Union(&vanished[0].rep.Clock)
			if !n.rep.Clock.Covers(&vanished[0].rep.Clock) {
				m.lost[vanished[0].actor] = true
			}
		} else {
			m.slots++
		}
		s.came = common
		m.at[n] = s
	}
	if len(vanished) > 0 && len(m.w.nodes) < len(m.nodes) {
		m.ask(m.group(m.at[vanished[0]].slot))
	}
	m.nodes = slices.Clone(m.w.nodes)
}

// act is a step of the histories of marks.
func (m *marking) act(w *world) (bool, error) {
	m.look()
	if w.r.IntN(2) > 0 {
		return false, nil
	}
	_, n := w.node()
	switch p := w.r.IntN(20); {
	case p < 9:
		for _, o := range w.nodes {
			if w.r.IntN(4) > 0 {
				m.tell(n, o)
			}
		}
	case p == 9:
		m.at[n].global.Forget()
		m.at[n].local.Forget()
	case p == 10:
		if i := slices.IndexFunc(w.nodes, func(n *modelNode) bool { return n.standIn }); i >= 0 && w.r.IntN(2) == 0 {
			return true, w.handOver(i)
		} else if len(w.nodes) < 6 {
			s := w.newNode()
			s.standIn = true
			w.nodes = append(w.nodes, s)
		}
	case p < 14:
		for range 4 {
			if err := w.exchange(); err != nil {
				return true, err
			}
		}
	default:
		for _, key := range modelKeys() {
			if err := m.collect(n, key); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

func (m *marking) group(slot int) int { return slot % m.groups }

// tell tells one replica where another stands: its clock, or to another group
// what is settled in its own.
func (m *marking) tell(to, from *modelNode) {
	if to == from {
		return
	}
	a, b := m.at[to], m.at[from]
	if m.group(a.slot) == m.group(b.slot) {
		a.heard[b.slot] = toldBy(from)
		if m.wrong == "receipts count as clocks" {
			both := Intersection(&from.rep.Clock, &to.rep.Clock)
			a.heard[b.slot] = Told{both, both}
		}
		m.w.say("%s tells %s its clock", from.actor, to.actor)
		return
	}
	settled := b.local.Advance(&from.rep.Clock, func() (Told, bool) { return m.ofGroup(from) })
	a.reports[m.group(b.slot)] = Told{Common: settled.Clone(), Any: from.rep.Clock.Clone()}
	m.w.say("%s reports to %s", from.actor, to.actor)
}

func toldBy(n *modelNode) Told { return Told{n.rep.Clock.Clone(), n.rep.Clock.Clone()} }

// ofGroup is what a replica knows of its own group.
func (m *marking) ofGroup(n *modelNode) (Told, bool) {
	own := m.at[n]
	all := toldBy(n)
	for _, o := range m.w.nodes {
		s := m.at[o]
		if o == n || m.group(s.slot) != m.group(own.slot) {
			continue
		}
		heard, ok := own.heard[s.slot]
		if o.standIn && m.wrong == "stand-ins do not count" {
			continue
		}
		if !ok {
			return Told{}, false
		}
		all.Add(&heard)
	}
	return all, true
}

// ask is what follows when a stand-in was dropped: whoever took what it had must
// tell its clock anew, for what it told before lacks that.
func (m *marking) ask(group int) {
	for _, n := range m.w.nodes {
		if s := m.at[n]; m.group(s.slot) == group {
			s.heard = map[int]Told{}
			s.local.Forget()
			s.global.Forget()
		}
	}
}

func (m *marking) ofAll(n *modelNode) (Told, bool) {
	all, ok := m.ofGroup(n)
	for g := range m.groups {
		if g == m.group(m.at[n].slot) || !slices.ContainsFunc(m.w.nodes, func(o *modelNode) bool { return m.group(m.at[o].slot) == g }) {
			continue
		}
		report, heard := m.at[n].reports[g]
		if !heard {
			return Told{}, false
		}
		all.Add(&report)
	}
	return all, ok
}

// collect drops the marks of one key that are settled for a replica.
func (m *marking) collect(n *modelNode, key KeyID) error {
	settled := m.at[n].global.Advance(&n.rep.Clock, func() (Told, bool) { return m.ofAll(n) })
	cells := cellsOf(&n.mem, key)
	d := DropMarks(cells, settled, Dot{n.actor, n.minted + 1})
	if d == nil {
		return nil
	}
	m.w.say("%s:%d drops marks of %s: %v", n.actor, d.Lo, key.Key, d.Changes)
	here, dot := observe(cells), Dot{n.actor, d.Lo}
	m.drops[dot] = len(m.drops)
	for _, ch := range d.Changes {
		var dropped Cell
		for _, e := range here[ch.ID] {
			if slices.Contains(ch.Removes, e.Dot) {
				dropped = append(dropped, e)
			}
		}
		marks := Marks(ch.ID, dropped)
		lost := slices.ContainsFunc(marks, func(d Dot) bool {
			return slices.ContainsFunc(m.kills[placed{ch.ID, d}], func(k Dot) bool { return m.lost[k.Actor] })
		})
		for _, e := range dropped {
			saw := m.sawOf[placed{ch.ID, e.Dot}]
			// The event that took the mark away may be lost with its replica: then the add is hidden for good.
			if !e.marks() && !lost && !m.orphaned(placed{ch.ID, e.Dot}) && !slices.ContainsFunc(marks, func(d Dot) bool { return !slices.Contains(saw, d) }) {
				return fmt.Errorf("%s drops the add %s with marks %v, all of which it had seen", dot, e.Dot, marks)
			}
		}
		m.kill(dot, ch.ID, dropped)
		when := " early"
		if m.over {
			when = " at the end"
		}
		m.counted["marks dropped"+when] += len(marks)
		m.counted["adds dropped"+when] += len(dropped) - len(marks)
	}
	return m.w.commit(n, d)
}

func (m *marking) minted(op *Op, d *Delta, have []Kind, here, seen observed, key KeyID) error {
	i := slices.IndexFunc(m.w.nodes, func(n *modelNode) bool { return n.actor == d.Actor })
	n := m.w.nodes[i]
	for _, ch := range d.Changes {
		if !ch.ID.ofMarks() || len(ch.Puts) == 0 {
			continue
		}
		var saw []Dot
		for p, payload := range m.puts {
			e := Entry{p.dot, payload}
			if p.cell == ch.ID && e.marks() && (n.rep.Clock.Contains(p.dot) || here[ch.ID].Has(p.dot) || n.rep.Residue.Contains(p.cell, e)) {
				saw = append(saw, p.dot)
			}
		}
		m.sawOf[placed{ch.ID, Dot{d.Actor, d.Lo}}] = saw
	}
	return m.chronicle.minted(op, d, have, here, seen, key)
}

func (m *marking) reminted(d *Delta, here observed) {
	m.chronicle.reminted(d, here)
	for _, ch := range d.Changes {
		if ch.ID.ofMarks() {
			at := placed{ch.ID, Dot{d.Actor, d.Lo}}
			m.sawOf[at], m.carried[at] = m.sawOf[placed{ch.ID, ch.Removes[0]}], true
		}
	}
}

// orphaned reports whether the replica was lost that had put something: what
// else it had done before may be unknown to all others.
func (m *marking) orphaned(p placed) bool { return m.lost[p.dot.Actor] || m.carried[p] }

// finish lets everybody tell and drop all there is.
func (m *marking) finish(w *world) error {
	m.look()
	m.over = true
	for range 3 {
		for _, to := range w.nodes {
			m.at[to].local.Forget()
			m.at[to].global.Forget()
			for _, from := range w.nodes {
				if m.group(m.at[to].slot) == m.group(m.at[from].slot) {
					m.tell(to, from)
				}
			}
		}
		for _, to := range w.nodes {
			for _, from := range w.nodes {
				m.tell(to, from)
			}
		}
		for _, key := range modelKeys() {
			if err := m.collect(w.nodes[0], key); err != nil {
				return err
			}
		}
		if err := w.heal(); err != nil {
			return err
		}
	}
	for _, cs := range w.nodes[0].mem.All() {
		if left := Marks(cs.ID, cs.Live); len(left) > 0 {
			return fmt.Errorf("%v: the marks %v are left", cs.ID, left)
		}
	}
	return nil
}

// judge looks for adds that show although a mark which they had not seen was
// never taken away by a client that saw it.
func (m *marking) judge(mem *Memory, clock *Clock, counted map[string]int) error {
	if err := m.chronicle.judge(mem, clock, counted); err != nil {
		return err
	}
	var wrong error
	for p, payload := range m.puts {
		cell, _ := mem.Load(p.cell)
		e := Entry{p.dot, payload}
		if !p.cell.ofMarks() || e.marks() || !cell.Has(p.dot) || !unmarked(cell) {
			continue
		}
		if m.orphaned(p) || fateOf(clock, p.dot, m.kills[p]) != alive {
			continue
		}
		for q, tag := range m.puts {
			mark := Entry{q.dot, tag}
			if q.cell != p.cell || !mark.marks() || !clock.Contains(q.dot) || slices.Contains(m.sawOf[p], q.dot) {
				continue
			}
			if m.tookAway(q) {
				continue
			}
			if m.cameAfter(p.dot.Actor, q) {
				counted["adds that win though concurrent"]++
				continue
			}
			wrong = errors.Join(wrong, fmt.Errorf("%v: %s had not seen the mark %s, and shows: the mark was dropped by %v", p.cell, p.dot, q.dot, m.kills[q]))
		}
	}
	return wrong
}

// tookAway reports whether a mark was taken away by anything else than drops.
func (m *marking) tookAway(mark placed) bool {
	return slices.ContainsFunc(m.kills[mark], func(d Dot) bool {
		_, drop := m.drops[d]
		return !drop
	})
}

// cameAfter reports whether an actor's replica came when everyone had seen the
// mark, or when it was dropped.
func (m *marking) cameAfter(a Actor, mark placed) bool {
	for n, s := range m.at {
		if n.actor == a {
			return s.came.Contains(mark.dot) || slices.ContainsFunc(m.kills[mark], func(d Dot) bool { return m.drops[d] < s.since })
		}
	}
	return false
}
