package ring

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// shown writes nodes as id, weight and status, as in "a*1 b*2 c*1-".
func shown(entries []Entry) string {
	var out []string
	for _, e := range entries {
		s := fmt.Sprintf("%s*%v", e.ID, e.Weight())
		if e.Status == StatusDraining {
			s += "-"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestChangesOneAfterTheOther(t *testing.T) {
	d := first(t, "a", "b", "c")
	steps := []struct {
		name    string
		change  Change
		members string
		target  string
		turned  bool
		refused string
	}{
		{name: "settle without a move", change: Settle(1), refused: "moving: false"},
		{name: "turn without a move", change: Turn(1), refused: "moving: false"},
		{name: "cancel without a move", change: Cancel(), refused: "moving: false"},
		{name: "no change", change: Change{}, refused: "no node is named"},
		{name: "join a member", change: Join(entry("b")), refused: `node "b" is a member already`},
		{name: "leave of a stranger", change: Leave("x"), refused: `node "x" is no member; members are a b c`},
		{name: "weight that cannot be", change: Weight("a", 0), refused: "weight 0"},
		{name: "weight it has", change: Weight("a", 1000), refused: "it is so already"},
		{name: "everybody leaves", change: Leave("a", "b", "c"), refused: "it would leave no node"},
		{name: "everybody drains", change: Drain("a", "b", "c"), refused: "no node is active"},
		{name: "join", change: Join(entry("d")), members: "a*1 b*1 c*1", target: "a*1 b*1 c*1 d*1"},
		{name: "join during a move", change: Join(entry("e")), members: "a*1 b*1 c*1", target: "a*1 b*1 c*1 d*1 e*1"},
		{name: "leave during a move", change: Leave("a"), members: "a*1 b*1 c*1", target: "b*1 c*1 d*1 e*1"},
		{name: "leave twice", change: Leave("a"), refused: `node "a" is about to leave already`},
		{name: "join while leaving", change: Join(entry("a")), refused: `node "a" is about to leave`},
		{name: "settle before the turn", change: Settle(4), refused: "turned: false"},
		{name: "turn of another epoch", change: Turn(3), refused: "this is epoch 4"},
		{name: "turn", change: Turn(4), members: "a*1 b*1 c*1", target: "b*1 c*1 d*1 e*1", turned: true},
		{name: "turn twice", change: Turn(5), refused: "turned: true"},
		{name: "settle of another epoch", change: Settle(4), refused: "this is epoch 5"},
		{name: "settle", change: Settle(5), members: "b*1 c*1 d*1 e*1"},
		{name: "weight", change: Weight("b", 2500), members: "b*1 c*1 d*1 e*1", target: "b*2.5 c*1 d*1 e*1"},
		{name: "cancel", change: Cancel(), members: "b*1 c*1 d*1 e*1"},
		{name: "drain", change: Drain("e"), members: "b*1 c*1 d*1 e*1", target: "b*1 c*1 d*1 e*1-"},
		{name: "a change back", change: Undrain("e"), members: "b*1 c*1 d*1 e*1"},
		{name: "drain again", change: Drain("e"), members: "b*1 c*1 d*1 e*1", target: "b*1 c*1 d*1 e*1-"},
		{name: "turn a drain", change: Turn(11), members: "b*1 c*1 d*1 e*1", target: "b*1 c*1 d*1 e*1-", turned: true},
		{name: "settle a drain", change: Settle(12), members: "b*1 c*1 d*1 e*1-"},
		{name: "a drained node leaves at once", change: Leave("e"), members: "b*1 c*1 d*1"},
		{name: "replace by a member", change: Replace("b", entry("c")), refused: "is a member already"},
		{name: "replace by itself", change: Replace("b", entry("b")), refused: "of another name"},
		{name: "replace", change: Replace("b", Entry{ID: "f", WeightMilli: 2000}), members: "b*1 c*1 d*1", target: "c*1 d*1 f*2"},
	}
	for _, s := range steps {
		next, err := d.Apply(s.change)
		if s.refused != "" {
			if !errors.Is(err, ErrChange) || !strings.Contains(err.Error(), s.refused) {
				t.Errorf("%s: %v, want ErrChange that says %q", s.name, err, s.refused)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if shown(next.Members) != s.members || shown(next.Target) != s.target || next.Turned != s.turned || next.Epoch != d.Epoch+1 {
			t.Errorf("%s: epoch %d: %s; target %s\nwant %s; target %s", s.name, next.Epoch, shown(next.Members), shown(next.Target), s.members, s.target)
		}
		d = next
	}
	if d = mustApply(t, d, Turn(d.Epoch)); !d.Turned {
		t.Error("not turned")
	}
	for _, c := range []Change{Weight("f", 3000), Cancel()} {
		if _, err := d.Apply(c); !errors.Is(err, ErrChange) {
			t.Errorf("%s after the turn: %v, want ErrChange: who reads from the target would miss what is written elsewhere", c, err)
		}
	}
	if e, _ := d.Find("f"); e.Rack != "r-b" {
		t.Errorf("the node that replaces b is on rack %q, want that of b", e.Rack)
	}
	if e, _ := d.Find("b"); e.ID != "b" || !d.Voter("b") || d.Voter("f") {
		t.Error("who leaves votes until the data has moved, who joins does not")
	}
}

func TestNotesAreShort(t *testing.T) {
	ids := make([]string, 200)
	for i := range ids {
		ids[i] = "é-node"
	}
	note := Leave(ids...).String()
	if len(note) > MaxNoteBytes || !strings.HasPrefix(note, "leave é-node é-node") || !strings.HasSuffix(note, "...") {
		t.Errorf("note of %d bytes: %s", len(note), note)
	}
}
