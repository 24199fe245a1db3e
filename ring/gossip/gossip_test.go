package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/ring/gossip/gossiptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is some nodes on a network in memory. Node i is named n<i>, listens
// at 10.0.0.<i>:7000 and knows all others as seeds.
type cluster struct {
	t       *testing.T
	network *gossiptest.Network
	nodes   map[string]*Gossip
	log     *syncWriter
}

type syncWriter struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *syncWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(b)
}

func (w *syncWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, network: gossiptest.NewNetwork(), nodes: make(map[string]*Gossip), log: &syncWriter{}}
	return c
}

func addrOf(i int) string { return fmt.Sprintf("10.0.0.%d:7000", i) }

func (c *cluster) start(i int, change func(*Options)) *Gossip {
	c.t.Helper()
	o := Options{
		Cluster: "orders", DC: "eu", Node: fmt.Sprintf("n%d", i), Transport: c.network.Listen(addrOf(i)),
		Meta: map[string]string{"peer": fmt.Sprintf("10.0.0.%d:7001", i)},
		Seeds: func() []Seed {
			return []Seed{{ID: "n1", Addr: addrOf(1)}, {ID: "n2", Addr: addrOf(2)}, {ID: "n3", Addr: addrOf(3)}}
		},
		Logger: slog.New(slog.NewTextHandler(c.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	g, err := Start(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[o.Node] = g
	return g
}

// stop ends all nodes and lets the library's timers run out, which it leaves behind.
func (c *cluster) stop() {
	for _, g := range c.nodes {
		if err := g.Close(); err != nil {
			c.t.Error(err)
		}
	}
	time.Sleep(time.Minute)
}

// states is what a node believes, such as "n1 alive, n2 dead".
func states(g *Gossip) string {
	var out []string
	for _, p := range g.Members() {
		out = append(out, p.ID+" "+p.State.String())
	}
	return strings.Join(out, ", ")
}

// until waits for a condition in virtual time.
func (c *cluster) until(limit time.Duration, what string, condition func() bool) {
	c.t.Helper()
	end := time.Now().Add(limit)
	for !condition() {
		if time.Now().After(end) {
			for id, g := range c.nodes {
				c.t.Logf("%s believes: %s", id, states(g))
			}
			c.t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *cluster) everybodyBelieves(want string) func() bool {
	return func() bool {
		for _, g := range c.nodes {
			if states(g) != want {
				return false
			}
		}
		return true
	}
}

const allAlive = "n1 alive, n2 alive, n3 alive"

// three starts three nodes that know each other.
func three(t *testing.T, change func(*Options)) *cluster {
	t.Helper()
	c := newCluster(t)
	for i := 1; i <= 3; i++ {
		c.start(i, change)
	}
	c.until(time.Minute, "all know all", c.everybodyBelieves(allAlive))
	return c
}

func TestNodesFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, nil)
		defer c.stop()
		p := c.nodes["n1"].Members()[2]
		if p.ID != "n3" || p.Addr != "10.0.0.3:7000" || p.Meta["peer"] != "10.0.0.3:7001" || p.Since.IsZero() {
			t.Errorf("n1 knows of n3: %+v", p)
		}
		if got := c.nodes["n1"].Addr(); got != "10.0.0.1:7000" {
			t.Errorf("Addr() = %s", got)
		}
	})
}

func TestSeedsMayComeUpLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.stop()
		c.start(2, nil)
		time.Sleep(5 * time.Minute)
		c.start(1, func(o *Options) { o.Seeds = nil })
		c.until(30*time.Second, "n1 and n2 know each other", c.everybodyBelieves("n1 alive, n2 alive"))
	})
}

func TestDeadNodeIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, nil)
		defer c.stop()
		since := time.Now()
		c.network.Isolate(addrOf(3))
		c.until(30*time.Second, "n1 suspects n3", func() bool { return states(c.nodes["n1"]) == "n1 alive, n2 alive, n3 suspect" })
		c.until(2*time.Minute, "n1 and n2 count n3 as dead", func() bool {
			return states(c.nodes["n1"]) == "n1 alive, n2 alive, n3 dead" && states(c.nodes["n2"]) == "n1 alive, n2 alive, n3 dead"
		})
		if p := c.nodes["n1"].Members()[2]; p.Since.Before(since) || p.Since.After(time.Now()) {
			t.Errorf("dead since %v, cut at %v", p.Since, since)
		}
		c.network.Rejoin(addrOf(3))
		c.until(time.Minute, "n3 is back", c.everybodyBelieves(allAlive))
	})
}

func TestSuspicionEndsWhenTheNodeAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, func(o *Options) { o.Seeds = func() []Seed { return []Seed{{Addr: addrOf(1)}} } })
		defer c.stop()
		c.network.Isolate(addrOf(3))
		c.until(30*time.Second, "n2 suspects n3", func() bool { return states(c.nodes["n2"]) == "n1 alive, n2 alive, n3 suspect" })
		c.network.Rejoin(addrOf(3))
		c.until(time.Minute, "n3 is trusted again", c.everybodyBelieves(allAlive))
	})
}

