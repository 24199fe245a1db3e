package crdt

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

func zadd(members ...Member) Op  { return Op{Code: OpScore, Kind: ZSet, Members: members} }
func zincr(members ...Member) Op { return Op{Code: OpBump, Kind: ZSet, Members: members} }
func zrem(members ...string) Op  { return Op{Code: OpRemove, Kind: ZSet, Elements: members} }

func (s *site) wantScores(what string, want ...Member) {
	s.t.Helper()
	if got := s.value(ZSet).Members; !slices.Equal(got, want) {
		s.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestZSetOrder(t *testing.T) {
	a := newSite(t, 1)
	a.do(zadd(Member{"c", 1}, Member{"a", 2}, Member{"b", -3}, Member{"a", 1}))
	a.wantScores("by score, then by member; of one named twice the last counts", Member{"b", -3}, Member{"a", 1}, Member{"c", 1})
	a.do(zincr(Member{"b", 4}, Member{"b", 1}))
	a.wantScores("increments of one named twice add up", Member{"a", 1}, Member{"c", 1}, Member{"b", 2})
	a.do(zadd(Member{"zero", math.Copysign(0, -1)}))
	if v := a.value(ZSet).Members[0]; v.Member != "zero" || math.Signbit(v.Score) {
		t.Errorf("first %v, want the zero that is not negative", v)
	}
}

func TestZSetResults(t *testing.T) {
	tests := []struct {
		name    string
		op      Op
		changed int
		score   float64
	}{
		{"two new members, the score of the last named", zadd(Member{"y", 7}, Member{"x", 5}), 2, 5},
		{"a member that is there", zadd(Member{"x", 6}), 0, 6},
		{"an increment", zincr(Member{"x", 1.5}), 0, 7.5},
		{"of a new member", zincr(Member{"y", 1}, Member{"z", -2}), 1, -2},
		{"by nothing of a new member", zincr(Member{"w", 0}), 1, 0},
		{"a removal of one that is there and one that is not", zrem("x", "nobody"), 1, 0},
		{"a removal of nothing", zrem("x"), 0, 0},
		{"the increments went with it", zincr(Member{"x", 1}), 1, 1},
	}
	s := newSite(t, 1)
	for _, tt := range tests {
		_, res, err := s.try(tt.op)
		if err != nil || res.Changed != tt.changed || res.Score != tt.score {
			t.Errorf("%s: changed %d, score %v, %v, want %d, %v", tt.name, res.Changed, res.Score, err, tt.changed, tt.score)
		}
	}
	if d := s.do(zrem("nobody")); d != nil {
		t.Error("removing what is not there made an event")
	}
}

func TestZSetConcurrency(t *testing.T) {
	tests := []struct {
		name string
		a, b []Op // at the same time, after x has the score 10 at both
		want []Member
	}{
		{"increments add up", []Op{zincr(Member{"x", 1})}, []Op{zincr(Member{"x", 2})}, []Member{{"x", 13}}},
		{"the later base wins", []Op{zadd(Member{"x", 5})}, []Op{zadd(Member{"x", 6}), zadd(Member{"x", 4})}, []Member{{"x", 4}}},
		{"of equal stamps the greater dot", []Op{zadd(Member{"x", 7})}, []Op{zadd(Member{"x", 6})}, []Member{{"x", 6}}},
		{"an increment adds to a base it did not see", []Op{zadd(Member{"x", 5})}, []Op{zincr(Member{"x", 2})}, []Member{{"x", 7}}},
		{"a base takes back what it saw, and only that", []Op{zincr(Member{"x", 100}), zadd(Member{"x", 5})}, []Op{zincr(Member{"x", 2})}, []Member{{"x", 7}}},
		{"setting wins over removing", []Op{zrem("x")}, []Op{zadd(Member{"x", 3})}, []Member{{"x", 3}}},
		{"incrementing wins over removing, without what was removed", []Op{zrem("x")}, []Op{zincr(Member{"x", 2})}, []Member{{"x", 2}}},
		{"a member that both remove is gone", []Op{zrem("x")}, []Op{zrem("x")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newSite(t, 1), newSite(t, 2)
			b.apply(a.do(zadd(Member{"x", 10})))
			a.exchange(b, tt.a, tt.b)
			a.wantScores("at a", tt.want...)
			b.wantScores("at b", tt.want...)
			if !slices.EqualFunc(a.mem.All(), b.mem.All(), func(x, y CellState) bool { return x.ID == y.ID && x.Live.Equal(y.Live) }) {
				t.Errorf("a holds %v and b %v", a.mem.All(), b.mem.All())
			}
		})
	}
}

// exchange runs operations at both sites and then delivers what they became.
func (s *site) exchange(o *site, mine, theirs []Op) {
	s.t.Helper()
	var from, to []*Delta
	for _, op := range mine {
		if d := s.do(op); d != nil {
			from = append(from, d)
		}
	}
	for _, op := range theirs {
		if d := o.do(op); d != nil {
			to = append(to, d)
		}
	}
	for _, d := range from {
		o.apply(d)
	}
	for _, d := range to {
		s.apply(d)
	}
}

func TestZSetRunsEndByTheirActor(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	id := CellID{testKey(), ZSet, PathOf("x")}
	b.apply(a.do(zincr(Member{"x", 5})))
	removed := b.do(zrem("x"))
	if cell, _ := b.mem.Load(id); len(cell) != 1 {
		t.Fatalf("cell %v: the run of another is taken back, not removed", cell)
	}
	b.wantScores("it no longer counts")
	a.apply(removed)
	d := a.do(zincr(Member{"x", 7}))
	if len(d.Changes[0].Removes) != 1 || d.Changes[0].Puts[0].Dot != (Dot{1, 2}) {
		t.Errorf("a run that was taken back is dropped by its actor, which begins another: %+v", d.Changes)
	}
	d = a.do(zincr(Member{"x", 1}))
	if len(d.Changes[0].Removes) != 0 || d.Changes[0].Puts[0].Dot != (Dot{1, 2}) {
		t.Errorf("a run that counts goes on: %+v", d.Changes)
	}
	a.wantScores("the new run counts", Member{"x", 8})
	a.do(zadd(Member{"x", 1}))
	if cell, _ := a.mem.Load(id); len(cell) != 1 {
		t.Errorf("cell %v, want the base alone: an own run ends with what takes it back", cell)
	}
}

func TestZSetContexts(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.do(zadd(Member{"x", 1}, Member{"y", 1}))
	read := a.context()
	a.do(zadd(Member{"x", 2}))
	a.do(zrem("x", "y").with(read))
	a.wantScores("a removal spares what its context does not have", Member{"x", 2})
	a.do(zadd(Member{"x", 3}).with(&Context{}))
	if cell, _ := a.mem.Load(CellID{testKey(), ZSet, PathOf("x")}); len(cell) != 2 {
		t.Errorf("cell %v, want two bases: a context narrows what is superseded", cell)
	}
	a.wantScores("and the later one wins", Member{"x", 3})
	a.do(zincr(Member{"x", 1}))
	for _, op := range []Op{zrem("x"), zadd(Member{"x", 1}), zincr(Member{"x", 1}), {Code: OpDelete}} {
		if _, _, err := a.try(op.with(a.context())); !errors.Is(err, ErrNoContext) {
			t.Errorf("operation %d where there are increments: %v, want %v", op.Code, err, ErrNoContext)
		}
	}
	// A client that read at a names a run that b has yet to see.
	born := a.do(zincr(Member{"z", 5}))
	b.do(zrem("z").with(a.context()))
	more := a.do(zincr(Member{"z", 2}))
	b.apply(born)
	b.apply(more)
	b.wantScores("no increment that the client did not see is lost", Member{"z", 7})
}

func TestZSetDelete(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(zadd(Member{"x", 1}, Member{"y", 2})))
	b.apply(a.do(zincr(Member{"x", 1}, Member{"z", 3})))
	deleted := b.do(Op{Code: OpDelete})
	b.wantScores("a delete takes all that it sees")
	if have, err := Present(&b.mem, testKey(), b.mem.Kinds(testKey())); err != nil || len(have) != 0 {
		t.Errorf("present as %v, %v: runs that no longer count make no key", have, err)
	}
	late := a.do(zincr(Member{"z", 4}))
	a.apply(deleted)
	b.apply(late)
	a.wantScores("and not what it does not see", Member{"z", 4})
	b.wantScores("everywhere", Member{"z", 4})
	if d := b.do(Op{Code: OpDelete, Kind: ZSet}); d == nil || b.do(Op{Code: OpDelete, Kind: ZSet}) != nil {
		t.Error("deleting nothing made an event")
	}
	b.do(assign(Register, "v"))
	b.do(Op{Code: OpDelete, Context: b.context()})
	if len(b.value(Register).Siblings) != 0 {
		t.Error("a run that no longer counts kept a context from its key")
	}
}

// A delete with a context is for what its client saw, also where the
// coordinator has yet to see that the key exists.
func TestZSetDeleteOfWhatOnlyTheClientSaw(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	born := a.do(zadd(Member{"x", 1}))
	b.do(Op{Code: OpDelete, Context: a.context()})
	b.apply(born)
	b.wantScores("the delete was not forgotten")
}

func TestZSetInAMap(t *testing.T) {
	field := func(op Op) Op { return Op{Code: OpUpdate, Kind: Map, Fields: []FieldOp{{"board", op}}} }
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(field(zadd(Member{"x", 10}))))
	b.apply(a.do(field(zincr(Member{"x", 1}))))
	discarded := b.do(Op{Code: OpDiscard, Kind: Map, Names: []FieldName{{Name: "board"}}})
	if f := b.value(Map).Fields; len(f) != 0 {
		t.Errorf("fields %v, want none", f)
	}
	late := a.do(field(zincr(Member{"x", 5})))
	a.apply(discarded)
	b.apply(late)
	for _, s := range []*site{a, b} {
		f := s.value(Map).Fields
		if len(f) != 1 || !slices.Equal(f[0].Value.Members, []Member{{"x", 5}}) {
			t.Errorf("fields %v, want x with the increment that the removal did not see", f)
		}
	}
}

