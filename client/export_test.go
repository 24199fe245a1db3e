package client

import "google.golang.org/grpc/connectivity"

// Broken reports whether the client knows that it has no connection to addr.
func (c *Client) Broken(addr string) bool {
	for _, n := range c.nodes {
		if n.addr == addr {
			n.conn.Connect()
			return n.conn.GetState() == connectivity.TransientFailure
		}
	}
	return false
}

// NearHits counts the reads that the near cache of a client has answered.
func NearHits(c *Client) uint64 { return c.near.hits.Load() }
