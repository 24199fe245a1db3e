package storage

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// request makes a request id born at a time, as a ULID is.
func request(born time.Time, n byte) crdt.RequestID {
	var q crdt.RequestID
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(born.UnixMilli()))
	copy(q[:6], ms[2:])
	q[15] = n
	return q
}

func TestRetryIsAppliedOnce(t *testing.T) {
	fs, w := vfs.NewMem(), newWall()
	s := open(t, testOptions(fs, w))
	r := s.Replica(testID)
	counter, set := testKey("c"), testKey("s")
	inc := &Mutation{Key: counter, Op: add(5), Request: request(w.now(), 1)}
	ins := &Mutation{Key: set, Op: insert("a", "b"), Request: request(w.now(), 2)}
	run := func(m *Mutation) *Done {
		done := must(r.Mutate(m))(t)
		wait(t, done.Commit)
		return done
	}
	first := run(inc)
	if want := (crdt.Result{Kind: crdt.Counter, Changed: 1, Total: 5}); first.Result != want || first.Repeats {
		t.Fatalf("first: %+v, want %+v", first, want)
	}
	run(&Mutation{Key: counter, Op: add(100)})
	run(ins)
	again := func(when string) {
		t.Helper()
		got := run(inc)
		if want := (crdt.Result{Kind: crdt.Counter, Changed: 1, Total: 5}); got.Result != want || !got.Repeats {
			t.Errorf("%s: %+v, want %+v, repeated", when, got, want)
		}
		if got.Delta == nil || got.Delta.Lo != 1 || got.Delta.Hi != 1 || len(got.Delta.Requests) != 1 {
			t.Errorf("%s: the event does not come along: %+v", when, got.Delta)
		}
		if got := run(ins); got.Changed != 2 || !got.Repeats {
			t.Errorf("%s: %+v, want 2 elements, repeated", when, got)
		}
		if v := valueOf(t, r, counter); v.Int != 105 {
			t.Errorf("%s: counter is %d, want 105", when, v.Int)
		}
	}
	again("at once")
	shut(t, s)
	s = open(t, testOptions(fs, w))
	r = s.Replica(testID)
	again("after reopening")

	peer := openPeer(t, "n2")
	apply(t, peer, first.Delta)
	done := must(peer.Mutate(inc))(t)
	if !done.Repeats || done.Kind != crdt.Counter || done.Changed != 1 {
		t.Errorf("at a replica that got the event: %+v, want it repeated", done)
	}
	if v := valueOf(t, peer, counter); v.Int != 5 {
		t.Errorf("counter there is %d, want 5", v.Int)
	}

	other := openPeer(t, "n3")
	missing := must(r.Missing(durable(other), 1<<20))(t)
	apply(t, other, missing.Deltas...)
	if done := must(other.Mutate(inc))(t); !done.Repeats {
		t.Errorf("at a replica that caught up by a coalesced run: %+v, want it repeated", done)
	}
}

// TestRetryIsAcknowledgedWhenDurable: the first attempt is not on disk yet, and
// a retry must not promise that it is.
func TestRetryIsAcknowledgedWhenDurable(t *testing.T) {
	fs, w := vfs.NewCrashableMem(), newWall()
	o := testOptions(fs, w)
	o.AsyncSync = time.Hour
	r := open(t, o).Replica(testID)
	k := testKey("k")
	m := &Mutation{Key: k, Op: assign("v"), Request: request(w.now(), 1), Async: true}
	if _, err := r.Mutate(m); err != nil {
		t.Fatal(err)
	}
	m.Async = false
	done := must(r.Mutate(m))(t)
	wait(t, done.Commit)
	o.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	if got := text(t, open(t, o).Replica(testID), k); got != "v" {
		t.Errorf("after the acknowledged retry and a crash the key reads %q, want v", got)
	}
}