func TestZSetLimits(t *testing.T) {
	const huge = math.MaxFloat64
	tests := []struct {
		name string
		ops  []Op
		want float64
		err  error
	}{
		{"not a number", []Op{zadd(Member{"x", 1}), zadd(Member{"x", math.NaN()})}, 1, ErrScore},
		{"infinite", []Op{zadd(Member{"x", 1}), zincr(Member{"x", math.Inf(-1)})}, 1, ErrScore},
		{"the sum of a run past the end", []Op{zincr(Member{"x", huge}), zincr(Member{"x", huge})}, huge, ErrOverflow},
		{"a score past the end", []Op{zadd(Member{"x", huge}), zincr(Member{"x", huge})}, huge, ErrOverflow},
		{"past the lower end", []Op{zadd(Member{"x", -huge}), zincr(Member{"x", -huge})}, -huge, ErrOverflow},
		{"increments of one operation past the end", []Op{zadd(Member{"x", 1}), zincr(Member{"x", huge}, Member{"x", huge})}, 1, ErrOverflow},
		{"back again", []Op{zadd(Member{"x", huge}), zincr(Member{"x", -huge})}, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, 1)
			var err error
			for _, op := range tt.ops {
				before := s.minted
				if _, _, err = s.try(op); err != nil && s.minted != before {
					t.Error("a refused operation made an event")
				}
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			s.wantScores("after it", Member{"x", tt.want})
		})
	}
}

