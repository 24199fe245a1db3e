package clienttest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

func openAt(t *testing.T, cluster *clienttest.Cluster) *client.Client {
	t.Helper()
	o := cluster.Options("use1")
	o.Timeout = 20 * time.Second
	c, err := client.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// told gathers what a watch tells, in words, up to a change of the key "end".
func told(t *testing.T, w *client.Watch) (words []string) {
	t.Helper()
	for e, err := range w.Events() {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Type == client.EventResync:
			words = append(words, "resync "+e.Reason)
		case e.Type == client.EventResynced:
			words = append(words, "resynced")
		case e.Type == client.EventChange && e.Key == "end":
			return words
		case e.Type == client.EventChange && e.Deleted:
			words = append(words, e.Key+" deleted")
		case e.Type == client.EventChange && e.Value != nil:
			words = append(words, e.Key+" = "+string(e.Value.Bytes))
		case e.Type == client.EventChange:
			words = append(words, e.Key)
		}
	}
	return words
}

func watchAt(t *testing.T, c *client.Client, o client.WatchOptions) *client.Watch {
	t.Helper()
	w, err := c.Watch(t.Context(), "", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestWatch(t *testing.T) {
	cluster := clienttest.Start(clienttest.Options{Nodes: 2})
	t.Cleanup(cluster.Close)
	c := openAt(t, cluster)
	put := func(key, value string) {
		t.Helper()
		if _, err := c.Put(t.Context(), key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	put("before", "1")
	w := watchAt(t, c, client.WatchOptions{Values: true})
	if e, err := w.Next(); err != nil || e.Type != client.EventProgress {
		t.Fatalf("first word of a watch: %+v, %v; want progress", e, err)
	}
	cursor := w.Cursor()
	put("a", "1")
	if _, err := c.Delete(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	put("end", "")
	if got, want := told(t, w), []string{"a = 1", "before deleted"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if got, want := told(t, watchAt(t, c, client.WatchOptions{Cursor: cursor})), []string{"a", "before deleted"}; !slices.Equal(got, want) {
		t.Errorf("from a cursor: told %q, want %q", got, want)
	}
	initial := watchAt(t, c, client.WatchOptions{Initial: true})
	for range 4 { // resync, a, end, resynced
		if _, err := initial.Next(); err != nil {
			t.Fatal(err)
		}
	}
	put("b", "2")
	put("end", "")
	if got, want := told(t, initial), []string{"b"}; !slices.Equal(got, want) {
		t.Errorf("after all keys: told %q, want %q", got, want)
	}
	for range 5000 { // more than is remembered
		put("c", "3")
	}
	old := watchAt(t, c, client.WatchOptions{Cursor: cursor})
	if got, want := told(t, old), []string{"resync trimmed", "a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("from a cursor too old: told %q, want %q", got, want)
	}
}

// A retry at another node counts once, also of what a pipeline was carrying.
func TestRepeatsCountOnce(t *testing.T) {
	cluster := clienttest.Start(clienttest.Options{Nodes: 3})
	t.Cleanup(cluster.Close)
	c := openAt(t, cluster)
	for i := range 3 {
		cluster.Node("use1", i).Misbehave(func(c clienttest.Call) clienttest.Fault {
			return clienttest.Fault{Break: c.Method == "Update" && c.N%4 == 0}
		})
	}
	for i := range 100 {
		if n, err := c.Incr(t.Context(), "n", 1); err != nil || n != int64(i+1) {
			t.Fatalf("increment %d: %d, %v", i+1, n, err)
		}
	}
	if c.Stats().Repeats == 0 {
		t.Error("nothing was repeated")
	}
}
