package replication

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

const (
	batchVersion = 1
	maxNameBytes = 63
	// maxSections is how many sections one message may hold.
	maxSections = 4096
)

// batch is one message of a lane. Without sections it is a beacon.
// Invariant of an encoded batch: sections ascend by partition, then by bytes.
type batch struct {
	From        Peer
	Incarnation uint64 // of the sender: a restart begins new sequences
	Lane        uint8
	Placement   uint32
	Seq         uint64 // counts the messages of one placement in one lane from 1; 0 for beacons
	Sent        time.Time
	Sections    []section
}

// section is what some events of one partition did, as crdt.AppendDelta made it.
type section struct {
	Partition uint32
	Delta     []byte
}

func (s section) compare(o section) int {
	return cmp.Or(cmp.Compare(s.Partition, o.Partition), bytes.Compare(s.Delta, o.Delta))
}

// append appends the canonical encoding of m to b; it sorts the sections.
func (m *batch) append(b []byte) []byte {
	slices.SortFunc(m.Sections, section.compare)
	b = append(b, batchVersion)
	b = appendBytes(b, m.From.DC)
	b = appendBytes(b, m.From.Node)
	b = binary.BigEndian.AppendUint64(b, m.Incarnation)
	b = append(b, m.Lane)
	b = binary.AppendUvarint(b, uint64(m.Placement))
	b = binary.AppendUvarint(b, m.Seq)
	b = binary.AppendUvarint(b, uint64(max(m.Sent.UnixMicro(), 0)))
	b = binary.AppendUvarint(b, uint64(len(m.Sections)))
	for _, s := range m.Sections {
		b = binary.AppendUvarint(b, uint64(s.Partition))
		b = appendBytes(b, s.Delta)
	}
	return b
}

// decodeBatch decodes what append made, and nothing else. Deltas alias b and
// are not looked into.
func decodeBatch(b []byte) (*batch, error) {
	r := reader{b: b}
	if r.byte("version") != batchVersion && r.err == nil {
		r.fail("unknown version of a message")
	}
	m := &batch{
		From:        Peer{string(r.bytes("datacenter", maxNameBytes)), string(r.bytes("node", maxNameBytes))},
		Incarnation: r.fixed64("incarnation"),
		Lane:        r.byte("lane"),
		Placement:   r.uint32("placement"),
		Seq:         r.uvarint("sequence number"),
	}
	sent := r.uvarint("sending time")
	if sent > math.MaxInt64 {
		r.fail("sending time is too large")
	}
	m.Sent = time.UnixMicro(int64(sent))
	if n := r.count("number of sections", 2, maxSections); n > 0 {
		m.Sections = make([]section, n)
	}
	for i := range m.Sections {
		m.Sections[i] = section{r.uint32("partition"), r.bytes("delta", maxUnpacked)}
		if i > 0 && m.Sections[i-1].compare(m.Sections[i]) >= 0 && r.err == nil {
			r.fail("sections are not in order")
		}
	}
	if err := r.done("message"); err != nil {
		return nil, err
	}
	return m, nil
}
