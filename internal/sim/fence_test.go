package sim

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/topology"
)

// become has a node make the state of a datacenter another one.
func (n *Node) become(t *testing.T, dcName string, s topology.State) error {
	t.Helper()
	node := n.current().dc
	text, err := node.Acts().With(dcName, s).YAML()
	if err != nil {
		t.Fatal(err)
	}
	_, err = node.ApplyTopology(t.Context(), &v1.ApplyTopologyRequest{Text: text})
	return err
}

// state is that of a datacenter as a node knows it.
func (n *Node) state(dcName string) topology.State { return n.current().dc.Acts().State(dcName) }

// within waits until something is so.
func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); pause(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// carry carries an operation out on a key at a node.
func (n *Node) carry(t *testing.T, key string, req *v1.UpdateRequest) {
	t.Helper()
	req.Bucket, req.Key = bucketSync, []byte(key)
	if _, err := n.current().dc.Update(t.Context(), req); err != nil {
		t.Fatalf("write of %s at %s: %v", key, n, err)
	}
}

func (n *Node) put(t *testing.T, key, value string) {
	t.Helper()
	n.carry(t, key, &v1.UpdateRequest{Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte(value)}}})
}

func (n *Node) del(t *testing.T, key string) {
	t.Helper()
	n.carry(t, key, &v1.UpdateRequest{Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}}})
}

func (n *Node) add(t *testing.T, key string, by int64) {
	t.Helper()
	n.carry(t, key, &v1.UpdateRequest{Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: by}}})
}

func (n *Node) get(t *testing.T, key string) (*v1.Value, error) {
	t.Helper()
	resp, err := n.current().dc.Get(t.Context(), &v1.GetRequest{Bucket: bucketSync, Key: []byte(key)})
	return resp.GetValue(), err
}

// logged is how many events the log of a node keeps.
func (n *Node) logged(t *testing.T) uint64 {
	t.Helper()
	f, err := n.current().dc.Figures()
	if err != nil {
		t.Fatal(err)
	}
	return f.Status.GetLogEvents()
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return dc.AsError(err).Reason
}

// TestAFencedDatacenterComesBack: a datacenter is cut off, and fenced: the logs of
// the others go on without it. Both sides write and delete. When it is back it
// gives what only it has, takes no clients until it has all the rest, and nothing
// that was deleted is back.
func TestAFencedDatacenterComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Seed: 1, Nodes: []int{2, 1, 2}, Partitions: 16})
		defer c.Close()
		eu, us, ap := c.DCs[0].Nodes[0], c.DCs[1].Nodes[0], c.DCs[2].Nodes[1]
		pause(2 * time.Second)
		for i := range 40 {
			eu.put(t, fmt.Sprintf("k%d", i), "old")
		}
		eu.add(t, "count", 5)
		if _, why := c.converge(healLimit); why != "" {
			t.Fatalf("before: %s", why)
		}
		within(t, 30*time.Second, "logs are empty", func() bool { return eu.logged(t)+us.logged(t)+ap.logged(t) == 0 })

		for _, other := range []string{"eu", "us"} {
			c.wan.Cut("ap", other)
		}
		for i := range 40 {
			switch i % 4 {
			case 0:
				eu.del(t, fmt.Sprintf("k%d", i))
			case 1:
				us.put(t, fmt.Sprintf("k%d", i), "new")
			case 2:
				ap.del(t, fmt.Sprintf("k%d", i))
			case 3:
				ap.put(t, fmt.Sprintf("k%d", i), "of ap")
			}
		}
		eu.add(t, "count", 20)
		ap.add(t, "count", 100)
		ap.put(t, "only ap", "has it")
		pause(20 * time.Second)
		if eu.logged(t) == 0 || us.logged(t) == 0 {
			t.Error("the log let go of what a datacenter that is away, and not fenced, has not got")
		}
		before := us.current().dc.Acts()
		if err := us.become(t, "ap", topology.DCFenced); err != nil {
			t.Fatal(err)
		}
		text, err := before.With("eu", topology.DCFenced).YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err = us.current().dc.ApplyTopology(t.Context(), &v1.ApplyTopologyRequest{Text: text, InsteadOf: before.Hash()}); reasonOf(err) != "TOPOLOGY_CHANGED" {
			t.Errorf("another operator fences eu at the same time: %v, want TOPOLOGY_CHANGED", err)
		}
		within(t, 30*time.Second, "logs are empty without ap", func() bool { return eu.logged(t)+us.logged(t) == 0 })
		if ap.state("ap") != topology.DCJoined {
			t.Error("ap knows that it is fenced")
		}
		if got := reasonOf(us.become(t, "ap", topology.DCRemoved)); got != "DC_NOT_DRAINED" {
			t.Errorf("ap, which cannot be reached, is removed: %q, want DC_NOT_DRAINED", got)
		}
		for n := range c.nodes { // what is not in a log is nowhere
			c.wan.Forget(n.peer())
		}

		c.healWAN()
		within(t, 30*time.Second, "ap hears that it is fenced", func() bool { return ap.state("ap") == topology.DCFenced })
		if _, err := ap.get(t, "k1"); reasonOf(err) != "DC_FENCED" {
			t.Errorf("read at ap: %v, want DC_FENCED", err)
		}
		if _, why := c.converge(healLimit / 2); why != "" {
			t.Fatalf("after: %s", why)
		}
		eu.holdsAll(t)
		if err := eu.become(t, "ap", topology.DCJoined); reasonOf(err) != "TOPOLOGY_FIXED" {
			t.Errorf("ap joins without catching up: %v, want TOPOLOGY_FIXED", err)
		}
		if err := eu.become(t, "ap", topology.DCJoining); err != nil {
			t.Fatal(err)
		}
		within(t, 30*time.Second, "ap has joined", func() bool { return ap.state("ap") == topology.DCJoined })
		ap.holdsAll(t)
		ap.add(t, "count", 1000)
		within(t, 10*time.Second, "eu has what ap took", func() bool {
			v, err := eu.get(t, "count")
			return err == nil && v.GetInteger() == 1125
		})
	})
}

// holdsAll checks what TestAFencedDatacenterComesBack wrote.
func (n *Node) holdsAll(t *testing.T) {
	t.Helper()
	for i := range 40 {
		key := fmt.Sprintf("k%d", i)
		v, err := n.get(t, key)
		want := map[int]string{1: "new", 3: "of ap"}[i%4]
		switch {
		case want == "" && reasonOf(err) != "NOT_FOUND":
			t.Errorf("%s at %s: %q %v, want it to stay deleted", key, n, v.GetBytes(), err)
		case want != "" && string(v.GetBytes()) != want:
			t.Errorf("%s at %s: %q %v, want %q", key, n, v.GetBytes(), err, want)
		}
	}
	if v, err := n.get(t, "count"); v.GetInteger() != 125 {
		t.Errorf("count at %s: %d %v, want 125", n, v.GetInteger(), err)
	}
	if v, err := n.get(t, "only ap"); string(v.GetBytes()) != "has it" {
		t.Errorf("what only ap had, at %s: %q %v", n, v.GetBytes(), err)
	}
}
