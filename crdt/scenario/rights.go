package scenario

import (
	"encoding/json"
	"fmt"

	"github.com/godwitdb/godwit/crdt"
)

// boundedOps is the operations of a bcounter. The first increment may name its
// bound: {"op": "inc", "args": [10, {"bound": 5}]}.
func boundedOps() map[string]func(s *step) ([]crdt.Op, error) {
	return map[string]func(s *step) ([]crdt.Op, error){
		"inc": addBounded, "dec": add(-1), "transfer": transfer, "reset": plain(crdt.OpDelete),
	}
}

func addBounded(s *step) ([]crdt.Op, error) {
	if s.Args == nil {
		return add(1)(s)
	}
	if err := s.given("args"); err != nil {
		return nil, err
	}
	var named struct {
		Bound int64 `json:"bound"`
	}
	if len(s.Args) != 2 || strict(s.Args[1], &named) != nil {
		return nil, fmt.Errorf(`%s takes an integer and {"bound": N}`, s.Op)
	}
	op := crdt.Op{Code: crdt.OpAdd, Bound: named.Bound}
	err := json.Unmarshal(s.Args[0], &op.N)
	return []crdt.Op{op}, err
}

// transfer gives rights to a replica, which is found when the step is done.
func transfer(s *step) ([]crdt.Op, error) {
	if err := s.given("arg", "to"); err != nil {
		return nil, err
	}
	op := crdt.Op{Code: crdt.OpTransfer}
	if s.Arg == nil || s.To == "" || json.Unmarshal(s.Arg, &op.N) != nil {
		return nil, fmt.Errorf("%s needs a number of rights as arg, and to", s.Op)
	}
	return []crdt.Op{op}, nil
}

// expectRights compares the rights of every replica, as one of them sees them.
// Who is not named has none.
func (m *machine) expectRights(s *step) error {
	if m.dialect.kind != crdt.BCounter {
		return fmt.Errorf("a %s has no rights", m.dialect.kind)
	}
	r, err := m.at(s.At)
	if err != nil {
		return err
	}
	want := map[crdt.Actor]int64{}
	for name, raw := range s.Rights {
		of, err := m.at(name)
		if err != nil {
			return err
		}
		var n int64
		if err := json.Unmarshal(raw, &n); err != nil {
			return fmt.Errorf("rights of %s: want an integer", name)
		}
		want[of.actor()] = n
	}
	for _, have := range m.read(r).Rights {
		if have.Amount != want[have.Actor] {
			return fmt.Errorf("expected %d rights of replica %d, got %d", want[have.Actor], have.Actor>>32, have.Amount)
		}
		delete(want, have.Actor)
	}
	for a, n := range want {
		if n != 0 {
			return fmt.Errorf("expected %d rights of replica %d, got none", n, a>>32)
		}
	}
	return nil
}
