package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/dc/rpc"
)

// pair is two nodes, a and b, of which b answers with handler.
type pair struct {
	t     *testing.T
	a, b  *rpc.Peers
	addrs sync.Map // node -> address
	serve sync.WaitGroup
}

func (p *pair) addr(node string) string {
	a, _ := p.addrs.Load(node)
	s, _ := a.(string)
	return s
}

func (p *pair) options(node string) rpc.PeerOptions {
	return rpc.PeerOptions{Cluster: "c", DC: "eu", Node: node, Addr: p.addr}
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	var cfg net.ListenConfig
	lis, err := cfg.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

// newPair starts b, and makes a; change may alter the options of both.
func newPair(t *testing.T, h rpc.Handler, change func(a, b *rpc.PeerOptions)) *pair {
	t.Helper()
	p := &pair{t: t}
	p.addrs.Store("a", "127.0.0.1:1") // known, and nobody dials it
	ao, bo := p.options("a"), p.options("b")
	if change != nil {
		change(&ao, &bo)
	}
	p.a = rpc.NewPeers(ao)
	p.serveB(bo, h, listen(t, "127.0.0.1:0"))
	t.Cleanup(func() {
		p.a.Close()
		p.b.Close()
		p.serve.Wait()
	})
	return p
}

func (p *pair) serveB(o rpc.PeerOptions, h rpc.Handler, lis net.Listener) {
	p.addrs.Store("b", lis.Addr().String())
	b := rpc.NewPeers(o)
	p.b = b
	p.serve.Go(func() {
		if err := b.Serve(lis, h); err != nil {
			p.t.Errorf("Serve = %v", err)
		}
	})
}

// echo answers a read with its key as digest.
func echo(_ context.Context, _ string, req *peerv1.Request) *peerv1.Response {
	return &peerv1.Response{Of: &peerv1.Response_Read{Read: &peerv1.ReadDone{Digest: req.GetRead().GetKey()}}}
}

func request(key string) *peerv1.Request {
	return &peerv1.Request{TimeoutMs: 5000, Of: &peerv1.Request_Read{Read: &peerv1.Read{Key: []byte(key)}}}
}

type answer struct {
	digest string
	reason string // of a refusal
	err    error
}

// send asks b and returns where the answer will be; it counts answers.
func (p *pair) send(req *peerv1.Request) <-chan answer { return p.sendBy(req, time.Time{}) }

// sendBy sends what is to be begun by some time.
func (p *pair) sendBy(req *peerv1.Request, by time.Time) <-chan answer {
	ch := make(chan answer, 2) // room for a second call of done, which would be a bug
	p.a.Send("b", req, by, func(resp *peerv1.Response, err error) {
		ch <- answer{string(resp.GetRead().GetDigest()), resp.GetStatus().GetReason(), err}
	})
	return ch
}

func wait(t *testing.T, ch <-chan answer) answer {
	t.Helper()
	select {
	case a := <-ch:
		return a
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
		return answer{}
	}
}

// connected sends until an answer comes.
func (p *pair) connected() {
	p.t.Helper()
	until(p.t, "a is connected to b", func() bool { return wait(p.t, p.send(request("hi"))).err == nil })
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestAnswersGoToTheirCallers(t *testing.T) {
	p := newPair(t, echo, nil)
	var callers sync.WaitGroup
	for c := range 32 {
		callers.Go(func() {
			for i := range 200 {
				key := fmt.Sprint(c, "/", i)
				if got := wait(t, p.send(request(key))); got.err != nil || got.digest != key {
					t.Errorf("answer to %s = %q, %v", key, got.digest, got.err)
					return
				}
			}
		})
	}
	callers.Wait()
}

func TestRequestsOfOneStreamAreServedAtOnceUpToABound(t *testing.T) {
	const bound = 8
	var serving, most atomic.Int64
	var once sync.Once
	full, release := make(chan struct{}), make(chan struct{})
	p := newPair(t, func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
		if from != "a" {
			t.Errorf("request is from %q, want a", from)
		}
		if n := serving.Add(1); n == bound {
			once.Do(func() { close(full) })
		}
		defer serving.Add(-1)
		most.Store(max(most.Load(), serving.Load()))
		<-release
		return echo(ctx, from, req)
	}, func(_, b *rpc.PeerOptions) { b.MaxServing = bound })
	var all []<-chan answer
	for range 3 * bound {
		all = append(all, p.send(request("k")))
	}
	<-full // the bound is reached: they run at the same time
	close(release)
	for _, ch := range all {
		if a := wait(t, ch); a.err != nil {
			t.Errorf("answer = %v", a.err)
		}
	}
	if got := most.Load(); got > bound {
		t.Errorf("%d requests were served at once, want at most %d", got, bound)
	}
}

func TestCallsEndByTheirTimeout(t *testing.T) {
	release := make(chan struct{})
	p := newPair(t, func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
		if string(req.GetRead().GetKey()) == "slow" {
			<-release
		}
		return echo(ctx, from, req)
	}, nil)
	p.connected()
	patient := p.send(request("slow"))
	var ch <-chan answer
	for _, ms := range []uint64{60, 30, 90} { // each ends by its own
		req := request("slow")
		req.TimeoutMs = ms
		ch = p.send(req)
		a := wait(t, ch)
		if !errors.Is(a.err, context.DeadlineExceeded) || errors.Is(a.err, dc.ErrNotSent) {
			t.Errorf("answer = %v, want a deadline that says nothing about sending", a.err)
		}
	}
	close(release) // the late answers belong to nobody
	if a := wait(t, patient); a.err != nil {
		t.Errorf("answer to the one with time left = %v", a.err)
	}
	if a := wait(t, p.send(request("after"))); a.err != nil || a.digest != "after" {
		t.Errorf("next answer = %v", a)
	}
	if len(ch) != 0 {
		t.Error("done was called twice")
	}
}

