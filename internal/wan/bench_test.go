package wan

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// BenchmarkThroughput is one connection over a link that adds nothing.
func BenchmarkThroughput(b *testing.B) {
	n, _ := newNetwork(b, Options{})
	sink, err := n.Proxy("a", "b", serveTCP(b, func(c net.Conn) { io.Copy(io.Discard, c) }))
	if err != nil {
		b.Fatal(err)
	}
	c := dialTest(b, sink)
	c.SetDeadline(time.Time{})
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrip reports by how much an echo over a link of 10 ms one way
// misses 20 ms, and what an echo costs over a link that adds nothing.
func BenchmarkRoundTrip(b *testing.B) {
	for _, latency := range []time.Duration{0, 10 * ms} {
		b.Run(latency.String(), func(b *testing.B) {
			n, addr := newNetwork(b, Options{})
			if err := n.SetPair("a", "b", oneWay(latency)); err != nil {
				b.Fatal(err)
			}
			c := dialTest(b, addr)
			c.SetDeadline(time.Time{})
			if err := echo(c, "hello"); err != nil {
				b.Fatal(err)
			}
			var late []time.Duration
			for b.Loop() {
				start := time.Now()
				if err := echo(c, "ping"); err != nil {
					b.Fatal(err)
				}
				late = append(late, time.Since(start)-2*latency)
			}
			slices.Sort(late)
			b.ReportMetric(float64(late[len(late)/2].Microseconds()), "us-late-p50")
			b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "us-late-p99")
		})
	}
}
