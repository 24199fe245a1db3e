package rpc_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc/rpc"
	"github.com/godwitdb/godwit/internal/testcluster"
	"github.com/godwitdb/godwit/topology"
)

// pipe is a pipeline as any client of the contract would use it: frames are plain
// messages to it.
type pipe struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[v1.PipelineFrame, v1.PipelineFrame]
}

func openPipe(t *testing.T, kv v1.KVClient) *pipe {
	t.Helper()
	stream, err := kv.Pipeline(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return &pipe{t, stream}
}

// send sends requests in as few frames as will do, with ids from 1.
func (p *pipe) send(requests ...*v1.PipelineRequest) {
	p.t.Helper()
	f := &v1.PipelineFrame{}
	for i, r := range requests {
		f.Messages = append(f.Messages, &v1.PipelineMessage{Id: uint64(i + 1), Of: &v1.PipelineMessage_Request{Request: r}})
		if proto.Size(f) < 16<<10 && i < len(requests)-1 {
			continue
		}
		if err := p.stream.Send(f); err != nil {
			p.t.Fatal(err)
		}
		f = &v1.PipelineFrame{}
	}
}

// receive waits for n answers and puts them in the order of their ids.
func (p *pipe) receive(n int) []*v1.PipelineAnswer {
	p.t.Helper()
	answers := make([]*v1.PipelineAnswer, n)
	for got := 0; got < n; {
		f, err := p.stream.Recv()
		if err != nil {
			p.t.Fatalf("after %d of %d answers: %v", got, n, err)
		}
		for _, m := range f.GetMessages() {
			if answers[m.GetId()-1] != nil {
				p.t.Fatalf("request %d is answered twice", m.GetId())
			}
			answers[m.GetId()-1] = m.GetAnswer()
			got++
		}
	}
	return answers
}

func getOf(r *v1.GetRequest) *v1.PipelineRequest {
	return &v1.PipelineRequest{Of: &v1.PipelineRequest_Get{Get: r}}
}

func updateOf(r *v1.UpdateRequest) *v1.PipelineRequest {
	return &v1.PipelineRequest{Of: &v1.PipelineRequest_Update{Update: r}}
}

// unary carries a request out by its own method, and puts what comes of it into
// the words of a pipeline.
func unary(t *testing.T, kv v1.KVClient, r *v1.PipelineRequest) *v1.PipelineAnswer {
	t.Helper()
	a := &v1.PipelineAnswer{}
	var err error
	switch of := r.GetOf().(type) {
	case *v1.PipelineRequest_Get:
		var got *v1.GetResponse
		if got, err = kv.Get(within(t, 10*time.Second), of.Get); err == nil {
			a.Of = &v1.PipelineAnswer_Get{Get: got}
		}
	case *v1.PipelineRequest_Update:
		var done *v1.UpdateResponse
		if done, err = kv.Update(within(t, 10*time.Second), of.Update); err == nil {
			a.Of = &v1.PipelineAnswer_Update{Update: done}
		}
	}
	s := status.Convert(err)
	a.Code, a.Message = int32(s.Code()), s.Message()
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			a.Reason, a.Metadata = d.GetReason(), d.GetMetadata()
		case *v1.Session:
			a.Session = d
		}
	}
	return a
}

// plain takes away what differs between any two runs: names of events, and what
// is sealed with them; and how many copies there were when the answer went out.
func plain(a *v1.PipelineAnswer) *v1.PipelineAnswer {
	a.Epoch = 0
	if g := a.GetGet(); g != nil {
		g.Context, g.Session = nil, nil
	}
	if u := a.GetUpdate(); u != nil {
		u.Context, u.Dot, u.Session, u.Answer = nil, nil, nil, nil
	}
	if a.Session != nil {
		a.Session.Tokens = nil
	}
	return a
}

