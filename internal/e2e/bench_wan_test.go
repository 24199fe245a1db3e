package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/internal/wan"
	"github.com/godwitdb/godwit/replication"
)

// How long the benchmarks between datacenters take. With -wan-full they take the
// times that their limits are stated for.
var wanFull = flag.Bool("wan-full", false, "benchmarks between datacenters at full length: cuts of 60 s and 30 s")

func lasting(full, short time.Duration) time.Duration {
	if *wanFull {
		return full
	}
	return short
}

const oneWay = 40 * time.Millisecond

// pair is two datacenters 40 ms apart, on disk, and a client of each.
type pair struct {
	*emulated.Cluster

	clients []*client.Client
}

func startPair(b *testing.B, nodes int) *pair {
	b.Helper()
	dcs := []string{"use1", "euw1"}
	rtts, err := wan.ParseRTTs("use1-euw1=80ms", dcs)
	if err != nil {
		b.Fatal(err)
	}
	c, err := emulated.Start(b.Context(), emulated.Options{Dir: b.TempDir(), DCs: dcs, Nodes: nodes, RTTs: rtts})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	p := &pair{Cluster: c}
	for i, name := range dcs {
		cl, err := client.Open(b.Context(), client.Options{Addrs: c.Info().DCs[i].GRPC, DC: name})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = cl.Close() })
		p.clients = append(p.clients, cl)
	}
	return p
}

// level waits until all replicas are equal and returns how long that took.
func (p *pair) level(b *testing.B, within time.Duration) time.Duration {
	b.Helper()
	began := time.Now()
	for {
		err := equalReplicas(b.Context(), p.clients)
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > within {
			b.Fatalf("not equal after %v: %v", within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// carried is how many bytes went from one datacenter to the other so far.
func (p *pair) carried(from, to string) int64 {
	for _, l := range p.WAN().Links() {
		if l.From == from && l.To == to {
			return l.Bytes
		}
	}
	return 0
}

func (p *pair) cut(b *testing.B) {
	b.Helper()
	if err := p.WAN().CutDC("use1"); err != nil {
		b.Fatal(err)
	}
}

// paced calls op at a rate, so many times or, if that is 0, for a while, and
// returns how many calls were made and how long they took. As many as clients are
// under way at once: a slow op makes the calls late, and none of them is left out.
func paced(b *testing.B, rate, clients, times int, lasts time.Duration, op func(i int) error) (calls int, took time.Duration) {
	b.Helper()
	due := make(chan int)
	var work sync.WaitGroup
	for range clients {
		work.Go(func() {
			for i := range due {
				if err := op(i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	began := time.Now()
	for times > 0 && calls < times || times == 0 && time.Since(began) < lasts {
		time.Sleep(time.Until(began.Add(time.Duration(calls) * time.Second / time.Duration(rate))))
		due <- calls
		calls++
	}
	close(due)
	work.Wait()
	return calls, time.Since(began)
}

// once skips what a benchmark framework would repeat: these take seconds.
func once(b *testing.B) {
	b.Helper()
	if b.N > 1 {
		b.Skip("measured once")
	}
}

// BenchmarkLag is the replication lag beyond the one-way delay of a link of 40 ms
// at 1,000 writes a second, by beacons at random phase.
func BenchmarkLag(b *testing.B) {
	once(b)
	for _, nodes := range []int{1, 3} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			once(b)
			p, value := startPair(b, nodes), make([]byte, benchValue)
			// Lag is that of the last minute, and the first beacons wait until the other
			// datacenter begins to pull. Of sixty beacons of a shorter run they would be
			// the slowest, and so its 99th percentile, whatever came after them.
			calls, took := paced(b, 1000, 64, 0, 65*time.Second, func(i int) error {
				_, err := p.clients[0].Put(b.Context(), benchKey(i*7919), value)
				return err
			})
			var p50, p99 time.Duration
			beacons := 0
			for _, n := range p.Topology().Datacenters[1].Nodes {
				for _, l := range p.Node(n.ID).Replication().Lag() {
					p50 += l.P50 * time.Duration(l.Samples)
					p99 = max(p99, l.P99)
					beacons += l.Samples
				}
			}
			p50 /= time.Duration(max(beacons, 1))
			b.ReportMetric(float64(calls)/took.Seconds(), "writes/s")
			b.ReportMetric(float64((p50-oneWay).Microseconds())/1000, "excess-p50-ms")
			b.ReportMetric(float64((p99-oneWay).Microseconds())/1000, "excess-p99-ms")
			b.ReportMetric(float64(beacons), "beacons")
		})
	}
}

// BenchmarkHotCounterAfterCut is what a counter that was raised 10,000 times a
// second during a cut ships after the heal, everything else on the link included.
func BenchmarkHotCounterAfterCut(b *testing.B) {
	once(b)
	for _, nodes := range []int{1, 3} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) { hotCounter(b, nodes) })
	}
}

func hotCounter(b *testing.B, nodes int) {
	once(b)
	p := startPair(b, nodes)
	p.level(b, time.Minute)
	lasts := lasting(time.Minute, 10*time.Second)
	p.cut(b)
	calls, cut := paced(b, 10_000, 256, 0, lasts, func(int) error {
		_, err := p.clients[0].Incr(b.Context(), "hot", 1)
		return err
	})
	there, back := p.carried("use1", "euw1"), p.carried("euw1", "use1")
	p.WAN().Heal()
	took := p.level(b, time.Minute)
	value, err := p.clients[1].Get(b.Context(), "hot")
	if err != nil || value.Integer != int64(calls) {
		b.Errorf("the other datacenter counts %v, want %d: %v", value, calls, err)
	}
	b.ReportMetric(float64(calls)/cut.Seconds(), "increments/s")
	b.ReportMetric(float64(calls), "increments")
	b.ReportMetric(float64(p.carried("use1", "euw1")-there)/1000, "shipped-kB")
	b.ReportMetric(float64(p.carried("euw1", "use1")-back)/1000, "back-kB")
	b.ReportMetric(took.Seconds(), "equal-after-s")
}

// BenchmarkWritesAfterCut is how long 100,000 distinct writes of a cut of 30
// seconds take to be applied after the heal.
func BenchmarkWritesAfterCut(b *testing.B) {
	once(b)
	for _, nodes := range []int{1, 3} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			once(b)
			p := startPair(b, nodes)
			p.level(b, time.Minute)
			p.cut(b)
			const inBatch = 100
			writes, lasts := 100_000, lasting(30*time.Second, 10*time.Second)
			began := time.Now()
			batches, _ := paced(b, writes/inBatch*int(time.Second)/int(lasts), 16, writes/inBatch, 0, func(i int) error {
				var ops []client.Op
				for j := range inBatch {
					ops = append(ops, client.PutOp(fmt.Sprintf("w%d", i*inBatch+j), make([]byte, benchValue)))
				}
				_, err := p.clients[0].BatchUpdate(b.Context(), ops)
				return err
			})
			if rest := lasts - time.Since(began); rest > 0 {
				time.Sleep(rest)
			}
			before := p.carried("use1", "euw1")
			used := cpu(b)
			p.WAN().Heal()
			took := p.level(b, 5*time.Minute)
			b.ReportMetric((cpu(b) - used).Seconds(), "cpu-s") // where others use the machine as well
			b.ReportMetric(float64(batches*inBatch), "writes")
			b.ReportMetric(time.Since(began).Seconds()-took.Seconds(), "cut-s")
			b.ReportMetric(float64(p.carried("use1", "euw1")-before)/1e6, "shipped-MB")
			b.ReportMetric(took.Seconds(), "equal-after-s")
		})
	}
}

