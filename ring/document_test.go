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

func entry(id string, version uint64) Entry {
	return Entry{ID: id, Addr: "10.0.0.1:7001", Rack: "r1", WeightMilli: 1000, Status: StatusActive, Version: version}
}

func mustPut(t *testing.T, d *Document, e Entry) bool {
	t.Helper()
	changed, err := d.Put(e)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestDocumentHigherVersionWins(t *testing.T) {
	var d Document
	if !mustPut(t, &d, entry("a", 2)) || mustPut(t, &d, entry("a", 2)) || mustPut(t, &d, entry("a", 1)) {
		t.Error("an entry that is not newer changed the document, or a new one did not")
	}
	removed := entry("a", 3)
	removed.Status = StatusRemoved
	if !mustPut(t, &d, removed) || mustPut(t, &d, entry("a", 2)) {
		t.Error("an old entry brought a removed node back")
	}
	if got := d.Members(); len(got) != 0 {
		t.Errorf("members %v, want none", got)
	}
	other := removed
	other.Rack = "r2"
	if !mustPut(t, &d, other) || mustPut(t, &d, removed) {
		t.Error("of equal versions the greater encoding must win")
	}
}

func TestDocumentMembersAreTheActiveOnes(t *testing.T) {
	var d Document
	for i, s := range []Status{StatusJoining, StatusActive, StatusLeaving, StatusRemoved} {
		e := entry(fmt.Sprintf("n%d", i), 1)
		e.Status, e.WeightMilli = s, 1500
		mustPut(t, &d, e)
	}
	got := d.Members()
	if len(got) != 1 || got[0] != (Member{ID: "n1", Rack: "r1", Weight: 1.5}) {
		t.Errorf("Members() = %v, want n1 of weight 1.5", got)
	}
}

func TestDocumentIsBounded(t *testing.T) {
	var d Document
	for i := range MaxEntries {
		mustPut(t, &d, Entry{
			ID: fmt.Sprintf("%0128d", i), Addr: strings.Repeat("a", MaxAddressBytes), Rack: strings.Repeat("r", MaxNameBytes),
			WeightMilli: 1_000_000, Status: StatusActive, Version: 1<<64 - 1,
		})
	}
	d.SetEpoch(Epoch{Number: 1<<64 - 1})
	b := AppendDocument(nil, &d)
	if len(b) > MaxDocumentBytes {
		t.Errorf("the largest document takes %d bytes, more than %d", len(b), MaxDocumentBytes)
	}
	if _, err := DecodeDocument(b); err != nil {
		t.Errorf("DecodeDocument of the largest document: %v", err)
	}
	if _, err := d.Put(entry("one too many", 1)); !errors.Is(err, ErrDocumentFull) {
		t.Errorf("Put beyond the limit: %v, want ErrDocumentFull", err)
	}
	var more Document
	mustPut(t, &more, entry("one too many", 1))
	if _, err := d.Merge(&more); !errors.Is(err, ErrDocumentFull) {
		t.Errorf("Merge beyond the limit: %v, want ErrDocumentFull", err)
	}
	if _, err := DecodeDocument(make([]byte, MaxDocumentBytes+1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("DecodeDocument beyond the limit: %v, want ErrMalformed", err)
	}
}

func TestDocumentRefusesEntriesThatCannotBe(t *testing.T) {
	for name, spoil := range map[string]func(*Entry){
		"no id": func(e *Entry) { e.ID = "" }, "long id": func(e *Entry) { e.ID = strings.Repeat("x", 129) },
		"long address": func(e *Entry) { e.Addr = strings.Repeat("x", 257) }, "long rack": func(e *Entry) { e.Rack = strings.Repeat("x", 129) },
		"no weight": func(e *Entry) { e.WeightMilli = 0 }, "great weight": func(e *Entry) { e.WeightMilli = 1_000_001 },
		"no status": func(e *Entry) { e.Status = 0 }, "unknown status": func(e *Entry) { e.Status = 9 },
	} {
		e := entry("a", 1)
		spoil(&e)
		var d Document
		if _, err := d.Put(e); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: Put: %v, want ErrInvalid", name, err)
		}
	}
}

func TestDocumentEncodingIsPinned(t *testing.T) {
	var d Document
	mustPut(t, &d, Entry{ID: "n1", Addr: "h:1", Rack: "r", WeightMilli: 1000, Status: StatusActive, Version: 300})
	d.SetEpoch(Epoch{Number: 5, Hash: [16]byte{1}})
	want := "0105" + "01000000000000000000000000000000" + "01" + "026e31" + "03683a31" + "0172" + "e807" + "02" + "ac02"
	if got := hex.EncodeToString(AppendDocument(nil, &d)); got != want {
		t.Errorf("encoded %s, want %s", got, want)
	}
}

func TestDecodeDocumentRefuses(t *testing.T) {
	head := "0100" + strings.Repeat("00", 16)
	one := func(id string) string { return "01" + id + "00" + "00" + "01" + "02" + "00" }
	tests := []struct{ name, hex string }{
		{name: "nothing", hex: ""},
		{name: "another format", hex: "02"},
		{name: "cut short", hex: head},
		{name: "bytes after the end", hex: head + "00" + "00"},
		{name: "a padded number", hex: "018000" + strings.Repeat("00", 16) + "00"},
		{name: "entries out of order", hex: head + "02" + one("62") + one("61")},
		{name: "an entry twice", hex: head + "02" + one("61") + one("61")},
		{name: "too many entries", hex: head + "8140"},
		{name: "an entry without id", hex: head + "01" + "00" + "00" + "00" + "01" + "02" + "00"},
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
}

func anyDocument(t *rapid.T, label string) *Document {
	d := &Document{}
	for range rapid.IntRange(0, 6).Draw(t, label) {
		_, err := d.Put(Entry{
			ID:          rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id"),
			Rack:        rapid.SampledFrom([]string{"", "x", "yy"}).Draw(t, "rack"),
			WeightMilli: rapid.Uint32Range(1, 3).Draw(t, "weight"),
			Status:      Status(rapid.IntRange(1, 4).Draw(t, "status")),
			Version:     rapid.Uint64Range(0, 3).Draw(t, "version"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	d.SetEpoch(Epoch{Number: rapid.Uint64Range(0, 2).Draw(t, "epoch"), Hash: [16]byte{rapid.Byte().Draw(t, "hash")}})
	return d
}

func merged(t *rapid.T, docs ...*Document) string {
	out := &Document{}
	for _, d := range docs {
		if _, err := out.Merge(d); err != nil {
			t.Fatal(err)
		}
	}
	return string(AppendDocument(nil, out))
}

func TestDocumentMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyDocument(t, "a"), anyDocument(t, "b"), anyDocument(t, "c")
		abc := merged(t, a, b, c)
		for _, other := range [][]*Document{{c, b, a}, {b, c, a}, {a, b, c, a}} {
			if merged(t, other...) != abc {
				t.Fatal("merging depends on the order or counts twice")
			}
		}
		clone := a.Clone()
		if changed, err := clone.Merge(a); changed || err != nil {
			t.Fatalf("merging a document into its copy: changed %t, %v", changed, err)
		}
		changed, err := clone.Merge(b)
		if differ := !bytes.Equal(AppendDocument(nil, clone), AppendDocument(nil, a)); changed != differ || err != nil {
			t.Fatalf("Merge says changed %t, %v, the documents differ: %t", changed, err, differ)
		}
		back, err := DecodeDocument(AppendDocument(nil, clone))
		if err != nil || !bytes.Equal(AppendDocument(nil, back), AppendDocument(nil, clone)) {
			t.Fatalf("decoding what was encoded: %v", err)
		}
	})
}

func FuzzDecodeDocument(f *testing.F) {
	d := &Document{}
	for _, id := range []string{"a", "b"} {
		if _, err := d.Put(entry(id, 7)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(AppendDocument(nil, d))
	f.Add(AppendDocument(nil, &Document{}))
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