// TestNothingToDoIsAcknowledgedWhenDurable: a delete that finds nothing, since
// another delete is on its way to disk, must not be acknowledged before that.
func TestNothingToDoIsAcknowledgedWhenDurable(t *testing.T) {
	k := testKey("k")
	tests := map[string]func(t *testing.T, r *Replica) *Commit{
		"delete": func(t *testing.T, r *Replica) *Commit {
			return must(r.Mutate(&Mutation{Key: k, Op: del()}))(t).Commit
		},
		"repair": func(t *testing.T, r *Replica) *Commit {
			return must(r.Repair([]crdt.KeyID{k}, &crdt.Snapshot{Clock: r.Clock()}))(t)
		},
		"apply": func(t *testing.T, r *Replica) *Commit {
			a, _ := r.Actor()
			return must(r.Apply([]*crdt.Delta{{Actor: a, Lo: 2, Hi: 2}}, false))(t)
		},
	}
	for name, nothing := range tests {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			o := testOptions(fs, newWall())
			o.AsyncSync = time.Hour
			r := open(t, o).Replica(testID)
			mutate(t, r, k, assign("v"))
			must(r.Mutate(&Mutation{Key: k, Op: del(), Async: true}))(t)
			wait(t, nothing(t, r))
			o.FS = fs.CrashClone(vfs.CrashCloneCfg{})
			if got := text(t, open(t, o).Replica(testID), k); got != "" {
				t.Errorf("after the acknowledged answer and a crash the key reads %q", got)
			}
		})
	}
}

func TestRequestsPastTheWindow(t *testing.T) {
	s, w := openMem(t)
	born := w.now()
	s.age = func() time.Duration { return w.now().Sub(born) }
	r := s.Replica(testID)
	k := testKey("c")
	m := &Mutation{Key: k, Op: add(1), Request: request(born, 1)}
	wait(t, must(r.Mutate(m))(t).Commit)
	count := func() int { return records(t, s, tableRequest) }
	w.advance(15 * time.Minute)
	if done := must(r.Mutate(m))(t); !done.Repeats {
		t.Error("not remembered for 15 minutes")
	}
	w.advance(time.Second)
	if _, err := r.Mutate(m); !errors.Is(err, ErrRequestOld) {
		t.Errorf("a second past the window: %v, want ErrRequestOld", err)
	}
	fresh := &Mutation{Key: k, Op: add(1), Request: request(w.now(), 2)}
	wait(t, must(r.Mutate(fresh))(t).Commit)
	if err := r.TrimRequests(); err != nil || count() != 2 {
		t.Errorf("TrimRequests: %v, %d left, want both: clocks differ by up to a minute", err, count())
	}
	w.advance(time.Minute)
	if err := r.TrimRequests(); err != nil || count() != 1 {
		t.Errorf("TrimRequests: %v, %d left, want the fresh one", err, count())
	}
	if _, err := r.Mutate(m); !errors.Is(err, ErrRequestOld) {
		t.Errorf("after trimming: %v, want ErrRequestOld", err)
	}
	if done := must(r.Mutate(fresh))(t); !done.Repeats {
		t.Error("trimming took the fresh one")
	}
	if v := valueOf(t, r, k); v.Int != 2 {
		t.Errorf("counter is %d, want 2", v.Int)
	}
}

// TestARepeatTellsOfItsOwnKey: the event of a request may have come in a run with
// those of other keys, whose numbers are none of its answer's.
func TestARepeatTellsOfItsOwnKey(t *testing.T) {
	src, w := openMem(t)
	from, k := src.Replica(testID), testKey("k")
	bounded := func(n int64, kind crdt.Kind) *crdt.Op { return &crdt.Op{Code: crdt.OpAdd, Kind: kind, N: n} }
	mutate(t, from, testKey("other"), add(5))
	mutate(t, from, k, assign("v"))
	mutate(t, from, k, del())
	mutate(t, from, k, bounded(3, crdt.BCounter))
	q := request(w.now(), 1)
	first := must(from.Mutate(&Mutation{Key: k, Op: bounded(4, crdt.BCounter), Request: q}))(t)
	wait(t, first.Commit)
	mutate(t, from, testKey("another"), add(9))
	run := must(from.Collect(first.Dot.Actor, 0, 1<<20))(t)

	r := open(t, testOptions(vfs.NewMem(), w)).Replica(testID)
	apply(t, r, run)
	for _, kind := range []crdt.Kind{crdt.BCounter, crdt.NoKind} {
		done := must(r.Mutate(&Mutation{Key: k, Op: bounded(4, kind), Request: q}))(t)
		if !done.Repeats || !done.Untold || done.Kind != crdt.BCounter || len(done.After) != 1 {
			t.Fatalf("asked for kind %s: %+v, want what the bcounter is now", kind, done)
		}
		if v := crdt.ReadValue(crdt.BCounter, done.After); v.Int != 7 {
			t.Errorf("asked for kind %s: the counter is %d, want 7", kind, v.Int)
		}
	}
}

