package e2e

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
)

// A node is killed in the middle of writes and comes back: nothing that was
// acknowledged is missing in any datacenter, and all replicas end up equal.
func TestKilledNodeLosesNothing(t *testing.T) {
	c := startProcesses(t, []string{"east", "west"}, 3)
	east, west := c.open("east"), c.open("west")
	stop := make(chan struct{})
	var work sync.WaitGroup
	var all [writers]writer
	for i := range all {
		all[i].id = i
		work.Go(func() { all[i].run(t.Context(), stop, east) })
	}
	total := func() (n int64) {
		for i := range all {
			n += all[i].acked.Load()
		}
		return n
	}
	for _, victim := range []string{"east-b", "east-a"} {
		before := total()
		eventually(t, "writes flow", 30*time.Second, func() bool { return total() > before+200 })
		c.kill(victim)
		before = total()
		eventually(t, "writes flow without "+victim, 30*time.Second, func() bool { return total() > before+200 })
		c.start(victim)
		c.waitReady("east", 3)
	}
	close(stop)
	work.Wait()
	waitEqual(t, time.Minute, []*client.Client{east, west})
	for i := range all {
		for _, cl := range []*client.Client{east, west} {
			all[i].check(t, cl)
		}
	}
	t.Logf("acknowledged %d increments", total())
}

const writers = 8

// writer adds to a counter and to a set, and remembers what was acknowledged.
type writer struct {
	id             int
	acked, unknown atomic.Int64
	added          []string
}

func (w *writer) run(ctx context.Context, stop chan struct{}, cl *client.Client) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		_, err := cl.Incr(ctx, w.counter(), 1)
		switch client.OutcomeOf(err) {
		case client.OK:
			w.acked.Add(1)
		case client.Unknown:
			w.unknown.Add(1)
		case client.Failed:
		}
		element := strconv.Itoa(i)
		if _, err := cl.SAdd(ctx, w.set(), []string{element}); err == nil {
			w.added = append(w.added, element)
		}
	}
}

func (w *writer) counter() string { return fmt.Sprintf("hits:%d", w.id) }
func (w *writer) set() string     { return fmt.Sprintf("log:%d", w.id) }

func (w *writer) check(t *testing.T, cl *client.Client) {
	t.Helper()
	v, err := cl.Get(t.Context(), w.counter())
	if err != nil {
		t.Fatalf("%s: %s: %v", cl.DC(), w.counter(), err)
	}
	acked, unknown := w.acked.Load(), w.unknown.Load()
	if v.Integer < acked || v.Integer > acked+unknown {
		t.Errorf("%s: %s is %d; %d increments were acknowledged, %d are unknown", cl.DC(), w.counter(), v.Integer, acked, unknown)
	}
	members, err := cl.SMembers(t.Context(), w.set())
	if err != nil {
		t.Fatalf("%s: %s: %v", cl.DC(), w.set(), err)
	}
	have := map[string]bool{}
	for _, m := range members {
		have[m] = true
	}
	for _, e := range w.added {
		if !have[e] {
			t.Errorf("%s: %s lacks %s, which was acknowledged", cl.DC(), w.set(), e)
		}
	}
}

// A coordinator dies right after it has acknowledged, and stays away. Its
// co-owners bring what it took to the other datacenter within seconds.
func TestDeadCoordinatorsWritesArrive(t *testing.T) {
	c := startProcesses(t, []string{"east", "west"}, 3)
	east, west := c.open("east", "east-a"), c.open("west")
	const keys = 64
	for i := range keys {
		if _, err := east.Incr(t.Context(), fmt.Sprintf("k%d", i), 1); err != nil {
			t.Fatal(err)
		}
	}
	c.kill("east-a")
	took := eventually(t, "the other datacenter has every write", 5*time.Second, func() bool {
		for i := range keys {
			if v, err := west.Get(t.Context(), fmt.Sprintf("k%d", i)); err != nil || v.Integer != 1 {
				return false
			}
		}
		return true
	})
	t.Logf("all %d writes arrived after %v", keys, took)
}
