package dc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// newID is a request id born at a moment; n tells those of one moment apart.
func newID(born time.Time, n byte) []byte {
	id := make([]byte, 16)
	ms := born.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[15] = n
	return id
}

// ofEveryKind are operations, and how the key reads when each was carried out once.
func ofEveryKind() map[string]*v1.UpdateRequest {
	bytesOf := func(s ...string) (out [][]byte) {
		for _, e := range s {
			out = append(out, []byte(e))
		}
		return out
	}
	ops := map[string]*v1.UpdateRequest{
		"register":   put("", "v"),
		"mvregister": {Kind: v1.Kind_KIND_MVREGISTER, Op: put("", "v").GetOp()},
		"counter":    incr("", 5),
		"gcounter":   {Kind: v1.Kind_KIND_GCOUNTER, Op: incr("", 6).GetOp()},
		"bcounter":   {Kind: v1.Kind_KIND_BCOUNTER, Op: incr("", 7).GetOp()},
		"set":        {Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: bytesOf("a", "b")}}},
		"rwset":      {Kind: v1.Kind_KIND_RWSET, Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: bytesOf("a")}}},
		"gset":       {Kind: v1.Kind_KIND_GSET, Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: bytesOf("a")}}},
		"flag":       {Op: &v1.UpdateRequest_FlagSet{FlagSet: &v1.FlagSet{On: true}}},
		"dwflag":     {Kind: v1.Kind_KIND_DWFLAG, Op: &v1.UpdateRequest_FlagSet{FlagSet: &v1.FlagSet{On: true}}},
		"zset":       {Op: &v1.UpdateRequest_Zincr{Zincr: &v1.ZIncr{Member: []byte("m"), By: 2.5}}},
		"hll":        {Op: &v1.UpdateRequest_HllAdd{HllAdd: &v1.HllAdd{Elements: bytesOf("a", "b", "c")}}},
		"map": {Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{Fields: []*v1.FieldUpdate{
			{Name: []byte("visits"), Update: incr("", 3)},
		}}}},
	}
	for name, op := range ops {
		op.Bucket, op.Key = "default", []byte("of/"+name)
	}
	return ops
}

func TestRetryOfEveryKindIsAnsweredAsTheFirstTime(t *testing.T) {
	_, nodes := startDC(t, 5, 3)
	var n byte
	for kind, op := range ofEveryKind() {
		n++
		t.Run(kind, func(t *testing.T) {
			op.Options = &v1.WriteOptions{RequestId: newID(time.Now(), n), Consistency: v1.Consistency_CONSISTENCY_ALL}
			first, err := nodes[0].Update(t.Context(), op)
			if err != nil {
				t.Fatal(err)
			}
			if first.GetRepeated() {
				t.Error("the first try counts as repeated")
			}
			before, err := nodes[0].Get(t.Context(), get(string(op.GetKey())))
			if err != nil {
				t.Fatal(err)
			}
			for _, node := range append(slices.Clone(nodes), nodes[0]) { // its answer was lost: elsewhere, and at the same node
				again, err := node.Update(t.Context(), op)
				if err != nil {
					t.Fatalf("retry at %s: %v", node.ID(), err)
				}
				if !again.GetRepeated() || !proto.Equal(again.GetDot(), first.GetDot()) || again.GetChanged() != first.GetChanged() || !proto.Equal(again.GetValue(), first.GetValue()) {
					t.Errorf("retry at %s:\n%v\nwant what it was the first time:\n%v", node.ID(), again, first)
				}
			}
			after, err := nodes[1].Get(t.Context(), get(string(op.GetKey())))
			if err != nil || !proto.Equal(after.GetValue(), before.GetValue()) {
				t.Errorf("after all the retries %v (%v), want %v as after the first try", after.GetValue(), err, before.GetValue())
			}
		})
	}
}

