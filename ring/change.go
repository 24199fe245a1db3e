package ring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrChange reports a change that the document at hand does not allow.
var ErrChange = errors.New("ring: change not possible")

type op uint8

const (
	opJoin op = iota + 1
	opLeave
	opDrain
	opUndrain
	opReplace
	opWeight
	opTurn
	opSettle
	opCancel
)

// Change is one step from a document to the next; see Document.Apply. The zero
// Change cannot be applied.
type Change struct {
	op      op
	entries []Entry
	ids     []string
	weight  uint32
	epoch   uint64
}

// Join makes nodes members that own partitions.
func Join(entries ...Entry) Change { return Change{op: opJoin, entries: entries} }

// Leave moves everything away from nodes and then removes them.
func Leave(ids ...string) Change { return Change{op: opLeave, ids: ids} }

// Drain moves everything away from nodes, which stay members.
func Drain(ids ...string) Change { return Change{op: opDrain, ids: ids} }

// Undrain lets drained nodes own partitions again.
func Undrain(ids ...string) Change { return Change{op: opUndrain, ids: ids} }

// Replace puts a node in the place of another, which leaves. Rack and weight
// are those of the old node where the new entry has none.
func Replace(old string, e Entry) Change {
	return Change{op: opReplace, ids: []string{old}, entries: []Entry{e}}
}

// Weight changes how much a node holds, in steps of MinWeight.
func Weight(id string, milli uint32) Change {
	return Change{op: opWeight, ids: []string{id}, weight: milli}
}

// Turn says that the owners of the Target of one epoch hold all the data: they
// are read from.
func Turn(epoch uint64) Change { return Change{op: opTurn, epoch: epoch} }

// Settle says that the owners of an epoch that has turned need those of before
// no more: its Target becomes Members.
func Settle(epoch uint64) Change { return Change{op: opSettle, epoch: epoch} }

// Cancel ends a move: the owners stay those that Members says.
func Cancel() Change { return Change{op: opCancel} }

// String returns the change as an operator reads it, in at most MaxNoteBytes.
func (c Change) String() string {
	var ids []string
	for _, e := range c.entries {
		ids = append(ids, e.ID)
	}
	var s string
	switch c.op {
	case opJoin:
		s = "join " + strings.Join(ids, " ")
	case opLeave:
		s = "leave " + strings.Join(c.ids, " ")
	case opDrain:
		s = "drain " + strings.Join(c.ids, " ")
	case opUndrain:
		s = "undrain " + strings.Join(c.ids, " ")
	case opReplace:
		s = "replace " + strings.Join(append(slices.Clone(c.ids), ids...), " by ")
	case opWeight:
		s = fmt.Sprintf("weight %s %v", strings.Join(c.ids, " "), float64(c.weight)/1000)
	case opTurn:
		s = fmt.Sprintf("turn epoch %d", c.epoch)
	case opSettle:
		s = fmt.Sprintf("settle epoch %d", c.epoch)
	case opCancel:
		s = "cancel"
	default:
		s = "no change"
	}
	return clip(s)
}

// clip shortens a note to MaxNoteBytes and whole characters.
func clip(s string) string {
	if len(s) <= MaxNoteBytes {
		return s
	}
	cut := MaxNoteBytes - len("...")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// Apply returns the document that follows d by a change, and leaves d as it is.
// A change during a move gives it another target: Members stay, and vote. Where
// a change moves nothing it takes effect at once. A move that has turned can
// only settle: who still acts under its epoch reads from its target, and writes
// that went elsewhere it would miss. Apply returns ErrChange, and says why, for a
// change that is not possible.
func (d *Document) Apply(c Change) (*Document, error) {
	if c.op >= opTurn {
		return d.progress(c)
	}
	if d.Turned {
		return nil, fmt.Errorf("%w: %s: a move is in its last step; try again in a moment", ErrChange, c)
	}
	next := &Document{Epoch: d.Epoch + 1, Note: c.String(), Members: slices.Clone(d.Members)}
	base := d.latest()
	target, err := c.entriesAfter(base, d.Members)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrChange, c, err)
	}
	target = sorted(target)
	if slices.Equal(target, base) {
		return nil, fmt.Errorf("%w: %s: it is so already", ErrChange, c)
	}
	if slices.Equal(owning(target), owning(d.Members)) {
		next.Members = target // the owners stay: nothing is to be moved
	} else {
		next.Target = target
	}
	if err := next.Check(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrChange, c, err)
	}
	return next, nil
}

