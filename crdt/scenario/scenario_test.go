package scenario

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T) []Vector {
	t.Helper()
	f, err := os.Open("../testdata/crdt-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vectors, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

// TestVectors runs every vector.
func TestVectors(t *testing.T) {
	want := map[string]int{
		"lww": 3, "mvreg": 6, "counter": 6, "gcounter": 1, "set_aw": 13, "set_rw": 5, "gset": 1,
		"flag_ew": 4, "flag_dw": 1, "hll": 1, "map": 11, "bcounter": 4,
	}
	ran := map[string]int{}
	for _, v := range load(t) {
		if err := v.Run(); err != nil {
			t.Errorf("line %d: %v", v.Line, err)
			continue
		}
		ran[v.TypeName]++
	}
	if !maps.Equal(ran, want) {
		t.Errorf("passed %v, want %v", ran, want)
	}
}

func one(vector string) string { return "[\n" + vector + "]" }

func TestRunSaysWhatFailed(t *testing.T) {
	tests := []struct{ name, vector, want string }{
		{
			name:   "an expectation in the middle",
			vector: `{"name":"v","type":"counter","steps":[{"at":"A","op":"inc"},{"at":"A","expect":2}],"expect":{"A":1}}`,
			want:   `vector "v": step 2 {"at":"A","expect":2}: expected 2, got 1`,
		},
		{
			name:   "an expectation at the end",
			vector: `{"name":"v","type":"set_aw","steps":[{"at":"A","op":"add","arg":"x"}],"expect":{"B":["x"]}}`,
			want:   `vector "v": at the end, at B: expected ["x"], got []`,
		},
		{
			name:   "an expectation of the join",
			vector: `{"name":"v","type":"lww","steps":[{"at":"A","op":"assign","arg":"x"}],"expect":{"all":null}}`,
			want:   `vector "v": at the end, joining A B C: expected null, got "x"`,
		},
		{
			name:   "an unknown type",
			vector: `{"name":"v","type":"rope","steps":[],"expect":{"A":[]}}`,
			want:   `vector "v": unknown type "rope"`,
		},
		{
			name:   "an unknown operation",
			vector: `{"name":"v","type":"counter","steps":[{"at":"A","op":"enable"}],"expect":{"A":0}}`,
			want:   `vector "v": step 1 {"at":"A","op":"enable"}: a counter has no operation "enable"`,
		},
		{
			name:   "an argument the operation does not take",
			vector: `{"name":"v","type":"counter","steps":[{"at":"A","op":"inc","field":"f"}],"expect":{"A":0}}`,
			want:   `vector "v": step 1 {"at":"A","op":"inc","field":"f"}: inc does not take "field"`,
		},
		{
			name:   "a refusal that did not come",
			vector: `{"name":"v","type":"counter","steps":[{"at":"A","op":"inc","error":"overflow"}],"expect":{"A":0}}`,
			want:   `vector "v": step 1 {"at":"A","op":"inc","error":"overflow"}: expected error overflow, got none`,
		},
		{
			name:   "a refusal for another reason",
			vector: `{"name":"v","type":"counter","steps":[{"at":"A","op":"inc","context":"empty","error":"overflow"}],"expect":{"A":0}}`,
			want:   `vector "v": step 1 {"at":"A","op":"inc","context":"empty","error":"overflow"}: expected error overflow, got: operation takes no context`,
		},
		{
			name:   "a field without its type",
			vector: `{"name":"v","type":"map","steps":[{"at":"A","op":"remove","field":"f"}],"expect":{"A":{}}}`,
			want:   `vector "v": step 1 {"at":"A","op":"remove","field":"f"}: a field is called type:name, not "f"`,
		},
		{
			name:   "an operation that the field's kind does not have",
			vector: `{"name":"v","type":"map","steps":[{"at":"A","op":"update","ops":{"gset:f":{"op":"remove","arg":"x"}}}],"expect":{"A":{}}}`,
			want:   `vector "v": step 1 {"at":"A","op":"update","ops":{"gset:f":{"op":"remove","arg":"x"}}}: field "gset:f": a gset has no operation "remove"`,
		},
		{
			name:   "an operation that a map does not have",
			vector: `{"name":"v","type":"map","steps":[{"at":"A","op":"inc"}],"expect":{"A":{}}}`,
			want:   `vector "v": step 1 {"at":"A","op":"inc"}: a map has no operation "inc"`,
		},
		{
			name:   "rights of a kind without rights",
			vector: `{"name":"v","type":"counter","steps":[{"at":"A","expect_rights":{"A":1}}],"expect":{"A":0}}`,
			want:   `vector "v": step 1 {"at":"A","expect_rights":{"A":1}}: a counter has no rights`,
		},
		{
			name:   "an unknown replica",
			vector: `{"name":"v","type":"counter","steps":[{"deliver":"A->Z"}],"expect":{"A":0}}`,
			want:   `vector "v": step 1 {"deliver":"A->Z"}: no replica "Z"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vs, err := Load(strings.NewReader(one(tt.vector)))
			if err != nil {
				t.Fatal(err)
			}
			if err := vs[0].Run(); err == nil || err.Error() != tt.want {
				t.Errorf("Run() = %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestRunRefusalsThatAreExpected(t *testing.T) {
	const vector = `{"name":"v","type":"counter","steps":[
		{"at":"A","op":"inc","arg":9223372036854775807},
		{"at":"A","op":"inc","error":"overflow"},
		{"at":"A","op":"reset","context":"empty","error":"no_context"}],"expect":{"all":9223372036854775807}}`
	vs, err := Load(strings.NewReader(one(vector)))
	if err != nil {
		t.Fatal(err)
	}
	if err := vs[0].Run(); err != nil {
		t.Error(err)
	}
}

// TestNotation runs what the file of vectors has no example of.
func TestNotation(t *testing.T) {
	deep := `{"op":"add","arg":"x"}`
	for range 8 {
		deep = `{"op":"update","ops":{"map:m":` + deep + `}}`
	}
	tests := []struct{ name, vector, err string }{
		{name: "an increment that is refused", vector: `{"name":"v","type":"gcounter","steps":[{"at":"A","op":"inc","arg":-1,"error":"negative"}],"expect":{"A":0}}`},
		{name: "a batch of a set where removing wins", vector: `{"name":"v","type":"set_rw","steps":[
			{"at":"A","op":"batch","ops":[{"op":"add","args":["x","y"]},{"op":"remove","arg":"x"}],"save_delta":"d"},
			{"deliver_delta":"d","to":"B"},{"at":"B","expect":["y"]}],"expect":{"all":["y"]}}`},
		{name: "a delta of nothing", vector: `{"name":"v","type":"flag_dw","steps":[
			{"at":"A","op":"reset","save_delta":"d"},{"deliver_delta":"d","to":"B"}],"expect":{"all":false}}`},
		{name: "siblings in a field, and a write that saw them", vector: `{"name":"v","type":"map","replicas":["A","B"],"steps":[
			{"at":"A","op":"update","ops":{"mvreg:r":{"op":"assign","arg":"a"},"set_aw:s":{"op":"add","arg":"x"}}},
			{"at":"B","op":"update","ops":{"mvreg:r":{"op":"assign","arg":"b"}}},
			{"deliver":"A->B"},{"at":"B","expect":{"mvreg:r":["a","b"],"set_aw:s":["x"]}},
			{"at":"B","op":"update","ops":{"mvreg:r":{"op":"assign","arg":"c"},"counter:c":{"op":"inc","arg":2}}}],
			"expect":{"all":{"counter:c":2,"mvreg:r":["c"],"set_aw:s":["x"]}}}`},
		{name: "times of their own", vector: `{"name":"v","type":"map","replicas":["A","B"],"steps":[
			{"at":"A","op":"update","ops":{"lww:r":{"op":"assign","arg":"late","ts":9000},"lww:s":{"op":"assign","arg":"early","ts":1}}},
			{"at":"B","op":"update","ops":{"lww:r":{"op":"assign","arg":"r"},"lww:s":{"op":"assign","arg":"s"}}}],
			"expect":{"all":{"lww:r":"late","lww:s":"s"}}}`},
		{name: "batches inside and outside", vector: `{"name":"v","type":"map","steps":[
			{"at":"A","op":"batch","ops":[
				{"op":"update","ops":{"map:m":{"op":"update","ops":{"set_aw:s":{"op":"batch","ops":[{"op":"add","args":["x","y"]},{"op":"remove","arg":"x"}]}}},"hll:h":{"op":"add","args":["a","b"]}}},
				{"op":"remove","field":"hll:h"}]}],
			"expect":{"all":{"map:m":{"set_aw:s":["y"]}}}}`},
		{name: "a map that is emptied from within", vector: `{"name":"v","type":"map","steps":[
			{"at":"A","op":"update","ops":{"map:m":{"op":"update","ops":{"flag_ew:f":{"op":"enable"},"gcounter:g":{"op":"inc"}}}}},
			{"deliver":"A->B"},
			{"at":"B","op":"update","ops":{"map:m":{"op":"update","ops":{"flag_ew:f":{"op":"disable"}}}}},
			{"at":"B","expect":{"map:m":{"gcounter:g":1}}},
			{"at":"B","op":"update","ops":{"map:m":{"op":"remove","field":"gcounter:g"}}}],
			"expect":{"all":{}}}`},
		{
			name: "nested too deep", vector: `{"name":"v","type":"map","steps":[{"at":"A","op":"update","ops":{"map:m":` + deep + `}}],"expect":{"all":{}}}`,
			err: "operations inside operations, more than 8 deep",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vs, err := Load(strings.NewReader(one(tt.vector)))
			if err != nil {
				t.Fatal(err)
			}
			err = vs[0].Run()
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.err)) {
				t.Errorf("Run() = %v, want %q", err, tt.err)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"nothing", ``, `line 1: want a JSON array of vectors`},
		{"an unknown field", one(`{"name":"v","kind":"set"}`), `line 2: vector "v": json: unknown field "kind"`},
		{"an unknown field of a step", one(`{"name":"v","steps":[{"at":"A","oops":1}]}`), `line 2: vector "v": step 1: json: unknown field "oops"`},
		{"a step without a verb", one(`{"name":"v","steps":[{"at":"A"}]}`), `line 2: vector "v": step 1: a step that does nothing: {"at":"A"}`},
		{"a step with two verbs", one(`{"name":"v","steps":[{"at":"A","op":"add","wipe":true}]}`), `line 2: vector "v": step 1: op does not take the field "wipe"`},
		{"a step without its place", one(`{"name":"v","steps":[{"op":"add"}]}`), `line 2: vector "v": step 1: op needs the field "at"`},
		{"no expectation", one(`{"name":"v"}`), `line 2: vector "v": a vector without expect proves nothing`},
		{"an expectation of nobody", one(`{"name":"v","expect":{"Z":1}}`), `line 2: vector "v": expect: no replica "Z"`},
		{"two of one name", "[{\"name\":\"v\",\"expect\":{\"A\":1}},\n{\"name\":\"v\",\"expect\":{\"A\":1}}]", `line 2: vector "v": there is another of that name`},
		{"too many replicas", one(`{"name":"v","replicas":["A","B","C","D","E","F","G"],"expect":{"A":1}}`), `line 2: vector "v": 7 replicas, and 6 are allowed`},
		{"replicas out of order", one(`{"name":"v","replicas":["B","A"],"expect":{"A":1}}`), `line 2: vector "v": replicas must be in order, each once: ties go by their names`},
		{"more after the end", `[] []`, `line 1: the array of vectors is followed by something else`},
		{"no end", `[`, `line 1: the array of vectors has no end: EOF`},
		{"too much", "[" + strings.Repeat(" ", MaxFileBytes), `read vectors: more than 4194304 bytes`},
		{"a delivery to nowhere", one(`{"name":"v","steps":[{"deliver":"A"}]}`), `line 2: vector "v": step 1: deliver is FROM->TO, not "A"`},
		{"a time beyond time", one(`{"name":"v","steps":[{"at":"A","clock":18446744073709551615}]}`), `line 2: vector "v": step 1: times are milliseconds below 1125899906842624`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Load(strings.NewReader(tt.file)); err == nil || err.Error() != tt.want {
				t.Errorf("Load() = %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestTrace(t *testing.T) {
	vs, err := Load(strings.NewReader(one(`{"name":"v","type":"counter","replicas":["A"],"steps":[{"at":"A","op":"inc"}],"expect":{"A":1}}`)))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	vs[0].Trace = &b
	if err := vs[0].Run(); err != nil {
		t.Fatal(err)
	}
	want := "v: step 1 {\"at\":\"A\",\"op\":\"inc\"}\n  A = 1, 1 of 1 events, 0 removals wait\n"
	if b.String() != want {
		t.Errorf("trace %q, want %q", b.String(), want)
	}
}

func TestPermuteVisitsEveryOrder(t *testing.T) {
	seen := map[string]bool{}
	_ = permute(4, func(order []int) error {
		seen[fmt.Sprint(order)] = true
		return nil
	})
	if len(seen) != 24 || !slices.Contains(slices.Collect(maps.Keys(seen)), "[3 2 1 0]") {
		t.Errorf("%d orders, want 24", len(seen))
	}
}

// FuzzLoad runs whatever loads: neither may panic.
func FuzzLoad(f *testing.F) {
	text, err := os.ReadFile("../testdata/crdt-vectors.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(one(`{"name":"v","type":"set_aw","steps":[{"at":"A","op":"batch","ops":[{"op":"add","arg":"x"}]}],"expect":{"all":["x"]}}`)))
	f.Fuzz(func(_ *testing.T, b []byte) {
		vs, err := Load(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		for i := range vs {
			_ = vs[i].Run()
		}
	})
}
