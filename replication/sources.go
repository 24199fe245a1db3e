package replication

import (
	"cmp"
	"slices"
)

// Source is a node of another datacenter whose lanes this node pulls, all or
// some of them.
type Source struct {
	Peer
	Messages uint64 // with events, that arrived here from it since this node's start
}

// Sources lists the nodes that this node pulls from, in order.
func (x *Replicator) Sources() []Source {
	var out []Source
	v := x.view.Load()
	for _, p := range v.peers {
		for lane := range Lanes {
			if v.puller(p, lane) == x.opts.Self.Node {
				out = append(out, Source{p, x.remote(p.DC).messagesOf(p)})
				break
			}
		}
	}
	slices.SortFunc(out, func(a, b Source) int { return cmp.Or(cmp.Compare(a.DC, b.DC), cmp.Compare(a.Node, b.Node)) })
	return out
}

func (r *remoteDC) messagesOf(p Peer) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages[p]
}

// count notes a message with events. The caller holds the lock.
func (r *remoteDC) count(from Peer) {
	if _, known := r.messages[from]; known || len(r.messages) < peersKept {
		r.messages[from]++
	}
}
