package dc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// wire connects nodes in this process: a Transport without a network.
type wire struct {
	mu    sync.Mutex
	nodes map[string]*Node
	down  map[string]bool            // nodes that nobody reaches
	lost  func(*peerv1.Request) bool // tells which requests reach nobody
}

type wireEnd struct {
	*wire
	from string
}

func (w wireEnd) Send(to string, req *peerv1.Request, by time.Time, done func(*peerv1.Response, error)) {
	w.mu.Lock()
	n := w.nodes[to]
	if w.down[to] || w.down[w.from] || w.lost != nil && w.lost(req) {
		n = nil
	}
	w.mu.Unlock()
	if n == nil {
		done(nil, fmt.Errorf("%s is away: %w", to, ErrNotSent))
		return
	}
	ctx := context.Background()
	if !by.IsZero() {
		if _, err := BeginWithin(by, time.Now()); err != nil {
			done(nil, err)
			return
		}
		ctx = BeginBy(ctx, by)
	}
	go func() { done(n.Serve(ctx, w.from, req), nil) }()
}

func (w *wire) State(string) string { return "alive" }

func (w *wire) setDown(node string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[node] = down
}

// startDC starts a datacenter of nodes a, b, c, ... in memory.
func startDC(t *testing.T, nodes, replicas int) (*wire, []*Node) {
	t.Helper()
	return startDCEvery(t, nodes, replicas, 20*time.Millisecond)
}

func startDCEvery(t *testing.T, nodes, replicas int, exchange time.Duration, change ...func(*Options)) (*wire, []*Node) {
	t.Helper()
	top := &topology.Topology{Version: 1, Cluster: "test", Partitions: 16}
	d := topology.Datacenter{Name: "here"}
	for i := range nodes {
		d.Nodes = append(d.Nodes, topology.Node{ID: string(rune('a' + i)), Rack: string(rune('a' + i)), Weight: 1, Advertise: "127.0.0.1"})
	}
	top.Datacenters = []topology.Datacenter{d}
	top.Placements = []topology.Placement{{Name: "global", Replicas: map[string]int{"here": replicas}}}
	top.FillDefaults()
	w := &wire{nodes: map[string]*Node{}, down: map[string]bool{}}
	var out []*Node
	for _, spec := range d.Nodes {
		o := Options{
			Topology: top, Node: spec.ID, Transport: wireEnd{w, spec.ID}, Membership: w, Exchange: exchange, OrphanAfter: 300 * time.Millisecond,
			Storage: storage.Options{Dir: "/" + spec.ID, FS: storage.NewMemory(), Ballast: -1, MemTable: 1 << 20, CacheBytes: 1 << 20},
		}
		for _, f := range change {
			f(&o)
		}
		out = append(out, w.open(t, o))
	}
	eventually(t, "the nodes see each other, and that nobody had anything before", func() bool {
		for _, n := range out {
			if len(n.Live()) < nodes || n.recovery.under.Load() {
				return false
			}
		}
		return true
	})
	return w, out
}

// open starts a node, which ends with the test.
func (w *wire) open(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	w.mu.Lock()
	w.nodes[o.Node] = n
	w.mu.Unlock()
	return n
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func incr(key string, by int64) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: by}}}
}

func put(key, value string) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte(value)}}}
}

func remove(key string) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}}}
}

func get(key string) *v1.GetRequest { return &v1.GetRequest{Bucket: "default", Key: []byte(key)} }

func reason(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return fmt.Sprint(err)
}

func TestAnyNodeTakesAnyRequest(t *testing.T) {
	_, nodes := startDC(t, 5, 3)
	for i, n := range nodes {
		resp, err := n.Update(t.Context(), incr("hits", 2))
		if err != nil {
			t.Fatalf("node %s: %v", n.ID(), err)
		}
		if got := resp.GetAnswer().GetCopies(); got < 2 {
			t.Errorf("answered with %d copies, want 2 at the least", got)
		}
		for _, reader := range nodes {
			got, err := reader.Get(t.Context(), get("hits"))
			if err != nil {
				t.Fatalf("read at %s: %v", reader.ID(), err)
			}
			if want := int64(2 * (i + 1)); got.GetValue().GetInteger() != want {
				t.Errorf("read at %s: %d, want %d", reader.ID(), got.GetValue().GetInteger(), want)
			}
		}
	}
}

