package crdt

import (
	"errors"
	"fmt"
	"slices"
)

// OpCode says what an operation does.
type OpCode uint8

// The operations.
const (
	OpAssign   OpCode = iota + 1 // register, mvregister: Value
	OpDelete                     // every kind: removes what it observes
	OpAdd                        // counter: N
	OpReset                      // counter: back to zero, less what it did not observe
	OpInsert                     // set: Elements
	OpRemove                     // set: Elements
	OpUpdate                     // map: Fields
	OpDiscard                    // map: Names
	OpSwitch                     // flag, dwflag: On
	OpScore                      // zset: Members take these scores
	OpBump                       // zset: the scores of Members grow by these
	OpObserve                    // hll: Elements
	OpTransfer                   // bcounter: N rights to the actor To
	OpKeep                       // every kind but Kind is deleted
	OpExpire                     // every kind: At
	OpSweep                      // every kind: removes what has expired, and nothing else
	OpAsk                        // bcounter: asks all others for N rights
)

// Op is one typed operation on one key.
type Op struct {
	Code OpCode
	// Kind is the kind the operation is meant for; NoKind leaves it to the key,
	// then to Default.
	Kind     Kind
	Default  Kind   // the bucket's kind, used where it fits the operation
	Allowed  []Kind // the kinds that the key may take; all, when empty
	Value    []byte
	Elements []string
	N        int64
	Fields   []FieldOp
	Names    []FieldName
	On       bool
	Members  []Member
	To       Actor
	Bound    int64 // of a bcounter, when it is created
	At       int64 // when the key expires, in milliseconds since 1970: 0 is never, or no word of it in a write
	KeepTTL  bool  // a write leaves the expiry as it is, where there is one
	Now      int64 // milliseconds since 1970; a key that expired by then is absent. 0 does not look
	// Context, when not nil, is what the client observed.
	Context *Context
}

// FieldOp is an operation on one field of a map.
type FieldOp struct {
	Name string
	Op   Op
}

// FieldName names a field of a map; with NoKind, those of every kind.
type FieldName struct {
	Name string
	Kind Kind
}

// Member is a member of a zset with its score, a finite number.
type Member struct {
	Member string
	Score  float64
}

// Errors of operations. Test with errors.Is; KindError is a type of its own.
var (
	// ErrOverflow reports a counter that would leave the range of int64, or a
	// score that would leave that of float64.
	ErrOverflow = errors.New("number would leave its range")
	// ErrNotAllowed reports a kind that the key may not take.
	ErrNotAllowed = errors.New("kind is not allowed here")
	// ErrNoContext reports a context given to an operation that takes none.
	ErrNoContext = errors.New("operation takes no context")
)

// KindError reports an operation on a key that holds other kinds.
type KindError struct{ Have, Want Kind }

func (e *KindError) Error() string {
	if e.Have == NoKind {
		return fmt.Sprintf("operation does not apply to kind %s", e.Want)
	}
	return fmt.Sprintf("key holds a %s, not a %s", e.Have, e.Want)
}

// Result is what an operation tells its caller.
type Result struct {
	Kind    Kind
	Changed int     // elements added or removed; 1 or 0 for other kinds
	Total   int64   // of a counter, after the operation, as this replica holds it
	Score   float64 // of the last member of a zset that the operation named
}

// mutation is one operation on its way to becoming an event (rule 1).
type mutation struct {
	replica *Replica
	cells   Cells
	key     KeyID
	root    Kind   // of the key
	base    string // the way to the field that is being changed; empty outside maps
	kind    Kind   // of the field, or of the key
	op      *Op
	dot     Dot
	stamp   func(seen Stamp) Stamp
	changes []Change
	result  Result
}

// Mutate is the first half of rule 1: it reads the cells that op touches and
// returns the event that op becomes, with dot as its name. It changes nothing;
// the caller applies the event. It returns a nil Delta when there is nothing
// to change. present lists the kinds of which the key has cells and, where they
// are collections, elements (PresentCell). stamp issues a stamp greater than the
// one seen.
func (r *Replica) Mutate(cells Cells, key KeyID, present []Kind, op *Op, dot Dot, stamp func(seen Stamp) Stamp) (*Delta, Result, error) {
	m := &mutation{replica: r, cells: cells, key: key, op: op, dot: dot, stamp: stamp}
	if err := m.perform(present); err != nil {
		return nil, Result{}, err
	}
	if len(m.changes) == 0 {
		return nil, m.result, nil
	}
	if len(m.changes) > 1 {
		slices.SortFunc(m.changes, func(a, b Change) int { return a.ID.compare(&b.ID) })
	}
	return &Delta{Actor: dot.Actor, Lo: dot.Seq, Hi: dot.Seq, Changes: m.changes}, m.result, nil
}

