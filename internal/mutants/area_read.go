package mutants

// readMutants are bugs on the way of a read: whose answer counts.
func readMutants() []Mutant {
	packages, run := []string{"./dc"}, "LostItsDisk"
	return []Mutant{
		{ // found by the short form of chaos-dc
			Name: "read/lost-disk-counts", File: "dc/serve.go", Packages: packages, Run: run,
			Old: "Total: a.Total, Recovering: recovering}", New: "Total: a.Total, Recovering: recovering && a.More}",
		},
		{
			Name: "read/own-lost-disk-counts", File: "dc/read.go", Packages: packages, Run: run,
			Old: "g.want, mine = want+1, 0", New: "g.want, mine = want, 1",
		},
		{
			Name: "read/scan-counts-lost-disk", File: "dc/scan.go", Packages: packages, Run: run,
			Old: "case done.GetRecovering():", New: "case done.GetRecovering() && done.GetMore():",
		},
		{
			Name: "read/one-too-few-bring-a-disk-back", File: "dc/recovery.go", Packages: packages, Run: run,
			Old: "len(owners)-leastQuorum(len(owners))+1, others)", New: "len(owners)-leastQuorum(len(owners)), others)",
		},
		{
			Name: "read/strict-makes-do", File: "dc/read.go", Packages: packages, Run: run,
			Old: "if t.strict {\n\t\tg.proven", New: "if t.strict && want < 0 {\n\t\tg.proven",
		},
		{
			Name: "read/nothing-but-silence-and-no-answer", File: "dc/gather.go", Packages: packages, Run: "TestMakeDo",
			Old: "for len(g.got) < g.want && g.open > 0 && !g.settles() {", New: "for len(g.got) < g.want && g.open > 0 {",
		},
		{
			Name: "read/old-copy-counts", File: "dc/forgotten.go", Packages: packages, Run: "OldDisk",
			Old: "for id, had := range m.had {", New: "for id, had := range m.had {\n\t\tbreak",
		},
		{
			Name: "read/every-restart-forgets", File: "dc/forgotten.go", Packages: packages, Run: "OldDisk",
			Old: "if had, ok := m.had[id]; ok && now.Covers(&had) {", New: "if had, ok := m.had[id]; ok && now.Covers(&had) && had.Empty() {",
		},
		{
			Name: "read/nobody-is-asked-what-is-forgotten", File: "dc/recovery.go", Packages: packages, Run: "OldDisk",
			Old: "return !slices.ContainsFunc(r.l.nodes, func(node string) bool { return node != r.n.id && !r.n.peers.answered(node) })", New: "return true",
		},
		{
			Name: "read/what-came-since-is-forgotten", File: "dc/forgotten.go", Packages: packages, Run: "AfterARestart",
			Old: "slices.ContainsFunc(once, r.lost)", New: "slices.ContainsFunc(once, func(*peerv1.ReplicaClock) bool { return true })",
		},
		{
			Name: "read/fetched-before-the-others-were-asked", File: "dc/catchup.go", Packages: packages, Run: "NothingIsFetched",
			Old: "mayPull := c.n.recovery.pulls()", New: "mayPull := c.n.recovery.pulls() || true",
		},
		{
			Name: "read/new-directory-is-old", File: "storage/identity.go", Packages: []string{"./storage"}, Run: "TestNewDirectory",
			Old: "return s.resumed()", New: "return nil",
		},
	}
}
