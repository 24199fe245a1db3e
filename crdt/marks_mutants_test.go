package crdt

import (
	"testing"

	"github.com/godwitdb/godwit/internal/mutants"
)

// TestMutantsOfMarks is TestMutants for the collection of marks.
func TestMutantsOfMarks(t *testing.T) {
	plant(t, bugsOfMarks(), 2)
}

func bugsOfMarks() []mutants.Mutant {
	var out []mutants.Mutant
	for _, b := range []struct{ name, file, was, now string }{
		{"own-clock-need-not-cover", "settling.go", "if !own.Covers(&s.now.Any) {", "if own.Empty() {"},
		{"adds-stay", "mark.go", "return e.marks() && !slices.Contains(marks, e.Dot)", "return !slices.Contains(marks, e.Dot)"},
		{"one-has-it", "settling.go", "t.Common = Intersection(&t.Common, &o.Common)", "t.Common.Union(&o.Common)"},
		{"own-has-it", "settling.go", "s.done.Union(&s.now.Common)", "s.done.Union(own)"},
		{"others-may-have-more", "settling.go", "\tt.Any.Union(&o.Any)\n", ""},
		{"unsettled-adds-go", "mark.go", "return !e.marks() && !settled.Contains(e.Dot)", "return len(e.Payload) > 1"},
		{"unsettled-marks-go", "mark.go", "return !settled.Contains(d)", "return settled.Empty()"},
		{"marks-beside-go", "mark.go", "return e.marks() && !slices.Contains(marks, e.Dot)", "return false"},
		{"never-settles", "settling.go", "s.now, s.waits = Told{}, false", "break"},
	} {
		out = append(out, mutants.Mutant{
			Name: "crdt/marks/" + b.name, File: "crdt/" + b.file, Old: b.was, New: b.now,
			Packages: []string{"./crdt"}, Run: "^(TestDropMarks|TestSettling|TestModelOfMarks)$",
		})
	}
	return out
}
