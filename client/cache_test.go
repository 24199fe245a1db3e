package client_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/testcluster"
)

// openOn opens a client of a node of a real datacenter.
func openOn(t *testing.T, c *testcluster.Cluster, node int, near *client.NearCache) *client.Client {
	t.Helper()
	cl, err := client.Open(t.Context(), client.Options{Addrs: []string{c.Addr(node)}, Transport: client.Unary, Consistency: client.One, NearCache: near})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// text is what a client reads at one replica.
func text(t *testing.T, c *client.Client, key string, opts ...client.CallOption) string {
	t.Helper()
	v, err := c.Get(t.Context(), key, opts...)
	if client.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(v.Bytes)
}

func write(t *testing.T, c *client.Client, key, value string, opts ...client.CallOption) {
	t.Helper()
	if _, err := c.Put(t.Context(), key, []byte(value), opts...); err != nil {
		t.Fatal(err)
	}
}

// warm reads a key until it is answered from the cache.
func warm(t *testing.T, c *client.Client, key string) {
	t.Helper()
	until(t, "the cache answers", func() bool {
		before := client.NearHits(c)
		text(t, c, key)
		return client.NearHits(c) > before
	})
}

func TestNearCacheSeesWhatOthersWrite(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{})
	near, other := openOn(t, dc, 0, &client.NearCache{}), openOn(t, dc, 1, nil)
	write(t, other, "k", "0")
	for i := range 20 {
		warm(t, near, "k")
		want := strconv.Itoa(i + 1)
		write(t, other, "k", want)
		until(t, "it sees another client's write", func() bool { return text(t, near, "k") == want })
	}
	warm(t, near, "k")
	if _, err := other.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	until(t, "it sees a delete", func() bool { return text(t, near, "k") == "" })
}

func TestNearCacheIsNeverOlderThanItsOwnWrites(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{Exchange: time.Second})
	near := openOn(t, dc, 0, &client.NearCache{Entries: 100})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			key := fmt.Sprint("k", i)
			for n := range 200 {
				want := strconv.Itoa(n)
				s := client.NewSession(0)
				if n%20 == 10 {
					warm(t, near, key) // or a slow machine may never find it in the cache
				}
				if n%2 == 0 {
					write(t, near, key, want)
				} else {
					write(t, near, key, want, client.WithSession(s))
				}
				for range 3 {
					if got := text(t, near, key); got != want {
						t.Errorf("read %q after %q was written", got, want)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

func TestNearCacheKeepsToSessions(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{})
	near, other := openOn(t, dc, 0, &client.NearCache{}), openOn(t, dc, 1, nil)
	write(t, other, "k", "0")
	for i := range 50 {
		warm(t, near, "k")
		s := client.NewSession(0)
		want := strconv.Itoa(i + 1)
		write(t, other, "k", want, client.WithSession(s))
		if got := text(t, near, "k", client.WithSession(s)); got != want {
			t.Fatalf("the session reads %q after it wrote %q elsewhere", got, want)
		}
	}
}

// What every replica has, no token tells of: the cache cannot know whether what it
// has is older than what the session saw elsewhere.
func TestNearCacheAsksAfterASessionWasElsewhere(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{})
	near, other := openOn(t, dc, 0, &client.NearCache{}), openOn(t, dc, 1, nil)
	write(t, other, "k", "v")
	s := client.NewSession(0)
	until(t, "what the session has seen is everywhere", func() bool {
		text(t, other, "k", client.WithSession(s))
		return s.Partitions() == 0
	})
	moved, err := client.UnmarshalSession(s.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*client.Session{s, moved} {
		warm(t, near, "k")
		before := client.NearHits(near)
		text(t, near, "k", client.WithSession(s))
		if client.NearHits(near) != before {
			t.Error("the cache answered a session with what it had before the session came")
		}
		until(t, "the cache answers the session", func() bool {
			before := client.NearHits(near)
			text(t, near, "k", client.WithSession(s))
			return client.NearHits(near) > before
		})
	}
}

func TestNearCacheForgetsWhatASessionReadPastIt(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{})
	near := openOn(t, dc, 0, &client.NearCache{})
	write(t, near, "k", "v")
	warm(t, near, "k")
	s := client.NewSession(0)
	text(t, near, "k", client.WithSession(s), client.WithR(2))
	before := client.NearHits(near)
	text(t, near, "k", client.WithSession(s))
	if client.NearHits(near) != before {
		t.Error("the cache answered with what it had before the session read past it")
	}
}

func TestNearCacheIsPassedByWhileNobodyTells(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{})
	near := openOn(t, dc, 0, &client.NearCache{})
	write(t, near, "k", "v")
	warm(t, near, "k")
	dc.Stop(0)
	until(t, "the cache answers no more", func() bool {
		_, err := near.Get(t.Context(), "k", client.WithTimeout(200*time.Millisecond))
		return err != nil
	})
	dc.Restart(0)
	warm(t, near, "k")
}

func TestWatchGoesOnAtAnotherNode(t *testing.T) {
	dc := testcluster.Start(t, testcluster.Options{})
	c, err := client.Open(t.Context(), client.Options{Addrs: []string{dc.Addr(0), dc.Addr(1)}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w, err := c.Watch(t.Context(), "", client.WatchOptions{Values: true})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	other := openOn(t, dc, 2, nil)
	seen := map[string]string{}
	next := func(until func() bool) {
		for !until() {
			e, err := w.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e.Type == client.EventChange {
				seen[e.Key] = string(e.Value.Bytes)
			}
		}
	}
	next(func() bool { return w.Cursor() != nil })
	write(t, other, "a", "1")
	next(func() bool { return seen["a"] == "1" })
	dc.Stop(0)
	write(t, other, "b", "2")
	next(func() bool { return seen["b"] == "2" })
	if seen["a"] != "1" {
		t.Errorf("it has told %v", seen)
	}
}
