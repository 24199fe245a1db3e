package dc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// testWall is the wall's clock of all nodes, as a test sets it.
type testWall struct{ ms atomic.Int64 }

func newTestWall() *testWall {
	w := &testWall{}
	w.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	return w
}

func (w *testWall) now() time.Time          { return time.UnixMilli(w.ms.Load()) }
func (w *testWall) advance(d time.Duration) { w.ms.Add(d.Milliseconds()) }

// ferry is replication between the datacenters of a test: what a node mints is
// carried over at once, unless the way is cut, and clocks are told on request.
type ferry struct {
	mu    sync.Mutex
	nodes map[string][]*Node // by datacenter
	cut   bool
	lag   time.Duration // of the beacons; negative before the first
	asked map[*Node]int // for the lag, by whom
}

type ferryEnd struct {
	*ferry
	n *Node
}

func (f ferryEnd) Notify(id replication.Replica, d *crdt.Delta) {
	go f.carry(f.n, id, d.Actor, d.Hi)
}

func (f *ferry) carry(from *Node, id replication.Replica, actor crdt.Actor, seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return
	}
	d, _, _, err := from.Remote().Collect(id, actor, seq-1, 1<<20)
	if err != nil || d == nil {
		return
	}
	for dcName, nodes := range f.nodes {
		if dcName != from.dc {
			_ = nodes[0].Remote().Apply(context.Background(), id, [][]byte{d}) // a node may be closed by now
		}
	}
}

func (f ferryEnd) Lag() []replication.Lag {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = map[*Node]int{}
	}
	f.asked[f.n]++
	var out []replication.Lag
	for dcName := range f.nodes {
		if dcName != f.n.dc {
			out = append(out, replication.Lag{DC: dcName, Newest: f.lag})
		}
	}
	return out
}

// tell lets every node hear the clocks of the other datacenters.
func (f *ferry) tell(t *testing.T) {
	t.Helper()
	for dcName, nodes := range f.nodes {
		for other, others := range f.nodes {
			for _, n := range nodes {
				for _, id := range n.Remote().Led() {
					clock, least, err := others[0].Remote().Standing(id)
					if err != nil {
						t.Fatal(err)
					}
					if other != dcName {
						n.Remote().Heard(other, id, clock, least)
					}
				}
			}
		}
	}
}

