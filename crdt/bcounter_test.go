package crdt

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

func badd(n int64) Op { return Op{Code: OpAdd, Kind: BCounter, N: n} }

func (o Op) bound(n int64) Op {
	o.Bound = n
	return o
}

func give(to Actor, n int64) Op { return Op{Code: OpTransfer, Kind: BCounter, To: to, N: n} }

func (s *site) wantRights(what string, value, bound int64, rights ...Rights) {
	s.t.Helper()
	v := s.value(BCounter)
	if v.Int != value || v.Bound != bound || !slices.Equal(v.Rights, rights) {
		s.t.Errorf("%s: value %d, bound %d, rights %v, want %d, %d, %v", what, v.Int, v.Bound, v.Rights, value, bound, rights)
	}
}

func (s *site) refused(what string, op Op, want error) error {
	s.t.Helper()
	before := s.mem.All()
	_, _, err := s.try(op)
	if !errors.Is(err, want) {
		s.t.Errorf("%s: %v, want %v", what, err, want)
	}
	same := func(a, b CellState) bool { return a.ID == b.ID && a.Live.Equal(b.Live) }
	if !slices.EqualFunc(before, s.mem.All(), same) {
		s.t.Errorf("%s: it was refused and changed something", what)
	}
	return err
}

func TestBCounterRights(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(badd(10)))
	a.wantRights("an increment earns rights", 10, 0, Rights{1, 10})
	err := b.refused("the rights are another's", badd(-1), ErrNoRights)
	const text = "not enough rights: 1 are needed, replica 0000000000000002 has 0, others have 10: transfer some of theirs, or write there"
	if err.Error() != text {
		t.Errorf("error %q, want %q", err, text)
	}
	a.do(badd(-4))
	a.wantRights("a decrement costs as many", 6, 0, Rights{1, 6})
	a.refused("more than there are", badd(-7), ErrNoRights)
	a.refused("the most there can be", badd(math.MinInt64), ErrNoRights)
	a.do(badd(-6))
	a.wantRights("down to the bound", 0, 0, Rights{1, 0})
	_, res, err := a.try(badd(0))
	if err != nil || res.Total != 0 || res.Changed != 1 {
		t.Errorf("adding nothing: %+v, %v", res, err)
	}
}

func TestBCounterTransfers(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.do(badd(10))
	given := a.do(give(2, 6))
	a.wantRights("rights of an actor that has done nothing yet", 10, 0, Rights{1, 4}, Rights{2, 6})
	a.refused("what was given away is gone", badd(-5), ErrNoRights)
	a.refused("to itself", give(1, 1), ErrSelfTransfer)
	a.refused("no rights", give(2, 0), ErrTransfer)
	a.refused("negative rights", give(2, -1), ErrTransfer)
	a.refused("to nobody", give(0, 1), ErrTransfer)
	a.refused("more than there are", give(2, 5), ErrNoRights)
	b.refused("rights that have not arrived", badd(-1), ErrNoRights)
	b.apply(given) // alone: it carries what it rests on
	b.do(badd(-5))
	back := b.do(give(1, 1))
	b.wantRights("spent and given back", 5, 0, Rights{1, 5}, Rights{2, 0})
	a.apply(back)
	a.wantRights("as it arrives", 5, 0, Rights{1, 5}, Rights{2, 0})
	a.do(give(2, 1))
	a.do(give(2, 1))
	a.wantRights("transfers add up", 5, 0, Rights{1, 3}, Rights{2, 2})
}

// A replica that sees a decrement sees the rights that were spent, though the
// events which made them are still under way.
func TestBCounterEventsCarryWhatTheyRestOn(t *testing.T) {
	founder, first, last := newSite(t, 9), newSite(t, 6), newSite(t, 1)
	event := founder.do(badd(7).bound(4))
	other := newSite(t, 8).do(badd(3))
	first.do(badd(10))
	for s := first; s != last; {
		given := s.do(give(s.actor-1, 5))
		if s = newSite(t, s.actor-1); s.actor == last.actor {
			s = last
		}
		s.apply(given)
	}
	last.apply(other)
	last.apply(event)
	spent := last.do(badd(-5))
	var rests []Dot
	for _, e := range spent.Changes[0].Puts {
		rests = append(rests, e.Dot)
	}
	if want := []Dot{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {9, 1}}; !slices.Equal(rests, want) {
		t.Errorf("the decrement carries %v, want %v", rests, want)
	}
	c := newSite(t, 10)
	c.apply(spent)
	c.wantRights("the decrement alone", 12, 4, Rights{1, 0}, Rights{2, 0}, Rights{3, 0}, Rights{4, 0}, Rights{5, 0}, Rights{6, 5}, Rights{9, 3})
}

