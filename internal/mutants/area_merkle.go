package mutants

// merkleMutants are bugs in how two copies of a partition are compared.
func merkleMutants() []Mutant {
	packages := []string{"./storage/merkle"}
	return []Mutant{
		{
			Name: "merkle/toggle-does-not-mark", File: "storage/merkle/tree.go", Packages: packages,
			Old: "\tmark(t.dirty[len(t.dirty)-1], parent)\n", New: "",
		},
		{
			Name: "merkle/parents-not-recomputed", File: "storage/merkle/tree.go", Packages: packages,
			Old: "mark(t.dirty[depth-1], node>>fanoutBits)", New: "_ = t.dirty[depth-1]",
		},
		{
			Name: "merkle/leaf-overwritten-not-toggled", File: "storage/merkle/tree.go", Packages: packages,
			Old: "chunk[leaf&(Fanout-1)].XOR(d)", New: "chunk[leaf&(Fanout-1)] = d",
		},
		{
			Name: "merkle/leaf-takes-partition-bits", File: "storage/merkle/tree.go", Packages: packages,
			Old: "return int(hash << partitionBits >> (64 - t.leafBits))", New: "_ = partitionBits\n\treturn int(hash >> (64 - t.leafBits))",
		},
		{
			Name: "merkle/clone-shares-leaves", File: "storage/merkle/tree.go", Packages: packages,
			Old: "c.chunks[i] = &copied", New: "_, c.chunks[i] = copied, chunk",
		},
		{
			Name: "merkle/reset-keeps-leaves", File: "storage/merkle/tree.go", Packages: packages,
			Old: "t.chunks, t.inner, t.dirty, t.stale = nil, nil, nil, false", New: "t.stale = false",
		},
		{
			Name: "merkle/pull-unbounded", File: "storage/merkle/tree.go", Packages: packages,
			Old: " || len(nodes) > t.width[depth]", New: "",
		},
		{
			Name: "merkle/node-outside-accepted", File: "storage/merkle/tree.go", Packages: packages,
			Old: " || index < 0 || index >= t.width[depth]", New: "",
		},
		{
			Name: "merkle/empty-node-not-zero", File: "storage/merkle/merkle.go", Packages: packages,
			Old: "\tif empty {\n\t\treturn Digest{}\n\t}\n", New: "\t_ = empty\n",
		},
		{
			Name: "merkle/other-shape-compared", File: "storage/merkle/diff.go", Packages: packages,
			Old: "if len(theirs) != len(nodes) {", New: "if len(theirs) > len(nodes) {",
		},
		{
			Name: "merkle/diff-ignores-limit", File: "storage/merkle/diff.go", Packages: packages,
			Old: "if len(differing) > limit {", New: "if len(differing) > limit+1 {",
		},
		{
			Name: "merkle/diff-hides-that-there-is-more", File: "storage/merkle/diff.go", Packages: packages,
			Old: "differing, more = differing[:limit], true", New: "differing, more = differing[:limit], false",
		},
		{
			Name: "merkle/first-child-never-differs", File: "storage/merkle/diff.go", Packages: packages,
			Old: "for c := range ours {", New: "for c := 1; c < len(ours); c++ {",
		},
	}
}