// heal carries over what the other datacenters lack.
func (f *ferry) heal(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = false
	for dcName, nodes := range f.nodes {
		for other, others := range f.nodes {
			if other == dcName {
				continue
			}
			for p := range 16 {
				id := replication.Replica{Placement: topology.PlacementID("global"), Partition: uint32(p)}
				clock, _, err := others[0].Remote().Standing(id)
				if err != nil {
					t.Fatal(err)
				}
				deltas, _, _, err := nodes[0].Remote().Missing(id, &clock, 1<<20)
				if err == nil {
					err = others[0].Remote().Apply(t.Context(), id, deltas)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// startFerried starts datacenters of three nodes each, of which each keeps
// everything, and does not sweep by itself. Bucket "short" has a ttl.
func startFerried(t *testing.T, w *testWall, dcs ...string) (*ferry, map[string]*wire) {
	t.Helper()
	return startFerriedEvery(t, w, 10*time.Millisecond, dcs...)
}

func startFerriedEvery(t *testing.T, w *testWall, exchange time.Duration, dcs ...string) (*ferry, map[string]*wire) {
	t.Helper()
	top := &topology.Topology{Version: 1, Cluster: "test", Partitions: 16}
	replicas := map[string]int{}
	for _, name := range dcs {
		d := topology.Datacenter{Name: name}
		for _, id := range []string{"a", "b", "c"} {
			d.Nodes = append(d.Nodes, topology.Node{ID: name + "-" + id, Rack: id, Weight: 1, Advertise: "127.0.0.1"})
		}
		top.Datacenters = append(top.Datacenters, d)
		replicas[name] = 3
	}
	top.Placements = []topology.Placement{{Name: "global", Replicas: replicas}}
	top.Buckets = []topology.Bucket{{Name: "short", TTL: time.Minute}}
	top.FillDefaults()
	f := &ferry{nodes: map[string][]*Node{}}
	wires := map[string]*wire{}
	for _, d := range top.Datacenters {
		wires[d.Name] = &wire{nodes: map[string]*Node{}, down: map[string]bool{}}
		for _, spec := range d.Nodes {
			n, err := Open(Options{
				Topology: top, Node: spec.ID, Transport: wireEnd{wires[d.Name], spec.ID}, Membership: wires[d.Name],
				Exchange: exchange, SweepEvery: time.Hour,
				Storage: storage.Options{
					Dir: "/" + spec.ID, FS: storage.NewMemory(), Wall: w.now, Ballast: -1, MemTable: 1 << 20, CacheBytes: 1 << 20,
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			})
			wires[d.Name].mu.Lock()
			wires[d.Name].nodes[spec.ID] = n
			wires[d.Name].mu.Unlock()
			f.nodes[d.Name] = append(f.nodes[d.Name], n)
		}
		nodes := f.nodes[d.Name]
		eventually(t, "the nodes see each other", func() bool {
			for _, n := range nodes {
				if len(n.Live()) < 3 {
					return false
				}
			}
			return true
		})
	}
	t.Cleanup(func() { // before the nodes are closed
		f.mu.Lock()
		f.cut = true
		f.mu.Unlock()
	})
	for _, nodes := range f.nodes {
		for _, n := range nodes {
			n.SetReplicator(ferryEnd{f, n})
		}
	}
	return f, wires
}

func (f *ferry) all() (out []*Node) {
	for _, nodes := range f.nodes {
		out = append(out, nodes...)
	}
	return out
}

// sweepAll is one round of every node.
func (f *ferry) sweepAll(t *testing.T) {
	t.Helper()
	f.tell(t)
	for _, n := range f.all() {
		n.sweepRound(0)
	}
}

// records counts the keys that nodes hold, whether they have expired or not.
func records(nodes []*Node) (n int64) {
	for _, node := range nodes {
		for _, r := range node.store.Replicas() {
			n += r.State().Keys
		}
	}
	return n
}

func expireAt(key string, at time.Time) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_Expire{Expire: &v1.Expire{AtUnixMs: uint64(at.UnixMilli())}}}
}

func ttl(d time.Duration, req *v1.UpdateRequest) *v1.UpdateRequest {
	req.TtlMs = uint64(d.Milliseconds())
	return req
}

func do(t *testing.T, n *Node, req *v1.UpdateRequest) {
	t.Helper()
	if _, err := n.Update(t.Context(), req); err != nil {
		t.Fatalf("%T of %s: %v", req.GetOp(), req.GetKey(), err)
	}
}

// expiryOf is when a key expires after now, 0 for never, -1 for an absent key.
func expiryOf(t *testing.T, n *Node, w *testWall, req *v1.GetRequest) time.Duration {
	t.Helper()
	resp, err := n.Get(t.Context(), req)
	switch {
	case reason(err) == "NOT_FOUND":
		return -1
	case err != nil:
		t.Fatal(err)
	case resp.GetExpiresUnixMs() == 0:
		return 0
	}
	return time.UnixMilli(int64(resp.GetExpiresUnixMs())).Sub(w.now())
}

func TestExpiryIsHiddenAtOnceAndSweptLater(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "here")
	for i := range 20 {
		do(t, f.nodes["here"][i%3], ttl(time.Minute, put(fmt.Sprintf("k%d", i), "v")))
	}
	do(t, f.nodes["here"][0], put("stays", "v"))
	eventually(t, "all have it", func() bool { return records(f.all()) == 3*21 })
	for _, n := range f.all() {
		if got := expiryOf(t, n, w, get("k7")); got != time.Minute {
			t.Errorf("at %s it expires in %v, want 1m", n.ID(), got)
		}
	}
	w.advance(time.Minute)
	for _, n := range f.all() {
		if got := expiryOf(t, n, w, get("k7")); got != -1 {
			t.Errorf("at %s what has expired is still there: %v", n.ID(), got)
		}
		listed := 0
		err := n.Scan(t.Context(), &v1.ScanRequest{Bucket: "default"}, func(r *v1.ScanResponse) error {
			listed += len(r.GetItems())
			return nil
		})
		if err != nil || listed != 1 {
			t.Errorf("at %s %d keys are listed, %v, want 1", n.ID(), listed, err)
		}
	}
	w.advance(500 * time.Millisecond)
	f.sweepAll(t)
	if got := records(f.all()); got != 3*21 {
		t.Errorf("%d records, want 63: walls may differ, so it is too soon to sweep", got)
	}
	w.advance(501 * time.Millisecond)
	f.sweepAll(t)
	eventually(t, "what has expired is swept everywhere", func() bool { return records(f.all()) == 3 })
	eventually(t, "all are level", func() bool { return level(f.all()) })
}

func TestUpdatesOfAnExpiry(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "here")
	keep := put("k", "w")
	keep.KeepTtl = true
	short := func(req *v1.UpdateRequest) *v1.UpdateRequest {
		req.Bucket = "short"
		return req
	}
	setAdd := &v1.UpdateRequest{Bucket: "default", Key: []byte("k"), Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: [][]byte{[]byte("x")}}}}
	never := expireAt("k", time.UnixMilli(0))
	tests := []struct {
		name string
		reqs []*v1.UpdateRequest
		want time.Duration
	}{
		{"a put has none", []*v1.UpdateRequest{put("k", "v")}, 0},
		{"a ttl", []*v1.UpdateRequest{ttl(time.Hour, put("k", "v"))}, time.Hour},
		{"a ttl of a counter", []*v1.UpdateRequest{ttl(time.Hour, incr("k", 2))}, time.Hour},
		{"a ttl of a set", []*v1.UpdateRequest{ttl(time.Hour, setAdd)}, time.Hour},
		{"a put clears it", []*v1.UpdateRequest{ttl(time.Hour, put("k", "v")), put("k", "w")}, 0},
		{"unless it keeps it", []*v1.UpdateRequest{ttl(time.Hour, put("k", "v")), keep}, time.Hour},
		{"an increment keeps it", []*v1.UpdateRequest{ttl(time.Hour, incr("k", 2)), incr("k", 2)}, time.Hour},
		{"expire sets it", []*v1.UpdateRequest{put("k", "v"), expireAt("k", w.now().Add(time.Minute))}, time.Minute},
		{"expire shortens it", []*v1.UpdateRequest{ttl(time.Hour, put("k", "v")), expireAt("k", w.now().Add(time.Minute))}, time.Minute},
		{"and takes it away", []*v1.UpdateRequest{ttl(time.Hour, put("k", "v")), never}, 0},
		{"in the past it is gone at once", []*v1.UpdateRequest{put("k", "v"), expireAt("k", w.now().Add(-time.Minute))}, -1},
		{"the bucket's", []*v1.UpdateRequest{short(put("k", "v"))}, time.Minute},
		{"the request's before the bucket's", []*v1.UpdateRequest{short(ttl(time.Hour, put("k", "v")))}, time.Hour},
		{"never, in a bucket with a ttl", []*v1.UpdateRequest{short(put("k", "v")), short(expireAt("k", time.UnixMilli(0)))}, 0},
		{"kept, in a bucket with a ttl", []*v1.UpdateRequest{short(ttl(time.Hour, put("k", "v"))), short(func() *v1.UpdateRequest {
			req := put("k", "w")
			req.KeepTtl = true
			return req
		}())}, time.Hour},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			read := get(fmt.Sprintf("k%d", i))
			for j, req := range tt.reqs {
				req.Key = read.GetKey()
				read.Bucket = req.GetBucket()
				do(t, f.nodes["here"][j%3], req)
			}
			for _, n := range f.all() {
				if got := expiryOf(t, n, w, read); got != tt.want {
					t.Errorf("at %s it expires in %v, want %v", n.ID(), got, tt.want)
				}
			}
		})
	}
}

