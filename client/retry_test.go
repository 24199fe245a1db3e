package client_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

// first makes a node misbehave at its first call only.
func first(f clienttest.Fault) func(clienttest.Call) clienttest.Fault {
	return func(c clienttest.Call) clienttest.Fault {
		if c.N == 1 {
			return f
		}
		return clienttest.Fault{}
	}
}

// stop stops a node and waits until the client has noticed: what is sent into a
// connection that is just breaking is rightly Unknown.
func stop(t *testing.T, c *client.Client, n *clienttest.Node) {
	t.Helper()
	n.Stop()
	if !c.Await(t.Context(), n.Addr, connectivity.TransientFailure) {
		t.Fatalf("no connection to %s", n.Addr)
	}
}

var indeterminate = clienttest.Refuse(codes.Unavailable, "WRITE_INDETERMINATE", "1 of 2 copies")

func TestIncrementIsRepeatedAtItsNodeOnly(t *testing.T) {
	tests := []struct {
		name  string
		fault clienttest.Fault
	}{
		{"too few copies", clienttest.Fault{After: indeterminate}},
		{"connection broken after sending", clienttest.Fault{Break: true}},
		{"a code that says nothing", clienttest.Fault{After: status.Error(codes.Unavailable, "proxy")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, cluster := open(t, 2)
			a, b := cluster.Node("use1", 0), cluster.Node("use1", 1)
			a.Misbehave(first(tt.fault))
			var r client.Result
			if n := must[int64](t)(c.Incr(t.Context(), "n", 5, client.WithResult(&r))); n != 5 || r.Tries < 2 {
				t.Errorf("Incr() = %d after %d tries, want 5 after 2", n, r.Tries)
			}
			calls := a.Calls()
			if len(calls) != 2 || calls[0].RequestID != calls[1].RequestID || len(calls[0].RequestID) != 16 {
				t.Errorf("calls at the first node: %+v", calls)
			}
			if len(b.Calls()) != 0 {
				t.Errorf("calls elsewhere: %+v", b.Calls())
			}
			if v := must[*client.Value](t)(c.Get(t.Context(), "n")); v.Integer != 5 {
				t.Errorf("counter = %d, want 5", v.Integer)
			}
		})
	}
}

// TestUnknownStaysUnknown breaks the node for good after it took an increment:
// the refused connections that follow do not make it Failed, nor does it move.
func TestUnknownStaysUnknown(t *testing.T) {
	c, cluster := open(t, 2, func(o *client.Options) { o.MaxRetries = 3 })
	a, b := cluster.Node("use1", 0), cluster.Node("use1", 1)
	a.Misbehave(func(clienttest.Call) clienttest.Fault {
		a.Stop()
		return clienttest.Fault{}
	})
	_, err := c.Incr(t.Context(), "n", 5)
	if !client.IsUnavailable(err) || client.OutcomeOf(err) != client.Unknown {
		t.Errorf("Incr() = %v, outcome %v", err, client.OutcomeOf(err))
	}
	if len(a.Calls()) != 1 || len(b.Calls()) != 0 {
		t.Errorf("%d and %d calls, want 1 and 0", len(a.Calls()), len(b.Calls()))
	}
	// A new call is a new write, and goes where somebody answers.
	if n := must[int64](t)(c.Incr(t.Context(), "m", 1)); n != 1 {
		t.Errorf("Incr() = %d", n)
	}
}

func TestWhatWasNotSentMoves(t *testing.T) {
	tests := []struct {
		name string
		sick func(*clienttest.Node)
	}{
		{"connection refused", nil},
		{"no owner", func(n *clienttest.Node) {
			n.Misbehave(first(clienttest.Fault{Before: clienttest.Refuse(codes.Unavailable, "NO_OWNER", "none of 3 owners")}))
		}},
		{"overloaded", func(n *clienttest.Node) {
			n.Misbehave(first(clienttest.Fault{Before: clienttest.Refuse(codes.ResourceExhausted, "OVERLOADED", "busy")}))
		}},
		{"not sent on", func(n *clienttest.Node) {
			n.Misbehave(first(clienttest.Fault{Before: clienttest.Refuse(codes.Unavailable, "NOT_SENT", "closed")}))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, cluster := open(t, 2)
			if tt.sick != nil {
				tt.sick(cluster.Node("use1", 0))
			} else {
				stop(t, c, cluster.Node("use1", 0))
			}
			before := len(cluster.Node("use1", 1).Calls())
			if n := must[int64](t)(c.Incr(t.Context(), "n", 5)); n != 5 {
				t.Errorf("Incr() = %d, want 5", n)
			}
			if len(cluster.Node("use1", 1).Calls()) != before+1 {
				t.Error("the second node was not asked")
			}
			// The client stays with the node that answered.
			must[int64](t)(c.Incr(t.Context(), "n", 1))
			if len(cluster.Node("use1", 1).Calls()) != before+2 {
				t.Error("the client went back")
			}
		})
	}
}

