package ring

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func entry(id string) Entry {
	return Entry{ID: id, Rack: "r-" + id, WeightMilli: 1000, Status: StatusActive, Addrs: Addrs{Peer: "10.0.0.1:7001"}}
}

func first(t testing.TB, ids ...string) *Document {
	t.Helper()
	var entries []Entry
	for _, id := range ids {
		entries = append(entries, entry(id))
	}
	d, err := First(entries)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocumentsAreSortedAndChecked(t *testing.T) {
	d := first(t, "c", "a", "b")
	if got := fmt.Sprint(d.Epoch, d.Moving(), d.Majority()); got != "1 false 2" || shown(d.Members) != "a*1 b*1 c*1" {
		t.Errorf("First = %s", got)
	}
	for name, spoil := range map[string]func(*Entry){
		"no id": func(e *Entry) { e.ID = "" }, "long id": func(e *Entry) { e.ID = strings.Repeat("x", 129) },
		"long address": func(e *Entry) { e.Addrs.NATS = strings.Repeat("x", 257) }, "long rack": func(e *Entry) { e.Rack = strings.Repeat("x", 129) },
		"no weight": func(e *Entry) { e.WeightMilli = 0 }, "great weight": func(e *Entry) { e.WeightMilli = 1_000_001 },
		"no status": func(e *Entry) { e.Status = 0 }, "unknown status": func(e *Entry) { e.Status = 9 },
		"nobody owns": func(e *Entry) { e.Status = StatusDraining },
	} {
		e := entry("a")
		spoil(&e)
		if _, err := First([]Entry{e}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: First: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := First([]Entry{entry("a"), entry("a")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a node twice: %v, want ErrInvalid", err)
	}
	if _, err := First(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("no nodes: %v, want ErrInvalid", err)
	}
}

func TestDocumentIsBounded(t *testing.T) {
	d := &Document{Epoch: 1<<64 - 1, By: strings.Repeat("b", MaxNameBytes), Note: strings.Repeat("n", MaxNoteBytes)}
	address := strings.Repeat("a", MaxAddressBytes)
	for i := range MaxMembers {
		d.Members = append(d.Members, Entry{
			ID: fmt.Sprintf("%0128d", i), Rack: strings.Repeat("r", MaxNameBytes), WeightMilli: 1_000_000, Status: StatusActive,
			Addrs: Addrs{GRPC: address, Peer: address, Gossip: address, NATS: address, HTTP: address}, Seed: 1<<64 - 1,
		})
	}
	d.Target = d.Members
	b := AppendDocument(nil, d)
	if len(b) > MaxDocumentBytes {
		t.Errorf("the largest document takes %d bytes, more than %d", len(b), MaxDocumentBytes)
	}
	if _, err := DecodeDocument(b); err != nil {
		t.Errorf("DecodeDocument of the largest document: %v", err)
	}
	if _, err := DecodeDocument(make([]byte, MaxDocumentBytes+1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("DecodeDocument beyond the limit: %v, want ErrMalformed", err)
	}
	d.Members = append(d.Members, entry("one too many"))
	if err := d.Check(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Check of one entry too many: %v, want ErrInvalid", err)
	}
}

func TestDocumentEncodingIsPinned(t *testing.T) {
	d := &Document{Epoch: 300, By: "n1", Note: "x", Members: []Entry{
		{ID: "n1", Rack: "r", WeightMilli: 1000, Status: StatusActive, Addrs: Addrs{GRPC: "h:1", Peer: "h:2"}, Seed: 300},
	}}
	want := "03ac02" + "026e31" + "0178" + "01" + "026e31" + "0172" + "e807" + "01" + "03683a31" + "03683a32" + "000000" + "ac02" + "00" + "00"
	if got := hex.EncodeToString(AppendDocument(nil, d)); got != want {
		t.Errorf("encoded %s, want %s", got, want)
	}
	if got, want := fmt.Sprintf("%x", d.Hash()), "6b6b64299f18cc3289943012d05ec7f4"; got != want {
		t.Errorf("Hash() = %s, want %s", got, want)
	}
}

func TestDecodeDocumentRefuses(t *testing.T) {
	head, none := "030100"+"00", "00"
	one := func(id string) string { return "01" + id + "00" + "01" + "01" + "0000000000" + "00" }
	tests := []struct{ name, hex string }{
		{name: "nothing", hex: ""},
		{name: "another format", hex: "02"},
		{name: "epoch 0", hex: "03000000" + "01" + one("61") + none + "00"},
		{name: "cut short", hex: head + "01" + one("61")},
		{name: "no members", hex: head + none + none + "00"},
		{name: "bytes after the end", hex: head + "01" + one("61") + none + "00" + "00"},
		{name: "a padded number", hex: "0381000000" + "01" + one("61") + none + "00"},
		{name: "entries out of order", hex: head + "02" + one("62") + one("61") + none + "00"},
		{name: "an entry twice", hex: head + "02" + one("61") + one("61") + none + "00"},
		{name: "too many entries", hex: head + "8140"},
		{name: "an entry without id", hex: head + "01" + "00" + "00" + "01" + "01" + "0000000000" + "00" + none + "00"},
		{name: "turned without a move", hex: head + "01" + one("61") + none + "01"},
		{name: "a truth value of 2", hex: head + "01" + one("61") + "01" + one("61") + "02"},
		{name: "a huge string", hex: head + "01" + "ffffffff0f"},
	}
	for _, tt := range tests {
		b, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeDocument(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", tt.name, err)
		}
	}
	b, err := hex.DecodeString(head + "01" + one("61") + none + "00")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeDocument(b); err != nil {
		t.Errorf("the document that the others are spoiled from: %v", err)
	}
}

func TestRingsOfADocument(t *testing.T) {
	d := first(t, "a", "b", "c")
	d.Members[2].Status = StatusDraining
	now, next, err := d.Rings(Options{Partitions: 16, Replicas: 2})
	if err != nil || next != nil {
		t.Fatalf("Rings: next %v, %v", next, err)
	}
	if got := len(now.Members()); got != 2 {
		t.Errorf("a ring of %d nodes, want 2: a draining one owns nothing", got)
	}
	d, err = d.Apply(Join(entry("d")))
	if err != nil {
		t.Fatal(err)
	}
	now, next, err = d.Rings(Options{Partitions: 16, Replicas: 2})
	if err != nil || len(now.Members()) != 2 || len(next.Members()) != 3 {
		t.Fatalf("rings of %d and %d nodes, want 2 and 3: %v", len(now.Members()), len(next.Members()), err)
	}
}

// anyHistory makes a document by changes that are drawn; some are refused.
func anyHistory(t *rapid.T) *Document {
	d, err := First([]Entry{entry("a"), entry("b")})
	if err != nil {
		t.Fatal(err)
	}
	id := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	for range rapid.IntRange(0, 8).Draw(t, "changes") {
		c := []Change{
			Join(entry(id.Draw(t, "id"))), Leave(id.Draw(t, "id")), Drain(id.Draw(t, "id")), Undrain(id.Draw(t, "id")),
			Replace(id.Draw(t, "id"), entry(id.Draw(t, "id"))), Weight(id.Draw(t, "id"), rapid.Uint32Range(0, 3000).Draw(t, "weight")),
			Turn(d.Epoch), Settle(d.Epoch), Cancel(),
		}[rapid.IntRange(0, 8).Draw(t, "change")]
		before := AppendDocument(nil, d)
		next, err := d.Apply(c)
		if !bytes.Equal(before, AppendDocument(nil, d)) {
			t.Fatalf("%s changed the document it was applied to", c)
		}
		if err != nil {
			if !errors.Is(err, ErrChange) {
				t.Fatalf("%s: %v, want ErrChange", c, err)
			}
			continue
		}
		if err := next.Check(); err != nil || next.Epoch != d.Epoch+1 {
			t.Fatalf("%s: epoch %d after %d: %v", c, next.Epoch, d.Epoch, err)
		}
		if next.Moving() && fmt.Sprint(owning(next.Members)) != fmt.Sprint(owning(d.Members)) {
			t.Fatalf("%s during a move changed who owns now", c)
		}
		d = next
	}
	return d
}

func TestDocumentsOfAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyHistory(t)
		back, err := DecodeDocument(AppendDocument(nil, d))
		if err != nil || !back.Equal(d) || back.Hash() != d.Hash() || !back.Same(d) {
			t.Fatalf("decoding what was encoded: %v", err)
		}
		for _, e := range d.All() {
			if found, ok := d.Find(e.ID); !ok || found != e {
				t.Fatalf("Find(%s) = %v, %t", e.ID, found, ok)
			}
		}
		if _, _, err := d.Rings(Options{Partitions: 4}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeDocument(f *testing.F) {
	d := first(f, "a", "b")
	f.Add(AppendDocument(nil, d))
	d, err := d.Apply(Join(entry("c")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(AppendDocument(nil, d))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDocument(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("DecodeDocument: %v, want ErrMalformed", err)
			}
			return
		}
		if !bytes.Equal(AppendDocument(nil, d), b) {
			t.Fatalf("decoded %x, encoded %x", b, AppendDocument(nil, d))
		}
	})
}