// It sends more than the other side reads, so that some
// requests are in its hands and others still in the queue, and breaks it.
func TestBrokenConnectionTellsWhatWasSentFromWhatWasNot(t *testing.T) {
	block := make(chan struct{})
	var entered atomic.Int64
	var once sync.Once
	unblock := func() { once.Do(func() { close(block) }) }
	p := newPair(t, func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
		if len(req.GetRead().GetKey()) > 10 {
			entered.Add(1)
			<-block
		}
		return echo(ctx, from, req)
	}, func(_, b *rpc.PeerOptions) { b.MaxServing = 2 })
	t.Cleanup(unblock)
	p.connected()
	big := strings.Repeat("x", 100<<10)
	var all []<-chan answer
	for range 150 { // 15 MiB: more than flow control lets out unread
		all = append(all, p.send(request(big)))
	}
	until(t, "two requests are served", func() bool { return entered.Load() == 2 })
	stopped := make(chan struct{})
	go func() { defer close(stopped); p.b.Close() }()
	var lost, notSent int
	for i, ch := range all {
		a := wait(t, ch)
		switch {
		case errors.Is(a.err, dc.ErrNotSent):
			notSent++
		case a.err == nil:
			t.Fatalf("request %d was answered", i)
		default:
			lost++
			if e := dc.AsError(a.err); e.Code != dc.Unavailable || e.Reason != "PEER_LOST" {
				t.Errorf("request %d = %s %v", i, e.Reason, a.err)
			}
		}
		if i < 2 && notSent > 0 {
			t.Fatal("a request that is being served counts as not sent")
		}
	}
	if lost < 2 || notSent == 0 {
		t.Errorf("%d lost and %d not sent, want both", lost, notSent)
	}
	unblock()
	<-stopped
}

