package words_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
	"github.com/godwitdb/godwit/examples/wordcount/words"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRead(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"no words", " 1,234 --\n", nil},
		{"letters only, in lower case", "The Sun's 2nd Ray", []string{"the", "sun", "s", "nd", "ray"}},
		{"bytes, not characters", "Phænomena", []string{"ph", "nomena"}},
		{"what is near the letters in ASCII", "@A[Z`a{z", []string{"a", "z", "a", "z"}},
		{"a word at the very end", "end", []string{"end"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := words.Read(strings.NewReader(tt.text)); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("Read() = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if _, err := words.Read(strings.NewReader(strings.Repeat("x", 513))); err == nil || !strings.Contains(err.Error(), "more than 512 letters") {
		t.Errorf("a word of 513 letters: %v", err)
	}
}

// TestReadCountsAsTrDoes holds the texts against what this prints:
//
//	tr -cs A-Za-z '\n' | tr A-Z a-z | grep . | sort | uniq -c | awk '{print $2" "$1}' | sha256sum
func TestReadCountsAsTrDoes(t *testing.T) {
	tests := []struct {
		file             string
		total, different int
		the              int64
		sum              string
	}{
		{"opticks.txt", 14298, 1401, 1571, "ae49516a63ced6a2031300de966227e8219f174b62050ac0581b4d469dfc0cb8"},
		{"gnu.txt", 10003, 1277, 694, "64d8722c0c5d190d7eae37af78382f510bd27eaf8192da0e18273dac3288fefa"},
		{"commons.txt", 8668, 1286, 578, "e86cc6b824a7b104bb872942eeea22d5b3c92620541045bd0394053913b9911c"},
	}
	for _, tt := range tests {
		text := readText(t, tt.file, "use1")
		c := words.Count(text)
		h := sha256.New()
		for _, w := range c.Sorted() {
			fmt.Fprintf(h, "%s %d\n", w, c[w])
		}
		if len(text.Words) != tt.total || len(c) != tt.different || c["the"] != tt.the || hex.EncodeToString(h.Sum(nil)) != tt.sum {
			t.Errorf("%s: %d words, %d different, %d the, sum %x", tt.file, len(text.Words), len(c), c["the"], h.Sum(nil))
		}
	}
}

func readText(t *testing.T, file, dc string) words.Text {
	t.Helper()
	f, err := os.Open("../testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := words.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return words.Text{Name: file, DC: dc, Words: w}
}

func start(t *testing.T, o clienttest.Options) (*clienttest.Cluster, words.Options) {
	t.Helper()
	cluster := clienttest.Start(o)
	t.Cleanup(cluster.Close)
	clients, err := cluster.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range clients {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return cluster, words.Options{Clients: clients}
}

func TestThreeTextsInThreeDatacenters(t *testing.T) {
	_, o := start(t, clienttest.Options{DCs: []string{"use1", "euw1", "apne1"}, Nodes: 2})
	o.Texts = []words.Text{readText(t, "opticks.txt", "use1"), readText(t, "gnu.txt", "euw1"), readText(t, "commons.txt", "apne1")}
	var progress atomic.Int64
	o.Progress = func(n int) { progress.Add(int64(n)) }
	s, err := words.Run(t.Context(), o)
	if err != nil || s.Words != 32969 || s.Unknown != 0 || s.Failed != 0 || progress.Load() != 32969 {
		t.Fatalf("summary %+v, progress %d, %v", s, progress.Load(), err)
	}
	if found, err := words.Check(t.Context(), o); err != nil || len(found) != 0 {
		t.Errorf("%d differences, %v", len(found), err)
	}
	v, err := o.Clients[2].Get(t.Context(), "word:light")
	if err != nil || v.Integer != 141 {
		t.Errorf("word:light is %+v, %v, want 141", v, err)
	}
	z, err := o.Clients[0].SMembers(t.Context(), "letter:q")
	if err != nil || len(z) != 16 {
		t.Errorf("letter:q is %q, %v, want 16 words", z, err)
	}
}

func TestCheckFindsDifferences(t *testing.T) {
	_, o := start(t, clienttest.Options{})
	o.Texts = []words.Text{{Name: "t", DC: "use1", Words: []string{"a", "bee", "a", "be"}}}
	if _, err := words.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	c := o.Clients[0]
	for _, change := range []client.Op{
		client.IncrOp("word:a", 1), client.DeleteOp("word:be"),
		client.SRemOp("letter:b", "bee"), client.SAddOp("letter:b", "bumble"), client.SAddOp("letter:z", "zoo"),
	} {
		if _, err := c.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	found, err := words.Settle(t.Context(), o, time.Millisecond, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		got = append(got, d.String())
	}
	want := []string{
		"use1 word:a: want 2, got 3",
		"use1 word:be: want 1, got 0",
		`use1 letter:b: want 2 words, got 2, 1 missing ["bee"], 1 not of the texts ["bumble"]`,
		`use1 letter:z: want 0 words, got 1, 0 missing [], 1 not of the texts ["zoo"]`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("differences %q, want %q", got, want)
	}
}

// TestFaultsOnTheWay: what broke after it was carried out is counted once, and
// what was refused is counted in the end.
func TestFaultsOnTheWay(t *testing.T) {
	cluster, o := start(t, clienttest.Options{Nodes: 2})
	for i := range 2 {
		cluster.Node("use1", i).Misbehave(func(c clienttest.Call) clienttest.Fault {
			switch c.N % 5 {
			case 1:
				return clienttest.Fault{Break: true}
			case 3:
				return clienttest.Fault{Before: clienttest.Refuse(codes.Unavailable, "NO_OWNER", "nobody")}
			}
			return clienttest.Fault{}
		})
	}
	o.Texts, o.Chunk = []words.Text{readText(t, "gnu.txt", "use1")}, 500
	s, err := words.Run(t.Context(), o)
	if err != nil || s.Words != 10003 {
		t.Fatalf("summary %+v, %v", s, err)
	}
	cluster.Node("use1", 0).Misbehave(nil)
	cluster.Node("use1", 1).Misbehave(nil)
	if found, err := words.Check(t.Context(), o); err != nil || len(found) != 0 {
		t.Errorf("differences %v, %v", found, err)
	}
}

func TestSettleBearsWithBusyNodes(t *testing.T) {
	cluster, o := start(t, clienttest.Options{})
	o.Texts = []words.Text{{Name: "t", DC: "use1", Words: []string{"a"}}}
	if _, err := words.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Timeout = 20 * time.Millisecond
	before := len(cluster.Node("use1", 0).Calls())
	cluster.Node("use1", 0).Misbehave(func(c clienttest.Call) clienttest.Fault { return clienttest.Fault{Stuck: c.N == before+1} })
	if _, err := words.Settle(t.Context(), o, 0, time.Millisecond); !client.IsTimeout(err) {
		t.Errorf("no time left: %v", err)
	}
	o.Timeout = time.Second
	cluster.Node("use1", 0).Misbehave(func(c clienttest.Call) clienttest.Fault {
		if c.N <= before+3 {
			return clienttest.Fault{Before: clienttest.Refuse(codes.DeadlineExceeded, "TIMEOUT", "late")}
		}
		return clienttest.Fault{}
	})
	if found, err := words.Settle(t.Context(), o, time.Minute, time.Millisecond); err != nil || len(found) != 0 {
		t.Errorf("differences %v, %v", found, err)
	}
}

func TestUnknownIsTold(t *testing.T) {
	cluster, o := start(t, clienttest.Options{})
	var failed atomic.Bool
	cluster.Node("use1", 0).Misbehave(func(c clienttest.Call) clienttest.Fault {
		if c.Method == "BatchUpdate" && !failed.Swap(true) {
			return clienttest.Fault{After: clienttest.Refuse(codes.Internal, "BUG", "after the fact")}
		}
		return clienttest.Fault{}
	})
	o.Texts = []words.Text{{Name: "t", DC: "use1", Words: []string{"a", "b", "a"}}}
	s, err := words.Run(t.Context(), o)
	if client.OutcomeOf(err) != client.Unknown || s.Unknown != 3 || s.Words != 0 || s.Adds != 2 {
		t.Errorf("summary %+v, %v", s, err)
	}
	cluster.Node("use1", 0).Misbehave(func(clienttest.Call) clienttest.Fault {
		return clienttest.Fault{Before: clienttest.Refuse(codes.PermissionDenied, "DENIED", "no")}
	})
	s, err = words.Run(t.Context(), o)
	if !client.IsDenied(err) || s.Failed != 3 {
		t.Errorf("summary %+v, %v", s, err)
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	_, o := start(t, clienttest.Options{})
	o.Texts, o.Chunk = []words.Text{readText(t, "gnu.txt", "use1")}, 10
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(int) { cancel() }
	if s, err := words.Run(ctx, o); !errors.Is(err, context.Canceled) || s.Words >= 10003 {
		t.Errorf("summary %+v, %v", s, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, o := start(t, clienttest.Options{})
	o.Texts, o.Chunk, o.Workers = []words.Text{{Name: "t", DC: "mars"}}, 1001, 257
	_, err := words.Run(t.Context(), o)
	for _, want := range []string{`text t is for datacenter "mars"`, "chunks of 1001 words", "257 workers"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run() = %v, want %q in it", err, want)
		}
	}
}
