package dc

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/topology"
)

// world is what a node knows of the cluster: the topology, and who the nodes of
// the other datacenters are. Immutable; news make a new one.
type world struct {
	topology   *topology.Topology
	hash       string // of the topology
	text       []byte // what others are told: the hash and YAML; nil if it cannot be told
	placements map[uint32]*placement
	byName     map[string]*placement
	fenced     map[string]bool           // other datacenters that do not hold this one up
	docs       map[string]*ring.Document // by datacenter: those of the others, as last told, else as the topology has them
}

// placement is one placement of the topology with the rings of its datacenters.
type placement struct {
	id       uint32
	name     string
	replicas int                   // in this datacenter
	rings    map[string]*ring.Ring // by other datacenter: the owners that are read from
}

// world is the present one.
func (n *Node) world() *world { return n.known.Load() }

// topology is what the cluster was last told to be.
func (n *Node) topology() *topology.Topology { return n.world().topology }

// placement returns one that the topology has, or one that no datacenter keeps.
func (n *Node) placement(id uint32) *placement {
	if p := n.world().placements[id]; p != nil {
		return p
	}
	return &placement{id: id}
}

// newWorld computes the rings of every placement in the other datacenters:
// partitions are the same everywhere, owners differ. Of datacenters without a
// document it takes that which the topology makes. What is as it was before is
// not computed again.
func newWorld(t *topology.Topology, self string, docs map[string]*ring.Document, before *world) (*world, error) {
	w := &world{topology: t, hash: t.Hash(), placements: map[uint32]*placement{}, byName: map[string]*placement{}, fenced: map[string]bool{}, docs: map[string]*ring.Document{}}
	if text, err := t.CanonicalYAML(); err == nil {
		w.text = append([]byte(w.hash), text...)
	}
	for _, d := range t.Datacenters {
		if d.Name == self || d.State == topology.DCRemoved {
			continue // its own document tells, and nobody asks of one that is gone
		}
		if d.State == topology.DCFenced {
			w.fenced[d.Name] = true
		}
		doc := docs[d.Name]
		if doc == nil {
			var err error
			if doc, err = topologyDocument(t, d.Name); err != nil {
				return nil, fmt.Errorf("nodes of datacenter %s: %w", d.Name, err)
			}
		}
		w.docs[d.Name] = doc
	}
	for i := range t.Placements {
		pl, err := w.newPlacement(&t.Placements[i], self, before)
		if err != nil {
			return nil, err
		}
		w.placements[pl.id], w.byName[pl.name] = pl, pl
	}
	for _, b := range t.Buckets {
		if w.byName[b.Placement] == nil {
			return nil, fmt.Errorf("bucket %q: placement %q is not defined", b.Name, b.Placement)
		}
	}
	return w, nil
}

// newPlacement computes the rings of one placement, see newWorld.
func (w *world) newPlacement(p *topology.Placement, self string, before *world) (*placement, error) {
	t := w.topology
	pl := &placement{id: topology.PlacementID(p.Name), name: p.Name, replicas: p.Replicas[self], rings: map[string]*ring.Ring{}}
	for name, replicas := range p.Replicas {
		if name == self {
			continue
		}
		doc := w.docs[name]
		if doc == nil {
			return nil, fmt.Errorf("placement %q names no datacenter of the topology: %q", p.Name, name)
		}
		if before != nil && before.topology == t && before.docs[name] == doc {
			pl.rings[name] = before.placements[pl.id].rings[name]
			continue
		}
		r, err := readRing(doc, ring.Options{Partitions: t.Partitions, Replicas: replicas})
		if err != nil {
			return nil, fmt.Errorf("ring of %s in %s: %w", p.Name, name, err)
		}
		pl.rings[name] = r
	}
	return pl, nil
}

// readRing is the ring of the owners that are read from, see layout.readers.
func readRing(doc *ring.Document, o ring.Options) (*ring.Ring, error) {
	now, next, err := doc.Rings(o)
	if err == nil && doc.Turned && next != nil {
		return next, nil
	}
	return now, err
}

// Abroad lists the nodes of the other datacenters, with those that are to join
// them. Where they are reached it tells of nodes that joined at run time; the
// others are where the topology says.
func (n *Node) Abroad() map[string][]ring.Entry {
	out := map[string][]ring.Entry{}
	for name, doc := range n.world().docs {
		out[name] = doc.All()
	}
	return out
}