func TestQueueIsBounded(t *testing.T) {
	block := make(chan struct{})
	p := newPair(t, func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
		if len(req.GetRead().GetKey()) > 10 {
			<-block
		}
		return echo(ctx, from, req)
	}, func(a, b *rpc.PeerOptions) { a.QueueBytes, b.MaxServing = 1<<20, 1 })
	p.connected()
	big := strings.Repeat("x", 100<<10)
	var refusals int
	var taken []<-chan answer
	for range 500 {
		ch := p.send(request(big))
		select {
		case a := <-ch:
			if !errors.Is(a.err, dc.ErrNotSent) || !strings.Contains(a.err.Error(), "at most 1048576 may") {
				t.Fatalf("answer = %v, want a full queue", a.err)
			}
			refusals++
		default:
			taken = append(taken, ch)
		}
	}
	if refusals == 0 || len(taken) < 10 {
		t.Errorf("%d refused, %d taken", refusals, len(taken))
	}
	close(block)
	for _, ch := range taken {
		if a := wait(t, ch); a.err != nil || a.digest != big {
			t.Fatalf("a request that was taken: %.100v", a.err)
		}
	}
}

func TestBigMessagesAndOnesTooBig(t *testing.T) {
	p := newPair(t, func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
		if string(req.GetRead().GetKey()) == "grow" {
			return &peerv1.Response{Of: &peerv1.Response_Read{Read: &peerv1.ReadDone{Digest: make([]byte, 9<<20)}}}
		}
		return echo(ctx, from, req)
	}, func(a, b *rpc.PeerOptions) { a.MaxMessage, b.MaxMessage = 8<<20, 8<<20 })
	big := strings.Repeat("b", 8<<20-100)
	chBig, chSmall := p.send(request(big)), p.send(request("small"))
	if a := wait(t, chBig); a.err != nil || a.digest != big {
		t.Errorf("big = %d bytes, %v", len(a.digest), a.err)
	}
	if a := wait(t, chSmall); a.err != nil || a.digest != "small" {
		t.Errorf("small = %v", a.err)
	}
	if a := wait(t, p.send(request(strings.Repeat("b", 8<<20)))); !errors.Is(a.err, dc.ErrNotSent) || !strings.Contains(a.err.Error(), "at most 8388608 are sent") {
		t.Errorf("too big = %v", a.err)
	}
	got := make(chan *peerv1.Response, 1)
	p.a.Send("b", request("grow"), time.Time{}, func(resp *peerv1.Response, _ error) { got <- resp })
	if s := (<-got).GetStatus(); s.GetReason() != "MESSAGE_TOO_LARGE" || s.GetCode() != 8 {
		t.Errorf("answer too big = %v", s)
	}
	if a := wait(t, p.send(request("after"))); a.err != nil {
		t.Errorf("after = %v: the connection must stand", a.err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(a *rpc.PeerOptions)
		want   string
	}{
		{"another cluster", func(a *rpc.PeerOptions) { a.Cluster = "other" }, `node a of cluster "other" is no peer of b of cluster "c"`},
		{"another datacenter", func(a *rpc.PeerOptions) { a.DC = "us" }, `node a of datacenter "us" is no peer of b of datacenter "eu"`},
		{"unknown node", func(a *rpc.PeerOptions) { a.Node = "zz" }, "node zz is unknown to b"},
		{"nameless", func(a *rpc.PeerOptions) { a.Node = "" }, "the hello names no node"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, func(context.Context, string, *peerv1.Request) *peerv1.Response {
				t.Error("a request of a stranger was served")
				return &peerv1.Response{}
			}, func(a, _ *rpc.PeerOptions) { tt.change(a) })
			a := wait(t, p.send(request("k")))
			if !errors.Is(a.err, dc.ErrNotSent) || !strings.Contains(a.err.Error(), tt.want) {
				t.Errorf("answer = %v, want %q", a.err, tt.want)
			}
		})
	}
	t.Run("another node's address", func(t *testing.T) {
		p := newPair(t, echo, nil)
		p.addrs.Store("d", p.addr("b"))
		ch := make(chan error, 1)
		p.a.Send("d", request("k"), time.Time{}, func(_ *peerv1.Response, err error) { ch <- err })
		if err := <-ch; !errors.Is(err, dc.ErrNotSent) || !strings.Contains(err.Error(), `the address of d is answered by "b"`) {
			t.Errorf("answer = %v", err)
		}
	})
	t.Run("no address", func(t *testing.T) {
		p := newPair(t, echo, nil)
		ch := make(chan error, 1)
		p.a.Send("nobody", request("k"), time.Time{}, func(_ *peerv1.Response, err error) { ch <- err })
		if err := <-ch; !errors.Is(err, dc.ErrNotSent) {
			t.Errorf("answer = %v", err)
		}
	})
}

