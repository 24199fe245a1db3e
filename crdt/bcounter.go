package crdt

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A bcounter never goes below its bound, whatever is done at once anywhere. It
// is one cell with an entry per actor, its account: what the actor has added,
// taken away and given to others. Adding n earns the actor n rights, taking n
// away costs it n, and nobody can spend the rights of another; so what every
// actor checks for itself holds for the sum. Rights belong to an actor, not to
// a datacenter: two coordinators of one cannot overspend. They move by
// transfer, and a transfer is the giver's deed alone.
//
// The bound is paid by the first write: it must add the bound at least, and
// that share earns no rights. So there is no moment at which the counter owes
// its bound, which another actor could not know of. Two that create it at the
// same time both pay; the value then stays above both shares together.
//
// Part of the events can never show what all of them do not: an event carries
// the accounts that the actor's rights rest on, see restsOn, so that also a
// replica which has yet to see where the rights came from never shows a value
// below the bound, nor an account that is overdrawn.
//
// There is no delete, no reset and no expiry, and a map or a key that holds a
// bcounter is not deleted either (ErrPermanent). Taking back what was observed
// would take back additions whose rights may be spent at this moment elsewhere,
// and the value would fall below the bound, or below zero. It would be safe only
// where the one who deletes holds every right that any event may have made.
//
// An actor that runs low asks for rights, for all to see, and the one that has
// the most gives some of its own: see OpAsk.
//
// The rights of an actor that is gone stay its own, and are lost to all; why,
// and how they could be had back, is docs/decisions/0004-rights-after-a-restart.md.
// A replica that is to be closed gives its rights away first, which is safe
// at any time. The value is right all the same.
//
// Source: Balegas, Serra, Duarte, Ferreira, Rodrigues, Preguiça, Shapiro,
// Najafzadeh, "Extending Eventually Consistent Cloud Databases for Enforcing
// Numeric Invariants" (SRDS 2015).
var bcounterRow = kindRow{
	name:   "bcounter",
	join:   joinAccounts,
	carry:  carryAccount,
	spares: func([]byte) bool { return true },
	rests: func(c Cell, e Entry) Cell {
		return restsOn(c, mustAccount(e.Payload).owner)
	},
	check: checkAccount,
	present: func(c Cell) bool {
		return slices.ContainsFunc(c, func(e Entry) bool {
			a := mustAccount(e.Payload)
			return a.stands()
		})
	},
	mutate: map[OpCode]func(m *mutation) error{
		OpAdd:      (*mutation).addBounded,
		OpTransfer: (*mutation).transfer,
		OpAsk:      (*mutation).ask,
		OpDelete:   (*mutation).refuseDelete,
	},
	read: readBCounter,
}

// Errors of a bcounter. Test with errors.Is; RightsError is a type of its own.
var (
	// ErrNoRights reports a decrement or a transfer for which an actor has too
	// few rights. It is a *RightsError.
	ErrNoRights = errors.New("not enough rights")
	// ErrSelfTransfer reports a transfer of rights to the actor that has them.
	ErrSelfTransfer = errors.New("rights cannot be transferred to the replica that holds them")
	// ErrTransfer reports a transfer of no rights, or to nobody.
	ErrTransfer = errors.New("impossible transfer")
	// ErrBound reports a bound that cannot be: negative, not the counter's own,
	// or more than its first increment.
	ErrBound = errors.New("impossible bound")
	// ErrPermanent reports a removal, or an expiry, of what cannot be removed,
	// because its rights may be in use elsewhere.
	ErrPermanent = errors.New("a bcounter cannot be removed")
)

// RightsError reports a decrement or a transfer for which an actor has too few
// rights. The other amounts are as the actor's replica knows them.
type RightsError struct {
	Actor     Actor
	Need      uint64
	Have      int64 // at this actor
	Elsewhere int64 // at all others together
}

func (e *RightsError) Error() string {
	return fmt.Sprintf("%s: %d are needed, replica %s has %d, others have %d: transfer some of theirs, or write there",
		ErrNoRights, e.Need, e.Actor, e.Have, e.Elsewhere)
}

// Unwrap makes a RightsError an ErrNoRights.
func (e *RightsError) Unwrap() error { return ErrNoRights }

// account loads the counter and this actor's ledger of it.
func (m *mutation) account() (live Cell, all books, own ledger, err error) {
	if m.op.Context != nil {
		return nil, nil, ledger{}, ErrNoContext
	}
	if live, err = m.load(""); err != nil {
		return nil, nil, ledger{}, err
	}
	all = booksOf(live)
	return live, all, all[m.dot.Actor], nil
}

// addBounded is an increment by n, or a decrement for which there are rights.
func (m *mutation) addBounded() error {
	live, all, own, err := m.account()
	if err != nil {
		return err
	}
	n := m.op.N
	if n < 0 {
		if err := m.spend(all, -uint64(n)); err != nil {
			return err
		}
		own.down += -uint64(n)
	} else {
		value := all.value()
		value.add(uint64(n))
		if _, over := value.int64(); over || own.up > math.MaxUint64-uint64(n) {
			return fmt.Errorf("%w: add %d", ErrOverflow, n)
		}
		own.up += uint64(n)
	}
	if own.share, err = m.share(all); err != nil {
		return err
	}
	return m.book(live, own)
}