// Names of notices, see replication.Notices.
const noticeRing = "ring/" // and the name of a datacenter: its ring document

// metaNotice and a name is where a notice of another datacenter is kept.
const metaNotice = "notice/"

// Notices implements replication.Notices for the local end, see Remote.
func (r Remote) Notices() []replication.Notice {
	n := r.n
	own := n.Document()
	out := append(n.topologyNotices(), ringNotice(n.dc, own))
	for name, doc := range n.world().docs {
		out = append(out, ringNotice(name, doc))
	}
	return out
}

func ringNotice(dcName string, doc *ring.Document) replication.Notice {
	return replication.Notice{Name: noticeRing + dcName, Version: doc.Epoch, Content: ring.AppendDocument(nil, doc)}
}

// errNotice reports a notice that makes no sense here.
var errNotice = errors.New("notice that this datacenter cannot use")

// Take implements replication.Notices.
func (r Remote) Take(notice replication.Notice) error {
	n := r.n
	if notice.Name == noticeTopology {
		return n.takeTopology(notice.Content)
	}
	if dcName, ok := notice.Of(noticeActing); ok {
		return n.takeActing(dcName, notice)
	}
	if strings.HasPrefix(notice.Name, noticeWhole) || strings.HasPrefix(notice.Name, noticeLevel) {
		return n.levels.take(notice)
	}
	dcName, ok := notice.Of(noticeRing)
	if !ok {
		return fmt.Errorf("%w: %.80q", errNotice, notice.Name)
	}
	return n.takeRing(dcName, notice.Content)
}

// takeRing takes up who the nodes of another datacenter are.
func (n *Node) takeRing(dcName string, content []byte) error {
	doc, err := ring.DecodeDocument(content)
	if err != nil {
		return fmt.Errorf("ring document of datacenter %.80s: %w", dcName, err)
	}
	n.turning.Lock()
	defer n.turning.Unlock()
	have := n.world().docs[dcName]
	switch {
	case have == nil:
		return fmt.Errorf("%w: the topology has no other datacenter %.80q", errNotice, dcName)
	case have.Epoch >= doc.Epoch:
		return nil
	}
	docs := maps.Clone(n.world().docs)
	docs[dcName] = doc
	w, err := newWorld(n.topology(), n.dc, docs, n.world())
	if err != nil {
		return fmt.Errorf("ring document of datacenter %s: %w", dcName, err)
	}
	if err := n.store.SetMeta(metaNotice+noticeRing+dcName, content); err != nil {
		return err
	}
	n.live(w)
	n.opts.Logger.Info("ring of another datacenter", "datacenter", dcName, "epoch", doc.Epoch, "nodes", len(doc.All()))
	return nil
}

// firstWorld takes up the topology, and what other datacenters told last.
func (n *Node) firstWorld(docs map[string]*ring.Document) error {
	t := n.opts.Topology
	if n.known.Load() != nil {
		t = n.topology()
	}
	w, err := newWorld(t, n.dc, docs, nil)
	if err != nil {
		return fmt.Errorf("dc: %w", err)
	}
	n.live(w)
	return nil
}

// remember takes up what the node knew of others when it was stopped.
func (n *Node) remember() error {
	if err := n.rememberTopology(); err != nil {
		return err
	}
	docs, err := n.keptRings()
	if err == nil {
		err = n.firstWorld(docs)
	}
	if err != nil {
		return err
	}
	n.buckets.rebase()
	return n.buckets.remember()
}

// keptRings are the documents of other datacenters that this node knew when it
// was stopped.
func (n *Node) keptRings() (map[string]*ring.Document, error) {
	docs := map[string]*ring.Document{}
	for _, d := range n.topology().Datacenters {
		b, err := n.store.Meta(metaNotice + noticeRing + d.Name)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		if docs[d.Name], err = ring.DecodeDocument(b); err != nil {
			return nil, fmt.Errorf("ring document of datacenter %s on disk: %w", d.Name, err)
		}
	}
	return docs, nil
}

// live makes a world the present one, and tells whoever follows it. The caller
// holds n.turning, or nobody else knows the node yet.
func (n *Node) live(w *world) {
	n.known.Store(w)
	if r, ok := n.replicator().(interface{ MembershipChanged() }); ok {
		r.MembershipChanged()
	}
}
