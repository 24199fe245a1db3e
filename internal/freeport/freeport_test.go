package freeport

import (
	"math/rand/v2"
	"net"
	"slices"
	"testing"
)

func TestFind(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens by TCP
	if Free(t.Context(), taken) {
		t.Errorf("port %d is said to be free", taken)
	}
	if got, err := (Range{taken, taken + 1}).Find(t.Context(), r, 1); err == nil {
		t.Errorf("found %v where only a taken one is", got)
	}
	first, err := Tests().Row(t.Context(), r, 5)
	if err != nil || first < 9_000 || first+5 > 12_000 {
		t.Errorf("a row of ports from %d, %v", first, err)
	}
	got, err := Tests().Find(t.Context(), r, 50)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != 50 || got[0] < 9_000 || got[49] >= 12_000 {
		t.Errorf("%d different ports from %d to %d", n, got[0], got[49])
	}
}

// Whoever runs at the same time must not be given the same ports.
func TestRangesAreApart(t *testing.T) {
	if tests, campaigns := Tests(), Campaigns(); tests.Last > campaigns.First || campaigns.Last > 32_768 {
		t.Errorf("%+v and %+v, and what the kernel gives away from 32768 on", tests, campaigns)
	}
}
