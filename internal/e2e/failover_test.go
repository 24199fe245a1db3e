package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/emulated"
)

// seaside starts two datacenters of two nodes, and tells the addresses of one.
func seaside(t *testing.T) (*emulated.Cluster, func(dc string) []string) {
	t.Helper()
	c, err := emulated.Start(t.Context(), emulated.Options{DCs: []string{"use1", "euw1"}, Nodes: 2, Dir: t.TempDir(), Memory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, func(dc string) []string { return []string{c.Addrs(dc + "-a").GRPC, c.Addrs(dc + "-b").GRPC} }
}

func travelling(t *testing.T, home, away []string) *client.Client {
	t.Helper()
	cl, err := client.Open(t.Context(), client.Options{
		DC: "use1", Addrs: home, Elsewhere: []client.Datacenter{{Name: "euw1", Addrs: away}}, Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func stopAll(t *testing.T, c *emulated.Cluster, nodes ...string) {
	t.Helper()
	for _, n := range nodes {
		if err := c.StopNode(n); err != nil {
			t.Fatal(err)
		}
	}
}

// A whole datacenter goes, and the client goes on in the next with its session:
// what it wrote and read is there.
func TestSessionMovesToTheNextDatacenter(t *testing.T) {
	c, addrs := seaside(t)
	cl := travelling(t, addrs("use1"), addrs("euw1"))
	s := client.NewSession(0)
	for _, key := range []string{"a", "b", "c"} {
		var r client.Result
		if _, err := cl.Incr(t.Context(), key, 7, client.WithSession(s), client.WithResult(&r)); err != nil || r.Answer.DC != "use1" {
			t.Fatalf("incr %s at home: %v, answered by %s", key, err, r.Answer.DC)
		}
	}
	other := travelling(t, addrs("euw1"), addrs("use1")) // it has them, so that nothing is lost with use1
	for _, key := range []string{"a", "b", "c"} {
		if _, err := other.Get(t.Context(), key, client.WithSession(s)); err != nil {
			t.Fatal(err)
		}
	}
	stopAll(t, c, "use1-a", "use1-b")
	for _, key := range []string{"a", "b", "c"} {
		v, err := cl.Get(t.Context(), key, client.WithSession(s))
		if err != nil || v.Answer.DC != "euw1" || v.Integer != 7 {
			t.Errorf("get %s: %+v, %v; want 7 of euw1", key, v, err)
		}
		if n, err := cl.Incr(t.Context(), key, 1, client.WithSession(s)); err != nil || n != 8 {
			t.Errorf("incr %s: %d, %v; want 8", key, n, err)
		}
	}
}

// What the next datacenter has not got it does not pretend to have: it waits,
// then names the datacenter and the events that are missing. When they come, the
// session goes on.
func TestSessionIsToldWhatIsMissing(t *testing.T) {
	c, addrs := seaside(t)
	cl := travelling(t, addrs("use1"), addrs("euw1"))
	s := client.NewSession(0)
	if err := c.WAN().CutDC("euw1"); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Incr(t.Context(), "a", 7, client.WithSession(s)); err != nil {
		t.Fatal(err)
	}
	far := travelling(t, addrs("euw1"), addrs("use1"))
	began := time.Now()
	_, err := far.Get(t.Context(), "a", client.WithSession(s))
	waited := time.Since(began)
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Reason != "CAUSALITY_BEHIND" || e.Metadata["datacenters"] != "use1" || !strings.Contains(e.Metadata["missing"], "use1/use1-") || !strings.HasSuffix(e.Metadata["missing"], ":1-1") {
		t.Fatalf("during the cut: %v, %v; want CAUSALITY_BEHIND that names use1 and event 1", err, e)
	}
	if waited < 500*time.Millisecond || waited > 10*time.Second {
		t.Errorf("refused after %v, want a bounded wait, of nine tenths of the time that the client gives a node", waited)
	}
	if v, err := far.Get(t.Context(), "a"); client.CodeOf(err).String() != "NotFound" {
		t.Errorf("without the session: %v, %v; want what euw1 has, which is nothing", v, err)
	}
	c.WAN().Heal()
	saved, err := client.UnmarshalSession(s.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		v, err := far.Get(t.Context(), "a", client.WithSession(saved))
		if err == nil && v.Integer == 7 && v.Answer.DC == "euw1" {
			break
		}
		if time.Now().After(deadline) || err != nil && client.ReasonOf(err) != "CAUSALITY_BEHIND" {
			t.Fatalf("after the heal: %+v, %v; want 7 of euw1", v, err)
		}
	}
}
