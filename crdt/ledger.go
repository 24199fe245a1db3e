package crdt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
)

// ledger is all that one actor has ever done to a bcounter. Every number only
// grows, and the actor alone raises it, so two views of a ledger are joined
// number by number.
type ledger struct {
	up, down uint64
	share    uint64  // of up, what was paid for the bound and gives no rights
	out      []grant // rights given away, in order of who got them; none is zero
}

// grant is how many rights an actor was given, ever.
type grant struct {
	to    Actor
	total uint64
}

func (l ledger) max(o ledger) ledger {
	out := slices.Concat(l.out, o.out)
	slices.SortFunc(out, func(a, b grant) int { return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.total, b.total)) })
	kept := out[:0]
	for i, g := range out { // of one actor's totals the greatest comes last
		if i+1 == len(out) || out[i+1].to != g.to {
			kept = append(kept, g)
		}
	}
	return ledger{max(l.up, o.up), max(l.down, o.down), max(l.share, o.share), kept}
}

func (l ledger) equal(o ledger) bool {
	return l.up == o.up && l.down == o.down && l.share == o.share && slices.Equal(l.out, o.out)
}

// give returns the ledger with n more rights given away.
func (l ledger) give(to Actor, n uint64) (ledger, error) {
	i, found := slices.BinarySearchFunc(l.out, to, func(g grant, a Actor) int { return cmp.Compare(g.to, a) })
	if l.out = slices.Clone(l.out); !found {
		l.out = slices.Insert(l.out, i, grant{to: to})
	}
	if l.out[i].total > math.MaxUint64-n {
		return l, fmt.Errorf("%w: rights given to %s", ErrOverflow, to)
	}
	l.out[i].total += n
	return l, nil
}

// account is an entry of a bcounter: the ledger of an actor. The owner is named
// in it, because an entry that outlives its event is given a new dot, of
// another actor, and the rights stay the owner's.
type account struct {
	owner Actor
	now   ledger
	moved *ledger // what of it goes on under another dot as well, or nil
}

// stands reports whether the entry holds something that no other dot does.
func (a *account) stands() bool { return a.moved == nil || !a.moved.equal(a.now) }

func (l ledger) append(b []byte) []byte {
	b = binary.AppendUvarint(b, l.up)
	b = binary.AppendUvarint(b, l.down)
	b = binary.AppendUvarint(b, l.share)
	b = binary.AppendUvarint(b, uint64(len(l.out)))
	for _, g := range l.out {
		b = binary.BigEndian.AppendUint64(b, uint64(g.to))
		b = binary.AppendUvarint(b, g.total)
	}
	return b
}

func (a *account) encode() []byte {
	b := a.now.append(binary.BigEndian.AppendUint64(nil, uint64(a.owner)))
	if a.moved != nil {
		b = a.moved.append(b)
	}
	return b
}

func (r *reader) ledger() ledger {
	l := ledger{up: r.uvarint("total"), down: r.uvarint("total"), share: r.uvarint("share of the bound")}
	n := r.count("number of transfers", 9, math.MaxInt32)
	for i := range n {
		l.out = append(l.out, grant{Actor(r.fixed64("actor")), r.uvarint("total of a transfer")})
		switch {
		case r.err != nil:
			return ledger{}
		case l.out[i].total == 0:
			r.fail("transfer of nothing")
		case i > 0 && l.out[i].to <= l.out[i-1].to:
			r.fail("transfers are not in order")
		}
	}
	if l.share > l.up {
		r.fail("more was paid for the bound than there was")
	}
	return l
}

func decodeAccount(payload []byte) (account, error) {
	r := reader{b: payload}
	a := account{owner: Actor(r.fixed64("owner")), now: r.ledger()}
	if r.left() > 0 {
		moved := r.ledger()
		if a.moved = &moved; r.err == nil && !a.now.max(moved).equal(a.now) {
			r.fail("more goes on elsewhere than there is")
		}
	}
	return a, r.done("account of a bcounter")
}

func checkAccount(payload []byte) error {
	_, err := decodeAccount(payload)
	return err
}

// mustAccount decodes a payload that was checked when it came in.
func mustAccount(payload []byte) account {
	a, err := decodeAccount(payload)
	if err != nil {
		panic(fmt.Sprintf("crdt: unchecked account: %v", err))
	}
	return a
}

func joinAccounts(mine, theirs []byte) []byte {
	a, b := mustAccount(mine), mustAccount(theirs)
	joined := account{max(a.owner, b.owner), a.now.max(b.now), a.moved}
	if a.moved != nil && b.moved != nil {
		moved := a.moved.max(*b.moved)
		joined.moved = &moved
	} else if a.moved == nil {
		joined.moved = b.moved
	}
	return joined.encode()
}

