package frame

import (
	"bytes"
	"fmt"
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
	b = Append(b, Message{Field: Hello, Body: mustMarshal(t, hello)})
	b = Append(b, Message{ID: 300, Field: Request, Body: mustMarshal(t, req)})
	b = Append(b, Message{ID: 1 << 40, Field: Response, Body: mustMarshal(t, resp)})
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
	if err := Cut(mustMarshal(t, want), func(m Message) error { ids = append(ids, m.ID, uint64(m.Field)); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids, []uint64{0, uint64(Hello), 300, uint64(Request), 1 << 40, uint64(Response)}) {
		t.Errorf("ids and fields = %d", ids)
	}
}

// FuzzCut demands that no bytes are fatal, and that whatever is taken for a
// frame is one to protobuf as well.
func FuzzCut(f *testing.F) {
	f.Add(Append(nil, Message{ID: 1, Field: Request, Body: []byte{8, 1}, Sent: 7}))
	f.Add([]byte{10, 2, 8, 5, 16, 1})
	f.Add([]byte{10, 200, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		count := 0
		err := Cut(b, func(m Message) error {
			count++
			if m.Field == 0 && m.Body != nil {
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
	o := NewOutbox(new(Codec), Limits{Queue: 1000, Frame: 300, Messages: 3})
	put := func(id uint64, size int) {
		o.Put(Message{ID: id, Field: Request, Body: bytes.Repeat([]byte{'x'}, size)})
	}
	for id := range uint64(4) {
		put(id+1, 10) // three share a frame, the fourth begins another
	}
	put(5, 500) // alone, larger than a frame
	put(6, 10)
	if !o.Fits(300) || o.Fits(400) {
		t.Errorf("with %d bytes queued: fits(300) = %v, fits(400) = %v, want true and false", o.bytes, o.Fits(300), o.Fits(400))
	}
	for i, want := range [][]uint64{{1, 2, 3}, {4}, {5}, {6}} {
		f := o.Take()
		if f == nil {
			t.Fatalf("frame %d is missing", i)
		}
		var ids []uint64
		if err := Cut(*f.buf, func(m Message) error { ids = append(ids, m.ID); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ids, want) || o.taken != want[len(want)-1] {
			t.Errorf("frame %d = %d (taken %d), want %d", i, ids, o.taken, want)
		}
	}
	if f := o.Take(); f != nil || o.bytes != 0 || !o.Fits(5000) {
		t.Errorf("an empty outbox: %v, %d bytes, fits(5000) = %v", f, o.bytes, o.Fits(5000))
	}
}

func TestOutboxDropsWhatWasNotTaken(t *testing.T) {
	o := NewOutbox(new(Codec), Limits{Queue: 1000, Frame: 300, Messages: 2})
	for id := range uint64(5) {
		o.Put(Message{ID: id + 1, Field: Request, Body: []byte{'a' + byte(id)}})
	}
	taken := o.Take() // 1 and 2; left are 3 and 4, and 5
	for _, drop := range []struct {
		id   uint64
		want bool
	}{{1, false}, {2, false}, {4, true}, {4, false}, {5, true}, {6, false}} {
		if got := o.Drop(drop.id); got != drop.want {
			t.Errorf("Drop(%d) = %v, want %v", drop.id, got, drop.want)
		}
	}
	o.Put(Message{ID: 6, Field: Request, Body: []byte("f")})
	var got []string
	for f := taken; f != nil; f = o.Take() {
		if err := Cut(*f.buf, func(m Message) error {
			got = append(got, fmt.Sprintf("%d:%s", m.ID, m.Body))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"1:a", "2:b", "3:c", "6:f"}; !slices.Equal(got, want) || o.Bytes() != 0 {
		t.Errorf("sent %q, %d bytes left, want %q and none", got, o.Bytes(), want)
	}
}
