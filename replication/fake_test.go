package replication_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
)

// fakeDC is a datacenter in memory: every live node holds a replica of every
// partition, and what one applies the others apply at once.
type fakeDC struct {
	name       string
	partitions int

	mu     sync.Mutex
	nodes  []*fakeNode
	others []*fakeDC
	// What tests set.
	applyErr   func(deltas [][]byte) error
	placements []uint32
	streamOnly bool   // leads nothing, so that no clocks are compared
	unnamed    string // a node that the others do not know of
	missingErr func() error
	// What tests look at.
	applied int // calls of Apply
	heard   map[aside]crdt.Clock
	refused int // comparisons, because the replica was being joined already
}

// aside is a replica in another datacenter.
type aside struct {
	dc string
	r  replication.Replica
}

// fakeNode is one node and its Local.
type fakeNode struct {
	dc       *fakeDC
	name     string
	live     bool
	replicas map[replication.Replica]*fakeReplica
	rep      *replication.Replicator
	actor    crdt.Actor
	mute     bool // does not notify: dies right after acknowledging
}

type fakeReplica struct {
	joining bool
	r       crdt.Replica
	cells   crdt.Memory
	log     []*crdt.Delta
	trimmed crdt.Clock // what the log no longer holds
	minted  uint64
}

var _ replication.Local = (*fakeNode)(nil)

func newFakeDC(name string, nodes int, id crdt.Actor) *fakeDC {
	d := &fakeDC{name: name, partitions: 4, placements: []uint32{0}, heard: map[aside]crdt.Clock{}}
	for i := range nodes {
		d.nodes = append(d.nodes, &fakeNode{
			dc: d, name: fmt.Sprintf("%s%d", name, i+1), live: true, actor: id<<8 | crdt.Actor(i+1),
			replicas: map[replication.Replica]*fakeReplica{},
		})
	}
	return d
}

func (d *fakeDC) liveNodes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, n := range d.nodes {
		if n.live {
			out = append(out, n.name)
		}
	}
	return out
}

func (d *fakeDC) peers() []replication.Peer {
	var out []replication.Peer
	for _, o := range d.others {
		o.mu.Lock()
		for _, n := range o.nodes {
			if n.name != o.unnamed {
				out = append(out, replication.Peer{DC: o.name, Node: n.name})
			}
		}
		o.mu.Unlock()
	}
	return out
}

func (d *fakeDC) placementsOf(dc string) []uint32 {
	for _, o := range slices.Concat(d.others, []*fakeDC{d}) {
		if o.name == dc {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.placements
		}
	}
	return nil
}

func (n *fakeNode) replica(r replication.Replica) *fakeReplica {
	if n.replicas[r] == nil {
		n.replicas[r] = &fakeReplica{}
	}
	return n.replicas[r]
}

// owners lists the nodes of a datacenter in the order in which they own a partition.
func (d *fakeDC) owners(r replication.Replica) []*fakeNode {
	at := int(r.Partition) % len(d.nodes)
	return slices.Concat(d.nodes[at:], d.nodes[:at])
}

// write is a client's operation, coordinated by a node.
func (n *fakeNode) write(t testing.TB, r replication.Replica, key string, op crdt.Op) {
	t.Helper()
	n.dc.mu.Lock()
	f := n.replica(r)
	dot := crdt.Dot{Actor: n.actor, Seq: f.minted + 1}
	id := crdt.KeyID{Bucket: "b", Key: key}
	d, _, err := f.r.Mutate(&f.cells, id, f.cells.Kinds(id), &op, dot, func(seen crdt.Stamp) crdt.Stamp {
		return crdt.NextStamp(crdt.Stamp(time.Now().UnixMicro()), 0, seen)
	})
	if err != nil || d == nil {
		n.dc.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	f.minted++
	for _, o := range n.dc.nodes {
		if o.live {
			if err := o.replica(r).apply(d); err != nil {
				t.Error(err)
			}
		}
	}
	n.dc.mu.Unlock()
	if !n.mute {
		n.rep.Notify(r, d)
	}
}

func (f *fakeReplica) apply(d *crdt.Delta) error {
	fresh, err := f.r.Apply(&f.cells, d)
	if fresh {
		f.log = append(f.log, d.LogEntry())
	}
	return err
}

// Collect is a method of replication.Local.
func (n *fakeNode) Collect(r replication.Replica, actor crdt.Actor, after uint64, maxBytes int) ([]byte, uint64, int, error) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	f := n.replica(r)
	var run []*crdt.Delta
	for _, e := range f.log {
		if e.Actor == actor && e.Lo > after {
			run = append(run, e)
		}
	}
	for len(run) > 0 {
		d, err := crdt.Coalesce(&f.cells, run)
		if err != nil {
			return nil, 0, 0, err
		}
		if b := crdt.AppendDelta(nil, d); len(b) <= maxBytes || len(run) == 1 {
			return b, d.Hi, len(run), nil
		}
		run = run[:(len(run)+1)/2]
	}
	return nil, 0, 0, nil
}

