package wan

import (
	"context"
	"time"
)

// conn is one proxied connection: two sockets and a flow for each direction.
// Network.mu guards it.
//
// It opens as TCP does. A syn travels up and, on arrival, dials the target; a
// synack travels down and lets the client's bytes start; an ack travels up and
// lets the server's bytes start. So the client's first byte arrives 1.5 round
// trips after it connected, and a server's greeting after 2, although the kernel
// tells the client at once that it is connected.
type conn struct {
	net     *Network
	target  string
	client  socket
	server  socket // nil until dialed
	up      flow   // client to server
	down    flow   // server to client
	cancel  context.CancelFunc
	release func() // gives back the slot of the proxy
	dead    bool
}

// serve takes over an accepted client of route r. It calls release once, when
// the connection has ended.
func (n *Network) serve(client socket, r route, release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{net: n, target: r.target, client: client, cancel: cancel, release: release}

	n.mu.Lock()
	defer n.mu.Unlock()
	c.up.init(c, n.links[pair{r.from, r.to}], &c.down)
	c.down.init(c, n.links[pair{r.to, r.from}], &c.up)
	c.up.src, c.down.dst = client, client
	n.conns[c] = struct{}{}
	if n.closed || c.up.link.state == Reset || c.down.link.state == Reset {
		c.end(true)
		return
	}
	n.wg.Go(func() { c.up.write(ctx) })
	n.wg.Go(func() { c.down.write(ctx) })
	c.up.push(segment{kind: segSyn})
}

// dial connects to the target on behalf of a syn that has arrived. It is called
// by the writer of the up flow, without Network.mu.
func (c *conn) dial(ctx context.Context) {
	c.net.mu.Lock()
	blind := c.down.link.state == Cut
	if blind {
		// The answer would be lost, so a server would not see the connection
		// become established; dialing would show it one.
		c.down.lose()
	}
	c.net.mu.Unlock()
	if blind {
		return
	}

	server, err := c.net.dial(ctx, c.target)

	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	switch {
	case err != nil && !c.dead:
		c.down.push(segment{kind: segReset})
	case err == nil && c.dead:
		// Nobody is left who could use it or hear of an error.
		_ = server.Close()
	case err == nil:
		c.server, c.up.dst, c.down.src = server, server, server
		c.down.push(segment{kind: segSynAck})
	}
}

// linksChanged brings the connection in line with links that were just changed.
// It is reset if a link resets, or if it has lost bytes and both directions are
// up again: only then can a peer learn of it.
func (c *conn) linksChanged(changed map[*link]bool, now time.Time) {
	for _, f := range []*flow{&c.up, &c.down} {
		if changed[f.link] {
			f.linkChanged(now)
		}
	}
	up, down := c.up.link.state, c.down.link.state
	if up == Reset || down == Reset || c.broken() && up == Up && down == Up {
		c.end(true)
	}
}

// broken reports whether one of the flows has lost something.
func (c *conn) broken() bool { return c.up.hole || c.down.hole }

// drain starts the readers of a broken connection that did not get as far as
// that, so that a side that hangs up is noticed. What they read is lost: it
// belongs to a handshake that never ended.
func (c *conn) drain() {
	for _, f := range []*flow{&c.up, &c.down} {
		if !f.reading {
			f.hole = true
			f.queue.drop()
		}
		if f.src != nil {
			f.startReading()
		}
	}
}

// abandon ends a broken connection when nobody is left who could notice it, so
// that peers that keep on trying in a long cut do not pile up sockets here.
func (c *conn) abandon() {
	if c.broken() && c.up.ended && (c.server == nil || c.down.ended) {
		c.end(true)
	}
}

// end closes both sockets, with a TCP reset if reset is set, and lets the
// connection's goroutines end. Ending twice is harmless.
func (c *conn) end(reset bool) {
	if c.dead {
		return
	}
	c.dead = true
	delete(c.net.conns, c)
	c.cancel()
	for _, s := range []socket{c.client, c.server} {
		if s == nil {
			continue
		}
		// Errors mean that the peer was faster; the socket is gone either way.
		if reset {
			_ = s.SetLinger(0)
		}
		_ = s.Close()
	}
	for _, f := range []*flow{&c.up, &c.down} {
		f.queue.drop()
		f.room.wake()
		f.news.wake()
	}
	c.release()
}
