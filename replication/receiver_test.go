package replication

import (
	"strings"
	"testing"
	"time"
)

func TestReceiverBelievesOnlyTheWayAMessageCame(t *testing.T) {
	x := &Replicator{packer: mustPacker(t)}
	x.view.Store(&view{shared: map[string][]uint32{"eu": {5}}})
	in := &intake{x: x, pulse: newPulse()}
	from := Peer{"eu", "e1"}
	good := batch{From: from, Lane: 2, Placement: 5, Seq: 1, Sent: time.UnixMicro(1), Sections: []section{{6, []byte("d")}}}
	tests := []struct {
		name   string
		change func(b *batch, m *Message)
		want   string
	}{
		{"a good one", func(*batch, *Message) {}, ""},
		{"another datacenter's", func(b *batch, _ *Message) { b.From.DC = "us" }, "not from where it came"},
		{"another node's", func(b *batch, _ *Message) { b.From.Node = "e2" }, "not from where it came"},
		{"another lane's", func(_ *batch, m *Message) { m.Lane = 1 }, "not from where it came"},
		{"another placement's", func(_ *batch, m *Message) { m.Placement = 6 }, "not from where it came"},
		{"data for everyone", func(b *batch, m *Message) { b.Placement, m.Placement = Everyone, Everyone }, "both datacenters hold"},
		{"placement not held", func(b *batch, m *Message) { b.Placement, m.Placement = 6, 6 }, "both datacenters hold"},
		{"any partition", func(b *batch, _ *Message) { b.Sections = []section{{7, []byte("d")}} }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, m := good, Message{From: from, Lane: 2, Placement: 5}
			tt.change(&b, &m)
			m.Data = x.packer.pack(b.append(nil))
			_, err := in.decode(m)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("decode() = %v, want %q", err, tt.want)
			}
		})
	}
}
