package crdt

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwitdb/godwit/internal/mutants"
)

// TestMutants is the test of the tests: one bug for every line that the rules
// stand on, each of which the model, or the test that is named, must notice.
func TestMutants(t *testing.T) {
	plant(t, plantedBugs(), 16)
}

var everyMutant = flag.Bool("mutants", false, "plant every bug of each list, not only the first few")

// plant plants the first few bugs of a list, or all of them, and demands that
// each is noticed. The lists begin with the lines that matter most.
func plant(t *testing.T, list []mutants.Mutant, few int) {
	t.Helper()
	switch {
	case *everyMutant:
	case testing.Short():
		list = list[:3]
	default:
		list = list[:few]
	}
	mutants.Run(t.Context(), "..", list, func(r mutants.Result) {
		if r.Outcome != mutants.Caught {
			t.Errorf("%s: %v %v", r.Mutant.Name, r.Outcome, r.Err)
		}
		t.Logf("%s: %v after %v by %v", r.Mutant.Name, r.Outcome, r.Took, r.By)
	})
}

func plantedBugs() []mutants.Mutant {
	var out []mutants.Mutant
	for _, b := range []struct{ name, file, was, now, tests string }{
		{"removal-before-its-dot-forgotten", "replica.go", "r.Residue.addDot(ch.ID, dot)", "_ = dot", ""},
		{"own-dots-need-no-residue", "replica.go", "own := dot.Actor == d.Actor && d.Lo <= dot.Seq && dot.Seq <= d.Hi", "own := dot.Actor == d.Actor", ""},
		{"put-ignores-residue", "replica.go", "return !r.saw(id, e.Dot) && !r.Residue.Contains(id, e)", "return !r.saw(id, e.Dot)", ""},
		{"put-ignores-clock", "replica.go", "return !r.saw(id, e.Dot) && !r.Residue.Contains(id, e)", "return !r.Residue.Contains(id, e)", ""},
		{"transfer-not-seen", "replica.go", "return r.Clock.Contains(d) || r.Transfer != nil && r.Transfer.Clock.Contains(d) && r.Transfer.Joined(id)", "return r.Clock.Contains(d)", ""},
		{"transfer-seen-too-soon", "replica.go", " && r.Transfer.Joined(id)", "", ""},
		{"residue-not-carried", "replica.go", "{ r.Residue.add(residue, &r.Clock) }", "{}", ""},
		{"residue-of-peer-ignored", "replica.go", " || p.Residue.Contains(id, e)", "", ""},
		{"clock-of-peer-ignored", "replica.go", "return p.Clock.Contains(e.Dot) || p.Residue.Contains(id, e)", "return p.Residue.Contains(id, e)", ""},
		{"dropped-dot-not-kept-dead", "replica.go", "\t\t\t\tr.Residue.addDot(id, e.Dot)\n", "", ""},
		{"clock-joined-before-cells", "replica.go", "\tcell := r.joinCell(", "\tdefer r.Clock.Union(&peer.Clock)\n\tcell := r.joinCell(", ""},
		{"apply-keeps-covered-residue", "replica.go", "\t\tr.Residue.dropCovered(&covered)\n", "", ""},
		{"partly-known-run-skipped", "replica.go", "if r.Clock.ContainsRange(d.Actor, d.Lo, d.Hi) {", "if r.Clock.Contains(Dot{d.Actor, d.Hi}) {", ""},
		{"below-forgets-what-is-ahead", "replica.go", "!ahead.Empty() {", "ahead.Empty() {", ""},
		{"below-spares-what-is-ahead", "replica.go", "return ch.Below.Contains(e.Dot)", "return r.Clock.Contains(e.Dot) && ch.Below.Contains(e.Dot)", ""},
		{"below-not-in-residue", "residue.go", "if strings.HasPrefix(id.Path, prefix) && c.Contains(e.Dot) {", "if strings.HasPrefix(prefix, id.Path) && c.Contains(e.Dot) {", ""},
		{"residue-of-seen-dots", "residue.go", "if seen == nil || !seen.Contains(d) {", "if seen == nil || d.Seq > 0 {", ""},
		{"coalesce-only-own-dots", "coalesce.go", "ch.Puts = live", "ch.Puts = slices.DeleteFunc(slices.Clone(live), func(e Entry) bool { return e.Dot.Actor != out.Actor })", ""},
		{"coalesce-wider-than-sent", "coalesce.go", "max(out.Hi, e.Hi)", "max(out.Hi, e.Hi+1)", ""},
		{"coalesce-forgets-removes", "coalesce.go", "ch.Removes = append(ch.Removes, from.Removes...)", "ch.Removes = from.Removes", ""},
		{"coalesce-forgets-below", "coalesce.go", "\tch.Below.Union(&from.Below)\n", "", ""},
		{"merge-forgets-residue", "merge.go", "\t\tr.JoinResidue(s.Residue)\n", "", "TestMerge"},
		{"reset-takes-what-it-did-not-see", "counter.go", "return run{a.now.max(b.now), a.reset.max(b.reset)}.encode()", "u := run{a.now.max(b.now), a.reset.max(b.reset)}\n\tif u.reset.ops > 0 {\n\t\tu.reset = u.now\n\t}\n\treturn u.encode()", ""},
		{"run-last-one-wins", "counter.go", "return run{a.now.max(b.now), a.reset.max(b.reset)}.encode()", "_ = a\n\treturn b.encode()", ""},
		{"run-of-others-continued", "counter.go", "if e.Dot.Actor != m.dot.Actor {\n\t\t\tcontinue\n\t\t}\n\t\tif u, err", "if u, err", ""},
		{"reset-drops-runs-of-others", "counter.go", "puts = append(puts, Entry{e.Dot, u.encode()})", "ends = append(ends, e.Dot)", ""},
		{"carry-counts-twice", "counter.go", "\tu.reset = u.now\n\treturn u.encode(), moved.encode()", "\treturn u.encode(), moved.encode()", ""},
		{"carry-removes-the-run", "counter.go", "\tcarry:   carryRun,\n", "", ""},
		{"orphans-left", "remint.go", "if closed(e.Dot.Actor) && ", "if !closed(e.Dot.Actor) && ", ""},
		{"orphan-lives-twice", "remint.go", "ch.Removes, ch.Puts = []Dot{e.Dot}, ", "ch.Puts = ", ""},
		{"total-forgets-reset", "counter.go", "u.now.down-u.reset.down", "u.now.down", ""},
		{"stamp-of-one-sibling", "register.go", "seen = max(seen, stampOf(e.Payload))", "seen = stampOf(e.Payload)", ""},
		{"tie-to-smaller-actor", "register.go", "return s.Dot.Compare(o.Dot)", "return o.Dot.Compare(s.Dot)", ""},
		{"context-ignored", "op.go", "if m.op.Context == nil {\n\t\tch.Removes = live.Dots()", "if true {\n\t\tch.Removes = live.Dots()", ""},
		{"add-leaves-old-dots", "set.go", "Removes: live.Dots(), Puts", "Puts", ""},
		{"delete-of-what-is-ahead-everywhere", "removal.go", "own := Change{ID: id, Removes: ahead}", "own := Change{ID: id}\n\t\tfor _, d := range ahead {\n\t\t\tch.Below.Add(d)\n\t\t}", ""},
		{"delete-ignores-unseen-kinds", "op.go", "row.mutate[OpDelete] != nil && (row.join == nil || row.collection) && ", "row.mutate == nil && ", "TestDeleteOf"},
		{"context-names-half-seen-events", "context.go", "if cs.ID.Kind.shares() && !clock.Contains(e.Dot) {", "if cs.ID.Kind == NoKind {", "TestDeleteSpares"},
		{"clock-context-names-half-seen-events", "context.go", "if !cs.ID.Kind.shares() {", "if cs.ID.Kind != NoKind {", "TestDeleteSpares"},
		{"reset-run-continued", "counter.go", "err == nil && u.counts() {", "err == nil {", "TestCounter"},
		{"sum-wraps", "counter.go", "\t\tto[0] += carry\n", "\t\t_ = carry\n", "TestTotal"},
		{"overflow-allowed", "counter.go", "(sum > before) != (m.op.N > 0) && m.op.N != 0", "sum > before && m.op.N == 0", "TestCounter"},
		{"restart-forgets-residue-below", "residue.go", "ch.Below = c.Clone()", "_ = c", "TestResidue"},
		{"residue-changes-unreported", "residue.go", "\t\t\ts.touch(rk)\n\t\t\tif k.dots[path]", "\t\t\tif k.dots[path]", "TestResidue"},
		{"ranges-left-touching", "clock.go", "e.ranges[to].Lo <= hi+1", "e.ranges[to].Lo <= hi", "TestClock"},
		{"difference-off-by-one", "clock.go", "out = append(out, Range{lo, b[i].Lo - 1})", "out = append(out, Range{lo, b[i].Lo})", "TestClock"},
		{"padded-varint-accepted", "codec.go", "case n > 1 && r.b[r.at+n-1] == 0:", "case n > 11:", "TestDecoders"},
		{"paths-unordered", "delta.go", "c.ID.Path <= last.ID.Path", "c.ID.Path < last.ID.Path", "TestDecoders"},
		{"count-unbounded", "codec.go", "n > uint64(limit) || n*uint64(minBytes) > uint64(r.left())", "n > uint64(limit)", "TestDecoders"},
		{"sequence-number-wraps", "codec.go", "(d.Seq == 0 || d.Seq > maxSeq)", "d.Seq == 0", "TestDecoders"},
		{"payload-unchecked", "delta.go", "\t\tr.checkPayloads(&c.ID, c.Puts)\n", "", "TestDecoders"},
	} {
		out = append(out, mutants.Mutant{
			Name: "crdt/" + b.name, File: "crdt/" + b.file, Old: b.was, New: b.now,
			Packages: []string{"./crdt"}, Run: "^" + cmp.Or(b.tests, "TestModel$"),
		})
	}
	return out
}

// TestMutantsFitTheSources keeps the lists true while the sources change:
// planting them all takes long, so it is not done in every run.
func TestMutantsFitTheSources(t *testing.T) {
	for _, list := range [][]mutants.Mutant{plantedBugs(), plantedKindBugs(), bugsOfScoresAndRights(), bugsOfMarks(), bugsOfExpiry()} {
		for _, m := range list {
			source, err := os.ReadFile(filepath.Join("..", m.File))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.Old); n != 1 {
				t.Errorf("%s: old text occurs %d times in %s, want exactly once: %q", m.Name, n, m.File, m.Old)
			}
		}
	}
}
