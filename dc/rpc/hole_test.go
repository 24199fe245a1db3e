package rpc_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// hole passes TCP on until it swallows everything, as a cut cable does: no
// side is told.
type hole struct {
	t       *testing.T
	swallow atomic.Bool
	work    sync.WaitGroup
	mu      sync.Mutex
	conns   []net.Conn
}

func newHole(t *testing.T) *hole { return &hole{t: t} }

// through returns an address that leads to another one.
func (h *hole) through(to string) string {
	lis := listen(h.t, "127.0.0.1:0")
	h.t.Cleanup(func() {
		lis.Close()
		h.mu.Lock()
		for _, c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
		h.work.Wait()
	})
	h.work.Go(func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			var d net.Dialer
			out, err := d.DialContext(context.Background(), "tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			h.mu.Lock()
			h.conns = append(h.conns, in, out)
			h.mu.Unlock()
			h.work.Go(func() { h.copy(in, out) })
			h.work.Go(func() { h.copy(out, in) })
		}
	})
	return lis.Addr().String()
}

func (h *hole) copy(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if h.swallow.Load() {
			n = 0
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			if !h.swallow.Load() {
				to.Close()
			}
			return
		}
	}
}
