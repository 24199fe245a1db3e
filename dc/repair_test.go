package dc

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/replication/linktest"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// metered is a link that counts the bytes of questions and answers.
type metered struct {
	replication.Link
	bytes, requests atomic.Int64
}

// Request is a method of replication.Link.
func (m *metered) Request(ctx context.Context, to replication.Peer, data []byte) ([]byte, error) {
	answer, err := m.Link.Request(ctx, to, data)
	m.bytes.Add(int64(len(data) + len(answer)))
	m.requests.Add(1)
	return answer, err
}

// OnUp is a method of replication.Link. It tells nothing: clocks would be
// compared for a while after the start, beside what is measured.
func (*metered) OnUp(func(replication.Peer)) {}

// half is one of two datacenters of one node that hold the same placement.
type half struct {
	node *Node
	rep  *replication.Replicator
	link *metered
}

// twoHalves starts datacenters here and there. Nothing is shipped and no clocks
// are compared unless change says so: what a test writes it writes into storage.
func twoHalves(t testing.TB, partitions int, latency time.Duration, change func(o *replication.Options)) (here, there *half) {
	t.Helper()
	top := &topology.Topology{Version: 1, Cluster: "test", Partitions: partitions}
	for _, name := range []string{"here", "there"} {
		top.Datacenters = append(top.Datacenters, topology.Datacenter{Name: name, Nodes: []topology.Node{{ID: name + "-a", Rack: "a", Weight: 1, Advertise: "127.0.0.1"}}})
	}
	top.Placements = []topology.Placement{{Name: "global", Replicas: map[string]int{"here": 1, "there": 1}}}
	top.FillDefaults()
	net := linktest.New(linktest.Options{Latency: latency})
	var out []*half
	for i, d := range top.Datacenters {
		id := d.Nodes[0].ID
		w := &wire{nodes: map[string]*Node{}, down: map[string]bool{}}
		n, err := Open(Options{
			Topology: top, Node: id, Transport: wireEnd{w, id}, Membership: w, Exchange: time.Hour,
			Storage: storage.Options{Dir: "/" + id, FS: storage.NewMemory(), Ballast: -1, MemTable: 32 << 20, CacheBytes: 64 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[id] = n
		h := &half{node: n, link: &metered{Link: net.Link(replication.Peer{DC: d.Name, Node: id})}}
		other := top.Datacenters[1-i]
		o := replication.Options{
			Self: replication.Peer{DC: d.Name, Node: id}, Link: h.link, Local: n.Remote(), LiveNodes: n.Live,
			Peers: func() []replication.Peer {
				return []replication.Peer{{DC: other.Name, Node: other.Nodes[0].ID}}
			},
			Placements:    func(string) []uint32 { return []uint32{topology.PlacementID("global")} },
			ExchangeEvery: 24 * time.Hour, VerifyEvery: 1 << 60, BeaconEvery: time.Hour,
		}
		if change != nil {
			change(&o)
		}
		if h.rep, err = replication.Start(o); err != nil {
			t.Fatal(err)
		}
		n.SetReplicator(h.rep)
		t.Cleanup(func() {
			h.rep.Close()
			h.link.Close()
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		out = append(out, h)
	}
	return out[0], out[1]
}

// fill writes keys from one number up to another, here and, if there is not nil,
// there as well.
func fill(t testing.TB, here, there *half, from, to int, value string) {
	t.Helper()
	const atOnce = 2000
	events := map[storage.ReplicaID][]*crdt.Delta{}
	var last []*storage.Commit
	settle := func() {
		for id, deltas := range events {
			if there != nil { // once per thousands, or it takes as long as the writes
				c, err := there.node.store.Replica(id).Apply(deltas, true)
				if err != nil {
					t.Fatal(err)
				}
				last = append(last, c)
			}
		}
		for _, c := range last {
			if err := c.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		clear(events)
		last = last[:0]
	}
	for i := from; i < to; i++ {
		id, done := change(t, here, i, value)
		last = append(last, done.Commit)
		events[id] = append(events[id], done.Delta)
		if len(last) == atOnce {
			settle()
		}
	}
	settle()
	for _, h := range []*half{here, there} {
		for _, r := range replicasOf(h) {
			if err := r.Barrier(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// change writes a key, and leaves it to the store when that is on disk.
func change(t testing.TB, h *half, i int, value string) (storage.ReplicaID, *storage.Done) {
	t.Helper()
	key := fmt.Sprintf("key %08d", i)
	target, err := h.node.target("default", []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	done, err := h.node.store.Replica(target.id).Mutate(&storage.Mutation{
		Key:    crdt.KeyID{Bucket: "default", Key: key},
		Op:     &crdt.Op{Code: crdt.OpAssign, Kind: crdt.Register, Value: fmt.Appendf(nil, "%s of key %08d %060d", value, i, i)},
		Looked: true, Async: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return target.id, done
}

func replicasOf(h *half) []*storage.Replica {
	if h == nil {
		return nil
	}
	return h.node.store.Replicas()
}

// repair has here take over what there holds, and returns what that cost.
func repair(t testing.TB, here *half) (last replication.Repaired, took time.Duration) {
	t.Helper()
	before := here.link.bytes.Load()
	began := time.Now()
	if err := here.rep.Repair(t.Context(), nil, func(replication.Replica) bool { return true }, func(r replication.Repaired) { last = r }); err != nil {
		t.Fatal(err)
	}
	took = time.Since(began)
	if last.Done != last.Partitions || last.Failed > 0 {
		t.Fatalf("repair: %+v", last)
	}
	if n := last.Tally.TreeBytes + last.Tally.DigestBytes + last.Tally.CellBytes; float64(here.link.bytes.Load()-before) > 1.1*float64(n)+4096 {
		t.Errorf("%d bytes went over the link, %d are accounted for", here.link.bytes.Load()-before, n)
	}
	return last, took
}

// alike reports the first partition of which two datacenters do not hold the
// same, "" if there is none.
func alike(here, there *half) string {
	for id := range here.node.everyPartition(here.node.layout()) {
		a, b := here.node.store.Replica(id).State(), there.node.store.Replica(id).State()
		if a.Root != b.Root || !a.Clock.Equal(&b.Clock) {
			return id.String()
		}
	}
	return ""
}

// TestRepairBytes holds the bytes of a repair against their limits: 100 kB of
// trees and digests for 100 differences, 64 bytes a partition where all is equal.
func TestRepairBytes(t *testing.T) {
	here, there := twoHalves(t, 256, 10*time.Millisecond, nil)
	fill(t, there, here, 0, 30_000, "a value")
	equal, _ := repair(t, here)
	if n := equal.Tally; equal.Equal != 256 || n.TreeBytes > 64*256 || n.DigestBytes+n.CellBytes > 0 {
		t.Errorf("equal datacenters: %+v, want 256 equal partitions and at most 64 bytes for each", equal)
	}
	fill(t, there, nil, 500, 600, "another")
	before := here.link.requests.Load()
	got, _ := repair(t, here)
	if n := got.Tally.TreeBytes + got.Tally.DigestBytes; n > 100_000 {
		t.Errorf("%d bytes of trees and digests, want at most 100000", n)
	}
	if got.Tally.Keys != 100 || got.Tally.CellBytes > 100*300 {
		t.Errorf("%+v, want 100 keys of at most 300 bytes", got.Tally)
	}
	if n := here.link.requests.Load() - before; n > 6 {
		t.Errorf("%d round trips, want at most 6", n)
	}
	if where := alike(here, there); where != "" {
		t.Errorf("partition %s differs after the repair", where)
	}
}

// TestRepairAfterTheLogWasTrimmed: clocks tell what is missing, the log no
// longer reaches back, and only what differs travels.
func TestRepairAfterTheLogWasTrimmed(t *testing.T) {
	var on atomic.Bool
	here, there := twoHalves(t, 16, time.Millisecond, func(o *replication.Options) {
		o.ExchangeEvery, o.InFlight = 20*time.Millisecond, 20*time.Millisecond
		peers := o.Peers
		o.Peers = func() []replication.Peer {
			if !on.Load() {
				return nil
			}
			return peers()
		}
	})
	fill(t, there, here, 0, 3000, "a value")
	fill(t, there, nil, 100, 140, "another")
	for _, r := range replicasOf(there) {
		clock := r.Durable()
		if _, _, err := r.Trim(&clock); err != nil {
			t.Fatal(err)
		}
	}
	on.Store(true)
	here.rep.MembershipChanged()
	there.rep.MembershipChanged()
	eventually(t, "the datacenters are alike", func() bool { return alike(here, there) == "" })
	v := here.rep.Verified()[0]
	if joins := here.rep.Lag()[0].Joins; joins == 0 || v.Tally.Keys != 40 {
		t.Errorf("%d partitions compared, %+v; want some, and 40 keys", joins, v.Tally)
	}
}

// TestVerificationFindsWhatClocksDoNot: trees that differ at equal clocks are
// found and mended by themselves, and what is under way is not taken for such.
func TestVerificationFindsWhatClocksDoNot(t *testing.T) {
	here, there := twoHalves(t, 16, time.Millisecond, func(o *replication.Options) {
		o.VerifyEvery, o.InFlight = 50*time.Millisecond, 10*time.Millisecond
	})
	fill(t, there, here, 0, 500, "a value")
	eventually(t, "all was verified", func() bool {
		v := here.rep.Verified()
		return len(v) == 1 && v[0].Rounds > 0 && v[0].Equal == 16
	})
	if v := here.rep.Verified()[0]; v.Unequal > 0 || v.Tally.CellBytes > 0 {
		t.Errorf("equal datacenters: %+v", v)
	}
	// The effect of an event without the event: what repair of a read leaves.
	id, err := there.node.target("default", []byte("key 00000007"))
	if err != nil {
		t.Fatal(err)
	}
	key := crdt.KeyID{Bucket: "default", Key: "key 00000007"}
	stray := crdt.Snapshot{Cells: []crdt.CellState{{
		ID:   crdt.CellID{KeyID: key, Kind: crdt.Set, Path: "stray"},
		Live: crdt.Cell{{Dot: crdt.Dot{Actor: 99, Seq: 1}, Payload: strayPayload(t)}},
	}}}
	c, err := there.node.store.Replica(id.id).Repair([]crdt.KeyID{key}, &stray)
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the difference is found and gone", func() bool {
		return here.rep.Verified()[0].Unequal > 0 && alike(here, there) == ""
	})
	if n := here.rep.Verified()[0].Unequal; n != 1 {
		t.Errorf("%d partitions were found unequal, want 1", n)
	}
}

// strayPayload is what an element of a set carries.
func strayPayload(t *testing.T) []byte {
	t.Helper()
	var cells crdt.Memory
	var r crdt.Replica
	op := &crdt.Op{Code: crdt.OpInsert, Kind: crdt.Set, Elements: []string{"stray"}}
	d, _, err := r.Mutate(&cells, crdt.KeyID{Bucket: "b", Key: "k"}, nil, op, crdt.Dot{Actor: 1, Seq: 1}, func(s crdt.Stamp) crdt.Stamp { return s + 1 })
	if err != nil {
		t.Fatal(err)
	}
	return d.Changes[0].Puts[0].Payload
}

// TestRepairUnderWrites: nothing is lost while both sides change.
func TestRepairUnderWrites(t *testing.T) {
	here, there := twoHalves(t, 16, time.Millisecond, nil)
	fill(t, there, here, 0, 2000, "a value")
	fill(t, there, nil, 0, 50, "another")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 20 {
			fill(t, here, nil, 100+i, 101+i, "of here")
		}
	}()
	repair(t, here)
	<-done
	repair(t, there)
	repair(t, here)
	if where := alike(here, there); where != "" {
		t.Errorf("partition %s differs after the repairs", where)
	}
}

var (
	repairKeys  = flag.Int("repair-keys", 100_000, "keys of the largest table of BenchmarkRepair")
	repairFewer = flag.Int("repair-from", 10_000, "keys of its smallest")
)

// BenchmarkRepair prints what a repair over a link of 40 ms costs, next to a
// plain comparison: every key with its digest.
func BenchmarkRepair(b *testing.B) {
	if b.N > 1 {
		b.Skip("the table is printed once")
	}
	// Printed as it comes, and not logged: a log would be cut short.
	fmt.Printf("\n%9s %9s | %10s %10s %12s | %8s %6s | %12s\n", "keys", "differ", "trees B", "digests B", "cells B", "time", "trips", "plain B")
	for keys := *repairFewer; keys <= *repairKeys; keys *= 10 {
		here, there := twoHalves(b, 256, 40*time.Millisecond, nil)
		fill(b, there, here, 0, keys, "a value")
		for _, differ := range []int{0, 100, 1_000, 10_000, 100_000} {
			if differ > keys {
				continue
			}
			step := keys / max(differ, 1)
			for i := range differ {
				if _, done := change(b, there, i*step, fmt.Sprint("another ", differ)); done.Commit.Wait() != nil {
					b.Fatal("not written")
				}
			}
			fill(b, there, nil, 0, 0, "")
			before := here.link.requests.Load()
			got, took := repair(b, here)
			if where := alike(here, there); where != "" {
				b.Fatalf("partition %s differs after the repair", where)
			}
			t := got.Tally
			fmt.Printf("%9d %9d | %10d %10d %12d | %8s %6d | %12d\n", keys, differ, t.TreeBytes, t.DigestBytes, t.CellBytes,
				took.Round(time.Millisecond), here.link.requests.Load()-before, keys*(len("key 00000000")+16))
		}
	}
}
