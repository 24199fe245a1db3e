package storage

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// catchUp asks src for what dst lacks until nothing more comes, and returns
// the answers.
func catchUp(t *testing.T, dst, src *Replica, maxBytes int) (answers []*Missing) {
	t.Helper()
	for range 1000 {
		m := must(src.Missing(durable(dst), maxBytes))(t)
		answers = append(answers, m)
		apply(t, dst, m.Deltas...)
		if !m.More {
			return answers
		}
	}
	t.Fatal("there is always more")
	return nil
}

func TestMissingIsExactAndBounded(t *testing.T) {
	s, _ := openMem(t)
	src, dst := s.Replica(testID), openPeer(t, "n2")
	value := strings.Repeat("v", 1000)
	keys := keysOf(testID.Partition, "b", "k", 30)
	for _, k := range keys {
		mutate(t, src, k, assign(value))
	}
	answers := catchUp(t, dst, src, 5000)
	if n := len(answers); n < 7 || n > 12 {
		t.Errorf("30 values of 1,000 bytes came in %d answers of 5,000 bytes", n)
	}
	for i, m := range answers {
		for _, d := range m.Deltas {
			if n := len(crdt.AppendDelta(nil, d)); n > 6000 {
				t.Errorf("answer %d holds a delta of %d bytes, asked for 5,000", i, n)
			}
		}
	}
	if a, b := src.State(), dst.State(); a.Root != b.Root || !a.Clock.Equal(&b.Clock) {
		t.Error("not equal after catching up")
	}
	if m := must(src.Missing(durable(dst), 5000))(t); len(m.Deltas) > 0 || m.More || m.Trimmed {
		t.Errorf("an equal peer lacks %+v", m)
	}

	mutate(t, src, keys[3], assign("newer"))
	actor, _ := src.Actor()
	m := must(src.Missing(durable(dst), 5000))(t)
	if len(m.Deltas) != 1 || m.Deltas[0].Actor != actor || m.Deltas[0].Lo != 31 || m.Deltas[0].Hi != 31 || len(m.Deltas[0].Changes) != 1 {
		t.Errorf("one event further: %+v, want event 31 alone", m.Deltas)
	}

	big := openPeer(t, "n3") // one event over the limit comes all the same
	if n := len(catchUp(t, big, src, 1)); n < 31 || n > 32 {
		t.Errorf("31 events came in %d answers of a byte", n)
	}
}

func TestMissingMakesOneChangeOfAHotKey(t *testing.T) {
	s, _ := openMem(t)
	src, dst := s.Replica(testID), openPeer(t, "n2")
	reg, counter := testKey("r"), testKey("c")
	for i := range 100 {
		mutate(t, src, reg, assign(strconv.Itoa(i)))
		mutate(t, src, counter, add(2))
	}
	m := must(src.Missing(&crdt.Clock{}, 1<<20))(t)
	if len(m.Deltas) != 1 || m.Deltas[0].Lo != 1 || m.Deltas[0].Hi != 200 || len(m.Deltas[0].Changes) != 2 {
		t.Fatalf("%d deltas, want one of 1 to 200 with two changes", len(m.Deltas))
	}
	actor, _ := src.Actor()
	if d := must(src.Collect(actor, 0, 1<<20))(t); d.Lo != 1 || d.Hi != 200 || len(d.Changes) != 2 {
		t.Errorf("Collect: %d to %d with %d changes", d.Lo, d.Hi, len(d.Changes))
	}
	apply(t, dst, m.Deltas...)
	if text(t, dst, reg) != "99" || valueOf(t, dst, counter).Int != 200 {
		t.Errorf("it reads %q and %d, want 99 and 200", text(t, dst, reg), valueOf(t, dst, counter).Int)
	}
	third := openPeer(t, "n3") // what came as a range is passed on as one
	if m := must(dst.Missing(durable(third), 1<<20))(t); len(m.Deltas) != 1 || m.Deltas[0].Hi != 200 || m.Trimmed {
		t.Errorf("passed on: %+v", m)
	}
}

