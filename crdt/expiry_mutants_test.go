package crdt

import (
	"testing"

	"github.com/godwitdb/godwit/internal/mutants"
)

// TestExpiryMutants plants bugs in what makes keys expire.
func TestExpiryMutants(t *testing.T) {
	plant(t, bugsOfExpiry(), 4)
}

func bugsOfExpiry() []mutants.Mutant {
	var list []mutants.Mutant
	for _, b := range []struct{ name, file, was, now, tests string }{
		{"shortest-expiry-wins", "expiry.go", "if int64(ms) >= at {", "if at == 0 || int64(ms) < at {", "TestModelOfExpiry"},
		{"never-is-no-expiry", "expiry.go", "\t\tif ms == 0 {\n\t\t\treturn 0, Dot{}, false\n\t\t}\n", "", "TestModelOfExpiry"},
		{"expired-too-soon", "expiry.go", "was.at <= op.Now {", "was.at <= op.Now+1 {", "TestWhatHasNotExpired"},
		{"plain-value-lost-to-an-expiry", "expiry.go", "if !slices.Contains(named, e.Dot) {", "if named == nil && slices.Contains(named, e.Dot) {", "TestPlainAssignment"},
		{"write-goes-on-with-what-expired", "expiry.go", "m.cells, was = remains{m.cells, gone}, ending{}", "was = ending{}", "TestModelOfExpiry"},
		{"expired-rest-left", "expiry.go", "\tm.unite(gone)\n\treturn nil\n}\n\n// ending", "\treturn nil\n}\n\n// ending", "TestModelOfExpiry"},
		{"assignment-keeps-expiry", "expiry.go", "clears := op.Code == OpAssign || ", "clears := ", "TestModelOfExpiry"},
		{"context-says-nothing-of-expiry", "expiry.go", "if c := m.op.Context; c != nil {", "if c := m.op.Context; c != nil && at == nil && len(live) > 1 {", "TestModelOfExpiry"},
		{"half-seen-expiry-in-context", "context.go", " || k == Expiry }", " }", "TestContextLeavesOut"},
	} {
		list = append(list, mutants.Mutant{
			Name: "crdt/" + b.name, File: "crdt/" + b.file, Old: b.was, New: b.now, Packages: []string{"./crdt"}, Run: "^" + b.tests,
		})
	}
	return list
}