func TestPipelineAnswersAsUnaryCallsDo(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{
		Nodes: 4, Server: rpc.ServerOptions{MaxMessage: 64 << 10},
		Buckets: []topology.Bucket{{Name: "small", MaxValue: 10}, {Name: "counters", KindsAllowed: []string{"counter"}}},
	})
	assign := func(key, value string) *v1.UpdateRequest {
		return &v1.UpdateRequest{Bucket: bucket, Key: []byte(key), Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte(value)}}}
	}
	count := func(key string) *v1.UpdateRequest {
		return &v1.UpdateRequest{Bucket: bucket, Key: []byte(key), Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 3}}}
	}
	elements := func(n int) *v1.UpdateRequest {
		add := &v1.SetAdd{}
		for i := range n {
			add.Elements = append(add.Elements, fmt.Appendf(nil, "%0200d", i))
		}
		return &v1.UpdateRequest{Bucket: bucket, Key: []byte("set"), Op: &v1.UpdateRequest_SetAdd{SetAdd: add}}
	}
	all := func(key string) *v1.GetRequest { return &v1.GetRequest{Bucket: bucket, Key: []byte(key)} }
	tests := []struct {
		name   string
		req    func() *v1.PipelineRequest
		reason string
	}{
		{"absent", func() *v1.PipelineRequest { return getOf(all("absent")) }, "NOT_FOUND"},
		{"absent to a session", func() *v1.PipelineRequest {
			r := all("absent")
			r.Options = &v1.ReadOptions{Session: &v1.Session{}}
			return getOf(r)
		}, "NOT_FOUND"},
		{"put", func() *v1.PipelineRequest { return updateOf(assign("reg", "v")) }, ""},
		{"get", func() *v1.PipelineRequest { return getOf(all("reg")) }, ""},
		{"wrong kind", func() *v1.PipelineRequest { return updateOf(count("reg")) }, "WRONG_KIND"},
		{"count", func() *v1.PipelineRequest { return updateOf(count("n")) }, ""},
		{"no bucket", func() *v1.PipelineRequest { return getOf(&v1.GetRequest{Key: []byte("k")}) }, "NO_BUCKET"},
		{"unknown bucket", func() *v1.PipelineRequest { return getOf(&v1.GetRequest{Bucket: "nope", Key: []byte("k")}) }, "UNKNOWN_BUCKET"},
		{"no key", func() *v1.PipelineRequest { return getOf(&v1.GetRequest{Bucket: bucket}) }, "NO_KEY"},
		{"key too long", func() *v1.PipelineRequest { return getOf(all(string(make([]byte, 1025)))) }, "KEY_TOO_LONG"},
		{"no operation", func() *v1.PipelineRequest { return updateOf(&v1.UpdateRequest{Bucket: bucket, Key: []byte("k")}) }, "NO_OPERATION"},
		{"bad request id", func() *v1.PipelineRequest {
			u := assign("k", "v")
			u.Options = &v1.WriteOptions{RequestId: []byte("short")}
			return updateOf(u)
		}, "BAD_REQUEST_ID"},
		{"too many copies", func() *v1.PipelineRequest {
			u := assign("k", "v")
			u.Options = &v1.WriteOptions{W: 4}
			return updateOf(u)
		}, "TOO_MANY_COPIES"},
		{"value too large", func() *v1.PipelineRequest {
			u := assign("k", "eleven bytes")
			u.Bucket = "small"
			return updateOf(u)
		}, "VALUE_TOO_LARGE"},
		{"kind not allowed", func() *v1.PipelineRequest {
			u := assign("k", "v")
			u.Bucket, u.Kind = "counters", v1.Kind_KIND_REGISTER
			return updateOf(u)
		}, "KIND_NOT_ALLOWED"},
		{"a large set", func() *v1.PipelineRequest { return updateOf(elements(200)) }, ""},
		{"more of it", func() *v1.PipelineRequest {
			u := elements(200)
			for i, e := range u.GetSetAdd().GetElements() {
				u.GetSetAdd().Elements[i] = append([]byte("more"), e...)
			}
			return updateOf(u)
		}, ""},
		{"an answer that is too large", func() *v1.PipelineRequest { return getOf(all("set")) }, "ANSWER_TOO_LARGE"},
	}
	for i := range 4 { // of which one or more own nothing of a key
		p := openPipe(t, c.KV(i))
		var requests []*v1.PipelineRequest
		for _, tt := range tests {
			want := plain(unary(t, c.KV(i), tt.req()))
			if want.GetReason() != tt.reason {
				t.Fatalf("%s: %v, want reason %q", tt.name, want, tt.reason)
			}
			if tt.name == "count" {
				want.GetUpdate().GetValue().Of = &v1.Value_Integer{Integer: want.GetUpdate().GetValue().GetInteger() + 3}
			}
			if u := want.GetUpdate(); u != nil && u.GetKind() == v1.Kind_KIND_SET { // all are there already
				u.Changed = 0
			}
			p.send(tt.req())
			a := p.receive(1)[0]
			if a.GetEpoch() != 1 {
				t.Errorf("%s: epoch %d, want 1", tt.name, a.GetEpoch())
			}
			if u := a.GetUpdate(); u != nil && (len(u.GetContext()) == 0 && u.GetChanged() != 0 || u.GetAnswer().GetCopies() == 0) {
				t.Errorf("%s: %v has no context or no copies", tt.name, u)
			}
			if got := plain(a); !proto.Equal(got, want) {
				t.Errorf("%s at node %d: pipeline %v\nunary %v", tt.name, i, got, want)
			}
			requests = append(requests, tt.req())
		}
		p.send(requests...) // all at once
		for j, a := range p.receive(len(requests)) {
			if a.GetReason() != tests[j].reason {
				t.Errorf("%s, with others: %v, want reason %q", tests[j].name, a, tests[j].reason)
			}
		}
	}
}

