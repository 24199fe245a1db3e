package dc

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/ring"
)

func weigh(id string, w float64) *v1.RingChange {
	return &v1.RingChange{Of: &v1.RingChange_Weight{Weight: &v1.WeighNode{Id: id, Weight: w}}}
}

// inEpoch reports whether all nodes act under one document, of at least an epoch.
func inEpoch(nodes []*Node, epoch uint64) bool {
	return !slices.ContainsFunc(nodes, func(n *Node) bool {
		return n.epoch() < epoch || !n.Document().Equal(nodes[0].Document())
	})
}

func TestOneOfTwoOperatorsWins(t *testing.T) {
	_, nodes := startDC(t, 3, 2)
	for round := range 10 {
		eventually(t, "the nodes agree and nothing moves", func() bool { return inEpoch(nodes, 1) && !nodes[0].Document().Moving() })
		epoch := nodes[0].epoch()
		var errs [2]error
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() {
				_, errs[i] = nodes[i].Commit(t.Context(), &v1.CommitRequest{Epoch: epoch, Change: weigh(nodes[i].id, float64(round+2+i))})
			})
		}
		wait.Wait()
		lost := slices.IndexFunc(errs[:], func(err error) bool { return err != nil })
		if lost < 0 || errs[1-lost] != nil {
			t.Fatalf("round %d: %v and %v, want one to win", round, errs[0], errs[1])
		}
		e := AsError(errs[lost])
		if e.Code != FailedPrecondition || e.Reason != "RING_CHANGED" || !strings.Contains(e.Message, "another change was committed first: epoch ") {
			t.Fatalf("round %d: who lost is told %s: %s", round, e.Reason, e.Message)
		}
	}
}

func TestAChangeReachesEverybody(t *testing.T) {
	w, nodes := startDC(t, 4, 2)
	w.setDown("d", true)
	resp, err := nodes[0].Commit(t.Context(), &v1.CommitRequest{Change: weigh("b", 2)})
	if err != nil || resp.GetEpoch() != 2 || !resp.GetMoving() || resp.GetNote() != "weight b 2" {
		t.Fatalf("Commit = %v, %v", resp, err)
	}
	if got := nodes[0].Nodes(); got.GetBy() != "a" || got.GetMajority() != 3 || len(got.GetNodes()) != 4 || got.GetNodes()[1].GetWeight() != 2 {
		t.Errorf("Nodes = %v", got)
	}
	w.setDown("d", false)
	eventually(t, "who was away acts under it as well", func() bool { return inEpoch(nodes, 2) })
}

func TestNoMajority(t *testing.T) {
	w, nodes := startDC(t, 3, 2)
	w.setDown("b", true)
	w.setDown("c", true)
	_, err := nodes[0].Commit(t.Context(), &v1.CommitRequest{Change: weigh("b", 2)})
	e := AsError(err)
	if e.Code != Unavailable || e.Reason != "NO_MAJORITY" || !strings.Contains(e.Message, "takes 2 of its 3 members, and these do not answer: b c; nothing was changed") {
		t.Errorf("%v", err)
	}
	w.setDown("b", false)
	if _, err := nodes[0].Commit(t.Context(), &v1.CommitRequest{Change: weigh("b", 2)}); err != nil {
		t.Errorf("with two of three: %v", err)
	}
}

// What one member accepted before its proposer died is finished by the next.
func TestAnotherFinishesWhatWasBegun(t *testing.T) {
	_, nodes := startDC(t, 3, 2)
	base := nodes[0].Document()
	want, err := base.Apply(ring.Weight("c", 2000))
	if err != nil {
		t.Fatal(err)
	}
	want.By = "c"
	dead := ring.NewProposer(base, want, 1)
	for range 2 {
		for _, n := range nodes[:2] {
			r, err := n.askOnce(t.Context(), n.id, dead.Ask())
			if err != nil {
				t.Fatal(err)
			}
			if dead.Phase() == ring.Preparing {
				dead.Take(n.id, r)
			}
		}
	}
	if dead.Phase() != ring.Accepting || nodes[1].agree.votes.Document == nil {
		t.Fatalf("phase %d, nothing is accepted", dead.Phase())
	}
	_, err = nodes[1].propose(t.Context(), ring.Weight("b", 5000))
	if e := AsError(err); e.Reason != "RING_CHANGED" || !strings.Contains(e.Message, "epoch 2 by c (weight c 2)") {
		t.Fatalf("the proposer that came later: %v", err)
	}
	eventually(t, "all act under what was begun", func() bool { return inEpoch(nodes, 2) })
}

