package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/crdt"
)

// histories is how many random histories of each kind are predicted.
const histories = 1000

// predictedKey is the key that they change.
var predictedKey = crdt.KeyID{Bucket: "default", Key: "k"}

// site is one replica of a datacenter, on the real types.
type site struct {
	crdt.Replica

	dc, node string
	actor    crdt.Actor
	seq      uint64
	wall     crdt.Stamp // of its node: each runs on its own
	cells    crdt.Memory
}

// world is several datacenters during a cut.
type world struct {
	t     *testing.T
	rnd   *rand.Rand
	sites []*site
	sent  []*crdt.Delta
	kind  crdt.Kind // of the key; NoKind: any
	now   int64     // milliseconds since 1970
}

func newWorld(t *testing.T, kind crdt.Kind, seed uint64) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, uint64(kind))), kind: kind, now: 1_700_000_000_000}
	for d := range 2 + w.rnd.IntN(2) {
		for n := range 1 + w.rnd.IntN(2) {
			s := &site{dc: fmt.Sprintf("dc%d", d), node: fmt.Sprintf("n%d%d", d, n), actor: crdt.Actor(len(w.sites) + 1)}
			s.wall = crdt.Stamp(1000 + w.rnd.IntN(200))
			w.sites = append(w.sites, s)
		}
	}
	return w
}

// element is one of a few names.
func (w *world) element() string { return string(rune('a' + w.rnd.IntN(4))) }

func (w *world) elements() (out []string) {
	for range 1 + w.rnd.IntN(2) {
		out = append(out, w.element())
	}
	return out
}

// operation draws what to do with a key, or a field, of a kind.
func (w *world) operation(kind crdt.Kind, depth int) crdt.Op {
	op := crdt.Op{Kind: kind}
	often := w.rnd.IntN(3) > 0
	switch kind { //nolint:exhaustive // the others are no kinds of keys
	case crdt.Register, crdt.MVRegister:
		op.Code, op.Value = crdt.OpAssign, []byte(w.element())
	case crdt.Counter, crdt.GCounter, crdt.BCounter:
		op.Code, op.N = crdt.OpAdd, int64(w.rnd.IntN(12)-3)
		if kind == crdt.BCounter && w.rnd.IntN(5) == 0 {
			op.Code, op.N, op.To = crdt.OpTransfer, int64(1+w.rnd.IntN(4)), w.sites[w.rnd.IntN(len(w.sites))].actor
		} else if kind == crdt.Counter && w.rnd.IntN(6) == 0 {
			op.Code = crdt.OpReset
		}
	case crdt.Set, crdt.GSet, crdt.RWSet:
		op.Code, op.Elements = crdt.OpInsert, w.elements()
		if !often {
			op.Code = crdt.OpRemove
		}
	case crdt.Flag, crdt.DWFlag:
		op.Code, op.On = crdt.OpSwitch, often
	case crdt.ZSet:
		op.Members = []crdt.Member{{Member: w.element(), Score: float64(w.rnd.IntN(20)-5) / 2}}
		switch w.rnd.IntN(5) {
		case 0:
			op.Code, op.Elements, op.Members = crdt.OpRemove, w.elements(), nil
		case 1, 2:
			op.Code = crdt.OpScore
		default:
			op.Code = crdt.OpBump
		}
	case crdt.HLL:
		op.Code, op.Elements = crdt.OpObserve, w.elements()
	case crdt.Map:
		if !often {
			op.Code, op.Names = crdt.OpDiscard, []crdt.FieldName{{Name: w.element()}}
			break
		}
		op.Code = crdt.OpUpdate
		inner := []crdt.Kind{crdt.Register, crdt.Counter, crdt.Set, crdt.RWSet, crdt.ZSet, crdt.DWFlag, crdt.MVRegister, crdt.Map}
		if depth == 2 {
			inner = inner[:len(inner)-1]
		}
		op.Fields = []crdt.FieldOp{{Name: w.element(), Op: w.operation(inner[w.rnd.IntN(len(inner))], depth+1)}}
	}
	return op
}