func TestPipelineIsBounded(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 2, Replicas: 2, Server: rpc.ServerOptions{MaxPipeline: 4}})
	c.Cut(0, 1) // nothing that wants both is answered before its time is over
	p := openPipe(t, c.KV(0))
	requests := make([]*v1.PipelineRequest, 64)
	for i := range requests {
		requests[i] = updateOf(&v1.UpdateRequest{
			Bucket: bucket, Key: fmt.Append(nil, "k", i), Options: &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL, Strict: true},
			Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte("v")}},
		})
		requests[i].TimeoutMs = 700
	}
	began := time.Now()
	p.send(requests...)
	refused := 0
	for _, a := range p.receive(64) {
		switch a.GetReason() {
		case "OVERLOADED":
			refused++
		case "WRITE_INDETERMINATE", "TIMEOUT":
		default:
			t.Errorf("answer %v", a)
		}
	}
	if refused < 32 || refused > 60 { // some of the four may have made room in time
		t.Errorf("%d of 64 were refused, want about 60", refused)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("answered after %v, want 700ms", took)
	}
	p.send(getOf(&v1.GetRequest{Bucket: bucket, Key: []byte("absent"), Options: &v1.ReadOptions{R: 1}}))
	if a := p.receive(1)[0]; a.GetReason() != "NOT_FOUND" {
		t.Errorf("afterwards: %v", a)
	}
}

// A node that closes answers what it has taken, and says of the rest that nothing
// was done.
func TestPipelineEndsInGoodOrder(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	p := openPipe(t, c.KV(0))
	p.send(getOf(&v1.GetRequest{Bucket: bucket, Key: []byte("k")}))
	p.receive(1)
	done := make(chan []string)
	go func() {
		var reasons []string
		for {
			f, err := p.stream.Recv()
			if err != nil {
				done <- append(reasons, status.Code(err).String())
				return
			}
			for _, m := range f.GetMessages() {
				reasons = append(reasons, m.GetAnswer().GetReason())
			}
		}
	}()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		c.Stop(0)
	}()
	for i := uint64(2); ; i++ {
		u := &v1.UpdateRequest{Bucket: bucket, Key: []byte("n"), Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}}}
		if p.stream.Send(&v1.PipelineFrame{Messages: []*v1.PipelineMessage{{Id: i, Of: &v1.PipelineMessage_Request{Request: updateOf(u)}}}}) != nil {
			break
		}
	}
	reasons := <-done
	<-stopped
	if last := reasons[len(reasons)-1]; last != codes.Unavailable.String() && last != codes.Canceled.String() {
		t.Errorf("the stream ended with %s", last)
	}
	acknowledged := int64(0)
	for _, r := range reasons[:len(reasons)-1] {
		switch r {
		case "":
			acknowledged++
		case "NOT_SENT", "OVERLOADED": // they are sent as fast as they can be
		default:
			t.Errorf("an increment was answered with %q", r)
		}
	}
	var got int64
	a := unary(t, c.KV(1), getOf(&v1.GetRequest{Bucket: bucket, Key: []byte("n")}))
	if got = a.GetGet().GetValue().GetInteger(); got < acknowledged {
		t.Errorf("counter = %d, %d increments were acknowledged", got, acknowledged)
	}
}

func TestPipelineRefusesWhatIsNoFrame(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	p := openPipe(t, c.KV(0))
	p.send(&v1.PipelineRequest{}, nil)
	for _, a := range p.receive(2) {
		if a.GetReason() != "MALFORMED" || codes.Code(a.GetCode()) != codes.InvalidArgument {
			t.Errorf("a request of nothing: %v", a)
		}
	}
	desc := &v1.KV_ServiceDesc.Streams[slices.IndexFunc(v1.KV_ServiceDesc.Streams, func(s grpc.StreamDesc) bool { return s.StreamName == "Pipeline" })]
	stream, err := c.Conn(0).NewStream(within(t, 10*time.Second), desc, v1.KV_Pipeline_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	broken := &v1.PipelineFrame{}
	broken.ProtoReflect().SetUnknown(bytes.Repeat([]byte{0xff}, 3))
	if err := stream.SendMsg(broken); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(v1.PipelineFrame)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("broken frame: %v", err)
	}
}