// ackerEnv makes this program pull everything from the brokers that it names.
const ackerEnv = "GODWIT_E2E_ACKER"

// takeAll acknowledges whatever brokers offer to datacenter euw1, until it is killed.
func takeAll(addrs string) int {
	var work sync.WaitGroup
	for addr := range strings.SplitSeq(addrs, ",") {
		nc, err := nats.Connect("nats://" + addr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		js, err := jetstream.New(nc)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for lane := range replication.Lanes {
			c, err := js.Consumer(context.Background(), "outbox", fmt.Sprintf("to-euw1-%d", lane))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			if _, err := c.Consume(func(m jetstream.Msg) { _ = m.Ack() }); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
	}
	fmt.Println("ready")
	work.Add(1)
	work.Wait()
	return 0
}

// BenchmarkShippingCPU lays the CPU of a put with shipping to another datacenter,
// which only acknowledges and is another process, beside that without. Nodes,
// their brokers and the client share the process that is measured.
func BenchmarkShippingCPU(b *testing.B) {
	once(b)
	var without, with []float64
	for range 3 {
		without = append(without, cpuOfPuts(b, "use1"))
		with = append(with, cpuOfPuts(b, "use1", "euw1"))
	}
	slices.Sort(without)
	slices.Sort(with)
	b.ReportMetric(without[1], "alone-us/put")
	b.ReportMetric(with[1], "shipping-us/put")
	b.ReportMetric(100*(with[1]/without[1]-1), "more-%")
}

// cpuOfPuts is the CPU of a put in microseconds, from 64 goroutines, in the first
// datacenter of three nodes. The others are not started: one process stands for them.
func cpuOfPuts(b *testing.B, dcs ...string) float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	c, err := emulated.Start(ctx, emulated.Options{Dir: b.TempDir(), DCs: dcs, Nodes: 3, Absent: dcs[1:]})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if len(dcs) > 1 {
		defer startAcker(ctx, b, c)()
	}
	cl, err := client.Open(ctx, client.Options{Addrs: c.Info().DCs[0].GRPC, DC: dcs[0]})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	value := make([]byte, benchValue)
	put := func(i int) error {
		_, err := cl.Put(ctx, benchKey(i*7919), value)
		return err
	}
	paced(b, 1e6, 64, 2000, 0, put) // streams are open, memtables warm
	before := cpu(b)
	calls, _ := paced(b, 1e6, 64, 10_000, 0, put)
	return float64((cpu(b) - before).Microseconds()) / float64(calls)
}

// startAcker starts a process that takes all that the first datacenter ships.
func startAcker(ctx context.Context, b *testing.B, c *emulated.Cluster) (stop func()) {
	b.Helper()
	var addrs []string
	for _, n := range c.Topology().Datacenters[0].Nodes {
		addrs = append(addrs, c.Addrs(n.ID).NATS)
	}
	for { // it gives up while the consumers are not made yet
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), ackerEnv+"="+strings.Join(addrs, ","))
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			b.Fatal(err)
		}
		line := make([]byte, 5)
		if n, _ := out.Read(line); string(line[:n]) == "ready" {
			return func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}
		_ = cmd.Wait()
		if ctx.Err() != nil {
			b.Fatal("nobody takes what is shipped")
		}
	}
}
