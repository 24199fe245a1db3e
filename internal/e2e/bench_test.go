package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/emulated"
)

const (
	benchClients = 64
	benchKeys    = 10_000
	benchValue   = 128 // bytes
)

// benchCluster starts datacenters on disk and a client of the first.
func benchCluster(b *testing.B, dcs []string, nodes int) (*emulated.Cluster, *client.Client) {
	b.Helper()
	c, err := emulated.Start(b.Context(), emulated.Options{Dir: b.TempDir(), DCs: dcs, Nodes: nodes})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	cl, err := client.Open(b.Context(), client.Options{Addrs: c.Info().DCs[0].GRPC, DC: dcs[0], RoundRobin: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cl.Close() })
	return c, cl
}

// load runs op from a number of clients until b.N is reached, and reports
// operations a second and latencies.
func load(b *testing.B, clients int, op func(i int) error) {
	b.Helper()
	var mu sync.Mutex
	var all []time.Duration
	next := make(chan int, clients)
	var work sync.WaitGroup
	b.ResetTimer()
	for range clients {
		work.Go(func() {
			var mine []time.Duration
			for i := range next {
				start := time.Now()
				if err := op(i); err != nil {
					b.Error(err)
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	for i := range b.N {
		next <- i
	}
	close(next)
	work.Wait()
	b.StopTimer()
	slices.Sort(all)
	us := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) }
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(us(0.5), "p50-us")
	b.ReportMetric(us(0.99), "p99-us")
}

func benchKey(i int) string { return fmt.Sprintf("k%d", i%benchKeys) }

// One datacenter of three nodes, N=3, W=2, R=2, durable, 128 B values.
func BenchmarkPut(b *testing.B) {
	_, cl := benchCluster(b, []string{"use1"}, 3)
	value := make([]byte, benchValue)
	load(b, benchClients, func(i int) error {
		_, err := cl.Put(b.Context(), benchKey(i), value)
		return err
	})
}

func BenchmarkGet(b *testing.B) {
	_, cl := benchCluster(b, []string{"use1"}, 3)
	value := make([]byte, benchValue)
	for i := range 1000 {
		if _, err := cl.Put(b.Context(), benchKey(i), value); err != nil {
			b.Fatal(err)
		}
	}
	load(b, benchClients, func(i int) error {
		_, err := cl.Get(b.Context(), benchKey(i%1000))
		return err
	})
}

func BenchmarkIncr(b *testing.B) {
	_, cl := benchCluster(b, []string{"use1"}, 3)
	load(b, benchClients, func(i int) error {
		_, err := cl.Incr(b.Context(), benchKey(i), 1)
		return err
	})
}

// One node, one client: what a durable put costs beside one fsync.
func BenchmarkPutOneClientOneNode(b *testing.B) {
	_, cl := benchCluster(b, []string{"use1"}, 1)
	value := make([]byte, benchValue)
	load(b, 1, func(i int) error {
		_, err := cl.Put(b.Context(), benchKey(i), value)
		return err
	})
}

// What a cut costs the datacenter that is cut off: nothing, if I5 holds.
func BenchmarkPutWhileCut(b *testing.B) {
	for _, cut := range []bool{false, true} {
		b.Run(fmt.Sprintf("cut=%v", cut), func(b *testing.B) {
			c, cl := benchCluster(b, []string{"use1", "euw1"}, 3)
			if cut {
				if err := c.WAN().CutDC("use1"); err != nil {
					b.Fatal(err)
				}
			}
			value := make([]byte, benchValue)
			load(b, 8, func(i int) error {
				_, err := cl.Put(b.Context(), benchKey(i), value)
				return err
			})
		})
	}
}
