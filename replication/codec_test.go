package replication

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/godwitdb/godwit/crdt"
)

func someBatch() *batch {
	return &batch{
		From: Peer{"eu", "e1"}, Incarnation: 7, Lane: 2, Placement: 5, Seq: 300, Sent: time.UnixMicro(1_000_000),
		Sections: []section{{6, []byte("bb")}, {2, []byte("z")}, {6, []byte("ba")}},
	}
}

func someClock() crdt.Clock {
	var c crdt.Clock
	c.AddRange(1, 1, 9)
	c.AddRange(1, 11, 12)
	c.AddRange(0xabc, 1, 1000)
	return c
}

func TestBatchEncoding(t *testing.T) {
	// version, "eu", "e1", incarnation, lane, placement, 300, one second, sections in order
	const want = "01" + "026575" + "026531" + "0000000000000007" + "02" + "05" + "ac02" + "c0843d" +
		"03" + "02017a" + "06026261" + "06026262"
	got := hex.EncodeToString(someBatch().append(nil))
	if got != want {
		t.Errorf("encoding is\n%s, want\n%s", got, want)
	}
}

func TestBatchRefusesWhatIsNotCanonical(t *testing.T) {
	good := someBatch().append(nil)
	swap := bytes.Replace(good, []byte("\x06\x02ba\x06\x02bb"), []byte("\x06\x02bb\x06\x02ba"), 1)
	twice := bytes.Replace(good, []byte("\x06\x02ba\x06\x02bb"), []byte("\x06\x02ba\x06\x02ba"), 1)
	tests := []struct {
		name string
		in   []byte
	}{
		{"nothing", nil},
		{"other version", append([]byte{2}, good[1:]...)},
		{"cut short", good[:len(good)-1]},
		{"something after it", append(bytes.Clone(good), 0)},
		{"sections out of order", swap},
		{"the same section twice", twice},
		{"more sections than bytes", bytes.Replace(good, []byte("\x03\x02\x01z"), []byte("\x7f\x02\x01z"), 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := decodeBatch(tt.in); !errors.Is(err, ErrMalformed) {
				t.Errorf("decodeBatch() = %v, want ErrMalformed", err)
			}
		})
	}
}

func TestPacking(t *testing.T) {
	p, fast, none := mustPacker(t), packerBy(t, CompressS2), packerBy(t, CompressNone)
	like := []byte(strings.Repeat("events are much alike. ", 8_000)) // shrinks more than 8 times, but is small
	bomb := make([]byte, 4<<20)
	tests := []struct {
		name   string
		by     *packer
		raw    []byte
		packed byte
		most   int
	}{
		{"empty", p, nil, plain, 1},
		{"small", p, []byte("beacon"), plain, 7},
		{"alike", p, like, zstandard, 4_000},
		{"alike, fast", fast, like, snappy2, 12_000},
		{"alike, left so", none, like, plain, len(like) + 1},
		{"too good to be believed", p, bomb, plain, 4<<20 + 1},
		{"too good to be believed, fast", fast, bomb, plain, 4<<20 + 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.by.pack(tt.raw)
			if b[0] != tt.packed || len(b) > tt.most {
				t.Errorf("packed by method %d into %d bytes, want method %d and %d at the most", b[0], len(b), tt.packed, tt.most)
			}
			got, err := p.unpack(b)
			if err != nil || !bytes.Equal(got, tt.raw) {
				t.Errorf("unpack() = %d bytes, %v; want %d", len(got), err, len(tt.raw))
			}
		})
	}
}

