package mutants

// storageMutants are bugs in what storage derives from the cells it keeps.
func storageMutants() []Mutant {
	packages := []string{"./storage"}
	const scores = "storage/scores.go"
	return []Mutant{
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
	}
}
