package client

import (
	"context"
	"slices"
	"time"
)

// Transport is how calls about one key travel.
type Transport uint8

const (
	// Unary sends each call on its own, to the addresses given to Open: for
	// proxies, and where nodes cannot be reached at the addresses that they name.
	Unary Transport = iota
	// Pipelined sends calls about one key straight to an owner of it, over one
	// stream to each node that all calls share. Whatever does not fit that, or
	// nodes do not offer, is Unary.
	Pipelined
)

const (
	avoidFirst = 50 * time.Millisecond // how long a node is avoided after a failure
	avoidMost  = 5 * time.Second       // ... and after many
)

// route lists the nodes in which a call about a key should try them: its owners,
// those that failed of late last, and then all others.
func (c *Client) route(bucket string, key []byte) func(context.Context, bool) []*node {
	if c.opts.Transport != Pipelined {
		return nil
	}
	return func(ctx context.Context, suspect bool) []*node {
		owners := c.ownersOf(ctx, bucket, key, suspect)
		rest := c.order()
		if len(owners) == 0 {
			return rest
		}
		now := time.Now().UnixNano()
		nodes := make([]*node, 0, len(owners)+len(rest))
		for _, n := range owners {
			if n.avoid.Load() <= now {
				nodes = append(nodes, n)
			}
		}
		for _, n := range append(slices.Clone(owners), rest...) {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
		return nodes
	}
}

// answers notes whether a node answered.
func (n *node) answers(yes bool) {
	if yes {
		if n.failures.Load() != 0 {
			n.failures.Store(0)
			n.avoid.Store(0)
		}
		return
	}
	pause := avoidMost
	if k := n.failures.Add(1) - 1; k < 6 {
		pause = avoidFirst << k
	}
	n.avoid.Store(time.Now().Add(pause).UnixNano())
}
