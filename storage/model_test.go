package storage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// model is what a replica should hold: the same rules over cells in memory,
// without clock, log or layout of storage.
type model struct {
	crdt.Replica
	cells crdt.Memory
}

func (m *model) apply(t testing.TB, d *crdt.Delta) {
	t.Helper()
	if _, err := m.Apply(&m.cells, d); err != nil {
		t.Fatal(err)
	}
}

// join is rule 3 for the cells that in selects, from a peer's answer.
func (m *model) join(t testing.TB, s *crdt.Snapshot, peer *crdt.Peer, in func(crdt.CellID) bool) {
	t.Helper()
	theirs := map[crdt.CellID]crdt.Cell{}
	for _, c := range m.cells.All() {
		if in(c.ID) {
			theirs[c.ID] = nil
		}
	}
	for _, c := range s.Cells {
		theirs[c.ID] = c.Live
	}
	for _, id := range slices.SortedFunc(maps.Keys(theirs), crdt.CellID.Compare) {
		if err := m.JoinCell(&m.cells, id, theirs[id], peer); err != nil {
			t.Fatal(err)
		}
	}
	m.JoinResidue(s.Residue)
}

// place is where a cell stands in the order of pages.
func place(id crdt.CellID) []byte {
	return cellKey(testID.Placement, keyHash(id.Bucket, []byte(id.Key)), id)[5:]
}

// pairJoin is a join under way, in the store and in its model.
type pairJoin struct {
	join    *Join
	src     *pair
	page    *Page // on its way
	next    []byte
	all     bool
	residue crdt.Residue
	clock   crdt.Clock
}

func (j *pairJoin) joined(id crdt.CellID) bool {
	return j.all || bytes.Compare(place(id), j.next) < 0
}

// pair is one replica beside its model.
type pair struct {
	opts  Options
	store *Store
	r     *Replica
	model model
	join  *pairJoin
}

func newPair(t testing.TB, node string, w *testWall) *pair {
	p := &pair{opts: testOptions(vfs.NewMem(), w)}
	p.opts.Identity.Node = node
	p.start(t)
	t.Cleanup(func() { shut(t, p.store) })
	return p
}

func (p *pair) start(t testing.TB) {
	t.Helper()
	s, err := Open(p.opts)
	if err != nil {
		t.Fatal(err)
	}
	p.store, p.r = s, s.Replica(testID)
}

// reopen ends what does not survive the process: the join under way.
func (p *pair) reopen(t testing.TB) {
	t.Helper()
	shut(t, p.store)
	p.opts.Rand = rand.New(rand.NewPCG(opens.Add(1), 1))
	p.start(t)
	p.join, p.model.Transfer = nil, nil
}

// mutate carries out an operation on both sides and returns the event.
func (p *pair) mutate(t testing.TB, key crdt.KeyID, op *crdt.Op) *crdt.Delta {
	t.Helper()
	before := len(p.model.cells.Kinds(key))
	done, err := p.r.Mutate(&Mutation{Key: key, Op: op, Looked: true})
	dot := crdt.Dot{Actor: 1, Seq: 1}
	if err == nil && done.Delta != nil {
		dot = crdt.Dot{Actor: done.Delta.Actor, Seq: done.Delta.Lo}
		if last := p.model.Clock.Last(dot.Actor); dot.Seq != last+1 {
			t.Fatalf("minted %s after %d", dot, last)
		}
	}
	var issued crdt.Stamp
	stamp := func(seen crdt.Stamp) crdt.Stamp { // the store's, which must be after all seen
		if err == nil {
			issued = stampIn(done.Delta)
		}
		if err == nil && issued <= seen {
			t.Fatalf("stamp %d after %d", issued, seen)
		}
		return issued
	}
	d, want, wantErr := p.model.Mutate(&p.model.cells, key, p.model.cells.Kinds(key), op, dot, stamp)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("operation %d on a key of %d kinds: %v, the model: %v", op.Code, before, err, wantErr)
	}
	if err != nil {
		return nil
	}
	wait(t, done.Commit)
	if done.Result != want || (done.Delta == nil) != (d == nil) {
		t.Fatalf("operation %d: %+v with %v, the model: %+v with %v", op.Code, done.Result, done.Delta, want, d)
	}
	if d == nil {
		return nil
	}
	if !bytes.Equal(crdt.AppendDelta(nil, d), crdt.AppendDelta(nil, done.Delta)) {
		t.Fatalf("event %+v, the model makes %+v", done.Delta, d)
	}
	p.model.apply(t, d)
	return d
}

// stampIn is the stamp of the register, or of the score, that an event puts.
func stampIn(d *crdt.Delta) crdt.Stamp {
	for _, ch := range d.Changes {
		for _, e := range ch.Puts {
			if ch.ID.Kind == crdt.ZSet && e.Payload[0] == 0 { // a score that was set
				stamp, _ := binary.Uvarint(e.Payload[1:])
				return crdt.Stamp(stamp)
			}
			kind, _ := ch.ID.Leaf()
			if v := crdt.ReadValue(kind, []crdt.CellState{{ID: ch.ID, Live: crdt.Cell{e}}}); len(v.Siblings) > 0 {
				return v.Siblings[0].Stamp
			}
		}
	}
	return 0
}