// carryAccount leaves the account where it is and says that all of it goes on
// elsewhere too. Nothing is counted twice, for the views of a ledger are joined
// wherever they stand; should more of it turn up late, that counts as well.
func carryAccount(payload []byte) (left, carried []byte) {
	a := mustAccount(payload)
	fresh := account{owner: a.owner, now: a.now}
	a.moved = &fresh.now
	return a.encode(), fresh.encode()
}

// books are the ledgers of a bcounter, by actor.
type books map[Actor]ledger

func booksOf(c Cell) books {
	b := make(books, len(c))
	for _, e := range c {
		a := mustAccount(e.Payload)
		b[a.owner] = b[a.owner].max(a.now)
	}
	return b
}

func (b books) value() (w wide) {
	for _, l := range b {
		w.add(l.up)
		w.sub(l.down)
	}
	return w
}

// bound is the greatest that was paid for.
func (b books) bound() (n uint64) {
	for _, l := range b {
		n = max(n, l.share)
	}
	return n
}

// rights are those of every actor that has a ledger or was given any.
func (b books) rights() map[Actor]wide {
	out := make(map[Actor]wide, len(b))
	for a, l := range b {
		w := out[a]
		w.add(l.up)
		w.sub(l.down)
		w.sub(l.share)
		for _, g := range l.out {
			w.sub(g.total)
		}
		out[a] = w
		for _, g := range l.out {
			in := out[g.to]
			in.add(g.total)
			out[g.to] = in
		}
	}
	return out
}

// given is how many rights an actor ever had from others.
func (b books) given(to Actor) (n uint64) {
	for a, l := range b {
		if a != to {
			n += l.gave(to)
		}
	}
	return n
}

// gave is how many rights the ledger gives to an actor: to its own, what it
// has had from others and has asked for.
func (l ledger) gave(to Actor) uint64 {
	i, found := slices.BinarySearchFunc(l.out, to, func(g grant, a Actor) int { return cmp.Compare(g.to, a) })
	if !found {
		return 0
	}
	return l.out[i].total
}

// Share is an actor's rights in a bcounter, and how many more it asks for.
type Share struct {
	Rights
	Asks uint64
}

// Shares lists the rights in a bcounter's cell, in order of the actors.
func Shares(c Cell) []Share {
	b := booksOf(c)
	var out []Share
	for _, r := range sortedRights(b.rights()) {
		s := Share{Rights: r}
		if asked, given := b[r.Actor].gave(r.Actor), b.given(r.Actor); asked > given {
			s.Asks = asked - given
		}
		out = append(out, s)
	}
	return out
}

// restsOn returns the entries without which an actor's account could look
// overdrawn: its own, those that paid for the bound, and of every actor whose
// rights came to one of these.
func restsOn(c Cell, owner Actor) Cell {
	b := booksOf(c)
	need := map[Actor]bool{owner: true}
	for a, l := range b {
		if l.share > 0 {
			need[a] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for a, l := range b {
			if !need[a] && slices.ContainsFunc(l.out, func(g grant) bool { return need[g.to] }) {
				need[a], grown = true, true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(c), func(e Entry) bool { return !need[mustAccount(e.Payload).owner] })
}

// wide is a sum of totals, in two's complement, that no number of them can wrap.
type wide struct{ high, low uint64 }

func (w *wide) add(n uint64) {
	var carry uint64
	w.low, carry = bits.Add64(w.low, n, 0)
	w.high += carry
}

func (w *wide) sub(n uint64) {
	var borrow uint64
	w.low, borrow = bits.Sub64(w.low, n, 0)
	w.high -= borrow
}

func (w *wide) plus(o wide) {
	w.high += o.high
	w.add(o.low)
}

func (w wide) negative() bool { return int64(w.high) < 0 }

// int64 returns the sum, or the nearest int64 and true where it lies outside.
func (w wide) int64() (n int64, over bool) {
	switch {
	case w.high == 0 && w.low <= math.MaxInt64, w.high == math.MaxUint64 && w.low > math.MaxInt64:
		return int64(w.low), false
	case w.negative():
		return math.MinInt64, true
	}
	return math.MaxInt64, true
}

// sorted lists rights in order of their actors.
func sortedRights(rights map[Actor]wide) []Rights {
	out := make([]Rights, 0, len(rights))
	for _, a := range slices.Sorted(maps.Keys(rights)) {
		n, _ := rights[a].int64()
		out = append(out, Rights{a, n})
	}
	return out
}
