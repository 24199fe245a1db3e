package replication

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func opened(t *testing.T, dir string) *parking {
	t.Helper()
	p := &parking{}
	if err := p.open(dir); err != nil {
		t.Fatal(err)
	}
	return p
}

func parkOne(t *testing.T, p *parking, partition uint32, data string) bool {
	t.Helper()
	fresh, err := p.add(Parked{From: Peer{"eu", "n1"}, Placement: 7, Partition: partition, Reason: "bad", At: time.Unix(1000, 0)}, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func TestParkedOutlivesARestart(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "parked")} {
		p := opened(t, dir)
		if !parkOne(t, p, 1, "poison\nof two lines") || parkOne(t, p, 1, "poison\nof two lines") || !parkOne(t, p, 2, "poison\nof two lines") {
			t.Errorf("in %q: the same batch is new twice, or another one is not", dir)
		}
		if len(p.items) != 2 || p.count != 3 {
			t.Errorf("in %q: %d parked of %d, want 2 of 3", dir, len(p.items), p.count)
		}
		if dir != "" {
			p = opened(t, dir)
		}
		var ids []string
		for id := range p.items {
			ids = append(ids, id)
		}
		if len(ids) != 2 {
			t.Fatalf("in %q: %d after a restart, want 2", dir, len(ids))
		}
		got, err := p.find(ids[0])
		if err != nil || string(got.Data) != "poison\nof two lines" || got.From != (Peer{"eu", "n1"}) || got.Reason != "bad" || got.Bytes != 19 {
			t.Errorf("in %q: %+v, %v", dir, got, err)
		}
		if err := p.drop(ids[0]); err != nil {
			t.Error(err)
		}
		if err := p.drop(ids[0]); !errors.Is(err, ErrNotParked) {
			t.Errorf("dropped twice: %v", err)
		}
		if dir != "" {
			p = opened(t, dir)
		}
		if _, err := p.find(ids[0]); !errors.Is(err, ErrNotParked) || len(p.items) != 1 || p.bytes != 19 {
			t.Errorf("in %q: %d are left with %d bytes, want 1 with 19; %v", dir, len(p.items), p.bytes, err)
		}
	}
}

func TestParkedIsBounded(t *testing.T) {
	p := opened(t, "")
	big := string(make([]byte, parkedBytes-10))
	parkOne(t, p, 1, big)
	parkOne(t, p, 2, "more than ten")
	for i := range parkedMax - 2 {
		parkOne(t, p, uint32(i+3), "")
	}
	if _, err := p.add(Parked{}, []byte("one too many")); err == nil || len(p.items) != parkedMax {
		t.Errorf("%d are parked, error %v; want %d and an error", len(p.items), err, parkedMax)
	}
	cut := 0
	for _, item := range p.items {
		if item.Cut {
			cut++
		}
	}
	if cut != 1 || p.bytes != parkedBytes-10 {
		t.Errorf("%d without data, %d bytes; want 1, %d", cut, p.bytes, parkedBytes-10)
	}
}

func TestParkedFileThatIsDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"+parkedSuffix), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&parking{}).open(dir); err == nil {
		t.Error("a damaged file was taken for a batch")
	}
}
