package storage

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// moment is a replica between two batches.
type moment struct {
	clock   crdt.Clock
	root    merkle.Digest
	residue []byte
}

func momentOf(t testing.TB, r *Replica) moment {
	t.Helper()
	awaitTree(t, r)
	r.mu.Lock()
	defer r.mu.Unlock()
	return moment{r.state.Clock.Clone(), r.tree.Root(), crdt.AppendChanges(nil, r.state.Residue.Changes())}
}

func (m *moment) equal(o *moment) bool {
	return m.clock.Equal(&o.clock) && m.root == o.root && bytes.Equal(m.residue, o.residue)
}

// lives is a replica that the power is cut from, beside all that it was.
type lives struct {
	t       *testing.T
	rnd     *rand.Rand
	wall    *testWall
	opts    Options
	fs      *vfs.MemFS
	store   *Store
	r       *Replica
	peer    *Replica // of another node, to join
	join    *Join
	keys    []crdt.KeyID
	moments []moment
	durable int // the first of moments that may come back
	begun   []*Commit
	used    map[crdt.Dot]bool
	trims   int // that dropped entries
}

func newLives(t *testing.T, seed uint64) *lives {
	fs, w := vfs.NewCrashableMem(), newWall()
	l := &lives{
		t: t, rnd: rand.New(rand.NewPCG(seed, 12)), wall: w, fs: fs, opts: testOptions(fs, w),
		peer: openPeer(t, "n2"), keys: keysOf(testID.Partition, "b", "k", 8), used: map[crdt.Dot]bool{},
	}
	if seed%2 == 0 {
		l.opts.MemTable = 64 << 10
	}
	if seed%3 == 0 {
		l.opts.LogBytes = 400
	}
	l.start()
	return l
}

func (l *lives) start() {
	l.store = open(l.t, l.opts)
	l.r = l.store.Replica(testID)
	l.moments, l.durable = []moment{momentOf(l.t, l.r)}, 0
}

// changed notes what a commit has made of the replica, and waits for it or not.
func (l *lives) changed(c *Commit) {
	l.moments = append(l.moments, momentOf(l.t, l.r))
	if c == nil || l.rnd.IntN(3) > 0 {
		l.begun = append(l.begun, c)
		return
	}
	wait(l.t, c)
	if !c.async {
		l.durable = len(l.moments) - 1
	}
}

// minted notes an event's dots, which nobody may have used before.
func (l *lives) minted(d *crdt.Delta) {
	for seq := d.Lo; seq <= d.Hi; seq++ {
		dot := crdt.Dot{Actor: d.Actor, Seq: seq}
		if l.used[dot] {
			l.t.Fatalf("dot %s is used again", dot)
		}
		l.used[dot] = true
	}
}

func (l *lives) mutate(r *Replica) (*Commit, bool) {
	n := l.rnd.IntN(5)
	op := []*crdt.Op{assign("v"), add(3), insert("a", "b"), remove("a"), del()}[n]
	key := l.keys[min(n, 2)]
	if n == 4 {
		key = l.keys[l.rnd.IntN(3)]
	}
	done := must(r.Mutate(&Mutation{Key: key, Op: op, Async: l.rnd.IntN(4) == 0}))(l.t)
	if done.Delta != nil {
		l.minted(done.Delta)
	}
	return done.Commit, done.Commit != nil
}

// foreign is an event of another actor, or a run of some, in any order.
func (l *lives) foreign() *crdt.Delta {
	actor, lo := crdt.Actor(100+l.rnd.IntN(2)), 1+uint64(l.rnd.IntN(40))
	if l.rnd.IntN(4) == 0 {
		return removal(l.keys[3], actor, lo, crdt.Dot{Actor: actor, Seq: lo + 20})
	}
	d := put(l.keys[3+l.rnd.IntN(2)], actor, lo+uint64(l.rnd.IntN(4)), "foreign")
	d.Lo = lo
	return d
}

// trim lets go of the log up to some of what is there.
func (l *lives) trim() {
	stable := l.r.Durable()
	if l.rnd.IntN(2) == 0 {
		var part crdt.Clock
		for actor, ranges := range stable.All() {
			part.AddRange(actor, ranges[0].Lo, ranges[0].Lo+uint64(l.rnd.IntN(10)))
		}
		stable = crdt.Intersection(&stable, &part)
	}
	settled, forced, err := l.r.Trim(&stable)
	if err != nil {
		l.t.Fatal(err)
	}
	if settled+forced > 0 {
		l.trims++
	}
}

// page is the next part of a join of the peer.
func (l *lives) page() {
	if l.join == nil {
		c, _ := l.mutate(l.peer)
		wait(l.t, c)
		l.join = must(l.r.BeginJoin())(l.t)
	}
	if l.join.Whole() {
		c := must(l.join.Finish())(l.t)
		l.join = nil
		l.changed(c)
		return
	}
	p, _, err := l.peer.ReadPage(l.join.Ask(), 60)
	if err != nil {
		l.t.Fatal(err)
	}
	l.changed(must(l.join.Page(must(DecodePage(AppendPage(nil, p)))(l.t)))(l.t))
}

