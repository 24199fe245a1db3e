package replication_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/replication"
)

// natsWorld is two datacenters of one node each on real brokers over TCP.
type natsWorld struct {
	dcs     []*fakeDC
	proxies []*proxy
	brokers []*replication.Broker
}

func startNATS(t testing.TB, proxied bool) *natsWorld {
	t.Helper()
	w := &natsWorld{dcs: []*fakeDC{newFakeDC("a", 1, 1), newFakeDC("b", 1, 2)}}
	w.dcs[0].others, w.dcs[1].others = w.dcs[1:], w.dcs[:1]
	addrs := map[string]string{}
	for _, d := range w.dcs {
		br, err := replication.StartBroker(replication.BrokerOptions{
			Cluster: "test", DC: d.name, Node: d.nodes[0].name, Dir: t.TempDir(), Logger: logger(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(br.Close)
		w.brokers = append(w.brokers, br)
		addrs[d.nodes[0].name] = br.Addr()
		if tt, ok := t.(*testing.T); ok && proxied {
			p := newProxy(tt, br.Addr())
			w.proxies = append(w.proxies, p)
			addrs[d.nodes[0].name] = p.ln.Addr().String()
		}
	}
	for i, d := range w.dcs {
		l := natsLink(t, w.brokers[i], func(p replication.Peer) string { return addrs[p.Node] })
		d.nodes[0].rep = startReplicator(t, d.nodes[0], l)
		t.Cleanup(d.nodes[0].rep.Close)
	}
	return w
}

func (w *natsWorld) level(t testing.TB, within time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for ; w.dcs[0].state(t) != w.dcs[1].state(t); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > within {
			t.Fatalf("datacenters still differ after %s", within)
		}
	}
	return time.Since(began)
}

func TestNATSDatacentersConverge(t *testing.T) {
	for _, how := range []string{"reset", "frozen"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := startNATS(t, true)
			w.dcs[0].nodes[0].write(t, part(0), "first", put("v"))
			w.level(t, 5*time.Second)

			var wg sync.WaitGroup
			for _, d := range w.dcs {
				wg.Go(func() {
					for i := range 1000 {
						d.nodes[0].write(t, part(i%4), fmt.Sprint("k", i%50), inc(1))
						time.Sleep(4 * time.Millisecond)
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			for _, p := range w.proxies {
				if how == "reset" {
					p.reset()
				} else {
					p.freeze()
				}
			}
			time.Sleep(3 * time.Second)
			for _, p := range w.proxies {
				if how == "reset" {
					p.accept()
				} else {
					p.thaw()
				}
			}
			wg.Wait() // writes go on a little longer than the cut
			took := w.level(t, 10*time.Second)
			t.Logf("level %s after the last write", took)
			sum := int64(0)
			for p := range 4 {
				for i := range 50 {
					sum += w.dcs[1].value(part(p), fmt.Sprint("k", i), crdt.Counter).Int
				}
			}
			if sum != 2000 {
				t.Errorf("counters sum up to %d, want 2000", sum)
			}
		})
	}
}
