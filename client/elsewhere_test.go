package client_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

// both opens a client of use1 that goes to euw1 when it must. Each of them has a
// memory of its own.
func both(t *testing.T, tr client.Transport) (*client.Client, *clienttest.Cluster) {
	t.Helper()
	cluster := clienttest.Start(clienttest.Options{DCs: []string{"use1", "euw1"}, Nodes: 2, Apart: true})
	t.Cleanup(cluster.Close)
	return fromUSE1(t, cluster, tr, 0), cluster
}

func fromUSE1(t *testing.T, cluster *clienttest.Cluster, tr client.Transport, retries int) *client.Client {
	t.Helper()
	o := cluster.Options("use1")
	o.Elsewhere = []client.Datacenter{{Name: "euw1", Addrs: cluster.Options("euw1").Addrs}}
	o.Transport, o.Timeout, o.DialTimeout, o.MaxRetries = tr, 3*time.Second, time.Minute, retries
	c, err := client.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A call goes to another datacenter only when nobody answers at home, and the
// next one begins at home again.
func TestElsewhereIsForWhenHomeIsAway(t *testing.T) {
	for _, tr := range []client.Transport{client.Pipelined, client.Unary} {
		t.Run(tr.String(), func(t *testing.T) {
			c, cluster := both(t, tr)
			at := func() string {
				var r client.Result
				must[int64](t)(c.Incr(t.Context(), "n", 1, client.WithResult(&r)))
				return r.Answer.DC
			}
			if got := at(); got != "use1" {
				t.Errorf("answered by %s, want use1", got)
			}
			stop(t, c, cluster.Node("use1", 0))
			if got := at(); got != "use1" {
				t.Errorf("with one node away answered by %s, want use1", got)
			}
			stop(t, c, cluster.Node("use1", 1))
			if got := at(); got != "euw1" {
				t.Errorf("with both away answered by %s, want euw1", got)
			}
			few := fromUSE1(t, cluster, tr, 6) // retries, so that it ends before its time does, in the middle of an attempt
			if _, err := few.Status(t.Context()); !client.IsUnavailable(err) {
				t.Errorf("a question of an operator is answered elsewhere: %v", err)
			}
			cluster.Node("use1", 1).Restart()
			for deadline := time.Now().Add(20 * time.Second); at() != "use1"; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("it never came back to use1")
				}
			}
		})
	}
}

// Where connections at home were lost and are being made again, a call waits for
// them: another datacenter that can be reached at once is no better choice.
func TestHomeThatIsBeingConnectedToIsNotAway(t *testing.T) {
	c, cluster := both(t, client.Pipelined)
	incr := func() string {
		var r client.Result
		must[int64](t)(c.Incr(t.Context(), "n", 1, client.WithResult(&r)))
		return r.Answer.DC
	}
	incr() // who owns the key is known
	home := []*clienttest.Node{cluster.Node("use1", 0), cluster.Node("use1", 1)}
	become := func(state connectivity.State) {
		for _, n := range home {
			if !c.Await(t.Context(), n.Addr, state) {
				t.Fatalf("the connection to %s did not become %s", n.Addr, state)
			}
		}
	}
	become(connectivity.Ready) // or what Hold breaks is no connection yet, but an attempt that fails
	for _, n := range home {
		n.Hold()
	}
	become(connectivity.Connecting)
	got := make(chan string)
	go func() { got <- incr() }()
	for _, n := range home {
		n.Restart()
	}
	if dc := <-got; dc != "use1" {
		t.Errorf("answered by %s while use1 was being connected to", dc)
	}
}

// An increment that may have been carried out at home is not made elsewhere.
func TestUnknownStaysInItsDatacenter(t *testing.T) {
	c, cluster := both(t, client.Pipelined)
	for i := range 2 {
		cluster.Node("use1", i).Misbehave(func(clienttest.Call) clienttest.Fault { return clienttest.Fault{After: indeterminate} })
	}
	_, err := c.Incr(t.Context(), "n", 1, client.WithTimeout(time.Second))
	if client.OutcomeOf(err) != client.Unknown {
		t.Errorf("Incr() = %v, want outcome Unknown", err)
	}
	if _, err := c.Put(t.Context(), "k", []byte("v"), client.WithTimeout(time.Second)); err != nil {
		t.Errorf("a put may be made twice: %v", err)
	}
	o := cluster.Options("euw1")
	far, err := client.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	if _, err := far.Get(t.Context(), "n"); !client.IsNotFound(err) {
		t.Errorf("the increment is elsewhere too: %v", err)
	}
	if v := must[*client.Value](t)(far.Get(t.Context(), "k")); string(v.Bytes) != "v" {
		t.Errorf("the put is not elsewhere: %+v", v)
	}
}

func TestElsewhereIsChecked(t *testing.T) {
	_, err := client.Open(t.Context(), client.Options{
		Addrs: []string{"127.0.0.1:1"}, Elsewhere: []client.Datacenter{{Name: "euw1"}, {Name: "apne1", Addrs: []string{"127.0.0.1:1", "nowhere"}}},
	})
	for _, want := range []string{`no addresses of datacenter "euw1"`, `"127.0.0.1:1" is named twice`, `"nowhere" is not host:port`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open() = %v, want %s", err, want)
		}
	}
}
