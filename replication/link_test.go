package replication_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/replication/linktest"
)

var (
	alpha = replication.Peer{DC: "alpha", Node: "a1"} // publishes
	beta  = replication.Peer{DC: "beta", Node: "b1"}  // pulls
)

// rig is two datacenters of one node each and what can happen between them.
type rig struct {
	a, b   replication.Link
	cut    func()
	heal   func()
	retain int // messages of 16 KiB that surely overflow the outbox
}

// contract is what every Link must keep.
var contract = []struct {
	name string
	test func(t *testing.T, r rig)
}{
	{"what is published arrives in order", testOrder},
	{"what was published before the offer arrives", testBeforeOffer},
	{"only offered placements arrive", testResidency},
	{"a refused message comes again, later and counted", testNak},
	{"a message that is not settled comes again", testAckWait},
	{"a new pull resumes where the last one stopped", testResume},
	{"nodes of one datacenter share a lane", testTakeover},
	{"a slow consumer is not overrun and loses nothing", testSlow},
	{"lost retention is a gap and not the end", testRetention},
	{"nothing is lost over a cut", testCut},
	{"the backlog is what nobody took", testBacklog},
	{"a request is answered, or refused with a reason", testRequest},
	{"a request fails while cut, and works after", testRequestCut},
	{"a pull ends with its context", testPullEnds},
}

func TestLinkSimulated(t *testing.T) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := linktest.New(linktest.Options{Latency: 40 * time.Millisecond, Retain: 40})
				a, b := n.Link(alpha), n.Link(beta)
				defer a.Close()
				defer b.Close()
				c.test(t, rig{
					a: a, b: b, retain: 50,
					cut: func() { n.Cut("alpha", "beta") }, heal: func() { n.Heal("alpha", "beta") },
				})
			})
		})
	}
}

func TestLinkNATS(t *testing.T) {
	for _, how := range []string{"reset", "frozen"} {
		for _, c := range contract {
			t.Run(how+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				c.test(t, natsRig(t, how))
			})
		}
	}
}

func natsRig(t *testing.T, how string) rig {
	brokerA, brokerB := broker(t, alpha), broker(t, beta)
	toA, toB := newProxy(t, brokerA.Addr()), newProxy(t, brokerB.Addr())
	addr := func(p replication.Peer) string {
		if p == alpha {
			return toA.ln.Addr().String()
		}
		return toB.ln.Addr().String()
	}
	r := rig{a: natsLink(t, brokerA, addr), b: natsLink(t, brokerB, addr), retain: 130}
	r.cut = func() { toA.reset(); toB.reset() }
	r.heal = func() { toA.accept(); toB.accept() }
	if how == "frozen" {
		r.cut = func() { toA.freeze(); toB.freeze() }
		r.heal = func() { toA.thaw(); toB.thaw() }
	}
	return r
}

