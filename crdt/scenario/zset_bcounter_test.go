package scenario

import (
	"os"
	"strings"
	"testing"
)

func TestVectorsOfScoresAndRights(t *testing.T) {
	f, err := os.Open("../testdata/zset-bcounter-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vectors, err := Load(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 13 {
		t.Errorf("%d vectors, want 13", len(vectors))
	}
	for _, v := range vectors {
		if err := v.Run(); err != nil {
			t.Errorf("line %d: %v", v.Line, err)
		}
	}
}

func TestScoresAndRightsThatCannotBe(t *testing.T) {
	tests := []struct{ name, kind, step, want string }{
		{"a member without a score", "zset", `{"at":"A","op":"zadd","args":["x"]}`, "zadd needs args: members and scores in turn"},
		{"a score that is none", "zset", `{"at":"A","op":"zincr","args":["x","y"]}`, `score of "x": want a number`},
		{"a member that is none", "zset", `{"at":"A","op":"zadd","args":[1,2]}`, "argument 1: want a string"},
		{"a transfer to nobody", "bcounter", `{"at":"A","op":"transfer","arg":1}`, "transfer needs a number of rights as arg, and to"},
		{"a transfer to a stranger", "bcounter", `{"at":"A","op":"transfer","arg":1,"to":"Z"}`, `no replica "Z"`},
		{"a bound that is none", "bcounter", `{"at":"A","op":"inc","args":[1,{"bond":2}]}`, `inc takes an integer and {"bound": N}`},
		{"rights that are not there", "bcounter", `{"at":"A","expect_rights":{"B":1}}`, "expected 1 rights of replica 2, got none"},
		{"rights of a stranger", "bcounter", `{"at":"A","expect_rights":{"Z":1}}`, `no replica "Z"`},
		{"rights that are no number", "bcounter", `{"at":"A","expect_rights":{"A":"x"}}`, "rights of A: want an integer"},
	}
	for _, tt := range tests {
		vs, err := Load(strings.NewReader(one(`{"name":"v","type":"` + tt.kind + `","steps":[` + tt.step + `],"expect":{"A":0}}`)))
		if err != nil {
			t.Fatal(err)
		}
		if err := vs[0].Run(); err == nil || err.Error() != `vector "v": step 1 `+tt.step+`: `+tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestRightsThatDiffer(t *testing.T) {
	const vector = `{"name":"v","type":"bcounter","steps":[{"at":"A","op":"inc","arg":3},{"at":"A","expect_rights":{"A":2}}],"expect":{"A":3}}`
	vs, err := Load(strings.NewReader(one(vector)))
	if err != nil {
		t.Fatal(err)
	}
	const want = `vector "v": step 2 {"at":"A","expect_rights":{"A":2}}: expected 2 rights of replica 1, got 3`
	if err := vs[0].Run(); err == nil || err.Error() != want {
		t.Errorf("Run() = %v, want %s", err, want)
	}
}
