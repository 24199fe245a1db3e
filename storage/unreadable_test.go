package storage

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/godwitdb/godwit/crdt"
)

// failingReads are options for a store whose tables cannot be read while failing is on.
func failingReads(failing *errorfs.Toggle) Options {
	o := testOptions(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") && op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return failing.MaybeError(op)
		}
		return nil
	})), newWall())
	o.CacheBytes = 1 // so that blocks are read anew
	return o
}

// TestNothingIsReadForAKnownEvent: what comes a second time, by a stream and as an
// answer to a question, costs no look at the disk.
func TestNothingIsReadForAKnownEvent(t *testing.T) {
	failing := &errorfs.Toggle{Injector: errorfs.ErrInjected}
	o := failingReads(failing)
	s := open(t, o)
	var events []*crdt.Delta
	for i, k := range keysOf(testID.Partition, "b", "k", 500) {
		events = append(events, put(k, 77, uint64(i+1), "v"))
	}
	apply(t, s.Replica(testID), events...)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, o)
	r := s.Replica(testID)
	failing.On()
	defer failing.Off()
	if _, err := r.Apply([]*crdt.Delta{put(testKey("k"), 77, 501, "w")}, false); err == nil {
		t.Error("a new event was applied and nothing read")
	}
	if c, err := r.Apply(events, false); c != nil || err != nil {
		t.Errorf("known events: %v", err)
	}
}

// TestUnreadableRequestsChangeNothing: whether the request of an event is known
// is looked up on a disk that fails. The replica must not say then that it holds
// the event: it would never be given it again.
func TestUnreadableRequestsChangeNothing(t *testing.T) {
	failing := &errorfs.Toggle{Injector: errorfs.ErrInjected}
	o := failingReads(failing)
	key := testKey("k")
	s := open(t, o)
	r := s.Replica(testID)
	for i, k := range keysOf(testID.Partition, "b", "k", 500) {
		wait(t, must(r.Mutate(&Mutation{Key: k, Op: assign("v"), Request: numbered(o.Wall(), 2*i)}))(t).Commit)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, o) // it does not know which requests there are without looking
	r = s.Replica(testID)
	if got := valueOf(t, r, key); string(got.Siblings[0].Value) != "v" {
		t.Fatalf("%s is %q", key.Key, got.Siblings)
	}
	d := put(key, 77, 1, "w")
	d.Requests = []crdt.Request{{Seq: 1, ID: numbered(o.Wall(), 501)}}
	failing.On()
	_, err := r.Apply([]*crdt.Delta{d}, false)
	failing.Off()
	if err == nil {
		t.Fatal("the disk failed, and nobody noticed: nothing was looked up")
	}
	clock := r.Clock()
	if clock.Contains(crdt.Dot{Actor: 77, Seq: 1}) {
		t.Fatalf("%v, and yet the clock has the event: %v", err, clock)
	}
	apply(t, r, d)
	if clock, got := r.Clock(), valueOf(t, r, key); !clock.Contains(crdt.Dot{Actor: 77, Seq: 1}) || len(got.Siblings) != 2 {
		t.Errorf("the event came again, and %s is %v", key.Key, got.Siblings)
	}
}
