package crdt

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// A zset keeps one cell per member. A live dot of it is either a base, a score
// that was set, or a run: the increments by one actor since it began it, named
// by the event that did. The score of a member is that of the base which was
// set last plus what its runs count; the member is there while it has either.
// Bases follow rules 2 and 3 like the values of a register. Runs follow them
// in their presence, and their contents only grow, as those of a counter do: a
// new base takes back the increments that it saw, one that it did not see adds
// to it, and only the run's own actor drops a run that was fully taken back.
//
// Scores are binary floating point: sums are exact while they are integers
// below 2^53, else they round, and everywhere to the same number.
var zsetRow = kindRow{
	name:       "zset",
	collection: true,
	join:       joinBumps,
	carry:      carryBumps,
	spares:     func(payload []byte) bool { return len(payload) > 0 && payload[0] == bumpsTag },
	release:    releaseBumps,
	check:      checkScored,
	present: func(c Cell) bool {
		_, ok := ScoreOf(c)
		return ok
	},
	mutate: map[OpCode]func(m *mutation) error{
		OpScore:  (*mutation).setScores,
		OpBump:   (*mutation).bumpScores,
		OpRemove: (*mutation).removeMembers,
		OpDelete: (*mutation).removeAll,
	},
	read: readZSet,
}

// ErrScore reports a score that is not a finite number.
var ErrScore = errors.New("score is not a finite number")

// members returns the members of the operation once each, in order of their
// names, with what becomes of them: the last score named, or the sum.
func (m *mutation) members(add bool) ([]Member, error) {
	byName := make(map[string]float64, len(m.op.Members))
	for _, x := range m.op.Members {
		f := x.Score + 0 // the negative zero is no other score
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("%w: member %.80q", ErrScore, x.Member)
		}
		if add {
			f += byName[x.Member]
		}
		byName[x.Member] = f
	}
	out := make([]Member, 0, len(byName))
	for name, f := range byName {
		out = append(out, Member{name, f})
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Member, b.Member) })
	return out, nil
}

// supersede adds to ch the bases that are observed and takes the observed
// increments back. A context says which dots a client saw, not how far a run
// had come, so it must not name any; a run's dot that it names all the same,
// because its client saw the run elsewhere, is spared.
func (m *mutation) supersede(ch *Change, live Cell) error {
	if c := m.op.Context; c != nil {
		if slices.ContainsFunc(live, func(e Entry) bool { return mustScored(e.Payload).counts() }) {
			return ErrNoContext
		}
		ch.Below = c.Clock.Clone()
		for _, d := range c.Dots {
			ch.Below.Add(d)
		}
		return nil
	}
	ch.Removes, ch.Puts = releaseBumps(live, m.dot.Actor)
	for _, e := range live {
		if s := mustScored(e.Payload); s.tag == baseTag {
			ch.Removes = append(ch.Removes, e.Dot)
		}
	}
	slices.SortFunc(ch.Removes, Dot.Compare)
	return nil
}

// setScores gives members a score, whatever they had.
func (m *mutation) setScores() error {
	all, err := m.members(false)
	if err != nil {
		return err
	}
	for _, x := range all {
		path := PathOf(x.Member)
		live, err := m.load(path)
		if err != nil {
			return err
		}
		ch := Change{ID: m.id(path)}
		if err := m.supersede(&ch, live); err != nil {
			return fmt.Errorf("member %.80q: %w", x.Member, err)
		}
		var seen Stamp
		for _, e := range live {
			seen = max(seen, mustScored(e.Payload).stamp)
		}
		base := scored{tag: baseTag, stamp: m.stamp(seen), score: x.Score}
		ch.Puts = Cell(ch.Puts).with(Entry{m.dot, base.encode()})
		m.scored(ch, live, x.Member, x.Score)
	}
	return nil
}

// bumpScores adds to the scores of members; one that is absent begins at zero.
func (m *mutation) bumpScores() error {
	if m.op.Context != nil {
		return ErrNoContext
	}
	all, err := m.members(true)
	if err != nil {
		return err
	}
	for _, x := range all {
		path := PathOf(x.Member)
		live, err := m.load(path)
		if err != nil {
			return err
		}
		ch := Change{ID: m.id(path)}
		own, others := m.ownBumps(live, &ch)
		if own.now, err = own.now.plus(x.Score); err != nil {
			return fmt.Errorf("member %.80q: %w", x.Member, err)
		}
		ch.Puts = []Entry{{own.at, own.encode()}}
		score, _, over := scoreOf(others.with(ch.Puts[0]))
		if over {
			return fmt.Errorf("member %.80q: %w: add %v", x.Member, ErrOverflow, x.Score)
		}
		m.scored(ch, live, x.Member, score)
	}
	return nil
}

// ownBumps finds the run that this actor goes on with, or begins one, see
// ownRun, and returns a copy of what else the member has.
func (m *mutation) ownBumps(live Cell, ch *Change) (own ownScored, others Cell) {
	own = ownScored{m.dot, scored{tag: bumpsTag}}
	for _, e := range live {
		s := mustScored(e.Payload)
		switch {
		case e.Dot.Actor != m.dot.Actor || s.tag != bumpsTag:
			others = append(others, e)
		case s.counts():
			own = ownScored{e.Dot, s}
		default:
			ch.Removes = append(ch.Removes, e.Dot)
		}
	}
	return own, others
}

type ownScored struct {
	at Dot
	scored
}

// scored adds a change that leaves a member with a score.
func (m *mutation) scored(ch Change, before Cell, member string, score float64) {
	m.changes = append(m.changes, ch)
	if _, had := ScoreOf(before); !had {
		m.result.Changed++
	}
	if member == m.op.Members[len(m.op.Members)-1].Member {
		m.result.Score = score
	}
}

// removeMembers removes what is observed of the members named.
func (m *mutation) removeMembers() error {
	for _, e := range m.elements() {
		path := PathOf(e)
		live, err := m.load(path)
		if err != nil {
			return err
		}
		_, had := ScoreOf(live)
		if !had && m.op.Context == nil {
			continue
		}
		ch := Change{ID: m.id(path)}
		if err := m.supersede(&ch, live); err != nil {
			return fmt.Errorf("member %.80q: %w", e, err)
		}
		if len(ch.Removes) == 0 && len(ch.Puts) == 0 && ch.Below.Empty() {
			continue
		}
		m.changes = append(m.changes, ch)
		if had {
			m.result.Changed++
		}
	}
	return nil
}

func readZSet(v *Value, cells []CellState) {
	for _, cs := range cells {
		member, _, named := CutPath(cs.ID.Path)
		if score, ok := ScoreOf(cs.Live); ok && named {
			v.Members = append(v.Members, Member{member, score})
		}
	}
	slices.SortStableFunc(v.Members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), strings.Compare(a.Member, b.Member))
	})
}