func TestRetryThatReachesAReplicaWhichMissedTheFirstTry(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 3*time.Second)
	req := incr("hits", 5)
	req.Options = &v1.WriteOptions{RequestId: newID(time.Now(), 1)}
	first := onlyAB(t, w, nodes, req)
	repeat := proto.CloneOf(req)
	repeat.Options.Repeat = true
	again, err := nodes[2].Update(t.Context(), repeat)
	if err != nil || !again.GetRepeated() || again.GetValue().GetInteger() != 5 || !proto.Equal(again.GetDot(), first.GetDot()) {
		t.Errorf("repeat at the replica that missed it: %v, %v; want the first answer", again, err)
	}
	if got := nodes[2].Counters().RepeatLooks.Load(); got != 1 {
		t.Errorf("RepeatLooks = %d, want 1", got)
	}
}

func TestRepeatIsUnknownWhileNotEverybodyCanTell(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 3*time.Second)
	req := incr("hits", 5)
	req.Options = &v1.WriteOptions{RequestId: newID(time.Now(), 1)}
	w.setDown("b", true)
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), req); reason(err) != "WRITE_INDETERMINATE" {
		t.Fatalf("with one copy of two: %v", err)
	}
	w.setDown("a", true)
	w.setDown("b", false)
	w.setDown("c", false)
	repeat := proto.CloneOf(req)
	repeat.Options.Repeat = true
	if _, err := nodes[2].Update(t.Context(), repeat); reason(err) != "WRITE_INDETERMINATE" {
		t.Errorf("while the only one that knows is away: %v, want WRITE_INDETERMINATE", err)
	}
	if got := nodes[2].Counters().RepeatsUnsettled.Load(); got != 1 {
		t.Errorf("RepeatsUnsettled = %d, want 1", got)
	}
	w.setDown("a", false)
	again, err := nodes[2].Update(t.Context(), repeat)
	if err != nil || again.GetValue().GetInteger() != 5 {
		t.Errorf("once it is back: %v, %v", again, err)
	}
	all := get("hits")
	all.Options = &v1.ReadOptions{R: 3}
	if got, err := nodes[1].Get(t.Context(), all); err != nil || got.GetValue().GetInteger() != 5 {
		t.Errorf("the counter is %v (%v), want 5", got.GetValue(), err)
	}
}

func TestRepeatThatNobodyKnowsIsCarriedOut(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	req := incr("hits", 5)
	req.Options = &v1.WriteOptions{RequestId: newID(time.Now(), 1), Repeat: true}
	resp, err := nodes[1].Update(t.Context(), req)
	if err != nil || resp.GetRepeated() || resp.GetValue().GetInteger() != 5 {
		t.Fatalf("a repeat of a try that got nowhere: %v, %v", resp, err)
	}
	late := proto.CloneOf(req) // the first try, which was still on its way to another owner
	late.Options.Repeat = false
	late.Options.RequestId = newID(time.Now(), 2)
	nodes[2].requests.recall(crdt.RequestID(late.Options.RequestId), time.Now())
	if _, err := nodes[2].Update(t.Context(), late); reason(err) != "WRITE_INDETERMINATE" {
		t.Errorf("an earlier try where the request was recalled: %v, want WRITE_INDETERMINATE", err)
	}
	late.Options.Repeat = true
	if resp, err := nodes[2].Update(t.Context(), late); err != nil || resp.GetValue().GetInteger() != 10 {
		t.Errorf("a repeat where it was recalled: %v, %v", resp, err)
	}
}