func TestBCounterBounds(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.refused("a negative bound", badd(5).bound(-1), ErrBound)
	a.refused("a beginning below the bound", badd(4).bound(5), ErrBound)
	a.do(badd(7).bound(5))
	a.wantRights("the bound is paid", 7, 5, Rights{1, 2})
	a.refused("below the bound", badd(-3), ErrNoRights)
	a.refused("another bound", badd(1).bound(6), ErrBound)
	a.do(badd(1).bound(5))
	a.wantRights("the same bound is not paid again", 8, 5, Rights{1, 3})
	a.do(badd(-3))
	a.wantRights("down to the bound", 5, 5, Rights{1, 0})
	b.do(badd(10).bound(8))
	b.apply(a.do(badd(1)))
	b.wantRights("two that create it both pay", 16, 8, Rights{1, 1}, Rights{2, 2})
	c := newSite(t, 3)
	c.do(badd(1))
	c.refused("a bound that comes later", badd(5).bound(5), ErrBound)
}

func TestBCounterIsPermanent(t *testing.T) {
	s := newSite(t, 1)
	if d := s.do(Op{Code: OpDelete, Kind: BCounter}); d != nil {
		t.Error("deleting nothing made an event")
	}
	s.do(badd(1))
	s.refused("a delete", Op{Code: OpDelete}, ErrPermanent)
	s.refused("a delete with a context", Op{Code: OpDelete, Kind: BCounter, Context: s.context()}, ErrPermanent)
	s.refused("an expiry", Op{Code: OpExpire, At: 5}, ErrPermanent)
	for _, op := range []Op{badd(1), give(2, 1)} {
		s.refused("a context", op.with(&Context{}), ErrNoContext)
	}
	if _, _, err := s.try(Op{Code: OpReset, Kind: BCounter}); err == nil || err.Error() != "operation does not apply to kind bcounter" {
		t.Errorf("a reset: %v", err)
	}
}

func TestBCounterInAMap(t *testing.T) {
	field := func(op Op) Op { return Op{Code: OpUpdate, Kind: Map, Fields: []FieldOp{{"stock", op}}} }
	a, b := newSite(t, 1), newSite(t, 2)
	b.apply(a.do(field(badd(10).bound(2))))
	b.refused("the rights are another's", field(badd(-1)), ErrNoRights)
	a.do(field(badd(-3)))
	f := a.value(Map).Fields
	if len(f) != 1 || f[0].Value.Int != 7 || f[0].Value.Bound != 2 || !slices.Equal(f[0].Value.Rights, []Rights{{1, 5}}) {
		t.Errorf("fields %v", f)
	}
	discard := Op{Code: OpDiscard, Kind: Map, Names: []FieldName{{Name: "stock"}}}
	a.refused("removing the field", discard, ErrPermanent)
	a.refused("with a context", discard.with(a.context()), ErrPermanent)
	a.refused("deleting the map", Op{Code: OpDelete}, ErrPermanent)
	// A replica that has yet to see the field removes the others and spares it.
	c := newSite(t, 3)
	other := c.do(Op{Code: OpUpdate, Kind: Map, Fields: []FieldOp{{"other", assign(Register, "v")}}})
	ctx := clockContext(a.mem.All(), &a.rep.Clock)
	deleted := c.do(Op{Code: OpDelete, Kind: Map, Context: &ctx})
	a.apply(other)
	a.apply(deleted)
	if f := a.value(Map).Fields; !slices.ContainsFunc(f, func(f Field) bool { return f.Name == "stock" && f.Value.Int == 7 }) {
		t.Errorf("fields %v, want the stock", f)
	}
}

