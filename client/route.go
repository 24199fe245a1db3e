package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/connectivity"
)

// Transport is how calls about keys travel.
type Transport uint8

const (
	// Pipelined sends calls about one key straight to an owner of it, over one
	// stream to each node that all calls share, and the parts of a batch to the
	// owners of its keys. Nodes that do not offer that are asked as by Unary.
	Pipelined Transport = iota
	// Unary sends each call on its own, and only to the addresses given to Open:
	// for proxies, and for programs that make one call and end.
	Unary
)

// String is the name of the transport.
func (t Transport) String() string {
	switch t {
	case Pipelined:
		return "pipelined"
	case Unary:
		return "unary"
	}
	return fmt.Sprintf("transport(%d)", uint8(t))
}

const (
	avoidFirst = 50 * time.Millisecond // how long a node is avoided after a failure
	avoidMost  = 5 * time.Second       // ... and after many
)

// route lists the nodes in which a call about a key should try them: its owners,
// those that failed of late or cannot be reached last, and then all others. A
// write goes to the first owner, where others to the same key are; a read goes to
// another if the first has much more to do, as the key is popular.
func (c *Client) route(bucket string, key []byte, write bool) func(context.Context, bool) []*node {
	if c.opts.Transport != Pipelined {
		return nil
	}
	return func(ctx context.Context, suspect bool) []*node {
		owners := c.ownersOf(ctx, bucket, key, suspect)
		rest := c.everywhere()
		if len(owners) == 0 {
			return rest
		}
		return c.arrange(owners, rest, write)
	}
}

// arrange puts owners and all other nodes in the order of a route.
func (c *Client) arrange(owners, rest []*node, write bool) []*node {
	now := time.Now()
	nodes := make([]*node, 0, len(owners)+len(rest))
	for _, n := range owners {
		if n.usable(now) {
			nodes = append(nodes, n)
		}
	}
	if !write && leastBusyFirst(nodes) {
		c.stats.spread.Add(1)
	}
	if len(nodes) == 0 { // a node that can be reached may reach them
		if n := ready(rest, now); n != nil {
			nodes = append(nodes, n)
		}
	}
	return addMissing(addMissing(nodes, owners), rest)
}

// addMissing appends those of more that nodes do not contain.
func addMissing(nodes, more []*node) []*node {
	for _, n := range more {
		if !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// busier is how many times as many attempts as the least busy owner, and these
// many more, the first must have before a read goes elsewhere: less is chance.
const busier = 2

const busierBy = 8

// leastBusyFirst puts the node with the fewest attempts under way first if the
// one that is has far more.
func leastBusyFirst(nodes []*node) bool {
	if len(nodes) < 2 {
		return false
	}
	least := slices.MinFunc(nodes, func(a, b *node) int { return int(a.open.Load() - b.open.Load()) })
	if nodes[0].open.Load() <= busier*least.open.Load()+busierBy {
		return false
	}
	i := slices.Index(nodes, least)
	nodes[0], nodes[i] = nodes[i], nodes[0]
	return true
}

// usable reports whether a call may begin with the node. Of one that failed, a
// single call finds out whether it is back, while others go elsewhere.
func (n *node) usable(now time.Time) bool {
	if s := n.conn.GetState(); s != connectivity.Ready {
		if s == connectivity.Idle {
			n.conn.Connect()
		}
		return false
	}
	k := n.failures.Load()
	if k == 0 {
		return true
	}
	until := n.avoid.Load()
	return until <= now.UnixNano() && n.avoid.CompareAndSwap(until, now.Add(avoidance(k)).UnixNano())
}

// avoidance is how long a node is avoided after so many failures in a row.
func avoidance(failures int32) time.Duration {
	if failures > 6 {
		return avoidMost
	}
	return avoidFirst << (failures - 1)
}

// maxOutruns is after how many reads in a row that others answered first a node
// counts as one that does not answer.
const maxOutruns = 3

// wasOutrun notes that another node, which was asked later, answered first. That is
// no answer of this one, and tells nothing of how fast it is.
func (n *node) wasOutrun() {
	if n.outruns.Add(1) >= maxOutruns {
		n.outruns.Store(0)
		n.answers(false)
	}
}

// answers notes whether a node answered.
func (n *node) answers(yes bool) {
	if yes {
		if n.failures.Load() != 0 {
			n.failures.Store(0)
			n.avoid.Store(0)
		}
		if n.outruns.Load() != 0 {
			n.outruns.Store(0)
		}
		return
	}
	n.avoid.Store(time.Now().Add(avoidance(n.failures.Add(1))).UnixNano())
}
