package replication_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/replication"
)

func TestBrokerOptions(t *testing.T) {
	good := replication.BrokerOptions{Cluster: "c", DC: "d", Node: "n", Dir: t.TempDir()}
	tests := []struct {
		name   string
		change func(o *replication.BrokerOptions)
		want   string
	}{
		{"names go into subjects", func(o *replication.BrokerOptions) { o.Node = "a.b" }, `name "a.b"`},
		{"a name is needed", func(o *replication.BrokerOptions) { o.DC = "" }, `name ""`},
		{"a directory is needed", func(o *replication.BrokerOptions) { o.Dir = "" }, "Dir is required"},
		{"loopback only", func(o *replication.BrokerOptions) { o.Addr = "0.0.0.0:0" }, "not on loopback"},
		{"host and port", func(o *replication.BrokerOptions) { o.Addr = "localhost" }, "missing port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			tt.change(&o)
			if _, err := replication.StartBroker(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("StartBroker() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestBrokerSaysThatItsAddressIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	_, err = replication.StartBroker(replication.BrokerOptions{Cluster: "c", DC: "d", Node: "n", Dir: dir, Addr: ln.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("StartBroker() = %v, want the reason", err)
	}
}

func TestBrokerKeepsItsOutboxOverARestart(t *testing.T) {
	o := replication.BrokerOptions{Cluster: "test", DC: "alpha", Node: "a1", Dir: t.TempDir()}
	b, err := replication.StartBroker(o)
	if err != nil {
		t.Fatal(err)
	}
	l := natsLink(t, b, func(replication.Peer) string { return "" })
	publish(t, l, 1, 0, 1, 5, 0)
	l.Close()
	b.Close()
	b, err = replication.StartBroker(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	l = natsLink(t, b, func(replication.Peer) string { return "" })
	if err := l.Offer(t.Context(), "beta", []uint32{1}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() bool {
		n, err := l.Backlog(t.Context(), 0)
		return n == 5 && err == nil
	})
}

func TestBrokerThrowsAwayAnOutboxThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := replication.StartBroker(replication.BrokerOptions{Cluster: "test", DC: "alpha", Node: "a1", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	l := natsLink(t, b, func(replication.Peer) string { return "" })
	publish(t, l, 1, 0, 1, 1, 0)
}

func TestWedgedBrokerIsRestarted(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "with its store", true: "without its store"}[lost], func(t *testing.T) {
			t.Parallel()
			restartWedged(t, lost)
		})
	}
}

func restartWedged(t *testing.T, lost bool) {
	dir := t.TempDir()
	b, err := replication.StartBroker(replication.BrokerOptions{Cluster: "test", DC: alpha.DC, Node: alpha.Node, Dir: dir, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	at := b.Addr()
	r := rig{
		a: natsLink(t, b, func(replication.Peer) string { return "" }),
		b: natsLink(t, broker(t, beta), func(replication.Peer) string { return at }),
	}
	offer(t, r, 1)
	s := pull(t, r.b, 0)
	publish(t, r.a, 1, 0, 1, 1, 0)
	takeAll(t, s, 1, 1)
	yes := func(context.Context, replication.Peer, []byte) ([]byte, error) { return []byte("yes"), nil }
	if err := errors.Join(r.a.Respond(yes), b.Wedge()); err != nil {
		t.Fatal(err)
	}
	if lost { // lanes are offered anew, and the datacenter that pulled goes on
		if err := os.RemoveAll(filepath.Join(dir, "jetstream")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 20*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return r.a.Publish(ctx, 1, 0, []byte{0, 0, 0, 0, 0, 0, 0, 2}) == nil
	})
	if b.Restarts() != 1 || b.Addr() != at {
		t.Errorf("%d restarts, at %s; want 1, at %s", b.Restarts(), b.Addr(), at)
	}
	takeAll(t, s, 2, 2)
	eventually(t, 5*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := r.b.Request(ctx, alpha, nil)
		return err == nil && string(got) == "yes"
	})
}

func TestNineBrokersStartQuickly(t *testing.T) {
	began := time.Now()
	for range 9 {
		broker(t, alpha)
	}
	if took := time.Since(began); took > 5*time.Second { // 100 ms each when nothing else runs
		t.Errorf("nine brokers took %s to start", took)
	} else {
		t.Logf("a broker takes %s to start", took/9)
	}
}
