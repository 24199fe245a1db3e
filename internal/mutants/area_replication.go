package mutants

// replicationMutants are bugs between datacenters.
func replicationMutants() []Mutant {
	pkg := []string{"./replication"}
	return []Mutant{
		{ // found by the WAN campaign: a datacenter that had been frozen was level half a minute later
			Name: "replication/outage-not-forgiven", File: "replication/exchange.go", Packages: pkg, Run: "TestFailuresOfAnOutage",
			Old: "k.notBefore, k.failures = time.Time{}, 0", New: "k.notBefore = time.Time{}",
		},
		{ // likewise
			Name: "replication/join-under-way-is-a-failure", File: "replication/missing.go", Packages: pkg, Run: "TestAComparisonWaits",
			Old: "if errors.Is(err, ErrJoining) {", New: "if errors.Is(err, ErrJoining) && k.failures > 99 {",
		},
		{
			Name: "replication/two-joins-at-once", File: "replication/turns.go", Packages: pkg, Run: "TestWhatAllOthersHave",
			Old: "\tif taken {\n", New: "\tif taken && len(queue) > 99 {\n",
		},
		{
			Name: "replication/taken-twice", File: "replication/missing.go", Packages: pkg, Run: "TestWhatAllOthersHave",
			Old: "if a.stillOwed(r) == nil {\n\t\t\treturn false", New: "if a.stillOwed(r) == nil && node == \"\" {\n\t\t\treturn false",
		},
		{ // each check that keeps data where they are to be is one that a test misses
			Name: "replication/sends-every-placement", File: "replication/view.go", Packages: pkg, Run: "TestResidency|TestAHub",
			Old: "return !slices.Contains(theirs, n)", New: "return len(theirs) == 0",
		},
		{
			Name: "replication/takes-every-placement", File: "replication/receiver.go", Packages: pkg, Run: "TestParkedKeepsNothing",
			Old: "case len(b.Sections) > 0 &&", New: "case len(b.Sections) < 0 &&",
		},
		{
			Name: "replication/broker-offers-every-placement", File: "replication/natslink.go", Packages: pkg, Run: "TestLinkNATS/reset/only",
			Old: "\t\tFilterSubjects: filters,\n", New: "",
		},
		{
			Name: "replication/tells-missing-events-of-every-placement", File: "replication/answer.go", Packages: pkg, Run: "TestResidencyOfQuestions",
			Old: "if !x.view.Load().shares(dc, q.replica.Placement) {", New: "if q.kind == 0 {",
		},
		{
			Name: "replication/tells-clocks-of-every-placement", File: "replication/answer.go", Packages: pkg, Run: "TestResidencyOfQuestions",
			Old: "if !view.shares(dc, a.replica.Placement) {", New: "if view == nil {",
		},
		{
			Name: "replication/compares-every-placement", File: "replication/steps.go", Packages: pkg, Run: "TestResidencyOfQuestions",
			Old: "if view.shares(dc, p.replica.Placement) {", New: "if view != nil {",
		},
		{
			Name: "replication/tells-roots-of-every-placement", File: "replication/steps.go", Packages: pkg, Run: "TestResidencyOfQuestions",
			Old: "if view.shares(dc, a.replica.Placement) {", New: "if view != nil {",
		},
		{
			Name: "replication/applies-every-placement", File: "dc/remote.go", Packages: []string{"./dc"}, Run: "TestDataOfOther",
			Old: "if len(sets) == 0 {", New: "if len(sets) < 0 {",
		},
		{
			Name: "replication/joins-every-placement", File: "dc/comparison.go", Packages: []string{"./dc"}, Run: "TestDataOfOther",
			Old: "if err := r.n.mine(wireID(replicaOf(id))); err != nil {\n\t\treturn nil, err\n\t}\n\tj, err", New: "j, err",
		},
		{
			Name: "replication/stands-in-for-every-placement", File: "dc/serve.go", Packages: []string{"./dc"}, Run: "TestDataOfOther",
			Old: "if len(n.layout().sets(id)) == 0 {", New: "if len(n.layout().sets(id)) < 0 {",
		},
		{
			Name: "replication/not-owned-is-taken", File: "dc/serve.go", Packages: []string{"./dc"}, Run: "TestDataOfOther",
			Old: "if id := replicaID(r); !n.layout().holds(n.id, id) {", New: "if id := replicaID(r); n.layout() == nil {",
		},
		{
			Name: "replication/clients-reach-every-placement", File: "dc/request.go", Packages: []string{"./dc"}, Run: "TestDataOfOther",
			Old: "case b.placement.replicas == 0:", New: "case b.placement.replicas < 0:",
		},
	}
}

// shippingMutants are bugs in what goes to other datacenters, and when.
func shippingMutants() []Mutant {
	pkg := []string{"./replication"}
	return []Mutant{
		{ // who tells of an event tells of all before it: one that is not kept comes out of the log
			Name: "replication/kept-with-a-gap", File: "replication/marks.go", Packages: pkg, Run: "TestEventBeforeTheKeptOne",
			Old: "if d.Lo != next {", New: "if d.Lo < next {",
		},
		{
			Name: "replication/ships-into-a-full-outbox", File: "replication/shipper.go", Packages: pkg, Run: "TestWhatNobodyTakes",
			Old: "s.held = waiting >= heldFrom", New: "s.held = waiting < 0",
		},
		{
			Name: "replication/request-ids-go-abroad", File: "replication/shipper.go", Packages: pkg, Run: "TestFewEventsAreShipped",
			Old: "\tout.Requests = nil\n", New: "",
		},
	}
}