// Led is a method of replication.Local.
func (n *fakeNode) Led() []replication.Replica {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	var out []replication.Replica
	if n.dc.streamOnly {
		return nil
	}
	for _, placement := range n.dc.placements {
		for p := range n.dc.partitions {
			r := replication.Replica{Placement: placement, Partition: uint32(p)}
			owners := n.dc.owners(r)
			if i := slices.IndexFunc(owners, func(o *fakeNode) bool { return o.live }); i >= 0 && owners[i] == n {
				out = append(out, r)
			}
		}
	}
	return out
}

// Candidates is a method of replication.Local. It does not know who is alive.
func (n *fakeNode) Candidates(dc string, r replication.Replica) []string {
	for _, o := range n.dc.others {
		if o.name == dc {
			var out []string
			for _, c := range o.owners(r) {
				out = append(out, c.name)
			}
			return out
		}
	}
	return nil
}

// Standing is a method of replication.Local.
func (n *fakeNode) Standing(r replication.Replica) (clock, least crdt.Clock, err error) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	clock = n.replica(r).r.Clock.Clone()
	return clock, clock.Clone(), nil
}

// Heard is a method of replication.Local.
func (n *fakeNode) Heard(dc string, r replication.Replica, clock, _ crdt.Clock) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	n.dc.heard[aside{dc, r}] = clock
}

// Compared is a method of replication.Local.
func (n *fakeNode) Compared(string, []replication.Replica) {}

// HeardOf is a method of replication.Local.
func (n *fakeNode) HeardOf(dc string, r replication.Replica, clock, _ crdt.Clock) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	c := clock.Clone()
	if known, ok := n.dc.heard[aside{dc, r}]; ok {
		c.Union(&known)
	}
	n.dc.heard[aside{dc, r}] = c
}

// Told is a method of replication.Local.
func (n *fakeNode) Told(dc string, r replication.Replica) (clock, least crdt.Clock, ok bool) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	c, ok := n.dc.heard[aside{dc, r}]
	return c.Clone(), c.Clone(), ok
}

// Origin is a method of replication.Local.
func (n *fakeNode) Origin(actor crdt.Actor) string {
	for _, d := range append([]*fakeDC{n.dc}, n.dc.others...) {
		if d.nodes[0].actor>>8 == actor>>8 {
			return d.name
		}
	}
	return ""
}

// Missing is a method of replication.Local.
func (n *fakeNode) Missing(r replication.Replica, have *crdt.Clock, maxBytes int) (deltas [][]byte, more, trimmed bool, err error) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	if n.dc.missingErr != nil {
		if err := n.dc.missingErr(); err != nil {
			return nil, false, false, err
		}
	}
	f := n.replica(r)
	if lost := crdt.Difference(&f.trimmed, have); !lost.Empty() {
		return nil, false, true, nil
	}
	size := 0
	for _, e := range f.log {
		if have.ContainsRange(e.Actor, e.Lo, e.Hi) {
			continue
		}
		d, err := crdt.Coalesce(&f.cells, []*crdt.Delta{e})
		if err != nil {
			return nil, false, false, err
		}
		b := crdt.AppendDelta(nil, d)
		if size += len(b); size > maxBytes && len(deltas) > 0 {
			return deltas, true, false, nil
		}
		deltas = append(deltas, b)
	}
	return deltas, false, false, nil
}

