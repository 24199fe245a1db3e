package dc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/godwitdb/godwit/crdt"
)

// maxCursor bounds a cursor in bytes. Partitions for which there is no room are
// left out, and begin with a resync.
const maxCursor = 1 << 20

// A cursor is how far a watch has told of every partition of a placement: MAC,
// version, placement, number of partitions and, for each, the length of its
// clock's encoding (0 for a partition that is left out) and that. It holds at
// every node of every datacenter of the cluster, for one bucket and prefix.
const cursorVersion = 1

func (n *Node) cursorMAC(bucket string, prefix, payload []byte) []byte {
	h := hmac.New(sha256.New, n.contextKey)
	h.Write([]byte("watch")) // a context's payload begins with a length, below 65
	h.Write([]byte{byte(len(bucket))})
	h.Write([]byte(bucket))
	h.Write([]byte{byte(len(prefix) >> 8), byte(len(prefix))})
	h.Write(prefix)
	h.Write(payload)
	return h.Sum(nil)[:macBytes]
}

// sealCursor encodes the clocks of all partitions, nil for those to leave out.
func (n *Node) sealCursor(b *bucket, prefix []byte, clocks []*crdt.Clock) []byte {
	out := append(make([]byte, macBytes, 4096), cursorVersion)
	out = binary.BigEndian.AppendUint32(out, b.placement.id)
	out = binary.AppendUvarint(out, uint64(len(clocks)))
	room := maxCursor - len(out) - len(clocks)*binary.MaxVarintLen32
	var buf []byte
	for _, c := range clocks {
		buf = buf[:0]
		if c != nil {
			buf = crdt.AppendClock(buf, c)
		}
		if room -= len(buf); room < 0 {
			buf, room = buf[:0], 0
		}
		out = binary.AppendUvarint(out, uint64(len(buf)))
		out = append(out, buf...)
	}
	copy(out, n.cursorMAC(b.Name, prefix, out[macBytes:]))
	return out
}

func (n *Node) openCursor(b *bucket, prefix, cursor []byte) ([]*crdt.Clock, error) {
	bad := refuse(InvalidArgument, "BAD_CURSOR", "cursor is damaged, or was not made for this bucket and prefix of this cluster; watch without one")
	if len(cursor) < macBytes+5 || len(cursor) > maxCursor || !hmac.Equal(cursor[:macBytes], n.cursorMAC(b.Name, prefix, cursor[macBytes:])) {
		return nil, bad
	}
	p := cursor[macBytes:]
	if p[0] != cursorVersion || binary.BigEndian.Uint32(p[1:]) != b.placement.id {
		return nil, bad
	}
	p = p[5:]
	number := func() uint64 {
		v, size := binary.Uvarint(p)
		if size <= 0 {
			p = nil
			return 0
		}
		p = p[size:]
		return v
	}
	if number() != uint64(n.opts.Topology.Partitions) {
		return nil, bad
	}
	out := make([]*crdt.Clock, n.opts.Topology.Partitions)
	for i := range out {
		if len(p) == 0 {
			return nil, bad
		}
		size := number()
		if size > uint64(len(p)) {
			return nil, bad
		}
		if size == 0 {
			continue
		}
		c, err := crdt.DecodeClock(p[:size])
		if err != nil {
			return nil, bad
		}
		out[i], p = &c, p[size:]
	}
	if len(p) > 0 {
		return nil, bad
	}
	return out, nil
}
