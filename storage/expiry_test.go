package storage

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/godwitdb/godwit/crdt"
)

// until lets an operation's value expire some time from now.
func until(w *testWall, d time.Duration, op *crdt.Op) *crdt.Op {
	op.At = w.now().Add(d).UnixMilli()
	return op
}

// listed is what a scan of a replica lists, a page of two at a time.
func listed(t testing.TB, r *Replica) (keys []string) {
	t.Helper()
	var behind []byte
	for {
		items, more, err := r.Scan("b", "", behind, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			keys = append(keys, it.Key.Key)
			behind = it.Position
		}
		if !more {
			slices.Sort(keys)
			return keys
		}
	}
}

func TestWhatHasExpiredIsHidden(t *testing.T) {
	s, w := openMem(t)
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 5)
	var names []string
	for i, key := range keys {
		op := insert("x", "y")
		if i%2 == 0 {
			op = assign("v")
		}
		mutate(t, r, key, until(w, time.Duration(i+1)*time.Minute, op))
		names = append(names, key.Key)
	}
	slices.Sort(names)
	if got := listed(t, r); !slices.Equal(got, names) {
		t.Fatalf("before anything expires %q are listed, want %q", got, names)
	}
	w.advance(2 * time.Minute)
	for i, key := range keys {
		a := must(r.Read(Query{Key: key}))(t)
		if got := a.Expired(w.now()); got != (i < 2) {
			t.Errorf("key %d has expired: %v", i, got)
		}
	}
	want := []string{keys[2].Key, keys[3].Key, keys[4].Key}
	slices.Sort(want)
	if got := listed(t, r); !slices.Equal(got, want) {
		t.Errorf("%q are listed, want %q", got, want)
	}
	mutate(t, r, keys[0], assign("fresh"))
	if v := valueOf(t, r, keys[0]); len(v.Siblings) != 1 || string(v.Siblings[0].Value) != "fresh" {
		t.Errorf("a key that was written after it expired holds %v", v.Siblings)
	}
	if s := r.State(); s.Keys != 5 {
		t.Errorf("%d keys, want 5: what has expired is there until it is removed", s.Keys)
	}
	mutate(t, r, keys[1], &crdt.Op{Code: crdt.OpSweep})
	mutate(t, r, keys[2], &crdt.Op{Code: crdt.OpSweep})
	if s := r.State(); s.Keys != 4 {
		t.Errorf("%d keys after a sweep, want 4", s.Keys)
	}
	checkTree(t, r)
}

// What a write removes because it has expired must not have been extended at a
// co-owner, so the writer is asked to look there first.
func TestWhatHasExpiredIsNotGivenUpUnseen(t *testing.T) {
	s, w := openMem(t)
	r, key := s.Replica(testID), testKey("k")
	mutate(t, r, key, until(w, time.Minute, insert("x")))
	for _, op := range []*crdt.Op{insert("y"), {Code: crdt.OpSweep}, {Code: crdt.OpDelete}} {
		if _, err := r.Mutate(&Mutation{Key: key, Op: op}); err != nil {
			t.Errorf("operation %d in time: %v", op.Code, err)
		}
		mutate(t, r, key, until(w, time.Minute, insert("x")))
		w.advance(time.Minute)
		before := r.Clock()
		if _, err := r.Mutate(&Mutation{Key: key, Op: op}); !errors.Is(err, ErrExpired) {
			t.Errorf("operation %d too late: %v, want %v", op.Code, err, ErrExpired)
		}
		if c := r.Clock(); !c.Equal(&before) {
			t.Errorf("operation %d was refused, and minted %v", op.Code, c)
		}
		mutate(t, r, key, &crdt.Op{Code: crdt.OpSweep})
		mutate(t, r, key, until(w, time.Minute, insert("x")))
	}
}

func TestScanOfTwoKindsThatExpire(t *testing.T) {
	s, w := openMem(t)
	r, other := s.Replica(testID), openPeer(t, "n2")
	keys := keysOf(testID.Partition, "b", "k", 3)
	for _, key := range keys {
		d := mutate(t, other, key, insert("x")).Delta
		mutate(t, r, key, assign("v"))
		apply(t, r, d)
	}
	mutate(t, r, keys[1], until(w, time.Minute, &crdt.Op{Code: crdt.OpExpire}))
	w.advance(time.Minute)
	want := []string{keys[0].Key, keys[0].Key, keys[2].Key, keys[2].Key}
	if got := listed(t, r); !slices.Equal(got, want) {
		t.Errorf("%q are listed, want %q", got, want)
	}
}

