package client

import "google.golang.org/grpc/connectivity"

// Broken reports whether the client knows that it has no connection to addr.
func (c *Client) Broken(addr string) bool { return c.connection(addr) == connectivity.TransientFailure }

// Connected reports whether the client has a connection to addr.
func (c *Client) Connected(addr string) bool { return c.connection(addr) == connectivity.Ready }

// Connecting reports whether the client makes a connection to addr.
func (c *Client) Connecting(addr string) bool { return c.connection(addr) == connectivity.Connecting }

// connection is the state of the connection to addr, which is made if there is none.
func (c *Client) connection(addr string) connectivity.State {
	for _, n := range c.nodes {
		if n.addr == addr {
			n.conn.Connect()
			return n.conn.GetState()
		}
	}
	return connectivity.Shutdown
}

// NearHits counts the reads that the near cache of a client has answered.
func NearHits(c *Client) uint64 { return c.near.hits.Load() }
