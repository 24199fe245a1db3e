package mutants

// writeMutants are bugs on the way of a write: what its node looks at before, and
// how soon it is to be begun.
func writeMutants() []Mutant {
	return []Mutant{
		{
			Name: "write/removal-does-not-look", File: "dc/look.go", Packages: []string{"./dc"}, Run: "TestARemoval",
			Old: "if err != nil || same {", New: "if err != nil || same || w > 0 {",
		},
		{
			Name: "write/removal-looks-at-all", File: "dc/look.go", Packages: []string{"./dc"}, Run: "TestARemoval",
			Old: "if part != nil {", New: "if part != nil && w == 0 {",
		},
		{
			Name: "write/kind-of-others-not-asked", File: "dc/look.go", Packages: []string{"./dc"}, Run: "TestARemoval",
			Old: "if !sameKinds(mine.Present, a.done) {", New: "if w == 0 {",
		},
		{ // found by the simulation: a node that had stood still handed on what was over
			Name: "write/a-millisecond-is-always-left", File: "dc/begin.go", Packages: []string{"./dc/rpc"}, Run: "TestForwardedWrite",
			Old: "if left < 1 {", New: "if left = max(left, 1); left < 1 {",
		},
		{ // what waited for a connection is as old as it is
			Name: "write/counted-from-the-connection", File: "dc/rpc/held.go", Packages: []string{"./dc/rpc"}, Run: "TestForwardedWrite",
			Old: "dc.BeginWithin(h.by, now)", New: "dc.BeginWithin(h.by.Add(time.Second), now)",
		},
		{
			Name: "write/who-is-silent-says-nothing-of-the-clock", File: "dc/skew.go", Packages: []string{"./dc"}, Run: "UncomparedClock",
			Old: "!math.IsInf(n.opts.Health.Phi(node), 1)", New: "!math.IsInf(n.opts.Health.Phi(node), 1) && !n.suspected(node)",
		},
		{
			Name: "write/one-answer-ends-a-comparison-of-clocks", File: "dc/skew.go", Packages: []string{"./dc"}, Run: "Walls",
			Old: "\t\tlately = all\n", New: "\t\tlately = nil\n",
		},
		{
			Name: "write/batch-is-begun-whenever", File: "dc/rpc/pipeline.go", Packages: []string{"./dc/rpc"}, Run: "TestPipelineDropsBatches",
			Old: "(req.GetUpdate() != nil || req.GetBatchUpdate() != nil)", New: "req.GetUpdate() != nil",
		},
		{
			Name: "write/batch-goes-elsewhere-at-once", File: "client/retry.go", Packages: []string{"./client"}, Run: "TestLargeWritesAndBatches",
			Old: "(patience > 0 || !a.over.IsZero())", New: "patience > 0",
		},
	}
}
