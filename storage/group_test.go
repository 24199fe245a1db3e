package storage

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// TestMutateTogetherIsOneRunOfEvents has increments share a commit: each keeps a
// dot, a total and a request id of its own, here, after a start and at a co-owner.
func TestMutateTogetherIsOneRunOfEvents(t *testing.T) {
	fs, w := vfs.NewMem(), newWall()
	s := open(t, testOptions(fs, w))
	r, key := s.Replica(testID), testKey("c")
	mutate(t, r, key, add(100))
	mutate(t, r, key, &crdt.Op{Code: crdt.OpReset}) // ends the run: the next event drops it and begins another
	clock := r.Clock()
	ms := []*Mutation{
		{Key: key, Op: add(5), Request: request(w.now(), 1)},
		{Key: key, Op: add(-2), Request: request(w.now(), 2)},
		{Key: key, Op: add(1<<62 + 1<<61), Request: request(w.now(), 3)},
		{Key: key, Op: add(1<<62 + 1<<61), Request: request(w.now(), 4)}, // too much
		{Key: key, Op: add(5), Request: request(w.now(), 1)},             // again
		{Key: key, Op: add(1)},
	}
	out, run, commit, err := r.MutateTogether(ms)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, commit)
	want := []int64{5, 3, 3 + 1<<62 + 1<<61, 0, 0, 4 + 1<<62 + 1<<61}
	seq := run.Lo
	for i, g := range out {
		switch i {
		case 3:
			if !errors.Is(g.Err, crdt.ErrOverflow) {
				t.Errorf("increment 3: %v, want ErrOverflow", g.Err)
			}
			continue
		case 4:
			if !errors.Is(g.Err, ErrAlone) {
				t.Errorf("increment 4: %v, want ErrAlone", g.Err)
			}
			continue
		}
		if g.Err != nil || g.Done.Total != want[i] || g.Done.Dot != (crdt.Dot{Actor: run.Actor, Seq: seq}) {
			t.Errorf("increment %d: %+v, %v; want the total %d as event %d", i, g.Done, g.Err, want[i], seq)
		}
		seq++
	}
	if run.Hi != seq-1 || run.Hi-run.Lo != 3 || len(run.Requests) != 3 {
		t.Errorf("run of events %d-%d with %d requests, want 4 and 3", run.Lo, run.Hi, len(run.Requests))
	}
	checkKept(t, r)
	checkTree(t, r)
	shut(t, s)

	s = open(t, testOptions(fs, w))
	defer shut(t, s)
	r = s.Replica(testID)
	peer, _ := openMem(t)
	other := peer.Replica(testID)
	m := must(r.Missing(&crdt.Clock{}, 1<<20))(t)
	apply(t, other, m.Deltas...)
	late, _ := openMem(t)
	third := late.Replica(testID)
	apply(t, third, must(r.Missing(&crdt.Clock{}, 1<<20))(t).Deltas[0])
	apply(t, third, run) // what a co-owner is sent
	for name, at := range map[string]*Replica{"after a start": r, "at a co-owner": other, "at another": third} {
		if v := valueOf(t, at, key); v.Int != want[5] {
			t.Errorf("%s: counter is %d, want %d", name, v.Int, want[5])
		}
		if c := at.Clock(); !c.Covers(&clock) || !c.Contains(crdt.Dot{Actor: run.Actor, Seq: run.Hi}) {
			t.Errorf("%s: clock %v lacks events", name, c)
		}
		if known := must(at.Knows(ms[1].Request))(t); !known {
			t.Errorf("%s: the second request is not known", name)
		}
	}
	again := must(r.Mutate(ms[1]))(t)
	if !again.Repeats || again.Total != 3 || again.Dot.Seq != run.Lo+1 {
		t.Errorf("the second again: %+v, want what it was answered with", again)
	}
}

// TestMutateTogetherTakesIncrementsAlone leaves to Mutate what is none.
func TestMutateTogetherTakesIncrementsAlone(t *testing.T) {
	s, w := openMem(t)
	r, key := s.Replica(testID), testKey("b")
	mutate(t, r, key, &crdt.Op{Code: crdt.OpAdd, Kind: crdt.BCounter, N: 7})
	known := &Mutation{Key: testKey("c"), Op: add(1), Request: request(w.now(), 1)}
	wait(t, must(r.Mutate(known))(t).Commit)
	before := r.Clock()
	tests := []struct {
		name string
		m    *Mutation
	}{
		{"a bcounter", &Mutation{Key: key, Op: &crdt.Op{Code: crdt.OpAdd, N: 1, Kind: crdt.BCounter}}},
		{"a put", &Mutation{Key: testKey("r"), Op: assign("v")}},
		{"a repeat", known},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, run, commit, err := r.MutateTogether([]*Mutation{tt.m})
			if err != nil || run != nil || commit != nil || !errors.Is(out[0].Err, ErrAlone) {
				t.Errorf("%+v, %v, %v, %v; want ErrAlone", out, run, commit, err)
			}
			if c := r.Clock(); !c.Equal(&before) {
				t.Errorf("clock moved from %v to %v", before, c)
			}
		})
	}
}