func TestCollectGoesOnFromANumber(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 10)
	for _, k := range keys {
		mutate(t, r, k, assign("v"))
	}
	actor, _ := r.Actor()
	if d := must(r.Collect(actor, 7, 1<<20))(t); d.Lo != 8 || d.Hi != 10 || len(d.Changes) != 3 {
		t.Errorf("after 7: %+v, want 8 to 10", d)
	}
	for at := range uint64(10) {
		if d := must(r.Collect(actor, at, 1))(t); d.Lo != at+1 || d.Hi != at+1 {
			t.Errorf("after %d, a byte at a time: %d to %d", at, d.Lo, d.Hi)
		}
	}
	if d := must(r.Collect(actor, 10, 1<<20))(t); d != nil {
		t.Errorf("after the last: %+v", d)
	}
	if d := must(r.Collect(12345, 0, 1<<20))(t); d != nil {
		t.Errorf("of an unknown actor: %+v", d)
	}
	late := must(r.Mutate(&Mutation{Key: keys[0], Op: assign("w"), Async: true}))(t)
	if d := must(r.Collect(actor, 10, 1<<20))(t); d != nil {
		t.Errorf("of what is not durable: %+v", d)
	}
	wait(t, late.Commit)
	var first5 crdt.Clock
	first5.AddRange(actor, 1, 5)
	if settled, forced, err := r.Trim(&first5); settled != 5 || forced != 0 || err != nil {
		t.Fatal(settled, forced, err)
	}
	if d := must(r.Collect(actor, 3, 1<<20))(t); d != nil {
		t.Errorf("of what was trimmed: %+v", d)
	}
	if d := must(r.Collect(actor, 5, 1<<20))(t); d.Lo != 6 {
		t.Errorf("of what was not: %+v", d)
	}
}

// TestRunClosesTheGapBeforeAnEvent: an event arrives early, and later the run
// that contains it.
func TestRunClosesTheGapBeforeAnEvent(t *testing.T) {
	keys := keysOf(testID.Partition, "b", "k", 5)
	run := &crdt.Delta{Actor: 5, Lo: 1, Hi: 5}
	for i := range 5 {
		run.Changes = append(run.Changes, put(keys[i], 5, uint64(i)+1, "v").Changes...)
	}
	for name, arrive := range map[string]func(r *Replica){
		"inside":        func(r *Replica) { apply(t, r, put(keys[2], 5, 3, "v")); apply(t, r, run) },
		"at its end":    func(r *Replica) { apply(t, r, put(keys[4], 5, 5, "v")); apply(t, r, run) },
		"in one batch":  func(r *Replica) { apply(t, r, put(keys[4], 5, 5, "v"), put(keys[2], 5, 3, "v"), run) },
		"the run first": func(r *Replica) { apply(t, r, run); apply(t, r, put(keys[4], 5, 5, "v")) },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(vfs.NewMem(), newWall())
			s := open(t, o)
			r := s.Replica(testID)
			arrive(r)
			m := must(r.Missing(&crdt.Clock{}, 1<<20))(t)
			if m.Trimmed || len(m.Deltas) != 1 || m.Deltas[0].Lo != 1 || m.Deltas[0].Hi != 5 || len(m.Deltas[0].Changes) != 5 {
				t.Errorf("%+v, want the run of 1 to 5", m)
			}
			counted := s.LogBytes()
			shut(t, s)
			if n := open(t, o).LogBytes(); n != counted || n == 0 {
				t.Errorf("the log holds %d bytes, %d were counted", n, counted)
			}
		})
	}
}

func TestTrimByWhatIsStable(t *testing.T) {
	o := testOptions(vfs.NewMem(), newWall())
	s := open(t, o)
	r := s.Replica(testID)
	for _, k := range keysOf(testID.Partition, "b", "k", 10) {
		mutate(t, r, k, assign("v"))
	}
	actor, _ := r.Actor()
	var stable crdt.Clock
	if settled, forced, err := r.Trim(&stable); settled != 0 || forced != 0 || err != nil {
		t.Errorf("nothing is stable: %d, %d, %v", settled, forced, err)
	}
	before := s.LogBytes()
	stable.AddRange(actor, 1, 4)
	if settled, forced, err := r.Trim(&stable); settled != 4 || forced != 0 || err != nil {
		t.Errorf("four of ten equal events: %d, %d, %v", settled, forced, err)
	}
	if n := records(t, s, tableLog); n != 6 {
		t.Errorf("%d entries left, want 6", n)
	}
	if n := s.LogBytes(); n <= 0 || n*10 > before*7 || n*10 < before*5 {
		t.Errorf("%d bytes of %d left", n, before)
	}
	m := must(r.Missing(&crdt.Clock{}, 1<<20))(t)
	if !m.Trimmed || len(m.Deltas) > 0 {
		t.Errorf("a new peer is told %+v, want trimmed and nothing", m)
	}
	if m := must(r.Missing(&stable, 1<<20))(t); m.Trimmed || len(m.Deltas) != 1 || m.Deltas[0].Lo != 5 {
		t.Errorf("a peer that has the trimmed events is told %+v, want 5 to 10", m)
	}
	counted := s.LogBytes()
	shut(t, s)
	if n := open(t, o).LogBytes(); n != counted {
		t.Errorf("the log holds %d bytes, %d were counted", n, counted)
	}
}

