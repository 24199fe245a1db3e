package crdt

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// decoders are all of them, each as decode and encode again.
func decoders() map[string]func(b []byte) ([]byte, error) {
	return map[string]func(b []byte) ([]byte, error){
		"clock": func(b []byte) ([]byte, error) {
			c, err := DecodeClock(b)
			return AppendClock(nil, &c), err
		},
		"ranges": func(b []byte) ([]byte, error) {
			rs, err := DecodeRanges(b)
			return AppendRanges(nil, rs), err
		},
		"cell": func(b []byte) ([]byte, error) {
			c, err := DecodeCell(b)
			return AppendCell(nil, c), err
		},
		"delta": func(b []byte) ([]byte, error) {
			d, err := DecodeDelta(b)
			if err != nil {
				return nil, err
			}
			return AppendDelta(nil, d), nil
		},
		"snapshot": func(b []byte) ([]byte, error) {
			s, err := DecodeSnapshot(b)
			if err != nil {
				return nil, err
			}
			return AppendSnapshot(nil, s), nil
		},
		"changes": func(b []byte) ([]byte, error) {
			cs, err := DecodeChanges(b)
			return AppendChanges(nil, cs), err
		},
		"context": func(b []byte) ([]byte, error) {
			c, err := DecodeContext(b)
			if err != nil {
				return nil, err
			}
			return AppendContext(nil, c), nil
		},
		"run": func(b []byte) ([]byte, error) {
			u, err := decodeRun(b)
			return u.encode(), err
		},
	}
}

// samples are encodings that the decoders take, from a short history.
func samples(tb testing.TB) map[string][][]byte {
	tb.Helper()
	out := map[string][][]byte{}
	gatherSamples(tb, newWorld(7), 150, out)
	gatherSamples(tb, newWorldOf(7, historyKinds(), newChronicle()), 80, out)
	for what := range decoders() {
		if len(out[what]) == 0 {
			tb.Fatalf("the history has no %s", what)
		}
	}
	return out
}

// gatherSamples plays so many steps and takes what there is to encode.
func gatherSamples(tb testing.TB, w *world, steps int, out map[string][][]byte) {
	tb.Helper()
	for range steps {
		if err := w.step(); err != nil {
			tb.Fatal(err)
		}
	}
	out["delta"] = append(out["delta"], w.wire...)
	for _, n := range w.nodes {
		out["snapshot"] = append(out["snapshot"], n.encode())
		out["clock"] = append(out["clock"], AppendClock(nil, &n.rep.Clock))
		out["changes"] = append(out["changes"], AppendChanges(nil, n.rep.Residue.Changes()))
		for _, rs := range n.rep.Clock.All() {
			out["ranges"] = append(out["ranges"], AppendRanges(nil, rs))
		}
		for _, c := range n.mem.All() {
			out["cell"] = append(out["cell"], AppendCell(nil, c.Live))
			for _, e := range c.Live {
				if c.ID.Kind == Counter {
					out["run"] = append(out["run"], e.Payload)
				}
			}
		}
	}
	for _, c := range w.contexts {
		out["context"] = append(out["context"], c.ctx)
	}
}

// One value, one encoding: no decoder takes anything that its encoder would
// write otherwise, whichever byte of a good encoding is changed.
func TestDecodersAreCanonical(t *testing.T) {
	for what, decode := range decoders() {
		t.Run(what, func(t *testing.T) {
			for _, good := range samples(t)[what] {
				again, err := decode(good)
				if err != nil || !bytes.Equal(again, good) {
					t.Fatalf("%x came back as %x, %v", good, again, err)
				}
				for i := range good {
					for _, v := range []byte{0, 1, 2, 0x7f, 0x80, 0xff, good[i] + 1, good[i] - 1} {
						bad := slices.Clone(good)
						bad[i] = v
						if again, err := decode(bad); err == nil && !bytes.Equal(again, bad) {
							t.Fatalf("%x came back as %x", bad, again)
						}
						padded := slices.Insert(slices.Clone(good), i, v)
						if again, err := decode(padded); err == nil && !bytes.Equal(again, padded) {
							t.Fatalf("%x came back as %x", padded, again)
						}
					}
					if again, err := decode(good[:i]); err == nil && !bytes.Equal(again, good[:i]) {
						t.Fatalf("cut short, %x came back as %x", good[:i], again)
					}
				}
			}
		})
	}
}

