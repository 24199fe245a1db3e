package mutants

import "time"

// simMutants are bugs that only whole datacenters show, when messages are lost,
// machines lose their power or disks come back old.
func simMutants() []Mutant {
	var out []Mutant
	sim := []string{"./internal/sim"}
	for _, m := range append(worldMutants(), []Mutant{
		{
			Name: "sim/one-copy-fewer", File: "dc/spread.go",
			Old: "copies < want(len(set)) {", New: "copies < want(len(set))-1 {",
		},
		{
			Name: "sim/actor-kept", File: "storage/store.go",
			Old: "crdt.Actor(s.rand.Uint32())\n\t\tif a != 0 && c.Last(a) == 0 {", New: "1\n\t\tif a != 0 && c != nil {",
		},
		{
			Name: "sim/residue-ignored", File: "crdt/replica.go",
			Old: "return !r.saw(id, e.Dot) && !r.Residue.Contains(id, e)", New: "return !r.saw(id, e.Dot)",
		},
		{
			Name: "sim/log-trimmed-before-stable", File: "storage/log.go",
			Old: "switch settled := t.stable.ContainsRange(d.Actor, d.Lo, d.Hi); {", New: "switch settled := d.Hi > 0; {",
		},
		{
			Name: "sim/read-answers-with-older-value", File: "dc/read.go",
			Old: "out.Snapshot = *crdt.Merge(pages...)", New: "out.Snapshot = *crdt.Merge(pages[:1]...)",
		},
		{
			Name: "sim/clock-advanced-before-apply", File: "crdt/replica.go",
			Old: "\tfor i := range d.Changes {\n\t\tif err := r.applyChange(", New: "\tr.Clock.AddRange(d.Actor, d.Lo, d.Hi)\n\tfor i := range d.Changes {\n\t\tif err := r.applyChange(",
		},
		{ // random faults hit it in some runs of the simulation only
			Name: "sim/delete-does-not-look", File: "dc/look.go", Packages: []string{"./dc"}, Run: "TestDeleteSeesThePut",
			Old: "if !removes || op.Context != nil {", New: "if removes || op.Context != nil {",
		},
		{ // the same: co-owners that have the event as well bring it too
			Name: "sim/guest-not-taken", File: "dc/guest.go", Packages: []string{"./dc"}, Run: "TestOwnersTakeWhatOnlyAGuest",
			Old: "!own.Covers(&clock) {", New: "own.Covers(&clock) {",
		},
		{
			Name: "sim/request-forgotten", File: "storage/requests.go",
			Old: "if q == (crdt.RequestID{}) {", New: "if q != (crdt.RequestID{}) {",
		},
		{ // found by the simulation: a retry was told the first dot of a run
			Name: "sim/repeat-names-another-event", File: "storage/requests.go",
			Old: "&Done{Result: res, Dot: dot, Repeats", New: "&Done{Result: res, Dot: crdt.Dot{Actor: dot.Actor, Seq: 1}, Repeats",
		},
		{ // found by the simulation: a retry was acknowledged with one copy
			Name: "sim/repeat-needs-no-copies", File: "dc/repeat.go", Packages: sim, Run: "TestARetryWithout", Timeout: 5 * time.Minute,
			Old: "stable.Contains(dot) {", New: "stable.Contains(dot) || !own.Empty() {",
		},
		{ // found by the simulation: a guest was dropped while an owner read its pages, and took what was missing for deletes
			Name: "sim/pages-of-a-dropped-guest", File: "storage/drop.go", Packages: []string{"./storage"}, Run: "TestPagesOfADropped",
			Old: "if !r.state.Clock.Covers(had) {", New: "if had == nil {",
		},
		{ // found by the simulation: a question that came late was answered by a join of what the asker had
			Name: "sim/late-question-joins", File: "dc/pull.go", Packages: sim, Run: "TestALateQuestion", Timeout: 5 * time.Minute,
			Old: "return own.Covers(&theirs), nil", New: "return own.Covers(&theirs) && theirs.Empty(), nil",
		},
		{ // found by the simulation: overlapping runs made a message that nobody could read
			Name: "sim/request-told-twice", File: "crdt/coalesce.go", Packages: []string{"./crdt"}, Run: "TestRunsThatOverlap",
			Old: "\tout.Requests = slices.CompactFunc(", New: "\t_ = slices.CompactFunc(",
		},
	}...) {
		if m.Packages == nil {
			m.Packages, m.Run, m.Timeout = sim, "TestSwarm$", 5*time.Minute
		}
		out = append(out, m)
	}
	return out
}

// worldMutants are bugs that only several datacenters show.
func worldMutants() []Mutant {
	out := []Mutant{
		{
			Name: "sim/stable-without-the-others", File: "dc/stable.go", // a log trimmed before stable
			Old: "if dcName == c.n.dc {", New: "if dcName != \"\" {",
		},
		{
			Name: "sim/broken-off-join-counts", File: "storage/join.go", // a clock united before the join is complete
			Old: "\tif j.under() == nil {\n\t\tj.r.state.Transfer = nil\n",
			New: "\tif j.under() == nil {\n\t\tj.r.state.JoinClock(&j.transfer.Clock)\n\t\tj.r.state.Transfer = nil\n",
		},
		{
			Name: "sim/gap-abroad-ignored", File: "replication/exchange.go",
			Old: "\t\tif !a.covered(r, &clock) {\n\t\t\ta.startRepair(ctx, r)\n", New: "\t\tif !a.covered(r, &clock) {\n",
		},
		{
			Name: "sim/offered-to-everybody", File: "replication/view.go",
			Old: "return !slices.Contains(theirs, n) })", New: "return len(theirs) > 99 })",
		},
	}
	for i := range out {
		out[i].Packages, out[i].Run, out[i].Timeout = []string{"./internal/sim"}, "TestWorlds$", 5*time.Minute
	}
	return out
}
