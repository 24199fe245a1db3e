package crdt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// modelNode is a replica as a node keeps it: cells, clock, residue, the event
// log, and a transfer that may be under way.
type modelNode struct {
	actor    Actor
	minted   uint64
	issued   Stamp
	wall     Stamp
	rep      Replica
	mem      Memory
	log      []*Delta
	incoming *Snapshot // of the transfer under way
	joined   map[KeyID]bool
	standIn  bool
}

// oldCopy is a replica as it once was: a backup, or a directory that was cloned.
type oldCopy struct {
	state []byte
	log   []*Delta
}

// saved is what some client has read, once, somewhere.
type saved struct {
	key  KeyID
	ctx  []byte
	seen observed
}

// world is one random history.
type world struct {
	r        *rand.Rand
	seed     uint64
	nodes    []*modelNode
	actors   Actor
	closed   map[Actor]bool
	wire     [][]byte // messages under way; each may arrive late, twice or never
	contexts []saved
	copies   []oldCopy
	oracle   judge
	kinds    []Kind // that keys may be of
	mainKind map[KeyID]Kind
	how      string // how replicas hear of each other: events, log, joins or all
	trace    []string
}

// judge picks what clients do and says what must come of it.
type judge interface {
	operation(w *world, key KeyID) Op
	// nothing judges an operation that made no event.
	nothing(op *Op, have []Kind, here, seen observed, key KeyID) error
	// minted is told of an event: the operation, what its client saw, and the
	// event's payloads.
	minted(op *Op, d *Delta, have []Kind, here, seen observed, key KeyID) error
	reminted(d *Delta, here observed)
	judge(mem *Memory, clock *Clock, counted map[string]int) error
}

// refuser is a judge of operations that were refused.
type refuser interface {
	refused(op *Op, actor Actor, here observed, err error) error
}

func modelKeys() []KeyID { return []KeyID{{"b", "k0"}, {"b", "k1"}, {"b", "k2"}} }

// newWorld is of the plainest kinds; TestOracle has the others.
func newWorld(seed uint64) *world {
	return newWorldOf(seed, []Kind{Register, MVRegister, Counter, Set}, newOracle())
}

func newWorldOf(seed uint64, kinds []Kind, oracle judge) *world {
	w := &world{
		r: rand.New(rand.NewPCG(seed, 1)), seed: seed, closed: map[Actor]bool{},
		oracle: oracle, kinds: kinds, mainKind: map[KeyID]Kind{},
	}
	for _, k := range modelKeys() {
		w.mainKind[k] = pick(w.r, kinds)
	}
	w.how = pick(w.r, []string{"events", "log", "joins", "all", "all", "all"})
	for range 2 + w.r.IntN(4) {
		w.nodes = append(w.nodes, w.newNode())
	}
	return w
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (w *world) newNode() *modelNode {
	w.actors++
	// Actors are random numbers in life: their order is not that of their birth.
	return &modelNode{actor: w.actors * 7919 % 1009, wall: Stamp(w.r.IntN(50))}
}

func (w *world) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) node() (int, *modelNode) {
	i := w.r.IntN(len(w.nodes))
	return i, w.nodes[i]
}

// operation picks an operation for a key that mostly keeps to one kind.
func (*oracle) operation(w *world, key KeyID) Op {
	kind := w.mainKind[key]
	if w.r.IntN(10) == 0 {
		kind = pick(w.r, w.kinds)
	}
	op := Op{Kind: kind}
	if w.r.IntN(10) == 0 {
		op.Code, op.Kind = OpDelete, pick(w.r, []Kind{NoKind, kind})
		return op
	}
	if kind == Register || kind == MVRegister {
		op.Code, op.Value = OpAssign, fmt.Appendf(nil, "v%d", w.r.IntN(1000))
	}
	if kind == Counter {
		if op.Code, op.N = OpAdd, int64(w.r.IntN(12)-3); w.r.IntN(4) == 0 {
			op.Code = OpReset
		}
	}
	if kind == Set {
		if op.Code = OpInsert; w.r.IntN(3) == 0 {
			op.Code = OpRemove
		}
		for range 1 + w.r.IntN(3) {
			op.Elements = append(op.Elements, pick(w.r, []string{"x", "y", "z\x00"}))
		}
	}
	return op
}

