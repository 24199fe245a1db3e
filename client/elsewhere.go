package client

import (
	"slices"
	"time"

	"google.golang.org/grpc/connectivity"
)

// A client of several datacenters stays with the first. A call about a key goes
// to the next one once nobody in those before it can be reached, or has answered,
// and the call after it begins with the first again, unless that is known to be
// away. A session goes along: the other datacenter answers when it has got what
// the session has seen, and says so where it has not. A write that may have been
// carried out is repeated in its own datacenter only, which alone can tell.

// everywhere lists the nodes in which a call about a key should try them: those
// of order, and those of the other datacenters. Nodes that cannot be reached, or
// that did not answer of late, come last.
func (c *Client) everywhere() []*node {
	nodes := c.order()
	if len(c.far) == 0 {
		return nodes
	}
	now := time.Now()
	var away []*node
	nodes = slices.DeleteFunc(append(nodes, c.far...), func(n *node) bool {
		gone := n.gone(now)
		if gone {
			away = append(away, n)
		}
		return gone
	})
	return append(nodes, away...)
}

// gone reports whether a node cannot be reached, or did not answer of late. One
// that is being connected to is not.
func (n *node) gone(now time.Time) bool {
	return n.conn.GetState() == connectivity.TransientFailure || n.failures.Load() > 0 && n.avoid.Load() > now.UnixNano()
}

// ready is the first node that a call can be sent to at once; nil if there is
// none. While one at home is being connected to, none of another datacenter is.
func ready(nodes []*node, now time.Time) *node {
	soon := false
	for _, n := range nodes {
		if n.dc != 0 && soon {
			continue
		}
		if n.failures.Load() == 0 && n.conn.GetState() == connectivity.Ready {
			return n
		}
		soon = soon || n.dc == 0 && !n.gone(now)
	}
	return nil
}

// within leaves of the nodes of a call those of the datacenter of one of them.
func within(nodes []*node, at int) (same []*node, now int) {
	for i, n := range nodes {
		if i == at {
			now = len(same)
		}
		if n.dc == nodes[at].dc {
			same = append(same, n)
		}
	}
	return same, now
}
