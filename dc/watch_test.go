package dc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/ring"
)

// follower carries out what a watch tells.
type follower struct {
	t    *testing.T
	gate chan struct{} // nil, or taken from for every message

	mu      sync.Mutex
	keys    map[string]string // with their values
	old     map[uint32]map[string]bool
	resyncs []v1.ResyncReason
	cursor  []byte
	waiting uint32
	story   map[string][]string // of each key
	from    map[string]string   // dc/node of the last change
	stop    context.CancelFunc
	ended   chan error
}

// follow watches at a node until the test ends, or stop is called.
func follow(t *testing.T, n *Node, req *v1.WatchRequest, f *follower) *follower {
	t.Helper()
	if f == nil {
		f = &follower{t: t, keys: map[string]string{}, old: map[uint32]map[string]bool{}, story: map[string][]string{}, from: map[string]string{}}
	}
	req.Bucket, req.Values, req.Cursor = "default", true, f.cursor
	ctx, cancel := context.WithCancel(t.Context())
	f.stop, f.ended = cancel, make(chan error, 1)
	go func() { f.ended <- n.Watch(ctx, req, f.take) }()
	t.Cleanup(f.end)
	if req.GetCursor() == nil {
		eventually(t, "the watch has begun", func() bool { return f.at() != nil })
	}
	return f
}

// end stops a watch and waits until it has.
func (f *follower) end() {
	f.stop()
	if err := <-f.ended; !errors.Is(err, context.Canceled) && err != nil {
		f.t.Errorf("the watch ended with %v", err)
	}
	f.ended <- nil
}

func (f *follower) at() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor
}

func (f *follower) take(r *v1.WatchResponse) error {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch of := r.GetOf().(type) {
	case *v1.WatchResponse_Changes:
		for _, ch := range of.Changes.GetChanges() {
			key := string(ch.GetKey())
			part := uint32(ring.PartitionOf(ring.KeyHash("default", ch.GetKey()), 16))
			delete(f.old[part], key)
			f.from[key] = ch.GetDc() + "/" + ch.GetNode()
			if ch.GetDeleted() {
				delete(f.keys, key)
				f.story[key] = append(f.story[key], "-")
				continue
			}
			f.keys[key] = string(ch.GetValue().GetValue().GetBytes())
			f.story[key] = append(f.story[key], f.keys[key])
		}
	case *v1.WatchResponse_Progress:
		if f.waiting = of.Progress.GetWaiting(); len(of.Progress.GetCursor()) > 0 {
			f.cursor = of.Progress.GetCursor()
		}
	case *v1.WatchResponse_Resync:
		id := of.Resync.GetPartition()
		if of.Resync.GetOver() {
			for key := range f.old[id] {
				delete(f.keys, key)
			}
			delete(f.old, id)
			break
		}
		f.resyncs = append(f.resyncs, of.Resync.GetReason())
		f.old[id] = map[string]bool{}
		for key := range f.keys {
			if uint32(ring.PartitionOf(ring.KeyHash("default", []byte(key)), 16)) == id {
				f.old[id][key] = true
			}
		}
	}
	return nil
}

// holds reports whether the follower knows just these keys.
func (f *follower) holds(want map[string]string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Equal(f.keys, want)
}

func (f *follower) told() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.story)
}

func keepLog(o *Options) { o.Storage.LogKeep = time.Hour }

func startWatched(t *testing.T, nodes int) (*wire, []*Node) {
	t.Helper()
	return startDCEvery(t, nodes, 3, 20*time.Millisecond, keepLog)
}

