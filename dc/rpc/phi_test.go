package rpc_test

import (
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/godwitdb/godwit/dc/rpc"
)

// silence is a Detector whose phi is the silence in units of a heartbeat.
type silence struct {
	every time.Duration

	mu    sync.Mutex
	heard time.Time
	n     int
}

func (s *silence) Heard(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = at
	s.n++
}

func (s *silence) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Time{}
}

func (s *silence) Phi(now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard.IsZero() {
		return 0
	}
	return float64(now.Sub(s.heard)) / float64(s.every)
}

func (s *silence) arrivals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// gate passes connections on to an address until it is shut: then they stand
// and nothing comes through, as with a process that is stopped.
type gate struct {
	lis  net.Listener
	to   string
	mu   sync.RWMutex // held for writing while shut
	work sync.WaitGroup
}

func newGate(t *testing.T, to string) *gate {
	g := &gate{lis: listen(t, "127.0.0.1:0"), to: to}
	g.work.Go(func() {
		for {
			in, err := g.lis.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			g.work.Go(func() { g.pass(out, in) })
			g.work.Go(func() { g.pass(in, out) })
		}
	})
	t.Cleanup(func() {
		_ = g.lis.Close()
		g.work.Wait()
	})
	return g
}

func (g *gate) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		g.mu.RLock()
		g.mu.RUnlock() //nolint:staticcheck // it waits while the gate is shut
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func TestPhiOfAPeer(t *testing.T) {
	const beat = 20 * time.Millisecond
	detector := &silence{every: beat}
	p := newPair(t, echo, func(a, b *rpc.PeerOptions) {
		a.Heartbeat, b.Heartbeat = beat, beat
		a.Detector = func() rpc.Detector { return detector }
	})
	g := newGate(t, p.addr("b"))
	p.addrs.Store("b", g.lis.Addr().String())
	if got := p.a.Phi("b"); got != 0 {
		t.Errorf("before anything was asked: %v, want 0", got)
	}
	if got := p.a.Phi("nobody"); got != 0 {
		t.Errorf("of a node that was never asked: %v, want 0", got)
	}
	p.connected()
	heard := detector.arrivals()
	until(t, "an idle peer is heard ten times", func() bool { return detector.arrivals() >= heard+10 })
	g.mu.Lock()
	until(t, "a peer that stands still comes under suspicion", func() bool { return p.a.Phi("b") > 8 })
	g.mu.Unlock()
	until(t, "it is heard again", func() bool { return p.a.Phi("b") < 8 })
	p.b.Close()
	until(t, "a broken connection is noticed at once", func() bool { return math.IsInf(p.a.Phi("b"), 1) })
}
