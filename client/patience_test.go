package client

import (
	"testing"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// nodeOf is a node whose answers to writes took so long each.
func nodeOf(answers int, took time.Duration) *node {
	n := &node{}
	for range answers {
		n.took[writeClass].note(took)
		n.took[batchClass].note(took)
		n.took[readClass].note(took)
	}
	return n
}

func TestPatienceFollowsLatency(t *testing.T) {
	tests := []struct {
		name  string
		node  *node
		class class
		left  time.Duration
		want  time.Duration
	}{
		{"a node nobody knows", nodeOf(15, time.Millisecond), writeClass, 10 * time.Second, time.Second},
		{"a fast one", nodeOf(16, time.Millisecond), writeClass, 10 * time.Second, 250 * time.Millisecond},
		{"a slow one", nodeOf(16, 200*time.Millisecond), writeClass, 10 * time.Second, 800 * time.Millisecond},
		{"half of the time left", nodeOf(16, time.Second), writeClass, 2 * time.Second, time.Second},
		{"batches of a node nobody knows", nodeOf(15, time.Millisecond), batchClass, 10 * time.Second, 0},
		{"batches", nodeOf(16, time.Millisecond), batchClass, 10 * time.Second, time.Second},
		{"calls of no class", nodeOf(16, time.Millisecond), otherClass, 10 * time.Second, 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.node.patience(tt.class, tt.left, 0); got != tt.want {
				t.Errorf("patience = %v, want %v", got, tt.want)
			}
		})
	}
}

// Attempts that end together double patience once, an answer of their class ends it.
func TestPatienceDoubles(t *testing.T) {
	n := nodeOf(16, time.Millisecond)
	late := &n.late[writeClass]
	for range 64 {
		late.note(time.Hour)
	}
	if got := n.patience(writeClass, time.Minute, 0); got != 500*time.Millisecond {
		t.Errorf("patience after attempts that ended together = %v, want 500ms", got)
	}
	for range 20 {
		late.at.Store(0)
		late.note(time.Millisecond)
	}
	if got := n.patience(writeClass, time.Minute, 0); got != 8*time.Second {
		t.Errorf("patience after many = %v, want 8s", got)
	}
	if got := n.patience(readClass, time.Minute, 0); got != 250*time.Millisecond {
		t.Errorf("patience of reads meanwhile = %v, want 250ms", got)
	}
	late.end()
	if got := n.patience(writeClass, time.Minute, 0); got != 250*time.Millisecond {
		t.Errorf("patience after an answer = %v, want 250ms", got)
	}
}

// What was late at one node is given twice the time at the next.
func TestPatienceDoublesWithinACall(t *testing.T) {
	n := nodeOf(16, time.Millisecond)
	for earlier, want := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		if got := n.patience(writeClass, time.Minute, int32(earlier)); got != want {
			t.Errorf("patience after %d attempts that were late = %v, want %v", earlier, got, want)
		}
		if got := n.beginWithin(writeClass, time.Minute, int32(earlier)); got != want {
			t.Errorf("time to begin after %d attempts that were late = %v, want %v", earlier, got, want)
		}
	}
	if got := n.patience(writeClass, 3*time.Second, 4); got != 1500*time.Millisecond {
		t.Errorf("patience with 3s left = %v, want half of it", got)
	}
}

func TestHedgesWaitForWhatIsUsual(t *testing.T) {
	for _, tt := range []struct {
		node *node
		want time.Duration
	}{
		{nodeOf(15, time.Second), 20 * time.Millisecond},
		{nodeOf(16, 30*time.Millisecond), 30 * time.Millisecond},
		{nodeOf(16, time.Microsecond), 2 * time.Millisecond},
		{nodeOf(16, time.Second), 250 * time.Millisecond},
	} {
		if got := tt.node.hedgeAfter(); got != tt.want {
			t.Errorf("hedge after %v, want %v", got, tt.want)
		}
	}
}

func TestHedgeBudget(t *testing.T) {
	b := hedgeBudget{tokens: hedgeBurst}
	taken := 0
	for b.take() {
		taken++
	}
	for range 100 { // of which one of 20 may be hedged
		b.asked()
		if b.take() {
			taken++
		}
	}
	if taken < 14 || taken > 15 {
		t.Errorf("%d hedges of 100 reads, want 10 and about 5", taken)
	}
}

