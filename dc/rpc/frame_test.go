package rpc

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
)

func mustMarshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFramesAreWhatTheContractSays(t *testing.T) {
	req := &peerv1.Request{TimeoutMs: 7, Of: &peerv1.Request_Read{Read: &peerv1.Read{Key: []byte("k")}}}
	resp := &peerv1.Response{Of: &peerv1.Response_Apply{Apply: &peerv1.ApplyDone{}}}
	hello := &peerv1.Hello{Cluster: "c", Dc: "eu", Node: "n1", TopologyVersion: 3}
	var b []byte
	b = appendMessage(b, 0, fieldHello, mustMarshal(t, hello))
	b = appendMessage(b, 300, fieldRequest, mustMarshal(t, req))
	b = appendMessage(b, 1<<40, fieldResponse, mustMarshal(t, resp))
	want := &peerv1.Frame{Messages: []*peerv1.Message{
		{Body: &peerv1.Message_Hello{Hello: hello}},
		{Id: 300, Body: &peerv1.Message_Request{Request: req}},
		{Id: 1 << 40, Body: &peerv1.Message_Response{Response: resp}},
	}}
	got := new(peerv1.Frame)
	if err := proto.Unmarshal(b, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("frame = %v, %v\nwant %v", got, err, want)
	}
	var ids []uint64
	if err := cut(mustMarshal(t, want), func(m message) error { ids = append(ids, m.id, uint64(m.field)); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids, []uint64{0, fieldHello, 300, fieldRequest, 1 << 40, fieldResponse}) {
		t.Errorf("ids and fields = %d", ids)
	}
}

// FuzzCut demands that no bytes are fatal, and that whatever is taken for a
// frame is one to protobuf as well.
func FuzzCut(f *testing.F) {
	f.Add(appendMessage(nil, 1, fieldRequest, []byte{8, 1}))
	f.Add([]byte{10, 2, 8, 5, 16, 1})
	f.Add([]byte{10, 200, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		count := 0
		err := cut(b, func(m message) error {
			count++
			if m.field == 0 && m.body != nil {
				t.Error("a body without a field")
			}
			return nil
		})
		frame := new(peerv1.Frame)
		if perr := proto.Unmarshal(b, frame); perr == nil && (err != nil || count != len(frame.GetMessages())) {
			t.Errorf("%x: %d messages, %v; protobuf finds %d", b, count, err, len(frame.GetMessages()))
		}
	})
}

func TestOutboxFillsFramesUpToTheirLimits(t *testing.T) {
	o := outbox{codec: new(frameCodec), limits: outboxLimits{queue: 1000, frame: 300, messages: 3}}
	put := func(id uint64, size int) { o.put(id, fieldRequest, bytes.Repeat([]byte{'x'}, size)) }
	for id := range uint64(4) {
		put(id+1, 10) // three share a frame, the fourth begins another
	}
	put(5, 500) // alone, larger than a frame
	put(6, 10)
	if !o.fits(300) || o.fits(400) {
		t.Errorf("with %d bytes queued: fits(300) = %v, fits(400) = %v, want true and false", o.bytes, o.fits(300), o.fits(400))
	}
	for i, want := range [][]uint64{{1, 2, 3}, {4}, {5}, {6}} {
		f := o.take()
		if f == nil {
			t.Fatalf("frame %d is missing", i)
		}
		var ids []uint64
		if err := cut(*f.buf, func(m message) error { ids = append(ids, m.id); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ids, want) || o.taken != want[len(want)-1] {
			t.Errorf("frame %d = %d (taken %d), want %d", i, ids, o.taken, want)
		}
	}
	if f := o.take(); f != nil || o.bytes != 0 || !o.fits(5000) {
		t.Errorf("an empty outbox: %v, %d bytes, fits(5000) = %v", f, o.bytes, o.fits(5000))
	}
}

func TestClip(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"short", "short"},
		{"0123456789", "0123456789"},
		{"0123456789a", "0123456..."},
		{"012345é9abc", "012345..."}, // no rune is cut in two
		{"a\xffb", "a\uFFFDb"},
	} {
		if got := clip(tt.in, 10); got != tt.want {
			t.Errorf("clip(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
