package dc

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// strictGet reads a key of a quorum of owners that count.
func strictGet(key string) *v1.GetRequest {
	g := get(key)
	g.Options = &v1.ReadOptions{Strict: true}
	return g
}

// wipe starts a node again with an empty disk.
func (w *wire) wipe(t *testing.T, n *Node) *Node {
	t.Helper()
	return w.restart(t, n, func(o *storage.Options) { o.FS = storage.NewMemory() })
}

// restart starts a node again, with other options once it has ended.
func (w *wire) restart(t *testing.T, n *Node, change func(*storage.Options)) *Node {
	t.Helper()
	w.mu.Lock()
	delete(w.nodes, n.id)
	w.mu.Unlock()
	o := n.opts
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	o.Transport = wireEnd{w, n.id}
	change(&o.Storage)
	return w.open(t, o)
}

// Two of three owners acknowledge a write, and one of them loses its disk. While the
// other one is away nobody who is there has the write: a strict read must not tell
// that it is not there, and one that is not strict says so as well as it can.
func TestNodeThatLostItsDiskDoesNotCount(t *testing.T) {
	w, nodes := startDC(t, 3, 3)
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	w.setDown("b", true)
	nodes[0] = w.wipe(t, nodes[0])
	w.setDown("c", false)
	at, err := nodes[0].target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the others know each other", func() bool { return nodes[0].alive("c") && nodes[2].alive("a") })
	for _, i := range []int{0, 2} {
		n := nodes[i]
		if got, err := n.Get(t.Context(), strictGet("k")); reason(err) != "TOO_FEW_REPLICAS" {
			t.Errorf("strict read at %s: %v, %v; want TOO_FEW_REPLICAS", n.id, got, err)
		}
		counted := n.count.ReadsOfRecovering.Load()
		if got, err := n.Get(t.Context(), get("k")); reason(err) != "NOT_FOUND" {
			t.Errorf("read at %s: %v, %v; want NOT_FOUND", n.id, got, err)
		}
		if n.count.ReadsOfRecovering.Load() == counted {
			t.Errorf("nobody counted that a read at %s made do with what it had", n.id)
		}
		if err := n.Scan(t.Context(), &v1.ScanRequest{Bucket: "default", Options: &v1.ReadOptions{Strict: true}}, func(*v1.ScanResponse) error { return nil }); reason(err) != "TOO_FEW_REPLICAS" {
			t.Errorf("strict scan at %s: %v, want TOO_FEW_REPLICAS", n.id, err)
		}
		if err := n.Scan(t.Context(), &v1.ScanRequest{Bucket: "default"}, func(*v1.ScanResponse) error { return nil }); err != nil {
			t.Errorf("scan at %s: %v", n.id, err)
		}
	}
	if !nodes[0].recovery.lacks(at.id) {
		t.Fatal("a replica counts that does not have what it acknowledged")
	}
	one := get("k")
	one.Options = &v1.ReadOptions{R: 1}
	w.setDown("c", true)
	w.setDown("b", false)
	eventually(t, "a and b know each other", func() bool { return nodes[0].alive("b") && nodes[1].alive("a") })
	if got, err := nodes[0].Get(t.Context(), one); err != nil {
		t.Errorf("read of one at the node that lost its disk: %v, %v; want the value of another", got, err)
	}
	w.setDown("c", false)
	eventually(t, "all is recovered", func() bool { return nodes[0].recovery.left() == 0 && !nodes[0].store.Recovering() })
	w.setDown("b", true)
	for _, i := range []int{0, 2} {
		if got, err := nodes[i].Get(t.Context(), strictGet("k")); err != nil || string(got.GetValue().GetBytes()) != "v" {
			t.Errorf("strict read at %s: %v, %v; want v", nodes[i].id, got, err)
		}
	}
}

// A removal that is coordinated where the disk was lost sees what it is to remove.
func TestNodeThatLostItsDiskLooksBeforeItRemoves(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	nodes[0] = w.wipe(t, nodes[0])
	w.setDown("c", false)
	if _, err := nodes[0].Update(t.Context(), remove("k")); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if got, err := n.Get(t.Context(), strictGet("k")); reason(err) != "NOT_FOUND" {
			t.Errorf("read at %s after the removal: %v, %v; want NOT_FOUND", n.id, got, err)
		}
	}
}

