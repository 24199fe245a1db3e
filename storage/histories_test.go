package storage

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/godwitdb/godwit/crdt"
)

// history is random work of several replicas of one partition. Each replica is
// held against its own model, and all of them, once healed, against a replica
// that saw every event in the order of its minting.
type history struct {
	t      *testing.T
	rnd    *rand.Rand
	wall   *testWall
	pairs  []*pair
	oracle model
	flight [][]byte // events on their way, each for anybody
	keys   []crdt.KeyID
	seen   []*crdt.Context
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), wall: newWall()}
	for i := range 3 {
		h.pairs = append(h.pairs, newPair(t, fmt.Sprintf("n%d", i), h.wall))
	}
	h.keys = keysOf(testID.Partition, "b", "k", 7)
	return h
}

func (h *history) any() *pair { return h.pairs[h.rnd.IntN(len(h.pairs))] }

func (h *history) two() (a, b *pair) {
	i := h.rnd.IntN(len(h.pairs))
	return h.pairs[i], h.pairs[(i+1+h.rnd.IntN(len(h.pairs)-1))%len(h.pairs)]
}

// operation draws a key and what to do with it. The kind of a key is the same
// in all replicas but for the second register, which is created under two.
func (h *history) operation() (crdt.KeyID, *crdt.Op) {
	n := h.rnd.IntN(len(h.keys))
	kind := []crdt.Kind{crdt.Register, crdt.MVRegister, crdt.Counter, crdt.Set, crdt.Register, crdt.ZSet, crdt.Map}[n]
	if n == 4 && h.rnd.IntN(2) == 0 {
		kind = crdt.Set
	}
	op := &crdt.Op{Kind: kind}
	elements := func() (es []string) {
		for range 1 + h.rnd.IntN(3) {
			es = append(es, fmt.Sprintf("e\x00%d", h.rnd.IntN(6)))
		}
		return es
	}
	switch {
	case h.rnd.IntN(6) == 0:
		op.Code, op.Kind = crdt.OpDelete, crdt.NoKind
	case kind == crdt.Counter && h.rnd.IntN(5) == 0:
		op.Code = crdt.OpReset
	case kind == crdt.Counter:
		op.Code, op.N = crdt.OpAdd, int64(h.rnd.IntN(9)-3)
	case kind == crdt.ZSet:
		h.scores(op)
	case kind == crdt.Map:
		h.fields(op)
	case kind == crdt.Set && h.rnd.IntN(3) == 0:
		op.Code, op.Elements = crdt.OpRemove, elements()
	case kind == crdt.Set:
		op.Code, op.Elements = crdt.OpInsert, elements()
	default:
		op.Code, op.Value = crdt.OpAssign, fmt.Appendf(nil, "v%d", h.rnd.IntN(1000))
	}
	h.expire(op)
	if n != 2 && len(h.seen) > 0 && h.rnd.IntN(3) == 0 {
		op.Context = h.seen[h.rnd.IntN(len(h.seen))]
	}
	return h.keys[n], op
}

// scores draws what to do with a zset.
func (h *history) scores(op *crdt.Op) {
	member := crdt.Member{Member: fmt.Sprintf("m\x00%d", h.rnd.IntN(5)), Score: float64(h.rnd.IntN(12) - 4)}
	switch n := h.rnd.IntN(10); {
	case n < 4:
		op.Code, op.Members = crdt.OpScore, []crdt.Member{member}
	case n < 8:
		op.Code, op.Members = crdt.OpBump, []crdt.Member{member}
	default:
		op.Code, op.Elements = crdt.OpRemove, []string{member.Member}
	}
}

// fields draws what to do with a map of registers, some of them in maps within.
func (h *history) fields(op *crdt.Op) {
	name := fmt.Sprintf("f\x00%d", h.rnd.IntN(3))
	if h.rnd.IntN(5) == 0 {
		op.Code, op.Names = crdt.OpDiscard, []crdt.FieldName{{Name: name}}
		return
	}
	kind := []crdt.Kind{crdt.Register, crdt.MVRegister}[h.rnd.IntN(2)]
	op.Code = crdt.OpUpdate
	op.Fields = []crdt.FieldOp{{Name: name, Op: crdt.Op{Code: crdt.OpAssign, Kind: kind, Value: fmt.Appendf(nil, "v%d", h.rnd.IntN(4))}}}
	if h.rnd.IntN(2) == 0 {
		op.Fields = []crdt.FieldOp{{Name: "inner", Op: crdt.Op{Code: crdt.OpUpdate, Kind: crdt.Map, Fields: op.Fields}}}
	}
}

// expire lets a third of the operations have to do with expiry. Some are late.
func (h *history) expire(op *crdt.Op) {
	op.Now = h.wall.now().UnixMilli()
	at := op.Now + int64(h.rnd.IntN(40)-10)*60_000
	switch h.rnd.IntN(20) {
	case 0, 1:
		*op = crdt.Op{Code: crdt.OpExpire, At: at, Now: op.Now}
	case 2:
		*op = crdt.Op{Code: crdt.OpExpire, Now: op.Now}
	case 3:
		*op = crdt.Op{Code: crdt.OpSweep, Now: op.Now}
	case 4, 5, 6:
		op.At = at
	case 7:
		op.KeepTTL = true
	}
}