func TestRefusedExpiry(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "here")
	n := f.nodes["here"][0]
	do(t, n, ttl(time.Minute, put("gone", "v")))
	do(t, n, put("k", "v"))
	w.advance(time.Hour)
	keep := ttl(time.Minute, put("k", "v"))
	keep.KeepTtl = true
	inMap := &v1.UpdateRequest{Bucket: "default", Key: []byte("m"), Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{
		Fields: []*v1.FieldUpdate{{Name: []byte("f"), Update: expireAt("", w.now())}},
	}}}
	tests := []struct {
		name string
		req  *v1.UpdateRequest
		want string
	}{
		{"of what is absent", expireAt("absent", w.now()), "NOT_FOUND"},
		{"of what has expired", expireAt("gone", w.now().Add(time.Hour)), "NOT_FOUND"},
		{"after the end of time", expireAt("k", time.UnixMilli(maxMoment+1)), "BAD_TTL"},
		{"a ttl past the end of time", &v1.UpdateRequest{Bucket: "default", Key: []byte("k"), TtlMs: 1 << 63, Op: put("k", "v").GetOp()}, "BAD_TTL"},
		{"both at once", keep, "BAD_TTL"},
		{"a ttl of a delete", ttl(time.Minute, remove("k")), "BAD_TTL"},
		{"of a field", inMap, "NOT_IN_A_MAP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := n.Update(t.Context(), tt.req); reason(err) != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

func TestWriteToAnExpiredKeyBeginsAnew(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "here")
	do(t, f.nodes["here"][0], ttl(time.Minute, incr("hits", 5)))
	w.advance(time.Minute)
	for i, n := range f.all() {
		req := incr("hits", 3)
		req.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL} // the answer is what the coordinator holds
		resp, err := n.Update(t.Context(), req)
		if want := int64(3 * (i + 1)); err != nil || resp.GetValue().GetInteger() != want {
			t.Errorf("at %s: %v, %v, want %d", n.ID(), resp.GetValue(), err, want)
		}
	}
	if got := expiryOf(t, f.nodes["here"][2], w, get("hits")); got != 0 {
		t.Errorf("it expires in %v, want never", got)
	}
	eventually(t, "all are level", func() bool { return level(f.all()) })
}

