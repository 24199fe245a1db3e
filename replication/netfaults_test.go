package replication_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/replication/linktest"
)

// harmed runs a test of what the simulated network does to messages.
func harmed(t *testing.T, test func(t *testing.T, n *linktest.Network, r rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := linktest.New(linktest.Options{Latency: 40 * time.Millisecond, AckWait: 2 * time.Second})
		a, b := n.Link(alpha), n.Link(beta)
		defer a.Close()
		defer b.Close()
		offer(t, rig{a: a}, 1)
		test(t, n, rig{a: a, b: b})
	})
}

// TestNetworkCutsOneWay: messages come, their acknowledgements are lost, so they
// come again; or they do not come at all.
func TestNetworkCutsOneWay(t *testing.T) {
	harmed(t, func(t *testing.T, n *linktest.Network, r rig) {
		n.CutWay("beta", "alpha")
		s := pull(t, r.b, 0)
		publish(t, r.a, 1, 0, 1, 1, 0)
		s.next().Ack()
		if m := s.next(); m.Deliveries != 2 {
			t.Errorf("delivery %d, want 2", m.Deliveries)
		}
		if _, err := r.b.Request(t.Context(), alpha, nil); !errors.Is(err, replication.ErrUnreachable) {
			t.Errorf("Request() = %v, want ErrUnreachable", err)
		}
		n.Heal("alpha", "beta")
		s.next().Ack()
		s.nothing(5 * time.Second)
		n.CutWay("alpha", "beta")
		publish(t, r.a, 1, 0, 2, 2, 0)
		s.nothing(5 * time.Second)
	})
}

// TestNetworkReplays: what was taken comes again.
func TestNetworkReplays(t *testing.T) {
	harmed(t, func(t *testing.T, n *linktest.Network, r rig) {
		s := pull(t, r.b, 0)
		publish(t, r.a, 1, 0, 1, 5, 0)
		takeAll(t, s, 1, 5)
		n.Replay(alpha)
		takeAll(t, s, 1, 5)
		s.nothing(5 * time.Second)
	})
}

// TestNetworkStandsStill: a node that stands still is not heard of, and goes on.
func TestNetworkStandsStill(t *testing.T) {
	harmed(t, func(t *testing.T, n *linktest.Network, r rig) {
		s := pull(t, r.b, 0)
		n.Still(beta, true)
		publish(t, r.a, 1, 0, 1, 3, 0)
		s.nothing(5 * time.Second)
		n.Still(beta, false)
		takeAll(t, s, 1, 3)
	})
}

// TestNetworkForgetsTheKilled: what a killed node acknowledges counts for
// nothing, and nobody waits for its answers.
func TestNetworkForgetsTheKilled(t *testing.T) {
	harmed(t, func(t *testing.T, n *linktest.Network, r rig) {
		err := r.b.Respond(func(context.Context, replication.Peer, []byte) ([]byte, error) {
			r.b.(*linktest.Link).Kill()
			return []byte("too late"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s := pull(t, r.b, 0)
		publish(t, r.a, 1, 0, 1, 1, 0)
		m := s.next()
		if got, err := r.a.Request(t.Context(), beta, nil); !errors.Is(err, replication.ErrUnreachable) {
			t.Errorf("Request() = %q, %v, want ErrUnreachable", got, err)
		}
		m.Ack()
		again := n.Link(beta)
		defer again.Close()
		takeAll(t, pull(t, again, 0), 1, 1)
	})
}
