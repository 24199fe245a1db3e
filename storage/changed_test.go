package storage

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

func touched(t *testing.T, r *Replica, q TouchQuery) *Touched {
	t.Helper()
	if q.Keys == 0 {
		q.Keys, q.Bytes = 1000, 1<<20
	}
	return must(r.Touched(q))(t)
}

func TestTouchedTellsKeysOnce(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	user, other := keysOf(testID.Partition, "b", "user", 3), keysOf(testID.Partition, "c", "user", 1)[0]
	set := keysOf(testID.Partition, "b", "set", 1)[0]
	for _, k := range append(user, user[0], other, user[1]) {
		mutate(t, r, k, assign("v"))
	}
	mutate(t, r, set, insert("a", "b"))
	mutate(t, r, set, del()) // names what lies below a path
	actor, _ := r.Actor()

	got := touched(t, r, TouchQuery{Have: &crdt.Clock{}, Bucket: "b", Prefix: "user"})
	want := fmt.Sprint([]Touch{{user[0].Key, actor}, {user[1].Key, actor}, {user[2].Key, actor}})
	if fmt.Sprint(got.Keys) != want || got.More || !got.Clock.Equal(durable(r)) {
		t.Errorf("touched %v, want %s and the whole clock", got, want)
	}
	var have crdt.Clock
	have.AddRange(actor, 1, 7)
	if got := touched(t, r, TouchQuery{Have: &have, Bucket: "b"}); len(got.Keys) != 1 || got.Keys[0].Key != set.Key {
		t.Errorf("the removal of a set touched %v, want %q", got.Keys, set.Key)
	}
	if got := touched(t, r, TouchQuery{Have: durable(r), Bucket: "b"}); len(got.Keys) > 0 || got.More || got.Trimmed || got.Behind {
		t.Errorf("nothing is new: %+v", got)
	}
	have.AddRange(actor, 1, 100)
	if got := touched(t, r, TouchQuery{Have: &have, Bucket: "b"}); !got.Behind {
		t.Errorf("events that have not happened: %+v, want behind", got)
	}
}

func TestTouchedGoesOnWhereItWasCut(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 20)
	for _, k := range keys {
		mutate(t, r, k, assign("v"))
	}
	var have crdt.Clock
	var got []string
	for rounds := 0; ; rounds++ {
		a := touched(t, r, TouchQuery{Have: &have, Bucket: "b", Keys: 3, Bytes: 1 << 20})
		for _, k := range a.Keys {
			got = append(got, k.Key)
		}
		if have = a.Clock; !a.More {
			if rounds != 6 {
				t.Errorf("%d rounds of three keys before the last, want 6", rounds)
			}
			break
		}
	}
	if len(got) != 20 || got[0] != keys[0].Key || got[19] != keys[19].Key {
		t.Errorf("told %q, want all twenty in order", got)
	}
	all := durable(r)
	if _, _, err := r.Trim(all); err != nil {
		t.Fatal(err)
	}
	if a := touched(t, r, TouchQuery{Have: &crdt.Clock{}, Bucket: "b"}); !a.Trimmed {
		t.Errorf("of a log that is gone: %+v, want trimmed", a)
	}
}

func TestFeedTellsOfDurableEvents(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	f := s.Follow()
	mutate(t, r, testKey("k"), assign("v"))
	mutate(t, r, testKey("l"), assign("v"))
	<-f.Ready()
	if got := f.Take(); len(got) != 1 || got[0] != testID {
		t.Errorf("took %v, want the replica once", got)
	}
	late := must(r.Mutate(&Mutation{Key: testKey("k"), Op: assign("w")}))(t)
	if got := f.Take(); len(got) > 0 && !durable(r).Contains(late.Dot) {
		t.Errorf("told of %v before it was durable", got)
	}
	wait(t, late.Commit)
	<-f.Ready()
	f.Close()
	mutate(t, r, testKey("k"), assign("x"))
	select {
	case <-f.Ready():
		t.Error("a closed feed was told")
	default:
	}
}

func TestTrimKeepsWhatIsSettledForAWhile(t *testing.T) {
	w := newWall()
	o := testOptions(vfs.NewMem(), w)
	o.LogKeep, o.LogBytes = time.Minute, 1<<20
	s := open(t, o)
	r := s.Replica(testID)
	for _, k := range keysOf(testID.Partition, "b", "k", 10) {
		mutate(t, r, k, assign("v"))
	}
	trim := func(want int) {
		t.Helper()
		if settled, forced, err := r.Trim(durable(r)); settled != want || forced != 0 || err != nil {
			t.Errorf("trimmed %d, forced %d, %v; want %d", settled, forced, err, want)
		}
	}
	trim(0)
	if l := r.Log(durable(r)); l.Events != 0 || !l.Oldest.IsZero() {
		t.Errorf("of what is kept for those who watch the log tells %+v", l)
	}
	w.advance(time.Minute)
	mutate(t, r, testKey("k"), assign("v"))
	trim(10)
	trim(0)
	s.opts.LogBytes = 2 // no room for what nobody needs
	if !s.LogTight() {
		t.Error("the log has room")
	}
	trim(1)
}
