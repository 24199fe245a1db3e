package replication_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
)

// pipe is a Local that costs nothing: events are as many bytes each, and
// nothing is kept but how many there are.
type pipe struct {
	eventBytes int
	minted     [4]atomic.Uint64 // by partition
	applied    [4]atomic.Uint64
	arrived    func(delta []byte)
}

func (p *pipe) Collect(r replication.Replica, _ crdt.Actor, after uint64, maxBytes int) ([]byte, uint64, int, error) {
	n := min(int(p.minted[r.Partition].Load()-after), max(maxBytes/p.eventBytes, 1))
	if n <= 0 {
		return nil, 0, 0, nil
	}
	return crdt.AppendDelta(nil, p.delta(after+1, after+uint64(n))), after + uint64(n), n, nil
}

// delta is a run of events that put as many bytes as they are together.
func (p *pipe) delta(lo, hi uint64) *crdt.Delta {
	b := make([]byte, int(hi-lo+1)*p.eventBytes)
	for i := range b {
		b[i] = byte(i*i>>7) ^ byte(i*int(lo)) // does not compress to nothing
	}
	id := crdt.CellID{KeyID: crdt.KeyID{Bucket: "b", Key: "k"}, Kind: crdt.Register}
	put := crdt.Change{ID: id, Puts: crdt.Cell{{Dot: crdt.Dot{Actor: 1, Seq: hi}, Payload: b}}}
	return &crdt.Delta{Actor: 1, Lo: lo, Hi: hi, Changes: []crdt.Change{put}}
}

func (p *pipe) Apply(_ context.Context, r replication.Replica, deltas [][]byte) error {
	for _, encoded := range deltas {
		d, err := crdt.DecodeDelta(encoded)
		if err != nil {
			return err
		}
		p.applied[r.Partition].Add(d.Hi - d.Lo + 1)
		if p.arrived != nil {
			p.arrived(encoded)
		}
	}
	return nil
}

func (p *pipe) Led() []replication.Replica                      { return nil }
func (p *pipe) Candidates(string, replication.Replica) []string { return nil }
func (p *pipe) Compared(string, []replication.Replica)          {}
func (p *pipe) Told(string, replication.Replica) (clock, least crdt.Clock, ok bool) {
	return crdt.Clock{}, crdt.Clock{}, false
}

func (p *pipe) Origin(crdt.Actor) string { return "" }

func (p *pipe) HeardOf(string, replication.Replica, crdt.Clock, crdt.Clock) {}

func (p *pipe) Heard(string, replication.Replica, crdt.Clock, crdt.Clock) {}

func (p *pipe) Standing(replication.Replica) (clock, least crdt.Clock, err error) {
	return clock, least, nil
}

func (p *pipe) Missing(replication.Replica, *crdt.Clock, int) (deltas [][]byte, more, trimmed bool, err error) {
	return nil, false, false, nil
}

func (p *pipe) Root(replication.Replica, uint64) (clock, root uint64, err error) { return 0, 0, nil }

func (p *pipe) Answer(replication.Replica, []byte, int) ([]byte, error) { return nil, nil }

func (p *pipe) Compare(replication.Replica) (replication.Comparison, error) {
	return nil, errors.New("nothing to compare")
}

// pipes returns the two ends of a pipe over real brokers.
func pipes(tb testing.TB, eventBytes int) (from, to *pipe, rep *replication.Replicator) {
	tb.Helper()
	from, to = &pipe{eventBytes: eventBytes}, &pipe{eventBytes: eventBytes}
	brokers := map[replication.Peer]*replication.Broker{}
	locals := map[replication.Peer]*pipe{alpha: from, beta: to}
	for p := range locals {
		br, err := replication.StartBroker(replication.BrokerOptions{Cluster: "test", DC: p.DC, Node: p.Node, Dir: tb.TempDir()})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(br.Close)
		brokers[p] = br
	}
	for p, local := range locals {
		l := natsLink(tb, brokers[p], func(q replication.Peer) string { return brokers[q].Addr() })
		x, err := replication.Start(replication.Options{
			Self: p, Link: l, Local: local, LiveNodes: func() []string { return []string{p.Node} },
			Peers:      func() []replication.Peer { return []replication.Peer{alpha, beta} },
			Placements: func(string) []uint32 { return []uint32{0} },
		})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(x.Close)
		if p == alpha {
			rep = x
		}
	}
	return from, to, rep
}

func (p *pipe) mint(rep *replication.Replicator, partition int) {
	seq := p.minted[partition].Add(1)
	rep.Notify(part(partition), p.delta(seq, seq))
}

func (p *pipe) sum() (n uint64) {
	for i := range p.applied {
		n += p.applied[i].Load()
	}
	return n
}

// BenchmarkShipAndReceive is the way of an event of 256 bytes from Notify to
// Apply over two real brokers; the store at either end costs nothing.
func BenchmarkShipAndReceive(b *testing.B) {
	from, to, rep := pipes(b, 256)
	from.mint(rep, 0)
	for to.sum() < 1 {
		time.Sleep(time.Millisecond)
	}
	began, n := time.Now(), uint64(1)
	for b.Loop() {
		from.mint(rep, int(n%4))
		if n++; n%4096 == 0 { // a store cannot run ahead without end either
			for n-to.sum() > 200_000 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	for to.sum() < n {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(float64(rep.Totals().ShippedEvents)/float64(rep.Totals().ShippedMessages), "events/message")
}

// BenchmarkLag is the time from Notify to Apply at 500 events a second, without
// any link delay; 2 ms of it are spent waiting for company.
func BenchmarkLag(b *testing.B) {
	from, to, rep := pipes(b, 256)
	var mu sync.Mutex
	arrived := make(chan struct{}, 1)
	to.arrived = func([]byte) {
		mu.Lock()
		defer mu.Unlock()
		select {
		case arrived <- struct{}{}:
		default:
		}
	}
	from.mint(rep, 0)
	<-arrived
	for b.Loop() {
		from.mint(rep, 0)
		<-arrived
	}
}