func TestZSetScoresStayFinite(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.exchange(b, []Op{zincr(Member{"x", math.MaxFloat64})}, []Op{zincr(Member{"x", math.MaxFloat64})})
	a.wantScores("the nearest finite number", Member{"x", math.MaxFloat64})
	if _, _, err := a.try(zincr(Member{"x", 0})); !errors.Is(err, ErrOverflow) {
		t.Errorf("adding to it: %v, want %v", err, ErrOverflow)
	}
	run := scored{tag: bumpsTag, now: sum{2, -math.MaxFloat64}, reset: sum{1, math.MaxFloat64}}
	left, carried := carryBumps(run.encode())
	if mustScored(left).counts() || mustScored(carried).now != (sum{1, -math.MaxFloat64}) {
		t.Errorf("left %v, carried %v", mustScored(left), mustScored(carried))
	}
}

func TestSortableScore(t *testing.T) {
	inOrder := []float64{-math.MaxFloat64, -1.5, -1, -math.SmallestNonzeroFloat64, 0, math.SmallestNonzeroFloat64, 1, 1.5, 1e300, math.MaxFloat64}
	for i := 1; i < len(inOrder); i++ {
		a, b := SortableScore(inOrder[i-1]), SortableScore(inOrder[i])
		if bytes.Compare(a[:], b[:]) >= 0 {
			t.Errorf("%v sorts as %x, %v as %x", inOrder[i-1], a, inOrder[i], b)
		}
	}
	if SortableScore(math.Copysign(0, -1)) != SortableScore(0) {
		t.Error("zero sorts in two places")
	}
}