// partition cuts n1 off for so long that both sides forget each other.
func partition(c *cluster) {
	c.network.Isolate(addrOf(1))
	c.until(10*time.Minute, "both sides count the other as dead", func() bool {
		return states(c.nodes["n1"]) == "n1 alive, n2 dead, n3 dead" && states(c.nodes["n2"]) == "n1 dead, n2 alive, n3 alive"
	})
	time.Sleep(5 * time.Minute)
	c.network.Rejoin(addrOf(1))
}

func TestHealedPartitionMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, nil)
		defer c.stop()
		partition(c)
		c.until(time.Minute, "all are together again", c.everybodyBelieves(allAlive))
	})
}

// TestHealedPartitionStaysWithoutRejoin shows that it is the joining again that
// TestHealedPartitionMerges rests on.
func TestHealedPartitionStaysWithoutRejoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, func(o *Options) { o.RejoinEvery = -1 })
		defer c.stop()
		partition(c)
		time.Sleep(time.Hour)
		if got := states(c.nodes["n1"]); got != "n1 alive, n2 dead, n3 dead" {
			t.Errorf("an hour after healing n1 believes: %s; joining again is not needed any more?", got)
		}
	})
}

func TestFarewellIsNotDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, nil)
		defer c.stop()
		changed := c.nodes["n1"].Changed()
		began := time.Now()
		if err := c.nodes["n3"].Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Close took %v", took)
		}
		<-changed
		want := "n1 alive, n2 alive, n3 left"
		c.until(10*time.Second, "all know that n3 left", c.everybodyBelieves(want))
		time.Sleep(10 * time.Minute)
		if !c.everybodyBelieves(want)() {
			t.Errorf("ten minutes later n1 believes: %s", states(c.nodes["n1"]))
		}
		c.start(3, nil)
		c.until(time.Minute, "n3 is back", c.everybodyBelieves(allAlive))
	})
}

func TestNodeComesBackAtAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, nil)
		defer c.stop()
		if err := c.nodes["n3"].Close(); err != nil {
			t.Fatal(err)
		}
		moved := c.start(4, func(o *Options) { o.Node = "n3" })
		c.until(time.Minute, "n3 is known at its new address", func() bool {
			p := c.nodes["n1"].Members()[2]
			return p.State == StateAlive && p.Addr == moved.Addr()
		})
	})
}

func TestStrangersAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		label  string
	}{
		{name: "of another cluster", change: func(o *Options) { o.Cluster = "invoices" }, label: "godwit/invoices/eu"},
		{name: "of another datacenter", change: func(o *Options) { o.DC = "us" }, label: "godwit/orders/us"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				defer c.stop()
				c.start(1, nil)
				c.start(2, tt.change)
				time.Sleep(5 * time.Minute)
				if a, b := states(c.nodes["n1"]), states(c.nodes["n2"]); a != "n1 alive" || b != "n2 alive" {
					t.Errorf("n1 believes %q, n2 %q: they must not mix", a, b)
				}
				for _, want := range []string{
					`msg="gossip of another cluster or datacenter refused" node=n1 label=` + tt.label,
					`msg="seed not joined: not up, or of another cluster, datacenter or key" node=n2`,
				} {
					if !strings.Contains(c.log.String(), want) {
						t.Errorf("the log does not say %q", want)
					}
				}
			})
		})
	}
}

func TestAnotherKeyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.stop()
		c.start(1, func(o *Options) { o.Key = bytes.Repeat([]byte{1}, KeyBytes) })
		c.start(2, func(o *Options) { o.Key = bytes.Repeat([]byte{2}, KeyBytes) })
		c.start(3, nil)
		time.Sleep(5 * time.Minute)
		for id, g := range c.nodes {
			if got := states(g); got != id+" alive" {
				t.Errorf("%s believes: %s", id, got)
			}
		}
	})
}

// document makes one of an epoch with one member of a weight.
func document(t *testing.T, epoch uint64, weight uint32) *ring.Document {
	t.Helper()
	d := &ring.Document{Epoch: epoch, Members: []ring.Entry{{ID: "n1", WeightMilli: weight, Status: ring.StatusActive}}}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheGreatestDocumentSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, func(o *Options) { o.Document = document(t, 1, 1000) })
		defer c.stop()
		late := c.start(4, nil) // knows of no document
		c.until(time.Minute, "the late one has learned of a document", func() bool {
			return late.Document() != nil && late.Document().Epoch == 1
		})
		changed := c.nodes["n3"].Changed()
		newer := document(t, 7, 2000)
		if took, err := c.nodes["n1"].Offer(newer); !took || err != nil {
			t.Fatalf("Offer of a newer document: %t, %v", took, err)
		}
		c.until(5*time.Second, "all have the change", func() bool {
			for _, g := range c.nodes {
				if !g.Document().Equal(newer) {
					return false
				}
			}
			return true
		})
		<-changed
		if again, err := c.nodes["n3"].Offer(document(t, 6, 3000)); again || err != nil {
			t.Errorf("Offer of an older document: %t, %v", again, err)
		}
		if again, err := c.nodes["n3"].Offer(newer); again || err != nil {
			t.Errorf("Offer of what is known: %t, %v", again, err)
		}
		if took, err := c.nodes["n3"].Offer(document(t, 7, 1000)); took || !errors.Is(err, ErrAnotherDocument) {
			t.Errorf("Offer of another document of the same epoch: %t, %v", took, err)
		}
	})
}

func TestMetaDataMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := three(t, func(o *Options) { o.Meta = map[string]string{"grpc": "h:1"} })
		defer c.stop()
		if err := c.nodes["n1"].Tell(map[string]string{"grpc": "h:1", "nats": "h:2"}); err != nil {
			t.Fatal(err)
		}
		c.until(10*time.Second, "all know the new meta data of n1", func() bool {
			for _, g := range c.nodes {
				if g.Members()[0].Meta["nats"] != "h:2" {
					return false
				}
			}
			return true
		})
		if err := c.nodes["n1"].Tell(map[string]string{"x": strings.Repeat("x", MaxMetaBytes)}); !errors.Is(err, ErrInvalid) {
			t.Errorf("Tell of too much: %v, want ErrInvalid", err)
		}
	})
}

func TestBadDocumentIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.stop()
		g := c.start(1, nil)
		delegate{g}.MergeRemoteState([]byte("not a document"), false)
		if g.Document() != nil || !strings.Contains(c.log.String(), "ring document of a peer not taken") {
			t.Error("a document that is none was taken, or nobody was told")
		}
	})
}

func TestStartRefusesOptions(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		want   []string
	}{
		{name: "no names", change: func(o *Options) { o.Cluster, o.DC, o.Node = "", "", "" }, want: []string{"cluster name", "datacenter name", "node name"}},
		{name: "a slash", change: func(o *Options) { o.DC = "a/b" }, want: []string{`datacenter name "a/b"`}},
		{name: "a host name to bind to", change: func(o *Options) { o.BindAddr = "localhost" }, want: []string{`bind address "localhost"`}},
		{name: "no key off loopback", change: func(o *Options) { o.BindAddr = "0.0.0.0" }, want: []string{"needs a key"}},
		{name: "no key, advertised", change: func(o *Options) { o.AdvertiseAddr = "192.0.2.1" }, want: []string{"192.0.2.1 needs a key"}},
		{name: "short key", change: func(o *Options) { o.Key = make([]byte, 16) }, want: []string{"key of 16 bytes"}},
		{name: "long meta", change: func(o *Options) { o.Meta = map[string]string{"a": strings.Repeat("x", 512)} }, want: []string{"meta of 517 bytes"}},
		{name: "port", change: func(o *Options) { o.BindPort = 70000 }, want: []string{"bind port 70000"}},
		{name: "probe timeout", change: func(o *Options) { o.ProbeTimeout = time.Hour }, want: []string{"probe timeout 1h0m0s"}},
		{name: "negative time", change: func(o *Options) { o.LeaveTimeout = -1 }, want: []string{"negative"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Cluster: "c", DC: "d", Node: "n"}
			tt.change(&o)
			g, err := Start(o)
			if err == nil {
				g.Close()
			}
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("Start: %v, want ErrInvalid", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Start: %v, want it to name %q", err, want)
				}
			}
		})
	}
}

// TestOverLoopback runs over real UDP and TCP, at ports the kernel chooses, encrypted.
func TestOverLoopback(t *testing.T) {
	var nodes []*Gossip
	var seeds []Seed
	for i := range 3 {
		known := seeds
		g, err := Start(Options{
			Cluster: "orders", DC: "eu", Node: fmt.Sprintf("n%d", i+1), Key: bytes.Repeat([]byte{7}, KeyBytes),
			AdvertiseAddr: "localhost", Seeds: func() []Seed { return known }, LeaveTimeout: 5 * time.Second,
			ProbeEvery: 400 * time.Millisecond, // the library leaves a probe under way behind when it ends
		})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		nodes = append(nodes, g)
		seeds = append(seeds, Seed{Addr: g.Addr()})
	}
	await := func(g *Gossip, want string) {
		t.Helper()
		limit := time.After(30 * time.Second)
		for {
			changed := g.Changed()
			if states(g) == want {
				return
			}
			select {
			case <-changed:
			case <-limit:
				t.Fatalf("%s believes: %s, want %s", g.Addr(), states(g), want)
			}
		}
	}
	for _, g := range nodes {
		await(g, allAlive)
	}
	if err := nodes[2].Close(); err != nil {
		t.Fatal(err)
	}
	if err := nodes[2].Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	await(nodes[0], "n1 alive, n2 alive, n3 left")
}