// TestWallThatWasSetForgetsNoRequest: of what was carried out less than a window
// ago a retry must be known when the wall is right again, however long it was wrong.
func TestWallThatWasSetForgetsNoRequest(t *testing.T) {
	for name, ahead := range map[string][]time.Duration{
		"for a while": {4 * time.Minute}, "again and again": {time.Minute, 3 * time.Minute, 5 * time.Minute}, "for long": {time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := openMem(t)
			var age time.Duration
			s.age = func() time.Duration { return age }
			r, k := s.Replica(testID), testKey("k")
			pass := func(d time.Duration) {
				for range d / time.Minute {
					age += time.Minute
					w.advance(time.Minute)
					if err := r.TrimRequests(); err != nil {
						t.Fatal(err)
					}
				}
			}
			pass(time.Hour)
			for i, d := range ahead {
				w.advance(time.Duration(1+i) * time.Hour)
				pass(d)
				w.advance(-time.Duration(1+i) * time.Hour)
			}
			const right = 10 * time.Minute // before which it came from another node, whose wall was right
			run := put(k, 9, 1, "v")
			run.Requests = []crdt.Request{{Seq: 1, ID: request(w.now(), 1)}}
			wait(t, must(r.Apply([]*crdt.Delta{run}, false))(t))
			w.advance(time.Hour)
			pass(right)
			w.advance(-time.Hour)
			pass(time.Minute)
			m := &Mutation{Key: k, Op: assign("v"), Request: run.Requests[0].ID}
			if done := must(r.Mutate(m))(t); !done.Repeats {
				t.Error("the request was carried out again after the wall had been ahead")
			}
			pass(20 * time.Minute)
			if n := records(t, s, tableRequest); n != 0 {
				t.Errorf("%d ids are remembered though they are past the window", n)
			}
		})
	}
}

// TestBirthsOfAWindow: what was recorded within a window counts, and soon nothing
// that was recorded before.
func TestBirthsOfAWindow(t *testing.T) {
	const window = 15 * time.Minute
	var b births
	at := time.UnixMilli
	if got := b.first(time.Hour, window); got != math.MaxInt64 {
		t.Errorf("of nothing the first birth is %d", got)
	}
	b.note(at(500), 0, window)
	b.note(at(100), 30*time.Second, window)
	b.note(at(900), 10*time.Minute, window)
	for age, want := range map[time.Duration]int64{
		time.Minute: 100, 15*time.Minute + 30*time.Second: 100, 17 * time.Minute: 900, 25 * time.Minute: 900, 27 * time.Minute: math.MaxInt64,
	} {
		if got := b.first(age, window); got != want {
			t.Errorf("after %v the first birth is %d, want %d", age, got, want)
		}
	}
}

// TestOwnResultSurvivesAnEcho: a range that covers an own event of which the
// crash took a later part must not overwrite what the request answered.
func TestOwnResultSurvivesAnEcho(t *testing.T) {
	s, w := openMem(t)
	r := s.Replica(testID)
	k := testKey("c")
	m := &Mutation{Key: k, Op: add(41), Request: request(w.now(), 1)}
	first := must(r.Mutate(m))(t)
	wait(t, first.Commit)
	echo := *first.Delta
	echo.Hi = 2
	apply(t, r, &echo)
	if done := must(r.Mutate(m))(t); !done.Repeats || done.Total != 41 {
		t.Errorf("%+v, want the total of the first time, 41", done)
	}
}