// With two owners, and in a read of all, one that lost its disk counts beside all others.
func TestWhoLostTheDiskCountsBesideAllOthers(t *testing.T) {
	for _, owners := range []int{2, 3} {
		w, nodes := startDCEvery(t, owners, owners, 5*time.Second)
		if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
			t.Fatal(err)
		}
		nodes[0] = w.wipe(t, nodes[0])
		all := strictGet("k")
		all.Options.Consistency = v1.Consistency_CONSISTENCY_ALL
		for _, n := range nodes {
			if got, err := n.Get(t.Context(), all); err != nil || string(got.GetValue().GetBytes()) != "v" {
				t.Errorf("%d owners, strict read of all at %s: %v, %v; want v", owners, n.id, got, err)
			}
			listed := 0
			err := n.Scan(t.Context(), &v1.ScanRequest{Bucket: "default", Options: all.GetOptions()}, func(s *v1.ScanResponse) error {
				listed += len(s.GetItems())
				return nil
			})
			if err != nil || listed != 1 {
				t.Errorf("%d owners, strict scan of all at %s: %d keys, %v; want 1", owners, n.id, listed, err)
			}
		}
		if owners == 3 {
			continue
		}
		w.setDown("b", true)
		if got, err := nodes[0].Get(t.Context(), all); reason(err) == "NOT_FOUND" {
			t.Errorf("strict read of two with the other one away: %v, %v", got, err)
		}
	}
}