func (p *pair) apply(t testing.TB, deltas ...*crdt.Delta) {
	t.Helper()
	apply(t, p.r, deltas...)
	for _, d := range deltas {
		p.model.apply(t, d)
	}
}

// repair is read repair: one key as src holds it.
func (p *pair) repair(t testing.TB, src *pair, key crdt.KeyID) {
	t.Helper()
	a := must(src.r.Read(Query{Key: key}))(t)
	s := must(crdt.DecodeSnapshot(crdt.AppendSnapshot(nil, &a.Snapshot)))(t)
	wait(t, must(p.r.Repair([]crdt.KeyID{key}, s))(t))
	p.model.join(t, s, s.Peer(), func(id crdt.CellID) bool { return id.KeyID == key })
}

// catchUp brings what src's log has in pieces of about maxBytes; it reports
// whether the log was enough.
func (p *pair) catchUp(t testing.TB, src *pair, maxBytes, pieces int) bool {
	t.Helper()
	for range pieces {
		m := must(src.r.Missing(durable(p.r), maxBytes))(t)
		p.apply(t, m.Deltas...)
		if m.Trimmed || !m.More {
			return !m.Trimmed
		}
	}
	return true
}

// step asks src for a page of a join, or joins the one that was asked for
// before, beginning or ending the join where that is what comes next.
func (p *pair) step(t testing.TB, src *pair, maxBytes int) {
	t.Helper()
	if p.join == nil {
		p.join = &pairJoin{src: src, join: must(p.r.BeginJoin())(t)}
	}
	j := p.join
	if j.page == nil {
		page, _, err := j.src.r.ReadPage(j.join.Ask(), maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		j.page = must(DecodePage(AppendPage(nil, page)))(t)
		return
	}
	page := j.page
	j.page = nil
	if p.model.Transfer == nil {
		j.clock = page.Clock
		p.model.Transfer = &crdt.Transfer{Clock: page.Clock, Joined: j.joined}
	}
	from := page.From
	if page.Skip > 0 {
		from = p.r.leafPlace(j.join.first + page.Skip)
		skippedLeaves.Add(int64(page.Skip))
	}
	wait(t, must(j.join.Page(page))(t))
	reached := bytes.Equal(j.join.next, page.To) && j.join.all == (page.To == nil) && (page.Skip == 0 || from != nil)
	if !reached { // a leaf has changed since: the cells behind it are for the next page
		page.Cells = nil
	}
	j.residue.Restore(page.Residue)
	p.model.join(t, &page.Snapshot, &crdt.Peer{Clock: j.clock, Residue: j.residue}, func(id crdt.CellID) bool {
		at := place(id)
		return reached && bytes.Compare(at, from) >= 0 && (page.To == nil || bytes.Compare(at, page.To) < 0)
	})
	if j.next, j.all = j.join.next, j.join.all; !j.all {
		return
	}
	wait(t, must(j.join.Finish())(t))
	p.join, p.model.Transfer = nil, nil
	p.model.JoinClock(&j.clock)
}

// skippedLeaves counts leaves that joins of this package's tests left out.
var skippedLeaves atomic.Int64

func (p *pair) abandon() {
	if p.join != nil && p.join.join != nil {
		p.join.join.Abandon()
	}
	p.join, p.model.Transfer = nil, nil
}

// check holds the store against its model.
func (p *pair) check(t testing.TB) {
	t.Helper()
	if c := p.r.Clock(); !c.Equal(&p.model.Clock) {
		t.Fatalf("clock %v, the model: %v", c, p.model.Clock)
	}
	if d := p.r.Durable(); !d.Equal(&p.model.Clock) {
		t.Fatalf("durable clock %v, the model: %v", d, p.model.Clock)
	}
	if got, want := scanAll(t, p.r).cells, p.model.cells.All(); !sameCells(got, want) {
		t.Fatalf("cells %v\nthe model: %v", got, want)
	}
	got, want := crdt.AppendChanges(nil, p.r.state.Residue.Changes()), crdt.AppendChanges(nil, p.model.Residue.Changes())
	if !bytes.Equal(got, want) {
		t.Fatalf("residue %v, the model: %v", p.r.state.Residue.Changes(), p.model.Residue.Changes())
	}
	checkTree(t, p.r)
	checkKept(t, p.r)
	p.checkExpiring(t)
}

// checkExpiring holds the index of what expires against the cells.
func (p *pair) checkExpiring(t testing.TB) {
	t.Helper()
	var want []Expiring
	for _, cs := range p.model.cells.All() {
		if at, by, ok := crdt.ExpiryOf(cs.Live); cs.ID.Kind == crdt.Expiry && ok {
			want = append(want, Expiring{cs.ID.KeyID, time.UnixMilli(at), by.Actor})
		}
	}
	slices.SortFunc(want, func(a, b Expiring) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Key.Key, b.Key.Key))
	})
	if got := must(p.r.Expired(time.UnixMilli(1<<50), 100))(t); !slices.Equal(got, want) {
		t.Fatalf("index of what expires: %v, want %v", got, want)
	}
	if n := records(t, p.store, tableExpiry); n != len(want) {
		t.Fatalf("%d records of what expires, want %d", n, len(want))
	}
}