func TestReadsLeaveABusyOwner(t *testing.T) {
	for _, tt := range []struct {
		open  []int32
		first int // of the nodes, in order
	}{
		{[]int32{8, 0, 0}, 0},
		{[]int32{9, 0, 0}, 1},
		{[]int32{9, 2, 0}, 2},
		{[]int32{40, 16, 17}, 0},
		{[]int32{41, 16, 17}, 1},
		{[]int32{100}, 0},
	} {
		nodes := make([]*node, len(tt.open))
		for i, n := range tt.open {
			nodes[i] = &node{index: uint32(i)}
			nodes[i].open.Store(n)
		}
		if moved := leastBusyFirst(nodes); int(nodes[0].index) != tt.first || moved != (tt.first != 0) {
			t.Errorf("of nodes with %v attempts under way number %d is first, want %d", tt.open, nodes[0].index, tt.first)
		}
	}
}

func TestTheTimeToBeginIsShort(t *testing.T) {
	tests := []struct {
		name     string
		node     *node
		patience time.Duration
		want     time.Duration
	}{
		{"a node nobody knows", nodeOf(15, time.Millisecond), 5 * time.Second, 250 * time.Millisecond},
		{"a slow one", nodeOf(16, 400*time.Millisecond), 5 * time.Second, 800 * time.Millisecond},
		{"less than patience", nodeOf(16, time.Second), 800 * time.Millisecond, 700 * time.Millisecond},
		{"hardly any time", nodeOf(16, time.Second), time.Microsecond, time.Millisecond},
	}
	for _, tt := range tests {
		if got := tt.node.beginWithin(writeClass, tt.patience, 0); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Who is outrun again and again counts as one that does not answer; who answers
// itself meanwhile does not.
func TestNodeThatIsAlwaysOutrun(t *testing.T) {
	n := nodeOf(16, time.Millisecond)
	n.wasOutrun()
	n.wasOutrun()
	n.answers(true)
	n.wasOutrun()
	n.wasOutrun()
	if f := n.failures.Load(); f != 0 {
		t.Errorf("%d failures of a node that answers now and then", f)
	}
	n.wasOutrun()
	if f := n.failures.Load(); f != 1 {
		t.Errorf("%d failures after three reads in a row that others answered, want 1", f)
	}
}

func TestWhatLooksFirst(t *testing.T) {
	context := &pb.WriteOptions{Context: []byte("seen")}
	tests := []struct {
		name string
		of   *pb.UpdateRequest
		want bool
	}{
		{"delete", &pb.UpdateRequest{Op: &pb.UpdateRequest_Remove{}}, true},
		{"delete with a context", &pb.UpdateRequest{Op: &pb.UpdateRequest_Remove{}, Options: context}, false},
		{"srem", &pb.UpdateRequest{Op: &pb.UpdateRequest_SetRemove{}}, true},
		{"zrem", &pb.UpdateRequest{Op: &pb.UpdateRequest_Zremove{}}, true},
		{"reset", &pb.UpdateRequest{Op: &pb.UpdateRequest_CounterReset{}}, true},
		{"fields removed", &pb.UpdateRequest{Op: &pb.UpdateRequest_MapRemove{}}, true},
		{"expire", &pb.UpdateRequest{Op: &pb.UpdateRequest_Expire{}}, true},
		{"keep", &pb.UpdateRequest{Op: &pb.UpdateRequest_Keep{}}, true},
		{"flag off", &pb.UpdateRequest{Op: &pb.UpdateRequest_FlagSet{FlagSet: &pb.FlagSet{}}}, true},
		{"flag on", &pb.UpdateRequest{Op: &pb.UpdateRequest_FlagSet{FlagSet: &pb.FlagSet{On: true}}}, false},
		{"put", &pb.UpdateRequest{Op: &pb.UpdateRequest_Assign{}}, false},
		{"put that keeps the ttl", &pb.UpdateRequest{Op: &pb.UpdateRequest_Assign{}, KeepTtl: true}, true},
		{"sadd", &pb.UpdateRequest{Op: &pb.UpdateRequest_SetAdd{}}, false},
		{"element removed from a field", fieldOf(&pb.UpdateRequest{Op: &pb.UpdateRequest_SetRemove{}}), true},
		{"element added to a field", fieldOf(&pb.UpdateRequest{Op: &pb.UpdateRequest_SetAdd{}}), false},
		{"incr", &pb.UpdateRequest{Op: &pb.UpdateRequest_CounterAdd{}}, false},
	}
	for _, tt := range tests {
		if got := looksFirst(tt.of); got != tt.want {
			t.Errorf("%s looks first: %t, want %t", tt.name, got, tt.want)
		}
	}
}

// fieldOf is an update of a field of a map, after that of another one.
func fieldOf(u *pb.UpdateRequest) *pb.UpdateRequest {
	other := &pb.UpdateRequest{Op: &pb.UpdateRequest_CounterAdd{}}
	return &pb.UpdateRequest{Op: &pb.UpdateRequest_MapUpdate{MapUpdate: &pb.MapUpdate{
		Fields: []*pb.FieldUpdate{{Name: []byte("n"), Update: other}, {Name: []byte("f"), Update: u}},
	}}}
}