func TestUnpackingIsBounded(t *testing.T) {
	p := mustPacker(t)
	frame := p.enc.EncodeAll(make([]byte, 2<<20), nil)
	claim := func(n ...byte) []byte { return append(append([]byte{zstandard}, n...), frame...) }
	tests := []struct {
		name string
		in   []byte
	}{
		{"nothing", nil},
		{"unknown packing", []byte{9}},
		{"more than eight times its size", claim(0x80, 0x80, 0x80, 0x01)},     // 2 MiB
		{"claims less than it is", claim(0x80, 0x80, 0x01)},                   // 16 KiB
		{"claims more than any message", claim(0x80, 0x80, 0x80, 0x80, 0x01)}, // 256 MiB
		{"fast, more than it is", append([]byte{snappy2, 100}, s2.Encode(nil, make([]byte, 99))...)},
		{"fast, less than it is", append([]byte{snappy2, 98}, s2.Encode(nil, make([]byte, 99))...)},
		{"fast, claims a gigabyte", append([]byte{snappy2, 100}, 0x80, 0x80, 0x80, 0x80, 0x04)},
		{"not a frame", append([]byte{zstandard, 5}, []byte("what is this")...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if out, err := p.unpack(tt.in); !errors.Is(err, ErrMalformed) {
				t.Errorf("unpack() = %d bytes, %v; want ErrMalformed", len(out), err)
			}
		})
	}
}

func TestResidencyOfQuestions(t *testing.T) {
	x := &Replicator{}
	x.view.Store(&view{shared: map[string][]uint32{"eu": {1}}})
	if _, err := x.answer(t.Context(), "eu", &query{kind: askMissing, replica: Replica{2, 0}}); !errors.Is(err, ErrResidency) {
		t.Errorf("events of a placement not shared: %v, want a refusal", err)
	}
	step, err := x.answer(t.Context(), "eu", &query{kind: askSteps, parts: []stepPart{{Replica{2, 0}, []byte("x")}}})
	if want := encodeReplies([]stepReply{{true, []byte(ErrResidency.Error())}}); err != nil || !bytes.Equal(step, want) {
		t.Errorf("a step about a placement not shared: %q, %v; want %q", step, err, want)
	}
	roots, err := x.answer(t.Context(), "eu", &query{kind: askRoots, roots: []rootOf{{Replica{2, 0}, 1, 2}}})
	if err != nil || !bytes.Equal(roots, encodeStandings([]standingOf{{0, notReady}})) {
		t.Errorf("the root of a placement not shared: %x, %v", roots, err)
	}
	if b := x.answerClocks("eu", []clockHash{{Replica{2, 0}, 0}}, nil); !bytes.Equal(b, encodeReports(nil, false)) {
		t.Errorf("clocks of a placement not shared: %x", b)
	}
}

func TestRendezvousMovesOnlyWhatItMust(t *testing.T) {
	three, two := &view{live: []string{"n1", "n2", "n3"}}, &view{live: []string{"n1", "n3"}}
	count := map[string]int{}
	for _, node := range []string{"a", "b", "c", "d", "e", "f"} {
		for lane := range Lanes {
			p := Peer{"eu", node}
			before, after := three.puller(p, lane), two.puller(p, lane)
			count[before]++
			if before != "n2" && before != after {
				t.Errorf("lane %d of %s moved from %s to %s though %s is alive", lane, p, before, after, before)
			}
		}
	}
	for _, n := range three.live {
		if count[n] < 3 {
			t.Errorf("node %s pulls %d of 24 lanes", n, count[n])
		}
	}
}

func mustPacker(t testing.TB) *packer { return packerBy(t, CompressZstd) }

func packerBy(t testing.TB, way string) *packer {
	t.Helper()
	p, err := newPacker(way)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(someBatch().append(nil))
	f.Add((&batch{From: Peer{"a", "b"}, Placement: Everyone, Sent: time.UnixMicro(5)}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeBatch(b)
		if err == nil && !bytes.Equal(m.append(nil), b) {
			t.Fatalf("decoded %x, encoded %x", b, m.append(nil))
		}
	})
}