// change carries an operation out at one replica.
func (w *world) change() {
	s := w.sites[w.rnd.IntN(len(w.sites))]
	kind := w.kind
	if kind == crdt.NoKind {
		kind = []crdt.Kind{crdt.Counter, crdt.Set}[w.rnd.IntN(2)]
	}
	op := w.operation(kind, 0)
	switch w.rnd.IntN(16) {
	case 0:
		op = crdt.Op{Code: crdt.OpDelete}
	case 1:
		op = crdt.Op{Code: crdt.OpExpire, At: w.now + int64(w.rnd.IntN(7)-1)*60_000}
	case 2:
		op.At = w.now + int64(w.rnd.IntN(5))*60_000
	}
	op.Now = w.now
	if w.rnd.IntN(8) == 0 && op.Code == crdt.OpAssign {
		snapshot := w.sites[w.rnd.IntN(len(w.sites))].snapshot(w.t)
		seen := crdt.ObservedContext(snapshot.Cells, &snapshot.Clock)
		op.Context = &seen
	}
	stamp := func(seen crdt.Stamp) crdt.Stamp {
		s.wall = max(s.wall, seen) + 1
		return s.wall
	}
	d, _, err := s.Mutate(&s.cells, predictedKey, s.cells.Kinds(predictedKey), &op, crdt.Dot{Actor: s.actor, Seq: s.seq + 1}, stamp)
	if err != nil || d == nil { // a refusal, such as of rights, is part of life
		return
	}
	s.seq++
	w.sent = append(w.sent, d)
	w.deliver(s, d)
}

