package crdt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// The hash is in every sketch that was ever stored.
func TestSketchHashIsPinned(t *testing.T) {
	for element, want := range map[string]uint64{
		"": 0x2d06800538d394c2, "a": 0xe6c632b61e964e1f, "godwit": 0xecd38f13fe90fda,
	} {
		if got := sketchHash(element); got != want {
			t.Errorf("hash of %q is %#x, want %#x", element, got, want)
		}
	}
}

func sketchOf(elements ...string) *sketch {
	s := &sketch{}
	for _, e := range elements {
		s.observe(e)
	}
	return s
}

// Register 14769 is the first 14 bits of the hash of "a", its rank the zeros
// that follow and one more.
func TestSketchEncodingIsPinned(t *testing.T) {
	for want, elements := range map[string][]string{"00c1d839": {"a"}, "0081eb15c59c0d81d016": {"c", "b", "a", "a"}} {
		if got := hex.EncodeToString(sketchOf(elements...).encode()); got != want {
			t.Errorf("%v: %s, want %s", elements, got, want)
		}
	}
	s := sketchOf("a")
	if s[0xe6c6>>2] != 1 {
		t.Errorf("register %d of a is %d, want 1", 0xe6c6>>2, s[0xe6c6>>2])
	}
	if s.merge(7, 9); s[7] != 9 {
		t.Errorf("merged into nothing: %d, want 9", s[7])
	}
	if s.merge(7, 3); s[7] != 9 {
		t.Errorf("merged with less: %d, want 9", s[7])
	}
	if s.observe("a") || !s.observe("b") {
		t.Error("only what is new changes a sketch")
	}
}

// Sketches of every fill come back from their encoding, which is never longer
// than a dense one.
func TestSketchEncodingComesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	forms := map[byte]int{}
	for range 300 {
		var s, again sketch
		for fill := 1 + r.IntN(2*registers); fill > 0; fill-- {
			s[r.IntN(registers)] = uint8(1 + r.IntN(maxRank))
		}
		b := s.encode()
		if err := eachRegister(b, again.merge); err != nil || again != s || len(b) > 1+denseBytes || !bytes.Equal(again.encode(), b) {
			t.Fatalf("%d bytes: %v, came back: %v", len(b), err, again == s)
		}
		forms[b[0]]++
	}
	if forms[sparseTag] < 20 || forms[denseTag] < 20 {
		t.Errorf("forms %v, want many of both", forms)
	}
}

// No strange payload makes another sketch's encoding of its own.
func TestSketchEncodingIsCanonical(t *testing.T) {
	var full sketch
	for i := range full {
		full[i] = uint8(1 + i%maxRank)
	}
	for _, good := range [][]byte{sketchOf("a", "b", "c", "d").encode(), full.encode()} {
		for i := range min(len(good), 40) {
			for _, v := range []byte{0, 1, 2, 0x3f, 0x7f, 0x80, 0xff, good[i] + 1, good[i] - 1} {
				bad := bytes.Clone(good)
				bad[i] = v
				var s sketch
				if err := eachRegister(bad, s.merge); err == nil && !bytes.Equal(s.encode(), bad) {
					t.Fatalf("%.40x came back as %.40x", bad, s.encode())
				}
			}
		}
	}
}

func FuzzSketch(f *testing.F) {
	f.Add(sketchOf("a", "b").encode())
	f.Add([]byte("\x01" + strings.Repeat("\x04\x10\x41", registers/4)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sketch
		if err := eachRegister(b, s.merge); err == nil && !bytes.Equal(s.encode(), b) {
			t.Fatalf("%x came back as %x", b, s.encode())
		}
	})
}

// The standard error is 0.81 % in theory, and the estimate exact while
// elements are so few that no two share a register.
func TestSketchEstimates(t *testing.T) {
	checks := []int{1, 10, 100, 1_000, 10_000, 100_000, 1_000_000}
	const trials = 24
	squares := make([]float64, len(checks))
	for trial := range trials {
		s, next := &sketch{}, 0
		var element [12]byte
		binary.BigEndian.PutUint32(element[8:], uint32(trial))
		for n := range checks[len(checks)-1] {
			binary.BigEndian.PutUint64(element[:], uint64(n))
			if s.observe(string(element[:])); n+1 == checks[next] {
				off := float64(s.estimate())/float64(n+1) - 1
				squares[next] += off * off
				next++
			}
		}
	}
	for i, n := range checks {
		off := 100 * math.Sqrt(squares[i]/trials)
		t.Logf("%d elements: standard error %.3f %%", n, off)
		if off > 1 || n <= 10 && off != 0 {
			t.Errorf("%d elements: standard error %.3f %%, want at most 1 %%, and none up to 10", n, off)
		}
	}
}

// The ends of the estimator, where its sums would not end.
func TestSketchEstimatesOfExtremes(t *testing.T) {
	var full sketch
	for i := range full {
		full[i] = maxRank
	}
	if got := new(sketch).estimate(); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
	if got := full.estimate(); got < 1<<60 {
		t.Errorf("of a sketch that can hold no more: %d, want more than 2^60", got)
	}
}

func BenchmarkSketchObserve(b *testing.B) {
	s := &sketch{}
	for i := range 100_000 {
		s.observe(string(binary.BigEndian.AppendUint32(nil, uint32(i))))
	}
	c := Cell{{Dot{1, 1}, s.encode()}}
	for b.Loop() { // what one observation of a full hll costs
		s, err := mergeSketches(c)
		if err != nil {
			b.Fatal(err)
		}
		s.observe("one more")
		s.encode()
	}
}
