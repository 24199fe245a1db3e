package replication_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/replication/linktest"
)

// board is the notices of one node in memory. Those named as refused it takes
// from nobody.
type board struct {
	mu      sync.Mutex
	all     map[string]replication.Notice
	refused string
}

func (b *board) Notices() []replication.Notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []replication.Notice
	for _, n := range b.all {
		out = append(out, n)
	}
	return out
}

func (b *board) Take(n replication.Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.Name == b.refused {
		return fmt.Errorf("notice %s is refused", n.Name)
	}
	if have, ok := b.all[n.Name]; !ok || have.Compare(n) < 0 {
		b.all[n.Name] = n
	}
	return nil
}

func (b *board) put(name string, version uint64, content string) {
	_ = b.Take(replication.Notice{Name: name, Version: version, Content: []byte(content)})
}

func (b *board) shows() string {
	var out []string
	for _, n := range b.Notices() {
		out = append(out, fmt.Sprintf("%s %d %.3s", n.Name, n.Version, n.Content))
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

// TestNotices: every datacenter comes to know what any of them has, the later
// version of a notice and of two of one version the same; one that a node cannot
// use is in nobody's way; and more than one answer holds arrive as well.
func TestNotices(t *testing.T) {
	boards := map[string]*board{}
	for _, dc := range []string{"a", "b", "c"} {
		boards[dc] = &board{all: map[string]replication.Notice{}}
	}
	simulateWith(t, func(o *replication.Options) { o.Notices = boards[o.Self.DC] }, wan, 3, 1, func(*world) {
		a, b, c := boards["a"], boards["b"], boards["c"]
		a.put("ring/a", 2, "old")
		b.put("ring/a", 3, "new")
		a.put("topology", 7, "one")
		c.put("topology", 7, "two")
		b.refused = "strange"
		c.put("strange", 1, "?")
		for i := range 3 {
			c.put(fmt.Sprintf("large/%d", i), 1, string(make([]byte, 700<<10)))
		}
		large := "large/0 1 \x00\x00\x00 large/1 1 \x00\x00\x00 large/2 1 \x00\x00\x00 "
		want := map[*board]string{
			a: "[" + large + "ring/a 3 new strange 1 ? topology 7 two]",
			b: "[" + large + "ring/a 3 new topology 7 two]",
			c: "[" + large + "ring/a 3 new strange 1 ? topology 7 two]",
		}
		time.Sleep(10 * time.Second)
		for _, dc := range []string{"a", "b", "c"} {
			if got := boards[dc].shows(); got != want[boards[dc]] {
				t.Errorf("datacenter %s knows %q, want %q", dc, got, want[boards[dc]])
			}
		}
	})
}

// TestSources: a node that is no longer named is not pulled from any more, and
// one that is named from now on is.
func TestSources(t *testing.T) {
	simulate(t, linktest.Options{}, 2, 2, func(w *world) {
		time.Sleep(2 * time.Second)
		sources := func() string {
			var out []string
			for _, n := range w.dcs[1].nodes {
				for _, s := range n.rep.Sources() {
					if !slices.Contains(out, s.Node) {
						out = append(out, s.Node)
					}
				}
			}
			slices.Sort(out)
			return fmt.Sprint(out)
		}
		if got := sources(); got != "[a1 a2]" {
			t.Errorf("pulled from %s, want both nodes", got)
		}
		a := w.dcs[0]
		a.mu.Lock()
		gone := a.nodes[1]
		a.unnamed = gone.name
		a.mu.Unlock()
		time.Sleep(2 * time.Second)
		if got := sources(); got != "[a1]" {
			t.Errorf("pulled from %s, want a1: a2 has left", got)
		}
		a.mu.Lock()
		a.unnamed = ""
		a.mu.Unlock()
		r := part(1)
		gone.write(t, r, "k", put("v"))
		time.Sleep(2 * time.Second)
		messages := uint64(0)
		for _, n := range w.dcs[1].nodes {
			for _, s := range n.rep.Sources() {
				if s.Node == gone.name {
					messages += s.Messages
				}
			}
		}
		if got := sources(); got != "[a1 a2]" || messages != 1 {
			t.Errorf("pulled from %s, %d messages from a2; want both nodes and 1 message", got, messages)
		}
	})
}
