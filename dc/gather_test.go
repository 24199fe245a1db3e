package dc

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
)

// slow is a Transport of nodes that answer after a while, or never, and a
// Health that suspects those that have been silent for a second.
type slow struct {
	mu     sync.Mutex
	takes  map[string]time.Duration // negative: never
	fails  map[string]error
	asked  []string
	silent map[string]time.Time // since when

	recovering string // a node that answers so
}

const never = -1

func (s *slow) Send(to string, _ *peerv1.Request, _ time.Time, done func(*peerv1.Response, error)) {
	s.mu.Lock()
	s.asked = append(s.asked, to)
	takes, err := s.takes[to], s.fails[to]
	if takes == never && s.silent[to].IsZero() {
		s.silent[to] = time.Now()
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		done(nil, err)
	case takes == never:
	default:
		resp := &peerv1.Response{}
		if to == s.recovering {
			resp.Of = &peerv1.Response_Read{Read: &peerv1.ReadDone{Recovering: true}}
		}
		time.AfterFunc(takes, func() { done(resp, nil) })
	}
}

func (s *slow) Phi(node string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.silent[node]; !at.IsZero() {
		return 8 * time.Since(at).Seconds()
	}
	return 0
}

func (s *slow) set(node string, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes[node] = takes
}

// bare is a node a that only asks b, c and d through s.
func bare(s *slow, hedgePercent float64) *Node {
	s.fails, s.silent = map[string]error{}, map[string]time.Time{}
	n := &Node{id: "a", watched: watch(s), hedges: newHedgeBudget(hedgePercent / 100)}
	n.opts = Options{Transport: n.watched, Health: s, PhiThreshold: 8, HedgeFloor: 2 * time.Millisecond, Timeout: 30 * time.Second, Rand: rand.New(rand.NewPCG(1, 2))}
	n.laid.Store(&layout{doc: &ring.Document{}})
	n.peers = newCatchUp(n)
	for _, node := range []string{"b", "c", "d"} {
		n.peers.told[node] = map[storage.ReplicaID]uint64{}
	}
	return n
}

// read asks as a read does and returns who answered, and after how long.
func read(ctx context.Context, n *Node, want int, nodes ...string) (from []string, took time.Duration, err error) {
	began := time.Now()
	g := gathering{n: n, nodes: nodes, want: want, class: readClass, ask: func() *peerv1.Request {
		return &peerv1.Request{Of: &peerv1.Request_Read{Read: &peerv1.Read{}}}
	}}
	got, err := g.run(ctx)
	for _, r := range got {
		from = append(from, r.from)
	}
	return from, time.Since(began), err
}

// practice makes latencies known.
func practice(t *testing.T, n *Node, nodes ...string) {
	t.Helper()
	for range 2 * latencyFew {
		for _, node := range nodes {
			if _, _, err := read(t.Context(), n, 1, node); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSlowAnswerIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: map[string]time.Duration{"b": 5 * time.Millisecond, "c": time.Millisecond}}
		n := bare(s, 5)
		practice(t, n, "b", "c")
		s.set("b", time.Second)
		from, took, err := read(t.Context(), n, 1, "b", "c")
		if err != nil || !slices.Equal(from, []string{"c"}) || took != 6*time.Millisecond {
			t.Errorf("answered by %v after %v (%v), want c after b's 5ms and its own 1ms", from, took, err)
		}
		if got := n.count.Hedges.Load(); got != 1 {
			t.Errorf("Hedges = %d, want 1", got)
		}
		if got := n.count.HedgesWon.Load(); got != 1 {
			t.Errorf("HedgesWon = %d, want 1", got)
		}
		time.Sleep(time.Second) // b's late answer belongs to nobody
	})
}

func TestHedgeWaitsForTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: map[string]time.Duration{"b": 10 * time.Microsecond}}
		n := bare(s, 5)
		practice(t, n, "b")
		s.set("b", 1900*time.Microsecond)
		if from, took, _ := read(t.Context(), n, 1, "b", "c"); !slices.Equal(from, []string{"b"}) || took != 1900*time.Microsecond {
			t.Errorf("answered by %v after %v, want b after 1.9ms, below the floor of 2ms", from, took)
		}
		if got := n.count.Hedges.Load(); got != 0 {
			t.Errorf("Hedges = %d, want 0", got)
		}
	})
}

func TestHedgesKeepToTheirBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: map[string]time.Duration{"b": time.Millisecond, "c": time.Millisecond}}
		n := bare(s, 5)
		practice(t, n, "b")
		s.set("b", 50*time.Millisecond)
		for range 400 {
			if _, _, err := read(t.Context(), n, 1, "b", "c"); err != nil {
				t.Fatal(err)
			}
		}
		// 10 at the start, 5 of 100 after that; b's p95 grows to 50 ms meanwhile.
		if got := n.count.Hedges.Load(); got < 10 || got > 30 {
			t.Errorf("%d hedges of 400 reads, want 10 to 30", got)
		}
		if n.count.HedgesDenied.Load() == 0 {
			t.Error("no hedge was denied")
		}
		time.Sleep(time.Second)
	})
}

func TestFrozenNodeIsPassedOverWithoutABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: map[string]time.Duration{"b": time.Millisecond, "c": time.Millisecond}}
		n := bare(s, 0)
		practice(t, n, "b")
		s.set("b", never)
		from, took, err := read(t.Context(), n, 1, "b", "c")
		if err != nil || !slices.Equal(from, []string{"c"}) || took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("answered by %v after %v (%v), want c after about a second", from, took, err)
		}
		if got := n.count.PassedOver.Load(); got != 1 {
			t.Errorf("PassedOver = %d, want 1", got)
		}
		if got := n.count.Hedges.Load(); got != 0 {
			t.Errorf("Hedges = %d, want 0: the budget is empty", got)
		}
		if got := n.byHealth([]string{"b", "c", "d"}); got[2] != "b" {
			t.Errorf("order from now on %v, want b last", got)
		}
	})
}

func TestFailureIsMadeGoodAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: map[string]time.Duration{"c": time.Millisecond, "d": time.Millisecond}}
		n := bare(s, 5)
		s.fails["b"] = ErrNotSent
		from, took, err := read(t.Context(), n, 2, "b", "c", "d")
		slices.Sort(from)
		if !slices.Equal(from, []string{"c", "d"}) || took != time.Millisecond {
			t.Errorf("answered by %v after %v (%v), want c and d after 1ms", from, took, err)
		}
		if from, _, err := read(t.Context(), n, 3, "b", "c", "d"); len(from) != 2 || !errors.Is(err, ErrNotSent) {
			t.Errorf("of three wanted %v answered, %v; want two and b's error", from, err)
		}
		if got := n.count.Hedges.Load(); got != 0 {
			t.Errorf("Hedges = %d, want 0", got)
		}
	})
}

// An answer of a replica that is recovering counts where no better one comes: after
// a failure at once, after silence as soon as that is one; never in a strict read.
func TestMakeDoWithWhoIsRecovering(t *testing.T) {
	tests := []struct {
		name    string
		c       time.Duration // that c takes
		fails   error
		lenient bool
		from    string
		least   time.Duration
	}{
		{"another answers", 5 * time.Millisecond, nil, true, "c", 5 * time.Millisecond},
		{"another fails", 0, ErrNotSent, true, "b", 0},
		{"another is silent", never, nil, true, "b", time.Second},
		{"strict, and another answers", 5 * time.Millisecond, nil, false, "c", 5 * time.Millisecond},
		{"strict, and another fails", 0, ErrNotSent, false, "", 0},
		{"strict, and another is silent", never, nil, false, "", 20 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slow{takes: map[string]time.Duration{"b": time.Millisecond, "c": tt.c}, recovering: "b"}
				n := bare(s, 5)
				s.fails["c"] = tt.fails
				if tt.fails == nil {
					delete(s.fails, "c")
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				began := time.Now()
				g := gathering{n: n, nodes: []string{"b", "c"}, want: 1, makesDo: tt.lenient, least: 1, class: readClass, ask: func() *peerv1.Request {
					return &peerv1.Request{Of: &peerv1.Request_Read{Read: &peerv1.Read{}}}
				}}
				got, _ := g.run(ctx)
				from := ""
				if len(got) > 0 {
					from = got[0].from
				}
				took := time.Since(began)
				if from != tt.from || len(got) > 1 || took < tt.least || took > tt.least+200*time.Millisecond {
					t.Errorf("answered by %q after %v, want %q after about %v", from, took, tt.from, tt.least)
				}
				if g.less != (tt.from == "b") {
					t.Errorf("had to do with less: %t", g.less)
				}
			})
		})
	}
}

func TestReadEndsWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: map[string]time.Duration{"b": never, "c": never}}
		n := bare(s, 5)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if from, took, err := read(ctx, n, 1, "b", "c"); !errors.Is(err, context.DeadlineExceeded) || took != 300*time.Millisecond {
			t.Errorf("answered by %v after %v, %v; want a deadline", from, took, err)
		}
	})
}

func TestByHealthPrefersThoseOfLittleLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: map[string]time.Duration{"b": 20 * time.Millisecond, "c": time.Millisecond, "d": 1500 * time.Microsecond}}
		n := bare(s, 0)
		order := func() []string { return n.byHealth([]string{"b", "d", "a", "c"}) }
		if got := order(); !slices.Equal(got, []string{"a", "b", "d", "c"}) {
			t.Errorf("before anything is known %v, want the given order behind the node itself", got)
		}
		practice(t, n, "b", "c", "d")
		if got := order(); !slices.Equal(got, []string{"a", "d", "c", "b"}) {
			t.Errorf("b is slow: %v, want it last, and d and c as they were: they are alike", got)
		}
		n.watched.of("d").outstanding.Store(9)
		if got := order(); !slices.Equal(got, []string{"a", "c", "d", "b"}) {
			t.Errorf("d has much to do: %v, want it behind c", got)
		}
		n.watched.of("d").outstanding.Store(0)
		time.Sleep(time.Minute)
		if got := order(); !slices.Equal(got, []string{"a", "b", "d", "c"}) {
			t.Errorf("a minute later %v, want b to be tried again", got)
		}
	})
}
