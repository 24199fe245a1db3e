package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
)

// A node stands still, as under SIGSTOP or a long pause of its machine: its
// connections stay open and nothing comes. Reads at the others go on, a second
// is the most that any takes, and within about a second nobody asks it any more.
func TestFrozenNodeIsPassedOver(t *testing.T) {
	c := startProcesses(t, []string{"east"}, 4)
	cl := c.open("east", "east-a")
	const keys = 64
	read := func(i int) time.Duration {
		began := time.Now()
		if _, err := cl.Get(t.Context(), fmt.Sprint("k", i%keys)); err != nil {
			t.Errorf("read: %v", err)
		}
		return time.Since(began)
	}
	for i := range keys {
		if _, err := cl.Put(t.Context(), fmt.Sprint("k", i), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 * keys {
		read(i)
	}
	frozen := c.procs["east-b"].cmd.Process
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw := func() { _ = frozen.Signal(syscall.SIGCONT) }
	t.Cleanup(thaw)
	began := time.Now()
	var slowest time.Duration
	for i := 0; time.Since(began) < 3*time.Second; i++ {
		slowest = max(slowest, read(i))
	}
	if slowest > 2*time.Second {
		t.Errorf("a read took %v while a node stood still", slowest)
	}
	b := seenFrom(t, cl, "east-a", "east-b")
	if b.GetAlive() || b.GetPhi() < 8 {
		t.Errorf("after 3 s of silence the node counts as alive=%v, phi %v", b.GetAlive(), b.GetPhi())
	}
	slowest = 0
	for i := range 4 * keys {
		slowest = max(slowest, read(i))
	}
	t.Logf("slowest read once it is passed over: %v", slowest)
	if slowest > time.Second {
		t.Errorf("a read took %v although the node is passed over", slowest)
	}
	thaw()
	eventually(t, "the node is asked again", 20*time.Second, func() bool { return seenFrom(t, cl, "east-a", "east-b").GetAlive() })
}

// seenFrom tells what one node thinks of another.
func seenFrom(t *testing.T, cl *client.Client, node, other string) *v1.PeerHealth {
	t.Helper()
	status, err := cl.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range status.GetNodes() {
		for _, p := range n.GetPeers() {
			if n.GetId() == node && p.GetId() == other {
				return p
			}
		}
	}
	t.Fatalf("the status of %s says nothing of %s: %v", node, other, status)
	return nil
}
