package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/godwitdb/godwit/crdt"
)

// Limits of what Load accepts.
const (
	MaxFileBytes = 4 << 20
	MaxVectors   = 10_000 // vectors of one file
	MaxSteps     = 1_000  // steps of one vector
	MaxReplicas  = 6      // "all" joins them in every order: 720 for six
)

// Vector is one scenario: one key, alone in its partition, at a few replicas.
// A Vector may be run any number of times, but not by two callers at once.
type Vector struct {
	Name     string
	TypeName string // of the kind, as the notation calls it
	Replicas []string
	Policy   string // says so where the expectation is a choice of godwit's
	Source   string // the public test or document behind it
	Line     int    // where it begins in its file, from 1

	// Trace, when not nil, is told every step and what it left behind.
	Trace io.Writer

	steps  []*step
	expect map[string]json.RawMessage
}

// Kind is the kind that the vector is about. The error names a type that the
// notation does not have, or a kind that this version does not support.
func (v *Vector) Kind() (crdt.Kind, error) {
	d, err := dialectOf(v.TypeName)
	if err != nil {
		return crdt.NoKind, fmt.Errorf("vector %q: %w", v.Name, err)
	}
	return d.kind, nil
}

// Load reads a JSON array of vectors. It checks their notation, not whether
// their kinds are supported: that is reported by Run and Kind.
func Load(r io.Reader) ([]Vector, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read vectors: %w", err)
	}
	if len(text) > MaxFileBytes {
		return nil, fmt.Errorf("read vectors: more than %d bytes", MaxFileBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	at := func() int { return lineOf(text, dec.InputOffset()) }
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return nil, fmt.Errorf("line %d: want a JSON array of vectors", at())
	}
	var out []Vector
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("line %d: vector %d: %w", at(), len(out)+1, err)
		}
		line := lineOf(text, dec.InputOffset()-int64(len(raw)))
		if len(out) == MaxVectors {
			return nil, fmt.Errorf("line %d: more than %d vectors", line, MaxVectors)
		}
		v, err := parseVector(raw)
		if err != nil {
			return nil, fmt.Errorf("line %d: vector %q: %w", line, v.Name, err)
		}
		v.Line = line
		if slices.ContainsFunc(out, func(o Vector) bool { return o.Name == v.Name }) {
			return nil, fmt.Errorf("line %d: vector %q: there is another of that name", line, v.Name)
		}
		out = append(out, v)
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("line %d: the array of vectors has no end: %w", at(), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: the array of vectors is followed by something else", at())
	}
	return out, nil
}

func lineOf(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n"))
}

// strict decodes exactly one JSON value and refuses fields it does not know.
func strict(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func parseVector(raw []byte) (Vector, error) {
	var in struct {
		Name     string                     `json:"name"`
		Type     string                     `json:"type"`
		Replicas []string                   `json:"replicas"`
		Policy   string                     `json:"policy"`
		Steps    []json.RawMessage          `json:"steps"`
		Expect   map[string]json.RawMessage `json:"expect"`
		Source   string                     `json:"source"`
	}
	err := strict(raw, &in)
	v := Vector{
		Name: in.Name, TypeName: in.Type, Replicas: in.Replicas, Policy: in.Policy,
		Source: in.Source, expect: in.Expect,
	}
	if err != nil {
		return v, err
	}
	if len(v.Replicas) == 0 {
		v.Replicas = []string{"A", "B", "C"}
	}
	for i, s := range in.Steps {
		parsed, err := parseStep(s)
		if err != nil {
			return v, fmt.Errorf("step %d: %w", i+1, err)
		}
		v.steps = append(v.steps, parsed)
	}
	return v, v.check()
}

func (v *Vector) check() error {
	switch {
	case v.Name == "":
		return errors.New("a vector needs a name")
	case len(v.Replicas) > MaxReplicas:
		return fmt.Errorf("%d replicas, and %d are allowed", len(v.Replicas), MaxReplicas)
	case !slices.IsSorted(v.Replicas) || len(slices.Compact(slices.Clone(v.Replicas))) != len(v.Replicas):
		return errors.New("replicas must be in order, each once: ties go by their names")
	case slices.Contains(v.Replicas, everyone) || slices.Contains(v.Replicas, ""):
		return fmt.Errorf("a replica cannot be called %q or nothing", everyone)
	case len(v.steps) > MaxSteps:
		return fmt.Errorf("%d steps, and %d are allowed", len(v.steps), MaxSteps)
	case len(v.expect) == 0:
		return errors.New("a vector without expect proves nothing")
	}
	for name := range v.expect {
		if name != everyone && !slices.Contains(v.Replicas, name) {
			return fmt.Errorf("expect: no replica %q", name)
		}
	}
	return nil
}

// everyone stands for the join of all replicas in an expectation.
const everyone = "all"
