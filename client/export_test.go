package client

import (
	"context"

	"google.golang.org/grpc/connectivity"
)

// Await waits until the connection to addr is in a state, and has one made if there
// is none. It reports false if ctx ends before that, or nobody has that address.
func (c *Client) Await(ctx context.Context, addr string, want connectivity.State) bool {
	for _, n := range c.nodes {
		for n.addr == addr {
			n.conn.Connect()
			have := n.conn.GetState()
			if have == want {
				return true
			}
			if !n.conn.WaitForStateChange(ctx, have) {
				return false
			}
		}
	}
	return false
}

// NearHits counts the reads that the near cache of a client has answered.
func NearHits(c *Client) uint64 { return c.near.hits.Load() }