func TestDeadNodeCostsNoWaitingAndIsFoundAgain(t *testing.T) {
	p := newPair(t, echo, nil)
	p.connected()
	addr := p.addr("b")
	p.b.Close()
	until(t, "the break is noticed", func() bool { return errors.Is(wait(t, p.send(request("k"))).err, dc.ErrNotSent) })
	begin := time.Now()
	for range 1000 {
		if a := wait(t, p.send(request("k"))); !errors.Is(a.err, dc.ErrNotSent) {
			t.Fatalf("answer = %v, want not sent", a.err)
		}
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("1000 requests to a dead node took %v", took)
	}
	p.serveB(p.options("b"), echo, listen(t, addr))
	p.connected()
}

func TestSilentNodeIsNoticed(t *testing.T) {
	hole := newHole(t)
	p := newPair(t, echo, func(a, b *rpc.PeerOptions) { a.Silence, b.Silence = 200*time.Millisecond, 200*time.Millisecond })
	p.addrs.Store("b", hole.through(p.addr("b")))
	p.connected()
	// A connection that is merely idle stands.
	time.Sleep(500 * time.Millisecond)
	if a := wait(t, p.send(request("idle"))); a.err != nil {
		t.Fatalf("after an idle time: %v", a.err)
	}
	hole.swallow.Store(true)
	a := wait(t, p.send(request("k")))
	if a.err == nil || errors.Is(a.err, dc.ErrNotSent) || !strings.Contains(a.err.Error(), "nothing was heard for too long") {
		t.Errorf("answer = %v, want a connection that broke", a.err)
	}
}

func TestPanicOfAHandlerIsAnswered(t *testing.T) {
	var log bytes.Buffer
	p := newPair(t, func(context.Context, string, *peerv1.Request) *peerv1.Response { panic("boom") },
		func(_, b *rpc.PeerOptions) { b.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	got := make(chan *peerv1.Response, 1)
	p.a.Send("b", request("k"), time.Time{}, func(resp *peerv1.Response, err error) {
		if err != nil {
			t.Error(err)
		}
		got <- resp
	})
	if s := (<-got).GetStatus(); s.GetReason() != "PANIC" || s.GetCode() != 13 || strings.Contains(s.GetMessage(), "boom") {
		t.Errorf("status = %v", s)
	}
	p.b.Close()
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "peers_test.go") {
		t.Errorf("log = %s, want the panic and its stack", log.String())
	}
}

func TestCloseEndsCalls(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	p := newPair(t, func(context.Context, string, *peerv1.Request) *peerv1.Response {
		close(entered)
		<-release
		return &peerv1.Response{}
	}, nil)
	ch := p.send(request("k"))
	<-entered
	p.a.Close()
	if a := wait(t, ch); a.err == nil || errors.Is(a.err, dc.ErrNotSent) {
		t.Errorf("call in flight = %v", a.err)
	}
	if a := wait(t, p.send(request("k"))); !errors.Is(a.err, dc.ErrNotSent) {
		t.Errorf("call after Close = %v", a.err)
	}
	close(release)
}

// gated is a listener whose connections deliver nothing while the gate is shut.
type gated struct {
	net.Listener
	gate sync.RWMutex
}

func (g *gated) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	return &gatedConn{c, g}, err
}

type gatedConn struct {
	net.Conn
	g *gated
}

func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.g.gate.RLock()
	defer c.g.gate.RUnlock()
	return n, err
}

// A forwarded write that was long on its way is not carried out: its client may
// have gone to another node meanwhile.
func TestForwardedWriteThatCameTooLate(t *testing.T) {
	p := newPair(t, echo, nil)
	p.b.Close()
	lis := &gated{Listener: listen(t, "127.0.0.1:0")}
	p.serveB(p.options("b"), echo, lis)
	p.connected()
	write := func(within time.Duration) <-chan answer { return p.sendBy(request("k"), time.Now().Add(within)) }
	lis.gate.Lock()
	late, inTime, untold := write(500*time.Millisecond), write(20*time.Second), p.send(request("k"))
	<-time.After(600 * time.Millisecond) // that they are on their way
	lis.gate.Unlock()
	if a := wait(t, late); a.err != nil || a.reason != "TOO_LATE" {
		t.Errorf("a write that came too late: %+v", a)
	}
	for _, ch := range []<-chan answer{inTime, untold} {
		if a := wait(t, ch); a.err != nil || a.reason != "" {
			t.Errorf("a write that came in time: %+v", a)
		}
	}
}