func (l *lives) step() {
	switch n := l.rnd.IntN(40); {
	case n < 14:
		if c, did := l.mutate(l.r); did {
			l.changed(c)
		}
	case n < 16:
		ms := []*Mutation{{Key: l.keys[1], Op: add(1)}, {Key: l.keys[1], Op: add(2)}, {Key: l.keys[1], Op: add(3)}}
		if _, run, c, err := l.r.MutateTogether(ms); err != nil {
			l.t.Fatal(err)
		} else if run != nil {
			l.minted(run)
			l.changed(c)
		}
	case n < 23:
		l.changed(must(l.r.Apply([]*crdt.Delta{l.foreign(), l.foreign()}, l.rnd.IntN(4) == 0))(l.t))
	case n < 29:
		l.trim()
	case n < 37:
		l.page()
	case n < 39:
		e := crdt.Entry{Dot: crdt.Dot{Actor: 200, Seq: 1 + uint64(l.rnd.IntN(1000))}, Payload: []byte{1, 'r'}}
		cells := []crdt.CellState{{ID: crdt.CellID{KeyID: l.keys[5], Kind: crdt.MVRegister}, Live: crdt.Cell{e}}}
		l.changed(must(l.r.Repair(nil, &crdt.Snapshot{Cells: cells}))(l.t))
	case l.join == nil && l.rnd.IntN(3) == 0:
		if dropped := must(l.r.Drop(l.r.Generation()))(l.t); dropped {
			l.moments = append(l.moments, momentOf(l.t, l.r))
			l.durable = len(l.moments) - 1
		}
	}
}

// cut is what a loss of power now would leave. Sometimes it is gone on with.
func (l *lives) cut() {
	clone := l.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * l.rnd.IntN(3), RNG: l.rnd})
	o := l.opts
	o.FS, o.Rand = clone, rand.New(rand.NewPCG(opens.Add(1), 1))
	s := open(l.t, o)
	r := s.Replica(testID)
	got := momentOf(l.t, r)
	found := false
	for i := l.durable; i < len(l.moments) && !found; i++ {
		found = l.moments[i].equal(&got)
	}
	if !found {
		l.t.Fatalf("clock %v with root %s after a crash, which it never was since it was durable at %v (%s)\nit ended at %v (%s)", got.clock, got.root,
			l.moments[l.durable].clock, l.moments[l.durable].root, l.moments[len(l.moments)-1].clock, l.moments[len(l.moments)-1].root)
	}
	if d := r.Durable(); !d.Equal(&got.clock) {
		l.t.Fatalf("durable clock %v of a store just opened, clock %v", d, got.clock)
	}
	if l.rnd.IntN(4) > 0 {
		done := mutate(l.t, r, l.keys[0], assign("w")) // and nobody hears of it
		if l.used[done.Dot] {
			l.t.Fatalf("dot %s is used again after a crash", done.Dot)
		}
		shut(l.t, s)
		return
	}
	shut(l.t, s)
	l.end()
	l.fs, l.opts.FS, l.opts.Rand = clone, clone, rand.New(rand.NewPCG(opens.Add(1), 1))
	l.start()
}

func (l *lives) end() {
	if l.join != nil {
		l.join.Abandon()
		l.join = nil
	}
	for _, c := range l.begun {
		wait(l.t, c)
	}
	l.begun = nil
	shut(l.t, l.store)
}

// TestClockIsThatOfWhatIsDurable cuts the power between any two batches: clock,
// cells and residue that come back are those that the replica had between two of
// them, none before the last that was waited for.
func TestClockIsThatOfWhatIsDurable(t *testing.T) {
	seeds := uint64(24)
	if testing.Short() {
		seeds = 6
	}
	trims := 0
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			l := newLives(t, seed)
			for i := range 120 {
				l.step()
				if i%8 == 7 {
					l.cut()
				}
			}
			l.end()
			trims += l.trims
		})
	}
	if trims < 20*int(seeds)/10 {
		t.Errorf("the log was trimmed %d times in %d histories: too little to tell", trims, seeds)
	}
}