// share is what this actor has paid for the bound once the operation is done.
func (m *mutation) share(all books) (uint64, error) {
	bound := m.op.Bound
	switch have := all.bound(); {
	case bound < 0:
		return 0, fmt.Errorf("%w: %d is negative", ErrBound, bound)
	case len(all) > 0 && bound != 0 && uint64(bound) != have:
		return 0, fmt.Errorf("%w: the counter has the bound %d, and keeps it: %d refused", ErrBound, have, bound)
	case len(all) == 0 && m.op.N < bound:
		return 0, fmt.Errorf("%w: a counter of bound %d begins with an increment of as much: %d refused", ErrBound, bound, m.op.N)
	case len(all) == 0:
		return uint64(bound), nil
	}
	return all[m.dot.Actor].share, nil
}

// spend refuses an operation that costs more rights than this actor has.
func (m *mutation) spend(all books, n uint64) error {
	rights := all.rights()
	left := rights[m.dot.Actor]
	if left.sub(n); !left.negative() {
		return nil
	}
	var others wide
	for a, w := range rights {
		if a != m.dot.Actor {
			others.plus(w)
		}
	}
	e := &RightsError{Actor: m.dot.Actor, Need: n}
	e.Have, _ = rights[m.dot.Actor].int64()
	e.Elsewhere, _ = others.int64()
	return e
}

// transfer gives rights of this actor to another.
func (m *mutation) transfer() error {
	live, all, own, err := m.account()
	switch {
	case err != nil:
		return err
	case m.op.N <= 0:
		return fmt.Errorf("%w: %d rights, at least one is moved", ErrTransfer, m.op.N)
	case m.op.To == 0:
		return fmt.Errorf("%w: to no replica", ErrTransfer)
	case m.op.To == m.dot.Actor:
		return fmt.Errorf("%w: %s", ErrSelfTransfer, m.op.To)
	}
	if err := m.spend(all, uint64(m.op.N)); err != nil {
		return err
	}
	if own.share, err = m.share(all); err != nil {
		return err
	}
	if own, err = own.give(m.op.To, uint64(m.op.N)); err != nil {
		return err
	}
	return m.book(live, own)
}

// ask says how many rights the actor would have, in its own ledger: what an
// actor gives to itself changes nobody's rights, and is the sum of all that it
// was given and has asked for. So an ask is answered by any transfer, it does
// not add up, and the actor that asks is one that was open when it did.
func (m *mutation) ask() error {
	live, all, own, err := m.account()
	switch {
	case err != nil:
		return err
	case m.op.N <= 0:
		return fmt.Errorf("%w: %d rights are asked for, one is the least", ErrTransfer, m.op.N)
	case len(live) == 0:
		return nil
	}
	want := all.given(m.dot.Actor)
	if want > math.MaxUint64-uint64(m.op.N) {
		return fmt.Errorf("%w: rights given to %s", ErrOverflow, m.dot.Actor)
	}
	if want += uint64(m.op.N); want <= own.gave(m.dot.Actor) {
		return nil
	}
	if own.share, err = m.share(all); err != nil {
		return err
	}
	if own, err = own.give(m.dot.Actor, want-own.gave(m.dot.Actor)); err != nil {
		return err
	}
	return m.book(live, own)
}

// book puts this actor's ledger and what it rests on. The actor goes on with
// the entry that it has.
func (m *mutation) book(live Cell, own ledger) error {
	at, entry := m.dot, account{owner: m.dot.Actor}
	for _, e := range live {
		if a := mustAccount(e.Payload); e.Dot.Actor == m.dot.Actor && a.owner == m.dot.Actor {
			at, entry = e.Dot, a
			break
		}
	}
	entry.now = own
	without := slices.DeleteFunc(slices.Clone(live), func(e Entry) bool { return e.Dot == at })
	after := without.with(Entry{at, entry.encode()})
	m.result.Changed++
	m.result.Total, _ = booksOf(after).value().int64()
	m.changes = append(m.changes, Change{ID: m.id(""), Puts: restsOn(slices.Clone(after), m.dot.Actor)})
	return nil
}

// refuseDelete deletes nothing, which only what is not there allows.
func (m *mutation) refuseDelete() error {
	live, err := m.load("")
	if err == nil && len(live) > 0 {
		err = ErrPermanent
	}
	return err
}

func readBCounter(v *Value, cells []CellState) {
	for _, cs := range cells {
		all := booksOf(cs.Live)
		v.Int, v.Saturated = all.value().int64()
		v.Rights = sortedRights(all.rights())
		bound := wide{low: all.bound()}
		v.Bound, _ = bound.int64()
	}
}