func FuzzUnpack(f *testing.F) {
	p := mustPacker(f)
	f.Add(p.pack([]byte(strings.Repeat("events are much alike. ", 100))))
	f.Add(p.pack([]byte("beacon")))
	fast := packerBy(f, CompressS2)
	f.Add(fast.pack([]byte(strings.Repeat("events are much alike. ", 100))))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := p.unpack(b)
		if err != nil {
			return
		}
		if len(out) > unpackedLimit(len(b)) && b[0] != plain {
			t.Fatalf("%d bytes became %d", len(b), len(out))
		}
		for _, packed := range [][]byte{p.pack(out), fast.pack(out)} {
			again, err := p.unpack(packed)
			if err != nil || !bytes.Equal(again, out) {
				t.Fatalf("%d bytes do not come back: %v", len(out), err)
			}
		}
	})
}

func FuzzDecodeQuery(f *testing.F) {
	f.Add((&query{kind: askClocks, clocks: []clockHash{{Replica{1, 2}, 3}, {Replica{1, 4}, 5}}}).encode())
	f.Add((&query{kind: askClocks, clocks: []clockHash{{Replica{1, 2}, 3}}, of: []string{"eu", "us"}}).encode())
	f.Add((&query{kind: askMissing, replica: Replica{1, 2}, have: someClock()}).encode())
	f.Add((&query{kind: askSteps, parts: []stepPart{{Replica{1, 2}, []byte("x")}, {Replica{1, 2}, nil}}}).encode())
	f.Add((&query{kind: askRoots, salt: 7, roots: []rootOf{{Replica{1, 2}, 3, 4}, {Replica{1, 3}, 5, 6}}}).encode())
	f.Add((&query{kind: askHolds, replica: Replica{1, 2}, have: someClock(), dc: "eu"}).encode())
	f.Add((&query{kind: askNotices, notices: []noticeStamp{{"ring/eu", 3, 4}, {"ring/us", 300, 5}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := decodeQuery(b)
		if err == nil && !bytes.Equal(q.encode(), b) {
			t.Fatalf("decoded %x, encoded %x", b, q.encode())
		}
	})
}

func FuzzDecodeAnswers(f *testing.F) {
	c := someClock()
	f.Add(encodeReports([]clockReport{
		{Replica{1, 2}, standing{c, c}, nil}, {Replica{1, 3}, standing{c, crdt.Clock{}}, []relayed{{"a", standing{c, c}}, {"b", standing{c, crdt.Clock{}}}}},
	}, true))
	f.Add((&missing{more: true, deltas: [][]byte{[]byte("x"), nil}}).encode())
	f.Add(encodeReplies([]stepReply{{false, []byte("page")}, {true, []byte("no")}}))
	f.Add(encodeStandings([]standingOf{{0, clocksDiffer}, {3, rootsDiffer | clocksDiffer}}))
	f.Add(encodeNotices([]Notice{{"ring/eu", 3, []byte("who")}, {"topology", 300, nil}}, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if reports, more, err := decodeReports(b); err == nil && !bytes.Equal(encodeReports(reports, more), b) {
			t.Fatalf("reports %x, encoded %x", b, encodeReports(reports, more))
		}
		if m, err := decodeMissing(b); err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatalf("missing %x, encoded %x", b, m.encode())
		}
		if replies, err := decodeReplies(b); err == nil && !bytes.Equal(encodeReplies(replies), b) {
			t.Fatalf("replies %x, encoded %x", b, encodeReplies(replies))
		}
		if how, err := decodeStandings(b, 9); err == nil && !bytes.Equal(encodeStandings(told(how)), b) {
			t.Fatalf("standings %x, encoded %x", b, encodeStandings(told(how)))
		}
		if held, err := decodeHolds(b); err == nil && !bytes.Equal(encodeHolds(held), b) {
			t.Fatalf("holds %x, encoded %x", b, encodeHolds(held))
		}
		if notices, more, err := decodeNotices(b); err == nil && !bytes.Equal(encodeNotices(notices, more), b) {
			t.Fatalf("notices %x, encoded %x", b, encodeNotices(notices, more))
		}
	})
}

func told(how []byte) (out []standingOf) {
	for i, h := range how {
		if h != 0 {
			out = append(out, standingOf{i, h})
		}
	}
	return out
}