func TestBCounterLimits(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.do(badd(math.MaxInt64))
	a.refused("past the end", badd(1), ErrOverflow)
	a.do(badd(-math.MaxInt64))
	a.do(badd(math.MaxInt64))
	a.do(badd(-math.MaxInt64))
	a.refused("a total that is used up", badd(2), ErrOverflow)
	a.do(badd(1))
	b.do(badd(math.MaxInt64))
	b.apply(newSite(t, 3).do(badd(math.MaxInt64)))
	b.apply(newSite(t, 4).do(badd(math.MaxInt64)))
	if v := b.value(BCounter); v.Int != math.MaxInt64 || !v.Saturated {
		t.Errorf("three of the most there can be: %d, saturated %v", v.Int, v.Saturated)
	}
	b.refused("adding to it", badd(0), ErrOverflow)
	b.do(badd(-math.MaxInt64))
	if v := b.value(BCounter); v.Int != math.MaxInt64 || !v.Saturated {
		t.Errorf("taking away from it: %d, saturated %v", v.Int, v.Saturated)
	}
	if l := (ledger{out: []grant{{2, math.MaxUint64}}}); !errors.Is(second(l.give(2, 1)), ErrOverflow) {
		t.Error("a total of transfers wraps")
	}
}

func second[T any](_ T, err error) error { return err }

// The rights of a lost actor stay its own under the new dot, and what turns up
// of it later counts once.
func TestBCounterOrphans(t *testing.T) {
	closed := func(a Actor) bool { return a == 1 }
	donor, lost, b := newSite(t, 4), newSite(t, 1), newSite(t, 2)
	donor.do(badd(5))
	lost.apply(donor.do(give(1, 5)))
	lost.do(badd(3))
	snap := lost.snapshot()
	late := lost.do(badd(-7))
	id := CellID{testKey(), BCounter, ""}
	if err := b.rep.JoinCell(&b.mem, id, snap.Cells[0].Live, snap.Peer()); err != nil {
		t.Fatal(err)
	}
	again := b.rep.Remint(b.mem.All(), closed, Dot{2, 1})
	b.minted++
	b.apply(again)
	b.wantRights("the rights stay the owner's", 8, 0, Rights{1, 8}, Rights{4, 0})
	if d := b.rep.Remint(b.mem.All(), closed, Dot{2, 2}); d != nil {
		t.Errorf("minted twice: %+v", d)
	}
	c := newSite(t, 3)
	c.apply(again)
	c.wantRights("the new dot brings what it rests on", 8, 0, Rights{1, 8}, Rights{4, 0})
	b.apply(late)
	b.wantRights("a late decrement counts once", 1, 0, Rights{1, 1}, Rights{4, 0})
	b.refused("by a dot of its own nobody has another's rights", badd(-1), ErrNoRights)
	own := b.do(badd(2))
	if at := own.Changes[0].Puts; len(at) != 1 || at[0].Dot != (Dot{2, 2}) {
		t.Errorf("%+v, want an account of its own", own.Changes)
	}
}

func TestAccountRefuses(t *testing.T) {
	owner, one, two := "\x00\x00\x00\x00\x00\x00\x00\x07", "\x00\x00\x00\x00\x00\x00\x00\x01", "\x00\x00\x00\x00\x00\x00\x00\x02"
	tests := []struct{ name, in, want string }{
		{"nothing", "", "owner is cut short"},
		{"no totals", owner, "total is cut short or too large"},
		{"a share of more than there was", owner + "\x01\x00\x02\x00", "more was paid for the bound than there was"},
		{"more transfers than bytes", owner + "\x01\x00\x00\x05" + one + "\x01", "number of transfers is over its limit"},
		{"a transfer of nothing", owner + "\x01\x00\x00\x01" + one + "\x00", "transfer of nothing"},
		{"transfers out of order", owner + "\x01\x00\x00\x02" + two + "\x01" + one + "\x01", "transfers are not in order"},
		{"two transfers to one", owner + "\x01\x00\x00\x02" + one + "\x01" + one + "\x02", "transfers are not in order"},
		{"more elsewhere than there is", owner + "\x01\x00\x00\x00\x02\x00\x00\x00", "more goes on elsewhere than there is"},
		{"more behind it", owner + "\x01\x00\x00\x00\x01\x00\x00\x00\x00", "account of a bcounter is followed by something else"},
	}
	for _, tt := range tests {
		err := checkAccount([]byte(tt.in))
		if want := ErrEncoding.Error() + ": " + tt.want; !errors.Is(err, ErrEncoding) || err.Error() != want {
			t.Errorf("%s: %v, want %s", tt.name, err, want)
		}
	}
}

