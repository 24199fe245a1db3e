package crdt

import (
	"cmp"
	"testing"

	"github.com/godwitdb/godwit/internal/mutants"
)

// TestMutantsOfScoresAndRights is TestMutants for zsets and bcounters.
func TestMutantsOfScoresAndRights(t *testing.T) {
	plant(t, bugsOfScoresAndRights(), 4)
}

func bugsOfScoresAndRights() []mutants.Mutant {
	var out []mutants.Mutant
	for _, b := range []struct{ name, file, was, now, tests string }{
		{"bumps-joined-by-sum", "score.go", "if s.ops > o.ops || s.ops == o.ops && s.sum > o.sum {", "if s.sum > o.sum {", ""},
		{"rights-unchecked", "bcounter.go", "!left.negative() {", "n > 0 {", ""},
		{"base-leaves-increments", "zset.go", "\tch.Removes, ch.Puts = releaseBumps(live, m.dot.Actor)\n", "", ""},
		{"base-leaves-bases", "zset.go", "\t\t\tch.Removes = append(ch.Removes, e.Dot)\n\t\t}\n\t}\n\tslices", "\t\t\t_ = e\n\t\t}\n\t}\n\tslices", ""},
		{"score-forgets-reset", "score.go", "raw := score + finite(s.now.sum-s.reset.sum)", "raw := score + s.now.sum", ""},
		{"bumps-carried-twice", "score.go", "\ts.reset = s.now\n\treturn s.encode(), moved.encode()", "\treturn s.encode(), moved.encode()", ""},
		{"older-base-wins", "score.go", "(!ok || s.stamp >= last)", "(!ok || s.stamp < last)", ""},
		{"reset-drops-bumps-of-others", "score.go", "puts = append(puts, Entry{e.Dot, s.encode()})", "ends = append(ends, e.Dot)", ""},
		{"bumps-of-others-continued", "zset.go", "case e.Dot.Actor != m.dot.Actor || s.tag != bumpsTag:", "case s.tag != bumpsTag:", ""},
		{"context-removes-runs", "zset.go", "\t\tfor _, d := range c.Dots {\n\t\t\tch.Below.Add(d)\n\t\t}\n", "\t\tch.Removes = slices.Clone(c.Dots)\n", "TestZSetContexts"},
		{"context-names-increments", "zset.go", "\t\t\treturn ErrNoContext\n\t\t}\n\t\tch.Below", "\t\t\t_ = c\n\t\t}\n\t\tch.Below", "TestZSetContexts"},
		{"reset-bumps-continued", "zset.go", "case s.counts():\n\t\t\town", "case s.now.ops > 0:\n\t\t\town", "TestZSetRuns"},
		{"score-overflows", "zset.go", "if over {", "if over && score == 0 {", "TestZSetLimits"},
		{"negative-scores-sort-backwards", "score.go", "bits = ^bits", "bits &^= 1 << 63", "TestSortable"},
		{"delete-with-context-forgets-zset", "op.go", "(row.join == nil || row.collection)", "row.join == nil", "TestZSetDelete"},
		{"reset-runs-refuse-contexts", "removal.go", "id.spares(e) && PresentCell(id, Cell{e})", "id.spares(e)", "TestZSetDelete"},
		{"rights-of-all-spent", "bcounter.go", "left := rights[m.dot.Actor]", "left := all.value()", ""},
		{"event-alone", "bcounter.go", "Puts: restsOn(slices.Clone(after), m.dot.Actor)", "Puts: Cell{{at, entry.encode()}}", ""},
		{"rests-on-givers-not-on-theirs", "ledger.go", "for grown := true; grown; {", "for grown := true; grown; grown = false {", "TestBCounterEvents"},
		{"bound-not-carried", "ledger.go", "\t\tif l.share > 0 {\n", "\t\tif l.share > 1<<40 {\n", "TestBCounterEvents"},
		{"bound-unpaid", "bcounter.go", "return uint64(bound), nil", "return 0, nil", ""},
		{"begins-below-the-bound", "bcounter.go", "m.op.N < bound:", "m.op.N < 0:", ""},
		{"accounts-last-one-wins", "ledger.go", "a.now.max(b.now), a.moved}", "b.now, a.moved}", ""},
		{"account-goes-on-for-ever", "ledger.go", "\ta.moved = &fresh.now\n", "", ""},
		{"rights-of-newcomers-forgotten", "ledger.go", "in.add(g.total)", "if _, has := b[g.to]; has {\n\t\t\t\tin.add(g.total)\n\t\t\t}", ""},
		{"given-rights-kept", "ledger.go", "\t\t\tw.sub(g.total)\n", "\t\t\t_ = g\n", ""},
		{"share-gives-rights", "ledger.go", "\t\tw.sub(l.share)\n", "", ""},
		{"account-moves-alone", "remint.go", "\t\t\tcs.carryAlong(&ch, e)\n", "", "TestBCounterOrphans"},
		{"bcounter-deleted-in-a-map", "removal.go", "\t\t\tif id.row().release == nil {\n\t\t\t\treturn ErrPermanent\n\t\t\t}\n\t\t\tvar ends", "\t\t\tif id.row().release == nil {\n\t\t\t\treturn nil\n\t\t\t}\n\t\t\tvar ends", "TestBCounterInAMap"},
		{"account-of-another-continued", "bcounter.go", "e.Dot.Actor == m.dot.Actor && a.owner == m.dot.Actor", "e.Dot.Actor == m.dot.Actor", "TestBCounterOrphans"},
		{"asks-add-up", "bcounter.go", "want <= own.gave(m.dot.Actor)", "want == 0", "TestAsk"},
		{"asks-forget-what-was-given", "bcounter.go", "want := all.given(m.dot.Actor)", "want := uint64(0)", ""},
		{"own-asks-count-as-given", "ledger.go", "\t\tif a != to {\n\t\t\tn += l.gave(to)", "\t\tif a != 0 {\n\t\t\tn += l.gave(to)", "TestAsk"},
		{"total-of-rights-wraps", "ledger.go", "\tw.high += carry\n", "\t_ = carry\n", "TestBCounterLimits"},
	} {
		out = append(out, mutants.Mutant{
			Name: "crdt/" + b.name, File: "crdt/" + b.file, Old: b.was, New: b.now,
			Packages: []string{"./crdt"}, Run: "^" + cmp.Or(b.tests, "TestModelOfScores"),
		})
	}
	return out
}