// deliver brings an event as it comes off a wire.
func (w *world) deliver(to *site, d *crdt.Delta) {
	d, err := crdt.DecodeDelta(crdt.AppendDelta(nil, d))
	if err == nil {
		_, err = to.Apply(&to.cells, d)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// gossip brings some events to co-owners, or to every replica.
func (w *world) gossip(events []*crdt.Delta, chance func(d *crdt.Delta, to *site) bool) {
	for _, i := range w.rnd.Perm(len(events)) {
		for _, s := range w.sites {
			if chance(events[i], s) {
				w.deliver(s, events[i])
			}
		}
	}
}

func (s *site) snapshot(t *testing.T) *crdt.Snapshot {
	t.Helper()
	own := &crdt.Snapshot{Clock: s.Clock, Residue: s.Residue.OfKey(predictedKey), Cells: s.cells.All()}
	out, err := crdt.DecodeSnapshot(crdt.AppendSnapshot(nil, own))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// answers is what every owner of every datacenter answers to diff.
func (w *world) answers() []said[*copied] {
	var out []said[*copied]
	for _, s := range w.sites {
		if len(out) == 0 || out[len(out)-1].dc != s.dc {
			out = append(out, said[*copied]{dc: s.dc, answer: &copied{}})
		}
		c := out[len(out)-1].answer
		c.owners = append(c.owners, newOwnerCopy(s.node, s.snapshot(w.t)))
	}
	for _, a := range out {
		a.answer.join()
	}
	return out
}

func (w *world) merged() *merged {
	m, err := mergeOf(keyRef{predictedKey.Bucket, predictedKey.Key}, w.answers(), time.UnixMilli(w.now))
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// play changes a key in datacenters that hear each other, then in some that do
// not, predicts, heals, and holds the prediction against what each then shows.
func (w *world) play() (differed bool) {
	for range w.rnd.IntN(6) {
		w.change()
	}
	before := w.sent
	w.gossip(before, func(*crdt.Delta, *site) bool { return w.rnd.IntN(8) > 0 })
	for range 2 + w.rnd.IntN(8) {
		w.change()
		if w.rnd.IntN(3) == 0 && len(w.sent) > 0 { // a co-owner hears of it, or of an earlier one
			w.gossip(w.sent[w.rnd.IntN(len(w.sent)):], func(d *crdt.Delta, to *site) bool {
				return w.sites[d.Actor-1].dc == to.dc && w.rnd.IntN(2) == 0
			})
		}
	}
	predicted := w.merged()
	w.gossip(w.sent, func(*crdt.Delta, *site) bool { return true })
	for _, s := range w.sites {
		got := readingOf(s.snapshot(w.t), time.UnixMilli(w.now))
		if !reflect.DeepEqual(got, predicted.after) {
			w.t.Fatalf("%s shows %s after the heal, predicted was %s (%s)\n%+v\n%+v", s.node, inWords(got), inWords(predicted.after), predicted.reason, got, predicted.after)
		}
		differed = differed || inWords(predicted.values[s.dc]) != inWords(got)
	}
	if differed && predicted.reason == "" {
		w.t.Fatalf("no reason given for %s", inWords(predicted.after))
	}
	return differed
}

func inWords(r reading) string {
	b, err := json.Marshal(r.json())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// What diff predicts from the cells during a cut is what every replica of every
// datacenter shows after the heal, whatever was done in each of them.
func TestPredictionIsTheOutcome(t *testing.T) {
	n := uint64(histories)
	if testing.Short() {
		n /= 10
	}
	for _, kind := range append(crdt.SupportedKinds(), crdt.NoKind) {
		name := kind.String()
		if kind == crdt.NoKind {
			name = "two kinds"
		}
		t.Run(name, func(t *testing.T) {
			differed := uint64(0)
			for seed := range n {
				w := newWorld(t, kind, seed)
				if w.play() {
					differed++
				}
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			if differed < n/5 {
				t.Errorf("in %d of %d histories a datacenter showed something else before the heal: too few to tell", differed, n)
			}
		})
	}
}

// Owners of one datacenter that hold different things are shown one by one.
func TestExplainShowsEveryReplica(t *testing.T) {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(1, 1)), now: 1_700_000_000_000}
	for i, node := range []string{"use1-a", "use1-b", "use1-c"} {
		w.sites = append(w.sites, &site{dc: "use1", node: node, actor: crdt.Actor(i + 1)})
	}
	put := func(s *site, value string) *crdt.Delta {
		stamp := func(seen crdt.Stamp) crdt.Stamp { return seen + 1 }
		op := &crdt.Op{Code: crdt.OpAssign, Kind: crdt.Register, Value: []byte(value)}
		d, _, err := s.Mutate(&s.cells, predictedKey, s.cells.Kinds(predictedKey), op, crdt.Dot{Actor: s.actor, Seq: s.seq + 1}, stamp)
		if err != nil {
			t.Fatal(err)
		}
		s.seq++
		w.deliver(s, d)
		return d
	}
	a, b, c := w.sites[0], w.sites[1], w.sites[2]
	first := put(a, "one")
	w.deliver(b, first)
	w.deliver(c, first)
	w.deliver(c, put(b, "two"))
	all := w.answers()
	all[0].answer.silent = []string{"use1-d"}
	acc := &account{}
	acc.add(all[0], nil, readingOf(all[0].answer.joined, time.UnixMilli(w.now)), time.UnixMilli(w.now))
	var rows []string
	for _, r := range acc.DCs[0].rows() {
		rows = append(rows, strings.Join(r, "|"))
	}
	want := []string{"use1|use1-a|one|", "use1|use1-b use1-c|two|", "use1|use1-d|-|no answer"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	events, more := evidenceOf(all, actors{}, 1)
	if len(events) != 1 || more != 1 {
		t.Fatalf("%d events and %d more, want 1 and 1", len(events), more)
	}
	if got := events[0].At["use1"].String(); got != "use1-a: one, use1-b: removed, use1-c: removed" {
		t.Errorf("the first event stands as %q", got)
	}
}