func FuzzDecodeAccount(f *testing.F) {
	plain := account{owner: 7, now: ledger{up: 300, down: 2, share: 5, out: []grant{{1, 9}, {3, 200}}}}
	left, carried := carryAccount(plain.encode())
	f.Add(plain.encode(), left)
	f.Add(carried, (&account{owner: 7, now: ledger{up: 4, out: []grant{{2, 1}}}}).encode())
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, errA := decodeAccount(one)
		b, errB := decodeAccount(two)
		if errA != nil || errB != nil {
			return
		}
		if !bytes.Equal(a.encode(), one) {
			t.Fatalf("%x came back as %x", one, a.encode())
		}
		ab, ba := joinAccounts(one, two), joinAccounts(two, one)
		if checkAccount(ab) != nil || !bytes.Equal(ab, ba) || !bytes.Equal(joinAccounts(ab, one), ab) {
			t.Fatalf("%x and %x join to %x and %x", one, two, ab, ba)
		}
		left, carried := carryAccount(one)
		if checkAccount(left) != nil || checkAccount(carried) != nil || !bytes.Equal(joinAccounts(left, one), left) {
			t.Fatalf("%x is carried as %x and %x", one, left, carried)
		}
		if got, want := booksOf(Cell{{Dot{1, 1}, left}, {Dot{2, 1}, carried}}).value(), booksOf(Cell{{Dot{1, 1}, one}}).value(); got != want {
			t.Fatalf("carried, it is worth %v, before %v", got, want)
		}
		cell := Cell{{Dot{1, 1}, one}, {Dot{2, 1}, two}}
		if got := restsOn(cell, b.owner); !got.Has(Dot{2, 1}) {
			t.Fatalf("%v rests on %v", cell, got)
		}
		var v Value
		readBCounter(&v, []CellState{{Live: cell}})
	})
}

func ask(n int64) Op { return Op{Code: OpAsk, Kind: BCounter, N: n} }

func TestAsk(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	if d, _, err := b.try(ask(3)); d != nil || err != nil {
		t.Errorf("asked of a counter that is not there: %v, %v", d, err)
	}
	b.apply(a.do(badd(10).bound(2)))
	a.apply(b.do(ask(3)))
	a.wantRights("who asks has no more than before", 10, 2, Rights{1, 8}, Rights{2, 0})
	asked := func(what string, want ...Share) {
		t.Helper()
		if got := Shares(a.cell(BCounter)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	asked("after an ask", Share{Rights{1, 8}, 0}, Share{Rights{2, 0}, 3})
	if d, _, err := b.try(ask(2)); d != nil || err != nil {
		t.Errorf("asks do not add up: %v, %v", d, err)
	}
	b.apply(a.do(give(2, 2)))
	asked("it was given some", Share{Rights{1, 6}, 0}, Share{Rights{2, 2}, 1})
	b.apply(a.do(give(2, 4)))
	asked("it was given more", Share{Rights{1, 2}, 0}, Share{Rights{2, 6}, 0})
	a.apply(b.do(badd(-6)))
	a.apply(b.do(ask(1)))
	a.wantRights("it was given six and has spent them", 4, 2, Rights{1, 2}, Rights{2, 0})
	asked("and asks again", Share{Rights{1, 2}, 0}, Share{Rights{2, 0}, 1})
	b.refused("less than one", ask(0), ErrTransfer)
	b.refused("it asks, and does not give to itself", give(2, 1), ErrSelfTransfer)
}