// read keeps what a client saw, as the context of a later operation.
func (h *history) read() {
	a := must(h.any().r.Read(Query{Key: h.keys[h.rnd.IntN(len(h.keys))]}))(h.t)
	c := crdt.ObservedContext(a.Cells, &a.Clock)
	if h.rnd.IntN(3) == 0 {
		c = crdt.Context{Clock: a.Clock}
		for _, cs := range a.Cells {
			for _, e := range cs.Live {
				c.Clock.Add(e.Dot)
			}
		}
	}
	h.seen = append(h.seen, &c)
}

func (h *history) mutate() {
	key, op := h.operation()
	d := h.any().mutate(h.t, key, op)
	if d == nil {
		return
	}
	h.oracle.apply(h.t, d)
	h.flight = append(h.flight, crdt.AppendDelta(nil, d))
}

// deliver brings up to three events, in any order and perhaps once more, and
// now and then loses one.
func (h *history) deliver() {
	var deltas []*crdt.Delta
	for range 1 + h.rnd.IntN(3) {
		if len(h.flight) == 0 {
			break
		}
		i := h.rnd.IntN(len(h.flight))
		deltas = append(deltas, must(crdt.DecodeDelta(h.flight[i]))(h.t))
		if h.rnd.IntN(4) == 0 {
			h.flight = append(h.flight[:i], h.flight[i+1:]...)
		}
	}
	h.any().apply(h.t, deltas...)
}

// trim forgets what all have, and with little room for the log more than that.
func (h *history) trim() {
	stable := h.pairs[0].r.Durable()
	for _, p := range h.pairs[1:] {
		stable = crdt.Intersection(&stable, durable(p.r))
	}
	p := h.any()
	if _, _, err := p.r.Trim(&stable); err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) step() {
	switch n := h.rnd.IntN(100); {
	case n < 40:
		h.mutate()
	case n < 58:
		h.deliver()
	case n < 63:
		h.read()
	case n < 70:
		a, b := h.two()
		a.repair(h.t, b, h.keys[h.rnd.IntN(len(h.keys))])
	case n < 78:
		a, b := h.two()
		a.catchUp(h.t, b, 1+h.rnd.IntN(300), 1+h.rnd.IntN(3))
	case n < 91:
		a, b := h.two()
		a.step(h.t, b, 1+h.rnd.IntN(200))
	case n < 93:
		h.any().abandon()
	case n < 97:
		h.trim()
	case n < 98:
		h.any().reopen(h.t)
		for _, p := range h.pairs { // a source that went away ends its joins
			p.abandon()
		}
	default:
		h.wall.advance(time.Duration(h.rnd.IntN(200)-50) * time.Minute)
	}
}

// heal makes all replicas equal by their clocks alone.
func (h *history) heal() {
	for _, p := range h.pairs {
		p.abandon()
	}
	for range 4 {
		for i, a := range h.pairs {
			for j, b := range h.pairs {
				if i == j || a.catchUp(h.t, b, 100, 1000) {
					continue
				}
				for a.step(h.t, b, 150); a.join != nil; {
					a.step(h.t, b, 150)
				}
			}
		}
	}
}

func TestRandomHistories(t *testing.T) {
	seeds, steps := uint64(60), 150
	if testing.Short() {
		seeds = 10
	}
	var sorts int // of conflicts that were there
	defer func() {
		if skippedLeaves.Load() == 0 {
			t.Error("no join left out a leaf that was equal")
		}
		if sorts != ofRegister|ofMVRegister|ofField|ofKinds {
			t.Errorf("conflicts of the sorts %b alone were made", sorts)
		}
	}()
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for _, p := range h.pairs {
				if seed%3 > 0 { // early trimming by bytes
					shut(t, p.store)
					p.opts.LogBytes = int64(200 * (seed % 3))
					p.start(t)
				}
			}
			for i := range steps {
				h.step()
				if i%10 == 9 {
					for _, p := range h.pairs {
						p.check(t)
						p.checkScores(t, h.keys[5], h.rnd)
						sorts |= p.checkConflicts(t)
					}
				}
			}
			h.heal()
			want := h.oracle.cells.All()
			root := h.pairs[0].r.State().Root
			for i, p := range h.pairs {
				p.check(t)
				if c := p.r.Clock(); !c.Equal(&h.oracle.Clock) {
					t.Fatalf("replica %d healed to clock %v, all events: %v", i, c, h.oracle.Clock)
				}
				if got := scanAll(t, p.r).cells; !sameCells(got, want) {
					t.Fatalf("replica %d healed to %v\nall events make %v", i, got, want)
				}
				if s := p.r.State(); s.Residue != 0 || s.Root != root || !s.Settled {
					t.Fatalf("replica %d: %+v, want no residue and root %s", i, s, root)
				}
				if n := records(t, p.store, tableResidue); n > 0 {
					t.Fatalf("replica %d: %d records of a residue that is empty", i, n)
				}
				logBytes := p.store.LogBytes()
				p.reopen(t)
				p.check(t)
				p.checkScores(t, h.keys[5], h.rnd)
				p.checkConflicts(t)
				if s := p.r.State(); s.Root != root {
					t.Fatalf("replica %d: rebuilt tree has root %s, want %s", i, s.Root, root)
				}
				if n := p.store.LogBytes(); n != logBytes {
					t.Fatalf("replica %d: log of %d bytes was counted as %d", i, n, logBytes)
				}
			}
		})
	}
}