// The expiry is in every page of a collection, behind its elements. Replicas
// that differ are joined as far as all of them have told.
func TestPagesOfWhatExpires(t *testing.T) {
	w := newTestWall()
	f, wires := startFerriedEvery(t, w, 2*time.Second, "here")
	nodes := f.nodes["here"]
	setAdd := &v1.SetAdd{}
	for i := range 9 {
		setAdd.Elements = append(setAdd.Elements, fmt.Appendf(nil, "e%d", i))
	}
	add := ttl(time.Hour, &v1.UpdateRequest{Bucket: "default", Key: []byte("k"), Op: &v1.UpdateRequest_SetAdd{SetAdd: setAdd}})
	add.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	do(t, nodes[0], add)
	wires["here"].setDown("here-c", true)
	do(t, nodes[0], &v1.UpdateRequest{Bucket: "default", Key: []byte("k"), Op: &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: [][]byte{[]byte("e1")}}}})
	wires["here"].setDown("here-c", false)
	var got []string
	req := get("k")
	req.Limit = 2
	req.Options = &v1.ReadOptions{R: 3}
	for range 9 {
		resp, err := nodes[2].Get(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range resp.GetValue().GetSet().GetElements() {
			got = append(got, string(e))
		}
		if resp.GetExpiresUnixMs() == 0 {
			t.Error("a page does not tell of the expiry")
		}
		if req.Page = resp.GetNextPage(); len(req.GetPage()) == 0 {
			break
		}
	}
	if want := []string{"e0", "e2", "e3", "e4", "e5", "e6", "e7", "e8"}; !slices.Equal(got, want) {
		t.Errorf("pages of %q, want %q", got, want)
	}
}

// A replica that missed an extension does not give the key up.
func TestExtensionThatTheCoordinatorMissed(t *testing.T) {
	w := newTestWall()
	f, wires := startFerriedEvery(t, w, 2*time.Second, "here") // no catch-up comes in between
	nodes := f.nodes["here"]
	setAdd := func(e string) *v1.UpdateRequest {
		return &v1.UpdateRequest{Bucket: "default", Key: []byte("k"), Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: [][]byte{[]byte(e)}}}}
	}
	all := ttl(time.Minute, setAdd("x"))
	all.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	do(t, nodes[0], all)
	wires["here"].setDown("here-c", true)
	do(t, nodes[0], expireAt("k", w.now().Add(time.Hour)))
	w.advance(2 * time.Minute)
	wires["here"].setDown("here-c", false)
	do(t, nodes[2], setAdd("y"))
	got, err := nodes[1].Get(t.Context(), get("k"))
	if err != nil || len(got.GetValue().GetSet().GetElements()) != 2 {
		t.Errorf("after an extension: %v, %v, want x and y", got.GetValue(), err)
	}
}