// TestARepeatNamesItsOwnEvent: a replica that was sent the event within a run
// must answer with the dot of the request, not with that of the run.
func TestARepeatNamesItsOwnEvent(t *testing.T) {
	w := newWall()
	r := open(t, testOptions(vfs.NewMem(), w)).Replica(testID)
	run := put(testKey("k"), 9, 3, "v")
	run.Lo = 1
	q := request(w.now(), 1)
	run.Requests = []crdt.Request{{Seq: 2, ID: q}}
	wait(t, must(r.Apply([]*crdt.Delta{run}, false))(t))
	done := must(r.Mutate(&Mutation{Key: testKey("k"), Op: assign("v"), Request: q}))(t)
	wait(t, done.Commit)
	if want := (crdt.Dot{Actor: 9, Seq: 2}); !done.Repeats || done.Dot != want {
		t.Errorf("repeats %t with dot %s, want true with %s", done.Repeats, done.Dot, want)
	}
}

// An event is not made after the moment up to which its client waits for it, and
// a repeat of one that was made is answered even so.
func TestNothingIsMadeTooLate(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	m := &Mutation{Key: testKey("c"), Op: add(1), Before: time.Now()}
	if _, err := r.Mutate(m); !errors.Is(err, ErrLate) {
		t.Errorf("too late: %v, want ErrLate", err)
	}
	if clock := r.State().Clock; !clock.Empty() {
		t.Errorf("an event was made: %v", clock)
	}
	m.Before = time.Now().Add(time.Hour)
	wait(t, must(r.Mutate(m))(t).Commit)
}

// TestEarlierTryOfWhatChangedNothing: a delete found nothing, which was
// acknowledged, and then somebody put a value. A try of the delete that has been on
// its way since before must not remove that.
func TestEarlierTryOfWhatChangedNothing(t *testing.T) {
	w := newWall()
	s := open(t, testOptions(vfs.NewMem(), w))
	r := s.Replica(testID)
	remove := &Mutation{Key: testKey("k"), Op: &crdt.Op{Code: crdt.OpDelete}, Request: request(w.now(), 1)}
	run := func(m *Mutation) *Done {
		done := must(r.Mutate(m))(t)
		wait(t, done.Commit)
		return done
	}
	if done := run(remove); done.Delta != nil {
		t.Fatalf("a delete of nothing made %+v", done.Delta)
	}
	run(&Mutation{Key: testKey("k"), Op: assign("v")})
	if done := run(remove); done.Delta != nil || done.Changed != 0 {
		t.Errorf("an earlier try of it: %+v", done)
	}
	if v := valueOf(t, r, testKey("k")); len(v.Siblings) != 1 {
		t.Errorf("the key holds %v, want what was put after the delete", v)
	}
	if known := must(r.Knows(remove.Request))(t); !known {
		t.Error("who asks for a repeat is told that the request was not carried out")
	}
	other := must(s.Replica(ReplicaID{testID.Placement, testID.Partition + 1}).Knows(remove.Request))(t)
	if other {
		t.Error("another replica knows the request")
	}
	if done := run(&Mutation{Key: testKey("k"), Op: &crdt.Op{Code: crdt.OpDelete}, Request: request(w.now(), 2)}); done.Delta == nil {
		t.Error("another delete found nothing")
	}
}

// TestUnchangedIsBounded: the last ones are remembered, and no more than twice as many.
func TestUnchangedIsBounded(t *testing.T) {
	var u unchanged
	id := func(i int) (q askedOf) {
		binary.BigEndian.PutUint64(q.request[8:], uint64(i)+1)
		return q
	}
	for i := range 5 * unchangedMost {
		u.note(id(i), crdt.Result{Changed: i})
	}
	for i := 4 * unchangedMost; i < 5*unchangedMost; i++ {
		if res, known := u.get(id(i)); !known || res.Changed != i {
			t.Fatalf("request %d of %d: %v, %v", i, 5*unchangedMost, res, known)
		}
	}
	if n := len(u.young) + len(u.old); n > 2*unchangedMost {
		t.Errorf("%d are remembered", n)
	}
	if u.note(askedOf{}, crdt.Result{}); len(u.young)+len(u.old) > 2*unchangedMost {
		t.Error("what has no id is remembered")
	}
}