// TestTrimBesideWrites trims while others write: each event leaves one cell, so
// the clock after a loss of power holds as many events as there are cells.
func TestTrimBesideWrites(t *testing.T) {
	fs, w := vfs.NewCrashableMem(), newWall()
	o := testOptions(fs, w)
	o.LogBytes = 2 << 10
	s := open(t, o)
	r := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 1200)
	var writers sync.WaitGroup
	for g := range 3 {
		writers.Go(func() {
			for i := g; i < len(keys); i += 3 {
				done, err := r.Mutate(&Mutation{Key: keys[i], Op: assign("v")})
				if err == nil && i%5 == 0 {
					err = done.Commit.Wait()
				} else if err == nil {
					defer func() { _ = done.Commit.Wait() }()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		writers.Wait()
	}()
	rnd := rand.New(rand.NewPCG(1, 5))
	trimmed := 0
	for i, more := 0, true; more; i++ {
		select {
		case <-ended:
			more = false
		default:
		}
		settled, forced, err := r.Trim(durable(r))
		if err != nil {
			t.Fatal(err)
		}
		trimmed += settled + forced
		if i%40 != 0 && more {
			continue
		}
		o := o
		o.FS, o.Rand = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * rnd.IntN(3), RNG: rnd}), rand.New(rand.NewPCG(opens.Add(1), 1))
		back := open(t, o)
		got := back.Replica(testID)
		clock := got.Clock()
		if cells := scanAll(t, got).cells; uint64(len(cells)) != clock.Count() {
			t.Fatalf("clock %v of %d events after a crash, and %d cells", clock, clock.Count(), len(cells))
		}
		shut(t, back)
	}
	if clock := r.Clock(); clock.Count() != uint64(len(keys)) || trimmed < len(keys)/2 {
		t.Errorf("%d events, %d trimmed: too little to tell", clock.Count(), trimmed)
	}
}

// asFormat1 makes a directory what a version of format 1 leaves: every batch had
// the records of its clock.
func asFormat1(t *testing.T, s *Store) {
	t.Helper()
	b := s.db.NewBatch()
	for _, r := range s.Replicas() {
		if err := r.writeClock(b, &r.state.Clock); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	id := s.opts.Identity
	id.Format = 1
	if err := writeIdentity(s.opts.FS, s.opts.Dir, id); err != nil {
		t.Fatal(err)
	}
}

// TestFormat1IsTakenOver: a directory of the format before is opened as it is, and
// is of the new format before the first event that the old one would misread.
func TestFormat1IsTakenOver(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := testOptions(fs, newWall())
	s := open(t, o)
	r := s.Replica(testID)
	for _, k := range keysOf(testID.Partition, "b", "k", 6) {
		mutate(t, r, k, assign("v"))
	}
	apply(t, r, put(testKey("ahead"), 100, 7, "gap before it"))
	actor, _ := r.Actor()
	var some crdt.Clock
	some.AddRange(actor, 1, 4)
	if settled, _, err := r.Trim(&some); settled != 4 || err != nil {
		t.Fatalf("%d entries trimmed, %v", settled, err)
	}
	want := r.Clock()
	asFormat1(t, s)

	o.Rand = rand.New(rand.NewPCG(opens.Add(1), 1))
	s = open(t, o)
	r = s.Replica(testID)
	if got := r.Clock(); !got.Equal(&want) || !durable(r).Equal(&want) {
		t.Fatalf("clock %v, durable %v, of a directory of format 1 with %v", got, r.Durable(), want)
	}
	done := mutate(t, r, testKey("later"), assign("v"))
	want.Add(done.Dot)
	o.FS, o.Rand = fs.CrashClone(vfs.CrashCloneCfg{}), rand.New(rand.NewPCG(opens.Add(1), 1))
	f := must(o.FS.Open("machine/data/identity.json"))(t)
	if b := must(io.ReadAll(f))(t); !strings.Contains(string(b), `"format": 2,`) {
		t.Errorf("identity after the first event: %s", b)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := open(t, o).Replica(testID).Clock(); !got.Equal(&want) {
		t.Errorf("clock %v after a crash, want %v", got, want)
	}
}

// TestEventsCostNoRecordOfTheClock: what an event leaves in the log tells of it;
// trimming leaves one record for each actor.
func TestEventsCostNoRecordOfTheClock(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	for _, k := range keysOf(testID.Partition, "b", "k", 6) {
		mutate(t, r, k, assign("v"))
	}
	apply(t, r, put(testKey("other"), 100, 7, "v"))
	if n := records(t, s, tableClock); n != 0 {
		t.Errorf("%d records of the clock after seven events, want none", n)
	}
	if _, _, err := r.Trim(durable(r)); err != nil {
		t.Fatal(err)
	}
	if n, left := records(t, s, tableClock), records(t, s, tableLog); n != 2 || left != 0 {
		t.Errorf("%d records of the clock and %d entries of the log after a trim, want 2 and 0", n, left)
	}
}

// TestDamagedLogIsRefused: without the log nobody knows the clock.
func TestDamagedLogIsRefused(t *testing.T) {
	good := must(logValue(t))(t)
	for name, record := range map[string]struct{ k, v []byte }{
		"empty":                   {logKey(testID, 5, 9), nil},
		"no delta":                {logKey(testID, 5, 9), []byte{0, 1}},
		"of another actor":        {logKey(testID, 6, 9), good},
		"under another number":    {logKey(testID, 5, 8), good},
		"key that is cut short":   {logKey(testID, 5, 9)[:12], good},
		"key without a partition": {[]byte{tableLog, 0}, good},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(vfs.NewMem(), newWall())
			s := open(t, o)
			if err := s.db.Set(record.k, record.v, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			shut(t, s)
			if s, err := Open(o); err == nil {
				shut(t, s)
				t.Error("Open took it")
			}
		})
	}
}

// logValue is the entry of event 9 of actor 5.
func logValue(t *testing.T) ([]byte, error) {
	t.Helper()
	s, _ := openMem(t)
	r := s.Replica(testID)
	apply(t, r, put(testKey("k"), 5, 9, "v"))
	return s.get(logKey(testID, 5, 9))
}