// A node is started with an older copy of its disk, without knowing that. The owner
// that remembers more of it says so, and until the node has all back it does not count.
// Where the disk is the present one it does, as soon as those that are there were asked.
func TestNodeWithAnOldDiskDoesNotCount(t *testing.T) {
	for _, old := range []bool{true, false} {
		dir := t.TempDir()
		disk, backup := filepath.Join(dir, "disk"), filepath.Join(dir, "backup")
		w, nodes := startDCEvery(t, 3, 3, 100*time.Millisecond, func(o *Options) {
			if o.Node == "a" {
				o.Storage.Dir, o.Storage.FS = disk, nil
			}
		})
		if _, err := nodes[0].Update(t.Context(), put("k", "u")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all are level", func() bool { return level(nodes) })
		nodes[0] = w.restart(t, nodes[0], func(o *storage.Options) {
			if err := os.CopyFS(backup, os.DirFS(o.Dir)); err != nil {
				t.Fatal(err)
			}
		})
		eventually(t, "all count", func() bool { return nodes[0].alive("b") && !nodes[0].recovery.under.Load() })
		w.setDown("c", true)
		if _, err := nodes[0].Update(t.Context(), put("k", "v")); err != nil {
			t.Fatal(err)
		}
		at, err := nodes[0].target("default", []byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		clock := nodes[0].store.Replica(at.id).Durable()
		eventually(t, "a has told b", func() bool { return nodes[1].peers.covers("a", at.id, &clock) })
		w.mu.Lock()
		w.lost = func(req *peerv1.Request) bool { return req.GetMissing() != nil || req.GetSnapshot() != nil } // nothing is brought back
		w.mu.Unlock()
		nodes[0] = w.restart(t, nodes[0], func(o *storage.Options) {
			if old {
				o.Dir = backup
			}
		})
		counts := func() bool { return !nodes[0].recovery.under.Load() }
		told := func() bool {
			nodes[0].recovery.mu.Lock()
			defer nodes[0].recovery.mu.Unlock()
			return nodes[0].recovery.warned
		}
		eventually(t, "it is known whether something is forgotten", func() bool { return told() || counts() })
		w.setDown("b", true)
		w.setDown("c", false)
		if old != told() {
			t.Errorf("old disk: %t, told: %t", old, told())
		}
		eventually(t, "a and c know each other", func() bool { return nodes[0].alive("c") && nodes[2].alive("a") })
		for _, i := range []int{0, 2} {
			got, err := nodes[i].Get(t.Context(), strictGet("k"))
			if old && reason(err) != "TOO_FEW_REPLICAS" {
				t.Errorf("strict read at %s beside an old disk: %v, %v; want TOO_FEW_REPLICAS", nodes[i].id, got, err)
			}
			if !old && (err != nil || string(got.GetValue().GetBytes()) != "v") {
				t.Errorf("strict read at %s beside the present disk: %v, %v; want v", nodes[i].id, got, err)
			}
		}
		w.mu.Lock()
		w.lost = nil
		w.mu.Unlock()
		w.setDown("b", false)
		eventually(t, "all has come back", counts)
		eventually(t, "b remembers nothing else", func() bool { return len(nodes[1].peers.forgot("a")) == 0 })
		w.setDown("b", true)
		if got, err := nodes[2].Get(t.Context(), strictGet("k")); err != nil || string(got.GetValue().GetBytes()) != "v" {
			t.Errorf("strict read afterwards: %v, %v; want v", got, err)
		}
	}
}

// A node that was started does not count before the others were asked what it forgot,
// and does in the end when none of them answers.
func TestNodeWithAnOldDiskAsksBeforeItCounts(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	at, err := nodes[0].target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	w.setDown("b", true)
	w.setDown("c", true)
	nodes[0] = w.restart(t, nodes[0], func(*storage.Options) {})
	if !nodes[0].recovery.lacks(at.id) {
		t.Error("it counts before anybody was asked")
	}
	eventually(t, "it counts though nobody answers", func() bool { return !nodes[0].recovery.lacks(at.id) })
	if took := time.Since(nodes[0].recovery.began); took < askFor(time.Second) {
		t.Errorf("it counts after %v, before the others had the time to answer", took)
	}
}

// What a node that was started acknowledges while its clocks are on their way to
// another is not forgotten, though the other remembers it and was not told of it.
func TestWhatIsTakenAfterARestartIsNotForgotten(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 5*time.Second)
	if _, err := nodes[0].Update(t.Context(), put("k", "u")); err != nil {
		t.Fatal(err)
	}
	at, err := nodes[0].target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.lost = func(req *peerv1.Request) bool { return req.GetClocks() != nil } // they are on their way
	w.mu.Unlock()
	b := nodes[1]
	nodes[0] = w.restart(t, nodes[0], func(*storage.Options) {})
	told := &peerv1.Clocks{All: true, Opening: nodes[0].peers.opening}
	state := nodes[0].store.Replica(at.id).State()
	told.Replicas = append(told.Replicas, nodes[0].peers.tell(at.id, &state))
	everyone := put("k", "v")
	everyone.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	if _, err := b.Update(t.Context(), everyone); err != nil {
		t.Fatal(err)
	}
	done, err := b.peers.serveClocks("a", told)
	if err != nil || len(done.GetOnce()) != 1 {
		t.Fatalf("b remembers %v, %v; want that of one replica a was told more", done, err)
	}
	warned := func() bool {
		nodes[0].recovery.mu.Lock()
		defer nodes[0].recovery.mu.Unlock()
		return nodes[0].recovery.warned
	}
	if nodes[0].recovery.remembers("b", done.GetOnce()); warned() {
		t.Error("a takes its directory for an older copy")
	}
	var more crdt.Clock
	more.Add(crdt.Dot{Actor: 1, Seq: 1})
	another := at.id
	another.Partition += 1 << 20
	for _, c := range []struct {
		id    storage.ReplicaID
		clock []byte
		want  bool
	}{{at.id, []byte("no clock"), true}, {at.id, crdt.AppendClock(nil, &more), true}, {another, crdt.AppendClock(nil, &more), false}} {
		nodes[0].recovery.mu.Lock()
		nodes[0].recovery.warned = false
		nodes[0].recovery.mu.Unlock()
		nodes[0].recovery.remembers("b", []*peerv1.ReplicaClock{{Replica: wireID(c.id), Clock: c.clock}})
		if warned() != c.want {
			t.Errorf("%v with clock %x: an older copy: %t, want %t", c.id, c.clock, warned(), c.want)
		}
	}
}

// What a node lacks it does not fetch before the others were asked what it forgot:
// afterwards nothing would tell that it had.
func TestNothingIsFetchedBeforeTheOthersWereAsked(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	at, err := nodes[0].target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	w.setDown("a", true)
	if _, err := nodes[1].Update(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	clock := nodes[1].store.Replica(at.id).Durable()
	has := func() bool {
		own := nodes[0].store.Replica(at.id).Durable()
		return own.Covers(&clock)
	}
	w.setDown("c", true)
	nodes[0] = w.restart(t, nodes[0], func(*storage.Options) {})
	w.setDown("a", false)
	eventually(t, "a and b know each other", func() bool { return nodes[0].alive("b") && nodes[1].alive("a") })
	looks := 0
	eventually(t, "a may fetch what it lacks", func() bool {
		had := has()
		if nodes[0].recovery.pulls() {
			return true
		}
		if looks++; had {
			t.Fatal("it has fetched what it lacks, and one of the others was not asked yet")
		}
		return false
	})
	if looks == 0 {
		t.Error("nobody looked in time")
	}
	eventually(t, "a has fetched what it lacks", has)
}
