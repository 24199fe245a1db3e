package mutants

// storageMutants are bugs in what storage derives from the cells it keeps.
func storageMutants() []Mutant {
	packages := []string{"./storage"}
	const scores, clocks = "storage/scores.go", "storage/clocks.go"
	return []Mutant{
		{ // found by the simulation: a node panicked over a counter of another kind, or told its number
			Name: "storage/repeat-tells-of-other-keys", File: "storage/after.go", Packages: packages, Run: "TestARepeatTells",
			Old: "if id.KeyID != key || id.Kind != kind {", New: "if len(key.Key) == 0 {",
		},
		{ // found by the simulation: a clock that was ahead made requests look old, and retries were carried out again
			Name: "storage/wall-that-jumped-trims", File: "storage/requests.go", Packages: packages, Run: "TestWallThatWasSet",
			Old: "min(cut, r.asked.births.first(age, window))", New: "cut",
		},
		{ // found by 13,334 seeds of the simulation: an acknowledged increment was removed by an earlier try of a reset
			Name: "storage/what-changed-nothing-is-forgotten", File: "storage/unchanged.go", Packages: packages, Run: "TestEarlierTryOfWhatChangedNothing",
			Old: "\tu.young[q] = res\n", New: "\t_ = res\n",
		},
		{ // what came by a stream and as an answer to a question cost its reading twice at each replica
			Name: "storage/known-events-are-read-for", File: "storage/txn.go", Packages: packages, Run: "TestNothingIsReadFor",
			Old: "if t.r.state.Clock.ContainsRange(d.Actor, d.Lo, d.Hi) {", New: "if d == nil {",
		},
		{
			Name: "storage/old-score-stays", File: scores, Packages: packages, Run: "TestRandomHistories",
			Old: "if had && (!has || score != was) {", New: "if had && !has {",
		},
		{
			Name: "storage/score-of-removed-member-stays", File: scores, Packages: packages, Run: "TestRandomHistories",
			Old: "if had && (!has || score != was) {", New: "if had && has && score != was {",
		},
		{
			Name: "storage/rank-counted-from-the-wrong-end", File: scores, Packages: packages, Run: "TestOrder",
			Old: "if okDown { // the upper end was nearer: n members stand above\n\t\tn = x.total - 1 - n\n\t}", New: "",
		},
		{
			Name: "storage/negative-scores-out-of-order", File: scores, Packages: packages, Run: "TestOrder",
			Old: "\t\tbits = ^bits\n", New: "\t\tbits &^= 1 << 63\n",
		},
		{
			Name: "storage/rank-walked-from-the-far-end", File: scores, Packages: packages, Run: "TestTop",
			Old: "left < ascending {", New: "left < 0 {",
		},
		{
			Name: "storage/part-of-a-range-begins-again", File: scores, Packages: packages, Run: "TestOrderInParts",
			Old: "return int64(o.Behind.Rank) + 1, ok, nil", New: "return int64(o.Behind.Rank), ok, nil",
		},
		{
			Name: "storage/index-of-scores-kept-stale", File: scores, Packages: packages, Run: "TestIndexOfScores",
			Old: "b.DeleteRange([]byte{tableScore}, after([]byte{tableScore}), nil)", New: "b.LogData(nil, nil)",
		},
		{
			Name: "storage/log-trimmed-without-the-clock", File: "storage/log.go", Packages: packages, Run: "TestClockIs|TestTrimBeside",
			Old: "r.writeClock(t.batch, &t.gone)", New: "r.writeClock(t.batch, &crdt.Clock{})",
		},
		{
			Name: "storage/opening-ignores-the-log", File: clocks, Packages: packages, Run: "TestClockIs|TestTrimBeside",
			Old: "r.state.Clock.AddRange(actor, events.Lo, events.Hi)", New: "_, _ = actor, events",
		},
		{
			Name: "storage/run-in-the-log-counts-as-its-last-event", File: clocks, Packages: packages, Run: "TestClockIs",
			Old: "r.state.Clock.AddRange(actor, events.Lo, events.Hi)", New: "r.state.Clock.AddRange(actor, events.Hi, events.Hi)",
		},
		{
			Name: "storage/join-ends-without-its-clock", File: "storage/replica.go", Packages: packages, Run: "TestClockIs",
			Old: "if len(log) == 0 { // else its entries tell", New: "if false { // else its entries tell",
		},
		{
			Name: "storage/drop-leaves-the-log", File: "storage/drop.go", Packages: packages, Run: "TestClockIs",
			Old: "tableExpiry, tableLog, tableMark", New: "tableExpiry, tableMark",
		},
		{
			Name: "storage/format-not-raised", File: "storage/store.go", Packages: packages, Run: "TestFormat1",
			Old: "err = s.upgrade()", New: "err = nil",
		},
	}
}
