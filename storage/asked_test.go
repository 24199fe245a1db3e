package storage

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// numbered is a request id with a number of more than a byte.
func numbered(born time.Time, n int) crdt.RequestID {
	q := request(born, byte(n))
	q[14], q[13] = byte(n>>8), byte(n>>16)
	return q
}

func TestAskedNeverLacksWhatCounts(t *testing.T) {
	const window = 15 * time.Minute
	start := time.Unix(1_700_000_000, 0)
	var a asked
	type id struct {
		q    crdt.RequestID
		born time.Time
	}
	var all []id
	wrong, seen := 0, 0
	for i := range 20_000 {
		now := start.Add(time.Duration(i) * 200 * time.Millisecond) // for more than an hour
		born := now
		switch i % 100 {
		case 0:
			born = now.Add(-window / 2)
		case 1:
			born = now.Add(askedGrace)
		}
		q := numbered(born, i)
		if !a.lacks(q, now) {
			wrong++
		}
		a.add(q, now, now.Sub(start), window)
		all = append(all, id{q, born})
		for back := 1; back <= len(all); back *= 3 {
			old := all[len(all)-back]
			if now.Sub(old.born) > window {
				continue
			}
			if seen++; a.lacks(old.q, now) {
				t.Fatalf("an id of %v ago is forgotten", now.Sub(old.born))
			}
		}
	}
	if seen < 100_000 {
		t.Errorf("%d ids were asked for again, want 100,000", seen)
	}
	if wrong > 20_000/20 {
		t.Errorf("%d of 20,000 new ids seem to be known, want 1 of 20 at the most", wrong)
	}
}

func TestAskedIsSilentAboutTheFuture(t *testing.T) {
	const window = 15 * time.Minute
	now := time.Unix(1_700_000_000, 0)
	var a asked
	q := numbered(now.Add(time.Hour), 1)
	a.add(q, now, 0, window)
	for i := range 5 { // generations pass
		a.add(numbered(now, 2+i), now.Add(time.Duration(i)*window*2), time.Duration(i)*window*2, window)
	}
	if a.lacks(q, now.Add(time.Hour+window)) {
		t.Error("an id whose birth was ahead of the wall is forgotten before it is too old")
	}
	if !a.lacks(numbered(now, 9), now.Add(time.Hour+window+2*askedGrace)) {
		t.Error("when that id is too old, others are still not told apart")
	}
}

func TestNewRequestsAreNotLookedUp(t *testing.T) {
	fs, w := vfs.NewMem(), newWall()
	s := open(t, testOptions(fs, w))
	r, key := s.Replica(testID), testKey("c")
	m := &Mutation{Key: key, Op: add(1), Request: request(w.now(), 1)}
	if !r.asked.lacks(m.Request, w.now()) {
		t.Error("a new store is asked for a new id")
	}
	wait(t, must(r.Mutate(m))(t).Commit)
	if r.asked.lacks(m.Request, w.now()) {
		t.Error("an id that was carried out is not known")
	}
	if !r.asked.lacks(request(w.now(), 2), w.now()) {
		t.Error("another id seems to be known")
	}
	shut(t, s)
	s = open(t, testOptions(fs, w))
	defer shut(t, s)
	r = s.Replica(testID)
	if r.asked.lacks(m.Request, w.now()) {
		t.Error("an id of before this opening is not looked up")
	}
	if done := must(r.Mutate(m))(t); !done.Repeats {
		t.Error("an id of before this opening was carried out again")
	}
	w.advance(s.opts.Requests + 2*time.Minute)
	if !r.asked.lacks(request(w.now(), 3), w.now()) {
		t.Error("ids are looked up although those of before this opening are too old")
	}
}
