package wan

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"
)

// memSocket is one end of a connection in memory, so that the pacing can be
// tested in virtual time. A reset shows as ECONNRESET, as with TCP.
type memSocket struct {
	net.Conn // nil: deadlines and addresses are not used

	in    *io.PipeReader
	out   *io.PipeWriter
	reset bool
}

func memPair() (a, b *memSocket) {
	aIn, bOut := io.Pipe()
	bIn, aOut := io.Pipe()
	return &memSocket{in: aIn, out: aOut}, &memSocket{in: bIn, out: bOut}
}

func (s *memSocket) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *memSocket) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *memSocket) CloseWrite() error           { return s.out.Close() }

func (s *memSocket) SetLinger(sec int) error {
	s.reset = sec == 0
	return nil
}

func (s *memSocket) Close() error {
	if s.reset {
		s.in.CloseWithError(syscall.ECONNRESET)
		return s.out.CloseWithError(syscall.ECONNRESET)
	}
	s.in.Close()
	return s.out.Close()
}

// bubble is a Network in virtual time with two datacenters, a and b, and one
// server in b.
type bubble struct {
	*Network

	t        *testing.T
	accepted chan *memSocket
	refuse   bool
}

func newBubble(t *testing.T, opts Options) *bubble {
	opts.Rand = rand.New(rand.NewPCG(1, 2))
	b := &bubble{Network: New(opts), t: t, accepted: make(chan *memSocket, 16)}
	b.dial = func(context.Context, string) (socket, error) {
		if b.refuse {
			return nil, syscall.ECONNREFUSED
		}
		ours, theirs := memPair()
		b.accepted <- theirs
		return ours, nil
	}
	for _, name := range []string{"a", "b"} {
		if err := b.AddDC(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(b.Close)
	return b
}

// connect returns the client's end of a new connection from a to b.
func (b *bubble) connect() *memSocket {
	theirs, ours := memPair()
	b.serve(ours, route{from: "a", to: "b", target: "server"}, func() {})
	return theirs
}

// open returns both ends of a new connection from a to b, with the handshake
// behind it.
func (b *bubble) open() (client, server *memSocket) {
	b.t.Helper()
	client = b.connect()
	server = <-b.accepted
	b.send(client, "hello")
	b.expect(server, "hello")
	b.send(server, "welcome")
	b.expect(client, "welcome")
	return client, server
}

func (b *bubble) set(from, to string, change Change) {
	b.t.Helper()
	if err := b.Set(from, to, change); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) send(s *memSocket, text string) {
	b.t.Helper()
	if _, err := io.WriteString(s, text); err != nil {
		b.t.Errorf("write %q: %v", text, err)
	}
}

// expect reads exactly the text.
func (b *bubble) expect(s *memSocket, text string) {
	b.t.Helper()
	buf := make([]byte, len(text))
	if n, err := io.ReadFull(s, buf); err != nil || string(buf) != text {
		b.t.Errorf("read %q, %v, want %q", buf[:n], err, text)
	}
}

// expectReset requires that the next thing that s hears is a reset.
func (b *bubble) expectReset(s *memSocket) {
	b.t.Helper()
	buf := make([]byte, 1)
	if n, err := s.Read(buf); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		b.t.Errorf("read %q, %v, want a reset", buf[:n], err)
	}
}

// silence requires that s hears nothing for a time. The channel then gives what it
// hears next: bytes, or an error's text.
func (b *bubble) silence(s *memSocket, during time.Duration) <-chan string {
	b.t.Helper()
	heard := make(chan string, 1)
	go func() {
		buf := make([]byte, 1024)
		n, err := s.Read(buf)
		if err != nil {
			heard <- err.Error()
			return
		}
		heard <- string(buf[:n])
	}()
	select {
	case text := <-heard:
		b.t.Errorf("heard %q, want nothing for %s", text, during)
		heard <- text
	case <-time.After(during):
	}
	return heard
}

func (b *bubble) connCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

func (b *bubble) status(from, to string) Status {
	b.t.Helper()
	for _, s := range b.Links() {
		if s.From == from && s.To == to {
			return s
		}
	}
	b.t.Fatalf("no link %s-%s", from, to)
	return Status{}
}

func oneWay(d time.Duration) Change { return Change{Profile: &Profile{Latency: d}} }