// Nor is one that waited for the connection to be made, or came too late for it.
func TestForwardedWriteThatWaitedForAConnection(t *testing.T) {
	p := newPair(t, echo, func(a, _ *rpc.PeerOptions) { a.ConnectTimeout = 20 * time.Second })
	p.b.Close()
	lis := &gated{Listener: listen(t, "127.0.0.1:0")}
	lis.gate.Lock()
	b := p.options("b")
	b.ConnectTimeout = 20 * time.Second
	p.serveB(b, echo, lis)
	write := func(within time.Duration) <-chan answer { return p.sendBy(request("k"), time.Now().Add(within)) }
	over, late, inTime, untold := write(0), write(50*time.Millisecond), write(20*time.Second), p.send(request("k"))
	<-time.After(100 * time.Millisecond) // that they wait for it
	lis.gate.Unlock()
	for _, ch := range []<-chan answer{over, late} {
		if a := wait(t, ch); a.err == nil || dc.AsError(a.err).Reason != "NOT_BEGUN" {
			t.Errorf("a write that waited for too long: %+v", a)
		}
	}
	for _, ch := range []<-chan answer{inTime, untold} {
		if a := wait(t, ch); a.err != nil || a.reason != "" {
			t.Errorf("a write that waited: %+v", a)
		}
	}
}

// What is found late and is not shows that one end stood still with its clock: the
// two begin to count anew. What is late indeed does not.
func TestEndsThatCountTimeOtherwise(t *testing.T) {
	p := newPair(t, func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
		switch string(req.GetRead().GetKey()) {
		case "found late":
			return &peerv1.Response{Status: &peerv1.Status{Code: int32(dc.Unavailable), Reason: "TOO_LATE"}}
		case "hang":
			<-ctx.Done()
		}
		return echo(ctx, from, req)
	}, nil)
	p.connected()
	hangs := p.send(request("hang"))
	if a := wait(t, p.send(request("found late"))); a.reason != "TOO_LATE" {
		t.Errorf("a request that may be begun whenever: %+v", a)
	}
	if a := wait(t, p.send(request("k"))); a.err != nil { // in the same session
		t.Errorf("after it: %+v", a)
	}
	if a := wait(t, p.sendBy(request("found late"), time.Now().Add(time.Hour))); a.reason != "TOO_LATE" {
		t.Errorf("a request that is found late: %+v", a)
	}
	if a := wait(t, hangs); a.err == nil || dc.AsError(a.err).Reason != "PEER_LOST" {
		t.Errorf("what waits in the session: %+v, want PEER_LOST", a)
	}
	p.connected()
}

func BenchmarkEcho(b *testing.B) {
	lis := listen(b, "127.0.0.1:0")
	addr := func(string) string { return lis.Addr().String() }
	from := rpc.NewPeers(rpc.PeerOptions{Cluster: "c", DC: "eu", Node: "a", Addr: addr})
	to := rpc.NewPeers(rpc.PeerOptions{Cluster: "c", DC: "eu", Node: "b", Addr: addr})
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := to.Serve(lis, echo); err != nil {
			b.Error(err)
		}
	})
	key := make([]byte, 200)
	const callers = 64
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			ch := make(chan error, 1)
			for left.Add(-1) >= 0 {
				req := &peerv1.Request{TimeoutMs: 5000, Of: &peerv1.Request_Read{Read: &peerv1.Read{Key: key}}}
				from.Send("b", req, time.Time{}, func(_ *peerv1.Response, err error) { ch <- err })
				if err := <-ch; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	from.Close()
	to.Close()
	serving.Wait()
}