// mutate is one operation of a client, with a context or without.
func (w *world) mutate() error {
	_, n := w.node()
	key := pick(w.r, modelKeys())
	op := w.oracle.operation(w, key)
	cells := cellsOf(&n.mem, key)
	here := observe(cells)
	seen := here
	if len(w.contexts) > 0 && w.r.IntN(3) == 0 {
		if s := pick(w.r, w.contexts); s.key == key {
			ctx, err := DecodeContext(s.ctx)
			if err != nil {
				return err
			}
			op.Context, seen = ctx, s.seen
		}
	}
	n.wall += Stamp(w.r.IntN(3))
	stamp := func(seen Stamp) Stamp {
		n.issued = NextStamp(n.wall, n.issued, seen)
		return n.issued
	}
	stored := n.mem.Kinds(key)
	have, err := Present(&n.mem, key, stored)
	if err != nil {
		return err
	}
	dot := Dot{n.actor, n.minted + 1}
	d, res, err := n.rep.Mutate(&n.mem, key, stored, &op, dot, stamp)
	var wrong *KindError
	if errors.As(err, &wrong) || errors.Is(err, ErrNoContext) {
		return nil
	}
	if r, ok := w.oracle.(refuser); ok && err != nil {
		return r.refused(&op, n.actor, here, err)
	}
	if err != nil {
		return err
	}
	if d == nil {
		return w.oracle.nothing(&op, have, here, seen, key)
	}
	if err := w.oracle.minted(&op, d, have, here, seen, key); err != nil {
		return err
	}
	if op.Code == OpAdd && op.Kind == Counter && op.Now == 0 {
		if before := ReadValue(Counter, cellsOf(&n.mem, key, Counter)).Int; res.Total != before+op.N {
			return fmt.Errorf("total %d after %d and %d", res.Total, before, op.N)
		}
	}
	w.say("%s at %s: op %d n=%d on %s/%s context=%v %v", dot, n.actor, op.Code, op.N, key.Key, op.Kind, op.Context != nil, d.Changes)
	return w.commit(n, d)
}

// nothing checks that an operation without effect had nothing to act on.
func (*oracle) nothing(op *Op, have []Kind, here, seen observed, _ KeyID) error {
	if op.Code != OpDelete && op.Code != OpReset && op.Code != OpRemove {
		return fmt.Errorf("operation %d did nothing", op.Code)
	}
	for id, c := range seen {
		named := op.Kind == NoKind || op.Kind == id.Kind
		if op.Code == OpDelete && (named && id.Kind != Counter || slices.Contains(have, id.Kind) && PresentCell(id, c)) {
			return fmt.Errorf("a delete of %v did nothing", id)
		}
		if op.Code == OpRemove && id.Kind == Set && slices.ContainsFunc(op.Elements, func(e string) bool { return PathOf(e) == id.Path }) {
			return fmt.Errorf("a remove of %v did nothing", id)
		}
	}
	for id, c := range here {
		if op.Code == OpReset && id.Kind == Counter && PresentCell(id, c) {
			return fmt.Errorf("a reset of %v did nothing", id)
		}
	}
	return nil
}

// commit applies an own event, logs it and puts it on the wire.
func (w *world) commit(n *modelNode, d *Delta) error {
	n.minted++
	if fresh, err := n.rep.Apply(&n.mem, d); err != nil || !fresh {
		return fmt.Errorf("own event %d of %s: fresh %v, error %w", d.Lo, n.actor, fresh, err)
	}
	n.log = append(n.log, d.LogEntry())
	w.wire = append(w.wire, AppendDelta(nil, d))
	return nil
}

// readContext is a client that reads a key and keeps what it is given.
func (w *world) readContext() error {
	_, n := w.node()
	key := pick(w.r, modelKeys())
	cells := cellsOf(&n.mem, key)
	ctx := ObservedContext(cells, &n.rep.Clock)
	if w.r.IntN(4) == 0 { // as of a key with more dots than a context names
		ctx = clockContext(cells, &n.rep.Clock)
	}
	seen := observed{}
	for _, cs := range cells {
		for _, e := range cs.Live {
			_, named := slices.BinarySearchFunc(ctx.Dots, e.Dot, Dot.Compare)
			switch {
			case named || ctx.Clock.Contains(e.Dot):
				seen[cs.ID] = append(seen[cs.ID], e)
			case !cs.ID.Kind.shares() || n.rep.Clock.Contains(e.Dot):
				return fmt.Errorf("the context of %v leaves %s out", cs.ID, e.Dot)
			}
		}
	}
	w.contexts = append(w.contexts, saved{key, AppendContext(nil, &ctx), seen})
	return nil
}

// stepper is a judge of histories in which more happens.
type stepper interface {
	// act may take a step itself, and reports whether it did.
	act(w *world) (bool, error)
	// finish is called when all replicas are equal, and leaves them equal.
	finish(w *world) error
}

// step is one thing that happens.
func (w *world) step() error {
	if s, ok := w.oracle.(stepper); ok {
		if acted, err := s.act(w); acted || err != nil {
			return err
		}
	}
	p := w.r.IntN(100)
	switch {
	case p < 34:
		return w.mutate()
	case p < 41:
		return w.readContext()
	case p < 76:
		return w.exchange()
	case p < 88:
		return w.transfer()
	case p < 91:
		return w.trim()
	case p < 93:
		return w.keepCopy()
	case p < 98:
		return w.upheaval()
	default:
		return w.closeActors()
	}
}

// exchange is replicas hearing of each other while nothing is wrong.
func (w *world) exchange() error {
	how := w.how
	if how == "all" {
		how = pick(w.r, []string{"events", "log", "joins"})
	}
	_, to := w.node()
	_, from := w.node()
	switch {
	case how == "events" && len(w.wire) > 0:
		return w.receive(to, pick(w.r, w.wire))
	case how == "log" && w.r.IntN(3) == 0:
		return w.pull(to, from)
	case how == "log":
		return w.ship(from)
	case how == "joins" && w.r.IntN(12) == 0:
		return w.join(to, from)
	case how == "joins":
		return w.repairKey(to)
	}
	return nil
}