func TestRecalledRequests(t *testing.T) {
	var r requests
	id := crdt.RequestID{1}
	end, ok := r.begin(id, 0)
	if !ok {
		t.Fatal("a request that nobody recalled does not begin")
	}
	over, ok := r.recall(id, time.Now())
	if !ok {
		t.Fatal("not recalled")
	}
	select {
	case <-over:
		t.Error("a recall does not wait for the try that is under way")
	default:
	}
	end()
	<-over
	if _, ok := r.begin(id, 0); ok {
		t.Error("a try begins after it was recalled")
	}
	if _, ok := r.begin(id, r.now()); !ok {
		t.Error("a repeat that looked after the recall does not begin")
	}
	old := time.Now().Add(-2 * recallFor)
	for i := len(r.recalled); i < recallMost; i++ {
		r.recall(crdt.RequestID([]byte(fmt.Sprintf("%016d", i))), old)
	}
	if _, ok := r.recall(crdt.RequestID{2}, old); ok {
		t.Error("more are recalled than may be")
	}
	if _, ok := r.recall(crdt.RequestID{2}, time.Now()); !ok || len(r.recalled) > 10 {
		t.Errorf("old ones are not forgotten: %d", len(r.recalled))
	}
}

func TestRequestPastItsWindow(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	req := incr("hits", 5)
	req.Options = &v1.WriteOptions{RequestId: newID(time.Now().Add(-48*time.Hour), 1)}
	for _, repeat := range []bool{false, true} {
		req.Options.Repeat = repeat
		if _, err := nodes[0].Update(t.Context(), req); AsError(err).Reason != "REQUEST_TOO_OLD" {
			t.Errorf("repeat %v: %v, want REQUEST_TOO_OLD", repeat, err)
		}
	}
}

func TestForwardedRequestGoesToTheSameOwner(t *testing.T) {
	s := &slow{takes: map[string]time.Duration{}}
	n := bare(s, 0)
	owners := []string{"b", "c", "d"}
	first := map[string]int{}
	for i := range byte(60) {
		id := newID(time.UnixMilli(1), i)
		got := n.pinned(owners, id)
		if !slices.Equal(got, n.pinned([]string{"d", "b", "c"}, id)) {
			t.Fatalf("the order of owners depends on more than the id: %v", got)
		}
		first[got[0]]++
	}
	if len(first) != 3 {
		t.Errorf("requests go to %v, want to all owners", first)
	}
	delete(n.peers.told, "b")
	for i := range byte(60) {
		if got := n.pinned(owners, newID(time.UnixMilli(1), i)); got[2] != "b" {
			t.Errorf("order %v, want b last, which is away", got)
		}
	}
}

func TestRetryAfterARestart(t *testing.T) {
	top := &topology.Topology{Version: 1, Cluster: "test", Partitions: 4}
	top.Datacenters = []topology.Datacenter{{Name: "here", Nodes: []topology.Node{{ID: "a", Rack: "a", Weight: 1, Advertise: "127.0.0.1"}}}}
	top.Placements = []topology.Placement{{Name: "global", Replicas: map[string]int{"here": 1}}}
	top.FillDefaults()
	w := &wire{nodes: map[string]*Node{}, down: map[string]bool{}}
	disk := storage.NewMemory()
	open := func() *Node {
		n, err := Open(Options{
			Topology: top, Node: "a", Transport: wireEnd{w, "a"}, Membership: w,
			Storage: storage.Options{Dir: "/a", FS: disk, Ballast: -1, MemTable: 1 << 20, CacheBytes: 1 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	node := open()
	answers := map[string]*v1.UpdateResponse{}
	ops := ofEveryKind()
	var i byte
	for kind, op := range ops {
		i++
		op.Options = &v1.WriteOptions{RequestId: newID(time.Now(), i)}
		resp, err := node.Update(t.Context(), op)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		answers[kind] = resp
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	node = open()
	defer node.Close()
	for kind, op := range ops {
		again, err := node.Update(t.Context(), op)
		if err != nil || !again.GetRepeated() || !proto.Equal(again.GetDot(), answers[kind].GetDot()) || !proto.Equal(again.GetValue(), answers[kind].GetValue()) {
			t.Errorf("%s after a restart: %v, %v; want %v", kind, again, err, answers[kind])
		}
	}
}