func must(t *testing.T, n *Node, req *v1.UpdateRequest) {
	t.Helper()
	if _, err := n.Update(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

func TestWatchTellsWhatChanges(t *testing.T) {
	_, nodes := startWatched(t, 5)
	must(t, nodes[0], put("user:before", "x"))
	eventually(t, "every owner has it", func() bool { return level(nodes) }) // or it is told by one to which it is new
	f := follow(t, nodes[4], &v1.WatchRequest{Prefix: []byte("user:")}, nil)
	want := map[string]string{}
	for i := range 40 {
		key := fmt.Sprintf("user:%d", i)
		must(t, nodes[i%5], put(key, "v"+key))
		must(t, nodes[i%5], put("other"+key, "x"))
		if want[key] = "v" + key; i%4 == 0 {
			must(t, nodes[(i+1)%5], remove(key))
			delete(want, key)
		}
	}
	eventually(t, "all is told", func() bool { return f.holds(want) && f.told() == 40 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.resyncs) != 0 || f.waiting != 0 {
		t.Errorf("%d resyncs, %d partitions wait, want none", len(f.resyncs), f.waiting)
	}
	if got := f.from["user:1"]; !strings.HasPrefix(got, "here/") || len(got) != len("here/a") {
		t.Errorf("the change comes from %q, want a node of datacenter here", got)
	}
}

func TestWatchTellsOfAKeyInOrder(t *testing.T) {
	w, nodes := startWatched(t, 4)
	owners, other := ownersOf(t, nodes, "k")
	f := follow(t, other, &v1.WatchRequest{}, nil)
	for i := range 300 {
		switch i {
		case 100:
			w.setDown(owners[0].id, true)
		case 200:
			w.setDown(owners[0].id, false)
			w.setDown(owners[1].id, true)
		}
		at := owners[2]
		must(t, at, put("k", strconv.Itoa(i)))
	}
	w.setDown(owners[1].id, false)
	eventually(t, "the last value is told", func() bool { return f.holds(map[string]string{"k": "299"}) })
	f.mu.Lock()
	defer f.mu.Unlock()
	last := -1
	for _, v := range f.story["k"] {
		if n, err := strconv.Atoi(v); err != nil || n < last {
			t.Fatalf("told %s after %d: %q", v, last, f.story["k"])
		} else {
			last = n
		}
	}
}

func TestWatchGoesOnFromItsCursorElsewhere(t *testing.T) {
	_, nodes := startWatched(t, 4)
	f := follow(t, nodes[0], &v1.WatchRequest{}, nil)
	want := map[string]string{}
	for round := range 4 {
		for i := range 30 {
			key := fmt.Sprintf("k%d", (i*7+round)%50)
			if i%5 == 0 {
				must(t, nodes[i%4], remove(key))
				delete(want, key)
			} else {
				want[key] = fmt.Sprint(round, i)
				must(t, nodes[i%4], put(key, want[key]))
			}
			if i == 15 { // half of it is told before the break, half behind it
				f.end()
			}
		}
		f = follow(t, nodes[(round+1)%4], &v1.WatchRequest{}, f)
		eventually(t, "all is told", func() bool { return f.holds(want) })
	}
	if f.mu.Lock(); len(f.resyncs) != 0 {
		t.Errorf("resyncs %v, want none", f.resyncs)
	}
	f.mu.Unlock()
}

func TestWatchWhoseSourceIsGone(t *testing.T) {
	w, nodes := startWatched(t, 4)
	f := follow(t, nodes[3], &v1.WatchRequest{}, nil)
	want := map[string]string{}
	for _, away := range []int{0, 1, 2} {
		w.setDown(nodes[away].id, true)
		for i := range 30 {
			key := fmt.Sprint("k", i)
			want[key] = fmt.Sprint(away, i)
			must(t, nodes[3], put(key, want[key]))
		}
		eventually(t, "all is told without one of the nodes", func() bool { return f.holds(want) })
		w.setDown(nodes[away].id, false)
		eventually(t, "all are level", func() bool { return level(nodes) })
	}
}

// trimAll forgets the logs as if every replica everywhere had all of them for long.
func trimAll(t *testing.T, nodes []*Node) {
	t.Helper()
	for _, n := range nodes {
		for _, r := range n.store.Replicas() {
			all := r.Durable()
			if _, _, err := r.Trim(&all); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWatchWhoseLogIsGone(t *testing.T) {
	_, nodes := startDC(t, 3, 3) // nothing is kept in the log
	f := follow(t, nodes[0], &v1.WatchRequest{}, nil)
	want := map[string]string{}
	for i := range 60 {
		key := fmt.Sprint("k", i)
		want[key] = "v"
		must(t, nodes[i%3], put(key, "v"))
	}
	eventually(t, "all is told", func() bool { return f.holds(want) })
	before := f.at()
	eventually(t, "the cursor has moved", func() bool { return !bytes.Equal(f.at(), before) })
	f.end()
	for i := range 60 {
		key := fmt.Sprint("k", i)
		if i%3 == 0 {
			must(t, nodes[0], remove(key))
			delete(want, key)
		} else {
			want[key] = "w"
			must(t, nodes[1], put(key, "w"))
		}
	}
	eventually(t, "all are level", func() bool { return level(nodes) })
	trimAll(t, nodes)
	f = follow(t, nodes[2], &v1.WatchRequest{}, f)
	eventually(t, "all is told, deletes as well", func() bool { return f.holds(want) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.resyncs) == 0 || slices.ContainsFunc(f.resyncs, func(r v1.ResyncReason) bool { return r != v1.ResyncReason_RESYNC_REASON_TRIMMED }) {
		t.Errorf("resyncs %v, want some, and all because of the log", f.resyncs)
	}
}

// A replica that joined a partition has its events in no log.
func TestWatchOfAJoinedPartition(t *testing.T) {
	w, nodes := startDC(t, 3, 3)
	f := follow(t, nodes[2], &v1.WatchRequest{}, nil)
	w.setDown("c", true)
	want := map[string]string{}
	for i := range 40 {
		key := fmt.Sprint("k", i)
		want[key] = "v"
		must(t, nodes[i%2], put(key, "v"))
	}
	trimAll(t, nodes[:2])
	w.setDown("c", false)
	eventually(t, "all is told", func() bool { return f.holds(want) })
	if nodes[2].count.Joins.Load() == 0 {
		t.Error("the node caught up without a join: the test shows nothing")
	}
}

func TestWatchWhileTheRingChanges(t *testing.T) {
	_, nodes := startWatched(t, 5)
	f := follow(t, nodes[4], &v1.WatchRequest{}, nil)
	epoch := nodes[0].epoch()
	want := map[string]string{}
	write := func(round int) {
		for i := range 40 {
			key := fmt.Sprint("k", i)
			want[key] = fmt.Sprint(round, i)
			must(t, nodes[i%4], put(key, want[key]))
		}
	}
	for round, c := range []ring.Change{ring.Leave("a"), ring.Join(ring.Entry{ID: "a", Rack: "a"}), ring.Drain("b")} {
		write(2 * round)
		decide(t, nodes, c)
		write(2*round + 1)
		epoch += 3
		settled(t, nodes, epoch)
		eventually(t, "all is told after a move", func() bool { return f.holds(want) })
	}
}

func TestWatchAsksNothingWhileItsReaderIsSlow(t *testing.T) {
	_, nodes := startWatched(t, 3)
	f := follow(t, nodes[0], &v1.WatchRequest{}, nil)
	f.end()
	f.gate = make(chan struct{})
	f = follow(t, nodes[0], &v1.WatchRequest{}, f)
	want := map[string]string{}
	for i := range 200 {
		key := fmt.Sprint("k", i)
		want[key] = "v"
		must(t, nodes[i%3], put(key, "v"))
	}
	eventually(t, "no question waits", func() bool {
		nodes[0].tails.mu.Lock()
		defer nodes[0].tails.mu.Unlock()
		return len(nodes[0].tails.waiting) == 0
	})
	close(f.gate)
	eventually(t, "all is told", func() bool { return f.holds(want) })
}

func TestWatchBeginsWithAllKeys(t *testing.T) {
	_, nodes := startWatched(t, 3)
	want := map[string]string{}
	for i := range 60 {
		key := fmt.Sprint("k", i)
		want[key] = "v"
		must(t, nodes[i%3], put(key, "v"))
	}
	eventually(t, "all are level", func() bool { return level(nodes) })
	f := follow(t, nodes[1], &v1.WatchRequest{Initial: true}, nil)
	eventually(t, "all keys are told", func() bool { return f.holds(want) })
	must(t, nodes[2], put("k1", "w"))
	want["k1"] = "w"
	eventually(t, "and what changes then", func() bool { return f.holds(want) })
}

func TestCursorsThatAreRefused(t *testing.T) {
	_, nodes := startWatched(t, 3)
	f := follow(t, nodes[0], &v1.WatchRequest{}, nil)
	good := f.at()
	f.end()
	none := func(*v1.WatchResponse) error { return nil }
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := nodes[1].Watch(t.Context(), &v1.WatchRequest{Bucket: "default", Cursor: bad}, none); reason(err) != "BAD_CURSOR" {
			t.Fatalf("with bit 0 of byte %d turned: %v", i, err)
		}
	}
	for name, req := range map[string]*v1.WatchRequest{
		"cut short":         {Bucket: "default", Cursor: good[:len(good)-1]},
		"of another prefix": {Bucket: "default", Prefix: []byte("x"), Cursor: good},
	} {
		if err := nodes[1].Watch(t.Context(), req, none); reason(err) != "BAD_CURSOR" {
			t.Errorf("a cursor %s: %v", name, err)
		}
	}
	if err := nodes[1].Watch(t.Context(), &v1.WatchRequest{Bucket: "nowhere"}, none); reason(err) != "UNKNOWN_BUCKET" {
		t.Errorf("of an unknown bucket: %v", err)
	}
	nodes[2].opts.MaxWatches = 0
	if err := nodes[2].Watch(t.Context(), &v1.WatchRequest{Bucket: "default"}, none); reason(err) != "OVERLOADED" {
		t.Errorf("one watch too many: %v", err)
	}
}
