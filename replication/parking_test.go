package replication

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
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

// What must not be in this datacenter is listed, and not a byte of it is kept:
// neither a whole message nor one partition's part.
func TestParkedKeepsNothingOfOtherPlacements(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parked")
	x := &Replicator{
		packer: mustPacker(t), remotes: map[string]*remoteDC{}, appliers: semaphore.NewWeighted(1),
		opts: Options{Self: Peer{"us", "n1"}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Local: refusing{}, ApplyTimeout: time.Second},
	}
	if err := x.parking.open(dir); err != nil {
		t.Fatal(err)
	}
	x.view.Store(&view{shared: map[string][]uint32{"eu": {5}}})
	from := Peer{"eu", "e1"}
	b := batch{From: from, Lane: 2, Placement: 6, Seq: 1, Sent: time.UnixMicro(1), Sections: []section{{6, []byte("secret")}}}
	acked := 0
	m := Message{From: from, Lane: 2, Placement: 6, Data: x.packer.pack(b.append(nil)), Settle: func(bool, time.Duration) { acked++ }}
	in := &intake{x: x, last: map[uint32]arrival{}, pulse: newPulse()}
	in.handle(t.Context(), m)
	if err := x.applyTo(t.Context(), Replica{6, 6}, [][]byte{[]byte("secret")}, Parked{From: from, Placement: 6}); err != nil {
		t.Fatal(err)
	}
	parked := x.Parked()
	if acked != 1 || len(parked) != 2 || !parked[0].Cut || !parked[1].Cut || !parked[0].Whole || parked[1].Whole {
		t.Fatalf("%d acknowledged, parked %+v; want the message before anything of it is applied, and the part, both cut", acked, parked)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v; want 2", len(files), err)
	}
	for _, f := range files {
		kept, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(kept, []byte("secret")) || bytes.Contains(kept, m.Data) {
			t.Errorf("%s holds %q, %v", f.Name(), kept, err)
		}
	}
	if err := x.RetryParked(t.Context(), parked[0].ID); !errors.Is(err, ErrNoData) {
		t.Errorf("retried: %v, want ErrNoData", err)
	}
}

// refusing is a datacenter that keeps nothing.
type refusing struct{ Local }

func (refusing) Apply(context.Context, Replica, [][]byte) error {
	return errors.Join(ErrPermanent, ErrResidency)
}
