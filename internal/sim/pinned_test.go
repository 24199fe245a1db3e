package sim

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// TestARetryWithoutItsLogIsNotAcknowledged: a write reached one copy, and then
// the log lost its event. Who asks again must not be told that all is well.
func TestARetryWithoutItsLogIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Seed: 1, LogBytes: 1})
		defer c.Close()
		pause(2 * time.Second)
		alone := c.DCs[0].Nodes[0]
		for _, other := range c.DCs[0].Nodes[1:] {
			c.Cut(alone, other)
			c.Cut(other, alone)
		}
		id := binaryID(time.Now())
		write := func() error {
			_, err := alone.current().dc.Update(t.Context(), &v1.UpdateRequest{
				Bucket: bucketSync, Key: []byte("k"), Options: &v1.WriteOptions{RequestId: id, Consistency: v1.Consistency_CONSISTENCY_QUORUM},
				Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}},
			})
			return err
		}
		if err := write(); err == nil || dc.AsError(err).Reason != "WRITE_INDETERMINATE" {
			t.Fatalf("the first time: %v, want WRITE_INDETERMINATE", err)
		}
		pause(90 * time.Second) // until the log is trimmed for its size
		if err := write(); err == nil || dc.AsError(err).Reason != "WRITE_INDETERMINATE" {
			t.Errorf("again, without its log: %v, want WRITE_INDETERMINATE", err)
		}
		c.heal()
		if _, why := c.converge(healLimit); why != "" {
			t.Fatalf("not equal: %s", why)
		}
		pause(5 * time.Second)
		if err := write(); err != nil {
			t.Errorf("again, when all have it: %v", err)
		}
	})
}

// TestARetryWithoutItsLogCountsCopies: another datacenter is cut off, so nothing
// becomes stable, and a write was acknowledged whose event the log has lost since.
// Who asks again, because the answer went astray, is told of the copies that the
// owners here hold, also while one of them is away; and not of one more.
func TestARetryWithoutItsLogCountsCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Seed: 1, Nodes: []int{3, 1}, LogBytes: 1})
		defer c.Close()
		pause(2 * time.Second)
		c.wan.Cut("eu", "us")
		a, b, gone := c.DCs[0].Nodes[0], c.DCs[0].Nodes[1], c.DCs[0].Nodes[2]
		id := binaryID(time.Now())
		write := func(n *Node, copies v1.Consistency) (*v1.UpdateResponse, error) {
			return n.current().dc.Update(t.Context(), &v1.UpdateRequest{
				Bucket: bucketSync, Key: []byte("k"), Options: &v1.WriteOptions{RequestId: id, Consistency: copies},
				Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}},
			})
		}
		if _, err := write(a, v1.Consistency_CONSISTENCY_QUORUM); err != nil {
			t.Fatal(err)
		}
		within(t, 90*time.Second, "logs are empty", func() bool { return a.logged(t)+b.logged(t) == 0 })
		gone.stop()
		for _, n := range []*Node{a, b} {
			again, err := write(n, v1.Consistency_CONSISTENCY_QUORUM)
			if err != nil || !again.GetRepeated() || again.GetValue().GetInteger() != 1 || again.GetAnswer().GetCopies() != 2 {
				t.Errorf("again at %s: %v, %v; want the first answer, with 2 copies", n, again, err)
			}
		}
		if _, err := write(b, v1.Consistency_CONSISTENCY_ALL); reasonOf(err) != "WRITE_INDETERMINATE" {
			t.Errorf("again, with all copies, while an owner is away: %v, want WRITE_INDETERMINATE", err)
		}
	})
}

// TestADatacenterAwayPastTheLog: a datacenter is away for so long that the logs no
// longer reach back, while values are written and deleted on both sides. What
// differs is found by comparing trees, and nothing that was deleted is back.
func TestADatacenterAwayPastTheLog(t *testing.T) {
	for seed := range uint64(3) {
		res := one(t, Plan{Seed: seed, Nodes: []int{2, 1, 2}, Clients: 6, Faults: []string{"away", "smalllog", "replay"}, Duration: 6 * time.Second})
		if len(res.Failures) > 0 {
			t.Error(res)
		}
		if res.Trimmed == 0 || res.Compared == 0 {
			t.Errorf("seed %d: %d answers of trimmed logs and %d comparisons, want some of both", seed, res.Trimmed, res.Compared)
		}
	}
}

// TestALateQuestionIsNoReasonToJoin: a question for missing events stands before a
// node for so long that the events come from elsewhere, all have them, and the
// log is trimmed of them. The answer, that the log no longer reaches back, must
// not make the asker read the whole partition.
func TestALateQuestionIsNoReasonToJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Seed: 1, Partitions: 1})
		defer c.Close()
		pause(2 * time.Second)
		writer, other, asker := c.DCs[0].Nodes[0], c.DCs[0].Nodes[1], c.DCs[0].Nodes[2]
		write := &v1.UpdateRequest{
			Bucket: bucketSync, Key: []byte("k"), Options: &v1.WriteOptions{RequestId: binaryID(time.Now())},
			Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}},
		}
		asked, answer := make(chan struct{}), make(chan struct{})
		var first sync.Once
		c.net.setHold(func(from, to string, req *peerv1.Request) {
			if req.GetMissing() != nil && from == asker.id && to == other.id {
				first.Do(func() { close(asked) })
				<-answer
			}
		})
		c.Cut(writer, asker)
		c.Cut(asker, writer)
		if _, err := writer.current().dc.Update(t.Context(), write); err != nil {
			t.Fatal(err)
		}
		<-asked
		c.Mend(writer, asker)
		c.Mend(asker, writer)
		pause(2 * time.Second)
		again := proto.CloneOf(write)
		again.Options.Consistency = v1.Consistency_CONSISTENCY_ALL
		if _, err := writer.current().dc.Update(t.Context(), again); err != nil {
			t.Fatalf("the same write again, to all: %v", err)
		}
		pause(2500 * time.Millisecond) // until the log is trimmed
		close(answer)
		pause(2 * time.Second)
		if n := asker.current().dc.Counters().Joins.Load(); n != 0 {
			t.Errorf("%d joins of what the asker has, want none", n)
		}
	})
}
