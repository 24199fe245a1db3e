package mutants

// ringMutants are bugs in how the members of a datacenter agree on a document:
// each would let two documents be decided on for one epoch, or lose a change.
func ringMutants() []Mutant {
	agree := func(name, before, after string) Mutant {
		return Mutant{Name: "ring/" + name, File: "ring/agree.go", Packages: []string{"./ring"}, Run: "OneDocument|Finishe[sd]|AnswerRefuses", Old: before, New: after}
	}
	change := func(name, file, before, after string) Mutant {
		return Mutant{Name: "ring/" + name, File: file, Packages: []string{"./ring"}, Run: "Document|Change|Plan|OneDocument", Old: before, New: after}
	}
	return []Mutant{
		agree("promise-not-durable", "keep = v.Promised != q.Ballot", "keep = false"),
		agree("acceptance-not-durable", "\t\tkeep = true\n", ""),
		agree("acceptance-against-a-promise", "if q.Ballot.Less(v.Promised) {", "if !r.Accepting && q.Ballot.Less(v.Promised) {"),
		agree("found-value-dropped", "p.accepted, p.value = r.Accepted, r.Document", "p.accepted = r.Accepted"),
		agree("any-found-value-taken", "&& p.accepted.Less(r.Accepted) {", "&& p.value == nil {"),
		agree("reply-to-another-attempt-counts", "|| r.Ballot != p.ballot ||", "||"),
		agree("promise-counts-as-acceptance", "|| r.Accepting != (p.phase == Accepting) ||", "||"),
		agree("strangers-vote", "|| !p.base.Voter(from) {", "{"),
		agree("old-votes-stay", "if v.Epoch != q.Epoch {", "if v.Epoch == 0 {"),
		agree("another-base-followed", "case current.Hash() != q.Base:", "case current.Epoch == 0:"),
		change("majority-off-by-one", "ring/document.go", "len(d.Members)/2 + 1", "(len(d.Members) + 1) / 2"),
		change("settled-before-the-turn", "ring/change.go", "c.op == opSettle && d.Turned &&", "c.op == opSettle && d.Moving() &&"),
		change("draining-node-owns", "ring/document.go", "if e.Status == StatusActive {\n\t\t\tout", "if e.Status != 0 {\n\t\t\tout"),
		change("turned-move-sent-elsewhere", "ring/change.go", "\tif d.Turned {\n", "\tif d.Turned && c.op == opJoin {\n"),
	}
}
