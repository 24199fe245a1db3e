package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/examples/wordcount/words"
	"github.com/godwitdb/godwit/internal/emulated"
	"github.com/godwitdb/godwit/internal/wan"
)

// Three datacenters count the words of three texts together, and lose one
// another for ten seconds in the middle. Every counter of every datacenter ends
// at what the shell counts.
func TestWordCountThroughACut(t *testing.T) {
	cuts := []struct {
		name string
		cut  func(n *wan.Network) error
	}{
		{"one datacenter is cut off", func(n *wan.Network) error { return n.CutDC("euw1") }},
		{"one link is cut one way and another is reset", func(n *wan.Network) error {
			if err := n.Set("use1", "apne1", wan.Change{State: wan.Cut}); err != nil {
				return err
			}
			return n.SetPair("use1", "euw1", wan.Change{State: wan.Reset})
		}},
	}
	for _, tt := range cuts {
		t.Run(tt.name, func(t *testing.T) { countWords(t, tt.cut) })
	}
}

func countWords(t *testing.T, cut func(*wan.Network) error) {
	c, err := emulated.Start(t.Context(), emulated.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	o := words.Options{Workers: 6, Chunk: 500, Timeout: 20 * time.Second}
	files := map[string]string{"use1": "opticks.txt", "euw1": "gnu.txt", "apne1": "commons.txt"}
	var clients []*client.Client
	for _, d := range c.Info().DCs {
		cl, err := client.Open(t.Context(), client.Options{Addrs: d.GRPC, DC: d.Name, RoundRobin: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cl.Close() }()
		clients = append(clients, cl)
		o.Texts = append(o.Texts, readText(t, d.Name, files[d.Name]))
	}
	o.Clients = clients
	var counted atomic.Int64
	o.Progress = func(n int) { counted.Add(int64(n)) }
	total := int64(0)
	for _, text := range o.Texts {
		total += int64(len(text.Words))
	}
	if total < 30_000 {
		t.Fatalf("the texts have %d words, want 30,000 at the least", total)
	}
	done := make(chan error, 1)
	var sum words.Summary
	go func() {
		var err error
		sum, err = words.Run(t.Context(), o)
		done <- err
	}()
	eventually(t, "a quarter is counted", time.Minute, func() bool { return counted.Load() > total/4 })
	if err := cut(c.WAN()); err != nil {
		t.Fatal(err)
	}
	atCut := counted.Load()
	time.Sleep(10 * time.Second) // the length of the cut is the point
	atHeal := counted.Load()
	c.WAN().Heal()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d words in %v: %d when cut, %d when healed; %d unknown, %d failed", sum.Words, sum.Took, atCut, atHeal, sum.Unknown, sum.Failed)
	if sum.Unknown+sum.Failed > 0 || sum.Words != total {
		t.Errorf("%d of %d words were acknowledged, %d are unknown, %d failed", sum.Words, total, sum.Unknown, sum.Failed)
	}
	if atHeal == atCut {
		t.Error("nobody counted during the cut")
	}
	waitEqual(t, time.Minute, clients)
	differences, err := words.Check(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
	checkAgainstShell(t, clients, files)
}

const texts = "../../examples/wordcount/testdata"

func readText(t *testing.T, dc, file string) words.Text {
	t.Helper()
	f, err := os.Open(filepath.Join(texts, file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := words.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return words.Text{Name: file, DC: dc, Words: all}
}

// checkAgainstShell compares counters with what the shell counts, so that the
// program under test has no part in what it is compared with.
func checkAgainstShell(t *testing.T, clients []*client.Client, files map[string]string) {
	t.Helper()
	var names []string
	for _, f := range files {
		names = append(names, filepath.Join(texts, f))
	}
	cmd := exec.Command("sh", "-c", `cat "$@" | tr -cs A-Za-z '\n' | tr A-Z a-z | sort | uniq -c`, "sh")
	cmd.Args = append(cmd.Args, names...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	var keys []string
	for line := range bytes.Lines(out) {
		var n int64
		var word string
		if k, _ := fmt.Sscan(string(line), &n, &word); k == 2 {
			want["word:"+word] = n
			keys = append(keys, "word:"+word)
		}
	}
	for _, cl := range clients {
		for len(keys) > 0 {
			batch := keys[:min(len(keys), 256)]
			keys = keys[len(batch):]
			results, err := cl.BatchGet(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if r.Err != nil || r.Value.Integer != want[batch[i]] {
					t.Errorf("%s: %s is %v, %v; the shell counts %d", cl.DC(), batch[i], r.Value, r.Err, want[batch[i]])
				}
			}
		}
		for k := range want {
			keys = append(keys, k)
		}
	}
	if len(want) < 1000 || strings.TrimSpace(keys[0]) == "" {
		t.Errorf("the shell found only %d words", len(want))
	}
}
