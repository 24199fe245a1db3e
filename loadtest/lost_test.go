package loadtest_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/loadtest"
)

// loser is a planted bug: of so many writes it acknowledges one that it throws away.
type loser struct {
	mu      sync.Mutex
	every   int // 0: it loses nothing
	writes  int
	lost    int
	enough  int    // lost writes after which it calls
	noticed func() // once
}

// plant makes it lose one write of every so many, and call once enough are lost.
func (l *loser) plant(every, enough int, noticed func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.every, l.enough, l.noticed = every, enough, noticed
}

func (l *loser) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if !l.loses(req) {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	proto.Merge(reply.(proto.Message), &pb.UpdateResponse{Changed: 1})
	return nil
}

// loses chooses among the single writes of clients, by whatever method: puts
// travel as Put, deletes as Delete, all others as Update.
func (l *loser) loses(req any) bool {
	w, isWrite := req.(interface {
		GetKey() []byte
		GetOptions() *pb.WriteOptions
	})
	if !isWrite || strings.Contains(string(w.GetKey()), ":probe:") {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	if l.every == 0 || l.writes%l.every != 0 {
		return false
	}
	if l.lost++; l.lost == l.enough {
		l.noticed()
	}
	return true
}

// A cluster that acknowledges writes and loses them does not pass. The load ends
// when enough are lost, however fast the machine is: each could be hidden by a
// write or a removal that happens to come after it, 40 of them are not.
func TestLostWritesAreNoticed(t *testing.T) {
	for _, name := range []string{"a", "f", "counters", "sets", "carts", "sessions", "hot-key"} {
		t.Run(name, func(t *testing.T) {
			w := start(t, name, twoDCs())
			ctx, enough := context.WithCancel(t.Context())
			defer enough()
			w.loser.plant(5, 40, enough)
			w.opts.Duration = time.Minute
			r, err := loadtest.Run(ctx, w.opts)
			if err != nil {
				t.Fatal(err)
			}
			c := r.Check
			if c.OK() || c.Lost+c.Sessions == 0 || len(c.Findings) == 0 {
				t.Errorf("check %+v", c)
			}
			if name == "sessions" && c.Sessions == 0 {
				t.Errorf("no session missed what it wrote: check %+v", c)
			}
		})
	}
}

// Datacenters that go apart for good do not pass.
func TestDivergenceIsNoticed(t *testing.T) {
	o := twoDCs()
	o.Apart = true
	w := start(t, "counters", o)
	w.opts.Probe, w.opts.Settle = -1, time.Second
	r, err := loadtest.Run(t.Context(), w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if r.Check.OK() || r.Check.Converged || r.Check.Diverged == 0 {
		t.Errorf("check %+v", r.Check)
	}
}
