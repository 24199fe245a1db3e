package dc

import (
	"context"
	"fmt"
	"slices"

	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
)

// layout is who owns what in this datacenter under one ring document.
// Immutable; a new document makes a new one. Its pointer stands for the epoch:
// what was done under one layout was done under the other if they are the same.
type layout struct {
	doc   *ring.Document
	nodes []string              // members and targets, sorted
	now   map[uint32]*ring.Ring // by placement: the owners of the members
	next  map[uint32]*ring.Ring // the owners of the target; nil when nothing moves
	parts map[uint32][]part     // of each placement, by partition
}

// part is who takes writes to one partition.
type part struct {
	sets    [][]string // see layout.sets
	holders []string   // all of them once
}

// lay computes the rings of every placement that this datacenter keeps.
func (n *Node) lay(doc *ring.Document) (*layout, error) {
	l := &layout{doc: doc, now: map[uint32]*ring.Ring{}, parts: map[uint32][]part{}}
	if doc.Moving() {
		l.next = map[uint32]*ring.Ring{}
	}
	for _, p := range n.world().placements {
		if p.replicas == 0 {
			continue
		}
		now, next, err := doc.Rings(ring.Options{Partitions: n.opts.Topology.Partitions, Replicas: p.replicas})
		if err != nil {
			return nil, fmt.Errorf("ring of placement %s under epoch %d: %w", p.name, doc.Epoch, err)
		}
		l.now[p.id] = now
		if next != nil {
			l.next[p.id] = next
		}
		l.parts[p.id] = l.divide(p.id, n.opts.Topology.Partitions)
	}
	for _, e := range doc.All() {
		l.nodes = append(l.nodes, e.ID)
	}
	slices.Sort(l.nodes)
	return l, nil
}

// readers are the owners that are read from and that coordinate: the old ones
// until the move has turned, the new ones from then on.
func (l *layout) readers(id storage.ReplicaID) []string {
	r := l.now[id.Placement]
	if l.doc.Turned && l.next != nil {
		r = l.next[id.Placement]
	}
	if r == nil {
		return nil
	}
	return r.Owners(int(id.Partition))
}

// divide finds who takes writes to each partition of a placement.
func (l *layout) divide(placement uint32, partitions int) []part {
	parts := make([]part, partitions)
	for i := range parts {
		p := &parts[i]
		p.sets = [][]string{l.now[placement].Owners(i)}
		p.holders = p.sets[0]
		if l.next == nil {
			continue
		}
		if next := l.next[placement].Owners(i); !sameNodes(p.holders, next) {
			p.sets = append(p.sets, next)
			p.holders = slices.Clone(p.holders)
			for _, node := range next {
				if !slices.Contains(p.holders, node) {
					p.holders = append(p.holders, node)
				}
			}
		}
	}
	return parts
}

// part is who takes writes to a partition; nobody where it is not kept here.
func (l *layout) part(id storage.ReplicaID) part {
	if parts := l.parts[id.Placement]; int(id.Partition) < len(parts) {
		return parts[id.Partition]
	}
	return part{}
}

// sets are the groups of owners of which each must take a write: one, or the
// old and the new owners where the partition moves. The caller must not change them.
func (l *layout) sets(id storage.ReplicaID) [][]string { return l.part(id).sets }

// holders are all that own the partition, by the old ring or the new one. The
// caller must not change them.
func (l *layout) holders(id storage.ReplicaID) []string { return l.part(id).holders }

// holds reports whether a node owns the partition, by the old ring or the new.
func (l *layout) holds(node string, id storage.ReplicaID) bool {
	return slices.Contains(l.holders(id), node)
}

// coming reports whether a node is to own the partition and does not yet.
func (l *layout) coming(node string, id storage.ReplicaID) bool {
	sets := l.sets(id)
	return len(sets) == 2 && slices.Contains(sets[1], node) && !slices.Contains(sets[0], node)
}

func sameNodes(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(node string) bool { return !slices.Contains(b, node) })
}

// layout is the present one.
func (n *Node) layout() *layout { return n.laid.Load() }

// epoch is the number of the ring document that this node acts under.
func (n *Node) epoch() uint64 { return n.layout().doc.Epoch }

// Document is the ring document that this node acts under.
func (n *Node) Document() *ring.Document { return n.layout().doc }

// adopt makes a decided document the one that this node acts under, once it is
// durable, unless the node acts under a later one already. When it returns no
// write of an earlier epoch is taken any more, nor under way: what replicas tell
// of their clocks from then on contains all that was acknowledged before.
func (n *Node) adopt(doc *ring.Document) error {
	if doc.Epoch <= n.epoch() {
		return nil
	}
	under := n.world()
	l, err := n.lay(doc)
	if err != nil {
		return err
	}
	n.fence.Lock()
	defer n.fence.Unlock()
	if doc.Epoch <= n.epoch() {
		return nil
	}
	if n.world() != under { // there may be a placement more
		if l, err = n.lay(doc); err != nil {
			return err
		}
	}
	if err := n.keepDocument(doc); err != nil {
		return fmt.Errorf("keep ring document of epoch %d: %w", doc.Epoch, err)
	}
	n.laid.Store(l)
	n.peers.relaid()
	n.opts.Logger.Info("ring", "epoch", doc.Epoch, "members", len(doc.Members), "moving", doc.Moving(), "turned", doc.Turned)
	return nil
}

// owners lists those of a replica in a datacenter that are read from, nearest
// first. Of other datacenters it knows what they told last.
func (n *Node) owners(dcName string, id storage.ReplicaID) []string {
	if dcName == n.dc {
		return n.layout().readers(id)
	}
	if r := n.placement(id.Placement).rings[dcName]; r != nil {
		return r.Owners(int(id.Partition))
	}
	return nil
}

// leastQuorum is the number of owners that a default write reaches.
func leastQuorum(owners int) int { return owners/2 + 1 }

// underOneRing carries a request out again for as long as other nodes refuse it,
// before they did anything, because the ring has changed under it.
func underOneRing[T any](ctx context.Context, request func() (T, error)) (T, error) {
	for {
		answer, err := request()
		if !isStale(err) || ctx.Err() != nil {
			return answer, err
		}
	}
}
