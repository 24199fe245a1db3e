package wan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// acceptPause is the pause after an accept that failed, as it does when the
// process is out of file descriptors.
const acceptPause = 50 * time.Millisecond

// socket is what the proxy needs of a *net.TCPConn.
type socket interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// route is what one listener leads to.
type route struct{ from, to, target string }

// Proxy returns the address of a listener on 127.0.0.1 through which datacenter
// from reaches targetAddr, a loopback host:port that lives in datacenter to. What
// the client sends travels over the link from -> to, what the server answers over
// to -> from. A handshake takes one round trip, and is lost, held back or refused
// as the states of both links say. The target need not be listening yet.
//
// The listener stays open until Close; asking again for the same route returns
// the same address. An error wraps ErrUnknownDC for a name that was not added.
func (n *Network) Proxy(from, to, targetAddr string) (listenAddr string, err error) {
	if err := checkLoopback(targetAddr); err != nil {
		return "", fmt.Errorf("wan: proxy from %s to %s: %w", from, to, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.checkNames([]string{from, to}); err != nil {
		return "", fmt.Errorf("wan: proxy to %s: %w", targetAddr, err)
	}
	r := route{from, to, targetAddr}
	if listener, ok := n.routes[r]; ok {
		return listener.Addr().String(), nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("wan: proxy to %s: %w", targetAddr, err)
	}
	n.routes[r] = listener
	n.wg.Go(func() { n.accept(listener, r) })
	return listener.Addr().String(), nil
}

// accept serves the connections of one listener until the Network closes.
func (n *Network) accept(listener net.Listener, r route) {
	slots := make(chan struct{}, n.opts.MaxConns)
	for {
		select {
		case slots <- struct{}{}:
		case <-n.done:
			return
		}
		client, err := listener.Accept()
		if err != nil {
			<-slots
			if errors.Is(err, net.ErrClosed) {
				return
			}
			n.opts.Logger.Warn("connection not accepted", "from", r.from, "to", r.to, "error", err)
			select {
			case <-time.After(acceptPause):
			case <-n.done:
				return
			}
			continue
		}
		tcp, ok := client.(*net.TCPConn)
		if !ok {
			panic("wan: a TCP listener accepted something else")
		}
		n.serve(tcp, r, func() { <-slots })
	}
}

// dialTCP returns the dialer of a Network.
func dialTCP(timeout time.Duration) func(context.Context, string) (socket, error) {
	return func(ctx context.Context, addr string) (socket, error) {
		dialer := net.Dialer{Timeout: timeout}
		c, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			panic("wan: a TCP dialer returned something else")
		}
		return tcp, nil
	}
}

// checkLoopback requires a host and port on this machine: the emulation must not
// become a relay to elsewhere.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("target %q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("target %q is not on loopback; use 127.0.0.1, ::1 or localhost", addr)
	}
	return nil
}