func TestOneNodeAway(t *testing.T) {
	w, nodes := startDC(t, 3, 3)
	w.setDown("c", true)
	for i := range 50 {
		if _, err := nodes[i%2].Update(t.Context(), put(fmt.Sprintf("k%d", i), "v")); err != nil {
			t.Fatalf("write with one of three away: %v", err)
		}
	}
	all := put("k", "v")
	all.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	if _, err := nodes[0].Update(t.Context(), all); reason(err) != "WRITE_INDETERMINATE" {
		t.Errorf("write to all with one away: %v, want WRITE_INDETERMINATE", err)
	}
	w.setDown("c", false)
	eventually(t, "the node that was away is level", func() bool { return level(nodes) })
	for i := range 50 {
		one := get(fmt.Sprintf("k%d", i))
		one.Options = &v1.ReadOptions{R: 1}
		if _, err := nodes[2].Get(t.Context(), one); err != nil {
			t.Errorf("read of k%d at the node that came back: %v", i, err)
		}
	}
}

// level reports whether all replicas of every partition have equal clocks and trees.
func level(nodes []*Node) bool {
	type digest struct {
		clock uint64
		root  string
	}
	seen := map[uint32]digest{}
	for _, n := range nodes {
		v, err := n.verify(context.Background(), &v1.VerifyRequest{})
		if err != nil {
			return false
		}
		for _, r := range v.GetReplicas() {
			d := digest{r.GetClockHash(), string(r.GetMerkleRoot())}
			if have, ok := seen[r.GetPartition()]; !r.GetReady() || ok && have != d {
				return false
			}
			seen[r.GetPartition()] = d
		}
	}
	return true
}

func TestDeleteSeesThePutItsCoordinatorMissed(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	if _, err := nodes[2].Update(t.Context(), remove("k")); err != nil {
		t.Fatal(err)
	}
	if _, err := nodes[0].Get(t.Context(), get("k")); reason(err) != "NOT_FOUND" {
		t.Errorf("after the delete: %v, want NOT_FOUND", err)
	}
	eventually(t, "all are level", func() bool { return level(nodes) })
}

func TestReadJoinsAndRepairs(t *testing.T) {
	w, nodes := startDC(t, 3, 3)
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	got, err := nodes[2].Get(t.Context(), get("k"))
	if err != nil || string(got.GetValue().GetBytes()) != "v" {
		t.Fatalf("read at the laggard: %v, %v", got, err)
	}
}

func TestRetryIsExact(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	req := incr("hits", 5)
	id := make([]byte, 16)
	ms := time.Now().UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	req.Options = &v1.WriteOptions{RequestId: id, Consistency: v1.Consistency_CONSISTENCY_ALL}
	for range 3 {
		for _, n := range nodes {
			if _, err := n.Update(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := nodes[1].Get(t.Context(), get("hits"))
	if err != nil || got.GetValue().GetInteger() != 5 {
		t.Fatalf("after nine tries: %v, %v, want 5", got.GetValue(), err)
	}
}

func TestScanListsEveryKeyOnce(t *testing.T) {
	_, nodes := startDC(t, 3, 3)
	want := map[string]bool{}
	for i := range 300 {
		key := fmt.Sprintf("user:%03d", i)
		want[key] = true
		if _, err := nodes[i%3].Update(t.Context(), put(key, "v")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nodes[0].Update(t.Context(), put("other", "v")); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	var page []byte
	for {
		n := 0
		req := &v1.ScanRequest{Bucket: "default", Prefix: []byte("user:"), Limit: 7, Page: page}
		err := nodes[1].Scan(t.Context(), req, func(r *v1.ScanResponse) error {
			for _, it := range r.GetItems() {
				got[string(it.GetKey())]++
				n++
			}
			page = r.GetNextPage()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n < 7 {
			break
		}
	}
	if len(got) != len(want) {
		t.Errorf("listed %d keys, want %d", len(got), len(want))
	}
	for key, n := range got {
		if n != 1 || !want[key] {
			t.Errorf("listed %q %d times", key, n)
		}
	}
}

// A key whose removal one owner has not heard of is not listed.
func TestScanListsNoRemovedKey(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	for _, key := range []string{"k", "l"} {
		req := put(key, "v")
		req.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
		if _, err := nodes[0].Update(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), remove("k")); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	for _, n := range nodes {
		var keys []string
		err := n.Scan(t.Context(), &v1.ScanRequest{Bucket: "default"}, func(page *v1.ScanResponse) error {
			for _, it := range page.GetItems() {
				keys = append(keys, string(it.GetKey()))
			}
			return nil
		})
		if err != nil || !slices.Equal(keys, []string{"l"}) {
			t.Errorf("node %s lists %q, %v; want l alone", n.id, keys, err)
		}
	}
}