func TestTrimByBytesAndAge(t *testing.T) {
	tests := []struct {
		name    string
		options func(o *Options)
		pass    time.Duration
		forced  int
	}{
		{"room and time for all", func(*Options) {}, 7 * 24 * time.Hour, 0},
		{"too old", func(*Options) {}, 7*24*time.Hour + time.Second, 10},
		{"half are too old", func(o *Options) { o.LogAge = time.Hour }, time.Hour - 55*time.Minute, 5},
		{"too many bytes", func(o *Options) { o.LogBytes = 220 }, 0, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWall()
			o := testOptions(vfs.NewMem(), w)
			tt.options(&o)
			s := open(t, o)
			r := s.Replica(testID)
			for i, k := range keysOf(testID.Partition, "b", "k", 10) {
				if i == 5 && tt.forced == 5 {
					w.advance(55*time.Minute + time.Second)
				}
				mutate(t, r, crdt.KeyID{Bucket: "b", Key: k.Key}, assign("v"))
			}
			w.advance(tt.pass)
			_, forced, err := r.Trim(&crdt.Clock{})
			if err != nil || forced != tt.forced {
				t.Errorf("%d forced, %v, want %d", forced, err, tt.forced)
			}
			if n := records(t, s, tableLog); n != 10-tt.forced {
				t.Errorf("%d entries left", n)
			}
			if s.LogBytes() > o.LogBytes && o.LogBytes > 0 {
				t.Errorf("%d bytes left, %d allowed", s.LogBytes(), o.LogBytes)
			}
		})
	}
}

// TestBarrierWaitsForTheDisk: what was applied without a wait is durable after it.
func TestBarrierWaitsForTheDisk(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, r *Replica, k crdt.KeyID){
		"event": func(t *testing.T, r *Replica, k crdt.KeyID) {
			must(r.Mutate(&Mutation{Key: k, Op: assign("v"), Async: true}))(t)
		},
		"cells without clock": func(t *testing.T, r *Replica, k crdt.KeyID) {
			ch := put(k, 5, 1, "v").Changes[0]
			must(r.Repair([]crdt.KeyID{k}, &crdt.Snapshot{Cells: []crdt.CellState{{ID: ch.ID, Live: ch.Puts}}}))(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			o := testOptions(fs, newWall())
			o.AsyncSync = time.Hour
			r := open(t, o).Replica(testID)
			k := testKey("k")
			change(t, r, k)
			if err := r.Barrier(); err != nil {
				t.Fatal(err)
			}
			if c := r.Clock(); !durable(r).Equal(&c) || !r.State().Settled {
				t.Errorf("durable clock %v after the barrier, clock %v", r.Durable(), c)
			}
			o.FS = fs.CrashClone(vfs.CrashCloneCfg{})
			if got := text(t, open(t, o).Replica(testID), k); got != "v" {
				t.Errorf("after the barrier and a crash the key reads %q", got)
			}
		})
	}
}

func TestOwed(t *testing.T) {
	s, w := openMem(t)
	r := s.Replica(testID)
	for _, k := range keysOf(testID.Partition, "b", "k", 4) {
		mutate(t, r, k, assign("v"))
	}
	o := must(r.Owed(&crdt.Clock{}))(t)
	if o.Events != 4 || o.Trimmed || o.Bytes <= 0 || o.Bytes > s.LogBytes() {
		t.Errorf("owed to a new peer: %+v of %d bytes", o, s.LogBytes())
	}
	if o := must(r.Owed(durable(r)))(t); o != (Owed{}) {
		t.Errorf("owed to an equal peer: %+v", o)
	}
	if l := r.Log(&crdt.Clock{}); l.Events != 4 || !l.Oldest.Equal(w.now()) {
		t.Errorf("log: %+v, want 4 events since %s", l, w.now())
	}
	actor, _ := r.Actor()
	var first crdt.Clock
	first.AddRange(actor, 1, 1)
	if _, _, err := r.Trim(&first); err != nil {
		t.Fatal(err)
	}
	if o := must(r.Owed(&crdt.Clock{}))(t); !o.Trimmed || o.Events != 4 {
		t.Errorf("owed after trimming: %+v", o)
	}
	if o := must(r.Owed(&first))(t); o.Trimmed || o.Events != 3 {
		t.Errorf("owed to a peer with the trimmed event: %+v", o)
	}
}