// What was on its way for longer than it was given is not carried out: its client
// may have gone to another node, and on to its next write.
func TestPipelineDropsWhatCameTooLate(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	p := openPipe(t, c.KV(0))
	if _, err := p.stream.Header(); err != nil {
		t.Fatal(err)
	}
	<-time.After(100 * time.Millisecond) // that it claims to have been on its way
	late := updateOf(&v1.UpdateRequest{Bucket: bucket, Key: []byte("late"), Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte("x")}}})
	late.TimeoutMs = 50
	if err := p.stream.Send(&v1.PipelineFrame{Messages: []*v1.PipelineMessage{{Id: 1, SentMs: 1, Of: &v1.PipelineMessage_Request{Request: late}}}}); err != nil {
		t.Fatal(err)
	}
	if a := p.receive(1)[0]; a.GetReason() != "TOO_LATE" || codes.Code(a.GetCode()) != codes.Unavailable {
		t.Errorf("a request that came too late: %v", a)
	}
	late.TimeoutMs, late.BeginMs = 20_000, 50 // it may take its time, but not to begin
	if err := p.stream.Send(&v1.PipelineFrame{Messages: []*v1.PipelineMessage{{Id: 1, SentMs: 1, Of: &v1.PipelineMessage_Request{Request: late}}}}); err != nil {
		t.Fatal(err)
	}
	if a := p.receive(1)[0]; a.GetReason() != "TOO_LATE" {
		t.Errorf("a request that came too late to begin: %v", a)
	}
	late.BeginMs = 0
	if err := p.stream.Send(&v1.PipelineFrame{Messages: []*v1.PipelineMessage{{Id: 1, SentMs: 101, Of: &v1.PipelineMessage_Request{Request: getOf(&v1.GetRequest{Bucket: bucket, Key: []byte("late")})}}}}); err != nil {
		t.Fatal(err)
	}
	if a := p.receive(1)[0]; codes.Code(a.GetCode()) != codes.NotFound {
		t.Errorf("the key afterwards: %v, want NOT_FOUND", a)
	}
	if err := p.stream.Send(&v1.PipelineFrame{Messages: []*v1.PipelineMessage{{Id: 1, SentMs: 1, Of: &v1.PipelineMessage_Request{Request: late}}}}); err != nil {
		t.Fatal(err)
	}
	if a := p.receive(1)[0]; a.GetUpdate() == nil {
		t.Errorf("a request that came in time: %v", a)
	}
}

// The same goes for the writes of a batch.
func TestPipelineDropsBatchesThatCameTooLate(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{Nodes: 1})
	p := openPipe(t, c.KV(0))
	if _, err := p.stream.Header(); err != nil {
		t.Fatal(err)
	}
	<-time.After(100 * time.Millisecond) // that it claims to have been on its way
	batch := &v1.BatchUpdateRequest{}
	for _, key := range []string{"a", "b"} {
		batch.Updates = append(batch.Updates, &v1.UpdateRequest{Bucket: bucket, Key: []byte(key), Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte("x")}}})
	}
	req := &v1.PipelineRequest{TimeoutMs: 20_000, BeginMs: 50, Of: &v1.PipelineRequest_BatchUpdate{BatchUpdate: batch}}
	ask := func(r *v1.PipelineRequest) *v1.PipelineAnswer {
		t.Helper()
		if err := p.stream.Send(&v1.PipelineFrame{Messages: []*v1.PipelineMessage{{Id: 1, SentMs: 1, Of: &v1.PipelineMessage_Request{Request: r}}}}); err != nil {
			t.Fatal(err)
		}
		return p.receive(1)[0]
	}
	if a := ask(req); a.GetReason() != "TOO_LATE" || codes.Code(a.GetCode()) != codes.Unavailable {
		t.Errorf("a batch that came too late to begin: %v", a)
	}
	if a := ask(getOf(&v1.GetRequest{Bucket: bucket, Key: []byte("a")})); codes.Code(a.GetCode()) != codes.NotFound {
		t.Errorf("a key of it afterwards: %v, want NOT_FOUND", a)
	}
	req.BeginMs = 20_000
	if got := ask(req).GetBatchUpdate().GetResults(); len(got) != 2 || got[0].GetResponse() == nil || got[1].GetResponse() == nil {
		t.Errorf("a batch that came in time: %v", got)
	}
}