func TestAllNodesDownIsFailed(t *testing.T) {
	c, cluster := open(t, 2, func(o *client.Options) { o.MaxRetries = 3 })
	stop(t, c, cluster.Node("use1", 0))
	stop(t, c, cluster.Node("use1", 1))
	_, err := c.Incr(t.Context(), "n", 5)
	if !client.IsUnavailable(err) || client.OutcomeOf(err) != client.Failed {
		t.Errorf("Incr() = %v, outcome %v", err, client.OutcomeOf(err))
	}
	cluster.Node("use1", 1).Restart()
	for {
		n, err := c.Incr(t.Context(), "n", 5)
		if err == nil && n == 5 {
			break
		}
		if client.OutcomeOf(err) != client.Failed {
			t.Fatalf("after the restart: %d, %v", n, err)
		}
	}
}

// TestRepeatableWritesMove: adding an element twice changes nothing, so the
// client does not insist on the node that broke.
func TestRepeatableWritesMove(t *testing.T) {
	tests := []struct {
		name  string
		op    client.Op
		opts  []client.CallOption
		moves bool
	}{
		{"sadd", client.SAddOp("s", "x"), nil, true},
		{"srem", client.SRemOp("s", "x"), nil, true},
		{"put", client.PutOp("r", []byte("x")), nil, true},
		{"put with what it observed", client.PutOp("r", []byte("x")), []client.CallOption{client.WithContext(nil)}, false},
		{"put of an mvregister", client.PutOp("r", []byte("x")), []client.CallOption{client.WithKind(client.MVRegister)}, false},
		{"incr", client.IncrOp("n", 1), nil, false},
		{"reset", client.ResetOp("n"), nil, false},
		{"delete", client.DeleteOp("n"), nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, cluster := open(t, 2)
			a, b := cluster.Node("use1", 0), cluster.Node("use1", 1)
			a.Misbehave(first(clienttest.Fault{After: indeterminate}))
			must[*client.Result](t)(c.Update(t.Context(), tt.op, tt.opts...))
			if moved := len(b.Calls()) == 1; moved != tt.moves {
				t.Fatalf("moved: %v, want %v", moved, tt.moves)
			}
			if tt.moves && a.Calls()[0].RequestID != b.Calls()[0].RequestID {
				t.Error("another request id at the other node")
			}
		})
	}
}

// TestHangingNode: a node that accepts and never answers costs a read or a
// repeatable write half of its time, and an increment all of it.
func TestHangingNode(t *testing.T) {
	c, cluster := open(t, 2)
	stuck := func(clienttest.Call) clienttest.Fault { return clienttest.Fault{Stuck: true} }
	cluster.Node("use1", 0).Misbehave(stuck)
	_, err := c.Incr(t.Context(), "n", 1, client.WithTimeout(100*time.Millisecond))
	if !client.IsTimeout(err) || client.OutcomeOf(err) != client.Unknown {
		t.Errorf("increment: %v", err)
	}
	if n := must[int](t)(c.SAdd(t.Context(), "s", []string{"x"}, client.WithTimeout(200*time.Millisecond))); n != 1 {
		t.Errorf("SAdd() = %d", n)
	}
	// A batch may need its time: it is not taken from the node half way.
	calls := len(cluster.Node("use1", 0).Calls())
	must[*client.Value](t)(c.Get(t.Context(), "s"))
	cluster.Node("use1", 1).Misbehave(stuck)
	results := must[[]client.GetResult](t)(c.BatchGet(t.Context(), []string{"s"}, client.WithTimeout(50*time.Millisecond)))
	if !client.IsTimeout(results[0].Err) || len(cluster.Node("use1", 0).Calls()) != calls {
		t.Errorf("BatchGet() = %v", results[0].Err)
	}
	cluster.Node("use1", 0).Misbehave(nil)
	if v := must[*client.Value](t)(c.Get(t.Context(), "s", client.WithTimeout(200*time.Millisecond))); v.Total != 1 {
		t.Errorf("Get() = %+v", v)
	}
}