// Apply is a method of replication.Local.
func (n *fakeNode) Apply(_ context.Context, r replication.Replica, deltas [][]byte) error {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	n.dc.applied++
	if n.dc.applyErr != nil {
		if err := n.dc.applyErr(deltas); err != nil {
			return err
		}
	}
	for _, b := range deltas {
		for _, o := range n.dc.nodes {
			if !o.live {
				continue
			}
			d, err := crdt.DecodeDelta(slices.Clone(b))
			if err != nil {
				return errors.Join(err, replication.ErrPermanent)
			}
			if err := o.replica(r).apply(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// Root is a method of replication.Local.
func (n *fakeNode) Root(r replication.Replica, salt uint64) (clock, root uint64, err error) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	f := n.replica(r)
	if !f.r.Residue.Empty() {
		return 0, 0, errors.New("removals wait")
	}
	cells := crdt.AppendSnapshot(nil, &crdt.Snapshot{Cells: f.cells.All()})
	return xxh3.HashSeed(crdt.AppendClock(nil, &f.r.Clock), salt), xxh3.HashSeed(cells, salt), nil
}

// Answer is a method of replication.Local: all there is, in one step.
func (n *fakeNode) Answer(r replication.Replica, _ []byte, _ int) ([]byte, error) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	f := n.replica(r)
	s := &crdt.Snapshot{Clock: f.r.Clock.Clone(), Residue: f.r.Residue.Changes(), Cells: f.cells.All()}
	return crdt.AppendSnapshot(nil, s), nil
}

// Compare is a method of replication.Local.
func (n *fakeNode) Compare(r replication.Replica) (replication.Comparison, error) {
	n.dc.mu.Lock()
	defer n.dc.mu.Unlock()
	f := n.replica(r)
	if f.joining {
		n.dc.refused++
		return nil, replication.ErrJoining
	}
	f.joining = true
	return &fakeComparison{n: n, r: r}, nil
}

// fakeComparison is a replication.Comparison of one step.
type fakeComparison struct {
	n     *fakeNode
	r     replication.Replica
	whole bool
}

func (*fakeComparison) Step() (replication.StepKind, []byte) {
	return replication.StepCells, []byte("all")
}
func (c *fakeComparison) Whole() bool { return c.whole }
func (*fakeComparison) Finish() error { return nil }

func (c *fakeComparison) Abandon() {
	c.n.dc.mu.Lock()
	defer c.n.dc.mu.Unlock()
	c.n.replica(c.r).joining = false
}

func (*fakeComparison) Differing() int {
	return 0
}

func (c *fakeComparison) Take(answer []byte) error {
	s, err := crdt.DecodeSnapshot(slices.Clone(answer))
	if err != nil {
		return err
	}
	c.whole = true
	c.n.dc.mu.Lock()
	defer c.n.dc.mu.Unlock()
	for _, o := range c.n.dc.nodes {
		if o.live {
			if err := o.replica(c.r).join(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fakeReplica) join(s *crdt.Snapshot) error {
	theirs := map[crdt.CellID]crdt.Cell{}
	for _, c := range s.Cells {
		theirs[c.ID] = c.Live
	}
	for _, c := range f.cells.All() {
		if _, both := theirs[c.ID]; !both {
			theirs[c.ID] = nil
		}
	}
	for id, cell := range theirs {
		if err := f.r.JoinCell(&f.cells, id, cell, s.Peer()); err != nil {
			return err
		}
	}
	fresh := crdt.Difference(&s.Clock, &f.r.Clock)
	f.trimmed.Union(&fresh)
	f.r.JoinResidue(s.Residue)
	f.r.JoinClock(&s.Clock)
	return nil
}

// trim empties the logs of a datacenter.
func (d *fakeDC) trim() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.nodes {
		for _, f := range n.replicas {
			f.log = nil
			f.trimmed.Union(&f.r.Clock)
		}
	}
}

// state is all that a datacenter's live nodes hold, as text: they must agree.
func (d *fakeDC) state(t testing.TB) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, n := range d.nodes {
		if !n.live {
			continue
		}
		var text strings.Builder
		for _, placement := range d.placements {
			for p := range d.partitions {
				f := n.replica(replication.Replica{Placement: placement, Partition: uint32(p)})
				s := &crdt.Snapshot{Clock: f.r.Clock, Residue: f.r.Residue.Changes(), Cells: f.cells.All()}
				fmt.Fprintf(&text, "%d/%d: %x\n", placement, p, crdt.AppendSnapshot(nil, s))
			}
		}
		all = append(all, text.String())
	}
	for _, text := range all {
		if text != all[0] {
			t.Errorf("nodes of datacenter %s differ", d.name)
		}
	}
	return all[0]
}

// value reads a key at the first live node.
func (d *fakeDC) value(r replication.Replica, key string, kind crdt.Kind) crdt.Value {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.nodes {
		if n.live {
			var cells []crdt.CellState
			for _, c := range n.replica(r).cells.All() {
				if c.ID.Key == key && c.ID.Kind == kind {
					cells = append(cells, c)
				}
			}
			return crdt.ReadValue(kind, cells)
		}
	}
	return crdt.Value{}
}
