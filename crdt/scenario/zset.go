package scenario

import (
	"encoding/json"
	"fmt"

	"github.com/godwitdb/godwit/crdt"
)

// zsetOps is the operations of a zset. Members and scores come in turn:
// {"op": "zadd", "args": ["a", 1, "b", 2.5]}.
func zsetOps() map[string]func(s *step) ([]crdt.Op, error) {
	simple := map[string]func(s *step) ([]crdt.Op, error){
		"zadd": scored(crdt.OpScore), "zincr": scored(crdt.OpBump), "zrem": members(crdt.OpRemove), "reset": plain(crdt.OpDelete),
	}
	return map[string]func(s *step) ([]crdt.Op, error){
		"zadd": simple["zadd"], "zincr": simple["zincr"], "zrem": simple["zrem"], "reset": simple["reset"],
		"batch": func(s *step) ([]crdt.Op, error) { return batch(s, simple) },
	}
}

func scored(code crdt.OpCode) func(s *step) ([]crdt.Op, error) {
	return func(s *step) ([]crdt.Op, error) {
		if err := s.given("args"); err != nil {
			return nil, err
		}
		if len(s.Args) == 0 || len(s.Args)%2 != 0 {
			return nil, fmt.Errorf("%s needs args: members and scores in turn", s.Op)
		}
		op := crdt.Op{Code: code}
		for i := 0; i < len(s.Args); i += 2 {
			name, err := text(s.Args[i])
			if err != nil {
				return nil, err
			}
			m := crdt.Member{Member: name}
			if err := json.Unmarshal(s.Args[i+1], &m.Score); err != nil {
				return nil, fmt.Errorf("score of %s: want a number", s.Args[i])
			}
			op.Members = append(op.Members, m)
		}
		return []crdt.Op{op}, nil
	}
}

// scores is the members with their scores, in order.
func scores(v crdt.Value) any {
	out := [][]any{}
	for _, m := range v.Members {
		out = append(out, []any{m.Member, m.Score})
	}
	return out
}