func TestDefiniteAnswersAreNotRepeated(t *testing.T) {
	for _, code := range []codes.Code{
		codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.PermissionDenied, codes.ResourceExhausted, codes.OutOfRange,
	} {
		c, cluster := open(t, 2)
		cluster.Node("use1", 0).Misbehave(first(clienttest.Fault{Before: clienttest.Refuse(code, "SOME_REASON", "no")}))
		_, err := c.Incr(t.Context(), "n", 1)
		var e *client.Error
		if !errors.As(err, &e) || e.Code != code || e.Reason != "SOME_REASON" || e.Message != "no" || e.Outcome != client.Failed {
			t.Errorf("%v: %+v", code, err)
		}
		if n := len(cluster.Node("use1", 0).Calls()) + len(cluster.Node("use1", 1).Calls()); n != 1 {
			t.Errorf("%v: %d calls, want 1", code, n)
		}
	}
}

func TestOutcomes(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want client.Outcome
	}{
		{"internal error", status.Error(codes.Internal, "bug"), client.Unknown},
		{"timeout at the server", clienttest.Refuse(codes.DeadlineExceeded, "TIMEOUT", "late"), client.Unknown},
		{"limit named by the server", clienttest.Refuse(codes.ResourceExhausted, "DISK_LOW", "full"), client.Failed},
		{"limit of somebody unknown", status.Error(codes.ResourceExhausted, "too large"), client.Unknown},
		{"request id too old", clienttest.Refuse(codes.FailedPrecondition, "REQUEST_TOO_OLD", "old"), client.Unknown},
		{"too few copies", indeterminate, client.Unknown},
		{"answer too large", clienttest.Refuse(codes.ResourceExhausted, "ANSWER_TOO_LARGE", "5 MiB"), client.Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, cluster := open(t, 1, func(o *client.Options) { o.MaxRetries = -1 })
			cluster.Node("use1", 0).Misbehave(first(clienttest.Fault{After: tt.err}))
			if _, err := c.Incr(t.Context(), "n", 1); client.OutcomeOf(err) != tt.want {
				t.Errorf("%v: outcome %v, want %v", err, client.OutcomeOf(err), tt.want)
			}
		})
	}
	if client.OutcomeOf(nil) != client.OK || client.OutcomeOf(errors.New("else")) != client.Unknown {
		t.Error("outcome of nil or of a foreign error")
	}
}

func TestBatchRepeatsWhatIsOpen(t *testing.T) {
	ops := []client.Op{client.IncrOp("n", 5), client.SAddOp("s", "x")}
	c, cluster := open(t, 2)
	a, b := cluster.Node("use1", 0), cluster.Node("use1", 1)
	a.Misbehave(first(clienttest.Fault{Break: true}))
	results := must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), ops))
	if results[0].Err != nil || results[0].Result.Integer != 5 || results[0].Result.Tries < 2 || results[1].Err != nil {
		t.Errorf("results %+v", results)
	}
	if len(b.Calls()) != 0 {
		t.Error("an increment that may have been applied went elsewhere")
	}
	stop(t, c, a)
	results = must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), ops))
	if results[0].Err != nil || results[0].Result.Integer != 10 || results[1].Result.Changed != 0 {
		t.Errorf("after failover: %+v", results)
	}
	stop(t, c, b)
	results = must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), ops, client.WithTimeout(50*time.Millisecond)))
	for _, r := range results {
		if client.OutcomeOf(r.Err) != client.Failed {
			t.Errorf("nobody there: %v", r.Err)
		}
	}
}

// TestBatchOfSets moves: every operation in it may be repeated.
func TestBatchOfSets(t *testing.T) {
	c, cluster := open(t, 2)
	cluster.Node("use1", 0).Misbehave(first(clienttest.Fault{After: indeterminate}))
	results := must[[]client.UpdateResult](t)(c.BatchUpdate(t.Context(), []client.Op{client.SAddOp("s", "x"), client.SAddOp("s", "y")}))
	if results[0].Err != nil || results[1].Err != nil || len(cluster.Node("use1", 1).Calls()) != 1 {
		t.Errorf("results %+v", results)
	}
}

func TestRoundRobinSpreads(t *testing.T) {
	c, cluster := open(t, 3, func(o *client.Options) { o.RoundRobin = true })
	for range 30 {
		must[int64](t)(c.Incr(t.Context(), "n", 1))
	}
	for i := range 3 {
		if n := len(cluster.Node("use1", i).Calls()); n != 10 {
			t.Errorf("node %d had %d calls, want 10", i, n)
		}
	}
}

func TestRequestIDOfTheCaller(t *testing.T) {
	c, _ := open(t, 1)
	id, err := c.NewRequestID()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n := must[int64](t)(c.Incr(t.Context(), "n", 1, client.WithRequestID(id))); n != 1 {
			t.Errorf("Incr() = %d, want 1 each time", n)
		}
	}
}
