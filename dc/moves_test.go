package dc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
)

// guestsOf counts what nodes hold and do not own.
func guestsOf(nodes []*Node) (sum int) {
	for _, n := range nodes {
		sum += len(n.guests())
	}
	return sum
}

// ownersOf are the nodes that own a key, and one that does not.
func ownersOf(t *testing.T, nodes []*Node, key string) (owners []*Node, other *Node) {
	t.Helper()
	at, err := nodes[0].target("default", []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range at.owners {
		owners = append(owners, nodes[slices.IndexFunc(nodes, func(n *Node) bool { return n.id == name })])
	}
	for _, n := range nodes {
		if !slices.Contains(at.owners, n.id) {
			other = n
		}
	}
	return owners, other
}

func TestStandInHandsOver(t *testing.T) {
	w, nodes := startDC(t, 4, 3)
	owners, other := ownersOf(t, nodes, "k")
	w.setDown(owners[2].id, true)
	all := put("k", "v")
	all.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	resp, err := owners[0].Update(t.Context(), all)
	if err != nil {
		t.Fatalf("write to all with a stand-in: %v", err)
	}
	if a := resp.GetAnswer(); a.GetCopies() != 3 || a.GetStandIns() != 1 {
		t.Errorf("%d copies, %d of them with stand-ins, want 3 and 1", a.GetCopies(), a.GetStandIns())
	}
	if got := len(other.guests()); got != 1 {
		t.Errorf("the node that owns nothing of it holds %d guests, want 1", got)
	}
	all.Options.Strict = true
	if _, err := owners[0].Update(t.Context(), all); reason(err) != "WRITE_INDETERMINATE" {
		t.Errorf("strict write to all with an owner away: %v, want WRITE_INDETERMINATE", err)
	}
	w.setDown(owners[2].id, false)
	eventually(t, "the stand-in has handed over", func() bool { return guestsOf(nodes) == 0 && level(nodes) })
	if got := other.count.HandedOver.Load(); got != 1 {
		t.Errorf("%d replicas handed over, want 1", got)
	}
	one := get("k")
	one.Options = &v1.ReadOptions{R: 1}
	if got, err := owners[2].Get(t.Context(), one); err != nil || string(got.GetValue().GetBytes()) != "v" {
		t.Errorf("read at the owner that was away: %v, %v", got, err)
	}
}

// Two of three owners are gone when the third returns: what only the stand-in
// and the two had must reach it from the stand-in.
func TestStandInIsTheOnlyCopyLeft(t *testing.T) {
	w, nodes := startDC(t, 4, 3)
	owners, other := ownersOf(t, nodes, "k")
	w.setDown(owners[2].id, true)
	if _, err := owners[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "somebody stands in", func() bool { return len(other.guests()) == 1 })
	w.setDown(owners[0].id, true)
	w.setDown(owners[1].id, true)
	w.setDown(owners[2].id, false)
	eventually(t, "the others see who is away", func() bool { return !other.alive(owners[0].id) && other.alive(owners[2].id) })
	if len(other.guests()) != 1 {
		t.Error("the stand-in dropped what only one owner holds")
	}
	w.setDown(owners[0].id, false)
	w.setDown(owners[1].id, false)
	eventually(t, "the stand-in has handed over", func() bool { return guestsOf(nodes) == 0 && level(nodes) })
}

// An event that only a guest holds is in no owner's log: hand-over alone brings it.
func TestOwnersTakeWhatOnlyAGuestHolds(t *testing.T) {
	_, nodes := startDC(t, 4, 3)
	owners, other := ownersOf(t, nodes, "k")
	at, err := other.target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	event := &crdt.Delta{Actor: 9, Lo: 1, Hi: 1, Changes: []crdt.Change{{
		ID:   crdt.CellID{KeyID: crdt.KeyID{Bucket: "default", Key: "k"}, Kind: crdt.Flag},
		Puts: []crdt.Entry{{Dot: crdt.Dot{Actor: 9, Seq: 1}}},
	}}}
	if err := other.takeAsStandIn(at.id, []*crdt.Delta{event}, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the guest was handed over", func() bool { return other.count.HandedOver.Load() == 1 && guestsOf(nodes) == 0 })
	for _, n := range owners {
		if own := n.store.Replica(at.id).Durable(); !own.ContainsRange(9, 1, 1) {
			t.Errorf("owner %s lacks what the guest held", n.id)
		}
	}
}

// decide makes a change the next document, as a majority would.
func decide(t *testing.T, nodes []*Node, c ring.Change) {
	t.Helper()
	newest := nodes[0]
	for _, n := range nodes {
		if n.epoch() > newest.epoch() {
			newest = n
		}
	}
	doc, err := newest.Document().Apply(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := newest.adopt(doc); err != nil {
		t.Fatal(err)
	}
}

// settled waits until the move under way has come to its end everywhere.
func settled(t *testing.T, nodes []*Node, epoch uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("epoch %d has settled", epoch), func() bool {
		for _, n := range nodes {
			if n.epoch() < epoch || n.Document().Moving() {
				return false
			}
		}
		return guestsOf(nodes) == 0
	})
}

func TestMoveUnderLoad(t *testing.T) {
	_, nodes := startDC(t, 5, 3)
	ctx, stop := context.WithCancel(t.Context())
	var acked [4]atomic.Int64
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for i := range acked {
		writers.Go(func() {
			for at := 0; ctx.Err() == nil; at++ {
				if _, err := nodes[at%len(nodes)].Update(context.Background(), incr(fmt.Sprintf("hits%d-%d", i, at%20), 1)); err != nil {
					t.Errorf("increment during a move: %v", err)
					return
				}
				acked[i].Add(1)
			}
		})
	}
	epoch := nodes[0].epoch()
	for _, c := range []ring.Change{ring.Leave("e"), ring.Join(ring.Entry{ID: "e", Rack: "e"}), ring.Drain("a"), ring.Weight("b", 2000)} {
		decide(t, nodes, c)
		epoch += 3 // the change, the turn, the end
		settled(t, nodes, epoch)
	}
	stop()
	writers.Wait()
	eventually(t, "all are level", func() bool { return level(nodes) })
	for i := range acked {
		var sum int64
		for at := range 20 {
			got, err := nodes[i].Get(t.Context(), get(fmt.Sprintf("hits%d-%d", i, at)))
			if err != nil {
				t.Fatal(err)
			}
			sum += got.GetValue().GetInteger()
		}
		if want := acked[i].Load(); sum != want {
			t.Errorf("writer %d: the counters add up to %d, %d increments were acknowledged", i, sum, want)
		}
	}
	if got := nodes[0].owned("a"); got != 0 {
		t.Errorf("a drained node owns %d partitions", got)
	}
}

// A write of an epoch that an owner has left is refused there, and carried out
// under the present one.
func TestStaleRingIsRefused(t *testing.T) {
	_, nodes := startDC(t, 4, 3)
	owners, _ := ownersOf(t, nodes, "k")
	doc, err := owners[1].Document().Apply(ring.Drain(nodes[3].id))
	if err != nil {
		t.Fatal(err)
	}
	if err := owners[1].adopt(doc); err != nil {
		t.Fatal(err)
	}
	if _, err := owners[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the owner that has moved on refuses the others", func() bool { return owners[1].count.StaleRings.Load() > 0 })
	settled(t, nodes, doc.Epoch+2)
}

// A node that comes back finds out that the ring has moved on.
func TestNodeThatMissedAMove(t *testing.T) {
	w, nodes := startDC(t, 4, 3)
	w.setDown("d", true)
	for i := range 50 {
		if _, err := nodes[i%3].Update(t.Context(), put(fmt.Sprintf("k%d", i), "v")); err != nil {
			t.Fatal(err)
		}
	}
	decide(t, nodes[:3], ring.Leave("d"))
	eventually(t, "it settles without the dead node", func() bool { return nodes[0].epoch() == 4 && nodes[1].epoch() == 4 })
	w.setDown("d", false)
	settled(t, nodes, 4)
	for i := range 50 {
		if _, err := nodes[3].Get(t.Context(), get(fmt.Sprintf("k%d", i))); err != nil {
			t.Errorf("read of k%d through a node that is no member: %v", i, err)
		}
	}
}

func TestDroppedReplicaComesBackUnderANewActor(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	at, err := nodes[0].target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	r := nodes[0].store.Replica(at.id)
	before, _ := r.Actor()
	eventually(t, "it is dropped", func() bool {
		ok, err := r.Drop(r.Generation())
		return err == nil && ok
	})
	if a, err := r.Read(storage.Query{Key: at.key}); err != nil || len(a.Cells) != 0 {
		t.Errorf("after the drop it still holds %v, %v", a, err)
	}
	if _, err := nodes[0].Update(t.Context(), put("k", "w")); err != nil {
		t.Fatal(err)
	}
	if after, ok := r.Actor(); !ok || after == before {
		t.Errorf("actor %v after the drop, %v before", after, before)
	}
	eventually(t, "all are level", func() bool { return level(nodes) })
}

// The effect of an event stands ahead of every clock at one replica, and the
// event is lost: only the trees tell, and it is minted again.
func TestWhatALostEventLeft(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are level", func() bool { return level(nodes) })
	at, err := nodes[0].target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	lost := crdt.Dot{Actor: storage.NodeActor("here", "b")<<32 | 7, Seq: 9}
	r := nodes[1].store.Replica(at.id)
	s := &crdt.Snapshot{Cells: []crdt.CellState{{
		ID:   crdt.CellID{KeyID: crdt.KeyID{Bucket: "default", Key: "k"}, Kind: crdt.Set, Path: crdt.PathOf("e")},
		Live: crdt.Cell{{Dot: lost}},
	}}}
	c, err := r.Repair([]crdt.KeyID{{Bucket: "default", Key: "k"}}, s)
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	if level(nodes) {
		t.Fatal("the trees should differ")
	}
	eventually(t, "the trees are equal", func() bool { return level(nodes) })
	var repairs uint64
	for _, n := range nodes {
		repairs += n.count.TreeRepairs.Load()
	}
	if repairs == 0 {
		t.Error("nobody joined because of a tree")
	}
	eventually(t, "what is left of the lost event has a dot of its own", func() bool {
		for _, n := range nodes {
			if !n.store.Replica(at.id).AheadSince().IsZero() {
				return false
			}
		}
		return level(nodes)
	})
	a, err := nodes[2].store.Replica(at.id).Read(storage.Query{Key: at.key})
	if err != nil {
		t.Fatal(err)
	}
	_, cells := a.Kinds()
	if set := cells[crdt.Set]; len(set) != 1 || len(set[0].Live) != 1 || set[0].Live[0].Dot == lost {
		t.Errorf("the element of the lost event: %v, want one dot that is not %v", set, lost)
	}
}

// A peer that was wiped and started again between two exchanges holds nothing
// of what it told.
func TestPeerThatWasStartedAgain(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	at, err := nodes[0].target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	c := nodes[0].peers
	own := nodes[0].store.Replica(at.id).Durable()
	c.mu.Lock()
	c.hear("b", at.id, own, nil)
	c.mu.Unlock()
	c.reopened("b", 1)
	c.mu.Lock()
	c.hear("b", at.id, own, nil)
	c.mu.Unlock()
	if c.reopened("b", 1) || !c.covers("b", at.id, &own) {
		t.Fatal("a peer that told of itself under the same opening is forgotten")
	}
	if !c.reopened("b", 2) || c.covers("b", at.id, &own) {
		t.Error("what a peer told before it was started again still counts")
	}
}

// What one replica alone has seen is not acknowledged as seen by a quorum.
func TestRepeatedObservationReachesAQuorum(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	observe := &v1.UpdateRequest{Bucket: "default", Key: []byte("visitors"), Options: &v1.WriteOptions{W: 1}, Op: &v1.UpdateRequest_HllAdd{
		HllAdd: &v1.HllAdd{Elements: [][]byte{[]byte("ada")}},
	}}
	w.setDown("b", true)
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), observe); err != nil {
		t.Fatal(err)
	}
	observe.Options = nil
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := nodes[0].Update(ctx, observe); reason(err) != "WRITE_INDETERMINATE" {
		t.Errorf("the same again, alone: %v, want WRITE_INDETERMINATE", err)
	}
	w.setDown("b", false)
	resp, err := nodes[0].Update(t.Context(), observe)
	if err != nil || resp.GetAnswer().GetCopies() != 2 {
		t.Fatalf("the same again, with another: %v, %v", resp, err)
	}
	w.setDown("a", true)
	one := get("visitors")
	one.Options = &v1.ReadOptions{R: 1}
	if got, err := nodes[1].Get(t.Context(), one); err != nil || got.GetValue().GetEstimate() != 1 {
		t.Errorf("at the other replica: %v, %v, want 1", got.GetValue(), err)
	}
}