func TestAPromiseOutlivesARestart(t *testing.T) {
	_, nodes := startDC(t, 3, 2)
	q := ring.NewProposer(nodes[0].Document(), nodes[0].Document(), 7).Ask()
	q.Ballot.Round = 99
	if r, err := nodes[0].vote(q); err != nil || !r.OK {
		t.Fatalf("vote: %+v, %v", r, err)
	}
	again, err := nodes[0].newAgreement()
	if err != nil || again.votes.Promised != q.Ballot || again.votes.Epoch != 2 {
		t.Errorf("after a restart it has promised %+v: %v", again.votes, err)
	}
}

func TestPlansAndWrongChanges(t *testing.T) {
	_, nodes := startDC(t, 3, 2)
	n := nodes[0]
	n.opts.Candidates = func() []ring.Entry {
		return []ring.Entry{{ID: "a"}, {ID: "d", Rack: "d", WeightMilli: 1000, Addrs: ring.Addrs{GRPC: "h:1"}}}
	}
	join := &v1.RingChange{Of: &v1.RingChange_Join{Join: &v1.NodeList{Ids: []string{"d"}}}}
	plan, err := n.Plan(t.Context(), &v1.PlanRequest{Change: join})
	if err != nil {
		t.Fatal(err)
	}
	p := plan.GetPlacements()[0]
	if plan.GetEpoch() != 1 || plan.GetNote() != "join d" || plan.GetAtOnce() || p.GetCopies() != 8 || p.GetMinimum() != 8 || p.GetNodes()[3].GetAfter() != 8 {
		t.Errorf("plan = %v", plan)
	}
	moved := uint32(0)
	for _, f := range p.GetFlows() {
		if moved += f.GetPartitions(); f.GetTo() != "d" {
			t.Errorf("a flow to %q", f.GetTo())
		}
	}
	if moved != 8 || n.epoch() != 1 {
		t.Errorf("%d partitions flow, epoch %d; want 8, and 1: a plan changes nothing", moved, n.epoch())
	}
	if got := n.Nodes().GetNodes(); len(got) != 4 || got[3].GetRole() != v1.NodeRole_NODE_ROLE_CANDIDATE || got[3].GetGrpcAddr() != "h:1" {
		t.Errorf("nodes = %v", got)
	}
	ids := func(ids ...string) *v1.NodeList { return &v1.NodeList{Ids: ids} }
	for _, tt := range []struct {
		change *v1.RingChange
		reason string
		says   string
	}{
		{&v1.RingChange{}, "UNKNOWN_REQUEST", "does not know"},
		{&v1.RingChange{Of: &v1.RingChange_Join{Join: ids("x")}}, "NO_CANDIDATE", "those that wait are d"},
		{&v1.RingChange{Of: &v1.RingChange_Join{Join: ids("a")}}, "BAD_CHANGE", "is a member already"},
		{&v1.RingChange{Of: &v1.RingChange_Join{Join: ids()}}, "BAD_CHANGE", "no node is named"},
		{&v1.RingChange{Of: &v1.RingChange_Leave{Leave: ids("x")}}, "BAD_CHANGE", "members are a b c"},
		{&v1.RingChange{Of: &v1.RingChange_Undrain{Undrain: ids("a")}}, "BAD_CHANGE", "it is so already"},
		{&v1.RingChange{Of: &v1.RingChange_Cancel{}}, "BAD_CHANGE", "moving: false"},
		{&v1.RingChange{Of: &v1.RingChange_Replace{Replace: &v1.ReplaceNode{Old: "a", New: "y"}}}, "NO_CANDIDATE", `no node "y" runs`},
		{weigh("a", -1), "BAD_CHANGE", "weight -1"},
		{weigh("a", 1e9), "BAD_CHANGE", "want 0.001 to 1000"},
	} {
		_, err := n.Plan(context.Background(), &v1.PlanRequest{Change: tt.change})
		if e := AsError(err); err == nil || e.Reason != tt.reason || !strings.Contains(e.Message, tt.says) {
			t.Errorf("%v: %v, want %s that says %q", tt.change, err, tt.reason, tt.says)
		}
	}
	if _, err := n.Commit(t.Context(), &v1.CommitRequest{Change: weigh("a", 2), Epoch: 9}); AsError(err).Reason != "RING_CHANGED" {
		t.Errorf("commit of a plan of another epoch: %v", err)
	}
}
