package crdt

import (
	"cmp"
	"testing"

	"github.com/godwitdb/godwit/internal/mutants"
)

// TestMutantsOfKinds is TestMutants for kinds that TestOracle plays.
func TestMutantsOfKinds(t *testing.T) {
	plant(t, plantedKindBugs(), 4)
}

func plantedKindBugs() []mutants.Mutant {
	var out []mutants.Mutant
	for _, b := range []struct{ name, file, was, now, tests string }{
		{"on-leaves-old-dots", "flag.go", "Removes: live.Dots(), Puts", "Puts", ""},
		{"off-ignores-context", "flag.go", "\t\treturn m.unassign()\n", "\t\tm.op.Context = nil\n\t\treturn m.unassign()\n", ""},
		{"off-leaves-no-mark", "flag.go", "ch.Puts = []Entry{markEntry(m.dot)}", "_ = markEntry", ""},
		{"mark-ignores-context", "flag.go", "m.observed(&ch, live)", "ch.Removes = live.Dots()", ""},
		{"mark-removes-nothing", "flag.go", "\t\tm.observed(&ch, live)\n", "", ""},
		{"add-spares-marks", "flag.go", "ch.Removes, ch.Puts = live.Dots(), ", "ch.Puts = ", ""},
		{"add-follows-context", "flag.go", "\t\tch.Removes, ch.Puts = live.Dots(), ", "\t\tm.observed(&ch, live)\n\t\tch.Puts = ", ""},
		{"off-is-present", "flag.go", "\tpresent: unmarked,\n", "", ""},
		{"add-beside-mark-shows", "mark.go", "\t\tif e.marks() {\n\t\t\treturn false", "\t\tif e.marks() && len(c) == 1 {\n\t\t\treturn false", ""},
		{"mark-payload-unchecked", "mark.go", "r.byte(\"mark\") > markTag", "r.byte(\"mark\") > markTag+1", "TestPayloads"},
		{"gset-takes-removes", "gset.go", "\t\tOpDelete: ", "\t\tOpRemove: (*mutation).remove,\n\t\tOpDelete: ", "TestKindErrors"},
		{"gset-survives-delete", "gset.go", "(*mutation).removeAll", "(*mutation).unassign", ""},
		{"remove-of-absent-leaves-no-mark", "rwset.go", "\t\tm.putMarked(", "\t\tif !add && len(live) == 0 {\n\t\t\tcontinue\n\t\t}\n\t\tm.putMarked(", ""},
		{"marked-element-shown", "rwset.go", "ok && unmarked(cs.Live)", "ok", ""},
		{"marks-make-present", "rwset.go", "\tpresent:    unmarked,\n", "", ""},
		{"rwset-reset-removes-one", "rwset.go", "OpReset:  (*mutation).removeAll", "OpReset:  func(m *mutation) error { return m.markElements(false) }", ""},
		{"marks-count-as-elements", "memory.go", "!id.Kind.Collection() || PresentCell(id, c)", "len(c) > 0", "TestPresence"},
		{"marks-left-orphaned", "remint.go", "(id.row().carry == nil || PresentCell(id, Cell{e}))", "PresentCell(id, Cell{e})", ""},
		{"gcounter-shrinks", "gcounter.go", "m.op.N < 0", "m.op.N < -1", "TestGCounter"},
		{"gcounter-payload-unchecked", "gcounter.go", "u.now.down != 0", "u.now.down == 0 && u.now.ops == 0", "TestPayloads"},
		{"gcounter-not-joined", "gcounter.go", "\tjoin:    joinRuns,\n", "", ""},
		{"gcounter-not-spared", "gcounter.go", "\tspares:  counterRow.spares,\n", "", ""},
		{"gcounter-not-carried", "gcounter.go", "\tcarry:   carryRun,\n", "", ""},
		{"hll-begins-anew", "hll.go", "\ts, err := mergeSketches(live)", "\ts, err := mergeSketches(nil)", ""},
		{"hll-leaves-old-sketches", "hll.go", "Removes: live.Dots(), Puts", "Puts", ""},
		{"hll-reads-one-sketch", "hll.go", "mergeSketches(cs.Live)", "mergeSketches(cs.Live[:1])", ""},
		{"hll-observes-what-is-known", "hll.go", "if !changed {", "if !changed && len(m.op.Elements) == 0 {", ""},
		{"hll-only-last-element", "hll.go", "changed = s.observe(e) || changed", "changed = s.observe(e)", ""},
		{"registers-last-one-wins", "sketch.go", "s[i] = max(s[i], rank)", "s[i] = rank", "TestSketch"},
		{"rank-off-by-one", "sketch.go", "<<(indexBits-1)) + 1)", "<<(indexBits-1)))", ""},
		{"index-off-by-one-bit", "sketch.go", "h >> (64 - indexBits)", "h >> (63 - indexBits) >> 1 ^ 1", ""},
		{"dense-too-soon", "sketch.go", "len(b) > denseBytes", "len(b) > denseBytes/2", "TestSketch"},
		{"dense-in-two-forms", "sketch.go", "sparse < denseBytes", "sparse < 0", "TestPayloads"},
		{"sparse-in-two-forms", "sketch.go", "r.left() >= denseBytes", "r.left() > registers", "TestPayloads"},
		{"small-counts-estimated-raw", "sketch.go", "z += float64(m * sigma", "_ = float64(m * sigma", "TestSketchEstimates$"},
		{"estimator-forgets-registers", "sketch.go", "k := maxRank - 1; k >= 1", "k := maxRank - 1; k > 1", "TestSketchEstimates$"},
		{"field-ignores-context", "map.go", "op.Context = m.op.Context", "op.Context = nil", ""},
		{"only-last-field-changes", "map.go", "sub := *m\n", "sub := *m\n\t\tsub.changes = nil\n", ""},
		{"discard-of-all-kinds", "map.go", "if f.Kind != NoKind {", "if f.Kind == kindEnd {", ""},
		{"empty-field-shown", "map.go", "\t\tif present {\n", "\t\tif len(own) > 0 {\n", ""},
		{"field-of-roots-kind", "kind.go", "\tk, _ := id.Leaf()\n\treturn k.row()", "\treturn id.Kind.row()", ""},
		{"fields-totals-not-released", "removal.go", "if len(spared) > 0 {", "if len(spared) > 99 {", ""},
		{"released-twice", "removal.go", "if !Cell(c.Puts).Has(e.Dot) {", "if len(c.Puts) > 0 || true {", "TestDiscard"},
		{"reset-ends-with-its-run", "coalesce.go", "if !live.Has(e.Dot) {", "if len(live) > 99 {", "TestResetOutlives"},
		{"context-removes-totals", "removal.go", "return id.spares(e) && PresentCell(id, Cell{e})", "return id.spares(e) && !PresentCell(id, Cell{e})", "TestDiscard"},
	} {
		out = append(out, mutants.Mutant{
			Name: "crdt/" + b.name, File: "crdt/" + b.file, Old: b.was, New: b.now,
			Packages: []string{"./crdt"}, Run: "^" + cmp.Or(b.tests, "TestOracle$"),
		})
	}
	return out
}
