package wan

import (
	"errors"
	"io"
	"net"
	"reflect"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newNetwork returns a Network over real sockets, and the address in datacenter
// a of an echo server in b.
func newNetwork(tb testing.TB, opts Options) (n *Network, addr string) {
	tb.Helper()
	n = New(opts)
	tb.Cleanup(n.Close)
	for _, name := range []string{"a", "b"} {
		if err := n.AddDC(name); err != nil {
			tb.Fatal(err)
		}
	}
	addr, err := n.Proxy("a", "b", serveTCP(tb, func(c net.Conn) { io.Copy(c, c) }))
	if err != nil {
		tb.Fatal(err)
	}
	return n, addr
}

// serveTCP returns the address of a server that handles connections until the
// test ends.
func serveTCP(tb testing.TB, handle func(net.Conn)) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return listener.Addr().String()
}

func dialTest(tb testing.TB, addr string) net.Conn {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func echo(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	buf := make([]byte, len(text))
	if _, err := io.ReadFull(c, buf); err != nil {
		return err
	}
	if string(buf) != text {
		return errors.New("read " + string(buf))
	}
	return nil
}

func TestRealSocketsFeelTheRoundTrip(t *testing.T) {
	n, addr := newNetwork(t, Options{})
	if err := n.SetPair("a", "b", oneWay(20*ms)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c := dialTest(t, addr)
	if err := echo(c, "first"); err != nil {
		t.Fatal(err)
	}
	if got := time.Since(start); got < 80*ms || got > 2*time.Second {
		t.Errorf("handshake and echo took %s, want two round trips of 40ms", got)
	}
	start = time.Now()
	if err := echo(c, "second"); err != nil {
		t.Fatal(err)
	}
	if got := time.Since(start); got < 40*ms || got > time.Second {
		t.Errorf("echo took %s, want a round trip of 40ms", got)
	}
}

func TestRealSocketsAreResetAtHealAndReconnect(t *testing.T) {
	n, addr := newNetwork(t, Options{})
	c := dialTest(t, addr)
	if err := echo(c, "before"); err != nil {
		t.Fatal(err)
	}
	if err := n.CutDC("b"); err != nil {
		t.Fatal(err)
	}
	during := dialTest(t, addr)
	if _, err := io.WriteString(c, "during"); err != nil {
		t.Fatal(err)
	}
	for n.Links()[0].Dropped != 6 { // the read of the proxy is under way in the kernel
		time.Sleep(ms)
	}
	c.SetDeadline(time.Now().Add(20 * ms))
	if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
		t.Fatalf("read through a cut: %v, want silence", err)
	}
	n.Heal()
	for name, c := range map[string]net.Conn{"old": c, "black-holed": during} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the %s connection read %v after heal, want ECONNRESET", name, err)
		}
	}
	if err := echo(dialTest(t, addr), "after"); err != nil {
		t.Errorf("echo after heal: %v", err)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestRealSocketsCarryALotUnharmed(t *testing.T) {
	n, addr := newNetwork(t, Options{BufferBytes: 128 << 10})
	if err := n.SetPair("a", "b", Change{Profile: &Profile{Latency: ms, Jitter: ms}}); err != nil {
		t.Fatal(err)
	}
	c := dialTest(t, addr)
	const size = 8 << 20
	go func() {
		buf := make([]byte, 0, size)
		for i := range size {
			buf = append(buf, byte(i>>8^i))
		}
		for piece := 1; len(buf) > 0; piece = piece*3%50_000 + 1 {
			piece = min(piece, len(buf))
			c.Write(buf[:piece])
			buf = buf[piece:]
		}
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		if b != byte(i>>8^i) {
			t.Fatalf("byte %d is %#x, want %#x", i, b, byte(i>>8^i))
		}
	}
}

func TestMaxConnsMakesLaterOnesWait(t *testing.T) {
	_, addr := newNetwork(t, Options{MaxConns: 1})
	first := dialTest(t, addr)
	if err := echo(first, "first"); err != nil {
		t.Fatal(err)
	}
	second := dialTest(t, addr)
	second.SetDeadline(time.Now().Add(50 * ms))
	if err := echo(second, "x"); !isTimeout(err) {
		t.Fatalf("echo of a connection too many: %v, want silence", err)
	}
	first.Close()
	second.SetDeadline(time.Now().Add(10 * time.Second))
	if err := echo2(second); err != nil {
		t.Errorf("echo when there is room again: %v", err)
	}
}

// echo2 reads what an earlier echo has sent.
func echo2(c net.Conn) error {
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func TestCloseEndsEverything(t *testing.T) {
	n, addr := newNetwork(t, Options{})
	if err := n.SetPair("a", "b", oneWay(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	dialTest(t, addr) // in its handshake for long
	n.Close()
	n.Close()
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Close: %v, want it refused", err)
	}
	if err := n.AddDC("c"); !errors.Is(err, ErrClosed) {
		t.Errorf("AddDC after Close: %v, want %v", err, ErrClosed)
	}
	if err := n.CutDC("a"); !errors.Is(err, ErrClosed) {
		t.Errorf("CutDC after Close: %v, want %v", err, ErrClosed)
	}
	if _, err := n.Proxy("a", "b", "127.0.0.1:1"); !errors.Is(err, ErrClosed) {
		t.Errorf("Proxy after Close: %v, want %v", err, ErrClosed)
	}
}

func TestProxyOfTheSameRouteIsTheSame(t *testing.T) {
	n, _ := newNetwork(t, Options{})
	first, err := n.Proxy("a", "b", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := n.Proxy("a", "b", "127.0.0.1:9"); err != nil || second != first {
		t.Errorf("Proxy = %s, %v, want %s", second, err, first)
	}
	if back, err := n.Proxy("b", "a", "127.0.0.1:9"); err != nil || back == first {
		t.Errorf("Proxy the other way = %s, %v, want another address", back, err)
	}
}

func TestErrorsNameWhatIsWrong(t *testing.T) {
	n, _ := newNetwork(t, Options{})
	proxy := func(from, to, target string) error {
		_, err := n.Proxy(from, to, target)
		return err
	}
	tests := []struct {
		name string
		got  error
		want string
	}{
		{
			"unknown datacenter of a link", n.Set("a", "z", Change{State: Cut}),
			`wan: change link: unknown datacenter "z" (known: a, b)`,
		},
		{
			"unknown datacenter", n.CutDC("z"),
			`wan: change link: unknown datacenter "z" (known: a, b)`,
		},
		{
			"no datacenter at all", New(Options{}).CutDC("z"),
			`wan: change link: unknown datacenter "z" (none is known yet)`,
		},
		{
			"link to itself", n.Set("a", "a", Change{State: Cut}),
			`wan: change link: "a" has no link to itself`,
		},
		{
			"nothing to change", n.Set("a", "b", Change{}),
			`wan: change link a-b: neither profile nor state is given`,
		},
		{
			"unknown state", n.Set("a", "b", Change{State: 9}),
			`wan: change link a-b: state(9) is no state of a link`,
		},
		{
			"negative latency", n.SetPair("a", "b", oneWay(-1)),
			`wan: change link a-b: latency -1ns is not between 0s and 30s`,
		},
		{
			"jitter too long", n.SetDC("a", Change{Profile: &Profile{Jitter: time.Minute}}),
			`wan: change link a: jitter 1m0s is not between 0s and 30s`,
		},
		{
			"negative bandwidth", n.Set("a", "b", Change{Profile: &Profile{Bandwidth: -5}}),
			`wan: change link a-b: bandwidth -5 is negative (0 is unlimited)`,
		},
		{
			"proxy to an unknown datacenter", proxy("a", "z", "127.0.0.1:9"),
			`wan: proxy to 127.0.0.1:9: unknown datacenter "z" (known: a, b)`,
		},
		{
			"proxy to elsewhere", proxy("a", "b", "192.0.2.1:9"),
			`wan: proxy from a to b: target "192.0.2.1:9" is not on loopback; use 127.0.0.1, ::1 or localhost`,
		},
		{
			"proxy without a port", proxy("a", "b", "localhost"),
			`wan: proxy from a to b: target "localhost" is not host:port: address localhost: missing port in address`,
		},
		{"datacenter without a name", n.AddDC(""), `wan: a datacenter needs a name`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got == nil || tt.got.Error() != tt.want {
				t.Errorf("error %v\nwant  %s", tt.got, tt.want)
			}
		})
	}
	if err := n.CutDC("z"); !errors.Is(err, ErrUnknownDC) {
		t.Errorf("%v is not ErrUnknownDC", err)
	}
}

func TestLinksShowsEveryDirection(t *testing.T) {
	n, _ := newNetwork(t, Options{})
	if err := n.AddDC("c"); err != nil {
		t.Fatal(err)
	}
	if err := n.AddDC("a"); err != nil { // known already
		t.Fatal(err)
	}
	rtts, err := ParseRTTs("a-b=10ms", []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	n.Apply(rtts)
	if err := n.Set("c", "a", Change{State: Frozen, Profile: &Profile{Jitter: ms, Bandwidth: 7}}); err != nil {
		t.Fatal(err)
	}
	want := []Status{
		{From: "a", To: "b", State: Up, Profile: Profile{Latency: 5 * ms}},
		{From: "a", To: "c", State: Up, Profile: Profile{Latency: 40 * ms}},
		{From: "b", To: "a", State: Up, Profile: Profile{Latency: 5 * ms}},
		{From: "b", To: "c", State: Up, Profile: Profile{Latency: 40 * ms}},
		{From: "c", To: "a", State: Frozen, Profile: Profile{Jitter: ms, Bandwidth: 7}},
		{From: "c", To: "b", State: Up, Profile: Profile{Latency: 40 * ms}},
	}
	if got := n.Links(); !reflect.DeepEqual(got, want) {
		t.Errorf("Links() = %+v\nwant %+v", got, want)
	}
}