func TestNoResurrectionBesideASweep(t *testing.T) {
	w := newTestWall()
	f, wires := startFerried(t, w, "here")
	nodes := f.nodes["here"]
	req := ttl(time.Minute, put("k", "v"))
	req.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	do(t, nodes[0], req)
	wires["here"].setDown("here-c", true)
	eventually(t, "its absence is noticed", func() bool { return len(nodes[0].Live()) == 2 && len(nodes[1].Live()) == 2 })
	w.advance(time.Hour)
	for _, n := range nodes[:2] {
		n.sweepRound(0)
	}
	if got := records(nodes[:2]); got != 0 {
		t.Errorf("%d records after the sweep, want 0", got)
	}
	wires["here"].setDown("here-c", false)
	eventually(t, "the node that was away forgets it as well", func() bool { return records(nodes) == 0 })
	eventually(t, "all are level", func() bool { return level(nodes) })
	for _, n := range nodes {
		if got := expiryOf(t, n, w, get("k")); got != -1 {
			t.Errorf("at %s it is back: %v", n.ID(), got)
		}
	}
}

func TestSweepWaitsForOtherDatacenters(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "east", "west")
	east, west := f.nodes["east"][0], f.nodes["west"][0]
	do(t, east, ttl(time.Minute, put("k", "v")))
	do(t, east, ttl(time.Minute, put("gone", "v")))
	eventually(t, "all have it", func() bool { return records(f.all()) == 2*2*3 })

	f.mu.Lock()
	f.cut, f.lag = true, 0
	f.mu.Unlock()
	do(t, west, expireAt("k", w.now().Add(24*time.Hour)))
	w.advance(time.Hour)
	f.mu.Lock()
	f.lag = time.Hour // no beacon either since the cut
	f.mu.Unlock()
	f.sweepAll(t)
	if got := expiryOf(t, east, w, get("k")); got != -1 {
		t.Errorf("what has expired is not hidden: %v", got)
	}
	if got := records(f.all()); got != 2*2*3 {
		t.Errorf("%d records, want 12: nobody may sweep what another datacenter may have extended", got)
	}

	f.heal(t)
	f.mu.Lock()
	f.lag = 0
	f.mu.Unlock()
	if got := expiryOf(t, east, w, get("k")); got != 23*time.Hour {
		t.Errorf("after the heal it expires in %v, want 23h", got)
	}
	f.sweepAll(t)
	eventually(t, "what nobody extended is swept everywhere", func() bool { return records(f.all()) == 2*3 })
	eventually(t, "all are level", func() bool { return level(f.all()) })
}

// A datacenter whose clock tells of events that are not here yet is waited for,
// whatever its beacons say.
func TestSweepWaitsForEventsThatAreKnownToBeMissing(t *testing.T) {
	w := newTestWall()
	f, _ := startFerried(t, w, "east", "west")
	east, west := f.nodes["east"][0], f.nodes["west"][0]
	do(t, east, ttl(time.Minute, put("k", "v")))
	eventually(t, "all have it", func() bool { return records(f.all()) == 2*3 })
	f.mu.Lock()
	f.cut = true
	f.mu.Unlock()
	do(t, west, expireAt("k", w.now().Add(24*time.Hour)))
	eventually(t, "all in the west have it", func() bool { return level(f.nodes["west"]) })
	w.advance(time.Hour)
	f.tell(t)
	for _, n := range f.nodes["east"] {
		n.sweepRound(0)
	}
	if got := records(f.nodes["east"]); got != 3 {
		t.Errorf("%d records, want 3", got)
	}
}

// What the lag is takes sorting the beacons of a minute: done for each partition, it
// kept the processors from everything else for some milliseconds every second.
func TestASweepLooksAtTheLagOnce(t *testing.T) {
	f, _ := startFerried(t, newTestWall(), "east", "west")
	east := f.nodes["east"][0]
	looks := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.asked[east]
	}
	before := looks()
	east.sweepRound(0)
	if led, got := len(east.Remote().Led()), looks()-before; got != 1 || led < 2 {
		t.Errorf("looked %d times in a round over %d partitions, want once over several", got, led)
	}
}