func TestZSetOrphans(t *testing.T) {
	closed := func(a Actor) bool { return a == 1 }
	lost, b := newSite(t, 1), newSite(t, 2)
	lost.do(zadd(Member{"base", 1}))
	lost.do(zincr(Member{"run", 5}))
	snap := lost.snapshot()
	late := lost.do(zincr(Member{"run", 3}))
	for _, c := range snap.Cells {
		if err := b.rep.JoinCell(&b.mem, c.ID, c.Live, snap.Peer()); err != nil {
			t.Fatal(err)
		}
	}
	b.apply(b.rep.Remint(b.mem.All(), closed, Dot{2, 1}))
	if d := b.rep.Remint(b.mem.All(), closed, Dot{2, 2}); d != nil {
		t.Errorf("minted twice: %+v", d)
	}
	b.wantScores("scores move", Member{"base", 1}, Member{"run", 5})
	b.apply(late)
	b.wantScores("a late increment counts once", Member{"base", 1}, Member{"run", 8})
}

func TestScoredRefuses(t *testing.T) {
	one, two := "\x3f\xf0\x00\x00\x00\x00\x00\x00", "\x40\x00\x00\x00\x00\x00\x00\x00"
	tests := []struct{ name, in, want string }{
		{"nothing", "", "score is cut short"},
		{"an unknown entry", "\x02", "neither a score nor increments"},
		{"not a number", "\x00\x01\x7f\xf8\x00\x00\x00\x00\x00\x01", "score is not a canonical number"},
		{"an infinite number", "\x00\x01\x7f\xf0\x00\x00\x00\x00\x00\x00", "score is not a canonical number"},
		{"the negative zero", "\x00\x01\x80\x00\x00\x00\x00\x00\x00\x00", "score is not a canonical number"},
		{"a base with more behind it", "\x00\x01" + one + "\x00", "entry of a zset is followed by something else"},
		{"a run of nothing", "\x01\x00" + one, "sum of no increments"},
		{"an empty reset", "\x01\x01" + one + "\x00" + one, "sum of no increments"},
		{"a reset of more than there was", "\x01\x01" + one + "\x02" + two, "more was taken back than there was"},
	}
	for _, tt := range tests {
		err := checkScored([]byte(tt.in))
		if want := ErrEncoding.Error() + ": " + tt.want; !errors.Is(err, ErrEncoding) || err.Error() != want {
			t.Errorf("%s: %v, want %s", tt.name, err, want)
		}
	}
}

func FuzzDecodeScored(f *testing.F) {
	f.Add(scored{stamp: 300, score: -1.5}.encode(), scored{stamp: 300, score: 2}.encode())
	f.Add(scored{tag: bumpsTag, now: sum{3, 7}}.encode(), scored{tag: bumpsTag, now: sum{5, 6}, reset: sum{2, 1}}.encode())
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, errA := decodeScored(one)
		_, errB := decodeScored(two)
		if errA != nil || errB != nil {
			return
		}
		if !bytes.Equal(a.encode(), one) {
			t.Fatalf("%x came back as %x", one, a.encode())
		}
		ab, ba := joinBumps(one, two), joinBumps(two, one)
		if checkScored(ab) != nil || !bytes.Equal(ab, ba) || !bytes.Equal(joinBumps(ab, one), ab) {
			t.Fatalf("%x and %x join to %x and %x", one, two, ab, ba)
		}
		if left, carried := carryBumps(one); left != nil && (checkScored(left) != nil || a.counts() && checkScored(carried) != nil) {
			t.Fatalf("%x is carried as %x and %x", one, left, carried)
		}
		if score, _ := ScoreOf(Cell{{Dot{1, 1}, one}, {Dot{2, 1}, two}}); math.IsNaN(score) || math.IsInf(score, 0) {
			t.Fatalf("score %v", score)
		}
	})
}