// A value that was assigned by who had not heard of an expiry stays, in sight.
func TestScanOfWhatOutlivedAnExpiry(t *testing.T) {
	s, w := openMem(t)
	r, other := s.Replica(testID), openPeer(t, "n2")
	keys := keysOf(testID.Partition, "b", "k", 2)
	plain := mutate(t, other, keys[0], assign("plain")).Delta
	for _, key := range keys {
		mutate(t, r, key, until(w, time.Minute, assign("v")))
	}
	apply(t, r, plain)
	w.advance(time.Minute)
	if got := listed(t, r); !slices.Equal(got, []string{keys[0].Key}) {
		t.Errorf("%q are listed, want %q", got, keys[0].Key)
	}
	if a := must(r.Read(Query{Key: keys[0]}))(t); a.Expired(w.now()) {
		t.Error("it reads as expired")
	}
	if _, err := r.Mutate(&Mutation{Key: keys[0], Op: &crdt.Op{Code: crdt.OpSweep}}); err != nil {
		t.Errorf("sweep: %v", err)
	}
	if got := must(r.Expired(w.now().Add(time.Hour), 10))(t); len(got) != 1 || got[0].Key != keys[1] {
		t.Errorf("left to expire: %v", got)
	}
	if got := text(t, r, keys[0]); got != "plain" && got != "v" {
		t.Errorf("after the sweep it is %q", got)
	}
}

func TestExpiredListsTheOldestFirst(t *testing.T) {
	s, w := openMem(t)
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 4)
	for i, m := range []int{3, 1, 4, 2} {
		mutate(t, r, keys[i], until(w, time.Duration(m)*time.Minute, insert("x")))
	}
	mutate(t, r, keys[1], until(w, 90*time.Second, &crdt.Op{Code: crdt.OpExpire}))
	start := w.now()
	actor, _ := r.Actor()
	at := func(key int, d time.Duration) Expiring {
		return Expiring{keys[key], time.UnixMilli(start.Add(d).UnixMilli()), actor}
	}
	tests := []struct {
		name   string
		before time.Duration
		limit  int
		want   []Expiring
	}{
		{"nothing yet", 90 * time.Second, 10, nil},
		{"the first", 91 * time.Second, 10, []Expiring{at(1, 90*time.Second)}},
		{"in order", time.Hour, 3, []Expiring{at(1, 90*time.Second), at(3, 2*time.Minute), at(0, 3*time.Minute)}},
		{"long ago", -time.Hour * 24 * 365 * 100, 10, nil},
	}
	check := func(t *testing.T, r *Replica) {
		for _, tt := range tests {
			if got := must(r.Expired(start.Add(tt.before), tt.limit))(t); !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			}
		}
	}
	check(t, r)
	shut(t, s)
	o := s.opts
	o.Rand = rand.New(rand.NewPCG(opens.Add(1), 1))
	check(t, open(t, o).Replica(testID))
}

// A join and a repair carry the expiry along, and keep the index.
func TestExpiryTravels(t *testing.T) {
	s, w := openMem(t)
	src, key := s.Replica(testID), testKey("k")
	mutate(t, src, key, until(w, time.Minute, insert("x")))
	joined, repaired := openPeer(t, "n2"), openPeer(t, "n3")
	page, _, err := src.ReadPage(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	j := must(joined.BeginJoin())(t)
	wait(t, must(j.Page(page))(t))
	wait(t, must(j.Finish())(t))
	a := must(src.Read(Query{Key: key}))(t)
	wait(t, must(repaired.Repair([]crdt.KeyID{key}, &a.Snapshot))(t))
	for _, r := range []*Replica{joined, repaired} {
		if got := must(r.Expired(w.now().Add(time.Hour), 10))(t); len(got) != 1 || got[0].Key != key {
			t.Errorf("what expires: %v", got)
		}
	}
}