func TestDecodersRefuse(t *testing.T) {
	actor := strings.Repeat("\x00", 7) + "\x01"
	maxVarint := strings.Repeat("\xff", 9) + "\x01"
	clock := "\x01" + actor + "\x01\x00\x00"
	set := "\x01b\x01k\x06" // bucket, key, kind set
	tests := []struct{ name, what, in, want string }{
		{"nothing", "clock", "", "number of actors is cut short or too large"},
		{"a padded varint", "clock", "\x80\x00", "number of actors is a padded varint"},
		{"more actors than bytes", "clock", "\x05" + actor + "\x01\x00\x00", "number of actors is over its limit"},
		{"actors out of order", "clock", "\x02" + actor + "\x01\x00\x00" + actor + "\x01\x00\x00", "actors are not in order"},
		{"an actor without ranges", "clock", "\x01" + actor + "\x00\x00\x00", "actor without ranges"},
		{"a range past the end", "ranges", "\x01" + maxVarint + "\x00", "range is out of bounds"},
		{"a range whose end wraps", "ranges", "\x01\x00" + maxVarint, "range is out of bounds"},
		{"bytes after the end", "ranges", "\x00\x00", "ranges is followed by something else"},
		{"sequence number zero", "cell", "\x01" + actor + "\x00\x00", "sequence number is out of bounds"},
		{"a sequence number past the end", "cell", "\x01" + actor + maxVarint + "\x00", "sequence number is out of bounds"},
		{"live dots out of order", "cell", "\x02" + actor + "\x02\x00" + actor + "\x01\x00", "live dots are not in order"},
		{"a live dot twice", "cell", "\x02" + actor + "\x02\x00" + actor + "\x02\x00", "live dots are not in order"},
		{"another version", "delta", "\x09", "unknown version of a delta"},
		{"a run that begins at zero", "delta", "\x01" + actor + "\x00\x00\x00\x00", "run of events is out of bounds"},
		{"a run past the end", "delta", "\x01" + actor + "\x01" + maxVarint + "\x00\x00", "run of events is out of bounds"},
		{"a request outside its run", "delta", "\x01" + actor + "\x01\x00\x01\x01" + strings.Repeat("r", 16) + "\x00", "request is outside its run"},
		{"the same key as nothing", "changes", "\x01\x01\x00", "unknown kind of change"},
		{"an unknown bit", "changes", "\x01\x10\x00", "unknown kind of change"},
		{"a kind to come", "changes", "\x01\x00\x01b\x01k\xfa\x00", "unknown kind 250"},
		{"a key said again", "changes", "\x02\x00" + set + "\x00\x00" + set + "\x01x", "key is repeated"},
		{"a path twice", "changes", "\x02\x00" + set + "\x01x\x01\x01x", "cells of a key are not in order"},
		{"paths out of order", "changes", "\x02\x00" + set + "\x01x\x01\x01w", "cells of a key are not in order"},
		{"removes that are none", "changes", "\x01\x02" + set + "\x00\x00", "empty part of a change"},
		{"a payload in a set", "changes", "\x01\x08" + set + "\x01x\x01" + actor + "\x01\x01p", "payload where there is none"},
		{"residue with live dots", "snapshot", "\x01\x00\x01\x08" + set + "\x01x\x01" + actor + "\x01\x00\x00", "residue with live dots"},
		{"a cell that is empty", "snapshot", "\x01" + clock + "\x00\x01\x00" + set + "\x01x", "cell of a snapshot with something else than live dots"},
		{"observed dots out of order", "context", "\x01\x02" + actor + "\x02" + actor + "\x01\x00", "observed dots are not in order"},
		{"more reset than there was", "run", "\x01\x00\x01\x02\x00\x01", "more was reset than there was"},
		{"empty reset totals", "run", "\x01\x00\x01\x00\x00\x00", "empty reset totals"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decoders()[tt.what]([]byte(tt.in))
			if !errors.Is(err, ErrEncoding) || err.Error() != ErrEncoding.Error()+": "+tt.want {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

// maxGrowth is how many bytes a decoder may take for each byte it is given.
const maxGrowth = 64

// allocated is what fn takes, in bytes.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestDecodersDoNotGrow(t *testing.T) {
	const size = 1 << 18
	huge := []byte{0xff, 0xff, 0x3f} // a count of 2^20-1
	prefixes := [][]byte{nil, {1}, {1, 0}, {1, 0, 0}, append([]byte{1}, "\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00"...), append([]byte{1}, "\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00"...)}
	fills := []string{"\x00", "\x01", "\x01\x00", "\x02", "\x0f", "\xff", "\x00\x01b\x01k\x06\x00"}
	for what, decode := range decoders() {
		for _, prefix := range prefixes {
			for _, fill := range fills {
				in := append(append(slices.Clone(prefix), huge...), bytes.Repeat([]byte(fill), size/len(fill))...)
				if got := allocated(func() { _, _ = decode(in) }); got > maxGrowth*size+1<<16 {
					t.Errorf("%s: %d bytes for %d", what, got, len(in))
				}
			}
		}
	}
	// The dearest good input: the smallest cells there can be.
	d := &Delta{Actor: 1, Lo: 1, Hi: 1}
	for i := range 1 << 16 {
		d.Changes = append(d.Changes, Change{ID: CellID{testKey(), Set, string([]byte{byte(i >> 8), byte(i)})}})
	}
	in := AppendDelta(nil, d)
	if got := allocated(func() { _, _ = DecodeDelta(in) }); got > 4*maxGrowth*uint64(len(in)) {
		t.Errorf("delta of small cells: %d bytes for %d", got, len(in))
	}
}

func TestPathsKeepOrderAndComeBack(t *testing.T) {
	component := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b'}), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := component.Draw(t, "a"), component.Draw(t, "b")
		if strings.Compare(PathOf(a), PathOf(b)) != strings.Compare(a, b) {
			t.Fatalf("order of %q and %q is lost", a, b)
		}
		if a != b && strings.HasPrefix(PathOf(a), PathOf(b)) {
			t.Fatalf("%q is below %q", a, b)
		}
		got, rest, ok := CutPath(string(AppendPath([]byte(PathOf(a)), b)))
		if !ok || got != a || rest != PathOf(b) {
			t.Fatalf("%q, %q, %v, want %q", got, rest, ok, a)
		}
	})
}

func TestCutPathRefuses(t *testing.T) {
	for _, in := range []string{"", "a", "a\x00", "a\x00\x02", "\x00\xff"} {
		if _, _, ok := CutPath(in); ok {
			t.Errorf("CutPath(%q) found a component", in)
		}
	}
}

func TestObservedContextIsShort(t *testing.T) {
	tests := []struct {
		dots      int
		wantDots  int
		wantClock uint64
	}{{0, 0, 0}, {16, 16, 0}, {17, 0, 17}}
	for _, tt := range tests {
		s := newSite(t, 1)
		for i := range tt.dots {
			s.do(insert(string(rune('a' + i))))
		}
		c := s.context()
		if len(c.Dots) != tt.wantDots || c.Clock.Count() != tt.wantClock {
			t.Errorf("of %d dots: %d one by one, %d in the clock", tt.dots, len(c.Dots), c.Clock.Count())
		}
	}
}

func TestTotalOfManyRunsDoesNotWrap(t *testing.T) {
	var c Cell
	for i := range 5 {
		c = append(c, Entry{Dot{1, uint64(i + 1)}, run{now: totals{up: math.MaxUint64, ops: 1}}.encode()})
	}
	if sum, over := total(c); sum != math.MaxInt64 || !over {
		t.Errorf("total %d, over %v", sum, over)
	}
	half := run{now: totals{up: 1 << 63, ops: 1}}.encode()
	if sum, over := total(Cell{{Dot{1, 1}, half}, {Dot{1, 2}, half}}); sum != math.MaxInt64 || !over {
		t.Errorf("total %d of two halves, over %v", sum, over)
	}
	for i := range 5 {
		c = append(c, Entry{Dot{2, uint64(i + 1)}, run{now: totals{down: math.MaxUint64, ops: 1}}.encode()})
	}
	if sum, over := total(c); sum != 0 || over {
		t.Errorf("total %d, over %v", sum, over)
	}
}