// progress carries out what ends a move, or brings it nearer to its end.
func (d *Document) progress(c Change) (*Document, error) {
	next := &Document{Epoch: d.Epoch + 1, Note: c.String(), Members: slices.Clone(d.Members)}
	switch {
	case c.op == opCancel && d.Moving() && !d.Turned:
		return next, nil
	case c.op == opTurn && d.Moving() && !d.Turned && d.Epoch == c.epoch:
		next.Target, next.Turned = slices.Clone(d.Target), true
		return next, nil
	case c.op == opSettle && d.Turned && d.Epoch == c.epoch:
		next.Members = slices.Clone(d.Target)
		return next, nil
	}
	return nil, fmt.Errorf("%w: %s: this is epoch %d, moving: %t, turned: %t", ErrChange, c, d.Epoch, d.Moving(), d.Turned)
}

// entriesAfter returns the nodes that there will be, out of order. base are
// those that a move under way leads to, members those of now.
func (c Change) entriesAfter(base, members []Entry) ([]Entry, error) {
	if c.op != opJoin && len(c.ids) == 0 || c.op == opJoin && len(c.entries) == 0 {
		return nil, errors.New("no node is named")
	}
	out := slices.Clone(base)
	for _, id := range c.ids {
		i := slices.IndexFunc(out, func(e Entry) bool { return e.ID == id })
		if i < 0 {
			return nil, noMember(id, base, members)
		}
		switch c.op { //nolint:exhaustive // the other changes name no members
		case opLeave:
			out = slices.Delete(out, i, i+1)
		case opReplace:
			return c.replaced(out, i, members)
		case opDrain:
			out[i].Status = StatusDraining
		case opUndrain:
			out[i].Status = StatusActive
		case opWeight:
			out[i].WeightMilli = c.weight
		}
	}
	if c.op == opJoin {
		return c.joined(out, c.entries, members)
	}
	if len(out) == 0 {
		return nil, errors.New("it would leave no node")
	}
	return out, nil
}

func (c Change) joined(out, entries, members []Entry) ([]Entry, error) {
	for _, e := range entries {
		e.Status = StatusActive
		if e.WeightMilli == 0 {
			e.WeightMilli = 1000
		}
		if slices.ContainsFunc(out, func(o Entry) bool { return o.ID == e.ID }) {
			return nil, fmt.Errorf("node %q is a member already", e.ID)
		}
		if _, leaving := find(members, e.ID); leaving {
			return nil, fmt.Errorf("node %q is about to leave: cancel that, or wait for it and start the node on an empty directory", e.ID)
		}
		out = append(out, e)
	}
	return out, nil
}

func (c Change) replaced(out []Entry, i int, members []Entry) ([]Entry, error) {
	if len(c.entries) != 1 || c.entries[0].ID == out[i].ID {
		return nil, fmt.Errorf("node %q can be replaced by one other node only, of another name", out[i].ID)
	}
	e := c.entries[0]
	if e.Rack == "" {
		e.Rack = out[i].Rack
	}
	if e.WeightMilli == 0 {
		e.WeightMilli = out[i].WeightMilli
	}
	e.Seed = out[i].seed() // so it owns what the old node owns, and nothing else moves
	return c.joined(slices.Delete(out, i, i+1), []Entry{e}, members)
}

func noMember(id string, base, members []Entry) error {
	if _, ok := find(members, id); ok {
		return fmt.Errorf("node %q is about to leave already", id)
	}
	var names []string
	for _, e := range base {
		names = append(names, e.ID)
	}
	return fmt.Errorf("node %q is no member; members are %s", id, clip(strings.Join(names, " ")))
}