// carryOut does what the operation is for, to a key that exists as these kinds.
func (m *mutation) carryOut(have []Kind) error {
	todo, err := m.resolve(have)
	if err != nil {
		return err
	}
	for _, m.kind = range todo {
		m.root = m.kind
		fn := m.kind.row().mutate[m.op.Code]
		if fn == nil {
			return &KindError{Want: m.kind}
		}
		m.result.Kind = m.kind
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// resolve decides which kinds the operation is for: a delete that names none
// is for all that the key holds, every other operation for one.
func (m *mutation) resolve(have []Kind) ([]Kind, error) {
	if m.op.Code == OpDelete {
		return m.resolveDelete(have)
	}
	if m.op.Code == OpKeep {
		return m.resolveKeep(have)
	}
	want := m.op.Kind
	if want == NoKind {
		want = m.impliedKind(have)
	}
	if len(have) > 0 && !slices.Contains(have, want) {
		return nil, &KindError{Have: have[0], Want: want}
	}
	if len(m.op.Allowed) > 0 && !slices.Contains(m.op.Allowed, want) {
		return nil, fmt.Errorf("%w: %s (allowed: %v)", ErrNotAllowed, want, m.op.Allowed)
	}
	return []Kind{want}, nil
}

// resolveDelete leaves it to the key unless a kind is named. It adds, where a client says what it observed, every kind that
// takes a context: this replica may have yet to see what the client saw.
func (m *mutation) resolveDelete(have []Kind) ([]Kind, error) {
	if m.op.Kind != NoKind {
		if len(have) > 0 && !slices.Contains(have, m.op.Kind) {
			return nil, &KindError{Have: have[0], Want: m.op.Kind}
		}
		return []Kind{m.op.Kind}, nil
	}
	if m.op.Context == nil {
		return have, nil
	}
	all := have
	for k := NoKind + 1; k < kindEnd; k++ {
		if row := k.row(); row.mutate[OpDelete] != nil && (row.join == nil || row.collection) && !slices.Contains(have, k) {
			all = append(all, k)
		}
	}
	return all, nil
}

// resolveKeep ends a conflict of kinds: every kind but the one to be kept is
// deleted as far as it is observed.
func (m *mutation) resolveKeep(have []Kind) ([]Kind, error) {
	if i := slices.Index(have, m.op.Kind); i >= 0 {
		others := slices.Delete(slices.Clone(have), i, i+1)
		op := *m.op
		op.Code, op.Kind = OpDelete, NoKind
		m.op = &op
		return others, nil
	}
	if len(have) == 0 {
		return nil, nil
	}
	return nil, &KindError{Have: have[0], Want: m.op.Kind}
}

// impliedKind is the kind of an operation that names none: the key's own if it
// takes the operation, else the bucket's, else the first that takes it.
func (m *mutation) impliedKind(have []Kind) Kind {
	takes := func(k Kind) bool { return k.row().mutate[m.op.Code] != nil }
	if i := slices.IndexFunc(have, takes); i >= 0 {
		return have[i]
	}
	if takes(m.op.Default) {
		return m.op.Default
	}
	for k := NoKind + 1; k < kindEnd; k++ {
		if takes(k) {
			return k
		}
	}
	return NoKind
}

// Present returns those of the kinds of which a key has cells that make the
// key exist: a counter whose every run was deleted does not. Of a collection
// that is for the caller to know, who need not look at every cell for it.
func Present(cells Cells, key KeyID, stored []Kind) ([]Kind, error) {
	out := stored[:0:0]
	for i, k := range stored {
		if row := k.row(); row.present != nil && !row.collection {
			c, err := cells.Load(CellID{KeyID: key, Kind: k})
			if err != nil {
				return nil, err
			}
			if !row.present(c) {
				continue
			}
		}
		if len(out) == i {
			out = stored[: i+1 : i+1] // all of them so far
		} else {
			out = append(out, k)
		}
	}
	return out, nil
}

func (m *mutation) id(path string) CellID { return CellID{m.key, m.root, m.base + path} }

func (m *mutation) load(path string) (Cell, error) { return m.cells.Load(m.id(path)) }

// observed adds to ch what the operation supersedes: what the client says it
// saw, else what is live here.
func (m *mutation) observed(ch *Change, live Cell) {
	if m.op.Context == nil {
		ch.Removes = live.Dots()
		return
	}
	ch.Removes = slices.Clone(m.op.Context.Dots)
	ch.Below = m.op.Context.Clock.Clone()
}