func broker(t testing.TB, p replication.Peer) *replication.Broker {
	t.Helper()
	b, err := replication.StartBroker(replication.BrokerOptions{
		Cluster: "test", DC: p.DC, Node: p.Node, Dir: t.TempDir(), MaxBytes: 1 << 20, Logger: logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func natsLink(t testing.TB, b *replication.Broker, addr func(replication.Peer) string) replication.Link {
	t.Helper()
	l, err := replication.NewNATSLink(replication.LinkOptions{Broker: b, Addr: addr, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// logger shows what happens when the tests are run with GODWIT_TEST_LOG=1.
func logger(t testing.TB) *slog.Logger {
	if os.Getenv("GODWIT_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// sink collects what a pull hands over.
type sink struct {
	t      *testing.T
	got    chan replication.Message
	cancel context.CancelFunc
	done   chan error
}

func pull(t *testing.T, l replication.Link, lane int) *sink {
	ctx, cancel := context.WithCancel(t.Context())
	s := &sink{t: t, got: make(chan replication.Message), cancel: cancel, done: make(chan error, 1)}
	go func() {
		s.done <- l.Pull(ctx, alpha, lane, func(ctx context.Context, m replication.Message) {
			select {
			case s.got <- m:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(s.stop)
	return s
}

var stopped sync.Map // sinks that were stopped, so that Cleanup may stop them again

func (s *sink) stop() {
	if _, twice := stopped.LoadOrStore(s, true); twice {
		return
	}
	s.cancel()
	if err := <-s.done; !errors.Is(err, context.Canceled) && !errors.Is(err, replication.ErrClosed) {
		s.t.Errorf("Pull() = %v", err)
	}
}

func (s *sink) next() replication.Message {
	s.t.Helper()
	select {
	case m := <-s.got:
		return m
	case <-time.After(20 * time.Second):
		s.t.Fatal("no message within 20 s")
		return replication.Message{}
	}
}

func (s *sink) nothing(d time.Duration) {
	s.t.Helper()
	select {
	case m := <-s.got:
		s.t.Fatalf("message %x came, want none", m.Data[:8])
	case <-time.After(d):
	}
}

func number(m replication.Message) uint64 { return binary.BigEndian.Uint64(m.Data) }

func publish(t *testing.T, l replication.Link, placement uint32, lane int, from, to uint64, size int) {
	t.Helper()
	for n := from; n <= to; n++ {
		data := make([]byte, max(size, 8))
		binary.BigEndian.PutUint64(data, n)
		if err := l.Publish(t.Context(), placement, lane, data); err != nil {
			t.Fatal(err)
		}
	}
}

func offer(t *testing.T, r rig, placements ...uint32) {
	t.Helper()
	if err := r.a.Offer(t.Context(), "beta", placements); err != nil {
		t.Fatal(err)
	}
}

// takeAll acknowledges until all of from..to have come, in any order.
func takeAll(t *testing.T, s *sink, from, to uint64) {
	t.Helper()
	missing := map[uint64]bool{}
	for n := from; n <= to; n++ {
		missing[n] = true
	}
	for len(missing) > 0 {
		m := s.next()
		delete(missing, number(m))
		m.Ack()
	}
}

func testOrder(t *testing.T, r rig) {
	offer(t, r, 7)
	s := pull(t, r.b, 1)
	publish(t, r.a, 7, 1, 1, 30, 0)
	for want := uint64(1); want <= 30; want++ {
		m := s.next()
		if number(m) != want || m.From != alpha || m.Lane != 1 || m.Placement != 7 || m.Deliveries != 1 {
			t.Fatalf("message %d of %v lane %d placement %d, delivery %d; want %d", number(m), m.From, m.Lane, m.Placement, m.Deliveries, want)
		}
		m.Ack()
	}
}

func testBeforeOffer(t *testing.T, r rig) {
	publish(t, r.a, 7, 0, 1, 3, 0)
	s := pull(t, r.b, 0)
	s.nothing(200 * time.Millisecond)
	offer(t, r, 7)
	takeAll(t, s, 1, 3)
}

func testResidency(t *testing.T, r rig) {
	offer(t, r, 1)
	s := pull(t, r.b, 0)
	publish(t, r.a, 2, 0, 1, 1, 0)
	publish(t, r.a, 1, 1, 2, 2, 0)
	publish(t, r.a, replication.Everyone, 0, 3, 3, 0)
	publish(t, r.a, 1, 0, 4, 4, 0)
	for _, want := range []uint64{3, 4} {
		m := s.next()
		if number(m) != want {
			t.Fatalf("message %d came, want %d", number(m), want)
		}
		m.Ack()
	}
	offer(t, r)
	publish(t, r.a, 1, 0, 5, 5, 0)
	s.nothing(300 * time.Millisecond)
}

func testNak(t *testing.T, r rig) {
	offer(t, r, 1)
	s := pull(t, r.b, 0)
	publish(t, r.a, 1, 0, 1, 1, 0)
	began := time.Now()
	s.next().Nak(300 * time.Millisecond)
	m := s.next()
	if number(m) != 1 || m.Deliveries != 2 {
		t.Errorf("message %d, delivery %d; want 1, delivery 2", number(m), m.Deliveries)
	}
	if took := time.Since(began); took < 290*time.Millisecond {
		t.Errorf("came again after %s, want 300 ms or more", took)
	}
	m.Ack()
	s.nothing(500 * time.Millisecond)
}

func testAckWait(t *testing.T, r rig) {
	offer(t, r, 1)
	s := pull(t, r.b, 0)
	publish(t, r.a, 1, 0, 1, 1, 0)
	s.next() // and forgotten
	m := s.next()
	if number(m) != 1 || m.Deliveries != 2 {
		t.Errorf("message %d, delivery %d; want 1, delivery 2", number(m), m.Deliveries)
	}
	m.Ack()
}

func testResume(t *testing.T, r rig) {
	offer(t, r, 1)
	publish(t, r.a, 1, 0, 1, 10, 0)
	s := pull(t, r.b, 0)
	takeAll(t, s, 1, 10)
	s.stop()
	publish(t, r.a, 1, 0, 11, 20, 0)
	again := pull(t, r.b, 0)
	takeAll(t, again, 11, 20)
}

func testTakeover(t *testing.T, r rig) {
	offer(t, r, 1)
	one, two := pull(t, r.b, 0), pull(t, r.b, 0)
	publish(t, r.a, 1, 0, 1, 20, 0)
	missing := 20
	for missing > 0 {
		select {
		case m := <-one.got:
			m.Ack()
		case m := <-two.got:
			m.Ack()
		case <-time.After(20 * time.Second):
			t.Fatalf("%d messages did not come", missing)
		}
		missing--
	}
	one.stop()
	publish(t, r.a, 1, 0, 21, 30, 0)
	takeAll(t, two, 21, 30)
}

func testSlow(t *testing.T, r rig) {
	offer(t, r, 1)
	s := pull(t, r.b, 0)
	publish(t, r.a, 1, 0, 1, 1, 0)
	s.next().Ack()
	publish(t, r.a, 1, 0, 2, 30, 1024)
	<-time.After(6 * time.Second) // the handler stands still for longer than a message waits to be settled
	takeAll(t, s, 2, 30)
}

func testRetention(t *testing.T, r rig) {
	offer(t, r, 1)
	s := pull(t, r.b, 0)
	publish(t, r.a, 1, 0, 1, 1, 0)
	s.next().Ack()
	s.stop()
	last := uint64(r.retain)
	publish(t, r.a, 1, 0, 2, last, 16<<10)
	s = pull(t, r.b, 0)
	first := uint64(0)
	for {
		m := s.next()
		if first == 0 {
			first = number(m)
		}
		m.Ack()
		if number(m) == last {
			break
		}
	}
	if first <= 2 {
		t.Errorf("first message after the overflow is %d, want a gap after 1", first)
	}
}

func testCut(t *testing.T, r rig) {
	offer(t, r, 1)
	s := pull(t, r.b, 0)
	publish(t, r.a, 1, 0, 1, 5, 0)
	takeAll(t, s, 1, 5)
	up := make(chan replication.Peer, 100)
	r.b.OnUp(func(p replication.Peer) { up <- p })
	r.cut()
	publish(t, r.a, 1, 0, 6, 15, 0)
	s.nothing(3500 * time.Millisecond)
	r.heal()
	healed := time.Now()
	publish(t, r.a, 1, 0, 16, 20, 0)
	if p := <-up; p != alpha {
		t.Errorf("up: %v, want %v", p, alpha)
	}
	if took := time.Since(healed); took > 2500*time.Millisecond {
		t.Errorf("usable again %s after the heal", took)
	}
	takeAll(t, s, 6, 20)
}

func testBacklog(t *testing.T, r rig) {
	offer(t, r, 1)
	publish(t, r.a, 1, 0, 1, 10, 0)
	publish(t, r.a, 1, 1, 1, 3, 0)
	eventually(t, 5*time.Second, func() bool {
		n, err := r.a.Backlog(t.Context(), 0)
		return n == 10 && err == nil
	})
	s := pull(t, r.b, 0)
	takeAll(t, s, 1, 10)
	eventually(t, 5*time.Second, func() bool {
		n, err := r.a.Backlog(t.Context(), 0)
		return n == 0 && err == nil
	})
}

func testRequest(t *testing.T, r rig) {
	err := r.a.Respond(func(_ context.Context, from replication.Peer, data []byte) ([]byte, error) {
		if len(data) == 0 {
			return nil, errors.New("nothing was asked")
		}
		return fmt.Appendf(nil, "%s asked %s", from, data), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	got, err := r.b.Request(ctx, alpha, []byte("why"))
	if string(got) != "beta/b1 asked why" || err != nil {
		t.Errorf("Request() = %q, %v", got, err)
	}
	_, err = r.b.Request(ctx, alpha, nil)
	var remote *replication.RemoteError
	if !errors.As(err, &remote) || remote.Message != "nothing was asked" {
		t.Errorf("Request() = %v, want the reason", err)
	}
	big := make([]byte, 1<<20)
	if got, err = r.b.Request(ctx, alpha, big); len(got) != len(big)+len("beta/b1 asked ") || err != nil {
		t.Errorf("Request(1 MiB) = %d bytes, %v", len(got), err)
	}
}

func testRequestCut(t *testing.T, r rig) {
	if err := r.a.Respond(func(context.Context, replication.Peer, []byte) ([]byte, error) { return []byte("yes"), nil }); err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := r.b.Request(ctx, alpha, []byte("there?"))
		return err
	}
	eventually(t, 5*time.Second, func() bool { return ask() == nil })
	r.cut()
	if err := ask(); !errors.Is(err, replication.ErrUnreachable) {
		t.Errorf("Request() while cut = %v, want ErrUnreachable", err)
	}
	r.heal()
	eventually(t, 5*time.Second, func() bool { return ask() == nil })
}

func testPullEnds(t *testing.T, r rig) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.b.Pull(ctx, alpha, 0, func(context.Context, replication.Message) {}) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Pull() = %v, want context.Canceled", err)
	}
	r.b.Close()
	if err := r.b.Pull(t.Context(), alpha, 0, func(context.Context, replication.Message) {}); !errors.Is(err, replication.ErrClosed) {
		t.Errorf("Pull() after Close = %v, want ErrClosed", err)
	}
}

// eventually polls a condition.
func eventually(t *testing.T, within time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so within %s", within)
		}
	}
}
