package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// step is one line of a scenario. Its verb is the one field that says what
// kind of step it is; the other fields are the verb's arguments.
type step struct {
	At string `json:"at"`
	To string `json:"to"`

	Op        string                     `json:"op"`
	Arg       json.RawMessage            `json:"arg"`
	Args      []json.RawMessage          `json:"args"`
	Ops       json.RawMessage            `json:"ops"`
	Field     string                     `json:"field"`
	TS        *uint64                    `json:"ts"`
	Context   string                     `json:"context"`
	SaveDelta string                     `json:"save_delta"`
	Error     string                     `json:"error"`
	Deliver   string                     `json:"deliver"`
	Snapshot  string                     `json:"snapshot"`
	FromSnap  string                     `json:"deliver_snapshot"`
	FromDelta string                     `json:"deliver_delta"`
	SaveCtx   string                     `json:"save_context"`
	Clock     *uint64                    `json:"clock"`
	Wipe      bool                       `json:"wipe"`
	Converge  bool                       `json:"converge"`
	Expect    json.RawMessage            `json:"expect"`
	Rights    map[string]json.RawMessage `json:"expect_rights"`

	verb  string
	raw   string
	depth int // in how many operations this one is
}

// verb is a kind of step: which fields it needs and may have, and what it does.
type verb struct {
	name  string
	needs []string
	takes []string
	do    func(m *machine, s *step) error
}

func verbs() []verb {
	return []verb{
		{
			name: "op", needs: []string{"at"},
			takes: []string{"arg", "args", "ops", "field", "ts", "context", "save_delta", "error", "to"},
			do:    (*machine).operate,
		},
		{name: "deliver", do: (*machine).deliver},
		{name: "snapshot", needs: []string{"at"}, do: (*machine).saveSnapshot},
		{name: "deliver_snapshot", needs: []string{"to"}, do: (*machine).deliverSnapshot},
		{name: "deliver_delta", needs: []string{"to"}, do: (*machine).deliverDelta},
		{name: "save_context", needs: []string{"at"}, do: (*machine).saveContext},
		{name: "clock", needs: []string{"at"}, do: (*machine).setClock},
		{name: "wipe", needs: []string{"at"}, do: (*machine).wipe},
		{name: "converge", do: (*machine).converge},
		{name: "expect", needs: []string{"at"}, do: (*machine).expectAt},
		{name: "expect_rights", needs: []string{"at"}, do: (*machine).expectRights},
	}
}

func parseStep(raw []byte) (*step, error) {
	s := &step{raw: string(raw)}
	if err := strict(raw, s); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	for _, v := range verbs() {
		if _, is := fields[v.name]; !is {
			continue
		}
		delete(fields, v.name)
		for _, need := range v.needs {
			if _, ok := fields[need]; !ok {
				return nil, fmt.Errorf("%s needs the field %q", v.name, need)
			}
			delete(fields, need)
		}
		for f := range fields {
			if !slices.Contains(v.takes, f) {
				return nil, fmt.Errorf("%s does not take the field %q", v.name, f)
			}
		}
		s.verb = v.name
		return s, s.checkValues()
	}
	return nil, errors.New("a step that does nothing: " + s.raw)
}

func (s *step) checkValues() error {
	if (s.verb == "wipe" && !s.Wipe) || (s.verb == "converge" && !s.Converge) {
		return fmt.Errorf("%s can only be true", s.verb)
	}
	const maxMillis = 1 << 50 // far from where stamps end
	if s.Clock != nil && *s.Clock > maxMillis || s.TS != nil && *s.TS > maxMillis {
		return fmt.Errorf("times are milliseconds below %d", uint64(maxMillis))
	}
	if s.verb == "deliver" && strings.Count(s.Deliver, "->") != 1 {
		return fmt.Errorf("deliver is FROM->TO, not %q", s.Deliver)
	}
	return nil
}

func (s *step) do(m *machine) error {
	for _, v := range verbs() {
		if v.name == s.verb {
			return v.do(m, s)
		}
	}
	return fmt.Errorf("unknown step %s", s.raw)
}
